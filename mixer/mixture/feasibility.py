"""Which mixtures are possible at all: exact answers, before any floating-point solver is asked.

The constraints are a linear program of a special shape, a tree. Every dataset lies in one *column* (a domain that the
recipe gives a share, or all other domains together) whose samples must add up to the column's share; inside a column
the datasets of a source may form a *group* that has a smallest and a largest share of its own (equal where the recipe
fixes it); every dataset has a cap. A single row couples the columns: the sum of samples times *score* is the ALMR, the
score being 1 or 0 by label, or the measured additional share. So the least and the greatest ALMR are found greedily: a
column first gives every group its smallest share and then fills up what is left, always from the lowest, or highest,
scores; and everything between them is possible because the program is convex. In fractions this is exact at any size,
where a solver's tolerance of 1e-7 would be a hundred samples of 1.7 T tokens. (The tests hold it against
``scipy.optimize.linprog``.)

Shares and ratios are taken as the decimals a user wrote, so that 0.1 + 0.23 is 0.33.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixer.mixture.inventory import Inventory, Target, most_samples, scores
from mixer.mixture.settings import SHARES_TOLERANCE, decimal

SAMPLES_LIMIT: Final = 2**50
"""The most samples a mixture may have; a float64 holds every count below it exactly."""

Amount: TypeAlias = Fraction | int


@dataclass(frozen=True)
class Group:
    """The datasets of a source that has a smallest and a largest share; ``room`` is the sum of their caps."""

    source: str
    low: Fraction
    high: Fraction
    members: tuple[int, ...]
    room: int

    @property
    def fixed(self) -> bool:
        """Whether there is only one share that it may have."""
        return self.low == self.high

    def whole(self, samples: int) -> "Group | None":
        """Return the group with bounds of whole samples inside its own, None if there are none."""
        low, high = math.ceil(self.low * samples), math.floor(self.high * samples)
        return replace(self, low=Fraction(low, samples), high=Fraction(high, samples)) if low <= high else None


@dataclass(frozen=True)
class Column:
    """The datasets of one domain share, in order of their scores, and the groups among them.

    ``domain`` is None for the column of all domains without a share; ``scores`` and ``caps`` belong to ``members``.
    """

    domain: str | None
    share: Fraction
    members: tuple[int, ...]
    scores: tuple[Fraction, ...]
    caps: tuple[int, ...]
    groups: tuple[Group, ...]

    def least_amount(self, samples: int) -> Fraction:
        """Return the samples that its groups must have."""
        return sum((group.low * samples for group in self.groups), Fraction(0))

    def greatest_amount(self, samples: int) -> Fraction:
        """Return the samples that its caps and groups allow."""
        grouped = sum(group.room for group in self.groups)
        free = Fraction(sum(self.caps) - grouped)
        return free + sum(min(group.high * samples, Fraction(group.room)) for group in self.groups)

    def spread(self, samples: int, *, top: bool) -> dict[int, Amount]:
        """Give every member its samples so that their sum times score is the greatest, or the least, there is.

        For a column and groups that are not short. Members whose scores are the same are filled in turn.
        """
        step = -1 if top else 1
        room: dict[int, Amount] = dict(zip(self.members[::step], self.caps[::step], strict=True))
        given: dict[int, Amount] = dict.fromkeys(self.members, 0)
        left = self.share * samples
        group_of: dict[int, str] = {}
        more: dict[str, Amount] = {}
        for group in self.groups:
            owed: Amount = group.low * samples
            left -= owed
            more[group.source] = group.high * samples - owed
            for k in group.members[::step]:
                group_of[k] = group.source
                given[k] = min(room[k], owed)
                room[k] -= given[k]
                owed -= given[k]
        for k, space in room.items():
            if left <= 0:
                break
            source = group_of.get(k)
            taken = min(space, left) if source is None else min(space, left, more[source])
            if source is not None:
                more[source] -= taken
            given[k] += taken
            left -= taken
        return given

    def extreme(self, samples: int, *, top: bool) -> Fraction:
        """Return the greatest, or the least, sum of samples times score."""
        given = self.spread(samples, top=top)
        found = (given[k] * score for k, score in zip(self.members, self.scores, strict=True) if given[k] and score)
        return sum(found, Fraction(0))


@dataclass(frozen=True)
class Problem:
    """A mixture to be found, in exact numbers: a target, and columns of capped datasets."""

    almr: Fraction
    caps: tuple[int, ...]
    columns: tuple[Column, ...]

    @property
    def groups(self) -> Iterator[Group]:
        """Every group of every column."""
        return (group for column in self.columns for group in column.groups)

    def short_groups(self, samples: int) -> list[Group]:
        """Return the groups whose caps are too low for their smallest share of so many samples."""
        return [group for group in self.groups if group.low * samples > group.room]

    def short_columns(self, samples: int) -> list[Column]:
        """Return the columns whose share is not between what their groups must have and what is there."""
        return [
            column
            for column in self.columns
            if not column.least_amount(samples) <= column.share * samples <= column.greatest_amount(samples)
        ]

    def sum_range(self, samples: int) -> tuple[Fraction, Fraction] | None:
        """Return the least and greatest sum of samples times score, or None if a group or column is short."""
        if self.short_groups(samples) or self.short_columns(samples):
            return None
        least = sum((column.extreme(samples, top=False) for column in self.columns), Fraction(0))
        return least, sum((column.extreme(samples, top=True) for column in self.columns), Fraction(0))

    def feasible(self, samples: int) -> bool:
        """Whether a mixture of so many samples keeps every constraint. What is feasible is so at fewer samples too."""
        bounds = self.sum_range(samples)
        if bounds is None:
            return False
        slack = min(SHARES_TOLERANCE * samples, Fraction(1, 2))  # decimals cannot write every bound (1/3)
        return bounds[0] - slack <= self.almr * samples <= bounds[1] + slack

    def nearest_sum(self, samples: int) -> Fraction:
        """Return the sum of samples times score to aim at, of a feasible problem: the target, moved into the range."""
        bounds = self.sum_range(samples)
        if bounds is None:
            raise ValueError("the problem is infeasible")
        return min(max(self.almr * samples, bounds[0]), bounds[1])

    def largest_samples(self) -> int:
        """Return the most samples that are feasible, 0 if none are."""
        low, high = 0, min(sum(self.caps), SAMPLES_LIMIT) + 1
        while high - low > 1:  # feasible at low, not (or not allowed) at high
            middle = (low + high) // 2
            low, high = (middle, high) if self.feasible(middle) else (low, middle)
        return low

    def whole(self, samples: int) -> "Problem":
        """Return this feasible problem with smallest and largest shares moved to whole samples, inwards.

        A group keeps its bounds, which whole samples then miss by less than one, where the ratio, a domain or other
        groups leave no room for that: the only Chinese source with a smallest share of 0.33 at an ALMR of 0.33.
        """
        found = self
        for group in self.groups:
            if not group.fixed and (inner := group.whole(samples)) is not None and inner != group:
                moved = found.with_group(inner)
                found = moved if moved.feasible(samples) else found
        return found

    def with_group(self, changed: Group) -> "Problem":
        """Return the problem with other bounds for the group of a source."""
        columns = (
            replace(column, groups=tuple(changed if g.source == changed.source else g for g in column.groups))
            for column in self.columns
        )
        return replace(self, columns=tuple(columns))


def pose(
    inventory: Inventory,
    allowed: NDArray[np.bool_],
    target: Target,
    max_epochs: float | None = None,
    limits: NDArray[np.int64] | None = None,
) -> Problem:
    """State the problem exactly.

    Parameters
    ----------
    inventory
        The datasets.
    allowed
        bool[K]: which of them may get samples.
    target
        What is wanted. Shares that sum to what they must within 1e-9 (three rounded thirds) are scaled to do so.
    max_epochs
        A cap to hold for every dataset in place of its own.
    limits
        int64[K]: the most samples of each dataset, in place of what its cap on epochs allows.
    """
    domains = {name: decimal(share) for name, share in target.domains.items()}
    total = sum(domains.values(), Fraction(0))
    if abs(total - 1) <= SHARES_TOLERANCE:
        domains = {name: share / total for name, share in domains.items()}
    elif total > 1:
        raise ValueError("domain shares must not sum to more than 1")
    epochs = [max_epochs] * len(allowed) if max_epochs is not None else inventory.max_epochs.tolist()
    most = (
        limits.tolist()
        if limits is not None
        else [
            most_samples(tokens, epochs[k], target.sequence_length)
            for k, tokens in enumerate(inventory.tokens.tolist())
        ]
    )
    caps = [cap if allowed[k] else 0 for k, cap in enumerate(most)]
    score = scores(inventory, target.basis)
    members: dict[str | None, list[int]] = {name: [] for name in sorted(domains)}
    members[None] = []
    for k in sorted(range(len(caps)), key=lambda k: score[k]):
        members[inventory.domain[k] if inventory.domain[k] in domains else None].append(k)
    columns = []
    for name, found in members.items():
        share = domains[name] if name is not None else 1 - sum(domains.values(), Fraction(0))
        columns.append(
            Column(
                name,
                share,
                tuple(found),
                tuple(score[k] for k in found),
                tuple(caps[k] for k in found),
                _groups(inventory, target, (name, share), found, caps),
            )
        )
    return Problem(decimal(target.almr), tuple(caps), tuple(columns))


def _groups(
    inventory: Inventory, target: Target, column: tuple[str | None, Fraction], members: list[int], caps: list[int]
) -> tuple[Group, ...]:
    """Return the groups of a column, given as domain and share.

    A source of which nothing is left, and that must have something, is a group of the domains without a share.
    """
    domain, share = column
    there: dict[str, list[int]] = {}
    for k in members:
        there.setdefault(inventory.source[k], []).append(k)
    groups = [
        Group(name, decimal(low), decimal(high), tuple(there.get(name, ())), sum(caps[k] for k in there.get(name, ())))
        for name, (low, high) in sorted(target.shares.items())
        if name in there or (low > 0 and domain is None and name not in inventory.source)
    ]
    least = sum((group.low for group in groups), Fraction(0))
    if 0 < least - share <= SHARES_TOLERANCE:
        part = share / least
        groups = [replace(g, low=g.low * part, high=g.high * part if g.fixed else g.high) for g in groups]
    greatest = sum((group.high for group in groups), Fraction(0))
    closed = not any(caps[k] and inventory.source[k] not in target.shares for k in members)
    if closed and greatest and 0 < share - greatest <= SHARES_TOLERANCE:
        part = share / greatest
        groups = [replace(g, low=g.low * part if g.fixed else g.low, high=g.high * part) for g in groups]
    return tuple(groups)
