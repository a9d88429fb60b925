"""The engine for clusters on a site that is made up: what it believes, what it asks for again, what it gives up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixer.engine import cluster
from mixer.engine.cluster import ClusterEngine
from mixer.engine.display import SilentDisplay
from mixer.engine.local import LocalEngine
from mixer.engine.settings import EngineSettings
from mixer.engine.status import Recorder, read_status
from mixer.errors import TaskError
from tests.engine.stages import Letters

REPOSITORY = Path(__file__).parents[2]


class Here:
    """A site on this machine: all processes at once. ``lost`` ranks of a round never get one."""

    name = "Here"
    most_ranks = 4

    def __init__(self, lost=None, lying=False):
        self.lost, self.lying = lost or {}, lying
        self.rounds = 0
        self.processes = {}

    def check(self):
        pass

    evict = check

    def start(self, stage, folder, ranks):
        self.rounds += 1
        self.folder, self.ranks = folder, ranks
        wanted = [rank for rank in range(ranks) if rank not in self.lost.get(self.rounds, ())]
        self.processes = {rank: self.launch(rank) for rank in wanted}

    def launch(self, rank):
        command = [sys.executable, "-m", "mixer.engine.rank", str(self.folder), str(rank), str(os.getpid())]
        with self.log(rank).open("wb") as log:
            return subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)

    def ended(self):
        if self.lying:
            begun = self.folder.glob("journals/*.jsonl")
            return {int(path.stem): "as it says" for path in begun if b"started" in path.read_bytes()}
        codes = {rank: process.poll() for rank, process in self.processes.items()}
        ended = {rank: f"exit code {code}" for rank, code in codes.items() if code is not None}
        return ended | {rank: "never started" for rank in range(self.ranks) if rank not in self.processes}

    def waiting(self):
        return ""

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()

    close = stop

    def log(self, rank):
        return self.folder / f"{rank}.out"


def run(root, site, stage, **settings):
    with ClusterEngine(root, site, EngineSettings(**{"worth_mb": 0.002, **settings}), 1, SilentDisplay()) as engine:
        return engine.run(stage), engine


def without_measures(receipts):
    return [(each.task, each.key, each.outputs, each.counts, each.documents, each.kept) for each in receipts]


def test_receipts_are_those_of_the_local_engine(tmp_path):
    receipts, engine = run(tmp_path / "cluster", Here(), Letters(5))
    local = LocalEngine(tmp_path / "local", 2, SilentDisplay()).run(Letters(5))
    assert without_measures(receipts) == without_measures(local)
    assert engine.reports[0].ran == 5
    again, engine = run(tmp_path / "cluster", Here(), Letters(5))
    assert (without_measures(again), engine.reports[0].skipped) == (without_measures(local), 5)


def test_ranks_that_never_begin_are_asked_for_again(tmp_path):
    site = Here(lost={1: [0, 1], 2: [0]})
    receipts, _ = run(tmp_path, site, Letters(5))
    assert (len(receipts), site.rounds) == (5, 3)


def test_what_stays_missing_is_an_error_that_names_rank_task_and_log(tmp_path):
    site = Here(lost={1: [1], 2: [0], 3: [0]})
    with pytest.raises(TaskError) as caught:
        run(tmp_path, site, Letters(2), worth_mb=0)
    assert site.rounds == 3
    log = tmp_path / "run" / "jobs" / "letters" / "0003" / "0.out"
    assert caught.value.message.startswith("stage letters: 1 of 2 tasks failed 3 times:\n  part/00000: rank 0: ended: ")
    assert f"never started; see {log}" in caught.value.message
    assert (tmp_path / "documents" / "part" / "00001.txt").exists()


def test_a_process_that_lives_on_is_waited_for_and_its_tasks_are_not_given_away(tmp_path, monkeypatch):
    """The site says that all have ended: those fenced off end soon, and their tasks are done by others."""
    site = Here(lying=True)
    with pytest.raises(TaskError, match="failed 1 times"):
        run(tmp_path, site, Letters(2, seconds=1.0), attempts=1)
    assert all(process.wait(10) == 1 for process in site.processes.values())
    assert not list((tmp_path / "documents").rglob("*.txt"))
    # One that does not end is named.
    monkeypatch.setattr(cluster, "GOING_SECONDS", 0.5)
    with pytest.raises(TaskError, match=r"has ended .as it says., says Here, but its process .* still lives"):
        run(tmp_path, site, Letters(2, seconds=5.0), attempts=1)


def test_status_says_what_is_done_and_what_has_failed(tmp_path):
    display = Recorder(tmp_path, "slurm", SilentDisplay())
    settings = EngineSettings(worth_mb=0, attempts=2)
    with pytest.raises(TaskError), display, ClusterEngine(tmp_path, Here(), settings, 1, display) as engine:
        engine.run(Letters(3, {1: "crash"}))
    status = read_status(tmp_path)
    (stage,) = status.stages
    assert (stage.name, stage.tasks, stage.done, stage.state) == ("letters", 3, 2, "stopped")
    assert [(each.task, each.cause) for each in stage.failures] == [
        ("part/00001", "rank 0: ZeroDivisionError: no letters for 1")
    ]
    assert "about to crash" in Path(stage.failures[0].log).read_text()
    assert status.state.startswith("failed: stage letters: 1 of 3 tasks failed 2 times")
    assert status.lives is False
