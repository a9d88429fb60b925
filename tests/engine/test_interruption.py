"""A build that is interrupted or killed: what is left running (nothing) and what the next run makes of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def start(root, seconds=0.0, order=""):
    """Start a build in a session of its own, so that its processes can be told from all others."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engine.script", str(root), str(seconds), order],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes(session):
    """Every living process of a session; a zombie has ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(its_session) == session and state != "Z":
                found.append((int(entry.name), command))
    return found


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def workers_writing(root):
    return len(list((root / "documents").rglob("*.tmp"))) == 2


def files(root):
    return {path.name: path.read_bytes() for path in (root / "documents").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    process = start(root)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "letters: 8 tasks\nletters: done in 0:0" in output
    return files(root)


def test_workers_find_what_the_server_has_warmed(tmp_path):
    """Up to what cannot be warmed, which is no error."""
    process = start(tmp_path, order="warm")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output


@linux
def test_nothing_is_left_after_a_build_that_ends_well(tmp_path):
    process = start(tmp_path)
    process.communicate(timeout=30)
    wait_until(lambda: not processes(process.pid), 2)


@linux
@pytest.mark.parametrize("whom", ["group", "parent"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_process_and_the_next_run_completes(tmp_path, undisturbed, whom, number, code):
    process = start(tmp_path, seconds=0.5)
    wait_until(lambda: len(files(tmp_path)) >= 3 and workers_writing(tmp_path), 20)
    assert len(processes(process.pid)) >= 4  # parent, resource tracker, fork server, workers
    (os.killpg if whom == "group" else os.kill)(process.pid, number)
    output, _ = process.communicate(timeout=5)
    assert process.returncode == code, output
    assert "Traceback" not in output
    wait_until(lambda: not processes(process.pid), 2)
    assert not list(tmp_path.rglob("*.tmp"))
    completes(tmp_path, undisturbed)


@linux
@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize(("send", "number", "code"), [(os.killpg, signal.SIGINT, 130), (os.kill, signal.SIGKILL, -9)])
def test_a_signal_while_it_starts(tmp_path, moment, send, number, code):
    process = start(tmp_path, seconds=0.5)
    wait_until(lambda: len(processes(process.pid)) >= 3, 20)  # the fork server has just been started
    time.sleep(moment)
    send(process.pid, number)
    output, _ = process.communicate(timeout=5)
    assert process.returncode == code, output
    assert "Traceback" not in output
    wait_until(lambda: not processes(process.pid), 2)


@linux
def test_no_worker_outlives_a_killed_parent_and_the_next_run_completes(tmp_path, undisturbed):
    process = start(tmp_path, seconds=0.5)
    wait_until(lambda: len(files(tmp_path)) >= 3 and workers_writing(tmp_path), 20)
    process.kill()
    killed = time.monotonic()
    wait_until(lambda: not processes(process.pid), 2)
    print(f"all gone {time.monotonic() - killed:.2f} s after the parent")
    process.communicate()
    assert list(tmp_path.rglob("*.tmp"))  # nobody was there to tidy up
    completes(tmp_path, undisturbed)
    assert not list(tmp_path.rglob("*.tmp"))


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_worker_deep_in_native_code_is_ended_too(tmp_path, number):
    process = start(tmp_path, order="deaf")
    wait_until(lambda: workers_writing(tmp_path), 20)
    time.sleep(0.1)
    os.kill(process.pid, number)
    process.communicate(timeout=5)
    wait_until(lambda: not processes(process.pid), 2)


@linux
def test_a_restart_at_once_never_meets_old_workers(tmp_path, undisturbed):
    process = start(tmp_path, seconds=0.5)
    wait_until(lambda: workers_writing(tmp_path), 20)
    process.kill()
    completes(tmp_path, undisturbed)
    process.communicate()


@linux
def test_a_second_build_is_refused_while_the_first_goes_on(tmp_path, undisturbed):
    first = start(tmp_path, seconds=0.4)
    wait_until(lambda: workers_writing(tmp_path), 20)
    second = start(tmp_path)
    output, _ = second.communicate(timeout=20)
    assert second.returncode == 2
    assert f"UsageError: another build is writing to {tmp_path}: process {first.pid} on " in output
    first.communicate(timeout=20)
    assert first.returncode == 0
    assert files(tmp_path) == undisturbed


def completes(root, undisturbed):
    process = start(root)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert files(root) == undisturbed
