"""The normal form in which texts are compared: a column of text in, a column of text out.

The normal form of ``text`` is, with Python's own words, ``" ".join(unicodedata.normalize("NFC", text).casefold()
.split())``: canonically composed, case-folded (in full: ß is ss), every run of white space one space and none at the
ends. Digits, punctuation and accents stay: without digits templated exercises would be one text, without punctuation
programs would. Folding can undo a composition (ΐ); it is not composed again, for texts that are canonically equal
have the same normal form either way. It serves comparison only: what is kept is the text as it was.

Composition is left to Python, for whole texts, and only for those that hold an ``UNSTABLE`` character (a combining
mark, mostly); the rest is one kernel. White space and folding follow the tables of ``characters``; composition
follows the running Python, which by Unicode's stability policy can differ only for characters newer than the tables.
"""

import unicodedata
from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.characters import CLASSES, FOLDED, FOLDING, FOLDS, MARK, SPACE, UNSTABLE, Classes
from mixer.text.utf8 import Bytes, Offsets, decode

LONGEST_MARKS = 64
"""Combining marks in a row that libraries may put in order, which takes them time with the square of the row. Unicode's
Stream-Safe Text Format (Standard Annex 15, section 13) has at most 30."""

_BLANK = np.uint8(0x20)
_GROWTH = 3
"""How many times its bytes a character's folding takes at most (ΐ: two become six)."""


def _ascii_table() -> Bytes:
    """Return what each ASCII character becomes, a blank for white space: uint8[128]."""
    table = np.arange(128, dtype=np.uint8)
    table[(CLASSES[:128] & SPACE) > 0] = _BLANK
    folds = FOLDING[FOLDING < 128]
    table[folds] = FOLDED[: len(folds), 0]
    return table


_ASCII = _ascii_table()


def normalise(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets]:
    """Return the normal form of every text of a column, as a new column.

    Parameters
    ----------
    data, offsets
        A column of ``n`` texts (see ``utf8``).

    Returns
    -------
    data, offsets
        The ``n`` normal forms, back to back from offset 0.
    """
    folded, bounds, unstable = _fold(data, offsets, _ASCII, CLASSES, FOLDING, FOLDED, UNSTABLE)
    rows = np.flatnonzero(unstable)
    if not len(rows):
        return folded, bounds
    marks = longest_marks(data, offsets, rows, CLASSES)
    composed = [
        _compose(data[offsets[row] : offsets[row + 1]], ordered=run <= LONGEST_MARKS)
        for row, run in zip(rows.tolist(), marks.tolist(), strict=True)
    ]
    ends = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(text) for text in composed], out=ends[1:])
    ends.flags.writeable = False  # as Arrow's are: one compiled kernel serves both calls
    late, late_bounds, _ = _fold(np.frombuffer(b"".join(composed), np.uint8), ends, _ASCII, CLASSES, FOLDING, FOLDED, 0)
    return _insert(folded, bounds, rows, late, late_bounds)


def _compose(text: Bytes, *, ordered: bool) -> bytes:
    decoded = text.tobytes().decode()
    return unicodedata.normalize("NFC", decoded if ordered else with_ordered_marks(decoded)).encode()


def with_ordered_marks(text: str) -> str:
    """Bring the combining marks of a text in canonical order, in time that grows with their number and no faster."""
    runs = groupby(text, key=lambda char: unicodedata.combining(char) > 0)
    return "".join("".join(_ordered(run) if marks else run) for marks, run in runs)


def _ordered(marks: Iterator[str]) -> list[str]:
    decomposed = "".join(unicodedata.normalize("NFD", mark) for mark in marks)  # one by one: a run is what is slow
    return sorted(decomposed, key=unicodedata.combining)


@njit(cache=True, nogil=True)
def longest_marks(data: Bytes, offsets: Offsets, rows: NDArray[np.int64], classes: Classes) -> NDArray[np.int64]:
    """Return the most combining marks in a row of some texts: int64[rows]."""
    out = np.zeros(len(rows), np.int64)
    for index in range(len(rows)):
        run = longest = 0
        position, end = offsets[rows[index]], offsets[rows[index] + 1]
        while position < end:
            char, width = decode(data, position)
            run = run + 1 if classes[char] & MARK else 0
            longest = max(longest, run)
            position += width
        out[index] = longest
    return out


