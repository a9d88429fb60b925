"""What happens in the process of a task: do it, leave a receipt, tell the engine.

``perform`` is what every engine has done for a task; the rest is the process of the local engine, which has one for
each task and hears from it over a pipe. Engines believe receipts, not messages: a worker that dies anywhere before its
receipt is there has done nothing, one that dies after has done everything.
"""

import contextlib
import ctypes
import faulthandler
import gc
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NoReturn

from mixer.engine.disk import full_disk
from mixer.engine.lock import hold_as_worker
from mixer.engine.outputs import Outputs
from mixer.engine.receipts import write_receipt
from mixer.engine.stage import Receipt, Stage, Task
from mixer.errors import MixerError
from mixer.storage import Root

ONE_THREAD = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment of every worker: as many processes as cores, so one thread each. Arrow reads OMP_NUM_THREADS too; with an
allocator beside the system's, each would hold what the other could use (50 MB a worker, measured, at the same speed).
"""
ENGINE = "MIXER_ENGINE"
"""Environment variable by which the fork server learns its engine's process id."""
WARM = "MIXER_WARM"
"""Environment variable that names the file of what the fork server is to call before it forks (``server.start``)."""
REPORT_SECONDS = 0.25
"""How often a worker reports at most: enough for the eye, nothing for the CPU."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Order:
    """What a worker is to do: the pickled stage and task, where, and which file takes what it prints."""

    root: Root
    stage: bytes
    task: bytes
    log: Path


@dataclass(frozen=True)
class Counted:
    """Message: so much more has been done."""

    documents: int = 0
    text_bytes: int = 0
    kept: int = 0

    def __add__(self, more: "Counted") -> "Counted":
        return Counted(self.documents + more.documents, self.text_bytes + more.text_bytes, self.kept + more.kept)


@dataclass(frozen=True)
class Refused:
    """Message: the task met an error that the user can mend; trying again would not help."""

    error: MixerError


@dataclass(frozen=True)
class Crashed:
    """Message: the task raised something else; its traceback is in the log."""

    summary: str


class Reporter:
    """The ``Progress`` of a task: adds up, and sends a message every ``seconds`` at most."""

    def __init__(self, send: Callable[[Counted], object], seconds: float = REPORT_SECONDS) -> None:
        self.total = Counted()
        self._sent = self.total
        self._send = send
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def __call__(self, *, documents: int = 0, size: int = 0, kept: int = 0) -> None:
        """Add documents, bytes of text and kept documents."""
        self.total += Counted(documents, size, kept)
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent yet."""
        new, old = self.total, self._sent
        self._send(Counted(new.documents - old.documents, new.text_bytes - old.text_bytes, new.kept - old.kept))
        self._sent = new
        self._next = time.monotonic() + self._seconds


def main(order: Order, channel: Connection) -> NoReturn:
    """Do one task in this process and end it: code 0 with a receipt, else 1 and a message on ``channel``."""
    code = 1
    try:
        with full_disk(order.root):
            _redirect(order.log)
            _settle()
            _perform(order, channel)
        code = 0
    # The engine first, then the log: on a full disk nothing can be logged.
    except MixerError as error:
        channel.send(Refused(portable(error)))
        _log()
    except BaseException as error:
        channel.send(Crashed("".join(traceback.format_exception_only(error)).strip()))
        _log()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # At once: threads and exit hooks of libraries have nothing to add, and must not be able to hang.
        os._exit(code)


def _log() -> None:
    """Write the traceback of the exception that is being handled to the log, if that is possible."""
    with contextlib.suppress(Exception):
        traceback.print_exc()


def _perform(order: Order, channel: Connection) -> None:
    lock = hold_as_worker(order.root)
    engine = multiprocessing.parent_process()
    if lock is None or engine is None or not engine.is_alive():
        raise RuntimeError("the engine that started this worker has ended")
    with Outputs(order.root) as outputs:
        perform(outputs, pickle.loads(order.stage), pickle.loads(order.task), Reporter(channel.send))


def perform(outputs: Outputs, stage: Stage, task: Task, report: Reporter, spent: float = 0.0) -> Receipt:
    """Do one task and leave its receipt, which is written last.

    Parameters
    ----------
    outputs
        The build directory as this task sees it.
    report
        Is told how far the task is.
    spent
        CPU seconds of this process that earlier tasks account for.
    """
    counts = stage.run(task, outputs, report)
    report.flush()
    receipt = Receipt(
        stage=stage.name,
        task=task.id,
        key=task.key,
        outputs=dict(sorted(outputs.files.items())),
        counts=counts,
        cpu_seconds=round(cpu_seconds() - spent, 3),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        documents=report.total.documents,
        text_bytes=report.total.text_bytes,
        kept=report.total.kept,
    )
    outputs.confirm()
    write_receipt(outputs.root, receipt)
    return receipt


def cpu_seconds() -> float:
    """Return user and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def use_one_thread() -> None:
    """Keep Arrow, where it is imported already, and what reads its environment later, to one thread."""
    os.environ.update(ONE_THREAD)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(1)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux; elsewhere ``_watch`` does what it can)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _redirect(log: Path) -> None:
    """Send what the task prints, native libraries included, to its log; the terminal belongs to the display."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()


def _settle() -> None:
    """Make this process one that lives no longer than its engine and uses one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    gc.freeze()
    gc.enable()
    use_one_thread()


def _watch(server: int) -> None:
    """End this process when the engine or the fork server has ended.

    On Linux this is the second line of defence: it needs the interpreter's lock, which a native library may hold for
    long.
    """
    engine = multiprocessing.parent_process()
    while engine is not None and os.getppid() == server:
        if wait([engine.sentinel], timeout=1.0):
            break
    os._exit(1)


def portable(error: MixerError) -> MixerError:
    """Return an error that survives the way to the engine: this one, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return MixerError(f"{type(error).__name__}: {error.message}", error.remedy)
    return error
