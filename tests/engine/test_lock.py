import fcntl
import os
import subprocess
import sys

import pytest

import mixer.engine.lock as lock_module
from mixer.engine.lock import hold_as_worker, lock
from mixer.errors import UsageError


def test_a_directory_is_held_once(tmp_path):
    held = pytest.raises(UsageError, match=rf"another build is writing to .*new: process {os.getpid()} on ")
    with lock(tmp_path / "new"), held, lock(tmp_path / "new"):
        pass
    with lock(tmp_path / "new"):
        pass


def test_other_directories_are_free(tmp_path):
    with lock(tmp_path / "one"), lock(tmp_path / "two"):
        pass


def test_a_dead_holder_holds_nothing(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from mixer.engine.lock import lock\n"
        "with lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=20, check=False).returncode == -9
    with lock(tmp_path):
        pass


def test_a_build_waits_for_workers_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "PATIENCE_SECONDS", 0.2)
    (tmp_path / "run").mkdir()
    refused = pytest.raises(UsageError, match="workers of an earlier build are still writing")
    with hold_as_worker(tmp_path), hold_as_worker(tmp_path), refused, lock(tmp_path):
        pass
    with lock(tmp_path), hold_as_worker(tmp_path) as file:
        assert file


def test_a_worker_gives_way_to_a_build_that_takes_over(tmp_path):
    (tmp_path / "run").mkdir()
    with (tmp_path / "run/workers").open("a") as taking_over:
        fcntl.flock(taking_over, fcntl.LOCK_EX)
        assert hold_as_worker(tmp_path) is None


@pytest.mark.parametrize("place", ["a file", "a file/below"])
def test_a_place_where_no_directory_can_be_is_refused(tmp_path, place):
    (tmp_path / "a file").write_text("")
    with pytest.raises(UsageError, match=rf"{place} cannot be made or written to: .*irector"), lock(tmp_path / place):
        pass


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(file, kind):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match="cannot lock files"), lock(tmp_path):
        pass
