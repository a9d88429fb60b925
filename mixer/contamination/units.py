"""Units and n-grams of a text, as kernels over the normal forms of a batch, and the lookup of n-grams in one pass.

- A *unit* is one Han or kana character, or a run of other letters, marks and numbers. Punctuation, symbols and space
  part units and count for nothing: a copied question is often quoted, numbered or set anew, and what is compared here
  are questions, not programs. (Deduplication keeps punctuation, for the reason that ``text.normalise`` gives.)
- An *n-gram* is so many units in a row; its hash knows how many, so that lengths never meet.

A unit's hash is a polynomial of its code points, spread by XXH64's finish; an n-gram's is a polynomial of its units'
hashes, so that prefix sums give that of any window in two multiplications. The pass asks a Bloom filter about every
window of the shortest length, which says no to nearly all of them, and looks only then for n-grams that begin there.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.characters import CLASSES, HAN, KANA, LETTER, MARK, NUMBER, Classes
from mixer.text.hashing import Hashes, avalanche
from mixer.text.utf8 import Bytes, Offsets, decode

Numbers = NDArray[np.int32]

ONE_CHARACTER = HAN | KANA
WORD = LETTER | MARK | NUMBER
_UNIT = np.uint64(0x9FB21C651E98DF25)
_BASE = np.uint64(0xD1342543DE82EF95)
"""Bases of the polynomials over code points and over units: odd, random bits. Part of the format of an index."""
_BLOCK = 4096
"""Units that are held at a time: their buffers stay in the second-level cache."""


class Lookup(NamedTuple):
    """The n-grams that are looked for, laid out for the pass.

    A *seed* is the first units of n-grams, ``lengths[0]`` of them.

    Attributes
    ----------
    lengths
        How many units n-grams have, ascending, from the seeds' on: int64[...].
    bloom
        A word for some seeds, by the upper bits of their hashes, in which each sets two bits: uint64[power of two].
    seeds, follow
        Hashes of seeds, ascending: uint64[seeds]; and of which lengths there are n-grams that begin so, a bit each.
    seed_directory
        ``seeds[seed_directory[h >> shift]:seed_directory[(h >> shift) + 1]]`` holds hash h if it is there: int32[...].
    hashes, directory
        The same for whole n-grams.
    """

    lengths: NDArray[np.int64]
    bloom: Hashes
    seeds: Hashes
    follow: Hashes
    seed_directory: Numbers
    hashes: Hashes
    directory: Numbers


def make_lookup(lengths: NDArray[np.int64], seeds: Hashes, follow: Hashes, hashes: Hashes) -> Lookup:
    """Lay n-grams out; ``seeds`` and ``hashes`` are ascending and distinct."""
    words = 1 << max(6, int(max(1, len(seeds)) // 4 - 1).bit_length())
    bloom = np.zeros(words, np.uint64)
    for shift in (0, 6):
        bits = np.uint64(1) << (seeds >> np.uint64(shift) & np.uint64(63))
        np.bitwise_or.at(bloom, seeds >> np.uint64(65 - words.bit_length()), bits)
    return Lookup(lengths, bloom, seeds, follow, _directory(seeds), hashes, _directory(hashes))


def _directory(hashes: Hashes) -> Numbers:
    """Return where the hashes with the same upper bits begin, of which there are about as many as hashes."""
    bits = max(1, int(max(1, len(hashes)) - 1).bit_length())
    ends = np.searchsorted(hashes >> np.uint64(64 - bits), np.arange(1 << bits, dtype=np.uint64), "right")
    return np.concatenate([[0], ends]).astype(np.int32)


def find(data: Bytes, offsets: Offsets, lookup: Lookup) -> tuple[Numbers, Numbers]:
    """Find n-grams in the normal forms of a column.

    Returns
    -------
    rows, grams
        int32[hits] each: the text, ascending, and the n-gram's place among the hashes; as often as it occurs.
    """
    if not len(lookup.hashes):
        return np.empty(0, np.int32), np.empty(0, np.int32)
    return _find(data, offsets, CLASSES, *lookup)


def hash_units(data: Bytes, offsets: Offsets) -> tuple[Hashes, Offsets, NDArray[np.int64]]:
    """Hash all units of the normal forms of a column.

    Returns
    -------
    units, bounds
        uint64[units] and int64[n + 1]: text i has ``units[bounds[i]:bounds[i + 1]]``.
    single
        How many of a text's units are one Han or kana character: int64[n].
    """
    return _all_units(data, offsets, CLASSES)


@njit(cache=True, nogil=True)
def hash_windows(units: Hashes, bounds: Offsets, lengths: NDArray[np.int64], seed: int) -> tuple[Hashes, Hashes]:
    """Hash every window of ``lengths[i]`` units of text i, in order.

    Returns
    -------
    hashes, seeds
        Of the windows, and of their first ``seed`` units: uint64[...] each; a text has
        ``bounds[i + 1] - bounds[i] - lengths[i] + 1`` of them.
    """
    total = 0
    for row in range(len(lengths)):
        total += max(0, bounds[row + 1] - bounds[row] - lengths[row] + 1)
    hashes, seeds = np.empty(total, np.uint64), np.empty(total, np.uint64)
    made = 0
    for row in range(len(lengths)):
        own = units[bounds[row] : bounds[row + 1]]
        length = lengths[row]
        for first in range(len(own) - length + 1):
            value = np.uint64(0)
            for index in range(length):
                value = value * _BASE + own[first + index]
                if index == seed - 1:
                    seeds[made] = _finish(value, seed)
            hashes[made] = _finish(value, length)
            made += 1
    return hashes, seeds


@njit(cache=True, nogil=True, inline="always")
def _finish(value: np.uint64, length: int) -> np.uint64:
    """Make the hash of an n-gram of its polynomial; without the length, a short one could meet a longer one."""
    return avalanche(value + np.uint64(length) * _UNIT)


@njit(cache=True, nogil=True)
def _units(data: Bytes, start: int, stop: int, classes: Classes, out: Hashes) -> tuple[np.int64, int, int]:
    """Hash the units of the normal form ``data[start:stop]`` into ``out`` until it is full.

    Returns
    -------
    position
        Where the next unit may begin; ``stop`` when there is none left.
    found, single
        Units written, and how many of them are one Han or kana character.
    """
    found = single = 0
    position, end = np.uint64(start), np.uint64(stop)
    value, inside = np.uint64(0), False
    while position < end and found < len(out):
        byte = data[position]
        if byte < 0x80:
            flags, character, width = classes[byte], np.int32(byte), 1
        else:
            character, width = decode(data, position)
            flags = classes[character]
        if flags & ONE_CHARACTER:
            if inside:
                out[found] = avalanche(value)
                found += 1
                value, inside = np.uint64(0), False
                continue  # there may be no room for this one
            out[found] = avalanche(np.uint64(character + 1) * _UNIT)
            found += 1
            single += 1
        elif flags & WORD:
            value = (value + np.uint64(character + 1)) * _UNIT
            inside = True
        elif inside:
            out[found] = avalanche(value)
            found += 1
            value, inside = np.uint64(0), False
        position += np.uint64(width)
    if inside:  # only at the end: a full buffer leaves no unit open
        out[found] = avalanche(value)
        found += 1
    return np.int64(position), found, single


@njit(cache=True, nogil=True)
def _all_units(data: Bytes, offsets: Offsets, classes: Classes) -> tuple[Hashes, Offsets, NDArray[np.int64]]:
    """Do the work of ``hash_units``."""
    units = np.empty(offsets[-1] - offsets[0] + 1, np.uint64)  # a unit has a byte at least
    bounds, singles = np.zeros(len(offsets), np.int64), np.zeros(len(offsets) - 1, np.int64)
    held = 0
    for row in range(len(singles)):
        _, found, single = _units(data, offsets[row], offsets[row + 1], classes, units[held:])
        held += found
        bounds[row + 1], singles[row] = held, single
    return units[:held].copy(), bounds, singles


@njit(cache=True, nogil=True)
def _find(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    lengths: NDArray[np.int64],
    bloom: Hashes,
    seeds: Hashes,
    follow: Hashes,
    seed_directory: Numbers,
    hashes: Hashes,
    directory: Numbers,
) -> tuple[Numbers, Numbers]:
    """Do the work of ``find``."""
    seed, longest = lengths[0], lengths[-1]
    to_word = np.uint64(64 - _log2(len(bloom)))
    powers = np.ones(longest + 1, np.uint64)
    for index in range(longest):
        powers[index + 1] = powers[index] * _BASE
    units, sums = np.empty(_BLOCK + longest, np.uint64), np.zeros(_BLOCK + longest + 1, np.uint64)
    rows, grams = np.empty(1024, np.int32), np.empty(1024, np.int32)
    hits = 0
    for row in range(len(offsets) - 1):
        position, held = offsets[row], 0
        while True:
            position, found, _ = _units(data, position, offsets[row + 1], classes, units[held:])
            held += found
            ended = position >= offsets[row + 1]
            for index in range(held):
                sums[index + 1] = sums[index] * _BASE + units[index]
            # Windows that begin where the longest may not be whole yet wait for the next block.
            stop = max(0, held - seed + 1 if ended else held - longest + 1)
            for first in range(stop):
                begin = _finish(sums[first + seed] - sums[first] * powers[seed], seed)
                bits = np.uint64(1) << (begin & np.uint64(63)) | np.uint64(1) << (begin >> np.uint64(6) & np.uint64(63))
                if bloom[begin >> to_word] & bits != bits:
                    continue
                known = _place(begin, seeds, seed_directory)
                if known < 0:
                    continue
                for number in range(len(lengths)):
                    length = lengths[number]
                    if first + length > held:
                        break
                    if not follow[known] >> np.uint64(number) & np.uint64(1):
                        continue
                    hashed = _finish(sums[first + length] - sums[first] * powers[length], length)
                    gram = _place(hashed, hashes, directory)
                    if gram >= 0:
                        if hits == len(rows):
                            rows = np.concatenate((rows, np.empty(hits, np.int32)))
                            grams = np.concatenate((grams, np.empty(hits, np.int32)))
                        rows[hits], grams[hits] = row, gram
                        hits += 1
            if ended:
                break
            for index in range(held - stop):
                units[index] = units[stop + index]
            held -= stop
    return rows[:hits].copy(), grams[:hits].copy()


@njit(cache=True, nogil=True)
def _place(value: np.uint64, hashes: Hashes, directory: Numbers) -> int:
    """Return where a hash stands among ascending ones; -1 if it does not."""
    slot = value >> np.uint64(64 - _log2(len(directory) - 1))
    for place in range(directory[slot], directory[slot + np.uint64(1)]):
        if hashes[place] >= value:
            return place if hashes[place] == value else -1
    return -1


@njit(cache=True, nogil=True, inline="always")
def _log2(power: int) -> int:
    """Return the exponent of a power of two."""
    exponent = 0
    while 1 << exponent < power:
        exponent += 1
    return exponent
