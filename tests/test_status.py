"""`mixer status` and `mixer stop` for builds on this machine."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.small import mixer

REPOSITORY = Path(__file__).parents[1]


def test_a_finished_build_says_what_its_stages_came_to(small, kept_server):
    assert small.build().code == 0
    shown = mixer("status", small.out)
    assert shown.code == 0, shown.stderr
    assert shown.stdout.startswith(f"{small.out}: done (engine local, process ")
    rows = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines() if " done " in line[10:]}
    assert rows["prepare"][:3] == ["2", "2", "done"]
    assert rows["tokenize"][:3] == ["2", "2", "done"]
    stopped = mixer("stop", small.out)
    assert (stopped.code, stopped.stdout) == (0, "nothing is building there\n")


def test_where_nothing_was_built_it_says_so(tmp_path):
    shown = mixer("status", tmp_path)
    assert shown.code == 2
    assert f"nothing says how the build in {tmp_path} went" in shown.stderr


def test_a_running_build_is_seen_and_stopped(tmp_path):
    out = tmp_path / "out"
    stage = json.dumps({"count": 2, "seconds": 600.0})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.script", str(out), '{"kind": "local"}', stage],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while '"running": 1' not in (shown := status(out)):
            assert process.poll() is None, shown
            time.sleep(0.05)
        assert mixer("status", out).stdout.startswith(f"{out}: building (engine local, process {process.pid} on ")
        assert mixer("stop", out).stdout == f"process {process.pid} was told to stop\n"
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert mixer("status", out).stdout.startswith(f"{out}: interrupted (engine local, process ")


def status(out):
    path = out / "run" / "status.json"
    return path.read_text() if path.exists() else ""
