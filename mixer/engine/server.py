"""The fork server: a helper process that has imported everything heavy, and from which workers are forked in no time.

``multiprocessing`` brings it; this module decides what it finds in its environment, keeps it from running the user's
script, and sees that it ends. ``preload`` is what it imports.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any

from mixer.engine.worker import ENGINE, ONE_THREAD, WARM

PRELOAD = "mixer.engine.preload"
LAUNCHES = 4
"""How often a launch is tried while a server that was killed is on its way out."""


def start(preload: Sequence[str], warm: Sequence[Callable[[], object]], awake: Callable[[], None]) -> None:
    """Start the server, if there is none, and wait until it has imported its modules and warmed up.

    Parameters
    ----------
    preload
        Modules it imports beside the engine's own; they must not start threads, since a fork copies none.
    warm
        Called in the server, in order, so that workers find done what they leave behind; they must pickle and must not
        start threads. If one raises, the rest is left out.
    awake
        Called many times a second meanwhile; may raise to give up waiting.
    """
    forkserver.set_forkserver_preload([PRELOAD, *preload])
    resource_tracker.ensure_running()  # it undoes the signal mask that the server is to inherit
    problems: list[BaseException] = []
    with tempfile.NamedTemporaryFile(prefix="mixer-warm-") as file:
        file.write(pickle.dumps(list(warm)))
        file.flush()
        with _inheritance({WARM: file.name}), _without_main():
            # In this thread and not in the one below: the kernel watches the thread that is a process's parent.
            forkserver.ensure_running()
        first = threading.Thread(target=_first_launch, args=(problems,), daemon=True)
        first.start()
        while first.is_alive():
            awake()
            first.join(0.05)
    if problems:
        raise problems[0]


def stop() -> None:
    """End the server now rather than with this process: its CPU time, and all workers', is then in RUSAGE_CHILDREN."""
    getattr(forkserver, "_forkserver")._stop()  # noqa: B009 (not public, so without a type)


def launch(target: Callable[..., Any], arguments: tuple[Any, ...], name: str) -> Any:
    """Start ``target(*arguments)`` in a process forked from the server and return the process."""
    for attempt in range(1, LAUNCHES + 1):
        process = multiprocessing.get_context("forkserver").Process(
            target=target, args=arguments, name=name, daemon=True
        )
        try:
            with _inheritance(), _without_main():
                process.start()
        except (ConnectionError, EOFError):
            # The server was killed. Its successor can be started as soon as the kernel says that it is gone.
            if attempt == LAUNCHES:
                raise
            time.sleep(0.1 * attempt)
        else:
            return process
    raise AssertionError("unreachable")


def _first_launch(problems: list[BaseException]) -> None:
    try:
        process = launch(_nothing, (), "first")
        process.join()
        process.close()
    except BaseException as error:
        problems.append(error)


def _nothing() -> None:
    """Do nothing: that it could be started is the news."""


@contextlib.contextmanager
def _inheritance(more: Mapping[str, str] | None = None) -> Iterator[None]:
    """Set what a server inherits, and its workers after it, while one may be started.

    It gets this process's import path rather than the current directory, whose files could pass for modules, and is
    deaf to Ctrl-C, which reaches the whole group: only the engine decides what that means.
    """
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    values = {**ONE_THREAD, ENGINE: str(os.getpid()), "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **(more or {})}
    before = {name: os.environ.get(name) for name in values}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep ``multiprocessing`` from running the user's script again in every worker: nothing of it is needed there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
