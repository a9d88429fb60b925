"""How tasks are dealt to ranks, what a round's folder holds, and a rank that is not wanted any more."""

import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mixer.engine.rank import PERMIT, hold, journal_path, order_path
from mixer.engine.ranks import Round, deal
from mixer.engine.stage import PLANNING, Task, lean
from tests.engine.stages import Letters

REPOSITORY = Path(__file__).parents[2]


def entries(sizes):
    tasks = [Task(f"t/{place:05}", "key", size) for place, size in enumerate(sizes)]
    return sorted(enumerate(tasks), key=lambda entry: -entry[1].size)


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=80),
    st.integers(0, 300),
    st.integers(1, 20),
    st.sets(st.integers(0, 79), max_size=5),
)
def test_every_task_is_dealt_once_and_loads_differ_by_a_task_at_most(sizes, worth, most, alone):
    dealt = deal(entries(sizes), worth, most, alone)
    assert sorted(place for rank in dealt for place, _ in rank) == list(range(len(sizes)))
    assert 1 <= len(dealt) <= most
    assert all(dealt)
    apart = [rank for rank in dealt if rank[0][0] in alone and len(rank) == 1]
    if most > len(alone):
        assert {rank[0][0] for rank in apart} >= {place for place in alone if place < len(sizes)}
    loads = [sum(max(1, task.size or worth) for _, task in rank) for rank in dealt if rank not in apart]
    assert not loads or max(loads) - min(loads) <= max(1, worth, *sizes)


def test_small_tasks_share_a_rank_and_those_of_unknown_size_do_not():
    assert len(deal(entries([10] * 100), 250, 1000)) == 4
    assert len(deal(entries([0] * 7), 250, 1000)) == 7
    assert len(deal(entries([10] * 100), 0, 1000)) == 100
    assert len(deal(entries([300] * 5000), 250, 1001)) == 1001


@dataclass(frozen=True)
class Planner:
    planned: tuple = field(metadata=PLANNING)
    known: dict = field(metadata=PLANNING)
    needed: int = 7


def test_workers_get_a_stage_without_its_plan():
    assert lean(Planner((1, 2), {"a": 1})) == Planner((), {}, 7)
    letters = Letters(3)
    assert lean(letters) is letters


def test_a_round_is_a_folder_of_its_own_and_closing_it_takes_the_permit_away(tmp_path):
    stage = Letters(5)
    tasks = list(enumerate(stage.tasks()))
    rounds = [Round.write(tmp_path, stage, [tasks[:3], tasks[3:]]) for _ in range(2)]
    assert [each.folder.relative_to(tmp_path).as_posix() for each in rounds] == [
        "run/jobs/letters/0001",
        "run/jobs/letters/0002",
    ]
    order = pickle.loads(order_path(rounds[1].folder, 1).read_bytes())
    assert (order.root, list(order.tasks)) == (tmp_path, [task for _, task in tasks[3:]])
    rounds[1].close()
    assert not (rounds[1].folder / PERMIT).exists()
    assert (rounds[0].folder / PERMIT).exists()


def carry_out(current, rank):
    """Start the process of a rank, which ends with this one."""
    with (current.folder / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", _AS_CHILD, str(current.folder), str(rank)], cwd=REPOSITORY, stdout=log, stderr=log
        )


_AS_CHILD = "import os, sys; sys.argv.append(str(os.getppid())); from mixer.engine.rank import main; main()"


def write(root, stage):
    return Round.write(root, stage, [list(enumerate(stage.tasks()))])


def test_a_journal_tells_what_a_rank_does(tmp_path):
    current = write(tmp_path, Letters(3, {1: "crash"}))
    assert carry_out(current, 0).wait(30) == 1
    current.read(0)
    rank = current.ranks[0]
    assert rank.said_done == {"part/00000", "part/00002"}
    assert rank.crashed == {"part/00001": "ZeroDivisionError: no letters for 1"}
    assert (rank.current, rank.counted.documents) == (None, 10)
    assert "about to crash" in (current.folder / "0.log").read_text()
    assert not current.held(0)


def test_an_error_for_the_user_comes_home_as_it_is(tmp_path):
    current = write(tmp_path, Letters(3, {1: "refuse"}))
    assert carry_out(current, 0).wait(30) == 1
    current.read(0)
    refused = current.ranks[0].refused
    assert (type(refused).__name__, refused.message, refused.remedy) == ("InputError", "file 1 is bad", "mend it")
    assert current.ranks[0].said_done == {"part/00000"}


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def begun(current):
    path = journal_path(current.folder, 0)
    return path.exists() and b"started" in path.read_bytes()


def test_a_rank_whose_permit_is_taken_away_ends_without_a_trace(tmp_path):
    current = write(tmp_path, Letters(2, seconds=1.0))
    process = carry_out(current, 0)
    wait_for(lambda: begun(current))
    assert current.held(0)
    current.close()
    assert process.wait(30) == 1
    assert "is no longer wanted" in (current.folder / "0.log").read_text()
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]
    assert not (tmp_path / "run" / "receipts").exists()


def test_a_second_process_of_one_rank_does_nothing(tmp_path):
    current = write(tmp_path, Letters(1))
    with journal_path(current.folder, 0).open("ab") as journal:
        assert hold(journal)
        assert carry_out(current, 0).wait(30) == 1
    assert "another process is doing rank 0" in (current.folder / "0.log").read_text()
    assert not (tmp_path / "documents").exists()


def test_a_node_with_another_version_of_mixer_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mixer.engine.ranks.__version__", "0.0.1")
    current = write(tmp_path, Letters(1))
    assert carry_out(current, 0).wait(30) == 1
    current.read(0)
    assert current.ranks[0].refused.message.endswith("this build is of mixer 0.0.1")
