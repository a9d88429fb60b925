"""Tasks are dealt to ranks, and a round of ranks lies in a folder: orders out, journals back.

A stage is carried out in rounds. Each has a folder of its own, ``run/jobs/<stage>/<number>``, which all nodes see:

    stage.pickle           the stage, once, without what only planning needs
    orders/00000.pickle    the tasks of a rank
    permit                 while it is there, the round's processes may write (see ``rank``)
    journals/00000.jsonl   what a rank says happens
"""

import heapq
import pickle
import shutil
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mixer import __version__
from mixer.engine.disk import full_disk
from mixer.engine.rank import PERMIT, Event, Order, hold, journal_path, order_path
from mixer.engine.stage import Stage, Task, lean
from mixer.engine.worker import Counted
from mixer.errors import MixerError
from mixer.storage import Root, workplace

JOBS = "jobs"
"""The folder of all rounds, in the folder for logs and scratch files of a build (``run``, if it is on a disk)."""
Entry = tuple[int, Task]
"""A task and its place in the plan."""


def deal(missing: Sequence[Entry], worth: int, most: int, alone: Iterable[int] = ()) -> list[list[Entry]]:
    """Deal tasks to ranks: as many ranks as their sizes are worth, none much heavier than the others.

    Parameters
    ----------
    missing
        The tasks, the largest first.
    worth
        Bytes of input that are worth a process. A task of unknown size (0) is worth one.
    most
        Ranks at most.
    alone
        Places of tasks that get a rank of their own if there are enough: a process has ended on them before.
    """
    apart = set(alone)
    single = [entry for entry in missing if entry[0] in apart][: max(0, most - 1)]
    taken = {place for place, _ in single}
    rest = [entry for entry in missing if entry[0] not in taken]
    sizes = [task.size or worth for _, task in rest]
    count = min(len(rest), most - len(single), -(-sum(sizes) // worth) if worth else len(rest))
    dealt: list[list[Entry]] = [[] for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    for entry, size in zip(rest, sizes, strict=True):
        load, number = loads[0]
        dealt[number].append(entry)
        heapq.heapreplace(loads, (load + max(1, size), number))
    return [[entry] for entry in single] + dealt


@dataclass
class Rank:
    """A rank as the engine follows it; ``current`` is the task in hand, by id."""

    entries: Sequence[Entry]
    process: str = ""
    current: str | None = None
    counted: Counted = field(default_factory=Counted)
    said_done: set[str] = field(default_factory=set)
    crashed: dict[str, str] = field(default_factory=dict)
    refused: MixerError | None = None
    ended: str | None = None
    offset: int = 0


class Round:
    """A round of ranks. While it is ``open`` its processes may write."""

    def __init__(self, folder: Path, ranks: Sequence[Rank]) -> None:
        self.folder = folder
        self.ranks = ranks

    @classmethod
    def write(cls, root: Root, stage: Stage, dealt: Sequence[Sequence[Entry]]) -> "Round":
        """Write the folder of a new round of a stage.

        Raises
        ------
        DiskError
            No space is left on the disk.
        """
        above = workplace(root) / JOBS / stage.name
        with full_disk(above):
            above.mkdir(parents=True, exist_ok=True)
            number = 1 + max((int(path.name) for path in above.iterdir() if path.name.isdigit()), default=0)
            folder = above / f"{number:04}"
            for part in ("orders", "journals"):
                (folder / part).mkdir(parents=True)
            (folder / "stage.pickle").write_bytes(pickle.dumps(lean(stage), pickle.HIGHEST_PROTOCOL))
            for rank, entries in enumerate(dealt):
                order = Order(root, [task for _, task in entries], __version__)
                order_path(folder, rank).write_bytes(pickle.dumps(order, pickle.HIGHEST_PROTOCOL))
            (folder / PERMIT).touch()
        return cls(folder, [Rank(entries) for entries in dealt])

    def close(self) -> None:
        """Take the permit away, and what only its processes read; journals and logs stay."""
        revoke(self.folder)

    def read(self, number: int) -> None:
        """Take in what a rank has written to its journal since the last look."""
        rank = self.ranks[number]
        try:
            with journal_path(self.folder, number).open("rb") as file:
                file.seek(rank.offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        rank.offset += len(whole)
        for line in whole.splitlines():
            _note(rank, msgspec.json.decode(line, type=Event))

    def held(self, number: int) -> bool:
        """Say whether a process still holds the journal of a rank."""
        try:
            with journal_path(self.folder, number).open("rb") as file:
                return not hold(file)
        except FileNotFoundError:
            return False


def revoke(folder: Path) -> None:
    """Forbid the processes of a round to write anything more."""
    (folder / PERMIT).unlink(missing_ok=True)
    shutil.rmtree(folder / "orders", ignore_errors=True)
    (folder / "stage.pickle").unlink(missing_ok=True)


def revoke_all(root: Root) -> None:
    """Close every round of a build directory that an earlier build left open."""
    for permit in (workplace(root) / JOBS).glob(f"*/*/{PERMIT}"):
        revoke(permit.parent)


def _note(rank: Rank, event: Event) -> None:
    """Enter a line of a journal."""
    match event.what:
        case "began":
            rank.process = event.text
        case "started":
            rank.current, rank.counted = event.task, Counted()
        case "counted":
            rank.counted += event.counted
        case "refused":
            # Written by our own process, into a folder that is as safe as the orders in it.
            rank.current, rank.refused = None, pickle.loads(b64decode(event.text))
        case "crashed":
            rank.current = None
            rank.crashed[event.task] = event.text
        case "done":
            rank.current = None
            rank.said_done.add(event.task)