@njit(cache=True, nogil=True)
def _fold(
    data: Bytes,
    offsets: Offsets,
    ascii_table: Bytes,
    classes: Classes,
    folding: NDArray[np.int32],
    folded: NDArray[np.int32],
    stop_at: int,
) -> tuple[Bytes, Offsets, NDArray[np.bool_]]:
    """Fold case and white space of every text; a text with a character of a class in ``stop_at`` is left empty.

    Returns ``(data, offsets, which texts were left empty)``.
    """
    rows = len(offsets) - 1
    out = np.empty(_GROWTH * (offsets[rows] - offsets[0]), np.uint8)
    bounds = np.zeros(rows + 1, np.int64)
    left = np.zeros(rows, np.bool_)
    size = np.uint64(0)
    for row in range(rows):
        first = size
        last = _BLANK
        position, stop = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        while position < stop:
            byte = data[position]
            if byte < 0x80:
                last_was_blank = last == _BLANK
                last = ascii_table[byte]
                out[size] = last
                size += np.uint64(not (last_was_blank and last == _BLANK))
                position += np.uint64(1)
                continue
            character, width = decode(data, position)
            flags = classes[character]
            if flags & stop_at:
                size = first
                last = _BLANK
                left[row] = True
                break
            if flags & SPACE:
                out[size] = _BLANK
                size += np.uint64(last != _BLANK)
                last = _BLANK
            elif flags & FOLDS:
                size = _write_folding(folded[np.searchsorted(folding, character)], out, size)
                last = byte
            else:
                for byte_of in range(width):
                    out[size] = data[position + np.uint64(byte_of)]
                    size += np.uint64(1)
                last = byte
            position += np.uint64(width)
        if size > first and last == _BLANK:
            size -= np.uint64(1)
        bounds[row + 1] = size
    return out[:size], bounds, left


@njit(cache=True, nogil=True)
def _write_folding(characters: NDArray[np.int32], out: Bytes, size: np.uint64) -> np.uint64:
    """Write up to three code points, zero-terminated, as UTF-8 from ``out[size]`` on; return where they end."""
    for character in characters:
        if character == 0:
            break
        if character < 0x80:
            out[size] = character
            size += np.uint64(1)
        elif character < 0x800:
            out[size] = 0xC0 | character >> 6
            out[size + np.uint64(1)] = 0x80 | character & 0x3F
            size += np.uint64(2)
        elif character < 0x10000:
            out[size] = 0xE0 | character >> 12
            out[size + np.uint64(1)] = 0x80 | character >> 6 & 0x3F
            out[size + np.uint64(2)] = 0x80 | character & 0x3F
            size += np.uint64(3)
        else:
            out[size] = 0xF0 | character >> 18
            out[size + np.uint64(1)] = 0x80 | character >> 12 & 0x3F
            out[size + np.uint64(2)] = 0x80 | character >> 6 & 0x3F
            out[size + np.uint64(3)] = 0x80 | character & 0x3F
            size += np.uint64(4)
    return size


@njit(cache=True, nogil=True)
def _insert(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], late: Bytes, late_offsets: Offsets
) -> tuple[Bytes, Offsets]:
    """Put the texts of a second column in the places ``rows``, ascending, that the first one left empty."""
    out = np.empty(len(data) + len(late), np.uint8)
    bounds = np.zeros(len(offsets), np.int64)
    copied = 0
    for index in range(len(rows) + 1):
        row = rows[index] if index < len(rows) else len(offsets) - 1
        shift = late_offsets[index]
        out[copied + shift : offsets[row] + shift] = data[copied : offsets[row]]
        copied = offsets[row]
        if index < len(rows):
            out[copied + shift : copied + late_offsets[index + 1]] = late[shift : late_offsets[index + 1]]
    index = 0
    for row in range(len(offsets) - 1):
        index += index < len(rows) and rows[index] == row
        bounds[row + 1] = offsets[row + 1] + late_offsets[index]
    return out, bounds
