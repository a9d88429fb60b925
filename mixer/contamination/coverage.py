"""Hits to coverage: how much of each item a document holds, once common n-grams are left aside.

The *coverage* of an item in a document is the number of its units that lie in n-grams which the document holds, over
the number that n-grams could cover at all; but over half of its units at least, or those of two n-grams if that is
less, so that an item of which little is left is not found by one n-gram.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.contamination.index import Index
from mixer.contamination.units import Numbers


@dataclass(frozen=True)
class Found:
    """Items in documents, by row and item ascending: ``row`` int64[n], ``item`` int32[n], ``coverage`` float32[n]."""

    row: NDArray[np.int64]
    item: Numbers
    coverage: NDArray[np.float32]

    def select(self, where: NDArray[np.bool_]) -> "Found":
        """Return those for which ``where`` is true."""
        return Found(self.row[where], self.item[where], self.coverage[where])


def common_grams(documents: NDArray[np.int64], total: int, at_least: int, share: float) -> Numbers:
    """Return which n-grams are common phrases.

    Parameters
    ----------
    documents
        How many documents hold each n-gram: int64[grams].
    total
        How many documents there are.
    at_least, share
        Common is what more documents hold than ``at_least``, and more than ``share`` of all.
    """
    return np.flatnonzero(documents > max(at_least, share * total)).astype(np.int32)


def reachable(index: Index, common: Numbers) -> Numbers:
    """Return how many units of each item are covered by n-grams that are not common: int32[items + controls]."""
    kept = np.ones(len(index.hashes), np.bool_)
    kept[common] = False
    gram = np.repeat(np.arange(len(index.hashes)), np.diff(index.starts))
    gram, item, position = gram[kept[gram]], index.items[kept[gram]], index.positions[kept[gram]]
    order = np.lexsort((position, item))
    nowhere = np.zeros(len(item), np.int64)
    _, item, covered = _covered(nowhere, item[order], position[order], index.spans[gram[order]])
    units = np.zeros(len(index.units), np.int32)
    units[item] = covered
    return units


def cover(index: Index, common: Numbers, possible: Numbers, rows: NDArray[np.int64], grams: Numbers) -> Found:
    """Compute the coverage of every item in every document that holds an n-gram of it.

    Parameters
    ----------
    common
        N-grams that prove nothing.
    possible
        What ``reachable`` makes of them.
    rows, grams
        Which document holds which n-gram, each pair once: int64[hits], int32[hits].
    """
    telling = np.ones(len(index.hashes), np.bool_)
    telling[common] = False
    rows, grams = rows[telling[grams]], grams[telling[grams]]
    many = index.starts[grams + 1] - index.starts[grams]
    posting = np.repeat(index.starts[grams] - (np.cumsum(many) - many), many) + np.arange(many.sum())
    row, gram = np.repeat(rows, many), np.repeat(grams, many)
    item, position = index.items[posting], index.positions[posting]
    order = np.lexsort((position, item, row))
    row, item, covered = _covered(row[order], item[order], position[order], index.spans[gram[order]])
    return Found(row, item, _share(covered, possible[item], index.units[item], index.ngrams[item]))


def unreachable(index: Index, possible: Numbers, least: float) -> NDArray[np.bool_]:
    """Return which items cannot be found any more, so much of them is common: bool[items + controls]."""
    return np.asarray(_share(possible, possible, index.units, index.ngrams) < np.float32(least))


def _share(covered: Numbers, possible: Numbers, units: Numbers, ngrams: Numbers) -> NDArray[np.float32]:
    return np.asarray(covered / np.maximum(possible, np.minimum((units + 1) // 2, 2 * ngrams)), np.float32)


def decide(index: Index, found: Found, least: float) -> tuple[Found, Found]:
    """Part what is covered enough into items and controls; no control counts where an item that it is made of is found.

    Parameters
    ----------
    least
        Share of an item that must be covered, 0 to 1.
    """
    found = found.select(found.coverage >= np.float32(least))
    control = index.controls[found.item]
    items, controls = found.select(~control), found.select(control)
    width = len(index.units)
    real = items.row * width + items.item
    made_of = index.donors[controls.item].astype(np.int64) + controls.row[:, None] * width
    return items, controls.select(np.asarray(~np.isin(made_of, real).any(axis=1)))


@njit(cache=True, nogil=True)
def _covered(
    row: NDArray[np.int64], item: Numbers, position: Numbers, span: Numbers
) -> tuple[NDArray[np.int64], Numbers, Numbers]:
    """Count the units in the union of intervals for each pair of row and item, given by row, item and position."""
    rows, items, units = np.empty(len(row), np.int64), np.empty(len(row), np.int32), np.empty(len(row), np.int32)
    pairs, end = 0, 0
    for index in range(len(row)):
        if index == 0 or row[index] != row[index - 1] or item[index] != item[index - 1]:
            rows[pairs], items[pairs], units[pairs] = row[index], item[index], 0
            pairs += 1
            end = 0
        last = position[index] + span[index]
        units[pairs - 1] += max(0, last - max(end, position[index]))
        end = max(end, last)
    return rows[:pairs].copy(), items[:pairs].copy(), units[:pairs].copy()
