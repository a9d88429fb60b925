"""What is made of the answers of Slurm's commands; the commands here are made up."""

import os

import pytest

from mixer.engine import slurmctl
from mixer.engine.slurmctl import array_jobs, drivers_of, environment_of, job_name, jobs_of, offers, scrubbed, trial
from mixer.errors import UsageError


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Put commands on the path that answer as they are told: ``commands("squeue", "echo ...")``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def command(name, script):
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    return command


def test_jobs_of_an_array(commands):
    commands("squeue", "echo '11|10|0|RUNNING|None|mixer-1-prepare'; echo '10_3|10|3|PENDING|PartitionTimeLimit|n'")
    first, second = array_jobs("10")
    assert (first.index, first.running, first.over, first.never) == (0, True, False, False)
    assert (second.id, second.index, second.running, second.never) == ("10_3", 3, False, True)


@pytest.mark.parametrize("state", slurmctl.OVER)
def test_states_that_are_over(commands, state):
    commands("squeue", f"echo '11|10|0|{state}|None|name'")
    assert array_jobs("10")[0].over


def test_an_array_that_slurm_has_forgotten_is_gone_and_a_silent_slurm_says_nothing(commands, monkeypatch):
    commands("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert array_jobs("10") == []
    commands("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert array_jobs("10") is None
    monkeypatch.setattr(slurmctl, "TIMEOUT_SECONDS", 0.1)
    commands("squeue", "exec sleep 60")
    assert array_jobs("10") is None


def test_jobs_of_a_directory_are_known_by_name(commands, tmp_path):
    mine, other = job_name(tmp_path, "prepare"), job_name(tmp_path / "other", "prepare")
    assert mine != other
    (tmp_path / "link").symlink_to(tmp_path)
    assert job_name(tmp_path / "link", "prepare") == mine
    lines = [f"7|7|N/A|RUNNING|None|{job_name(tmp_path, 'driver')}", f"8|8|0|RUNNING|None|{mine}"]
    lines += [f"9|9|0|RUNNING|None|{other}"]
    commands("squeue", "\n".join(f"echo '{line}'" for line in lines))
    assert [job.id for job in jobs_of(tmp_path)] == ["7", "8"]
    assert [job.id for job in drivers_of(tmp_path)] == ["7"]
    commands("squeue", "echo 'no answer' >&2; exit 1")
    with pytest.raises(UsageError, match="Slurm does not say which jobs there are: no answer"):
        jobs_of(tmp_path)


def test_what_a_trial_says(commands):
    commands("sbatch", "exit 0")
    assert trial([]) == ""
    commands("sbatch", "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1")
    assert trial([]) == "Requested node configuration is not available"


def test_offers_name_a_partition_or_all(commands):
    commands("sinfo", "echo 'cpu*|up|4:00:00|8|64|256000+|idle'; echo 'big|up|infinite|1|96|1000000|mixed'")
    cpu, big = (
        "partition cpu (up, time 4:00:00): 8 nodes of 64 cores and 256 GB, idle",
        "partition big (up, time infinite): 1 nodes of 96 cores and 1000 GB, mixed",
    )
    assert offers("cpu") == cpu
    assert offers(None) == offers("nosuch") == f"{cpu}; {big}"


def test_another_job_does_not_take_what_is_ours_for_its_own(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    with scrubbed():
        assert "SLURM_JOB_ID" not in os.environ
        assert os.environ["SLURM_CONF"] == "/etc/slurm.conf"
    assert os.environ["SLURM_JOB_ID"] == "7"


def test_a_job_finds_the_python_that_submitted_it(monkeypatch):
    monkeypatch.setattr("sys.executable", "/home/a b/bin/python")
    assert environment_of("").startswith("export PATH='/home/a b/bin':$PATH; export ")
    assert environment_of("source x").startswith("source x; export ")
    assert "OMP_NUM_THREADS=1" in environment_of("")


def test_without_slurm_it_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="there is no `squeue` here"):
        array_jobs("10")
