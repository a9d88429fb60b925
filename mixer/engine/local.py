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
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from mixer.engine import server, worker
from mixer.engine.disk import check_free, full_disk
from mixer.engine.display import Display, Snapshot
from mixer.engine.outputs import remove_temporaries
from mixer.engine.receipts import discard, finished, prune, take_stock
from mixer.engine.signals import Signals
from mixer.engine.stage import Receipt, Stage, StageReport, Task
from mixer.errors import MixerError, TaskError
from mixer.storage import Root, modules, workplace

ATTEMPTS = 2
"""How often a task that crashes or is killed is started before it is given up."""
TICK_SECONDS = 0.2
"""The longest sleep: how late a signal may be obeyed."""
LOST = 255
"""Exit code that ``multiprocessing`` makes up when the fork server ended and the worker's own is unknown."""


def weight(task: Task) -> int:
    """How much of a stage's work a task is: its input in bytes, and a little for a task without any."""
    return max(1, task.size)


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
    documents: int = 0
    text_bytes: int = 0
    kept: int = 0
    error: MixerError | None = None
    summary: str = ""

    def listen(self) -> None:
        """Take in every message that has arrived."""
        try:
            while self.open and self.channel.poll():
                match self.channel.recv():
                    case worker.Counted(documents, text_bytes, kept):
                        self.documents += documents
                        self.text_bytes += text_bytes
                        self.kept += kept
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
    """The state of one stage while it runs."""

    stage: Stage
    pickled: bytes
    receipts: dict[int, Receipt]
    stale: frozenset[str]
    queue: deque[tuple[int, Task, int]]
    tasks: int
    skipped: int
    started: float
    running: list[Attempt] = field(default_factory=list)
    refused: tuple[int, MixerError] | None = None
    failures: dict[str, str] = field(default_factory=dict)
    documents: int = 0
    text_bytes: int = 0
    kept: int = 0
    weight_done: int = 0
    weight_all: int = 0

    def snapshot(self) -> Snapshot:
        """Add up finished and running tasks and guess how long the rest takes."""
        seconds = time.monotonic() - self.started
        # Text per input byte (compression, markup) is learnt from finished tasks; before that, no guess.
        ratio = self.text_bytes / self.weight_done if self.weight_done else 0.0
        inside = sum(min(weight(a.task), a.text_bytes / ratio) for a in self.running) if ratio else 0.0
        fraction = min(1.0, (self.weight_done + inside) / self.weight_all) if self.weight_all else 0.0
        return Snapshot(
            stage=self.stage.name,
            tasks=self.tasks,
            done=len(self.receipts),
            documents=self.documents + sum(a.documents for a in self.running),
            kept=self.kept + sum(a.kept for a in self.running),
            text_bytes=self.text_bytes + sum(a.text_bytes for a in self.running),
            seconds=seconds,
            fraction=fraction,
            seconds_left=seconds * (1.0 - fraction) / fraction if self.weight_done and fraction else None,
        )


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
        tasks = list(stage.tasks())
        if len({task.id for task in tasks}) != len(tasks):
            raise ValueError(f"stage {stage.name} plans two tasks of one id")
        with Signals() as signals:
            run = self._begin(stage, tasks)
            self.display.start(stage.name, len(tasks), run.skipped)
            report = None
            try:
                if run.queue:
                    server.start(self._preload, self._warm, signals.obey)
                self._loop(run, signals)
                receipts = [run.receipts[index] for index in range(len(tasks))]
                report = StageReport.of(stage.name, receipts, len(tasks) - run.skipped, time.monotonic() - run.started)
                self.reports.append(report)
                return receipts
            finally:
                for attempt in run.running:
                    attempt.kill()
                if report is None:
                    remove_temporaries(self.root)
                self.display.finish(report)

    def _begin(self, stage: Stage, tasks: list[Task]) -> Run:
        """Find out what is to be done; forget what is no longer planned or no longer true."""
        if not self.reports:
            remove_temporaries(self.root)
        prune(self.root, stage.name, tasks)
        stock = take_stock(self.root, stage.name, tasks)
        done = {i: stock.done[task.id] for i, task in enumerate(tasks) if task.id in stock.done}
        missing = [(i, task, 1) for i, task in enumerate(tasks) if i not in done]
        check_free(self.root, sum(task.writes for _, task, _ in missing), f"the stage {stage.name}")
        # Largest first: the last task to end is then a small one.
        missing.sort(key=lambda entry: -entry[1].size)
        run = Run(
            stage=stage,
            pickled=pickle.dumps(stage),
            receipts=done,
            stale=stock.stale,
            queue=deque(missing),
            tasks=len(tasks),
            skipped=len(done),
            started=time.monotonic(),
        )
        run.weight_all = sum(weight(task) for _, task, _ in missing)
        return run

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
        if run.failures:
            raise self._failed(run)

    def _start(self, run: Run, index: int, task: Task, number: int) -> Attempt:
        log = workplace(self.root) / "logs" / run.stage.name / f"{task.id}.log"
        if number == 1:
            if task.id in run.stale:
                discard(self.root, run.stage.name, task.id)
            with full_disk(log):
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_bytes(b"")
        order = worker.Order(self.root, run.pickled, pickle.dumps(task), log)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = server.launch(worker.main, (order, theirs), f"{run.stage.name} {task.id}")
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
        receipt = finished(self.root, run.stage.name, task)
        if receipt:
            run.receipts[attempt.index] = receipt
            run.documents += receipt.documents
            run.kept += receipt.kept
            run.text_bytes += receipt.text_bytes
            run.weight_done += weight(task)
            if attempt.number == 1 and not attempt.log.stat().st_size:
                attempt.log.unlink()
        elif attempt.error:
            self.display.note(f"{run.stage.name}: task {task.id}: {attempt.error.message}")
            run.queue.clear()
            if run.refused is None or attempt.index < run.refused[0]:
                run.refused = attempt.index, attempt.error
        elif attempt.number < ATTEMPTS and not run.refused:
            self.display.note(f"{run.stage.name}: task {task.id}: {cause}; it is tried once more")
            run.queue.append((attempt.index, task, attempt.number + 1))
        else:
            self.display.note(f"{run.stage.name}: task {task.id}: {cause}; see {attempt.log}")
            run.failures[task.id] = f"{cause}; see {attempt.log}"

    def _failed(self, run: Run) -> TaskError:
        causes = "".join(f"\n  {task}: {cause}" for task, cause in sorted(run.failures.items()))
        killed = any("SIGKILL" in cause for cause in run.failures.values())
        return TaskError(
            f"stage {run.stage.name}: {len(run.failures)} of {run.tasks} tasks failed {ATTEMPTS} times:{causes}",
            ("SIGKILL is what a machine out of memory sends: use fewer --workers. " if killed else "")
            + "Run the same command again: it goes on where it stopped, with the failed tasks",
        )
