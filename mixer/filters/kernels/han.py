"""Repetition in Chinese text: lines, characters and n-grams of Han characters that came before. No segmenter.

Only Han characters are looked at, in a row whatever stands between them, so that the code, tables and formulas of a
document that mixes them with Chinese are not taken for repetition, and shares are of the Han characters.

N-grams are found level by level, without a hash for most of them. An n-gram can occur twice only if both (n-1)-grams
inside it do, so each level looks at those that are left. Every (n-1)-gram carries as name the place where it first
occurred; if the character after it is the one that followed there, the n-gram first occurred there too. Only where it
differs is the pair of name and character looked up. N-grams are compared exactly, lines by a 64-bit hash.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels.tables import Keys, Table, keep_repeating, largest, name_keys, new_table
from mixer.text.characters import HAN, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, decode

TOP_HAN_GRAMS = (2, 3, 4)
REPEATED_HAN_GRAMS = (5, 6, 7, 8, 9, 10, 13)
HAN_STATISTICS = (
    "han_duplicate_lines",
    "han_distinct",
    *(f"han_top_{n}gram" for n in TOP_HAN_GRAMS),
    *(f"han_repeated_{n}grams" for n in REPEATED_HAN_GRAMS),
)
"""Columns of ``han_statistics``."""
WINDOW = 100
"""Han characters in a row among which ``han_distinct`` looks for an equal one."""

SHORTEST = 200
"""Han characters that a document needs for ``han_top_<n>gram``: in a shorter one a word used twice is a large share."""

_SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_COLUMNS = len(HAN_STATISTICS)
_FIRST_GRAM = 2  # the column of the shortest n-grams
_LAST_TOP = TOP_HAN_GRAMS[-1]
_LAST_IN_A_ROW = 10  # up to it there is a column for every n
_LAST_GRAM = REPEATED_HAN_GRAMS[-1]


@njit(cache=True, nogil=True)
def _extend(
    chars: NDArray[np.int32],
    n: int,
    entries: int,
    places: NDArray[np.int32],
    names: NDArray[np.int32],
    keys: Keys,
    table: Table,
    scratch: NDArray[np.int32],
) -> int:
    """Turn the repeating (n-1)-grams into candidates for repeating n-grams, and return their number."""
    odd, firsts, counts = scratch[0], scratch[1], scratch[2]
    kept = 0
    unlike = 0  # candidates whose last character differs from the one at the first place
    for entry in range(entries - 1):  # without branches, which could not be foreseen
        place, name = places[entry], names[entry]
        follows = places[entry + 1] == place + 1
        last = chars[place + n - 1]
        differs = last != chars[name + n - 1]
        keys[unlike] = np.uint64(name) << np.uint64(32) | np.uint64(last)
        odd[unlike] = kept
        unlike += follows & differs
        places[kept], names[kept] = place, place if differs else name
        kept += follows
    unlike = keep_repeating(keys, odd, unlike, table)
    name_keys(keys, unlike, table, firsts, counts)
    for entry in range(unlike):
        names[odd[entry]] = places[odd[firsts[entry]]]
    return kept


@njit(cache=True, nogil=True)
def _repeated_grams(
    chars: NDArray[np.int32],
    count: int,
    keys: Keys,
    table: Table,
    scratch: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill the columns of one document that are about n-grams: of ``count`` characters, ``count`` not 0.

    Parameters
    ----------
    keys, table, scratch
        Space: uint64 and int32[8] for at least ``count`` entries, and a table for as many.
    """
    places, names = scratch[3], scratch[4]
    tallies, covers, ends = scratch[5], scratch[6], scratch[7]  # by name
    entries = count - 1
    for entry in range(entries):
        keys[entry] = np.uint64(chars[entry]) << np.uint64(32) | np.uint64(chars[entry + 1])
        places[entry] = entry
    entries = keep_repeating(keys, places, entries, table)
    name_keys(keys, entries, table, names, tallies)
    for entry in range(entries):
        names[entry] = places[names[entry]]
    for n in range(2, _LAST_GRAM + 1):
        if n > 2:
            entries = _extend(chars, n, entries, places, names, keys, table, scratch)
        for entry in range(entries):
            place = places[entry]
            tallies[place] = covers[place] = ends[place] = 0
        most = 0  # characters covered by one n-gram, or by all that came before
        if n <= _LAST_TOP:
            for entry in range(entries):
                place, name = places[entry], names[entry]
                tallies[name] += 1
                covers[name] += place + n - max(place, ends[name])
                ends[name] = place + n
                most = max(most, covers[name] if tallies[name] > 1 else 0)
        else:
            end = 0
            for entry in range(entries):
                place, name = places[entry], names[entry]
                tallies[name] += 1
                again = name != place
                most += (place + n - max(place, end)) * again
                end = place + n if again else end
        kept = 0
        for entry in range(entries):
            place, name = places[entry], names[entry]
            places[kept], names[kept] = place, name
            kept += tallies[name] > 1
        entries = kept
        if entries == 0:
            return
        if n <= _LAST_IN_A_ROW:
            if n > _LAST_TOP or count >= SHORTEST:
                out[_FIRST_GRAM + n - 2] = most / count
        elif n == _LAST_GRAM:
            out[_COLUMNS - 1] = most / count


