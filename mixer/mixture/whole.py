"""Whole samples from real shares, top down: the language, then domains and sources, then datasets.

Called by ``weights.py`` with the shares that ``shares.py`` found; says which sums must be exact, and leaves the
arithmetic to ``rounding.py``.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mixer.mixture.feasibility import Problem
from mixer.mixture.inventory import Inventory, Target
from mixer.mixture.rounding import Total, apportion, round_cells, settle

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def whole_samples(
    inventory: Inventory, problem: Problem, target: Target, samples: int, caps: Ints, goal: Fraction, shares: Floats
) -> Ints:
    """Make whole samples of shares: int64[K] that sum to ``samples``.

    Parameters
    ----------
    inventory, problem, target, samples
        What was solved, with smallest and largest shares in whole samples where possible (``Problem.whole``).
    caps
        int64[K]: the most samples of each dataset.
    goal
        The sum of samples times score that the shares have.
    shares
        float64[K]: the real shares.
    """
    wanted = np.minimum(shares * samples, caps)
    part = _parts(inventory, problem)
    cell = 2 * part + inventory.additional
    count = 2 * (int(part.max()) + 1)

    def cells_of(members: tuple[int, ...]) -> NDArray[np.bool_]:
        return np.isin(np.arange(count) // 2, part[list(members)])

    totals = [
        _nearest(column.share * samples, cells_of(column.members), first=True)
        for column in problem.columns
        if column.domain is not None and column.members
    ]
    for group in problem.groups:
        if group.fixed:
            totals.append(_nearest(group.low * samples, cells_of(group.members)))
        elif group.members:
            low, high = math.floor(group.low * samples), math.ceil(group.high * samples)
            totals.append(Total(cells_of(group.members), low, high))
    language = inventory.additional
    rounded = round_cells(
        np.bincount(cell, wanted, count).astype(np.float64),
        np.array([min(int(caps[cell == c].sum()), samples) for c in range(count)], np.int64),
        np.arange(count) % 2 == 1,
        totals,
        samples,
        _language_samples(problem.almr * samples, Fraction(target.almr) * samples, goal)
        if target.basis == "label"
        else round(float(wanted[language].sum())),
    )
    n = np.zeros(len(caps), np.int64)
    for c in range(count):
        inside = np.flatnonzero(cell == c)
        n[inside] = apportion(int(rounded[c]), wanted[inside], caps[inside])
    return n if target.basis == "label" else settle(n, wanted, caps, part, inventory.measured, float(goal))


def _parts(inventory: Inventory, problem: Problem) -> Ints:
    """Give each part a number: sources with a group, and what is left of each domain."""
    grouped = {k: group.source for group in problem.groups for k in group.members}
    keys = [(domain, grouped.get(k, "")) for k, domain in enumerate(inventory.domain)]
    order = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys], np.int64)


def _nearest(amount: Fraction, cells: NDArray[np.bool_], *, first: bool = False) -> Total:
    """Return a total that is to be the whole number nearest to ``amount``."""
    return Total(cells, math.floor(amount), math.ceil(amount), float(amount % 1), first)


def _language_samples(wanted: Fraction, as_float: Fraction, goal: Fraction) -> int:
    """Return the whole number nearest to the samples ``wanted`` that lies beside the reachable sum ``goal``.

    A tie goes to the side on which the float lies that stands for the decimal ratio, else down.
    """
    return min({goal // 1, -(-goal // 1)}, key=lambda count: (abs(count - wanted), abs(count - as_float), count))
