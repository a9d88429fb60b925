"""Which documents are duplicates of which: pure functions from fingerprints to each document's survivor.

*Exact* duplicates have equal exact keys; the lowest row survives. The survivors then take part in MinHash: two that are
equal in a whole band are candidates; a candidate pair is an edge if enough of all hashes agree; a cluster is a
connected component, and its lowest row survives. The result depends on the fingerprints and their order alone, not
on the order in which edges are found.

Candidates are found by sorting, band by band. What that costs: sorting n keys for each band; then, for each bucket of
m documents that are equal in a band, a comparison (about 15 ns) of each pair that is not yet in one component. Buckets
of true duplicates are cheap however large: identical signatures are joined first, in linear time, and a bucket is left
as soon as all its documents are in one component. The dear case is a template, where many thousand documents share
enough to meet in a band but not enough to be joined: m^2 / 2 comparisons, a second for 10,000 documents, a minute and a
half for 100,000. No pair is left out to save time, since what is left out would depend on the order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.minhash import Signatures, band_keys
from mixer.dedup.settings import DedupSettings, MinhashSettings
from mixer.text.hashing import Hashes, hash_texts

Rows = NDArray[np.int64]

KEPT, EXACT, NEAR = 0, 1, 2


@dataclass(frozen=True)
class Duplicates:
    """What became of each document.

    Attributes
    ----------
    verdict
        ``KEPT``, ``EXACT`` (lost to a document with the same normal form) or ``NEAR`` (lost by MinHash): uint8[n].
    twin
        Row of the survivor, a survivor's own: int64[n]. Who lost to an exact twin that was then lost by MinHash has
        the survivor of that cluster.
    """

    verdict: NDArray[np.uint8]
    twin: Rows


def find_duplicates(
    exact: Hashes, keys: Iterable[Hashes], gather: Callable[[Rows], Signatures], settings: DedupSettings
) -> Duplicates:
    """Find all duplicates among ``n`` documents in stable order.

    Parameters
    ----------
    exact
        Exact keys: uint64[n, 2].
    keys
        For each band the keys of all signatures (``minhash.band_keys``): uint64[n]; not looked at if MinHash is off.
    gather
        Returns the signatures of some rows, given in ascending order; asked once, for the documents that are
        candidates.
    settings
        Which levels are on, and how similar near duplicates are.
    """
    here = np.arange(len(exact))
    twin = exact_twins(exact) if settings.exact else here.copy()
    verdict = np.where(twin == here, KEPT, EXACT).astype(np.uint8)
    if settings.minhash:
        met = _met(keys, np.flatnonzero(verdict == KEPT))
        twin[met] = met[components(np.ascontiguousarray(gather(met)), settings.minhash)]
        verdict[met[twin[met] != met]] = NEAR
    return Duplicates(verdict, twin[twin])


def exact_twins(exact: Hashes) -> Rows:
    """Return for each exact key the lowest row with the same one: int64[n]."""
    order = np.lexsort((exact[:, 1], exact[:, 0]))  # stable: rows ascend among equal keys
    new = np.ones(len(order), np.bool_)
    new[1:] = (exact[order[1:]] != exact[order[:-1]]).any(axis=1)
    twin = np.empty(len(order), np.int64)
    twin[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return twin


def is_valid(exact: Hashes, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw the documents that are set aside for validation, each with probability ``fraction``: bool[n].

    The draw is a hash of the exact key and the seed, so that the same text always falls on the same side, whatever
    else is in the corpora.
    """
    offsets = np.arange(0, exact.nbytes + 1, 16, dtype=np.int64)
    draws = hash_texts(np.ascontiguousarray(exact).view(np.uint8).reshape(-1), offsets, np.uint64(seed))
    return np.asarray((draws >> np.uint64(11)) * 2.0**-53 < fraction)


def components(signatures: Signatures, settings: MinhashSettings) -> Rows:
    """Return for each document the lowest one of its cluster: int64[n].

    Parameters
    ----------
    signatures
        uint32[n, hashes], C-contiguous.
    settings
        Bands, rows and the similarity that makes an edge.
    """
    lowest = np.arange(len(signatures))
    everything = _sorted(band_keys(signatures, 1, settings.hashes)[0])
    _join_band(signatures, lowest, *everything, 0, settings.hashes, settings.enough)
    distinct = np.flatnonzero(lowest == np.arange(len(lowest)))
    for band, keys in enumerate(band_keys(signatures, settings.bands, settings.rows)):
        order, bounds = _sorted(keys[distinct])
        first = band * settings.rows
        _join_band(signatures, lowest, distinct[order], bounds, first, first + settings.rows, settings.enough)
    _flatten(lowest)
    return lowest


def _sorted(keys: Hashes) -> tuple[Rows, Rows]:
    """Sort positions by key; ``bounds`` are where the buckets of two and more equal keys begin and end: int64[m, 2]."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])) if len(keys) else order
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    return order, bounds[bounds[:, 1] - bounds[:, 0] > 1]


def _met(keys: Iterable[Hashes], rows: Rows) -> Rows:
    """Return those of ``rows`` that share a band key with another of them, ascending."""
    met = np.zeros(len(rows), np.bool_)
    for band in keys:
        values = band[rows]
        order = np.argsort(values)
        same = values[order[1:]] == values[order[:-1]]
        met[order[1:][same]] = True
        met[order[:-1][same]] = True
    return rows[met]


@njit(cache=True, nogil=True)
def _join_band(
    signatures: Signatures, lowest: Rows, order: Rows, bounds: Rows, first: int, last: int, enough: int
) -> None:
    """Join the clusters of all documents of each bucket that are equal in ``first:last`` and agree in ``enough``.

    ``lowest`` is a forest: each document points to a lower one of its cluster, the lowest to itself.
    """
    counted = np.full(len(lowest), -1, np.int64)  # the bucket in which a cluster was last counted
    for bucket in range(len(bounds)):
        start, stop = bounds[bucket]
        clusters = 0
        for row in order[start:stop]:
            root = _root(lowest, row)
            clusters += counted[root] != bucket
            counted[root] = bucket
        for here in range(start, stop):
            if clusters == 1:
                break
            root = _root(lowest, order[here])
            for there in range(here + 1, stop):
                other = _root(lowest, order[there])
                if other != root and _agree(signatures, order[here], order[there], first, last, enough):
                    root, other = min(root, other), max(root, other)
                    lowest[other] = root
                    clusters -= 1


@njit(cache=True, nogil=True, inline="always")
def _root(lowest: Rows, row: int) -> int:
    while lowest[row] != row:
        lowest[row] = lowest[lowest[row]]
        row = lowest[row]
    return row


@njit(cache=True, nogil=True, inline="always")
def _agree(signatures: Signatures, one: int, two: int, first: int, last: int, enough: int) -> bool:
    different = 0
    for k in range(first, last):
        different += signatures[one, k] != signatures[two, k]
    agreeing = 0
    for k in range(signatures.shape[1]):
        agreeing += signatures[one, k] == signatures[two, k]
    return different == 0 and agreeing >= enough


@njit(cache=True, nogil=True)
def _flatten(lowest: Rows) -> None:
    """Point every document at the lowest of its cluster."""
    for row in range(len(lowest)):
        lowest[row] = lowest[lowest[row]]
