"""What tests on both clusters share: starting builds, watching their journals, killing what runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.conftest import REPOSITORY

PATIENCE = 240.0
"""Seconds after which something hangs: far more than a busy machine takes."""


def settings(cluster, **changes):
    """Settings of the engine for a cluster of the fixtures."""
    kind = type(cluster).__name__.lower()
    own = (
        {"partition": "main", "memory_gb": 1, "time": "10"}
        if kind == "slurm"
        else {"address": cluster.address, "memory_gb": 0.2, "patience": 3}
    )
    own |= changes.pop("own", {})
    return {"kind": kind, "worth_mb": 0.002, "at_once": 4, kind: own, **changes}


def start(cluster, root, stage, **changes):
    """Start a stage of letters as a process of its own."""
    command = ["tests.cluster.script", str(root), json.dumps(settings(cluster, **changes)), json.dumps(stage)]
    return python(cluster, *command)


def python(cluster, *command):
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        env={**os.environ, **cluster.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process, code=0):
    """Wait for a process to end, and return what it said."""
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"it hangs: {output}") from None
    assert process.returncode == code, output
    return output


def run(cluster, root, stage, code=0, **changes):
    return end(start(cluster, root, stage, **changes), code)


def letters(root):
    return {path.name: path.read_bytes() for path in (root / "documents").rglob("*.txt")}


def expected(count):
    """What a stage of letters writes, whatever befell it."""
    return {f"{n:05}.txt": f"letters of {n}, version 1\n".encode() + b"abc" * 1000 for n in range(count)}


def wait_until(condition, seconds=PATIENCE):
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def in_hand(journal):
    """Return the process of a rank that has a task in hand, by its journal, or None."""
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    if not events or events[-1]["what"] not in ("started", "counted"):
        return None
    return int(next(event["text"] for event in events if event["what"] == "began").rpartition("-")[2])


def journals_at_work(root):
    """Journals of living processes with a task in hand, in rounds that are going on."""
    permits = (root / "run" / "jobs").glob("*/*/permit")
    journals = (journal for permit in permits for journal in (permit.parent / "journals").glob("*.jsonl"))
    return [journal for journal in journals if (process := in_hand(journal)) and alive(process)]


def at_work(root):
    """Processes of ranks that have a task in hand."""
    return [process for journal in journals_at_work(root) if (process := in_hand(journal))]


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def rounds(root, stage="letters"):
    return len(list((root / "run" / "jobs" / stage).iterdir()))
