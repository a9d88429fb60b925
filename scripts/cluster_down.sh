#!/usr/bin/env bash
# Stop what scripts/cluster_up.sh started in BASE, by its pid files, and wait until it is gone.
set -uo pipefail
BASE=${BASE:-${TMPDIR:-/tmp}/mixer-cluster}
[ ! -e "$BASE/slurm.conf" ] || SLURM_CONF=$BASE/slurm.conf timeout 10 scancel --full --user="$(id -un)" 2> /dev/null
for file in "$BASE"/slurmctld.pid "$BASE"/slurmd-*.pid "$BASE"/munge/munged.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2> /dev/null
    for _ in $(seq 100); do
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2> /dev/null
    rm -f "$file"
done
exit 0
