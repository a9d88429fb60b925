r"""Long encoded strings in any text: base64, bytes as hexadecimal digits, Unicode escapes.

The three expressions of StarCoder2 (Lozhkov et al. 2024, arXiv:2402.19173, section 2.1), exactly, read as ASCII::

    [a-zA-Z0-9+/\n=]{64,}
    (?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}
    (?:\\u[0-9a-fA-F]{4}){8,}

A run of at least so many bytes of an alphabet is found by looking at every so-manieth byte: most of a text is not read.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.utf8 import Bytes, Offsets, count_characters

ENCODED_STATISTICS = ("longest_encoded", "encoded_share")
"""Columns of ``encoded_statistics``."""

_BASE64, _HEX_DIGIT, _HEX_RUN, _ESCAPE_RUN, _WORD, _SPACE = (1 << bit for bit in range(6))


def _alphabets() -> NDArray[np.uint8]:
    """Return which bytes belong to which alphabet: uint8[256] of bits."""
    digits = b"0123456789abcdefABCDEF"
    letters = bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)) + b"0123456789"
    found = np.zeros(256, np.uint8)
    for flag, members in (
        (_BASE64, letters + b"+/\n="),
        (_HEX_DIGIT, digits),
        (_HEX_RUN, digits + b"x\\, \t\n\r\x0b\x0c"),
        (_ESCAPE_RUN, digits + b"\\u"),
        (_WORD, letters + b"_"),
        (_SPACE, b" \t\n\r\x0b\x0c"),
    ):
        found[list(members)] |= flag
    return found


ALPHABETS = _alphabets()
"""uint8[256]: bits of what each byte may be part of."""


@njit(cache=True, nogil=True)
def _run(data: Bytes, position: int, end: int, alphabets: Bytes, flag: int, least: int) -> tuple[int, int]:
    """Return where the first run of an alphabet begins and ends that is long enough; both ``end``: there is none."""
    while position + least <= end:
        last = position + least - 1
        while last >= position and alphabets[data[last]] & flag:
            last -= 1
        if last < position:
            stop = position + least
            while stop < end and alphabets[data[stop]] & flag:
                stop += 1
            return position, stop
        position = last + 1
    return end, end


@njit(cache=True, nogil=True)
def _after_byte(data: Bytes, begin: int, position: int, end: int, alphabets: Bytes) -> int:
    """Return where one byte in hexadecimal digits ends, with what parts it from the next; 0: there is none."""
    first = data[position]
    word = alphabets[first] & _WORD != 0
    if word == (position > begin and alphabets[data[position - 1]] & _WORD != 0):
        return 0
    if position + 1 < end and data[position + 1] == 0x78 and (first == 0x30 or first == 0x5C):
        position += 2
    if position + 2 > end or not alphabets[data[position]] & alphabets[data[position + 1]] & _HEX_DIGIT:
        return 0
    position += 2
    if position < end:
        if data[position] == 0x2C:
            return position + 1
        if alphabets[data[position]] & _WORD:
            return 0
        while position < end and alphabets[data[position]] & _SPACE:
            position += 1
    return position


@njit(cache=True, nogil=True)
def _hexadecimal(data: Bytes, begin: int, end: int, alphabets: Bytes) -> tuple[int, int]:
    """Return the longest sequence of eight bytes or more in hexadecimal digits, and the characters of all."""
    longest = total = 0
    stop = begin
    while True:
        # Eight bytes of two digits with something between them cannot be shorter than 23 characters.
        position, stop = _run(data, stop, end, alphabets, _HEX_RUN, 23)
        if position >= end:
            return longest, total
        while position < stop:
            after = position
            count = 0
            while after < stop:
                following = _after_byte(data, begin, after, end, alphabets)
                if not following:
                    break
                after = following
                count += 1
            if count >= 8:
                longest = max(longest, after - position)
                total += after - position
            position = max(after, position + 1)


@njit(cache=True, nogil=True)
def _escapes(data: Bytes, begin: int, end: int, alphabets: Bytes) -> tuple[int, int]:
    """Return the longest sequence of eight Unicode escapes or more, and the characters of all."""
    longest = total = 0
    stop = begin
    while True:
        position, stop = _run(data, stop, end, alphabets, _ESCAPE_RUN, 48)
        if position >= end:
            return longest, total
        while position + 48 <= stop:
            after = position
            while after + 6 <= stop and data[after] == 0x5C and data[after + 1] == 0x75:
                digits = 0
                while digits < 4 and alphabets[data[after + 2 + digits]] & _HEX_DIGIT:
                    digits += 1
                if digits < 4:
                    break
                after += 6
            if after - position >= 48:
                longest = max(longest, after - position)
                total += after - position
            position = max(after, position + 1)


@njit(cache=True, nogil=True)
def encoded_statistics(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], alphabets: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Measure the encoded strings of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    alphabets
        ``ALPHABETS``.

    Returns
    -------
    float32[documents, 2]: ``ENCODED_STATISTICS``.

    - ``longest_encoded``: characters of the longest match of any of the three expressions.
    - ``encoded_share``: characters of all matches among all characters; at most 1 where two expressions match the same.
    """
    out = np.zeros((len(rows), 2), np.float32)
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        longest, total = _hexadecimal(data, begin, end, alphabets)
        found, matched = _escapes(data, begin, end, alphabets)
        longest, total = max(longest, found), total + matched
        position, stop = _run(data, begin, end, alphabets, _BASE64, 64)
        while position < end:
            longest, total = max(longest, stop - position), total + stop - position
            position, stop = _run(data, stop, end, alphabets, _BASE64, 64)
        out[index, 0] = longest
        if total:
            out[index, 1] = min(1.0, total / count_characters(data, begin, end))
    return out
