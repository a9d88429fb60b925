"""Hash tables in kernels: which of many 64-bit keys are equal. Space comes from the caller and is used again."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.utf8 import Offsets

Keys = NDArray[np.uint64]
Table = NDArray[np.int32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


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
    return np.empty(1 << (64 - shift_for(2 * entries)), np.int32)


@njit(cache=True, nogil=True)
def shift_for(slots: int) -> int:
    """Return the shift that takes a 64-bit hash to one of at least ``slots`` slots, a power of two."""
    bits = 3
    while (1 << bits) < slots:
        bits += 1
    return 64 - bits


@njit(cache=True, nogil=True)
def first_with_key(table: Table, shift: int, keys: Keys, index: int) -> int:
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
def keep_repeating(keys: Keys, places: NDArray[np.int32], entries: int, table: Table) -> int:
    """Move the entries whose key may occur twice to the front, in order, and return their number.

    Counting in small counters that several keys may share is free of branches, which a hash table is not, and leaves
    few of the many keys that occur once.
    """
    shift = np.uint64(shift_for(8 * entries))
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
def name_keys(keys: Keys, entries: int, table: Table, names: NDArray[np.int32], tallies: NDArray[np.int32]) -> None:
    """Give each entry as name the first entry with the same key, and count how many carry each name."""
    shift = shift_for(2 * entries)
    table[: 1 << (64 - shift)] = 0
    for entry in range(entries):
        tallies[entry] = 0
        names[entry] = first_with_key(table, shift, keys, entry)
        tallies[names[entry]] += 1


@njit(cache=True, nogil=True)
def count_duplicates(keys: Keys, lengths: NDArray[np.int32], parts: int, table: Table) -> tuple[int, int]:
    """Count the parts whose key came before, and their characters."""
    duplicates = characters = 0
    shift = shift_for(2 * parts)
    table[: 1 << (64 - shift)] = 0
    for part in range(parts):
        if first_with_key(table, shift, keys, part) != part:
            duplicates += 1
            characters += lengths[part]
    return duplicates, characters
