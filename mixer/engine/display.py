"""What the user sees while a stage runs: one live line on a terminal, a plain line now and then elsewhere.

The engine tells a display where the stage stands; a display decides when to draw. Speeds here are of this run's text
by the wall clock, all workers together; the closing line adds text per CPU second, which is what ``speed`` means
everywhere else.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mixer.engine.stage import StageReport

LIVE_SECONDS = 0.2
"""Between two drawings on a terminal."""
PLAIN_SECONDS = 10.0
"""Between two plain lines, as in a log file."""


@dataclass(frozen=True)
class Failure:
    """A task that has ended without a receipt: which one, why, and the file that took what it printed."""

    task: str
    cause: str
    log: Path


@dataclass(frozen=True)
class Snapshot:
    """Where a stage stands.

    ``done`` counts finished tasks out of ``tasks``, those of earlier runs included, and ``running`` those in hand; the
    other counts are of this run. ``seconds_left`` is None while nothing can be said. ``failures`` are the last of each
    task that has failed and is not done.
    """

    stage: str
    tasks: int
    done: int
    documents: int
    kept: int
    text_bytes: int
    seconds: float
    fraction: float
    seconds_left: float | None
    running: int = 0
    failures: tuple[Failure, ...] = ()


class Display(Protocol):
    """Follows one stage after the other: ``start``, any number of ``update`` and ``note``, then ``finish``."""

    def start(self, stage: str, tasks: int, skipped: int) -> None:
        """Begin a stage with ``tasks`` tasks in all, ``skipped`` of them done by an earlier run."""

    def update(self, snapshot: Snapshot) -> None:
        """Take notice of progress; called many times a second."""

    def note(self, text: str) -> None:
        """Tell the user something that happened, such as a task that is tried again."""

    def finish(self, report: StageReport | None) -> None:
        """End the stage; without a report if it failed."""


class SilentDisplay:
    """Shows nothing."""

    def start(self, stage: str, tasks: int, skipped: int) -> None:
        """Show nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def finish(self, report: StageReport | None) -> None:
        """Show nothing."""


class PlainDisplay:
    """Writes lines to a stream: one when a stage starts, at most one every ten seconds, one when it ends."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._next = 0.0

    def start(self, stage: str, tasks: int, skipped: int) -> None:
        """Write the opening line."""
        self.note(opening(stage, tasks, skipped))
        self._next = self._clock() + PLAIN_SECONDS

    def update(self, snapshot: Snapshot) -> None:
        """Write a line if the last one is old enough."""
        if self._clock() >= self._next:
            self.note(f"{snapshot.stage}: {standing(snapshot)}")
            self._next = self._clock() + PLAIN_SECONDS

    def note(self, text: str) -> None:
        """Write a line."""
        print(text, file=self._stream, flush=True)

    def finish(self, report: StageReport | None) -> None:
        """Write the closing line."""
        if report:
            self.note(closing(report))


class TerminalDisplay:
    """Draws one live line while a stage runs and leaves its closing line on the screen."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next = 0.0
        self._live: tuple[Progress, TaskID] | None = None

    def start(self, stage: str, tasks: int, skipped: int) -> None:
        """Draw the empty bar."""
        progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[standing]}"),
            console=self._console,
            transient=True,
            auto_refresh=False,  # a thread that draws could be in the way of a fork or of Ctrl-C
        )
        self._live = progress, progress.add_task(stage, total=1.0, standing=f"{skipped:,}/{counted(tasks)}")
        self._next = 0.0
        progress.start()

    def update(self, snapshot: Snapshot) -> None:
        """Draw again if the last drawing is old enough."""
        if self._live and self._clock() >= self._next:
            progress, task = self._live
            progress.update(task, completed=snapshot.fraction, standing=standing(snapshot), refresh=True)
            self._next = self._clock() + LIVE_SECONDS

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def finish(self, report: StageReport | None) -> None:
        """Take the bar away and write the closing line."""
        if self._live:
            self._live[0].stop()
            self._live = None
        if report:
            self.note(closing(report))


def make_display(stream: TextIO | None = None) -> Display:
    """Choose the display that fits ``stream`` (standard error if none is given)."""
    stream = stream or sys.stderr
    console = Console(file=stream)
    return TerminalDisplay(console) if console.is_terminal and not console.is_dumb_terminal else PlainDisplay(stream)


def opening(stage: str, tasks: int, skipped: int) -> str:
    """Say what a stage is about to do."""
    return f"{stage}: {counted(tasks)}" + (f", {skipped:,} already done" if skipped else "")


def standing(snapshot: Snapshot) -> str:
    """Say where a running stage stands."""
    parts = [f"{snapshot.done:,}/{counted(snapshot.tasks)}"]
    if snapshot.documents:
        parts.append(f"{snapshot.documents:,} documents")
    if snapshot.text_bytes and snapshot.seconds > 0:
        parts.append(f"{snapshot.text_bytes / 1e6 / snapshot.seconds:.1f} MB/s")
    if snapshot.kept:
        parts.append(f"{snapshot.kept / snapshot.documents:.1%} kept")
    if snapshot.seconds_left is not None:
        parts.append(f"{duration(snapshot.seconds_left)} left")
    return ", ".join(parts)


def closing(report: StageReport) -> str:
    """Say what a finished stage came to; sums include tasks of earlier runs, the duration does not."""
    tasks = report.ran + report.skipped
    parts = [counted(tasks) + (f" ({report.skipped:,} already done)" if report.skipped else "")]
    if report.documents:
        parts.append(f"{report.documents:,} documents")
    if report.kept:
        parts.append(f"{report.kept / report.documents:.1%} kept")
    if report.text_bytes:
        parts.append(f"{report.text_bytes / 1e6:,.1f} MB")
    if report.text_bytes and report.cpu_seconds:
        parts.append(f"{report.text_bytes / 1e6 / report.cpu_seconds:.1f} MB/s per core")
    return f"{report.stage}: done in {duration(report.seconds)}: " + ", ".join(parts)


def counted(tasks: int) -> str:
    """Write a number of tasks."""
    return f"{tasks:,} task" + "s" * (tasks != 1)


def duration(seconds: float) -> str:
    """Write a duration the way a clock does: ``0:07``, ``12:34``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