@njit(cache=True, nogil=True)
def han_statistics(data: Bytes, offsets: Offsets, rows: NDArray[np.int64], classes: Classes) -> NDArray[np.float32]:
    """Measure how much of the Chinese text of some documents repeats what they said before.

    Returns
    -------
    float32[documents, 12]: ``HAN_STATISTICS``, each a share of the Han characters; 0 where there are none, but
    ``han_distinct`` 1.

    - ``han_duplicate_lines``: those in lines that came before, white space aside.
    - ``han_distinct``: those that are none of the ``WINDOW - 1`` Han characters before them. Unlike the share of
      different characters in a document it does not fall with its length.
    - ``han_top_<n>gram``: those covered by the n characters in a row that cover most, of all that occur twice; NaN in
      documents of fewer than ``SHORTEST``.
    - ``han_repeated_<n>grams``: those that lie in n in a row which came before. A place counts once, however many such
      n-grams cover it.
    """
    out = np.zeros((len(rows), _COLUMNS), np.float32)
    size = largest(offsets, rows) // 3 + 1  # a Han character has three bytes or four, and the last line no newline
    table = new_table(size)
    keys = np.empty(size, np.uint64)
    chars, line_chars = np.empty((2, size), np.int32)
    scratch = np.empty((8, size), np.int32)
    last = np.full(len(classes), -WINDOW, np.int32)  # where each character was last
    for index in range(len(rows)):
        end = offsets[rows[index] + 1]
        count = counted = lines = 0  # Han characters, those of finished lines, lines with any
        distinct = 0
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
                distinct += count - last[char] >= WINDOW
                last[char] = count
                count += 1
            if char == 0x0A or position == end:
                if count > counted:
                    keys[lines], line_chars[lines] = line, count - counted
                    lines += 1
                counted = count
                line = _SEED
        if count < SHORTEST:
            out[index, _FIRST_GRAM : _FIRST_GRAM + len(TOP_HAN_GRAMS)] = np.nan
        if count == 0:
            out[index, 1] = 1
            continue
        names = scratch[0]
        name_keys(keys, lines, table, names, scratch[1])
        duplicate = 0
        for entry in range(lines):
            duplicate += line_chars[entry] if names[entry] != entry else 0
        out[index, 0] = duplicate / count
        out[index, 1] = distinct / count
        _repeated_grams(chars, count, keys, table, scratch, out[index])
        for entry in range(count):
            last[chars[entry]] = -WINDOW
    return out
