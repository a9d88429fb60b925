"""Which mixtures are possible at all: exact answers, before any floating-point solver is asked.

The constraints are a linear program of a special shape. Every dataset lies in one *column* (a domain that the recipe
gives a share, or all other domains together) whose samples must add up to the column's share; every dataset has a cap;
and a single row couples the columns: the sum of samples times *score* is the ALMR, the score being 1 or 0 by label, or
the measured additional share. So the least and the greatest ALMR are found by filling each column from its lowest, or
highest, scores up to the caps, and everything between them is possible because the program is convex. In fractions this
is exact at any size, where a solver's tolerance of 1e-7 would be a hundred samples of 1.7 T tokens. (The tests hold it
against ``scipy.optimize.linprog``.)

Shares and ratios are taken as the decimals a user wrote, so that 0.1 + 0.23 is 0.33.
"""

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mixer.mixture.inventory import Inventory, Target, most_samples, scores

TOLERANCE: Final = Fraction(1, 10**9)
"""How far outside the possible range a target ALMR may lie, as a share: decimals cannot write every bound (1/3). Never
more than half a sample, so rounding to whole samples still reaches the target's nearest."""
SAMPLES_LIMIT: Final = 2**50
"""The most samples a mixture may have; a float64 holds every count below it exactly."""


def decimal(value: float) -> Fraction:
    """Return the decimal that a user wrote for a float, exactly."""
    return Fraction(repr(float(value)))


@dataclass(frozen=True)
class Column:
    """The datasets of one domain share, in order of their scores, with running totals for filling them.

    ``domain`` is None for the column of all domains without a share; ``room[i]`` and ``value[i]`` are the samples, and
    the sum of samples times score, of the first ``i`` members filled to their caps.
    """

    domain: str | None
    share: Fraction
    members: tuple[int, ...]
    scores: tuple[Fraction, ...]
    room: tuple[int, ...]
    value: tuple[Fraction, ...]

    def least(self, samples: Fraction) -> Fraction:
        """Return the least sum of samples times score that this many samples (at most ``room[-1]``) can have."""
        full = max(0, bisect_left(self.room, samples) - 1)
        if full == len(self.members):
            return self.value[-1]
        return self.value[full] + (samples - self.room[full]) * self.scores[full]

    def greatest(self, samples: Fraction) -> Fraction:
        """Return the greatest such sum: all that is there, less the least that what is left over can have."""
        return self.value[-1] - self.least(self.room[-1] - samples)


@dataclass(frozen=True)
class Problem:
    """A mixture to be found, in exact numbers: a target, and columns of capped datasets."""

    almr: Fraction
    caps: tuple[int, ...]
    columns: tuple[Column, ...]

    def short_columns(self, samples: int) -> list[Column]:
        """Return the columns whose caps are too low for their share of so many samples."""
        return [column for column in self.columns if column.share * samples > column.room[-1]]

    def sum_range(self, samples: int) -> tuple[Fraction, Fraction] | None:
        """Return the least and greatest sum of samples times score, or None if a column is short."""
        if self.short_columns(samples):
            return None
        amounts = [column.share * samples for column in self.columns]
        return (
            sum((column.least(amount) for column, amount in zip(self.columns, amounts, strict=True)), Fraction(0)),
            sum((column.greatest(amount) for column, amount in zip(self.columns, amounts, strict=True)), Fraction(0)),
        )

    def feasible(self, samples: int) -> bool:
        """Whether a mixture of so many samples keeps every constraint. What is feasible is so at fewer samples too."""
        bounds = self.sum_range(samples)
        if bounds is None:
            return False
        slack = min(TOLERANCE * samples, Fraction(1, 2))
        return bounds[0] - slack <= self.almr * samples <= bounds[1] + slack

    def nearest_sum(self, samples: int) -> Fraction:
        """Return the sum of samples times score to aim at, of a feasible problem: the target, moved into the range."""
        bounds = self.sum_range(samples)
        if bounds is None:
            raise ValueError("the problem is infeasible")
        return min(max(self.almr * samples, bounds[0]), bounds[1])

    def largest_samples(self) -> int:
        """Return the most samples that are feasible, 0 if none are."""
        low, high = 0, min(sum(column.room[-1] for column in self.columns), SAMPLES_LIMIT) + 1
        while high - low > 1:  # feasible at low, not (or not allowed) at high
            middle = (low + high) // 2
            low, high = (middle, high) if self.feasible(middle) else (low, middle)
        return low


def pose(inventory: Inventory, allowed: NDArray[np.bool_], target: Target, max_epochs: float | None = None) -> Problem:
    """State the problem exactly.

    Parameters
    ----------
    inventory
        The datasets.
    allowed
        bool[K]: which of them may get samples.
    target
        What is wanted. Domain shares that sum to 1 within 1e-9 are scaled to be exactly 1.
    max_epochs
        A cap to hold for every dataset in place of its own.
    """
    shares = {name: decimal(share) for name, share in target.domains.items()}
    total = sum(shares.values(), Fraction(0))
    if abs(total - 1) <= TOLERANCE:
        shares = {name: share / total for name, share in shares.items()}
    elif total > 1:
        raise ValueError("domain shares must not sum to more than 1")
    rest = 1 - sum(shares.values(), Fraction(0))
    epochs = [max_epochs] * len(allowed) if max_epochs is not None else inventory.max_epochs.tolist()
    caps = [
        most_samples(tokens, epochs[k], target.sequence_length) if allowed[k] else 0
        for k, tokens in enumerate(inventory.tokens.tolist())
    ]
    score = scores(inventory, target.basis)
    members: dict[str | None, list[int]] = {name: [] for name in sorted(shares)}
    members[None] = []
    for k in sorted(range(len(caps)), key=lambda k: score[k]):
        members[inventory.domain[k] if inventory.domain[k] in shares else None].append(k)
    columns = tuple(
        Column(
            name,
            shares[name] if name is not None else rest,
            tuple(found),
            tuple(score[k] for k in found),
            tuple(accumulate((caps[k] for k in found), initial=0)),
            tuple(accumulate((score[k] * caps[k] for k in found), initial=Fraction(0))),
        )
        for name, found in members.items()
    )
    return Problem(decimal(target.almr), tuple(caps), columns)
