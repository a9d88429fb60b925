"""How a task writes: under a temporary name, hashed on the way, renamed when complete.

A file that bears its final name is therefore whole, whatever was killed, and its hash is known without reading it
again. The sizes and hashes end up in the task's receipt.
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xxhash

from mixer.errors import DiskError

TEMPORARY = ".tmp"


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
    """The files one task has written so far, by path relative to the build directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, OutputFile] = {}

    @contextmanager
    def open(self, path: str) -> Iterator[HashingFile]:
        """Open ``path`` (relative, ``/``-separated) for writing; it appears when the block ends without an exception.

        Raises
        ------
        DiskError
            No space is left on the disk.
        """
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + TEMPORARY)
        try:
            with HashingFile(temporary) as file:
                yield file
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskError(
                    f"no space left on the disk while writing {target}",
                    "free some space and run the same command again: it goes on where it stopped",
                ) from error
            raise
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.files[path] = file.result()
