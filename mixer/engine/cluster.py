"""The engine for clusters: a stage in rounds of ranks, on a site (Slurm, Ray) that starts processes somewhere.

The site is believed in one thing only: that a process it says has ended is gone, and even that is asked of the lock on
the journal too. What is done is what has a receipt; what has none is dealt to the next round, until a task has been
tried as often as the settings say.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from mixer.engine.display import Display, Failure, counted
from mixer.engine.ledger import Ledger
from mixer.engine.outputs import remove_temporaries
from mixer.engine.ranks import Entry, Rank, Round, deal, revoke_all
from mixer.engine.settings import EngineSettings
from mixer.engine.signals import Signals
from mixer.engine.stage import Receipt, Stage, StageReport, Task
from mixer.engine.worker import Counted
from mixer.errors import TaskError
from mixer.storage import Root

LOOK_SECONDS = 0.3
"""Between two looks at the journals of one rank; ..."""
LOOK_SECONDS_PER_RANK = 0.004
"""... and so much longer for each, since every look opens a file on a shared disk."""
SETTLE_SECONDS = 60.0
"""How long another machine may take to see a receipt that the journal says is there (caches of NFS: 60 s at most)."""
GOING_SECONDS = 60.0
"""How long a process may hold its journal after the site has said that it has ended."""
SHOWN = 10
"""Failed tasks that are named, of a rank and in the end."""
LOG_LINES = 15
"""Lines of a log that an error shows."""


class Site(Protocol):
    """Where ranks run: starts a round's processes, says which have ended, and ends them."""

    name: str

    @property
    def most_ranks(self) -> int:
        """Ranks that one round may have."""

    def check(self) -> None:
        """Make sure that a process as the settings ask for can be started at all.

        Raises
        ------
        UsageError
            It never can; the message says what was asked and what there is.
        """

    def evict(self) -> None:
        """End every process that an earlier build of this directory started, and return when they are gone."""

    def start(self, stage: str, folder: Path, ranks: int) -> None:
        """Have ``ranks`` processes started for the round in ``folder``; ``rank.run_rank`` is what each does."""

    def ended(self) -> Mapping[int, str]:
        """Say which ranks have no process any more, nor will get one, and how they ended.

        Raises
        ------
        UsageError
            The processes that are waited for can never be started.
        """

    def waiting(self) -> str:
        """Say why nothing has run for half a minute, or nothing."""

    def stop(self) -> None:
        """End every process of the round, and return when they are gone."""

    def log(self, rank: int) -> Path:
        """Say which file takes what the process of a rank prints."""

    def close(self) -> None:
        """Give back what the site holds."""


