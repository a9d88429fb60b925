"""The engine for one machine: every task in a process of its own, some at once, none left behind.

Workers are forked from a server that has imported everything heavy (``preload``). The engine sleeps until a worker
speaks or ends, believes only receipts, tries a task that crashed or was killed once more, and lets the other tasks
go on meanwhile. SIGINT and SIGTERM are noted when they come and obeyed between two steps, so that there is never a
worker the engine does not know of.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from mixer.engine import server, worker
from mixer.engine.disk import full_disk
from mixer.engine.display import Display, Failure, Snapshot
from mixer.engine.ledger import Ledger
from mixer.engine.outputs import remove_temporaries
from mixer.engine.receipts import discard
from mixer.engine.signals import Signals
from mixer.engine.stage import Receipt, Stage, StageReport, Task, lean
from mixer.errors import MixerError, TaskError
from mixer.storage import Root, modules, workplace

ATTEMPTS = 2
"""How often a task that crashes or is killed is started before it is given up."""
TICK_SECONDS = 0.2
"""The longest sleep: how late a signal may be obeyed."""
LOST = 255
"""Exit code that ``multiprocessing`` makes up when the fork server ended and the worker's own is unknown."""


@dataclass
class Attempt:
    """One start of one task."""

    index: int
    task: Task
    number: int
    process: Any
    channel: Connection
    log: Path
    open: bool = True
    counted: worker.Counted = field(default_factory=worker.Counted)
    error: MixerError | None = None
    summary: str = ""

    def listen(self) -> None:
        """Take in every message that has arrived."""
        try:
            while self.open and self.channel.poll():
                match self.channel.recv():
                    case worker.Counted() as more:
                        self.counted += more
                    case worker.Refused(error):
                        self.error = error
                    case worker.Crashed(summary):
                        self.summary = summary
        except (EOFError, OSError):
            self.open = False

    def cause(self) -> str:
        """Say why a finished attempt left no receipt."""
        code = self.process.exitcode
        if self.summary:
            return self.summary
        if code == LOST:
            return "lost: the process that starts workers was killed"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code} and without a receipt"

    def kill(self) -> None:
        """End the process, whatever it is doing, and wait until it is gone."""
        self.process.kill()
        self.process.join()
        self.channel.close()
        self.process.close()


@dataclass
class Run:
    """The state of one stage while it runs: tasks to start, with the number of the attempt, and those started."""

    ledger: Ledger
    pickled: bytes
    queue: deque[tuple[int, Task, int]]
    running: list[Attempt] = field(default_factory=list)
    refused: tuple[int, MixerError] | None = None

    def snapshot(self) -> Snapshot:
        """Say where the stage stands."""
        return self.ledger.snapshot((attempt.task, attempt.counted) for attempt in self.running)


