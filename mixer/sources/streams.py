"""A file as one stream of bytes, read from front to back: decompressed, in UTF-8, without a byte order mark.

Stands between a file and the readers of sequential formats (JSON, plain text, CSV/TSV). All that can go wrong below the
records is decided here: a file that cannot be opened, is corrupt, or ends in the middle.
"""

import codecs
import io
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from mixer.errors import InputError
from mixer.sources.decompress import Compression, CorruptError, TruncatedError, decompressed, sniff_compression
from mixer.sources.listing import InputFile
from mixer.sources.settings import SourceSettings

Reject = Callable[[str, str, str], None]
"""``reject(file, position, cause)``: called once for each record that cannot be read."""

CHUNK = 1 << 20
"""Bytes read at once: large enough for throughput, small beside a batch."""
REMOTE = 8 << 20
"""Bytes that are asked of a store at once, and held: s3fs would take 50 MB."""
HEAD = 1 << 16
"""Bytes looked at to recognise a format."""
_BOM = codecs.BOM_UTF8

UNDECODABLE = b"\xed\xb3\xbf"
"""What stands for a byte that the declared encoding cannot decode: no valid UTF-8, so the check that every format makes
anyway rejects the record, and only that record."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error("mixer.mark", _mark)


def open_binary(file: InputFile) -> Any:
    """Open a file for reading, local or remote; it can seek unless its file system cannot.

    Raises
    ------
    OSError
        It is not there or may not be read.
    """
    fs, path = url_to_fs(file.url)
    if isinstance(fs, LocalFileSystem):
        return open(path, "rb", buffering=0)  # noqa: PTH123
    return fs.open(path, "rb", block_size=REMOTE)


class Stream:
    """The text of one file as UTF-8 bytes; use as a context manager.

    Attributes
    ----------
    compression
        What the file is compressed with, if at all.
    truncated
        Set at the end of a file that ends in the middle and may: its last record is then cut off too.
    """

    def __init__(self, file: InputFile, source: SourceSettings, reject: Reject) -> None:
        self.file = file
        self.source = source
        self.truncated = False
        self._reject = reject
        try:
            self._handle = open_binary(file)
            raw_head = self._handle.read(HEAD)
        except OSError as error:
            raise self.error(f"cannot be opened: {error}", "check the file and its permissions") from error
        self.compression: Compression | None = sniff_compression(raw_head)
        self._encoding = source.encoding
        self._is_utf8 = source.encoding in ("utf-8", "utf-8-sig")
        self._raw = self._decompressed(raw_head)
        self._first: list[bytes] = []
        self._begun = (array("q"), array("q"))  # of each member: bytes put out before it, its place on disk

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def error(self, what: str, remedy: str) -> InputError:
        """Word an error about this file."""
        return InputError(f"source {self.source.name!r}: {self.file.path}: {what}", remedy)

    def cut_off(self, position: str, what: str) -> None:
        """Deal with a file that ends in the middle: an error, or a rejection if the source allows it.

        Raises
        ------
        InputError
            The source does not say ``allow_truncated``.
        """
        if not self.source.allow_truncated:
            raise self.error(
                f"{what} at {position}: the file is truncated",
                "copy the file again, or say `allow_truncated: true` for this source to read it as far as it goes",
            )
        self.truncated = True
        self._reject(self.file.path, position, f"{what}: the file is truncated; its cut-off last record is left out")

    def place(self, offset: int) -> str:
        """Tell where the decompressed byte ``offset`` is on disk, as far as one can point at it."""
        if self.compression is None:
            return f"byte {offset:,}"
        before, places = self._begun
        member = bisect_left(before, offset)
        if member < len(before) and before[member] == offset:
            return f"byte {places[member]:,}"
        return f"byte {offset:,} of the decompressed data"

    def head(self) -> bytes:
        """Look at the first decompressed bytes, about ``HEAD`` of them, without taking them and without transcoding."""
        size = sum(map(len, self._first))
        while size < HEAD and (chunk := next(self._raw, b"")):
            self._first.append(chunk)
            size += len(chunk)
        self._first = [b"".join(self._first)] if self._first else []
        return self._first[0][:HEAD] if self._first else b""

    def chunks(self) -> Iterator[bytes]:
        """Yield the rest of the file as UTF-8 in pieces of about ``CHUNK`` bytes, never empty; once."""
        self.head()
        pieces = self.pieces() if self._is_utf8 else self._transcoded(self.pieces())
        first = b""
        for piece in pieces:
            first += piece
            if len(first) >= len(_BOM):
                break
        first = first.removeprefix(_BOM)
        if first:
            yield first
        yield from pieces

    def undecodable(self, error: UnicodeDecodeError) -> str:
        """Word the cause of a record that is not valid text."""
        if self._is_utf8:
            return f"invalid UTF-8 ({error.reason} at byte {error.start} of the record)"
        return f"bytes that {self._encoding} cannot decode"

    def pieces(self) -> Iterator[bytes]:
        """Yield the rest of the file decompressed but otherwise as it is, for formats that are not UTF-8 text; once."""
        while self._first:
            yield self._first.pop(0)
        yield from self._raw

    def _transcoded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self._encoding)("mixer.mark")
        for piece in pieces:
            if text := decoder.decode(piece):
                yield text.encode("utf-8", "surrogatepass")
        text = "" if self.truncated else decoder.decode(b"", final=True)
        if text:
            yield text.encode("utf-8", "surrogatepass")

    def _decompressed(self, raw_head: bytes) -> Iterator[bytes]:
        raw = self._raw_chunks(raw_head)
        if self.compression is None:
            yield from raw
            return
        try:
            yield from decompressed(raw, self.compression, self._begins)
        except TruncatedError as error:
            self.cut_off(str(error), f"the {self.compression} data end in the middle")
        except CorruptError as error:
            raise self.error(str(error), "copy the file again, or leave it out") from error

    def _begins(self, put_out: int, place: int) -> None:
        self._begun[0].append(put_out)
        self._begun[1].append(place)

    def _raw_chunks(self, raw_head: bytes) -> Iterator[bytes]:
        if raw_head:
            yield raw_head
        position = len(raw_head)
        while True:
            try:
                chunk = self._handle.read(CHUNK)
            except OSError as error:
                raise self.error(
                    f"cannot be read after byte {position:,}: {error}", "check the disk or the network"
                ) from error
            if not chunk:
                return
            position += len(chunk)
            yield chunk


class StreamFile(io.RawIOBase):
    """A stream as a file object that cannot seek, for libraries that want one."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._pieces = stream.pieces()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say that this file can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as one piece goes; 0 means the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
