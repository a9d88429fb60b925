"""Repetition: duplicate lines and paragraphs, repeated n-grams of words and of Han characters.

Gopher's repetition statistics (Rae et al. 2021, table A1) as datatrove computes them, for languages written in words;
for Chinese the shares of Han characters in duplicate lines and in repeated 13-grams, which need no segmenter.

The n-grams of words are found level by level: an n-gram can occur twice only if both (n-1)-grams inside it do, so after
the pairs each level looks at a small rest. At every level an n-gram is identified exactly by the two (n-1)-grams that
make it; only words and lines themselves are compared by a hash (64 bits).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.characters import HAN, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, decode

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
HAN_GRAM = 13
HAN_STATISTICS = ("han_duplicate_lines", f"han_repeated_{HAN_GRAM}grams")
"""Columns of ``han_statistics``."""

Keys = NDArray[np.uint64]
Table = NDArray[np.int32]

_SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROLL = np.uint64(0xD1342543DE82EF95)  # odd multiplier of the rolling hash over code points
_ROLLED = np.uint64(pow(0xD1342543DE82EF95, HAN_GRAM, 1 << 64))
_LAST_TOP = TOP_GRAMS[-1]
_LAST_GRAM = DUPLICATE_GRAMS[-1]


@njit(cache=True, nogil=True)
def largest(offsets: Offsets, rows: NDArray[np.int64]) -> int:
    """Return the bytes of the largest of some documents plus one: no document has more words, lines or characters."""
    size = 0
    for row in rows:
        size = max(size, int(offsets[row + 1] - offsets[row]))
    return size + 1


@njit(cache=True, nogil=True)
def new_table(entries: int) -> Table:
    """Return space for tables of up to that many entries; only what is used of it is ever touched."""
    return np.empty(1 << (64 - _shift(2 * entries)), np.int32)


@njit(cache=True, nogil=True)
def _shift(slots: int) -> int:
    """Return the shift that takes a 64-bit hash to one of at least ``slots`` slots, a power of two."""
    bits = 3
    while (1 << bits) < slots:
        bits += 1
    return 64 - bits


@njit(cache=True, nogil=True)
def _first(table: Table, shift: int, keys: Keys, index: int) -> int:
    """Return the first index that was looked up with the key ``keys[index]``: ``index`` itself if the key is new."""
    mask = (1 << (64 - shift)) - 1
    slot = np.int64((keys[index] * _GOLDEN) >> np.uint64(shift))
    while table[slot]:
        seen = int(table[slot]) - 1
        if keys[seen] == keys[index]:
            return seen
        slot = (slot + 1) & mask
    table[slot] = index + 1
    return index


@njit(cache=True, nogil=True)
def _repeating(keys: Keys, places: NDArray[np.int32], entries: int, table: Table) -> int:
    """Move the entries whose key may occur twice to the front, in order, and return their number.

    Counting in small counters that several keys may share is free of branches, which a hash table is not, and leaves
    few of the many keys that occur once.
    """
    shift = np.uint64(_shift(8 * entries))
    counters = table.view(np.uint8)
    counters[: np.int64(1) << (np.int64(64) - np.int64(shift))] = 0
    for entry in range(entries):
        slot = (keys[entry] * _GOLDEN) >> shift
        counters[slot] += counters[slot] < 2
    kept = 0
    for entry in range(entries):
        key, place = keys[entry], places[entry]
        keys[kept], places[kept] = key, place
        kept += counters[(key * _GOLDEN) >> shift] > 1
    return kept


@njit(cache=True, nogil=True)
def _name(keys: Keys, entries: int, table: Table, names: NDArray[np.int32], tallies: NDArray[np.int32]) -> None:
    """Give each entry as name the first entry with the same key, and count how many carry each name."""
    shift = _shift(2 * entries)
    table[: 1 << (64 - shift)] = 0
    for entry in range(entries):
        tallies[entry] = 0
        names[entry] = _first(table, shift, keys, entry)
        tallies[names[entry]] += 1


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
        entries = _repeating(keys, places, entries, table)
        _name(keys, entries, table, names, tallies)
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
def _duplicates(
    data: Bytes, begin: int, end: int, breaks: int, keys: Keys, lengths: NDArray[np.int32], table: Table
) -> tuple[int, int, int]:
    """Count the parts between runs of at least ``breaks`` newlines, those seen before, and the characters of these."""
    parts = 0
    position = begin
    value = _SEED
    length = 0
    while position < end:
        run = position
        while run < end and data[run] == 0x0A:
            run += 1
        if run - position >= breaks:
            keys[parts], lengths[parts] = value, length
            parts += 1
            value = _SEED
            length = 0
            position = run
            continue
        for byte in range(position, max(run, position + 1)):
            value = (value ^ np.uint64(data[byte])) * _PRIME
            length += (data[byte] & 0xC0) != 0x80
        position = max(run, position + 1)
    keys[parts], lengths[parts] = value, length
    parts += 1
    duplicates = 0
    characters = 0
    shift = _shift(2 * parts)
    table[: 1 << (64 - shift)] = 0
    for part in range(parts):
        if _first(table, shift, keys, part) != part:
            duplicates += 1
            characters += lengths[part]
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
        text_length = 0
        for position in range(begin, end):
            text_length += (data[position] & 0xC0) != 0x80
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


@njit(cache=True, nogil=True)
def han_statistics(data: Bytes, offsets: Offsets, rows: NDArray[np.int64], classes: Classes) -> NDArray[np.float32]:
    """Measure how much of the Chinese text of some documents repeats what they said before.

    Only Han characters are counted, so that the code, tables and formulas of a document that mixes them with Chinese
    are not taken for repetition.

    Returns
    -------
    float32[documents, 2]: ``HAN_STATISTICS``, each a share of the Han characters.

    - ``han_duplicate_lines``: those in lines that came before, white space aside.
    - ``han_repeated_13grams``: those that lie in 13 Han characters in a row (whatever stands between them) which came
      before. A place counts once, however many such n-grams cover it.
    """
    out = np.zeros((len(rows), 2), np.float32)
    size = largest(offsets, rows)
    table = new_table(size)
    keys = np.empty(size, np.uint64)
    line_keys = np.empty(size, np.uint64)
    chars, line_chars, places, names, tallies = np.empty((5, size), np.int32)
    for index in range(len(rows)):
        end = offsets[rows[index] + 1]
        count = counted = lines = 0  # Han characters, those of finished lines, lines with any
        value = np.uint64(0)
        line = _SEED
        position = offsets[rows[index]]
        while position < end:
            char, width = decode(data, position)
            position += width
            flags = classes[char]
            if (flags & SPACE) == 0:
                line = (line ^ np.uint64(char)) * _PRIME
            if flags & HAN:
                chars[count] = char
                value = value * _ROLL + np.uint64(char)
                if count >= HAN_GRAM:
                    value -= np.uint64(chars[count - HAN_GRAM]) * _ROLLED
                count += 1
                if count >= HAN_GRAM:
                    keys[count - HAN_GRAM] = value
            if char == 0x0A or position == end:
                if count > counted:
                    line_keys[lines], line_chars[lines] = line, count - counted
                    lines += 1
                counted = count
                line = _SEED
        if count == 0:
            continue
        _name(line_keys, lines, table, names, tallies)
        duplicate = 0
        for entry in range(lines):
            duplicate += line_chars[entry] if names[entry] != entry else 0
        grams = max(count - HAN_GRAM + 1, 0)
        for gram in range(grams):
            places[gram] = gram
        grams = _repeating(keys, places, grams, table)
        _name(keys, grams, table, names, tallies)
        covered = 0
        until = 0  # places before it are counted
        for gram in range(grams):
            if names[gram] != gram:
                covered += places[gram] + HAN_GRAM - max(places[gram], until)
                until = places[gram] + HAN_GRAM
        out[index, 0] = duplicate / count
        out[index, 1] = covered / count
    return out
