"""What `mixer status` shows: stage by stage how far a build is, and what has failed, with the end of its log."""

import time
from pathlib import Path

from rich.markup import escape

from mixer.engine.cluster import last_lines
from mixer.engine.display import duration
from mixer.engine.status import BuildStatus, StageStatus
from mixer.screens.tables import console, table
from mixer.storage import Root

LINES = 5
"""Last lines of a log that are shown."""
FAILURES = 5
"""Failures of a stage that are shown with their logs."""


def show_status(root: Root, status: BuildStatus, jobs: dict[str, int] | None) -> None:
    """Print where the build in ``root`` stands.

    Parameters
    ----------
    jobs
        Living jobs of a cluster by state; None if nobody was asked.
    """
    screen = console()
    screen.print(f"{root}: {_life(status, jobs)}", markup=False, soft_wrap=True)
    rows = table("stage", ">tasks", ">done", ">running", ">failed", "state", ">time", ">left")
    for stage in status.stages:
        rows.add_row(
            stage.name,
            f"{stage.tasks:,}",
            f"{stage.done:,}",
            f"{stage.running:,}" if stage.running else "",
            f"{stage.failed:,}" if stage.failed else "",
            _state(status, stage),
            duration(stage.seconds),
            "" if stage.seconds_left is None else duration(stage.seconds_left),
        )
    if status.stages:
        screen.print(rows)
    for stage in status.stages:
        for failure in stage.failures[:FAILURES]:
            screen.print(f"[red]{escape(stage.name)}: task {escape(failure.task)}: {escape(failure.cause)}[/]")
            screen.print(f"  {failure.log}", markup=False, soft_wrap=True)
            for line in last_lines(Path(failure.log), LINES):
                screen.print(f"    {line}", markup=False, soft_wrap=True)
        if stage.failed > FAILURES:
            screen.print(f"{stage.name}: {stage.failed - FAILURES:,} tasks more have failed")
    if status.note:
        screen.print(f"last said: {status.note}", markup=False, soft_wrap=True)


def _life(status: BuildStatus, jobs: dict[str, int] | None) -> str:
    by = f"engine {status.engine}, " + (f"job {status.job}" if status.job else f"process {status.process}")
    heard = f"last heard of {duration(max(0.0, time.time() - status.updated))} ago"
    queue = ", ".join(f"{count} {state.lower()}" for state, count in sorted((jobs or {}).items()))
    queue = f"; jobs: {queue}" if queue else ""
    if status.state != "running":
        return f"{status.state} ({by}, {heard}){queue}"
    gone = status.lives is False or (jobs is not None and status.job and not jobs)
    if gone:
        return f"stopped without a word ({by} on {status.host}, {heard}){queue}; the same command goes on with it"
    busy = not status.stages or any(stage.state == "running" for stage in status.stages)
    what = "building" if busy else "between stages, or mixing and verifying"
    return f"{what} ({by} on {status.host}, {heard}){queue}"


def _state(status: BuildStatus, stage: StageStatus) -> str:
    return "stopped" if stage.state == "running" and status.lives is False else stage.state
