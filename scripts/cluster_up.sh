#!/usr/bin/env bash
# Start a Slurm of one machine for the tests of tier `cluster`: munge, the controller, and two node daemons, in a
# folder of their own, as the user who calls, without systemd, cgroups or accounting.
#
#     BASE=/some/folder scripts/cluster_up.sh && export SLURM_CONF=/some/folder/slurm.conf
#
# Idempotent; `scripts/cluster_down.sh` stops it by its pid files. Where Slurm is not installed it is asked of apt-get;
# exit code 3 says that it is not to be had.
set -euo pipefail
BASE=${BASE:-${TMPDIR:-/tmp}/mixer-cluster}
NODES=${NODES:-2}
export PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$BASE/slurm.conf

installed() {
    for name in slurmctld slurmd sbatch munged; do command -v $name > /dev/null || return 1; done
}
if ! installed; then
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || { echo "no Slurm, and no right to install it" >&2; exit 3; }
    exec 9> "${TMPDIR:-/tmp}/mixer-cluster-install.lock"
    flock 9 # one at a time
    installed || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        slurmctld slurmd slurm-client munge; } >&2 || { echo "Slurm cannot be installed" >&2; exit 3; }
    exec 9>&-
fi

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null; }

mkdir -p "$BASE"/{munge,state,log}
chmod 0755 "$BASE" "$BASE/munge"
[ -s "$BASE/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom > "$BASE/munge/key")
# --force: the folder may lie below one that others write to, as /tmp is.
alive "$BASE/munge/munged.pid" || munged --force --num-threads=2 --key-file="$BASE/munge/key" \
    --socket="$BASE/munge/socket" --pid-file="$BASE/munge/munged.pid" --log-file="$BASE/munge/log" \
    --seed-file="$BASE/munge/seed" 2> "$BASE/munge/stderr"

# Each daemon passes for a node of two cores and 4 GB, whatever the machine has: Slurm only counts with them here.
host=$(hostname -s)
cat > "$SLURM_CONF" << CONF
ClusterName=mixer
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=${PORT:-16817}
AuthType=auth/munge
AuthInfo=socket=$BASE/munge/socket
CredType=cred/munge
StateSaveLocation=$BASE/state
SlurmdSpoolDir=$BASE/spool-%n
SlurmctldLogFile=$BASE/log/slurmctld.log
SlurmdLogFile=$BASE/log/slurmd-%n.log
SlurmctldPidFile=$BASE/slurmctld.pid
SlurmdPidFile=$BASE/slurmd-%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MaxArraySize=1001
ReturnToService=2
SlurmdTimeout=${SLURMD_TIMEOUT:-15}
KillWait=5
MpiDefault=none
$(for n in $(seq "$NODES"); do
    echo "NodeName=mixer$n NodeHostname=$host NodeAddr=127.0.0.1 Port=$((${PORT:-16817} + n)) CPUs=2 RealMemory=4096 State=UNKNOWN"
done)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=00:10:00 State=UP
CONF

if ! alive "$BASE/slurmctld.pid"; then
    slurmctld
    sleep 0.3 # it goes into the background before it knows whether it can start
fi
for n in $(seq "$NODES"); do
    alive "$BASE/slurmd-mixer$n.pid" || slurmd -N "mixer$n"
done
end=$((SECONDS + 30))
while [ $SECONDS -lt $end ] && alive "$BASE/slurmctld.pid"; do
    states=$(timeout 3 sinfo -h -N -o %T -p main 2> /dev/null || true)
    [ "$(grep -cE '^(idle|mixed|allocated)$' <<< "$states")" = "$NODES" ] && exit 0
    if grep -qE 'down|drain' <<< "$states"; then
        timeout 3 scontrol update NodeName="mixer[1-$NODES]" State=RESUME || true
    fi
    sleep 0.1
done
echo "Slurm did not come up (nodes: ${states:-unknown}); see $BASE/log" >&2
tail -n 3 "$BASE/log/slurmctld.log" >&2
exit 1
