"""Decompression in bounded memory that tells a whole archive from a truncated one.

Serves ``streams``. The codecs are those of the standard library and of ``zstandard``; what is added is one loop for
all of them: several members or frames in a row, a bound on what one step may put out (a megabyte of zeros takes a few
bytes), and an error that tells a cut-off archive from a corrupt one. (``zstandard``'s own reader ends a cut-off file
silently.)
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import zstandard

Compression = Literal["gzip", "zstd", "bzip2", "xz"]

STEP = 1 << 20
"""Bytes that one decompression step puts out at most (zstd: about)."""
_SLICE = 1 << 16
_SMALLEST_SLICE = 1 << 10
"""Bytes fed to zstd at once: a kilobyte may inflate to some 40 MB, and usually to a few kilobytes."""

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_LONGEST_MAGIC = 6


class TruncatedError(Exception):
    """The archive ends in the middle; the message says where."""


class CorruptError(Exception):
    """The archive cannot be decompressed; the message says where and why."""


def sniff_compression(head: bytes) -> Compression | None:
    """Recognise compressed data by its first bytes (at least 6, fewer at a file's end)."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # a skippable zstd frame comes first
        return "zstd"
    return None


class _Gzip:
    def __init__(self) -> None:
        self._codec = zlib.decompressobj(wbits=31)  # 31: gzip header and checksum

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            out = self._codec.decompress(data, STEP)
            if out:
                yield out
            data = self._codec.unconsumed_tail
            if self._codec.eof or not (data or len(out) == STEP):
                return

    @property
    def eof(self) -> bool:
        return self._codec.eof

    @property
    def unused(self) -> bytes:
        return self._codec.unused_data


class _Buffering:
    """The common interface of the standard library's bzip2 and xz codecs."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            out = self._codec.decompress(data, STEP)
            if out:
                yield out
            data = b""
            if self._codec.eof or self._codec.needs_input:
                return

    @property
    def eof(self) -> bool:
        return bool(self._codec.eof)

    @property
    def unused(self) -> bytes:
        return bytes(self._codec.unused_data)


class _Zstd:
    """``zstandard`` cannot bound its output, so its input is sliced, smaller while the data inflate strongly."""

    def __init__(self) -> None:
        self._codec = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
        self._slice = _SMALLEST_SLICE
        self.unused = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        position = 0
        while position < len(data):
            out = self._codec.decompress(data[position : position + self._slice])
            position += self._slice
            if out:
                yield out
            if self._codec.eof:
                self.unused = self._codec.unused_data + data[position:]
                return
            self._slice = max(_SMALLEST_SLICE, self._slice // 2) if len(out) > STEP else min(_SLICE, self._slice * 2)

    @property
    def eof(self) -> bool:
        return self._codec.eof


_CODECS: dict[Compression, Callable[[], Any]] = {
    "gzip": _Gzip,
    "zstd": _Zstd,
    "bzip2": lambda: _Buffering(bz2.BZ2Decompressor()),
    "xz": lambda: _Buffering(lzma.LZMADecompressor(format=lzma.FORMAT_XZ)),
}
_ERRORS = (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError)


def decompressed(
    chunks: Iterable[bytes], compression: Compression, begins: Callable[[int, int], None] = lambda *_: None
) -> Iterator[bytes]:
    """Decompress a stream of chunks, one member or frame after the other.

    Zero bytes between and after members are padding. Everything that can be decompressed is handed out before an error.

    Parameters
    ----------
    chunks
        The compressed bytes, in pieces of any size.
    compression
        Which codec.
    begins
        Called when a member or frame begins, with the bytes put out before it and its position in the input.

    Yields
    ------
    bytes
        Decompressed pieces, never empty.

    Raises
    ------
    TruncatedError
        The input ends inside a member or frame.
    CorruptError
        The input is no such archive, or a checksum is wrong.
    """
    codec: Any = None
    position = put_out = 0  # compressed bytes taken in, decompressed bytes handed out
    for chunk in chunks:
        position += len(chunk)
        rest = chunk
        while rest:
            if codec is None:
                rest = rest.lstrip(b"\x00")
                if not rest:
                    break
                codec = _CODECS[compression]()
                begins(put_out, position - len(rest))
            try:
                for out in codec.feed(rest):
                    put_out += len(out)
                    yield out
            except _ERRORS as error:
                raise CorruptError(f"corrupt {compression} data at or before byte {position:,}: {error}") from error
            if not codec.eof:
                break
            rest, codec = codec.unused, None
    if codec is not None:
        raise TruncatedError(f"byte {position:,}")
