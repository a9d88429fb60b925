"""Megatron's order: which prefix of a weighted list each training sample comes from, replayed in constant memory.

The last stage weighs the prefixes with what is here, and ``verify`` replays the whole run. What Megatron does
(``BlendedMegatronDatasetBuilder``, ``BlendedDataset`` and ``build_blending_indices`` of core 0.14 to 0.16):

1. Weights are divided by their sum, twice in a row: ``drawing_weights``.
2. Of every prefix p, ceil(S w_p) samples are planned for S training samples (``planned_samples``). Their sum S' is S
   or somewhat more, by less than one a prefix. A surplus of 0.5 % is put on top, and whole epochs of the prefix are
   built until that many samples are there (``built_samples``).
3. At step t = 0, 1, ..., S' - 1 the prefix with the largest w_p max(t, 1) - c_p is drawn from, c_p being what has been
   drawn from it so far; of equal ones the first. The order for a smaller S is the beginning of that for a larger one.
4. If a prefix was drawn from more often in S' steps than it was built, Megatron stops with an IndexError
   (``needed_surplus``).

Training reads the first S of these, in whole global batches, and never the S' - S at the end. A single prefix is read
without blending; the same rule describes that, too.

Because the lags w_p t - c_p sum to 0, a prefix that is drawn from does not run ahead: c_p <= w_p (n - 1) + 1 after n
samples. So a group of K_z prefixes of total weight W, against K_e others, has -K_e < c_z(n) - W n < K_z at every n; and
with weights n_p / S, S steps draw exactly n_p.

Results are equal to those of the compiled helper bit by bit where that rounds each operation (x86-64). A compiler that
fuses multiplication and subtraction (the default of GCC on ARM) may settle ties differently: then the order differs,
counts and bounds do not.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixer.megatron.draw import LANES, UNROLLED, Track, draw, draw_lanes, lane_samples

Floats = NDArray[np.float64]

SURPLUS: Final = 0.005
"""Megatron's default of ``--mid-level-dataset-surplus``."""
MAX_PREFIXES: Final = 32_766
"""Megatron numbers the prefixes of a blend in int16 and asserts that there are fewer than 32,767."""
_STEPS: Final = 1 << 22
"""Steps of one call of the kernel: some 0.1 s, after which Python can be interrupted."""


def normalised(weights: ArrayLike) -> Floats:
    """Return weights divided by their sum: float64[K], the same operations as Megatron's ``normalize``."""
    values = np.array(weights, np.float64)
    return np.asarray(values / np.sum(values), np.float64)


def drawing_weights(weights: ArrayLike) -> Floats:
    """Return the weights that decide the order: float64[K], normalised by the builder and by the blend itself."""
    return normalised(normalised(weights))


def planned_samples(weights: ArrayLike, samples: int) -> NDArray[np.int64]:
    """Return how many samples of each prefix are planned for a training of ``samples``: int64[K], ceil(S w_p)."""
    return np.ceil(samples * normalised(weights)).astype(np.int64)


def wanted_samples(planned: int, surplus: float = SURPLUS) -> int:
    """Return how many samples of a prefix Megatron asks for: the planned ones and the surplus, rounded up."""
    return int(np.ceil(planned * (1 + surplus)))


def built_samples(planned: int, tokens: int, sequence_length: int, surplus: float = SURPLUS) -> int:
    """Return how many samples of a prefix are there to draw from: whole epochs that hold the planned ones and more.

    Parameters
    ----------
    planned
        Of ``planned_samples``.
    tokens
        Of the prefix, at least 1.
    sequence_length
        Tokens of a sample; it reads one more, and shares it with the next.
    surplus
        Of ``--mid-level-dataset-surplus``.
    """
    epochs = built_epochs(wanted_samples(planned, surplus), tokens, sequence_length)
    return (epochs * tokens - 1) // sequence_length


