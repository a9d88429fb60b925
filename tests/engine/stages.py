"""Stages that misbehave on order. They live in a module of their own because workers import them by name."""

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixer.engine.keys import key_of
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Progress, Task
from mixer.errors import DiskError, InputError

WARMED: list[str] = []


def warm() -> None:
    """Leave behind what workers of the order "warm" look for."""
    WARMED.append("in the server")


def warm_badly() -> None:
    """Raise what native code may raise."""
    raise BaseException("panic")


@dataclass(frozen=True)
class Letters:
    """Task ``part/00007`` writes ``documents/part/00007.txt``; ``orders`` maps a task's number to what goes wrong."""

    count: int
    orders: dict[int, str] = field(default_factory=dict)
    flags: Path | None = None
    version: int = 1
    seconds: float = 0.0
    name: str = "letters"

    def tasks(self) -> list[Task]:
        return [
            Task(f"part/{number:05}", key_of("letters", self.version, number), 1000 + number, number)
            for number in range(self.count)
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        number = task.payload
        with outputs.open(f"documents/{task.id}.txt") as file:
            file.write(f"letters of {number}, version {self.version}\n".encode())
            if self.flags:
                with (self.flags / f"{number}.runs").open("a") as runs:
                    runs.write("x")
            self.obey(self.orders.get(number, ""), number, progress)
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                time.sleep(0.02)
            file.write(b"abc" * 1000)
        progress(documents=10, size=3000, kept=9)
        return {"number": number}

    def obey(self, order: str, number: int, progress: Progress) -> None:
        if order.startswith("once "):
            if len((self.flags / f"{number}.runs").read_text()) > 1:
                return
            order = order.removeprefix("once ")
        if order == "kill":
            progress(documents=5, size=100, kept=5)
            time.sleep(0.3)  # long enough that the documents are reported
            progress(documents=0)
            os.kill(os.getpid(), signal.SIGKILL)
        elif order == "gate":
            while not (self.flags / f"{number}.open").exists():
                time.sleep(0.02)
        elif order == "kill the server":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        elif order == "crash":
            print("about to crash")
            raise ZeroDivisionError(f"no letters for {number}")
        elif order == "abort":
            os.abort()
        elif order == "exit":
            sys.exit(7)
        elif order == "leave":
            os._exit(0)
        elif order == "panic":
            raise BaseException("panic")
        elif order == "refuse":
            raise InputError(f"file {number} is bad", "mend it")
        elif order == "unportable":
            raise PickyError(1, 2)
        elif order == "disk":
            raise OSError(28, "No space left on device")
        elif order == "deaf":
            ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock held: no Python runs in this process
        elif order == "threads":
            check_single_thread()
        elif order == "warm":
            assert WARMED == ["in the server"]


class PickyError(DiskError):
    """Cannot be made again from its message and remedy."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"picky {one} {two}", "none")

    def __reduce__(self) -> Any:
        return type(self), (1,)


def check_single_thread() -> None:
    import numba
    import pyarrow

    assert pyarrow.cpu_count() == 1
    assert numba.config.NUMBA_NUM_THREADS == 1
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert "MIXER_ENGINE" not in os.environ
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 2, f"{threads} threads"  # the task's and the one that watches the engine


@dataclass(frozen=True)
class Unloadable:
    """Pickles, but cannot be unpickled in a worker."""

    name: str = "unloadable"

    def tasks(self) -> list[Task]:
        return [Task("only", "key", 1)]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        return {}

    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise ValueError("cannot be loaded here")
