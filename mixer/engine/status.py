"""Where a build stands, for whoever asks from outside: written while it runs, read without a lock.

``run/status.json`` decides nothing; it is for people. It is the one file of a build with times and hosts. For a build
in an object store it lies in the folder of this machine that serves it.
"""

import contextlib
import os
import signal
import socket
import time
from types import TracebackType
from typing import Self

import msgspec

from mixer.engine.display import Display, Snapshot
from mixer.engine.stage import StageReport
from mixer.storage import Root, complete, workplace

STATUS = "status.json"
WRITE_SECONDS = 2.0
"""Between two writings at most."""
SHOWN = 10
"""Failures of a stage that are kept with their causes."""


class FailureStatus(msgspec.Struct):
    """A task that has failed and is not done: why, and the file that took what it printed."""

    task: str
    cause: str
    log: str


class StageStatus(msgspec.Struct):
    """Where one stage stands; ``state`` is ``running``, ``done`` or ``stopped``."""

    name: str
    tasks: int
    done: int
    state: str = "running"
    running: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    failed: int = 0
    failures: list[FailureStatus] = []


class BuildStatus(msgspec.Struct):
    """Where a build stands.

    ``state`` is ``running``, ``done``, ``interrupted`` or what the error said; ``job`` is Slurm's id of the job that
    drives it, ``updated`` the time of writing in seconds since 1970.
    """

    engine: str
    host: str
    process: int
    job: str
    updated: float
    state: str = "running"
    stages: list[StageStatus] = []
    note: str = ""

    @property
    def lives(self) -> bool | None:
        """Whether the process that wrote this is there; None if that cannot be said from this machine."""
        if self.state != "running":
            return False
        if self.host != socket.gethostname():
            return None
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


class Recorder:
    """A display that passes everything on to another and writes down where the build stands; use ``with``."""

    def __init__(self, root: Root, engine: str, display: Display) -> None:
        self._root = root
        self._display = display
        self._status = BuildStatus(engine, socket.gethostname(), os.getpid(), os.environ.get("SLURM_JOB_ID", ""), 0.0)
        self._next = 0.0

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._status.state = "done"
        else:
            interrupted = issubclass(kind, KeyboardInterrupt | SystemExit)
            self._status.state = "interrupted" if interrupted else f"failed: {error}".partition("\n")[0]
        self._write()

    def start(self, stage: str, tasks: int, skipped: int) -> None:
        """Begin a stage."""
        self._status.stages.append(StageStatus(stage, tasks, skipped))
        self._write()
        self._display.start(stage, tasks, skipped)

    def update(self, snapshot: Snapshot) -> None:
        """Write where the stage stands, now and then."""
        stage = self._status.stages[-1]
        stage.done, stage.running, stage.seconds = snapshot.done, snapshot.running, snapshot.seconds
        stage.seconds_left = snapshot.seconds_left
        stage.failed = len(snapshot.failures)
        stage.failures = [FailureStatus(each.task, each.cause, str(each.log)) for each in snapshot.failures[:SHOWN]]
        if time.monotonic() >= self._next:
            self._write()
        self._display.update(snapshot)

    def note(self, text: str) -> None:
        """Keep the last thing that was said."""
        self._status.note = text
        self._write()
        self._display.note(text)

    def finish(self, report: StageReport | None) -> None:
        """End the stage."""
        stage = self._status.stages[-1]
        stage.running, stage.seconds_left = 0, None
        stage.state = "done" if report else "stopped"
        if report:
            stage.done, stage.seconds = report.ran + report.skipped, report.seconds
            stage.failed, stage.failures = 0, []
        self._write()
        self._display.finish(report)

    def _write(self) -> None:
        self._status.updated = time.time()
        self._next = time.monotonic() + WRITE_SECONDS
        # What cannot be written here is no reason to stop: where it matters, it is said.
        with contextlib.suppress(OSError), complete(workplace(self._root) / STATUS) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self._status)) + b"\n")


def read_status(root: Root) -> BuildStatus | None:
    """Read where the build in ``root`` stands; None if nothing says so."""
    try:
        return msgspec.json.decode((workplace(root) / STATUS).read_bytes(), type=BuildStatus)
    except (OSError, msgspec.DecodeError):
        return None


def interrupt(status: BuildStatus) -> bool:
    """Send SIGTERM to the process that builds, if it is one of this machine; return whether it was sent."""
    if not status.lives:
        return False
    os.kill(status.process, signal.SIGTERM)
    return True
