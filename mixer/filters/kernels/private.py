"""Personal data in text: e-mail addresses, IP addresses, Chinese mobile and identity numbers, and secrets.

One walk over the bytes of a batch stops only where something may begin or be inside: an ``@``, the first digit of a
run, a byte of a key's prefix. A matcher then looks both ways. What is found are spans of the buffer, each match by
itself; ``privacy`` joins those that overlap. docs/privacy.md says what each matcher takes and why.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels import bytes as b
from mixer.filters.kernels.bytes import ByteClasses, Words, byte_classes, run_end, words
from mixer.filters.kernels.email import NO_DOMAINS, email_at
from mixer.filters.kernels.numbers import VERSION_WORDS, identity_at, ipv4_at, ipv6_at, mobile_at
from mixer.filters.kernels.secrets import SecretTables, anchor_bytes, secret, secret_tables
from mixer.text.utf8 import Bytes, Offsets

KINDS: Final = ("secrets", "email", "cn_identity", "ipv6", "ipv4", "cn_mobile")
"""What is found. Of matches that overlap, the kind that stands first here names the whole."""
_SECRET: Final = 0
_EMAIL: Final = 1
_IDENTITY: Final = 2
_IPV6: Final = 3
_IPV4: Final = 4
_MOBILE: Final = 5
_AT: Final = 1
_NUMBER: Final = 2
_KEY: Final = 4


class Tables(NamedTuple):
    """What the kernel looks up: byte classes, which bytes it stops at, lists of words, and the forms of secrets."""

    classes: ByteClasses
    stops: NDArray[np.uint8]
    no_domains: Words
    version_words: Words
    secrets: SecretTables


def tables(kinds: frozenset[str]) -> Tables:
    """Make the tables for some of ``KINDS``: bytes that only other kinds care for are no stops."""
    stops = np.zeros(256, np.uint8)
    if "email" in kinds:
        stops[[0x40, 0xEF]] = _AT  # 0xEF begins the full-width ＠
    if kinds - {"email", "secrets"}:
        stops[0x30:0x3A] = _NUMBER
    if "secrets" in kinds:
        stops[anchor_bytes()] = _KEY
    return Tables(byte_classes(), stops, words(NO_DOMAINS), words(VERSION_WORDS), secret_tables())


def wanted(kinds: frozenset[str]) -> NDArray[np.bool_]:
    """Return bool[kinds] in the order of ``KINDS``."""
    return np.array([kind in kinds for kind in KINDS])


@njit(cache=True, nogil=True)
def _next_stop(data: Bytes, position: int, end: int, stops: NDArray[np.uint8], pairs: NDArray[np.uint8]) -> int:
    """Return the next position at which something may be found, or the end: nearly all bytes are passed here.

    A byte of a prefix counts only after the byte that stands before it there. (Before the first document it may be
    judged by a byte outside; ``secret`` then looks again.)
    """
    while position < end:
        what = stops[data[position]]
        if what == _KEY:
            what = pairs[np.int64(data[position - 1]) << 8 | data[position]]
        elif what == _AT and data[position] == 0xEF:
            what = data[position + 1] == 0xBC
        if what:
            break
        position += 1
    return position


@njit(cache=True, nogil=True)
def _grow(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    larger = np.empty((2 * len(spans), 3), np.int64)
    larger[: len(spans)] = spans
    return larger


@njit(cache=True, nogil=True)
def find(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], kinds: NDArray[np.bool_], tables: Tables
) -> NDArray[np.int64]:
    """Find personal data in some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    kinds
        bool[6]: which of ``KINDS`` to look for.
    tables
        Of the same kinds (see ``tables``).

    Returns
    -------
    int64[matches, 3]: first byte, end and kind. Matches may overlap, and stand in the order of the documents only.
    """
    classes, stops, pairs = tables.classes, tables.stops, tables.secrets.pairs
    spans = np.empty((64, 3), np.int64)
    count = 0
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        position = begin
        after_address = (
            begin  # what stands before it will be a placeholder, on which nothing goes on: 8.8.100.8-8.8.100.9
        )
        while True:
            position = _next_stop(data, position, end, stops, pairs)
            if position == end:
                break
            what = stops[data[position]]
            if count + 4 > len(spans):
                spans = _grow(spans)
            if what == _NUMBER:
                stop = run_end(data, position, end, classes, b.DIGIT)
                length = stop - position
                after = data[stop] if stop < end else 0
                if kinds[_IPV4] and length <= 3 and after == 0x2E:
                    first, last = ipv4_at(data, position, after_address, end, classes, tables.version_words)
                    if last:
                        after_address = last
                        spans[count] = first, last, _IPV4
                        count += 1
                if kinds[_IPV6] and length <= 4 and 0x32 <= data[position] <= 0x33:
                    first, last = ipv6_at(data, position, begin, end, classes)
                    if last:
                        spans[count] = first, last, _IPV6
                        count += 1
                if kinds[_MOBILE] and (length >= 11 or ((after == 0x20 or after == 0x2D) and length >= 3)):
                    first, last = mobile_at(data, position, stop, begin, end, classes)
                    if last:
                        spans[count] = first, last, _MOBILE
                        count += 1
                if kinds[_IDENTITY] and 17 <= length <= 18:
                    first, last = identity_at(data, position, stop, begin, end, classes)
                    if last:
                        spans[count] = first, last, _IDENTITY
                        count += 1
                position = stop
                continue
            if what == _AT:
                width = 1
                if data[position] == 0xEF:
                    wide = position + 2 < end and data[position + 1] == 0xBC and data[position + 2] == 0xA0
                    width = 3 if wide else 0
                if width:
                    first, last = email_at(data, position, width, begin, end, classes, tables.no_domains)
                    if last:
                        spans[count] = first, last, _EMAIL
                        count += 1
            else:
                first, last = secret(data, position, begin, end, classes, tables.secrets)
                if last:
                    spans[count] = first, last, _SECRET
                    count += 1
            position += 1
    return spans[:count]


@njit(cache=True, nogil=True)
def replace(
    data: Bytes, offsets: Offsets, spans: NDArray[np.int64], placeholders: Bytes, placeholder_offsets: Offsets
) -> tuple[Bytes, Offsets]:
    """Put the placeholder of its kind in the place of each span.

    Parameters
    ----------
    spans
        int64[matches, 3]: first byte, end and kind; in order, none overlapping another or two documents.
    placeholders, placeholder_offsets
        The placeholders of ``KINDS``, as a column.

    Returns
    -------
    The new column, whose offsets begin at 0.
    """
    size = offsets[-1] - offsets[0]
    for i in range(len(spans)):
        kind = spans[i, 2]
        size += placeholder_offsets[kind + 1] - placeholder_offsets[kind] - (spans[i, 1] - spans[i, 0])
    out = np.empty(size, np.uint8)
    out_offsets = np.zeros(len(offsets), np.int64)
    source, target, i = offsets[0], 0, 0
    for row in range(len(offsets) - 1):
        end = offsets[row + 1]
        while i < len(spans) and spans[i, 0] < end:
            kind = spans[i, 2]
            before = spans[i, 0] - source
            out[target : target + before] = data[source : source + before]
            target += before
            placeholder = placeholders[placeholder_offsets[kind] : placeholder_offsets[kind + 1]]
            out[target : target + len(placeholder)] = placeholder
            target += len(placeholder)
            source = spans[i, 1]
            i += 1
        out[target : target + end - source] = data[source:end]
        target += end - source
        source = end
        out_offsets[row + 1] = target
    return out, out_offsets
