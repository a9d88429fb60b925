"""The shares nearest to the preferred ones: minimise the KL divergence under columns, groups, caps and a coupling row.

Called by ``weights.py`` once ``feasibility.py`` has proved that shares exist. The problem

    minimise    sum w log(w / p)
    subject to  sum of w over column g = b_g,   l_h <= sum of w over group h <= u_h (inside a column),
                sum w * score = almr,   0 <= w <= u

has the solution w_i = min(u_i, p_i exp(m + t * score_i)) with one number t, the *tilt*, and one number m a column, in
place of which a group whose bound binds has a number of its own. For a given tilt each column is filled like connected
vessels, exactly, by sorting; groups that a bound holds are found and taken out, one kind after the other (Bitran and
Hax 1981). The ALMR that comes out grows with the tilt, so the whole problem is the root of one monotone function of one
number. With a label score and no domains that means: proportional inside each language, water-filling over what the
caps cut off.

At the end of the possible range the tilt is infinite: columns are filled by score alone, and in proportion only among
equal scores. The Karush-Kuhn-Tucker conditions of every answer are checked before it is returned.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

_ACCURACY: Final = 1e-9
"""The largest Karush-Kuhn-Tucker residual of an answer, in shares (and in the logarithm of w / p)."""
_AT_THE_END: Final = 1e-14
"""A target nearer than this to the end of the range, in shares, is at the end."""
_AT_A_BOUND: Final = 1e-12
"""A share nearer than this part of a bound to it is at the bound."""
_DUST: Final = 1e-15
"""What is less than this of all training is the rounding of larger shares, and no share or room of its own."""
_TINY: Final = float(np.finfo(np.float64).tiny)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Constraints:
    """What shares must keep, K datasets in G columns and H groups.

    Parameters
    ----------
    upper
        float64[K]: the largest share of each dataset, above 0.
    column, column_shares
        int64[K], 0 to G - 1, and float64[G]: the column of each dataset, and the share of each column, above 0.
    group, group_low, group_high
        int64[K], 0 to H - 1 or -1 for none, and float64[H]: the group of each dataset, all of one column, and the
        smallest and largest share of each group.
    score, almr
        float64[K]: what each dataset counts towards the ALMR, and what the sum of shares times score must be.
    """

    upper: Floats
    column: Ints
    column_shares: Floats
    group: Ints
    group_low: Floats
    group_high: Floats
    score: Floats
    almr: float


@dataclass(frozen=True, eq=False)
class Shares:
    """The answer: shares float64[K], the tilt that made them, and the largest residual of the conditions."""

    shares: Floats
    tilt: float
    residual: float


def nearest_shares(log_preferred: Floats, given: Constraints) -> Shares:
    """Return the feasible shares nearest in KL divergence to the preferred ones.

    Parameters
    ----------
    log_preferred
        float64[K]: the logarithms of what the shares should be in proportion to.
    given
        The constraints; they must be possible.

    Raises
    ------
    ArithmeticError
        The conditions of the minimum are not met to 1e-9; a defect of this module, or an infeasible problem.
    """
    log_preferred = log_preferred - np.logaddexp.reduce(log_preferred)
    members = [np.flatnonzero(given.column == g) for g in range(len(given.column_shares))]

    def fill(tilt: float) -> Floats:
        shares = np.zeros(len(log_preferred))
        for inside, amount in zip(members, given.column_shares, strict=True):
            wish, rank = log_preferred[inside], np.sign(tilt) * given.score[inside]
            if np.isfinite(tilt):
                # Only differences of scores matter in a column; counted from the favoured end they keep their digits.
                wish, rank = wish + abs(tilt) * (rank - rank.max()), np.zeros(len(inside))
            shares[inside] = _column(
                rank, wish, given.upper[inside], amount, given.group[inside], given.group_low, given.group_high
            )
        return shares

    def excess(tilt: float) -> float:
        return float(fill(tilt) @ given.score) - given.almr

    tilt = _root(excess)
    shares = fill(tilt)
    residual = max(_primal_residual(shares, given), _dual_residual(shares, tilt, log_preferred, given))
    if not residual <= _ACCURACY:
        raise ArithmeticError(f"the shares miss the conditions of the minimum by {residual:.3g}")
    return Shares(shares, tilt, residual)


def _root(excess: Callable[[float], float]) -> float:
    """Find the tilt whose excess is 0; infinite when the target is the end of the range."""
    start = excess(0.0)
    if start == 0:
        return 0.0
    sign = -1.0 if start > 0 else 1.0
    if sign * excess(sign * np.inf) <= _AT_THE_END:
        return sign * np.inf
    near, far = 0.0, sign
    while sign * excess(far) < 0:
        if abs(far) > 1e18:  # scores so close that no tilt tells them apart
            return sign * np.inf
        near, far = far, far * 2
    return float(brentq(excess, near, far, xtol=1e-300, rtol=4 * np.finfo(np.float64).eps, maxiter=1000))


def _column(rank: Floats, wish: Floats, upper: Floats, amount: float, group: Ints, low: Floats, high: Floats) -> Floats:
    """Spread ``amount`` over a column by rank and wish, every group between its bounds.

    All vessels are filled together first. If the groups that would run over exceed their bounds by more than the others
    fall short, the true level is not lower, so those are full; else it is not higher, and those that fall short are
    held at their smallest shares. What is held is taken out, and the rest is filled again.
    """
    shares = np.empty(len(wish))
    open_ = np.ones(len(wish), np.bool_)
    while True:
        shares[open_] = _by_rank(rank[open_], wish[open_], upper[open_], max(amount, 0.0))
        grouped = open_ & (group >= 0)
        sums = np.bincount(group[grouped], shares[grouped], len(low))
        there = np.bincount(group[grouped], minlength=len(low)) > 0
        over = np.where(there, np.maximum(sums - high, 0), 0)
        short = np.where(there, np.maximum(low - sums, 0), 0)
        if not (over.any() or short.any()):
            return shares
        bound, held = (high, over) if over.sum() >= short.sum() else (low, short)
        for h in np.flatnonzero(held):
            inside = group == h
            shares[inside] = _by_rank(rank[inside], wish[inside], upper[inside], bound[h])
            open_ &= ~inside
            amount -= bound[h]


def _vessels(wish: Floats, upper: Floats, amount: float) -> Floats:
    """Spread ``amount`` in proportion to exp(wish), each at most ``upper``: connected vessels with one level.

    Vessels are sorted by the level at which each is full. With the first k full, the others share what is left in
    proportion; the answer is the smallest k at which none of those overflows.
    """
    brim = np.log(upper) - wish
    order = np.argsort(brim, kind="stable")
    wish, brim, filled = wish[order], brim[order], upper[order]
    left = np.maximum(amount - np.concatenate(([0.0], np.cumsum(filled)))[:-1], 0.0)
    with np.errstate(divide="ignore"):
        level = np.log(left) - np.logaddexp.accumulate(wish[::-1])[::-1]
    fits = level <= brim
    if fits.any():
        full = int(np.argmax(fits))
        rest = np.exp(wish[full:] - wish[full:].max())
        filled[full:] = np.minimum(filled[full:], left[full] * (rest / rest.sum()))
    shares = np.empty(len(wish))
    shares[order] = filled
    return shares


def _by_rank(rank: Floats, wish: Floats, upper: Floats, amount: float) -> Floats:
    """Spread ``amount`` from the highest rank down, among equals in proportion to exp(wish)."""
    shares = np.zeros(len(rank))
    for level in np.unique(rank)[::-1]:
        inside = np.flatnonzero(rank == level)
        room = float(upper[inside].sum())
        shares[inside] = _vessels(wish[inside], upper[inside], min(amount, room))
        amount -= room
        if amount <= 0:
            break
    return shares


def _primal_residual(shares: Floats, given: Constraints) -> float:
    """Return by how much the shares miss a constraint."""
    sums = np.bincount(given.column, shares, len(given.column_shares))
    groups = _group_sums(shares, given)
    outside = (-shares, shares - given.upper, given.group_low - groups, groups - given.group_high)
    missed = (np.abs(sums - given.column_shares), abs(shares @ given.score - given.almr))
    return max(float(np.max(miss, initial=0.0)) for miss in (*outside, *missed))


def _group_sums(shares: Floats, given: Constraints) -> Floats:
    inside = given.group >= 0
    return np.bincount(given.group[inside], shares[inside], len(given.group_low)).astype(np.float64)


def _dual_residual(shares: Floats, tilt: float, log_preferred: Floats, given: Constraints) -> float:
    """Return by how much the shares miss being the nearest.

    They are the nearest if no exchange brings them nearer: from a dataset that has a share to one that is not at its
    cap, inside a group, or inside a column from a group that is not at its smallest share to one that is not at its
    largest. The exchange of a little share brings them nearer by the difference of the levels, log(w / p) - tilt *
    score. With an infinite tilt this holds among equal scores, and nothing may be exchanged for a better score. Levels
    carry the rounding of the tilt times the score, so a large tilt widens the measure.
    """
    finite = bool(np.isfinite(tilt))
    level = np.log(np.maximum(shares, _TINY)) - log_preferred - (tilt * given.score if finite else 0.0)
    rank = np.zeros(len(shares)) if finite else np.sign(tilt) * given.score
    worst = 0.0
    for gives, takes in _exchanges(shares, given):
        worst = max(worst, _movable(rank, shares, given.upper - shares, gives, takes))
        for value in np.unique(rank[gives]):
            here = rank == value
            if (gives & here).any() and (takes & here).any():
                worst = max(worst, float(level[gives & here].max() - level[takes & here].min()))
    return worst / max(1.0, 1e-5 * abs(tilt)) if finite else worst


def _exchanges(shares: Floats, given: Constraints) -> Iterator[tuple[Flags, Flags]]:
    """Yield, for every group and column, which datasets can give and which can take: bool[K] each."""
    gives, takes = shares > _DUST, _below(shares, given.upper)
    for h in range(len(given.group_low)):
        inside = given.group == h
        yield gives & inside, takes & inside
    sums = _group_sums(shares, given)
    # The last entry stands for no group (-1).
    can_give = np.append(_below(given.group_low, sums), True)[given.group]
    can_take = np.append(_below(sums, given.group_high), True)[given.group]
    for g in range(len(given.column_shares)):
        inside = given.column == g
        yield gives & can_give & inside, takes & can_take & inside


def _below(low: Floats, high: Floats) -> Flags:
    """Whether one is clearly below the other."""
    return low < high * (1 - _AT_A_BOUND) - _DUST


def _movable(rank: Floats, shares: Floats, room: Floats, gives: Flags, takes: Flags) -> float:
    """Return the largest share that could move from one dataset to another one of a higher rank."""
    order = np.argsort(rank, kind="stable")
    below = np.maximum.accumulate(np.where(gives, shares, 0.0)[order])
    above = np.maximum.accumulate(np.where(takes, room, 0.0)[order][::-1])[::-1]
    steps = np.flatnonzero(np.diff(rank[order]) > 0)
    return float(np.minimum(below[steps], above[steps + 1]).max(initial=0.0))
