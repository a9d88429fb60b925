"""A web archive (WARC) as a sequence of records: where each begins and ends. ``warc`` says what is in them.

Records are framed here and not by ``warcio``, whose iterator ends without a word where an archive is cut off, and
cannot go on behind a broken record. Its parser reads the headers.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mixer.sources.extra import library
from mixer.sources.streams import Stream

HELD = 32 << 20
"""Bytes of a record that are held; of a longer one (a video, an archive) the rest is passed over."""
LONGEST_HEADER = 1 << 16
_VERSIONS = ["WARC/1.1", "WARC/1.0", "WARC/0.18", "WARC/0.17"]
_BEGINS = re.compile(rb"WARC/\d+\.\d+\r?\n")
_NEXT = re.compile(rb"\nWARC/\d+\.\d+\r?\nWARC-", re.IGNORECASE)
_LONGEST_BEGINNING = 64
_HEADER_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Record:
    """One record of an archive.

    Attributes
    ----------
    place
        Where it begins in the file, for a rejection.
    headers
        ``warcio``'s ``StatusAndHeaders``; ``get_header`` ignores case.
    block
        What the headers describe, or its first ``HELD`` bytes.
    length
        Bytes of the whole block.
    """

    place: str
    headers: Any
    block: bytes
    length: int


@dataclass(frozen=True)
class Broken:
    """Bytes where a record should begin and none does, up to the next one."""

    place: str
    cause: str


class _Window:
    """A stretch of a stream that can be looked at before it is let go."""

    def __init__(self, stream: Stream) -> None:
        self._pieces = stream.pieces()
        self.data = bytearray()
        self.offset = 0  # of data[0] in the stream
        self.ended = False

    def reach(self, size: int) -> bool:
        """Hold at least ``size`` bytes; whether there are so many."""
        while len(self.data) < size and not self.ended:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
            else:
                self.data += piece
        return len(self.data) >= size

    def drop(self, size: int) -> None:
        """Let the first ``size`` bytes go, as far as there are so many."""
        while size > len(self.data) and self.reach(1):
            size -= len(self.data)
            self.offset += len(self.data)
            self.data.clear()
        size = min(size, len(self.data))
        del self.data[:size]
        self.offset += size

    def drop_breaks(self) -> None:
        """Let line breaks go."""
        while self.reach(1) and self.data[0] in b"\r\n":
            rest = self.data.lstrip(b"\r\n")
            self.offset += len(self.data) - len(rest)
            self.data = rest

    def drop_to_next(self, start: int) -> None:
        """Let everything go before the next record that begins after byte ``start`` of the window."""
        while True:
            found = _NEXT.search(self.data, start)
            if found:
                self.drop(found.start() + 1)
                return
            self.drop(max(start, len(self.data) - _LONGEST_BEGINNING))
            start = 0
            if not self.reach(len(self.data) + 1):
                self.drop(len(self.data))
                return


def records(stream: Stream) -> Iterator[Record | Broken]:
    """Yield the records of an archive in order, broken ones as such; each counts one index of the file.

    Raises
    ------
    InputError
        The archive ends inside a record and the source does not allow that.
    """
    window = _Window(stream)
    parser = library("warcio.statusandheaders").StatusAndHeadersParser(_VERSIONS)
    while True:
        window.drop_breaks()
        if not window.data:
            return
        place = stream.place(window.offset)
        begin, cause = _header(window)
        if begin is None:
            if window.ended and _is_beginning(window.data):
                _cut_off(stream, place)
                return
            yield Broken(place, cause)
            window.drop_to_next(1)
            continue
        try:
            headers = parser.parse(io.BytesIO(window.data[:begin]))
            length = int(headers.get_header("Content-Length"))
        except (TypeError, ValueError, library("warcio.statusandheaders").StatusAndHeadersParserException):
            length = -1
        if length < 0:
            yield Broken(place, "a WARC record without a valid Content-Length")
            window.drop_to_next(begin)
            continue
        is_whole = window.reach(begin + min(length, HELD))
        block = bytes(window.data[begin : begin + min(length, HELD)])
        if is_whole and length <= HELD and _is_followed(window, begin + length):
            window.drop(begin + length)
            yield Record(place, headers, block, length)
        elif is_whole and length > HELD:
            window.drop(begin + length - 1)
            if not window.reach(1):
                _cut_off(stream, place)
                return
            window.drop(1)
            yield Record(place, headers, block, length)
        elif not is_whole and not _NEXT.search(window.data, begin):
            _cut_off(stream, place)
            return
        else:
            yield Broken(place, f"a WARC record whose Content-Length of {length:,} leads to no other record")
            window.drop_to_next(begin - 1)


def _header(window: _Window) -> tuple[int | None, str]:
    """Return the length of the header that the window begins with, or None and what is wrong."""
    window.reach(_LONGEST_BEGINNING)
    if not _BEGINS.match(window.data):
        return None, "no WARC record where one should begin"
    sought = 0
    while not (found := _HEADER_END.search(window.data, sought)):
        sought = max(0, len(window.data) - 4)
        if len(window.data) > LONGEST_HEADER or not window.reach(len(window.data) + 1):
            return None, "a WARC record whose header does not end"
    return found.end(), ""


def _is_beginning(data: bytes | bytearray) -> bool:
    """Whether some last bytes may be the first ones of a header that is cut off."""
    return len(data) <= LONGEST_HEADER and (b"WARC/".startswith(data[:5]) or data.startswith(b"WARC/"))


def _is_followed(window: _Window, size: int) -> bool:
    """Whether the first ``size`` bytes end as a record does: with two line breaks, another record, or the file."""
    window.reach(size + _LONGEST_BEGINNING)
    behind = window.data[size : size + _LONGEST_BEGINNING]
    rest = behind.lstrip(b"\r\n")
    return (
        not rest
        or behind.startswith(b"\r\n\r\n")
        or bool(_BEGINS.match(rest))
        or (window.ended and _is_beginning(rest))
    )


def _cut_off(stream: Stream, place: str) -> None:
    """Deal with an archive that ends inside a record, if that has not been said yet."""
    if not stream.truncated:
        stream.cut_off(f"the record at {place}", "the web archive ends in the middle")
