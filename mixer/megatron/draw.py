"""The kernels that draw samples by Megatron's rule, for ``blend.Replay``: one by one, and many stretches side by side.

A draw waits for the one before it, so that drawing one by one leaves most of a core idle. But the counts of the
prefixes are all the state there is, and the rule soon forgets where it began: from counts that are merely near the
true ones (the shares of the samples so far, rounded) it draws as from the true ones after some steps, fewer than there
are prefixes in nearly all trials. So ``draw_lanes`` draws 128 stretches of a training at once, each from supposed
counts a little before its beginning. A stretch counts only if it began with the very counts that the one before ended
with. What does not, its caller draws one by one: nothing rests on the supposition but speed.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LANES: Final = 128
UNROLLED: Final = 4
"""Prefixes that the kernels look at together; arrays of prefixes are filled up to a multiple of it."""
_MOST: Final = 1 << 25
"""Samples of one call of ``draw_lanes``: less than a second, after which Python can be interrupted."""


@dataclass(frozen=True)
class Track:
    """Running sums over the samples, each held against a straight line, and what was found so far.

    Parameters
    ----------
    amounts
        float[M, K], what a sample of each prefix adds to each sum.
    slopes
        float[M], what each sum should grow by a sample.
    batch
        Samples of a batch, whose own sums are held against the line, too; 0: none.
    extremes, extremes_at
        float[M, 2] and int[M, 2]: the lowest and the highest distance of a sum from its line after any sample, 0 or
        beyond, and the number of samples after which it was met first.
    begun
        float[M], the sums when the latest batch began.
    batch_off
        float[M], the sum over all batches of the absolute distance of the batch's own sum from its line.
    batch_worst, batch_worst_at
        float[M] and int[M]: the largest of these distances with its sign, and the number of samples after that batch.
    """

    amounts: Floats
    slopes: Floats
    batch: int
    extremes: Floats
    extremes_at: NDArray[np.int64]
    begun: Floats
    batch_off: Floats
    batch_worst: Floats
    batch_worst_at: NDArray[np.int64]

    @classmethod
    def new(cls, amounts: Floats, slopes: Floats, batch: int) -> "Track":
        """Return the track of a training that has not begun."""
        of_sums = len(slopes)
        zeros, whole = np.zeros, np.int64
        return cls(
            amounts=amounts,
            slopes=slopes,
            batch=batch,
            extremes=zeros((of_sums, 2)),
            extremes_at=zeros((of_sums, 2), whole),
            begun=zeros(of_sums),
            batch_off=zeros(of_sums),
            batch_worst=zeros(of_sums),
            batch_worst_at=zeros(of_sums, whole),
        )

    def arrays(self) -> tuple[Any, ...]:
        """Return everything for a kernel, in the order of the fields."""
        return tuple(vars(self).values())


def draw(weights: Floats, counts: Floats, track: Track, first: int, indices: NDArray[np.int16], steps: int) -> None:
    """Draw samples ``first`` to ``first + steps``, one by one.

    Parameters
    ----------
    weights, counts
        float[K] each, K a multiple of ``UNROLLED``; counts are whole numbers, exact up to 2**53, and grow.
    track
        Is brought up to date.
    first, steps
        Where to begin, and how far to go.
    indices
        int16[steps] for the prefix of each sample, or empty.
    """
    _draw(weights, counts, first, steps, indices, *track.arrays())


@njit(cache=True, nogil=True)
def _draw(
    weights: Floats,
    counts: Floats,
    first: int,
    steps: int,
    indices: NDArray[np.int16],
    amounts: Floats,
    slopes: Floats,
    batch: int,
    extremes: Floats,
    extremes_at: NDArray[np.int64],
    begun: Floats,
    batch_off: Floats,
    batch_worst: Floats,
    batch_worst_at: NDArray[np.int64],
) -> None:
    """Search four quarters of the prefixes side by side, because a single search waits for each comparison.

    Of equal lags the first wins inside a quarter, and the earlier quarter.
    """
    sums = np.zeros(len(slopes))
    for m in range(len(slopes)):
        for p in range(amounts.shape[1]):
            sums[m] += amounts[m, p] * counts[p]
    quarter = len(weights) // 4
    left = batch - first % batch if batch else -1
    for t in range(first, first + steps):
        position = max(float(t), 1.0)
        a, b, c, d = 0, quarter, 2 * quarter, 3 * quarter
        lag_a = weights[a] * position - counts[a]
        lag_b = weights[b] * position - counts[b]
        lag_c = weights[c] * position - counts[c]
        lag_d = weights[d] * position - counts[d]
        for p in range(1, quarter):
            lag = weights[p] * position - counts[p]
            if lag > lag_a:
                lag_a, a = lag, p
            lag = weights[p + quarter] * position - counts[p + quarter]
            if lag > lag_b:
                lag_b, b = lag, p + quarter
            lag = weights[p + 2 * quarter] * position - counts[p + 2 * quarter]
            if lag > lag_c:
                lag_c, c = lag, p + 2 * quarter
            lag = weights[p + 3 * quarter] * position - counts[p + 3 * quarter]
            if lag > lag_d:
                lag_d, d = lag, p + 3 * quarter
        if lag_b > lag_a:
            lag_a, a = lag_b, b
        if lag_d > lag_c:
            lag_c, c = lag_d, d
        if lag_c > lag_a:
            a = c
        counts[a] += 1.0
        if len(indices):
            indices[t - first] = a
        left -= 1
        for m in range(len(slopes)):
            sums[m] += amounts[m, a]
            distance = sums[m] - slopes[m] * (t + 1)
            if distance < extremes[m, 0]:
                extremes[m, 0], extremes_at[m, 0] = distance, t + 1
            elif distance > extremes[m, 1]:
                extremes[m, 1], extremes_at[m, 1] = distance, t + 1
            if left == 0:
                off = sums[m] - begun[m] - slopes[m] * batch
                batch_off[m] += abs(off)
                if abs(off) > abs(batch_worst[m]):
                    batch_worst[m], batch_worst_at[m] = off, t + 1
                begun[m] = sums[m]
        if left == 0:
            left = batch


def lane_samples(prefixes: int, batch: int, samples: int) -> tuple[int, int]:
    """Return how many samples to draw in each lane, whole batches, and how many before that; 0, 0: too few to do so."""
    of_lane = min(samples, _MOST) // LANES
    if batch:
        of_lane = max(of_lane - of_lane % batch, batch)
    before = of_lane // 16
    return (of_lane, before) if before >= 256 + 2 * prefixes and of_lane * LANES <= samples else (0, 0)


def supposed_counts(weights: Floats, counts: Floats, samples: int, more: int) -> Floats:
    """Return what may have been drawn ``more`` samples after ``counts``: float[K], whole numbers of the right sum.

    A prefix is mostly drawn from when its share is half a sample ahead of its count. What is seldom drawn from has to
    be guessed right, and so goes on from its true count; what the sum lacks, the heaviest soon make up for.
    """
    shares = np.clip(weights * samples, counts - 0.499, counts + 0.499) + weights * more
    supposed = np.rint(shares)
    excess = int(supposed.sum()) - (samples + more)
    supposed[np.argsort(-weights, kind="stable")[: abs(excess)]] -= np.sign(excess)
    return supposed


def draw_lanes(weights: Floats, counts: Floats, track: Track, first: int, of_lane: int, before: int) -> int:
    """Draw samples from ``first`` on, ``of_lane`` in each lane, and return up to where the draws are Megatron's.

    Parameters
    ----------
    weights, counts
        As in ``draw``; counts become those at the returned sample.
    track
        Is brought up to that sample. ``of_lane`` and ``first`` are whole batches of it.
    first
        Not 0, which has a rule of its own.
    of_lane, before
        Of ``lane_samples``; a lane begins ``before`` samples early, with supposed counts.
    """
    starts = first + of_lane * np.arange(LANES, dtype=np.int64)
    lanes = np.empty((len(weights), LANES))
    real = np.isfinite(counts)
    lanes[~real] = np.inf
    for lane in range(1, LANES):
        lanes[real, lane] = supposed_counts(weights[real], counts[real], first, lane * of_lane - before)
    lanes[:, 0] = counts
    positions = (starts - before).astype(np.float64)
    nothing = Track.new(np.zeros((0, len(weights))), np.zeros(0), 0)
    _draw_lanes(weights, lanes, positions, before, *_of_lanes(nothing, lanes))
    lanes[:, 0] = counts
    began = lanes.copy()
    found = _of_lanes(track, lanes)
    _draw_lanes(weights, lanes, positions, of_lane, *found)
    proved = 1
    while proved < LANES and np.array_equal(began[:, proved], lanes[:, proved - 1]):
        proved += 1
    counts[:] = lanes[:, proved - 1]
    _, _, _, _, low, low_at, high, high_at, begun, batch_off, worst, worst_at = found
    for m in range(len(track.slopes)):
        for at, values, places in ((0, -low[m], low_at[m]), (1, high[m], high_at[m])):
            lane = int(np.argmax(values[:proved]))
            if values[lane] > abs(track.extremes[m, at]):
                track.extremes[m, at] = values[lane] * (1 if at else -1)
                track.extremes_at[m, at] = places[lane]
        lane = int(np.argmax(np.abs(worst[m, :proved])))
        if abs(worst[m, lane]) > abs(track.batch_worst[m]):
            track.batch_worst[m], track.batch_worst_at[m] = worst[m, lane], worst_at[m, lane]
        track.batch_off[m] += float(batch_off[m, :proved].sum())
        track.begun[m] = begun[m, proved - 1]
    return int(starts[0]) + proved * of_lane


def _of_lanes(track: Track, lanes: Floats) -> tuple[Any, ...]:
    """Return what the kernel tracks in, each sum as the counts of a lane make it: arrays float[M, LANES]."""
    sums = np.zeros((len(track.slopes), LANES))
    for p in range(track.amounts.shape[1]):  # one after the other, as `_draw` sums them
        sums += track.amounts[:, p, None] * lanes[p]
    found = [np.zeros_like(sums) for _ in range(4)]
    batches = [np.zeros_like(sums) for _ in range(3)]
    return (track.amounts, track.slopes, track.batch, sums, *found, sums.copy(), *batches)


@njit(cache=True, nogil=True)
def _draw_lanes(
    weights: Floats,
    counts: Floats,
    positions: Floats,
    steps: int,
    amounts: Floats,
    slopes: Floats,
    batch: int,
    sums: Floats,
    low: Floats,
    low_at: Floats,
    high: Floats,
    high_at: Floats,
    begun: Floats,
    batch_off: Floats,
    batch_worst: Floats,
    batch_worst_at: Floats,
) -> None:
    """Draw ``steps`` samples in every lane; the innermost loops go over lanes, and become vector instructions.

    Selections are written as such, not as branches, and everything is a float, because only so are they vectorised.
    """
    lanes = counts.shape[1]
    lag, pick = np.empty(lanes), np.empty(lanes)
    left = batch
    for _ in range(steps):
        for k in range(lanes):
            lag[k], pick[k] = -np.inf, 0.0
        for p in range(0, len(weights), 4):
            weight_a, weight_b, weight_c, weight_d = weights[p], weights[p + 1], weights[p + 2], weights[p + 3]
            count_a, count_b, count_c, count_d = counts[p], counts[p + 1], counts[p + 2], counts[p + 3]
            a = float(p)
            b, c, d = a + 1.0, a + 2.0, a + 3.0
            for k in range(lanes):
                position = positions[k]
                lag_a = weight_a * position - count_a[k]
                lag_b = weight_b * position - count_b[k]
                lag_c = weight_c * position - count_c[k]
                lag_d = weight_d * position - count_d[k]
                # Of equal lags the first wins.
                ab = b if lag_b > lag_a else a
                lag_ab = lag_b if lag_b > lag_a else lag_a
                cd = d if lag_d > lag_c else c
                lag_cd = lag_d if lag_d > lag_c else lag_c
                abcd = cd if lag_cd > lag_ab else ab
                lag_abcd = lag_cd if lag_cd > lag_ab else lag_ab
                before, chosen = lag[k], pick[k]
                lag[k] = lag_abcd if lag_abcd > before else before
                pick[k] = abcd if lag_abcd > before else chosen
        for k in range(lanes):
            counts[np.uint64(pick[k]), k] += 1.0
            positions[k] += 1.0
        left -= 1
        for m in range(len(slopes)):
            slope, amount, total = slopes[m], amounts[m], sums[m]
            lowest, lowest_at, highest, highest_at = low[m], low_at[m], high[m], high_at[m]
            for k in range(lanes):
                total[k] += amount[np.uint64(pick[k])]
            for k in range(lanes):
                position = positions[k]
                distance = total[k] - slope * position
                extreme, at = lowest[k], lowest_at[k]
                lowest_at[k] = position if distance < extreme else at
                lowest[k] = distance if distance < extreme else extreme
                extreme, at = highest[k], highest_at[k]
                highest_at[k] = position if distance > extreme else at
                highest[k] = distance if distance > extreme else extreme
            if left == 0:
                for k in range(lanes):
                    off = total[k] - begun[m, k] - slope * batch
                    batch_off[m, k] += abs(off)
                    if abs(off) > abs(batch_worst[m, k]):
                        batch_worst[m, k], batch_worst_at[m, k] = off, positions[k]
                    begun[m, k] = total[k]
        if left == 0:
            left = batch