class LocalEngine:
    """Runs stages on this machine. Hold ``lock.lock(root)`` around it; close it (or use ``with``) at the end.

    Parameters
    ----------
    root
        The build directory.
    workers
        Processes at once.
    display
        Is told how stages proceed.
    preload
        Modules that workers are to find imported; they must not start threads. Only an optimisation, and without
        effect if this process has started a fork server before.
    warm
        The same for what takes calls to set up: functions without arguments that pickle, see ``server.start``.
    """

    def __init__(
        self,
        root: Root,
        workers: int,
        display: Display,
        preload: Sequence[str] = (),
        warm: Sequence[Callable[[], object]] = (),
    ) -> None:
        if workers < 1:
            raise ValueError("workers must be at least 1")
        self.root = root.absolute()
        self.workers = workers
        self.display = display
        self.reports: list[StageReport] = []
        self._preload = [*preload, *modules(root)]
        self._warm = warm

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None or issubclass(kind, Exception):  # who is interrupted does not wait: it ends with the process
            self.close()

    def evict(self) -> None:
        """Do nothing: workers end with their engine."""

    def close(self) -> None:
        """End the fork server; after that the CPU time of all workers is in this process's RUSAGE_CHILDREN."""
        server.stop()

    def run(self, stage: Stage) -> list[Receipt]:
        """Run the tasks of a stage that are not done yet.

        Returns
        -------
        list of Receipt
            One per task, in the order of ``stage.tasks()``.

        Raises
        ------
        MixerError
            What a task raised; tasks running at that moment are finished, no new ones are started.
        DiskError
            The disk has less space than the missing tasks are going to write.
        TaskError
            Tasks crashed or were killed twice; all others are finished.
        KeyboardInterrupt, SystemExit
            SIGINT or SIGTERM (code 143) came; every worker has ended.
        """
        with Signals() as signals:
            run = self._begin(stage)
            self.display.start(stage.name, len(run.ledger.tasks), run.ledger.skipped)
            report = None
            try:
                if run.queue:
                    server.start(self._preload, self._warm, signals.obey)
                self._loop(run, signals)
                receipts, report = run.ledger.close()
                self.reports.append(report)
                return receipts
            finally:
                for attempt in run.running:
                    attempt.kill()
                if report is None:
                    remove_temporaries(self.root)
                self.display.finish(report)

    def _begin(self, stage: Stage) -> Run:
        if not self.reports:
            remove_temporaries(self.root)
        ledger = Ledger.open(self.root, stage)
        queue = deque((place, task, 1) for place, task in ledger.missing())
        return Run(ledger, pickle.dumps(lean(stage)), queue)

    def _loop(self, run: Run, signals: Signals) -> None:
        while run.queue or run.running:
            signals.obey()
            while run.queue and len(run.running) < self.workers:
                run.running.append(self._start(run, *run.queue.popleft()))
            sources: list[Any] = [attempt.channel for attempt in run.running if attempt.open]
            ended = set(wait([*sources, *(attempt.process.sentinel for attempt in run.running)], TICK_SECONDS))
            for attempt in list(run.running):
                over = attempt.process.sentinel in ended
                attempt.listen()
                if over:
                    run.running.remove(attempt)
                    self._settle(run, attempt)
            self.display.update(run.snapshot())
        signals.obey()
        if run.refused:
            raise run.refused[1]
        if run.ledger.failures:
            raise self._failed(run.ledger)

    def _start(self, run: Run, index: int, task: Task, number: int) -> Attempt:
        stage = run.ledger.stage.name
        log = workplace(self.root) / "logs" / stage / f"{task.id}.log"
        if number == 1:
            if task.id in run.ledger.stale:
                discard(self.root, stage, task.id)
            with full_disk(log):
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_bytes(b"")
        order = worker.Order(self.root, run.pickled, pickle.dumps(task), log)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = server.launch(worker.main, (order, theirs), f"{stage} {task.id}")
        theirs.close()
        return Attempt(index, task, number, process, ours, log)

    def _settle(self, run: Run, attempt: Attempt) -> None:
        """Take the receipt of an attempt that has ended, or decide what comes instead."""
        task, process = attempt.task, attempt.process
        process.join()
        attempt.listen()
        if process.exitcode == LOST:
            # The fork server ended first: make sure that its worker is no longer writing.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            while attempt.open and wait([attempt.channel], TICK_SECONDS * 10):
                attempt.listen()
        cause = attempt.cause()
        process.close()
        attempt.channel.close()
        where = f"{run.ledger.stage.name}: task {task.id}"
        if run.ledger.take(attempt.index):
            if attempt.number == 1 and not attempt.log.stat().st_size:
                attempt.log.unlink()
        elif attempt.error:
            self.display.note(f"{where}: {attempt.error.message}")
            run.queue.clear()
            if run.refused is None or attempt.index < run.refused[0]:
                run.refused = attempt.index, attempt.error
        elif attempt.number < ATTEMPTS and not run.refused:
            self.display.note(f"{where}: {cause}; it is tried once more")
            run.queue.append((attempt.index, task, attempt.number + 1))
        else:
            self.display.note(f"{where}: {cause}; see {attempt.log}")
            run.ledger.failures[task.id] = Failure(task.id, cause, attempt.log)

    def _failed(self, ledger: Ledger) -> TaskError:
        failures = sorted(ledger.failures.values(), key=lambda failure: failure.task)
        causes = "".join(f"\n  {failure.task}: {failure.cause}; see {failure.log}" for failure in failures)
        killed = any("SIGKILL" in failure.cause for failure in failures)
        return TaskError(
            f"stage {ledger.stage.name}: {len(failures)} of {len(ledger.tasks)} tasks failed {ATTEMPTS} times:{causes}",
            ("SIGKILL is what a machine out of memory sends: use fewer --workers. " if killed else "")
            + "Run the same command again: it goes on where it stopped, with the failed tasks",
        )
