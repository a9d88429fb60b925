"""The quickstart on Slurm and on Ray, disturbed on the way: the same bytes as undisturbed on one machine."""

import os
import signal
from types import SimpleNamespace

import pytest

from benchmarks.kill_trial import differences, tree
from tests.cluster.tools import alive, at_work, end, in_hand, journals_at_work, parent, python, wait_until

BUILD = ("mixer.cli", "build", "quickstart", "--limit", "60", "--almr", "0.33")
SLURM = ("--engine", "slurm", "--set", "engine.slurm.partition=main", "--set", "engine.slurm.memory_gb=1.5")
DRIVER = ("--set", "engine.slurm.driver_memory_gb=1.5", "--set", "engine.slurm.driver_time=00:30:00")
SMALL = ("--set", "engine.worth_mb=1")


NOWHERE = SimpleNamespace(environment={})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "out"
    end(python(NOWHERE, *BUILD, "--out", str(out), "--workers", "2"))
    return out


def same(out, reference):
    """Compare two builds, but for the absolute paths in what is for Megatron."""
    found, wanted = tree(out), tree(reference)
    for name in ("megatron/args.txt", "megatron/blend.json"):
        texts = [(root / name).read_text().replace(str(root), "OUT") for root in (out, reference)]
        assert texts[0] == texts[1]
        del found[name], wanted[name]
    assert differences(found, wanted) == []


def kill_one(build, out, kill):
    """Kill something of a rank at work, until a task is lost by it: it may just have ended."""

    def lost():
        assert build.poll() is None, build.communicate()[0]
        for journal in journals_at_work(out)[:1]:
            process = in_hand(journal)
            if process:
                kill(process)
                wait_until(lambda: not alive(process))  # noqa: B023 (called at once)
                return in_hand(journal) == process
        return False

    wait_until(lost)


def test_slurm_builds_what_one_machine_builds_though_tasks_daemons_and_the_driver_are_killed(
    slurm, reference, tmp_path
):
    out = tmp_path / "out"
    command = (*BUILD, *SLURM, *DRIVER, *SMALL, "--out", str(out))
    build = python(slurm, *command)
    kill_one(build, out, lambda process: os.kill(process, signal.SIGKILL))
    # A node's daemon dies, and comes back.
    slurm.kill_node("mixer2")
    slurm.up()
    # The user leaves; the jobs go on.
    build.send_signal(signal.SIGINT)
    output = end(build, 130)
    assert "left: job " in output
    assert f"`mixer stop {out}` stops it" in output
    assert [job for job in slurm.jobs() if job[1].endswith("-driver")]
    status = end(python(slurm, "mixer.cli", "status", str(out)))
    assert "building (engine slurm, job " in status
    assert "prepare" in status
    # The driver's job is killed, and others of it may be left.
    driver = next(job[0] for job in slurm.jobs() if job[1].endswith("-driver"))
    slurm.kill_job(driver)
    wait_until(lambda: not [job for job in slurm.jobs() if job[0] == driver and job[2] == "RUNNING"])
    # The same command takes it up, and a second one follows the first.
    build = python(slurm, *command)
    wait_until(lambda: [job for job in slurm.jobs() if job[1].endswith("-driver") and job[0] != driver])
    follower = python(slurm, *command)
    output = end(build)
    assert "verified: " in output
    assert "is driving this build; this is what it says" in end(follower)
    same(out, reference)
    assert "done (engine slurm, job " in end(python(slurm, "mixer.cli", "status", str(out)))
    wait_until(lambda: not slurm.jobs())


def test_a_build_on_slurm_is_stopped_with_every_job_of_it(slurm, tmp_path):
    out = tmp_path / "out"
    build = python(slurm, *BUILD, *SLURM, *DRIVER, *SMALL, "--out", str(out))
    wait_until(lambda: at_work(out))
    assert "every job of it is cancelled" in end(python(slurm, "mixer.cli", "stop", str(out)))
    assert slurm.jobs() == []
    assert "CANCELLED" in build.communicate(timeout=30)[0]
    assert build.returncode != 0
    assert "interrupted (engine slurm" in end(python(slurm, "mixer.cli", "status", str(out)))


def test_what_slurm_refuses_is_said_before_anything_is_submitted(slurm, tmp_path):
    output = end(
        python(
            slurm, *BUILD, "--engine", "slurm", "--out", str(tmp_path / "out"), "--set", "engine.slurm.partition=nosuch"
        ),
        2,
    )
    assert "Slurm refuses a job of partition nosuch" in output
    assert slurm.jobs() == []


def test_ray_builds_what_one_machine_builds_though_processes_and_the_command_are_killed(ray, reference, tmp_path):
    out = tmp_path / "out"
    cluster = ("--engine", "ray", "--set", f"engine.ray.address={ray.address}", "--set", "engine.ray.memory_gb=0.5")
    command = (*BUILD, *cluster, *SMALL, "--out", str(out))
    build = python(ray, *command)
    kill_one(build, out, lambda process: os.kill(process, signal.SIGKILL))
    kill_one(build, out, lambda process: os.kill(parent(process), signal.SIGKILL))
    wait_until(lambda: at_work(out))
    build.kill()
    build.communicate()
    assert "stopped without a word (engine ray, process " in end(python(ray, "mixer.cli", "status", str(out)))
    output = end(python(ray, *command))
    assert "verified: " in output
    same(out, reference)
