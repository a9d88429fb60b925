"""Deals the documents of a dataset out to the phases of a training, so that no document is in two of them.

Called by ``phases.py``, which must know that the documents can be dealt before it decides, and by ``views.py``, which
writes what each phase gets. Lengths come in, the phase of each document goes out; no files.

Every phase is owed the tokens at which it reads none of its documents more often than the whole training must: with
``n`` samples of length ``L`` in a phase, ``ceil((n L + 1) / R)`` tokens, where the dataset is read ``R`` times at most,
its epochs rounded up. What is left is dealt in proportion to what the phases read.

Documents are dealt in classes of similar length (1, 2 to 3, 4 to 7 tokens, ...), the longest class first, inside a
class in the dataset's own order: each goes to the phase that lags most behind its part of what has been dealt so far,
of equal ones the earlier. So every phase gets the same kinds of documents, from everywhere in the dataset, and the
short ones at the end even out what the long ones left uneven. The same documents in the same order are always dealt in
the same way; nothing is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.mixture.inventory import MIN_SEQUENCES

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dealt:
    """How the documents of a dataset have been dealt out to P phases.

    Parameters
    ----------
    phase
        uint8[documents]: the phase of each, from 0.
    tokens
        int64[P]: what each phase got.
    short
        int64[P]: the tokens that each lacks of what it is owed.
    reads
        How often a document is read at most, if no phase is short.
    """

    phase: NDArray[np.uint8]
    tokens: Ints
    short: Ints
    reads: int


def owed(samples: Sequence[int], tokens: int, sequence_length: int) -> tuple[Ints, int]:
    """Return the tokens that each phase must get of a dataset, and how often a document is read at most then.

    Parameters
    ----------
    samples
        What each of the P phases reads of the dataset; at least one reads something.
    tokens, sequence_length
        Of the dataset, and of a sample.

    Returns
    -------
    int64[P], at least ``MIN_SEQUENCES`` sequences for a phase that reads something and 0 for one that does not; and
    the number of reads.
    """
    # A run of samples reads one token more than their length.
    read = [count * sequence_length + 1 if count else 0 for count in samples]
    reads = max(1, -(-sum(read) // tokens))
    return np.array([max(MIN_SEQUENCES * sequence_length, -(-each // reads)) if each else 0 for each in read]), reads


def deal(lengths: NDArray[Any], samples: Sequence[int], sequence_length: int) -> Dealt:
    """Deal documents out to phases.

    Parameters
    ----------
    lengths
        int32[documents]: the tokens of each, in the order of the dataset.
    samples, sequence_length
        As in ``owed``; fewer than 256 phases.
    """
    tokens = int(lengths.sum(dtype=np.int64))
    needs, reads = owed(samples, tokens, sequence_length)
    taking = np.flatnonzero(needs)
    target = needs[taking]
    left = tokens - int(target.sum())
    if left > 0:
        # An equal part first, as large as the longest document: what is dealt in whole documents misses by less.
        cushion = min(left // len(taking), int(lengths.max()))
        drawn = np.array(samples, np.float64)[taking]
        target = target + cushion + ((left - cushion * len(taking)) * (drawn / drawn.sum())).astype(np.int64)
    dealt = np.empty(len(lengths), np.uint8)
    given = np.zeros(len(samples), np.int64)
    given[taking] = _deal(lengths, target / target.sum(), dealt)
    return Dealt(taking.astype(np.uint8)[dealt], given, np.maximum(needs - given, 0), reads)


@njit(cache=True, nogil=True)
def _deal(lengths: NDArray[Any], parts: NDArray[np.float64], dealt: NDArray[np.uint8]) -> Ints:
    """Fill ``dealt`` (uint8[documents]) with the phase of each document, given their parts (float64[V], sum 1).

    Tokens are whole numbers below 2**53, which floats hold exactly.
    """
    shortest, longest = 2**31 - 1, 1
    for i in range(len(lengths)):
        shortest, longest = min(shortest, lengths[i]), max(longest, lengths[i])
    low = 1
    while 2 * low <= longest:
        low *= 2
    given = np.zeros(len(parts))
    handed = 0.0
    while 2 * low > shortest:
        for i in range(len(lengths)):
            if lengths[i] < low or lengths[i] >= 2 * low:
                continue
            handed += lengths[i]
            best, lag = 0, parts[0] * handed - given[0]
            for k in range(1, len(parts)):
                other = parts[k] * handed - given[k]
                if other > lag:
                    best, lag = k, other
            dealt[i] = best
            given[best] += lengths[i]
        low //= 2
    return given.astype(np.int64)
