"""One process of a cluster: does the tasks of its rank one after another, and keeps a journal for the engine.

A *rank* is what the engine gives to one process; ``ranks`` writes its order, this module carries it out. It must be
certain that it is the only one: it holds the journal's lock (``flock``) for as long as it lives, has temporary files of
its own, and asks for the round's permit before a file gets its final name and before each receipt. The engine takes the
permit away before it gives the tasks to another process. A node that was lost and comes back thus finds no permit, and
its processes end without having changed anything.
"""

import contextlib
import faulthandler
import fcntl
import os
import pickle
import socket
import sys
import traceback
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from mixer import __version__
from mixer.engine.disk import full_disk
from mixer.engine.lock import hold_as_worker
from mixer.engine.outputs import Outputs
from mixer.engine.receipts import discard, finished
from mixer.engine.stage import Stage, Task
from mixer.engine.worker import Counted, Reporter, cpu_seconds, die_with_parent, perform, portable, use_one_thread
from mixer.errors import MixerError, UsageError
from mixer.storage import Root

PERMIT = "permit"
"""File of a round: while it is there, the round's processes may write."""
REPORT_SECONDS = 2.0
"""How often a running task writes to its journal at most."""


class Fenced(BaseException):
    """The permit is gone: another process may be doing these tasks by now. No ``Exception``, so no task catches it."""


@dataclass(frozen=True)
class Order:
    """What a rank is to do, below the build directory ``root``, and the version of mixer that the keys are of."""

    root: Root
    tasks: Sequence[Task]
    version: str


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of a journal.

    ``what`` is ``began`` (the process: ``text`` says which), ``started``, ``done``, ``refused`` (``text``: the error,
    pickled), ``crashed`` (``text``: why) or ``counted``; ``task`` is the id.
    """

    what: str
    task: str = ""
    text: str = ""
    counted: Counted = msgspec.field(default_factory=Counted)


class Journal:
    """Where a rank writes what happens; the lock on the file says that its process lives."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path) -> "Journal | None":
        """Open a journal for writing; None if another process has it."""
        file = path.open("ab", buffering=0)
        if not hold(file):
            file.close()
            return None
        return cls(file)

    def __call__(self, what: str, task: str = "", text: str = "", counted: Counted | None = None) -> None:
        """Write a line."""
        self._file.write(msgspec.json.encode(Event(what, task, text, counted or Counted())) + b"\n")


def hold(file: IO[bytes]) -> bool:
    """Take the lock of an open journal, and say whether it was free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def order_path(folder: Path, rank: int) -> Path:
    """Say where the order of a rank lies in its round's folder."""
    return folder / "orders" / f"{rank:05}.pickle"


def journal_path(folder: Path, rank: int) -> Path:
    """Say where a rank writes its journal."""
    return folder / "journals" / f"{rank:05}.jsonl"


def run_rank(folder: Path, rank: int) -> bool:
    """Do what a rank of the round in ``folder`` is to do, in this process; return whether all of it is done."""
    faulthandler.enable()
    use_one_thread()
    permit = folder / PERMIT
    journal = Journal.open(journal_path(folder, rank))
    if journal is None:
        print(f"another process is doing rank {rank} of {folder}", flush=True)
        return False
    try:
        _confirm(permit)
        order: Order = pickle.loads(order_path(folder, rank).read_bytes())
        workers = hold_as_worker(order.root)
        if workers is None:
            raise Fenced
        identity = f"{socket.gethostname()}-{os.getpid()}"
        journal("began", text=identity)
        if order.version != __version__:
            journal("refused", text=_packed(_other_version(order.version)))
            return False
        stage: Stage = pickle.loads((folder / "stage.pickle").read_bytes())
        return _Rank(order.root, stage, permit, journal, identity).do(order.tasks)
    except Fenced:
        print(f"rank {rank} of {folder} is no longer wanted: its tasks may have been given to another", flush=True)
        return False


class _Rank:
    """A rank at work."""

    def __init__(self, root: Root, stage: Stage, permit: Path, journal: Journal, identity: str) -> None:
        self._root = root
        self._stage = stage
        self._permit = permit
        self._journal = journal
        self._identity = identity
        self._spent = 0.0  # the first task answers for the imports too

    def do(self, tasks: Sequence[Task]) -> bool:
        """Do all tasks; one that crashes does not keep the others from being done, one that refuses does."""
        whole = True
        for task in tasks:
            _confirm(self._permit)
            if not finished(self._root, self._stage.name, task):
                self._journal("started", task.id)
                try:
                    with full_disk(self._root):
                        self._perform(task)
                except Fenced:
                    raise
                except MixerError as error:
                    self._journal("refused", task.id, _packed(error))
                    _log()
                    return False
                except BaseException as error:
                    self._journal("crashed", task.id, "".join(traceback.format_exception_only(error)).strip())
                    _log()
                    whole = False
                    continue
            self._journal("done", task.id)
        return whole

    def _perform(self, task: Task) -> None:
        discard(self._root, self._stage.name, task.id)
        report = Reporter(lambda more: self._journal("counted", task.id, counted=more), REPORT_SECONDS)
        with Outputs(self._root, lambda: _confirm(self._permit), f".{self._identity}") as outputs:
            perform(outputs, self._stage, task, report, self._spent)
        self._spent = cpu_seconds()


def _confirm(permit: Path) -> None:
    """Make sure that the permit is there. Opened and not looked for: NFS then asks its server."""
    try:
        permit.open("rb").close()
    except FileNotFoundError:
        raise Fenced from None


def _packed(error: MixerError) -> str:
    return b64encode(pickle.dumps(portable(error))).decode()


def _other_version(wanted: str) -> MixerError:
    return UsageError(
        f"{socket.gethostname()} has mixer {__version__} ({sys.executable}), this build is of mixer {wanted}",
        "set `engine.slurm.environment`, or install the same version there",
    )


def _log() -> None:
    """Write the traceback of the exception that is being handled to the log, if that is possible."""
    with contextlib.suppress(Exception):
        traceback.print_exc()
        sys.stderr.flush()


def main() -> None:
    """Be the rank of the command line, ``python -m mixer.engine.rank FOLDER RANK PARENT``; end with that parent."""
    folder, rank, parent = sys.argv[1:]
    die_with_parent()
    whole = os.getppid() == int(parent) and run_rank(Path(folder), int(rank))
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: threads and exit hooks of libraries have nothing to add, and must not be able to hang.
    os._exit(0 if whole else 1)


if __name__ == "__main__":
    main()
