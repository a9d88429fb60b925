"""Slurm's commands, asked and told: sbatch, squeue, scancel, sinfo, scontrol. Knows nothing of stages.

Jobs of a build directory bear a name made from its path, so that they can be found without any file that says so.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from mixer.engine.worker import ONE_THREAD
from mixer.errors import UsageError
from mixer.storage import Root, is_local

TIMEOUT_SECONDS = 30.0
"""How long a command may take to answer."""
GOING_SECONDS = 120.0
"""How long cancelled jobs may take to go: Slurm's KillWait is 30 s by default."""
RUNNING = ("RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
OVER = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
)
"""States of jobs that are gone (squeue's long names)."""
NEVER = (
    "AccountNotAllowed",
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
)
"""Reasons for which a job stays pending for ever."""
HELD = ("JobHeldAdmin", "launch failed requeued held", "launch_failed_requeued_held")
"""Reasons of a job that waits until somebody releases it, since a node could not start it."""


DRIVER = "driver"
"""Ends the name of the job that drives a build."""


@dataclass(frozen=True)
class Job:
    """A job as squeue shows it; ``array`` is the id of the whole array, ``index`` its place in it (or -1)."""

    id: str
    array: str
    index: int
    name: str
    state: str
    reason: str

    @property
    def over(self) -> bool:
        """Whether it is gone, and will not come back."""
        return self.state in OVER

    @property
    def running(self) -> bool:
        """Whether it has a node."""
        return self.state in RUNNING

    @property
    def never(self) -> bool:
        """Whether it is pending for a reason that does not pass."""
        return self.state == "PENDING" and (self.reason in NEVER or "PerJob" in self.reason)


def job_name(root: Root, what: str) -> str:
    """Name a job of the build directory ``root``: ``mixer-1a2b3c4d-prepare``."""
    place = str(root.resolve() if is_local(root) else root)
    return f"mixer-{xxhash.xxh32_hexdigest(place.encode())}-{what}"


def array_jobs(array: str) -> list[Job] | None:
    """Return the jobs of an array that Slurm still knows, those that are over included; None if it does not answer."""
    answer = _ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={array}", f"--format={_FORMAT}")
    if answer.returncode:
        return [] if "Invalid job id" in answer.stderr else None
    return _jobs(answer.stdout)


def jobs_of(root: Root) -> list[Job]:
    """Return this user's jobs for the build directory ``root`` that are not over.

    Raises
    ------
    UsageError
        Slurm does not answer.
    """
    answer = _ask("squeue", "--noheader", "--array", "--me", f"--format={_FORMAT}")
    if answer.returncode:
        raise UsageError(
            f"Slurm does not say which jobs there are: {answer.stderr.strip()}", "see whether `squeue` works here"
        )
    return [job for job in _jobs(answer.stdout) if job.name.startswith(job_name(root, "")) and not job.over]


def drivers_of(root: Root) -> list[Job]:
    """Return the jobs that drive the build in ``root``: one, and others that are on their way out."""
    return [job for job in jobs_of(root) if job.name == job_name(root, DRIVER)]


def arrays_of(root: Root) -> list[Job]:
    """Return the living jobs of ``root`` that do tasks."""
    return [job for job in jobs_of(root) if job.name != job_name(root, DRIVER)]


def drop(job: Job) -> None:
    """Cancel a job that has not started."""
    _ask("scancel", job.id)


def cancel(root: Root, jobs: Callable[[Root], Sequence[Job]] = arrays_of) -> None:
    """Cancel jobs of ``root``, those that do tasks or others, and wait until none is left.

    Raises
    ------
    UsageError
        They do not go.
    """
    deadline = time.monotonic() + GOING_SECONDS
    while living := jobs(root):
        arrays = sorted({job.array for job in living})
        if time.monotonic() > deadline:
            raise UsageError(
                f"jobs {', '.join(arrays)} do not end although they are cancelled",
                "ask the site's administrator; nothing may write here before they are gone",
            )
        _ask("scancel", *arrays)
        for _ in range(20):
            time.sleep(0.5)
            if not jobs(root):
                break


