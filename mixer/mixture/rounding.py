"""From real shares to whole samples, top down, with every sum exact and every cap kept.

The last step of the solver: ``weights.py`` hands over real samples that fulfil the constraints, and gets integers.
First the cells (domain by group) are rounded together, under the totals of the language and of the domains; such a
table of two ways is a transport network, and a network with whole limits has a whole solution beside every real one, so
rounding up or down is always enough. Then each cell is dealt out to its datasets by largest remainders.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

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


def round_cells(
    wanted: Floats,
    caps: Ints,
    additional: NDArray[np.bool_],
    column: Ints,
    floors: Ints,
    fractions: Floats,
    total: int,
    top: int,
) -> Ints:
    """Round a table of domains by groups so that the totals are exact and the cells as near as possible.

    Parameters
    ----------
    wanted
        float64[C]: real samples of each cell (a domain's datasets of one group).
    caps
        int64[C]: the most samples of each cell.
    additional
        bool[C]: the cell's group is the additional language.
    column
        int64[C]: the index of the domain share that the cell belongs to, -1 for none.
    floors, fractions
        int64[G] and float64[G]: real samples of each domain share, as whole part and the rest. Its cells will sum to
        one of the two whole numbers beside it, the nearer one wherever possible.
    total
        Samples of all cells.
    top
        Samples of the cells of the additional language.

    Returns
    -------
    int64[C]: each cell is one of the two whole numbers beside ``wanted``; among such tables the domain totals are as
    near as can be, and among those the cells, in squares.
    """
    # A cell is the samples that are certain, plus unit steps whose costs grow (a convex cost), plus one optional step
    # for every domain share. All right-hand sides are small whole numbers, however large the mixture is. The steps
    # away from the two numbers beside the real one are only for a real number that floats put on the wrong side of a
    # whole one; they cost more than all else together.
    certain = np.clip(np.floor(wanted).astype(np.int64) - 1, 0, caps)
    steps = np.minimum(np.floor(wanted).astype(np.int64) + 2, caps) - certain
    owner = np.repeat(np.arange(len(wanted)), steps)
    ordinal = np.concatenate([np.arange(count) for count in steps]) if len(owner) else np.empty(0, np.int64)
    before = certain[owner] + ordinal
    outside = (1.0 * (before >= wanted[owner] * (1 - 1e-12))) - (before + 1 <= np.floor(wanted[owner]))
    share_cost = 4.0 * len(wanted) + 4
    cost = np.where(outside, 8 * share_cost * (len(floors) + 1) * outside, 2 * (before - wanted[owner]) + 1)
    shares = len(floors)
    cost = np.concatenate((cost, (1 - 2 * fractions) * share_cost))
    units = len(owner)
    everything = np.arange(units)
    language = np.flatnonzero(additional[owner])
    inside = np.flatnonzero(column[owner] >= 0)
    rows = np.concatenate((np.zeros(units), np.ones(len(language)), 2 + column[owner[inside]], 2 + np.arange(shares)))
    columns = np.concatenate((everything, language, inside, units + np.arange(shares)))
    values = np.concatenate((np.ones(units + len(language) + len(inside)), -np.ones(shares)))
    matrix = coo_array((values, (rows.astype(np.int64), columns)), shape=(2 + shares, units + shares)).tocsr()
    held = np.bincount(column[column >= 0], certain[column >= 0], shares).astype(np.int64)
    right = np.concatenate(([total - certain.sum(), top - certain[additional].sum()], floors - held))
    # A domain share's optional step is worth taking only where the real number is not whole.
    upper = np.concatenate((np.ones(units), (fractions > 0).astype(np.float64)))
    answer = milp(
        cost + 1e-7 * np.arange(len(cost)) / len(cost),  # ties go to the first
        integrality=np.ones(len(cost), np.int64),
        bounds=Bounds(0, upper),
        constraints=LinearConstraint(matrix, right, right),
        options={"mip_rel_gap": 0.0},
    )
    if answer.x is None:
        raise ArithmeticError(f"the cells could not be rounded: {answer.message}")
    return certain + np.bincount(owner, np.rint(answer.x[:units]), len(wanted)).astype(np.int64)


def settle(given: Ints, wanted: Floats, caps: Ints, domain: Ints, score: Floats, goal: float) -> Ints:
    """Exchange single samples inside domains to bring the sum of samples times score nearer to ``goal``.

    For a measured ratio, of which the rounding of cells knows nothing. No dataset moves further than two samples from
    ``wanted``.

    Parameters
    ----------
    given
        int64[K]: samples so far.
    wanted, caps, domain, score
        float64[K] real samples, int64[K] the most samples, int64[K] index of the domain, float64[K] what counts.
    goal
        The sum to come near to.
    """
    given = given.copy()
    for _ in range(_SETTLE_STEPS):
        error = float(given @ score) - goal
        gives = np.flatnonzero((given > 0) & (given - 1 > wanted - 2))
        takes = np.flatnonzero((given < caps) & (given + 1 < wanted + 2))
        change = score[takes][None, :] - score[gives][:, None]
        change[domain[gives][:, None] != domain[takes][None, :]] = 0.0
        if not change.size:
            break
        best = int(np.argmin(np.abs(error + change)))
        source, sink = divmod(best, len(takes))
        if abs(error + change[source, sink]) >= abs(error) * (1 - 1e-9):
            break
        given[gives[source]] -= 1
        given[takes[sink]] += 1
    return given