def built_epochs(wanted: int, tokens: int, sequence_length: int) -> int:
    """Return how many times over a prefix is laid out: the fewest whole epochs that hold the wanted samples."""
    return max(1, -(-(wanted * sequence_length + 1) // tokens))


def needed_surplus(weights: ArrayLike, tokens: ArrayLike, sequence_length: int, samples: int) -> float | None:
    """Return the surplus to pass to Megatron if the default would end in an IndexError, else None.

    Parameters
    ----------
    weights, tokens
        float[K] and int[K] of the prefixes.
    sequence_length, samples
        Of the training.
    """
    planned = planned_samples(weights, samples)
    each = list(zip(planned.tolist(), np.asarray(tokens, np.int64).tolist(), strict=True))
    steps = int(planned.sum())

    def enough(surplus: float, draws: NDArray[np.int64]) -> bool:
        built = [built_samples(count, size, sequence_length, surplus) for count, size in each]
        return bool((draws <= built).all())

    if len(each) == 1 or enough(SURPLUS, np.floor(drawing_weights(weights) * (steps - 1) + 1e-6).astype(np.int64) + 1):
        return None
    # Only possible with fewer than some 200 samples a prefix, so that counting them out takes no time.
    draws = drawn(weights, steps)
    surplus = SURPLUS
    while not enough(surplus, draws):
        surplus *= 2
    return None if surplus == SURPLUS else surplus


def drawn(weights: ArrayLike, samples: int) -> NDArray[np.int64]:
    """Return how many of the first ``samples`` come from each prefix: int64[K]."""
    replay = Replay(weights)
    replay.advance(samples)
    return replay.counts


def group_bounds(group: NDArray[Any]) -> tuple[int, int]:
    """Return the bounds (-K_e, K_z) between which a group's count stays around its share, at every step.

    Parameters
    ----------
    group
        bool[K], which prefixes belong to it.
    """
    inside = int(np.count_nonzero(group))
    return inside - len(group), inside


@dataclass(frozen=True)
class Deviation:
    """The largest distance of a running sum below (negative) or above its line, in samples, and after how many."""

    low: float
    low_at: int
    high: float
    high_at: int

    @property
    def largest(self) -> tuple[float, int]:
        """The larger of both distances, with its sign, and the number of samples after which it was met."""
        return (self.low, self.low_at) if -self.low > self.high else (self.high, self.high_at)


@dataclass(frozen=True)
class Batches:
    """How far the whole batches so far were from a line, each by itself, in samples.

    Parameters
    ----------
    count, size
        Batches, and the samples of one.
    slope, share
        What a sample should add to the sum, and what one did on average.
    mean
        The mean absolute distance of a batch.
    worst, worst_at
        The largest distance, with its sign, and the number of the batch that had it first, from 0.
    """

    count: int
    size: int
    slope: float
    share: float
    mean: float
    worst: float
    worst_at: int


class Replay:
    """Megatron's order from the first sample on, in steps of any size.

    Memory is constant; the state is ``counts``. Long ways are gone in many stretches at once, with the same draws
    (``draw.draw_lanes``). Running sums of an amount per sample (1 for a group's prefixes and 0
    for the others, or measured shares) are held against straight lines after every single sample, and once more for
    every batch by itself.

    Parameters
    ----------
    weights
        float[K] in the order of ``blend.json``, not normalised yet.
    amounts
        float[M, K], what a sample of each prefix adds to each of M sums; M may be 0.
    slopes
        float[M], what each sum should grow by a sample.
    batch
        Samples of a batch; 0: batches are not looked at.

    Raises
    ------
    ValueError
        There is no weight, there are too many, or one is not positive and finite: Megatron would stop at it.
    """

    def __init__(self, weights: ArrayLike, amounts: ArrayLike = (), slopes: ArrayLike = (), batch: int = 0) -> None:
        values = np.array(weights, np.float64)
        if not (0 < len(values) <= MAX_PREFIXES and (values > 0).all() and np.isfinite(values).all()):
            raise ValueError(f"a blend needs 1 to {MAX_PREFIXES} weights, all positive and finite")
        self._prefixes = len(values)
        # Filled up with prefixes that are never drawn: their lag is minus infinity.
        fill = -self._prefixes % UNROLLED
        self._weights = np.concatenate([drawing_weights(values), np.zeros(fill)])
        self._counts = np.concatenate([np.zeros(self._prefixes), np.full(fill, np.inf)])
        lines = np.array(slopes, np.float64)
        self._track = Track.new(np.array(amounts, np.float64).reshape(len(lines), self._prefixes), lines, batch)
        self.step = 0

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of the samples so far come from each prefix: int64[K]."""
        return self._counts[: self._prefixes].astype(np.int64)

    @property
    def deviations(self) -> list[Deviation]:
        """The extreme distances of the M sums from their lines so far."""
        pairs = zip(self._track.extremes.tolist(), self._track.extremes_at.tolist(), strict=True)
        return [Deviation(low, low_at, high, high_at) for (low, high), (low_at, high_at) in pairs]

    @property
    def batches(self) -> list[Batches]:
        """The distances of the M sums of the whole batches so far; none before the first batch is whole."""
        size = self._track.batch
        count = self.step // size if size else 0
        if not count:
            return []
        track = self._track
        found = (track.slopes, track.begun, track.batch_off, track.batch_worst, track.batch_worst_at)
        return [
            Batches(count, size, slope, sums / (count * size), off / count, worst, max(at // size - 1, 0))
            for slope, sums, off, worst, at in zip(*(values.tolist() for values in found), strict=True)
        ]

    def advance(self, to: int) -> None:
        """Go on until ``to`` samples have been drawn in all."""
        batch = self._track.batch or 1
        while self.step < to:
            begin = max(-(-self.step // batch), 1) * batch
            of_lane, before = lane_samples(self._prefixes, self._track.batch, to - begin)
            if not of_lane:
                self._one_by_one(to)
                continue
            self._one_by_one(begin)
            self.step = draw_lanes(self._weights, self._counts, self._track, begin, of_lane, before)
            if self.step < begin + of_lane * LANES // 4:
                # Supposing goes wrong with these weights, and costs more than it gains: go the same way on foot.
                self._one_by_one(begin + of_lane * LANES)

    def _one_by_one(self, to: int) -> None:
        none = np.empty(0, np.int16)
        while self.step < to:
            self._run(min(to - self.step, _STEPS), none)

    def order(self, steps: int) -> NDArray[np.int16]:
        """Draw so many more samples and return the index of the prefix of each: int16[steps]."""
        indices = np.empty(steps, np.int16)
        self._run(steps, indices)
        return indices

    def _run(self, steps: int, indices: NDArray[np.int16]) -> None:
        draw(self._weights, self._counts, self._track, self.step, indices, steps)
        self.step += steps
