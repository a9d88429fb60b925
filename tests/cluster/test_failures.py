"""What goes wrong on a cluster: it ends well, or loudly, and nothing of ours is left behind."""

import os
import signal
import time

import pytest

from tests.cluster.tools import (
    alive,
    at_work,
    end,
    expected,
    letters,
    parent,
    rounds,
    run,
    start,
    wait_until,
)


@pytest.fixture(params=["slurm", "ray"])
def cluster(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "out"


def nothing_left(cluster):
    """Jobs take a moment to leave Slurm's queue, since nobody waits for those that are done."""
    if hasattr(cluster, "jobs"):
        wait_until(lambda: not cluster.jobs())


def test_many_tasks_share_few_processes(cluster, root):
    output = run(cluster, root, {"count": 12}, worth_mb=0.006)
    assert "12 receipts" in output
    assert letters(root) == expected(12)
    assert len(list((root / "run" / "jobs" / "letters" / "0001" / "journals").iterdir())) == 3


def test_a_killed_task_is_done_again_and_the_rest_of_its_rank_with_it(cluster, root):
    output = run(cluster, root, {"count": 6, "orders": {"1": "once kill"}})
    assert "letters: task part/00001: rank " in output
    assert "it is tried again" in output
    assert "6 receipts" in output
    assert letters(root) == expected(6)
    assert rounds(root) == 2
    nothing_left(cluster)


def test_a_task_that_raises_fails_the_stage_after_all_others_are_done(cluster, root):
    output = run(cluster, root, {"count": 5, "orders": {"2": "crash", "4": "kill"}}, code=1, attempts=2)
    assert "TaskError: stage letters: 2 of 5 tasks failed 2 times:" in output
    assert "ZeroDivisionError: no letters for 2" in output
    assert "about to crash" in output  # what the task printed is among the log's last lines
    assert str(root / "run" / "jobs" / "letters" / "0002") in output
    assert sorted(letters(root)) == ["00000.txt", "00001.txt", "00003.txt"]
    nothing_left(cluster)
    run(cluster, root, {"count": 5})
    assert letters(root) == expected(5)


def test_an_error_of_the_users_is_carried_home_and_not_tried_again(cluster, root):
    output = run(cluster, root, {"count": 5, "orders": {"3": "refuse"}}, code=1)
    assert "InputError: file 3 is bad\n  remedy: mend it" in output
    assert rounds(root) == 1
    nothing_left(cluster)


def test_what_no_node_can_hold_is_said_within_a_minute(cluster, root):
    began = time.monotonic()
    output = run(cluster, root, {"count": 2}, code=2, own={"memory_gb": 64, "cpus": 1})
    assert "64 GB" in output
    assert "there is: " in output
    assert time.monotonic() < began + 60
    nothing_left(cluster)


@pytest.mark.parametrize(
    ("own", "message", "offer"),
    [
        ({"partition": "nosuch"}, "nvalid partition", "partition short (up, time 10:00): "),
        ({"partition": "short", "time": "1:00:00"}, "PartitionTimeLimit", "partition short (up, time 10:00): "),
        ({"sbatch": {"constraint": "gpu"}}, "Invalid feature specification", "partition main (up, time infinite): "),
    ],
)
def test_what_slurm_will_never_start_is_said_within_a_minute(slurm, root, own, message, offer):
    began = time.monotonic()
    output = run(slurm, root, {"count": 2}, code=2, own=own)
    assert message in output
    assert offer in output
    assert time.monotonic() < began + 60
    nothing_left(slurm)


def gates(count):
    """Orders for tasks that wait until their gate is opened."""
    return {str(number): "gate" for number in range(count)}


def open_gates(root, numbers):
    for number in numbers:
        (root.parent / "flags" / f"{number}.open").touch()


def test_a_killed_parent_leaves_nothing_that_the_next_command_does_not_end(cluster, root):
    stage = {"count": 8, "orders": gates(8)}
    process = start(cluster, root, stage)
    left = wait_until(lambda: (found := at_work(root))[1:] and found)
    process.kill()
    process.communicate()
    open_gates(root, range(8))
    output = run(cluster, root, stage)
    assert "8 receipts" in output
    assert not [pid for pid in left if alive(pid)]
    assert letters(root) == expected(8)
    nothing_left(cluster)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_takes_its_processes_with_it(cluster, root, number):
    process = start(cluster, root, {"count": 6, "orders": gates(6)})
    left = wait_until(lambda: (found := at_work(root))[1:] and found)
    process.send_signal(number)
    end(process, 128 + number)
    wait_until(lambda: not [pid for pid in left if alive(pid)])
    nothing_left(cluster)
    assert letters(root) == {}
    assert not list(root.rglob("*.tmp"))


def test_a_node_that_is_lost_and_comes_back_changes_nothing(slurm, root):
    """Its daemon dies, so Slurm gives its jobs up; their processes live on, and find that they are not wanted."""
    process = start(slurm, root, {"count": 4, "orders": gates(4)}, worth_mb=0, at_once=4)
    lost = wait_until(lambda: (found := at_work(root))[3:] and found)
    nodes = {job[0]: job[3] for job in slurm.jobs() if job[2] == "RUNNING"}
    node = sorted(nodes.values())[-1]
    slurm.kill_node(node)
    slurm.lose(node)
    try:
        # The largest task is the first rank's: task 3 is rank 0's.
        ranks = {int(name.rpartition("_")[2]): where for name, where in nodes.items() if "_" in name}
        open_gates(root, [3 - rank for rank, where in ranks.items() if where != node])
        first = root / "run" / "jobs" / "letters" / "0001"
        wait_until(lambda: not (first / "permit").exists())
        open_gates(root, range(4))
        output = end(process)
    finally:
        slurm.up()
    assert "NODE_FAIL" in output
    assert "4 receipts" in output
    assert letters(root) == expected(4)
    assert rounds(root) == 2
    logs = [path.read_text() for path in (first / "slurm").iterdir()]
    assert sum("is no longer wanted" in log for log in logs) == list(nodes.values()).count(node) == 2
    assert not [pid for pid in lost if alive(pid)]
    nothing_left(slurm)


def test_the_process_of_rays_that_watches_a_rank_is_killed(ray, root):
    process = start(ray, root, {"count": 4, "orders": gates(4)})
    inner = wait_until(lambda: at_work(root))[0]
    os.kill(parent(inner), signal.SIGKILL)
    wait_until(lambda: not alive(inner))
    open_gates(root, range(4))
    output = end(process)
    assert "4 receipts" in output
    assert "it is tried again" in output
    assert letters(root) == expected(4)