class ClusterEngine:
    """Runs stages on a site. Hold ``lock.lock(root, engine.evict)`` around it; close it, or use ``with``.

    Parameters
    ----------
    root
        The build directory, which all nodes see under this path.
    site
        Where processes run.
    settings
        How tasks are dealt to them.
    workers
        Processes that the last steps may use in this machine.
    display
        Is told how stages proceed.
    """

    def __init__(self, root: Root, site: Site, settings: EngineSettings, workers: int, display: Display) -> None:
        self.root = root.absolute()
        self.workers = workers
        self.display = display
        self.reports: list[StageReport] = []
        self._site = site
        self._settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def evict(self) -> None:
        """End what an earlier build left running, and forbid what cannot be ended to write."""
        revoke_all(self.root)
        self._site.evict()

    def close(self) -> None:
        """Give back what the site holds."""
        self._site.close()

    def run(self, stage: Stage) -> list[Receipt]:
        """Run the tasks of a stage that are not done yet; see ``engine.Engine``."""
        with Signals() as signals:
            if not self.reports:
                remove_temporaries(self.root)
            ledger = Ledger.open(self.root, stage)
            self.display.start(stage.name, len(ledger.tasks), ledger.skipped)
            report = None
            try:
                if ledger.missing():
                    self._site.check()
                self._rounds(ledger, signals)
                receipts, report = ledger.close()
                self.reports.append(report)
                return receipts
            finally:
                if report is None:
                    remove_temporaries(self.root)
                self.display.finish(report)

    def _rounds(self, ledger: Ledger, signals: Signals) -> None:
        """Start round after round until every task is done or has been tried often enough."""
        tried: Counter[int] = Counter()
        settings = self._settings
        while missing := [entry for entry in ledger.missing() if tried[entry[0]] < settings.attempts]:
            dealt = deal(missing, int(settings.worth_mb * 1e6), self._site.most_ranks, tried)
            current = Round.write(self.root, ledger.stage, dealt)
            try:
                self._site.start(ledger.stage.name, current.folder, len(dealt))
                self._follow(ledger, current, signals)
            except BaseException:
                current.close()
                self._site.stop()
                signals.obey()  # an interrupted command of the site's may have raised first
                raise
            current.close()
            for number, rank in enumerate(current.ranks):
                self._settle(ledger, current, number, rank, tried)
            self.display.update(ledger.snapshot([]))
        if ledger.failures:
            raise self._failed(ledger)

    def _follow(self, ledger: Ledger, current: Round, signals: Signals) -> None:
        """Return when every task of a round is done, or every process of it has ended."""
        living = dict(enumerate(current.ranks))
        told = ""
        while living:
            signals.obey()
            ended = self._site.ended()
            for number, rank in list(living.items()):
                current.read(number)
                if rank.refused:
                    self.display.note(f"{ledger.stage.name}: rank {number}: {rank.refused.message}")
                    raise rank.refused
                if self._take(ledger, rank):
                    del living[number]
                elif number in ended:
                    rank.ended = ended[number]
                    del living[number]
            self.display.update(ledger.snapshot(_running(living.values())))
            if (waiting := self._site.waiting()) != told:
                told = waiting
                if waiting:
                    self.display.note(f"{ledger.stage.name}: {waiting}")
            if living:
                time.sleep(LOOK_SECONDS + LOOK_SECONDS_PER_RANK * len(living))

    def _take(self, ledger: Ledger, rank: Rank) -> bool:
        """Take the receipts of what a rank says it has done, and say whether all of it is."""
        for place, task in rank.entries:
            if task.id in rank.said_done and place not in ledger.receipts:
                ledger.take(place)
        return all(place in ledger.receipts for place, _ in rank.entries)

    def _settle(self, ledger: Ledger, current: Round, number: int, rank: Rank, tried: Counter[int]) -> None:
        """Make sure of what a rank has left undone: it is not done, nobody is doing it, and this counts as a try."""
        undone = [entry for entry in rank.entries if entry[0] not in ledger.receipts]
        if not undone:
            return
        self._wait_for_lock(current, number, rank, ledger.stage.name)
        current.read(number)
        deadline = time.monotonic() + SETTLE_SECONDS
        while undone := [entry for entry in undone if not ledger.take(entry[0])]:
            if not any(task.id in rank.said_done for _, task in undone) or time.monotonic() > deadline:
                break
            time.sleep(1.0)
        # One that has not even begun its work is to blame for all of it.
        at_fault = [e for e in undone if e[1].id == rank.current or e[1].id in rank.crashed] or undone
        log, ended = self._site.log(number), f"ended: {rank.ended or 'nobody knows how'}"
        for place, task in at_fault:
            tried[place] += 1
            ledger.failures[task.id] = Failure(task.id, f"rank {number}: {rank.crashed.get(task.id, ended)}", log)
        self._tell(ledger, number, at_fault, len(undone) - len(at_fault), tried)

    def _tell(self, ledger: Ledger, number: int, at_fault: Sequence[Entry], others: int, tried: Counter[int]) -> None:
        """Say which tasks a rank has failed at, and what becomes of them."""
        for place, task in at_fault[:SHOWN]:
            failure = ledger.failures[task.id]
            again = "it is tried again" if tried[place] < self._settings.attempts else f"see {failure.log}"
            self.display.note(f"{ledger.stage.name}: task {task.id}: {failure.cause}; {again}")
        where = f"{ledger.stage.name}: rank {number}"
        if len(at_fault) > SHOWN:
            self.display.note(f"{where}: {len(at_fault) - SHOWN:,} tasks more have failed")
        if others:
            self.display.note(f"{where}: {counted(others)} that came after are dealt again")

    def _wait_for_lock(self, current: Round, number: int, rank: Rank, stage: str) -> None:
        """Wait until the process of a rank that is said to have ended lets go of its journal.

        Raises
        ------
        TaskError
            It does not.
        """
        deadline = time.monotonic() + GOING_SECONDS
        while current.held(number):
            if time.monotonic() > deadline:
                raise TaskError(
                    f"stage {stage}: rank {number} has ended ({rank.ended}), says {self._site.name}, but its process "
                    f"{rank.process} still lives",
                    "end that process, then run the same command again; two must not do the same tasks",
                )
            time.sleep(0.5)

    def _failed(self, ledger: Ledger) -> TaskError:
        failures = sorted(ledger.failures.values(), key=lambda failure: failure.task)
        parts = [f"\n  {failure.task}: {failure.cause}; see {failure.log}" for failure in failures[:SHOWN]]
        if len(failures) > SHOWN:
            parts.append(f"\n  and {len(failures) - SHOWN:,} more")
        last = failures[0].log
        tail = "".join(f"\n    {line}" for line in last_lines(last, LOG_LINES))
        return TaskError(
            f"stage {ledger.stage.name}: {len(failures)} of {len(ledger.tasks)} tasks failed "
            f"{self._settings.attempts} times:{''.join(parts)}"
            + (f"\n  the first log ends with:{tail}" if tail else ""),
            "Run the same command again: it goes on where it stopped, with the failed tasks",
        )


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log, of at most 64 kB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (64 << 10)))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return ["(there is no such file)"]


def _running(living: Iterable[Rank]) -> list[tuple[Task, Counted]]:
    """Return the tasks in hand, and how far they are."""
    return [
        (task, rank.counted) for rank in living if rank.current for _, task in rank.entries if task.id == rank.current
    ]
