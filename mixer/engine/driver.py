"""The job that drives a build on Slurm: the command that starts it may be left and taken up again.

The process that runs the stages one after the other, mixes and verifies is a small job itself. The command submits it,
or finds that it is there already, and then only shows what it writes.
"""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixer.engine.settings import SlurmSettings
from mixer.engine.slurmctl import (
    DRIVER,
    array_jobs,
    cancel,
    drivers_of,
    environment_of,
    exit_code,
    job_name,
    jobs_of,
    offers,
    submit,
)
from mixer.errors import TaskError, UsageError
from mixer.storage import Root, workplace

LOGS = "driver"
LOOK_SECONDS = 1.0
WAITING_SECONDS = 30.0
"""After so long in the queue the user is told what Slurm says the job waits for."""
TAIL_BYTES = 2000
"""What somebody who comes back sees of the log."""

Show = Callable[[str], None]
"""Shows text as it is."""


def drive(root: Root, settings: SlurmSettings, command: Sequence[str], results: Show, messages: Show) -> int:
    """Start the job that drives the build in ``root``, or find it, and follow it to its end.

    Parameters
    ----------
    root
        The build directory.
    settings
        How to submit it.
    command
        What it is to run, behind ``python``.
    results, messages
        Get what the job writes to standard output, and to standard error; messages also what happens to it.

    Returns
    -------
    The exit code of the job.

    Raises
    ------
    UsageError
        Slurm refuses the job, or will never start it.
    KeyboardInterrupt
        Ctrl-C came; the job goes on.
    """
    root = root.absolute()
    living = next((job for job in drivers_of(root) if job.state != "COMPLETING"), None)
    if living:
        messages(f"job {living.id} is driving this build; this is what it says\n")
        job = living.id
    else:
        job = _submit(root, settings, command)
        messages(f"job {job} drives this build; Ctrl-C leaves it running\n")
    try:
        return _follow(root, settings, job, results, messages, back=living is not None)
    except KeyboardInterrupt:
        messages(
            f"\nleft: job {job} goes on. `mixer status {root}` says how far it is, `mixer stop {root}` stops it, and "
            "the same command follows it again\n"
        )
        raise


def stop(root: Root) -> bool:
    """Stop the job that drives the build in ``root``, and every other of it; return whether there was any."""
    root = root.absolute()
    found = bool(jobs_of(root))
    cancel(root, drivers_of)  # first: it ends the others itself, and would otherwise start them again
    cancel(root)
    return found


def _submit(root: Root, settings: SlurmSettings, command: Sequence[str]) -> str:
    folder = workplace(root) / LOGS
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "job-name": job_name(root, DRIVER),
        "output": folder / "%j.out",
        "error": folder / "%j.err",
        "partition": settings.driver_partition or settings.partition,
        "time": settings.driver_time,
        "mem": f"{round(settings.driver_memory_gb * 1000)}M",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": settings.driver_cpus,
        "account": settings.account,
        "qos": settings.qos,
        "chdir": Path.cwd(),
        "export": "ALL",
        "no-requeue": "",
        **settings.sbatch,
    }
    arguments = [f"--{key}={value}" if value != "" else f"--{key}" for key, value in given.items() if value is not None]
    # As the batch script's own process: Slurm tells it first when the job is to end.
    script = f"#!/bin/bash\n{environment_of(settings.environment)}\nexec python {shlex.join(command)}\n"
    return submit(arguments, script)


@dataclass
class _Log:
    """A growing file, shown as far as it has grown."""

    path: Path
    show: Show
    offset: int = field(default=0)

    def skip(self) -> None:
        """Leave out what is long past."""
        if self.path.exists():
            self.offset = max(0, self.path.stat().st_size - TAIL_BYTES)

    def more(self) -> None:
        """Show what is new."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return
        self.offset += len(text)
        if text:
            self.show(text.decode(errors="replace"))


def _follow(root: Root, settings: SlurmSettings, job: str, results: Show, messages: Show, *, back: bool) -> int:
    logs = [_Log(workplace(root) / LOGS / f"{job}.err", messages), _Log(workplace(root) / LOGS / f"{job}.out", results)]
    if back:
        logs[0].skip()
    began, told = time.monotonic(), ""
    while True:
        found = array_jobs(job)
        for log in logs:
            log.more()
        state = found[0] if found else None
        if found is not None and (state is None or state.over):
            break
        if state and not state.running and time.monotonic() > began + WAITING_SECONDS:
            if state.never:
                cancel(root, drivers_of)
                raise UsageError(
                    f"Slurm will never start the job that drives the build: {state.reason}",
                    f"change `engine.slurm` in the recipe; there is: {offers(settings.driver_partition)}",
                )
            if state.reason != told:
                told = state.reason
                messages(f"job {job} is waiting: Slurm says {told}\n")
        time.sleep(LOOK_SECONDS)
    code = exit_code(job)
    written = any(log.path.exists() for log in logs)
    if code is None or (code and not written):
        raise TaskError(
            f"job {job}, which drove the build, has ended ({state.state if state else 'Slurm forgot it'})"
            + ("" if written else f" and left no log in {workplace(root) / LOGS}: do the nodes share that folder?"),
            "run the same command again: it goes on where it stopped",
        )
    if code and state and state.state != "FAILED":
        messages(f"job {job} has ended: {state.state}; the same command goes on where it stopped\n")
    return code
