"""From real shares to whole samples, top down, with every sum exact and every cap kept.

The arithmetic of ``whole.py``. Cells (the datasets of a domain, a source or a rest, in one language) are rounded
together, under the totals of the language, the domains and the sources. Sources lie inside domains, and languages cut
across both: two families of nested sets, whose system of sums is totally unimodular (Edmonds 1970), so that beside
every real solution there is a whole one and rounding up or down is always enough. Then each cell is dealt out to its
datasets by largest remainders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SETTLE_STEPS: Final = 50
"""Exchanges of single samples that ``settle`` tries at most; two or three are usual."""


def apportion(total: int, wanted: Floats, caps: Ints) -> Ints:
    """Deal out ``total`` samples by largest remainders, none above its cap; ties go to the first.

    Parameters
    ----------
    total
        Samples to deal out, at most the sum of the caps.
    wanted
        float64[k]: real samples; their sum is within a few of ``total``.
    caps
        int64[k]: the most samples of each.

    Returns
    -------
    int64[k] that sum to ``total``, at or above 0 and at or below the caps.
    """
    given = np.clip(np.floor(wanted).astype(np.int64), 0, caps)
    while (missing := total - int(given.sum())) != 0:
        step = 1 if missing > 0 else -1
        able = np.flatnonzero(given < caps if step > 0 else given > 0)
        if not len(able):
            raise ArithmeticError(f"{total} samples do not fit under the caps")
        order = np.argsort(-step * (wanted - given)[able], kind="stable")
        given[able[order[: abs(missing)]]] += step
    return given


@dataclass(frozen=True, eq=False)
class Total:
    """What some cells must sum to: a whole number from ``low`` to ``high``.

    ``cells`` is bool[C]. With a ``fraction``, ``low`` and ``high`` are the two whole numbers beside a real one (or both
    that number), which lies at this part of the way, and the nearer one is taken wherever possible; totals that are
    ``first`` come before those that are not.
    """

    cells: NDArray[np.bool_]
    low: int
    high: int
    fraction: float | None = None
    first: bool = False


def round_cells(
    wanted: Floats, caps: Ints, additional: NDArray[np.bool_], totals: Sequence[Total], total: int, top: int
) -> Ints:
    """Round cells so that the totals are exact and the cells as near as possible.

    Parameters
    ----------
    wanted
        float64[C]: real samples of each cell.
    caps
        int64[C]: the most samples of each cell.
    additional
        bool[C]: the cell is of the additional language.
    totals
        What parts of the cells must sum to; nested in one another or apart.
    total
        Samples of all cells.
    top
        Samples of the cells of the additional language.

    Returns
    -------
    int64[C]: each cell is one of the two whole numbers beside ``wanted``; among such tables as many totals as possible
    are the nearer ones, those that are ``first`` before the others, and among those the cells (in squares) and the
    totals are as near as possible.
    """
    # A cell is the samples that are certain, plus unit steps whose costs grow (a convex cost); a total with a fraction
    # has one optional step of its own. All right-hand sides are small whole numbers, however large the mixture is. The
    # steps away from the two numbers beside the real one are only for a real number that floats put on the wrong side
    # of a whole one; they cost more than all else together.
    certain = np.clip(np.floor(wanted).astype(np.int64) - 1, 0, caps)
    steps = np.minimum(np.floor(wanted).astype(np.int64) + 2, caps) - certain
    owner = np.repeat(np.arange(len(wanted)), steps)
    ordinal = np.concatenate([np.arange(count) for count in steps]) if len(owner) else np.empty(0, np.int64)
    before = certain[owner] + ordinal
    outside = (1.0 * (before >= wanted[owner] * (1 - 1e-12))) - (before + 1 <= np.floor(wanted[owner]))
    near = [part for part in totals if part.fraction is not None]
    # One total missed costs more than all that comes after it: first the totals that are ``first``, each as one, then
    # the others, then distances, of cells (at most 4 each way) and of totals (at most 1).
    after = 4.0 * len(wanted) + 2 * len(near) + 4
    price = {False: after, True: after * (1 + sum(not part.first for part in near))}
    highest = 8 * price[True] * (len(near) + 1)
    lean = [(1 - 2 * part.fraction, price[part.first]) for part in near if part.fraction is not None]
    cost = np.concatenate(
        (
            np.where(outside, highest * outside, 2 * (before - wanted[owner]) + 1),
            [weight * np.sign(towards) + towards for towards, weight in lean],
        )
    )
    units = len(owner)
    rows = [np.ones(units), 1.0 * additional[owner], *(1.0 * part.cells[owner] for part in totals)]
    matrix = np.zeros((len(rows), len(cost)))
    matrix[:, :units] = rows
    matrix[[2 + k for k, part in enumerate(totals) if part.fraction is not None], units + np.arange(len(near))] = -1
    held = np.array([certain.sum(), certain[additional].sum(), *(certain[part.cells].sum() for part in totals)])
    low = np.array([total, top, *(part.low for part in totals)]) - held
    high = np.array([total, top, *(part.low if part.fraction is not None else part.high for part in totals)]) - held
    answer = milp(
        cost + 1e-7 * np.arange(len(cost)) / len(cost),  # ties go to the first
        integrality=np.ones(len(cost), np.int64),
        bounds=Bounds(0, np.concatenate((np.ones(units), [part.high - part.low for part in near]))),
        constraints=LinearConstraint(csr_array(matrix), np.maximum(low, -1), np.minimum(high, units + 1)),
        options={"mip_rel_gap": 0.0},
    )
    if answer.x is None:
        raise ArithmeticError(f"the cells could not be rounded: {answer.message}")
    return certain + np.bincount(owner, np.rint(answer.x[:units]), len(wanted)).astype(np.int64)


def settle(given: Ints, wanted: Floats, caps: Ints, part: Ints, score: Floats, goal: float) -> Ints:
    """Exchange single samples inside parts to bring the sum of samples times score nearer to ``goal``.

    For a measured ratio, of which the rounding of cells knows nothing. No dataset moves further than two samples from
    ``wanted``.

    Parameters
    ----------
    given
        int64[K]: samples so far.
    wanted, caps, part, score
        float64[K] real samples, int64[K] the most samples, int64[K] index of the part (a domain or a source whose total
        stays as it is), float64[K] what counts.
    goal
        The sum to come near to.
    """
    given = given.copy()
    for _ in range(_SETTLE_STEPS):
        error = float(given @ score) - goal
        gives = np.flatnonzero((given > 0) & (given - 1 > wanted - 2))
        takes = np.flatnonzero((given < caps) & (given + 1 < wanted + 2))
        change = score[takes][None, :] - score[gives][:, None]
        change[part[gives][:, None] != part[takes][None, :]] = 0.0
        if not change.size:
            break
        best = int(np.argmin(np.abs(error + change)))
        source, sink = divmod(best, len(takes))
        if abs(error + change[source, sink]) >= abs(error) * (1 - 1e-9):
            break
        given[gives[source]] -= 1
        given[takes[sink]] += 1
    return given
