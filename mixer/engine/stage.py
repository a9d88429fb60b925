"""The vocabulary of the engine: a stage has tasks, a task has a key, a finished task has a receipt.

A stage knows what to do; an engine knows where and when. The engine skips a task whose receipt holds the same key
and whose outputs are all there, so the key must say everything that decides the outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final, Protocol

from mixer.engine.outputs import OutputFile, Outputs

PLANNING: Final = {"planning": True}
"""Metadata of a stage's field that only ``tasks`` needs (``field(metadata=PLANNING)``): workers get it empty."""


@dataclass(frozen=True)
class Task:
    """One unit of work: what one process does, and what is done again after a failure.

    ``id`` names the receipt, the outputs and the messages (``dolma/00003``) and must not change when other sources
    come or go. ``key`` hashes everything that decides the outputs: settings, identity of the inputs, mixer version
    (see ``key_of``). ``size`` is the input in bytes, for planning and progress. ``writes`` is an estimate of what the
    task writes, in bytes, for the check of free disk space. ``payload`` is the stage's own.
    """

    id: str
    key: str
    size: int
    payload: Any = field(default=None, repr=False)
    writes: int = 0


@dataclass(frozen=True)
class Receipt:
    """What a finished task leaves behind in ``run/receipts/<stage>/<task id>.json``.

    ``outputs`` maps a path relative to the build directory to its size and xxh64; ``counts`` is the stage's own
    (JSON values only). The rest is kept by the engine for its reports and decides nothing: ``documents``,
    ``text_bytes`` and ``kept`` are what the task told its ``Progress``, ``cpu_seconds`` is user and system time of
    the task's process, ``peak_bytes`` its largest resident memory.
    """

    stage: str
    task: str
    key: str
    outputs: Mapping[str, OutputFile]
    counts: Mapping[str, Any]
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    documents: int = 0
    text_bytes: int = 0
    kept: int = 0


@dataclass(frozen=True)
class StageReport:
    """What a finished stage came to: sums over all its receipts, also of tasks that an earlier run has done.

    ``ran`` and ``skipped`` count tasks and ``seconds`` is wall time of this run. ``peak_bytes`` is of the worst
    process.
    """

    stage: str
    ran: int
    skipped: int
    seconds: float
    documents: int
    kept: int
    text_bytes: int
    cpu_seconds: float
    peak_bytes: int

    @classmethod
    def of(cls, stage: str, receipts: Sequence[Receipt], ran: int, seconds: float) -> "StageReport":
        """Sum up the receipts of a stage, ``ran`` of them new."""
        return cls(
            stage=stage,
            ran=ran,
            skipped=len(receipts) - ran,
            seconds=seconds,
            documents=sum(receipt.documents for receipt in receipts),
            kept=sum(receipt.kept for receipt in receipts),
            text_bytes=sum(receipt.text_bytes for receipt in receipts),
            cpu_seconds=sum(receipt.cpu_seconds for receipt in receipts),
            peak_bytes=max((receipt.peak_bytes for receipt in receipts), default=0),
        )


class Progress(Protocol):
    """Told by a running task how far it is; the engine sums this up over tasks for the display."""

    def __call__(self, *, documents: int = 0, size: int = 0, kept: int = 0) -> None:
        """Add documents seen, bytes of text seen and documents kept since the last call."""


class Stage(Protocol):
    """A named set of independent tasks. Must pickle; whatever does not is made inside ``run``."""

    @property
    def name(self) -> str:
        """What receipts, logs and messages call it."""

    def tasks(self) -> Sequence[Task]:
        """Plan every task, always the same for the same input."""

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Do one task, writing files through ``outputs`` only, and return its counts."""


def lean(stage: Stage) -> Stage:
    """Return a stage as workers need it: fields that are for planning alone are empty.

    A stage of a hundred thousand tasks would otherwise travel with all their plans to each one of them.
    """
    each: Any = stage
    known = fields(each) if is_dataclass(each) else ()
    planning = [field.name for field in known if field.metadata.get("planning")]
    lean: Stage = replace(each, **{name: type(getattr(each, name))() for name in planning}) if planning else stage
    return lean
