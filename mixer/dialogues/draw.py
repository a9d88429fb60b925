"""Which example comes at which place of a training: sources by Megatron's rule, each of them shuffled anew every epoch.

The rule is that of ``megatron.blend``: the source whose share lags furthest behind comes next, so that the ratio holds
at every place and not only at the end. Nothing depends on how many examples are drawn: a longer or resumed training
reads the same beginning.
"""

import numpy as np
from numpy.typing import NDArray

from mixer.dialogues.prepare import Prepared
from mixer.megatron.blend import Replay

Hashes = NDArray[np.uint64]


def draw(prepared: Prepared, count: int) -> NDArray[np.int64]:
    """Return which examples a training reads, in order: int64[count], rows of ``prepared.examples``.

    Held-out examples are never drawn. A source of few examples and a large weight is read several times over; each time
    all of it, in another order.
    """
    return draw_from(prepared, 0, count)


def draw_from(prepared: Prepared, start: int, stop: int) -> NDArray[np.int64]:
    """Return ``draw(prepared, stop)[start:]``: int64[stop - start]."""
    members = [prepared.train_rows(number) for number in range(len(prepared.sources))]
    drawn = np.flatnonzero([len(rows) for rows in members])
    replay = Replay(prepared.weights[drawn])
    replay.advance(start)
    before = replay.counts
    order = drawn[replay.order(stop - start)]
    rows = np.empty(stop - start, np.int64)
    for place, number in enumerate(drawn.tolist()):
        where = np.flatnonzero(order == number)
        turns = before[place] + np.arange(len(where), dtype=np.int64)
        rows[where] = _shuffled(members[number], turns, prepared.seed, number)
    return rows


def epochs(prepared: Prepared, count: int) -> NDArray[np.float64]:
    """Return how many times over each source is read by a training of ``count`` examples: float64[sources]."""
    sizes = np.array([len(prepared.train_rows(number)) for number in range(len(prepared.sources))], np.int64)
    drawn = np.bincount(prepared.source[draw(prepared, count)], minlength=len(sizes))
    return np.asarray(drawn / np.maximum(sizes, 1), np.float64)


def _shuffled(members: NDArray[np.int64], turns: NDArray[np.int64], seed: int, source: int) -> NDArray[np.int64]:
    """Return the examples of a source at some of its turns, in a row; every epoch is a shuffle of its own."""
    size = len(members)
    rows = np.empty(len(turns), np.int64)
    for epoch in np.unique(turns // size).tolist():
        here = turns // size == epoch
        rows[here] = members[_permutation(size, seed, source, epoch)[turns[here] % size]]
    return rows


def _permutation(size: int, seed: int, source: int, epoch: int) -> NDArray[np.int64]:
    """Return a shuffle of 0 to ``size`` - 1 that depends on nothing else, NumPy's version included.

    Places are sorted by a hash of themselves: SplitMix64's finalizer (Steele, Lea and Flood 2014) of a counter.
    """
    key = np.array([seed, source, epoch], np.uint64)
    state = np.zeros(1, np.uint64)
    for part in key:
        state = _mixed(state + part + _GOLDEN)
    return np.argsort(_mixed(state + (np.arange(size, dtype=np.uint64) + np.uint64(1)) * _GOLDEN), kind="stable")


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
