"""How a task writes: under a temporary name, hashed on the way, renamed when complete.

A file that bears its final name is therefore whole, whatever was killed, and its hash is known without reading it
again. The sizes and hashes end up in the task's receipt.
"""

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import xxhash

from mixer.engine.disk import check_free, full_disk

TEMPORARY = ".tmp"
_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that cannot link two names to one file."""
FOLDERS = ("documents", "dropped", "rejected", "megatron", "run")
"""The folders of a build directory that tasks write into."""


@dataclass(frozen=True)
class OutputFile:
    """Size in bytes and xxh64 (16 hex digits) of a finished file."""

    bytes: int
    xxh64: str


class HashingFile(io.RawIOBase):
    """A binary file open for writing that hashes what goes through it. It cannot seek."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb", buffering=0)
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

    def close(self) -> None:
        """Close the file underneath; closing twice is harmless."""
        self._file.close()
        super().close()

    def result(self) -> OutputFile:
        """Return size and hash of what was written."""
        return OutputFile(self._size, self._hash.hexdigest())


class Outputs:
    """The files of a build directory as one task sees them: it reads earlier ones and writes its own.

    ``files`` are those it has written so far, by path relative to the build directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, OutputFile] = {}

    def fetch(self, path: str) -> Path:
        """Return a file on this machine with the bytes of ``path`` (relative), which an earlier stage wrote."""
        return self.root / path

    @contextmanager
    def open(self, path: str) -> Iterator[HashingFile]:
        """Open ``path`` (relative, ``/``-separated) for writing; it appears when the block ends without an exception.

        Raises
        ------
        DiskError
            No space is left on the disk.
        """
        target = self.root / path
        with full_disk(target), complete(target) as temporary, HashingFile(temporary) as file:
            yield file
        self.files[path] = file.result()


@contextmanager
def complete(target: Path) -> Iterator[Path]:
    """Hand out a temporary path beside ``target`` that takes its name when the block ends without an exception."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + TEMPORARY)
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):  # what cannot be written to cannot be tidied either: say the first error
            temporary.unlink(missing_ok=True)
        raise


def place(source: Path, target: Path, root: Path) -> int:
    """Give a file another name, as a hard link, or as a copy where the file system cannot; return the bytes copied.

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


def remove_temporaries(root: Path) -> None:
    """Remove what killed tasks left half written below a build directory; nobody may be writing there."""
    for folder in FOLDERS:
        for path in (root / folder).rglob("*" + TEMPORARY):
            path.unlink(missing_ok=True)
