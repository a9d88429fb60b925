"""Two builds never write into one directory at once, nor a build beside workers that outlived an earlier one.

Both locks are the kernel's (``flock``) and vanish with the processes that hold them, whatever ends those. The build
holds ``run/lock`` alone; each worker holds ``run/workers`` together with the other workers. A build that starts waits
until it can have ``run/workers`` alone for a moment: then no worker of a killed build is left. For a build in an object
store both files are in its folder on this machine, and ``lease`` keeps other machines away.
"""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mixer.engine import lease
from mixer.engine.disk import full_disk
from mixer.engine.outputs import nothing
from mixer.errors import UsageError
from mixer.storage import Root, is_local, workplace

PATIENCE_SECONDS = 10.0
"""How long workers of a killed build may take to go. The kernel kills them at once; large memory takes a moment."""


@contextmanager
def lock(root: Root, evict: Callable[[], None] = nothing) -> Iterator[None]:
    """Hold the build directory ``root``, which is made if missing, for this process alone.

    ``evict`` is called while no other build can start, and ends workers of an earlier one that outlived it.

    Raises
    ------
    UsageError
        Another build holds it (the message names its process), workers of a killed one still run, the file
        system knows no locks, or the directory cannot be made or written to.
    DiskError
        No space is left on the disk.
    """
    folder = workplace(root)
    with _open(folder / "lock") as holder:
        if not _try(holder, fcntl.LOCK_EX):
            holder.seek(0)
            raise UsageError(
                f"another build is writing to {root}: {holder.read().strip() or 'an unknown process'}",
                "wait until it has ended, stop it, or choose another directory with --out",
            )
        evict()
        _wait_for_workers(root, folder / "workers")
        with full_disk(folder / "lock"):
            holder.truncate(0)
            holder.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            holder.flush()
        if is_local(root):
            yield
            return
        with lease.hold(root, folder / "lock"):
            yield
        shutil.rmtree(folder / "fetched", ignore_errors=True)


def is_held(root: Root) -> bool:
    """Say whether a build is running in ``root``, as far as the file system's locks tell.

    Not to be asked all the time: a build that starts at the very moment would think that there is another.
    """
    try:
        with (workplace(root) / "lock").open("r") as holder:
            return not _try(holder, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def hold_as_worker(root: Root) -> IO[str] | None:
    """Join the workers of ``root`` until the returned file is closed; None if a new build is just taking over."""
    path = workplace(root) / "workers"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    if _try(file, fcntl.LOCK_SH):
        return file
    file.close()
    return None


def _open(path: Path) -> IO[str]:
    """Open a file to append to and to read, and make the folders above it."""
    try:
        with full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a+")
    except OSError as error:
        raise UsageError(
            f"{path.parent.parent} cannot be made or written to: {error.strerror} ({error.filename})",
            "choose another directory",
        ) from error


def _wait_for_workers(root: Root, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with _open(path) as workers:
        while not _try(workers, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise UsageError(
                    f"workers of an earlier build are still writing to {root}",
                    f"stop them (fuser {path} lists them), then run the same command again",
                )
            time.sleep(0.05)


def _try(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UsageError(
            f"the file system of {file.name} cannot lock files: {error}",
            "choose a directory on a file system that can (Lustre: mount option flock)",
        ) from error
    return True