def trial(arguments: Sequence[str]) -> str:
    """Have Slurm judge a job without submitting it; return what it has against it, or nothing."""
    with tempfile.NamedTemporaryFile("w", prefix="mixer-", suffix=".sh") as script, scrubbed():
        script.write("#!/bin/bash\ntrue\n")
        script.flush()
        answer = _ask("sbatch", "--test-only", *arguments, script.name)
    if not answer.returncode:
        return ""
    said = [line.split(":", 2)[-1].strip() for line in answer.stderr.splitlines() if "Try" not in line]
    return "; ".join(dict.fromkeys(said)) or f"exit code {answer.returncode}"


def submit(arguments: Sequence[str], script: str) -> str:
    """Submit a batch script and return the job's id.

    Raises
    ------
    UsageError
        Slurm refuses it.
    """
    with tempfile.NamedTemporaryFile("w", prefix="mixer-", suffix=".sh") as file, scrubbed():
        file.write(script)
        file.flush()
        answer = _ask("sbatch", "--parsable", *arguments, file.name)
    if answer.returncode:
        raise UsageError(f"Slurm refuses a job: {answer.stderr.strip()}", "change `engine.slurm` in the recipe")
    return answer.stdout.strip().partition(";")[0]


def exit_code(job: str) -> int | None:
    """Return the exit code of a job that is over, 1 if it was killed; None if Slurm no longer knows it."""
    for word in _ask("scontrol", "--oneliner", "show", "job", job).stdout.split():
        if word.startswith("ExitCode="):
            code, _, signal = word.removeprefix("ExitCode=").partition(":")
            return 1 if int(signal or 0) else int(code)
    return None


def offers(partition: str | None) -> str:
    """Say what nodes there are, in one line."""
    lines = _ask("sinfo", "--noheader", "--format=%P|%a|%l|%D|%c|%m|%T").stdout.splitlines()
    found = []
    for line in lines:
        name, up, limit, nodes, cores, memory, state = line.split("|")
        if partition in (None, name.rstrip("*")) or not any(
            other.split("|")[0].rstrip("*") == partition for other in lines
        ):
            found.append(
                f"partition {name.rstrip('*')} ({up}, time {limit}): {nodes} nodes of {cores} cores and "
                f"{float(memory.rstrip('+')) / 1000:g} GB, {state}"
            )
    return "; ".join(found) or "no partition"


def largest_array() -> int:
    """Return how many jobs an array may have at this site (``MaxArraySize``), 1000 if it does not say."""
    for line in _ask("scontrol", "show", "config").stdout.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize":
            return max(1, int(value))
    return 1000


def environment_of(command: str) -> str:
    """Return the shell commands that come before mixer's own in a job."""
    own = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    exports = " ".join(f"{name}={value}" for name, value in ONE_THREAD.items())
    return f"{command or own}; export {exports}"


@contextlib.contextmanager
def scrubbed() -> Iterator[None]:
    """Take away what Slurm has put into the environment of this job: another job must not take it for its own."""
    kept = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS")
    own = {name: value for name, value in os.environ.items() if name.startswith("SLURM_") and name not in kept}
    for name in own:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(own)


_FORMAT = "%i|%F|%K|%T|%r|%j"


def _jobs(text: str) -> list[Job]:
    jobs = []
    for line in text.splitlines():
        id_, array, index, state, reason, name = line.split("|", 5)
        jobs.append(Job(id_, array, int(index) if index.isdigit() else -1, name, state, reason))
    return jobs


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm's; one that hangs or cannot be run has failed.

    Raises
    ------
    UsageError
        Slurm is not installed here.
    """
    if shutil.which(command[0]) is None:
        raise UsageError(
            f"there is no `{command[0]}` here, so no Slurm", "run this where Slurm's commands are, or choose `--engine`"
        )
    try:
        # In a session of its own: Ctrl-C is for us, and we decide what becomes of jobs.
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {TIMEOUT_SECONDS:g} s")
