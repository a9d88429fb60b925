"""What every engine offers to the build: ``local``, ``slurm`` and ``ray`` differ in where and how tasks run."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from mixer.engine.display import Display
from mixer.engine.stage import Receipt, Stage, StageReport
from mixer.storage import Root


class Engine(Protocol):
    """Runs stages, one after the other. Hold ``lock.lock(root, engine.evict)`` around it.

    ``workers`` are the processes at once that may be used in this machine, ``reports`` what each stage came to.
    """

    root: Root
    workers: int
    display: Display

    @property
    def reports(self) -> Sequence[StageReport]:
        """What every finished stage came to, in order."""

    def evict(self) -> None:
        """End what an earlier build, which is no more, left running for this directory; return when it is gone."""

    def run(self, stage: Stage) -> list[Receipt]:
        """Run the tasks of a stage that are not done yet.

        Returns
        -------
        list of Receipt
            One per task, in the order of ``stage.tasks()``.

        Raises
        ------
        MixerError
            What a task raised, for the user to mend.
        DiskError
            The disk has less space than the missing tasks are going to write.
        TaskError
            Tasks crashed or were lost more often than they are tried again; all others are finished.
        KeyboardInterrupt, SystemExit
            SIGINT or SIGTERM (code 143) came; no task is running any more.
        """

    def close(self) -> None:
        """Give back what the engine holds."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
