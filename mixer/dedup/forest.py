"""Connected components of documents, in memory that only those need which have an edge: a compact union-find.

A document that has an edge gets a number, its *rank* among those that have one, found from a bitmap with running
counts; all arrays are over ranks. Memory: 0.19 bytes for each document, and 8 for each that has an edge (12 from 2^32
of these on). Edges pass by twice and are never held: first all are seen by ``meet``, then all by ``join``.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows

Words = NDArray[np.uint64]
Ranks = NDArray[np.unsignedinteger]
"""uint32 where there are few enough documents with an edge, else uint64."""
CONTESTED = 0xFFFF
"""The part of documents whose component is too large for any."""


class Forest:
    """The components of ``documents`` documents: ``meet`` every edge, ``seal``, ``join`` every edge, then ask."""

    def __init__(self, documents: int) -> None:
        self._met = np.zeros(documents // 64 + 1, np.uint64)
        self._before: Ranks = np.empty(0, np.uint32)
        self._lowest: Ranks = np.empty(0, np.uint32)

    def __len__(self) -> int:
        """Count the documents that have an edge, once sealed."""
        return len(self._lowest)

    def meet(self, ones: Rows, others: Rows) -> None:
        """Take note of the ends of edges."""
        _meet(self._met, ones)
        _meet(self._met, others)

    def seal(self) -> None:
        """Give every document that has an edge its number."""
        counts = np.bitwise_count(self._met)
        total = int(counts.sum(dtype=np.int64))
        dtype = np.uint32 if total < 1 << 32 else np.uint64
        self._before = np.zeros(len(counts), dtype)
        np.cumsum(counts[:-1], out=self._before[1:], dtype=dtype)
        self._lowest = np.arange(total, dtype=dtype)

    def join(self, ones: Rows, others: Rows) -> None:
        """Connect the ends of edges that were met."""
        _join(self._met, self._before, self._lowest, ones, others)

    def share_out(self, parts: int, most: int) -> NDArray[np.uint16]:
        """Share the components out to ``parts`` parts: the part of each document that has an edge, by its rank.

        A component is in one part. In the order of their lowest documents, components fill one part after the other
        with an equal number of documents; the last of a part may lead beyond that number. One of more than ``most``
        documents is in none: ``CONTESTED``.
        """
        counts = np.zeros(len(self), self._lowest.dtype)
        shared = _count(self._lowest, counts, most)
        return _share_out(self._lowest, counts, most, max(1, int(-(-shared // parts))))

    def members(self, first: int, last: int) -> tuple[Rows, slice]:
        """Return those of the rows from ``first`` to ``last`` that have an edge, ascending, and their ranks."""
        words = self._met[first // 64 : last // 64 + 1]
        bits = np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), bitorder="little")
        start = first // 64 * 64
        rows = first + np.flatnonzero(bits[first - start : last - start])
        rank = int(self._before[first // 64]) + int(bits[: first - start].sum())
        return rows.astype(np.int64), slice(rank, rank + len(rows))


@njit(cache=True, nogil=True)
def _meet(met: Words, rows: Rows) -> None:
    for row in rows:
        met[row >> 6] |= np.uint64(1) << np.uint64(row & 63)


@njit(cache=True, nogil=True, inline="always")
def _rank(met: Words, before: Ranks, row: np.int64) -> np.int64:
    """Count the documents with an edge that come before ``row``."""
    bits = met[row >> 6] & ((np.uint64(1) << np.uint64(row & 63)) - np.uint64(1))
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(before[row >> 6]) + np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True, inline="always")
def _root(lowest: Ranks, rank: np.int64) -> np.int64:
    while np.int64(lowest[rank]) != rank:
        lowest[rank] = lowest[np.int64(lowest[rank])]
        rank = np.int64(lowest[rank])
    return rank


@njit(cache=True, nogil=True)
def _join(met: Words, before: Ranks, lowest: Ranks, ones: Rows, others: Rows) -> None:
    for edge in range(len(ones)):
        one = _root(lowest, _rank(met, before, ones[edge]))
        other = _root(lowest, _rank(met, before, others[edge]))
        lowest[max(one, other)] = min(one, other)


@njit(cache=True, nogil=True)
def _count(lowest: Ranks, counts: Ranks, most: int) -> np.int64:
    """Count the documents of each component at its lowest; return those of components of at most ``most``."""
    for rank in range(len(lowest)):
        lowest[rank] = lowest[np.int64(lowest[rank])]  # whose own is its root: lower ranks are done
        counts[np.int64(lowest[rank])] += 1
    shared = np.int64(0)
    for count in counts:
        if count <= most:
            shared += np.int64(count)
    return shared


@njit(cache=True, nogil=True)
def _share_out(lowest: Ranks, counts: Ranks, most: int, each: int) -> NDArray[np.uint16]:
    part = np.empty(len(lowest), np.uint16)
    shared = np.int64(0)
    for rank in range(len(lowest)):
        root = np.int64(lowest[rank])
        if root != rank:
            part[rank] = part[root]
        elif counts[rank] > most:
            part[rank] = CONTESTED
        else:
            part[rank] = shared // each
            shared += np.int64(counts[rank])
    return part
