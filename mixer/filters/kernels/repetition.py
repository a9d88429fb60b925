"""Repetition in languages written in words: duplicate lines and paragraphs, repeated n-grams of words.

Gopher's repetition statistics (Rae et al. 2021, table A1) as datatrove computes them; those of Chinese are in ``han``.

The n-grams of words are found level by level: an n-gram can occur twice only if both (n-1)-grams inside it do, so after
the pairs each level looks at a small rest. At every level an n-gram is identified exactly by the two (n-1)-grams that
make it; only words and lines themselves are compared by a hash (64 bits).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels.tables import Keys, Table, count_duplicates, keep_repeating, largest, name_keys, new_table
from mixer.text.characters import SPACE, Classes
from mixer.text.hashing import xxh64
from mixer.text.utf8 import Bytes, Offsets, count_characters, decode

DUPLICATE_STATISTICS = (
    "duplicate_lines",
    "duplicate_line_characters",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
)
"""Columns of ``duplicate_statistics``."""
TOP_GRAMS = (2, 3, 4)
DUPLICATE_GRAMS = (5, 6, 7, 8, 9, 10)
GRAM_STATISTICS = (*(f"top_{n}gram" for n in TOP_GRAMS), *(f"duplicate_{n}grams" for n in DUPLICATE_GRAMS))
"""Columns that ``repeated_word_grams`` fills."""

_ROLL = np.uint64(0xD1342543DE82EF95)  # odd: pairs of words get keys by it
_LAST_TOP = TOP_GRAMS[-1]
_LAST_GRAM = DUPLICATE_GRAMS[-1]


@njit(cache=True, nogil=True)
def repeated_word_grams(
    keys: Keys,
    lengths: NDArray[np.int32],
    count: int,
    text_length: int,
    table: Table,
    scratch: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` with ``GRAM_STATISTICS`` of one document, each a share of its characters.

    ``top_<n>gram``: characters of the most frequent n-gram (of equals the first), joined by spaces, times its count.
    ``duplicate_<n>grams``: characters of the n-grams that occurred before, read from left to right without overlap.

    Parameters
    ----------
    keys, lengths
        Hash and characters of each of the ``count`` words; ``keys`` is overwritten.
    text_length
        Characters of the document.
    table, scratch
        Space: from ``new_table``, and int32[5, at least count + 1].
    """
    starts, places, names, tallies, seen = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    starts[0] = 0
    for word in range(count):
        starts[word + 1] = starts[word] + lengths[word]
    entries = count - 1  # n-grams that may repeat: their place, and as name the first of the same
    for entry in range(entries):
        keys[entry] = keys[entry] * _ROLL + keys[entry + 1]
        places[entry] = entry
    for n in range(2, _LAST_GRAM + 1):
        if n > 2:
            pairs = 0
            for entry in range(entries - 1):
                keys[pairs] = np.uint64(names[entry]) << np.uint64(32) | np.uint64(names[entry + 1])
                follows = places[entry + 1] == places[entry] + 1
                places[pairs] = places[entry]
                pairs += follows
            entries = pairs
        entries = keep_repeating(keys, places, entries, table)
        name_keys(keys, entries, table, names, tallies)
        if n <= _LAST_TOP:
            best, most = 0, 1
            for entry in range(entries):
                if tallies[entry] > most:
                    best, most = places[entry], tallies[entry]
            if n <= count:
                out[n - 2] = most * (starts[best + n] - starts[best] + n - 1) / text_length
        else:
            duplicate = 0
            free = 0  # the first word that no counted n-gram covers
            for entry in range(entries):
                seen[entry] = 0
            for entry in range(entries):
                place, name = places[entry], names[entry]
                if place < free:
                    continue
                if seen[name]:
                    duplicate += starts[place + n] - starts[place]
                    free = place + n
                seen[name] = 1
            out[n - 2] = duplicate / text_length
        kept = 0
        for entry in range(entries):
            places[kept], names[kept] = places[entry], names[entry]
            kept += tallies[names[entry]] > 1
        entries = kept


@njit(cache=True, nogil=True)
def _part(data: Bytes, begin: int, end: int) -> tuple[np.uint64, int]:
    """Return the hash and the characters of ``data[begin:end]``."""
    length = 0
    for position in range(begin, end):
        length += (data[position] & 0xC0) != 0x80
    return xxh64(data, begin, end, np.uint64(0)), length


@njit(cache=True, nogil=True)
def _duplicates(
    data: Bytes, begin: int, end: int, breaks: int, keys: Keys, lengths: NDArray[np.int32], table: Table
) -> tuple[int, int, int]:
    """Count the parts between runs of at least ``breaks`` newlines, those seen before, and the characters of these."""
    parts = 0
    start = position = begin
    while position < end:
        if data[position] != 0x0A:
            position += 1
            continue
        run = position
        while run < end and data[run] == 0x0A:
            run += 1
        if run - position >= breaks:
            keys[parts], lengths[parts] = _part(data, start, position)
            parts += 1
            start = run
        position = run
    keys[parts], lengths[parts] = _part(data, start, end)
    parts += 1
    duplicates, characters = count_duplicates(keys, lengths, parts, table)
    return parts, duplicates, characters


@njit(cache=True, nogil=True)
def _strip(data: Bytes, begin: int, end: int, classes: Classes) -> tuple[int, int]:
    """Return the range without white space at its ends."""
    while begin < end:
        char, width = decode(data, begin)
        if not classes[char] & SPACE:
            break
        begin += width
    while end > begin:
        last = end - 1
        while (data[last] & 0xC0) == 0x80:
            last -= 1
        char, _ = decode(data, last)
        if not classes[char] & SPACE:
            break
        end = last
    return begin, end


@njit(cache=True, nogil=True)
def duplicate_statistics(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], classes: Classes
) -> NDArray[np.float32]:
    """Measure how much of some documents repeats whole lines or paragraphs.

    Lines lie between runs of newlines, paragraphs between runs of two or more in the text without white space at its
    ends; a document that begins or ends with a newline has an empty line there (as datatrove counts). A part is a
    duplicate if an equal one came before.

    Returns
    -------
    float32[documents, 4]: ``DUPLICATE_STATISTICS``, duplicates as a share of all lines or paragraphs, and their
    characters as a share of all characters.
    """
    out = np.zeros((len(rows), 4), np.float32)
    size = largest(offsets, rows)
    keys = np.empty(size, np.uint64)
    lengths = np.empty(size, np.int32)
    table = new_table(size)
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        text_length = count_characters(data, begin, end)
        if text_length == 0:
            continue
        parts, duplicates, characters = _duplicates(data, begin, end, 1, keys, lengths, table)
        out[index, 0] = duplicates / parts
        out[index, 1] = characters / text_length
        begin, end = _strip(data, begin, end, classes)
        parts, duplicates, characters = _duplicates(data, begin, end, 2, keys, lengths, table)
        out[index, 2] = duplicates / parts
        out[index, 3] = characters / text_length
    return out
