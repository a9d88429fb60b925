"""Disk space: asked for before a stage starts, and a clear error when it runs out all the same."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from mixer.errors import DiskError
from mixer.storage import Root, is_local

REMEDY = "free some space and run the same command again: it goes on where it stopped"


def check_free(path: Root, needed_bytes: int, what: str) -> None:
    """Make sure that ``needed_bytes`` are free where ``path`` is, or will be.

    Parameters
    ----------
    path
        A directory; it need not exist yet. An object store is taken to be large enough.
    needed_bytes
        What is going to be written there, in bytes.
    what
        What needs the space, for the message (``the stage tokenize``).

    Raises
    ------
    DiskError
        Less is free.
    """
    if not is_local(path):
        return
    there = path.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise DiskError(f"{what} needs {_amount(needed_bytes)} but only {_amount(free)} are free at {path}", REMEDY)


@contextmanager
def full_disk(path: Root) -> Iterator[None]:
    """Turn a full disk (or quota) met while ``path`` is written into a ``DiskError``; other errors pass through."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError(f"no space left on the disk while writing {path}", REMEDY) from error
        raise


def _amount(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 10**9 else f"{count / 1e6:.2f} MB"
