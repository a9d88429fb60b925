"""How a task reads and writes: every file is hashed on the way and appears when it is complete.

A file that bears its final name is therefore whole, whatever was killed, and its hash is known without reading it
again. The sizes and hashes end up in the task's receipt. Where the build directory is in an object store, tasks read
copies on this machine, which go when the task ends.
"""

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import xxhash

from mixer import storage, uploads
from mixer.engine.disk import check_free, full_disk
from mixer.storage import TEMPORARY, Root, complete, is_local

_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that cannot link two names to one file."""
_PIECE_BYTES: Final = 16 << 20
FOLDERS = ("documents", "dropped", "rejected", "contamination", "fingerprints", "megatron", "run")
"""The folders of a build directory that tasks write into."""


@dataclass(frozen=True)
class OutputFile:
    """Size in bytes and xxh64 (16 hex digits) of a finished file."""

    bytes: int
    xxh64: str


class HashingFile(io.RawIOBase):
    """A binary file open for writing that hashes what goes through it. It cannot seek, and does not own the file."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._hash = xxhash.xxh64()
        self._size = 0

    def writable(self) -> bool:
        """Say that this file takes writes."""
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """Write all of ``data`` (any buffer); an interrupted write of the system's is continued."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        written = 0
        while written < len(view):
            written += self._file.write(view[written:])
        self._size += written
        return written

    def tell(self) -> int:
        """Return the bytes written so far."""
        return self._size

    def result(self) -> OutputFile:
        """Return size and hash of what was written."""
        return OutputFile(self._size, self._hash.hexdigest())


def nothing() -> None:
    """Do nothing."""


class Outputs:
    """The files of a build directory as one task sees them: it reads earlier ones and writes its own.

    ``files`` are those it has written so far, by path relative to the build directory. ``confirm`` is called before a
    file gets its final name, and raises if the task is no longer this process's to do; ``owner`` goes into temporary
    names, where two processes must not write into one file. Close it (or use ``with``) where anything was fetched.
    """

    def __init__(self, root: Root, confirm: Callable[[], None] = nothing, owner: str = "") -> None:
        self.root = root
        self.confirm = confirm
        self._owner = owner
        self.files: dict[str, OutputFile] = {}
        self._scratch: Path | None = None

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the copies that were fetched."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def fetch(self, path: str) -> Path:
        """Return a file on this machine with the bytes of ``path`` (relative), which an earlier stage wrote.

        What is in a store is copied, once for all who ask, and stays until ``close``: for files that are read here and
        there. Those that are read from front to back are better streamed, with ``storage.stream(outputs.root / path)``.

        Raises
        ------
        DiskError
            No space is left on the disk for the copy.
        """
        if is_local(self.root):
            return self.root / path
        if self._scratch is None:
            self._scratch = storage.scratch(self.root)
        with full_disk(self._scratch):
            return storage.fetch(self.root / path, self._scratch)

    @contextmanager
    def open(self, path: str, size: int = 0) -> Iterator[HashingFile]:
        """Open ``path`` (relative, ``/``-separated) for writing; it appears when the block ends without an exception.

        ``size`` is how many bytes it is going to have at most, where that is known and large.

        Raises
        ------
        DiskError
            No space is left on the disk.
        """
        target = self.root / path
        with full_disk(target), storage.create(target, size, self._owner) as opened, HashingFile(opened) as file:
            yield file
            self.confirm()
        self.files[path] = file.result()


def place(source: Root, target: Root, root: Root) -> int:
    """Give a file another name, as a hard link, or as a copy where there are none; return the bytes copied.

    Within a store, it copies the bytes itself; to or from one they go through this machine.

    Parameters
    ----------
    source, target
        The file, and its new name; what has that name already is replaced.
    root
        The directory whose disk must have room for a copy.

    Raises
    ------
    DiskError
        There is no room for a copy.
    """
    if not (is_local(source) and is_local(target)):
        return _copy(source, target)
    with full_disk(target), complete(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            size = source.stat().st_size
            check_free(root, size, f"a copy of {source} (the file system has no links)")
            shutil.copyfile(source, temporary)
            return size
    return 0


def _copy(source: Root, target: Root) -> int:
    """Copy a file to or from a store, or within it."""
    size = source.stat().st_size
    if not is_local(source) and not is_local(target) and source.fs == target.fs:
        uploads.copy(source, target)
        return size
    with storage.stream(source) as opened, full_disk(target), storage.create(target, size) as file:
        shutil.copyfileobj(opened, file, _PIECE_BYTES)
    return size


def remove_temporaries(root: Root) -> None:
    """Remove what killed tasks left half written below a build directory; nobody may be writing there."""
    if not is_local(root):
        uploads.abandon(root)
    for folder in FOLDERS:
        if is_local(root):
            for path in (root / folder).rglob("*" + TEMPORARY):
                path.unlink(missing_ok=True)
        elif not root.fs.async_impl:
            storage.remove(root / folder / name for name in storage.files(root / folder) if name.endswith(TEMPORARY))
