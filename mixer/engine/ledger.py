"""The books of one stage while it runs: what is planned, what is done, what has failed, how far it is.

Every engine keeps them alike: it opens the ledger, does what is ``missing`` in its own way, has each task that may be
done ``taken`` by its receipt, and closes it. Nothing but a receipt makes a task done.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mixer.engine.disk import check_free
from mixer.engine.display import Failure, Snapshot
from mixer.engine.receipts import finished, prune, take_stock
from mixer.engine.stage import Receipt, Stage, StageReport, Task
from mixer.engine.worker import Counted
from mixer.storage import Root


def weight(task: Task) -> int:
    """How much of a stage's work a task is: its input in bytes, and a little for a task without any."""
    return max(1, task.size)


@dataclass
class Ledger:
    """What is known of a stage.

    ``receipts`` go by the task's place in the plan, ``failures`` by its id; ``stale`` are tasks with a receipt that no
    longer counts.
    """

    root: Root
    stage: Stage
    tasks: Sequence[Task]
    receipts: dict[int, Receipt]
    stale: frozenset[str]
    started: float
    skipped: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)
    documents: int = 0
    text_bytes: int = 0
    kept: int = 0
    weight_done: int = 0
    weight_all: int = 0

    @classmethod
    def open(cls, root: Root, stage: Stage) -> "Ledger":
        """Plan a stage, and find out what of it is done; forget what is no longer planned or no longer true.

        Raises
        ------
        DiskError
            The disk has less space than the missing tasks are going to write.
        """
        tasks = list(stage.tasks())
        if len({task.id for task in tasks}) != len(tasks):
            raise ValueError(f"stage {stage.name} plans two tasks of one id")
        prune(root, stage.name, tasks)
        stock = take_stock(root, stage.name, tasks)
        done = {place: stock.done[task.id] for place, task in enumerate(tasks) if task.id in stock.done}
        ledger = cls(root, stage, tasks, done, stock.stale, time.monotonic(), len(done))
        missing = [task for _, task in ledger.missing()]
        check_free(root, sum(task.writes for task in missing), f"the stage {stage.name}")
        ledger.weight_all = sum(map(weight, missing))
        return ledger

    def missing(self) -> list[tuple[int, Task]]:
        """Return the tasks without a receipt and their places; the largest first: the last to end is then small."""
        missing = [(place, task) for place, task in enumerate(self.tasks) if place not in self.receipts]
        return sorted(missing, key=lambda entry: -entry[1].size)

    def take(self, place: int) -> bool:
        """Look for the receipt of a task that may be done; return whether it is."""
        task = self.tasks[place]
        receipt = finished(self.root, self.stage.name, task)
        if receipt is None:
            return False
        self.receipts[place] = receipt
        self.failures.pop(task.id, None)
        self.documents += receipt.documents
        self.kept += receipt.kept
        self.text_bytes += receipt.text_bytes
        self.weight_done += weight(task)
        return True

    def snapshot(self, running: Iterable[tuple[Task, Counted]]) -> Snapshot:
        """Add up finished and running tasks and guess how long the rest takes."""
        running = list(running)
        seconds = time.monotonic() - self.started
        # Text per input byte (compression, markup) is learnt from finished tasks; before that, no guess.
        ratio = self.text_bytes / self.weight_done if self.weight_done else 0.0
        inside = sum(min(weight(task), counted.text_bytes / ratio) for task, counted in running) if ratio else 0.0
        fraction = min(1.0, (self.weight_done + inside) / self.weight_all) if self.weight_all else 0.0
        return Snapshot(
            stage=self.stage.name,
            tasks=len(self.tasks),
            done=len(self.receipts),
            documents=self.documents + sum(counted.documents for _, counted in running),
            kept=self.kept + sum(counted.kept for _, counted in running),
            text_bytes=self.text_bytes + sum(counted.text_bytes for _, counted in running),
            seconds=seconds,
            fraction=fraction,
            seconds_left=seconds * (1.0 - fraction) / fraction if self.weight_done and fraction else None,
            running=len(running),
            failures=tuple(self.failures.values()),
        )

    def close(self) -> tuple[list[Receipt], StageReport]:
        """Return the receipts of all tasks, in their order, and what they came to."""
        receipts = [self.receipts[place] for place in range(len(self.tasks))]
        ran, seconds = len(self.tasks) - self.skipped, time.monotonic() - self.started
        return receipts, StageReport.of(self.stage.name, receipts, ran, seconds)
