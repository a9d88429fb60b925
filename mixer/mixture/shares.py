"""The shares nearest to the preferred ones: minimise the KL divergence under columns, caps and one coupling row.

Called by ``weights.py`` once ``feasibility.py`` has proved that shares exist. The problem

    minimise    sum w log(w / p)
    subject to  sum of w over column g = b_g,   sum w * score = almr,   0 <= w <= u

has the solution w_i = min(u_i, p_i exp(m_g + t * score_i)) with one number m_g a column and one number t, the *tilt*.
For a given tilt each column is filled like connected vessels, exactly, by sorting; the ALMR that comes out grows with
the tilt, so the whole problem is the root of one monotone function of one number. With a label score and no domains
that means: proportional inside each group, water-filling over what the caps cut off.

At the end of the possible range the tilt is infinite: columns are filled by score alone, and in proportion only among
equal scores. The Karush-Kuhn-Tucker conditions of every answer are checked before it is returned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

_ACCURACY: Final = 1e-9
"""The largest Karush-Kuhn-Tucker residual of an answer, in shares (and in the logarithm of w / p)."""
_AT_THE_END: Final = 1e-14
"""A target nearer than this to the end of the range, in shares, is at the end."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shares:
    """The answer: shares float64[K], the tilt that made them, and the largest residual of the conditions."""

    shares: Floats
    tilt: float
    residual: float


def nearest_shares(
    preferred: Floats, upper: Floats, column: Ints, column_shares: Floats, score: Floats, almr: float
) -> Shares:
    """Return the feasible shares nearest in KL divergence to the preferred ones.

    Parameters
    ----------
    preferred
        float64[K]: what the shares should be in proportion to, above 0.
    upper
        float64[K]: the largest share of each, above 0.
    column
        int64[K]: the column of each, 0 to G - 1.
    column_shares
        float64[G]: the share of each column, above 0.
    score
        float64[K]: what each counts towards the ALMR.
    almr
        The sum of shares times score; must be possible.

    Raises
    ------
    ArithmeticError
        The conditions of the minimum are not met to 1e-9; a defect of this module, or an infeasible problem.
    """
    log_preferred = np.log(preferred / preferred.sum())
    members = [np.flatnonzero(column == g) for g in range(len(column_shares))]

    def fill(tilt: float) -> Floats:
        shares = np.zeros(len(preferred))
        for inside, amount in zip(members, column_shares, strict=True):
            wish, room, rank = log_preferred[inside], upper[inside], np.sign(tilt) * score[inside]
            if np.isfinite(tilt):
                # Only differences of scores matter in a column; counted from the favoured end they keep their digits.
                shares[inside] = _vessels(wish + abs(tilt) * (rank - rank.max()), room, amount)
            else:
                shares[inside] = _by_rank(rank, wish, room, amount)
        return shares

    def excess(tilt: float) -> float:
        return float(fill(tilt) @ score) - almr

    tilt = _root(excess)
    shares = fill(tilt)
    residual = max(
        _primal_residual(shares, upper, column, column_shares, score, almr),
        _dual_residual(shares, tilt, log_preferred, upper, column, score),
    )
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


def _primal_residual(
    shares: Floats, upper: Floats, column: Ints, column_shares: Floats, score: Floats, almr: float
) -> float:
    """Return by how much the shares miss a constraint."""
    sums = np.bincount(column, shares, len(column_shares))
    outside = max(float(-shares.min()), float((shares - upper).max()), 0.0)
    return max(outside, float(np.abs(sums - column_shares).max()), abs(float(shares @ score) - almr))


def _dual_residual(
    shares: Floats, tilt: float, log_preferred: Floats, upper: Floats, column: Ints, score: Floats
) -> float:
    """Return by how much the shares miss being the nearest.

    Where no cap binds, log(w / p) - tilt * score must be one level a column; where one binds, at or below that level.
    With an infinite tilt this holds among equal scores, and nothing may lie below a vessel that is not full. The level
    carries the rounding of the tilt times the score, so a large tilt widens the measure.
    """
    positive = shares > np.finfo(np.float64).tiny
    bound = shares >= upper * (1 - 1e-12)
    finite = bool(np.isfinite(tilt))
    level = np.full(len(shares), -np.inf)
    level[positive] = np.log(shares[positive]) - log_preferred[positive] - (tilt * score[positive] if finite else 0.0)
    worst = 0.0
    for g in np.unique(column):
        inside = column == g
        if not finite:
            rank = np.sign(tilt) * score
            above = inside & (rank > rank[inside & positive].min())
            worst = max(worst, float((upper - shares)[above].max(initial=0.0)))
        for block in [inside] if finite else [inside & (score == value) for value in np.unique(score[inside])]:
            free = level[block & positive & ~bound]
            if len(free):
                capped = level[block & bound].max(initial=-np.inf)
                worst = max(worst, float(free.max() - free.min()), float(capped - free.min()))
    return worst / max(1.0, 1e-5 * abs(tilt)) if finite else worst
