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
    members = [prepared.train_rows(number) for number in range(len(prepared.sources))]
    order = Replay(prepared.weights).order(count)
    rows = np.empty(count, np.int64)
    for number, mine in enumerate(members):
        where = np.flatnonzero(order == number)
        rows[where] = _shuffled(mine, len(where), prepared.seed, number)
    return rows


def _shuffled(members: NDArray[np.int64], count: int, seed: int, source: int) -> NDArray[np.int64]:
    """Return the first ``count`` examples of a source, as they come: whole epochs, each a shuffle of its own."""
    epochs = -(-count // len(members))
    order = [_permutation(len(members), seed, source, epoch) for epoch in range(epochs)]
    return members[np.concatenate([np.empty(0, np.int64), *order])[:count]]


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
