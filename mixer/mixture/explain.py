"""Why no mixture is possible, and what would be: the message of exit code 3.

Called by ``weights.py`` when ``feasibility.py`` says no. A user who reads it knows which cap, which domain share or
which empty group is in the way, and has up to three ways out that have been checked to work.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mixer.errors import InfeasibleError
from mixer.mixture.feasibility import Amount, Column, Group, Problem, pose
from mixer.mixture.inventory import MIN_SEQUENCES, Inventory, Target, too_small
from mixer.mixture.preference import unwanted
from mixer.mixture.settings import decimal

_NAMED: Final = 6
"""So many datasets are named in a message; the rest are counted."""


@dataclass(frozen=True)
class Suggestion:
    """What would be feasible, each with all else as it is; None where nothing would.

    ``almr`` is the nearest at these tokens, ``tokens`` the most at this ALMR, ``max_epochs`` the smallest cap that
    would do if it held for every dataset (rounded up to four digits).
    """

    almr: float | None
    tokens: int | None
    max_epochs: float | None


def suggest(inventory: Inventory, allowed: NDArray[np.bool_], target: Target, samples: int | None) -> Suggestion:
    """Find the nearest feasible ALMR, tokens and epochs of a target that is infeasible.

    Parameters
    ----------
    inventory, allowed, target
        As in ``feasibility.pose``.
    samples
        The size that was asked for, None for the largest possible.
    """
    problem = pose(inventory, allowed, target)
    size = samples or 1
    largest = problem.largest_samples() if samples is not None else 0
    return Suggestion(
        _nearest_almr(problem, size),
        largest * target.sequence_length or None,
        _smallest_max_epochs(inventory, allowed, target, size),
    )


def explain(inventory: Inventory, allowed: NDArray[np.bool_], target: Target, samples: int | None) -> InfeasibleError:
    """Return the error for an infeasible target; the parameters are those of ``suggest``."""
    size = f"{samples * target.sequence_length:,} tokens" if samples is not None else "any size"
    ways = suggest(inventory, allowed, target, samples)
    causes = _causes(inventory, allowed, target, samples or 1)
    weightless = unwanted(inventory, target) & (inventory.tokens > 0)
    for left_out, why in (
        (
            too_small(inventory, target.sequence_length) & ~allowed & ~weightless,
            f"shorter than {MIN_SEQUENCES} sequences",
        ),
        (weightless, "weight or share 0"),
    ):
        if left_out.any():
            causes.append(f"left out, {why}: {_enumerate([inventory.names[k] for k in np.flatnonzero(left_out)])}")
    remedies = []
    if ways.almr is not None:
        remedies.append(f"--almr {ways.almr!r}" + (" at these tokens" if samples is not None else ""))
    if ways.tokens is not None:
        remedies.append(f"--tokens {ways.tokens} at this ALMR")
    if ways.max_epochs is not None:
        remedies.append(f"max_epochs: {ways.max_epochs!r} for every source")
    return InfeasibleError(
        f"no mixture of {size} has an ALMR of {target.almr!r} ({target.basis}): {'; '.join(causes)}",
        f"feasible is one of: {'; '.join(remedies)}"
        if remedies
        else "no ALMR, tokens or epochs would do: change mixture.domains or the shares of sources, or add sources; "
        "documents that rules dropped are in dropped/ with their reason",
    )


def _causes(inventory: Inventory, allowed: NDArray[np.bool_], target: Target, samples: int) -> list[str]:
    """Say which constraints exclude each other at this size."""
    problem = pose(inventory, allowed, target)
    if groups := problem.short_groups(samples):
        return [_why_group_short(group, inventory, problem, samples) for group in groups]
    if short := problem.short_columns(samples):
        return [_why_short(column, inventory, allowed, problem, samples) for column in short]
    bounds = problem.sum_range(samples)
    assert bounds is not None  # nothing is short
    too_high = problem.almr * samples > bounds[1]
    reach = float((bounds[1] if too_high else bounds[0]) / samples)
    limit = f"at {'most' if too_high else 'least'} {reach:.6g} is possible"
    if cause := _missing_language(inventory, allowed, target, too_high=too_high):
        return [cause]
    # With caps out of the way, what remains are the shares of domains and sources and, if measured, additional shares.
    uncapped = pose(inventory, allowed, target, _ample_epochs(inventory, allowed, target, samples))
    free = uncapped.sum_range(samples)
    assert free is not None  # ample caps make nothing short
    if not free[0] <= problem.almr * samples <= free[1]:
        fixed = [f"{column.domain} {float(column.share):g}" for column in problem.columns if column.domain is not None]
        held = [_bounds(group) for group in problem.groups]
        lists = [("the domain shares", fixed), ("the shares of sources", held)]
        return [f"{limit} with {' and '.join(f'{what} {_enumerate(names)}' for what, names in lists if names)}"]
    full, held = [], []
    for column in problem.columns:
        given = column.spread(samples, top=too_high)
        full += _full(column, given, top=too_high)
        held += [_bounds(group) for group in _held(column, given, samples)]
    reasons = [f"these are read as often as their caps allow: {_capped(full, inventory, problem)}"] if full else []
    reasons += [f"these sources have the shares {_enumerate(held)}"] if held else []
    return [f"{limit}, since {' and '.join(reasons)}"]


def _why_group_short(group: Group, inventory: Inventory, problem: Problem, samples: int) -> str:
    """Say why a source cannot have its smallest share."""
    wish = f"source {group.source} shall be {'' if group.fixed else 'at least '}{float(group.low):g} of the tokens"
    if not group.room:
        return f"{wish}, but has no dataset"
    return (
        f"{wish} and needs {math.ceil(group.low * samples):,} samples, but the caps on epochs allow {group.room:,} "
        f"({group.room / samples:.6g}): {_capped(group.members, inventory, problem)}"
    )


def _why_short(column: Column, inventory: Inventory, allowed: NDArray[np.bool_], problem: Problem, samples: int) -> str:
    """Say why a column cannot have its share."""
    members = [k for k in column.members if allowed[k]]
    held = [_bounds(group) for group in column.groups]
    many = len(problem.columns) > 1
    name = f"domain {column.domain}" if column.domain is not None else "the domains without a share"
    if column.least_amount(samples) > column.share * samples:
        least = float(sum(group.low for group in column.groups))
        whole = f"{name} shall be {float(column.share):g}" if many else "all of it is 1"
        return f"the sources {_enumerate(held)} must have {least:g} of the tokens together, but {whole}"
    if not members and column.domain is not None:
        return f"{name} shall be {float(column.share):g} of the tokens, but has no dataset"
    if not members:
        if many:
            return f"the domain shares sum to {float(1 - column.share):g}, but no other domain has a dataset"
        return "no dataset has any tokens to train on; every document was dropped"
    what = f"{name} need{'s' if column.domain is not None else ''}" if many else "the mixture needs"
    limits = "the caps on epochs" + (f" and the shares of sources ({_enumerate(held)})" if held else "")
    return (
        f"{what} {math.ceil(column.share * samples):,} samples, but {limits} allow "
        f"{math.floor(column.greatest_amount(samples)):,}: {_capped(members, inventory, problem)}"
    )


def _bounds(group: Group) -> str:
    """Name a source with its smallest and largest share."""
    low, high = float(group.low), float(group.high)
    if group.fixed:
        return f"{group.source} {low:g}"
    limits = [f"min_share {low:g}"] * (low > 0) + [f"max_share {high:g}"] * (high < 1)
    return f"{group.source} ({', '.join(limits)})"


def _missing_language(
    inventory: Inventory, allowed: NDArray[np.bool_], target: Target, *, too_high: bool
) -> str | None:
    """Say which language has no dataset, or which measured shares cannot reach the target, whatever else is asked."""
    if target.basis == "label":
        if (allowed & (inventory.additional == too_high)).any():
            return None
        group = target.language if too_high else "a base language"
        return f"no dataset in {group} is left; every document of it was dropped, or there was none"
    lowest, highest = inventory.measured[allowed].min(), inventory.measured[allowed].max()
    if (too_high and target.almr <= highest) or (not too_high and target.almr >= lowest):
        return None
    return f"the measured additional shares of the datasets lie between {lowest:.6g} and {highest:.6g}"


def _full(column: Column, given: dict[int, Amount], *, top: bool) -> list[int]:
    """Return the datasets whose caps keep the sum of samples times score from being greater, or less.

    Parameters
    ----------
    column, given
        A column, and its samples when the sum is the greatest or the least.
    top
        Whether it is the greatest.
    """
    step = -1 if top else 1
    scores, caps = (
        dict(zip(column.members, column.scores, strict=True)),
        dict(zip(column.members, column.caps, strict=True)),
    )
    worst = [scores[k] for k in column.members[::step] if given[k]][-1:]
    return [k for k in column.members if caps[k] and given[k] == caps[k] and scores[k] not in worst]


def _held(column: Column, given: dict[int, Amount], samples: int) -> list[Group]:
    """Return the groups at their smallest or largest share; the other parameters are those of ``_full``."""
    totals = [(group, sum(given[k] for k in group.members)) for group in column.groups]
    return [g for g, total in totals if total and total in (g.low * samples, g.high * samples)]


def _capped(members: Iterable[int], inventory: Inventory, problem: Problem) -> str:
    """Name datasets with their caps, the largest first."""
    order = sorted(members, key=lambda k: (-problem.caps[k], inventory.names[k]))
    return _enumerate(
        [
            f"{inventory.names[k]} ({inventory.max_epochs[k]:g} epochs of {inventory.tokens[k]:,} tokens: "
            f"{problem.caps[k]:,} samples)"
            for k in order
        ]
    )


def _enumerate(names: list[str]) -> str:
    """List a few names and count the others."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _nearest_almr(problem: Problem, samples: int) -> float | None:
    """Return the feasible ALMR nearest to the target at this size, in as few digits as do, None if there is none."""
    bounds = problem.sum_range(samples)
    if bounds is None:
        return None
    too_high = problem.almr * samples > bounds[1]
    bound = (bounds[1] if too_high else bounds[0]) / samples
    exact = Decimal(bound.numerator) / Decimal(bound.denominator)
    for digits in (4, 6, 9, 12, 15):
        for rounding in (ROUND_HALF_EVEN, ROUND_FLOOR if too_high else ROUND_CEILING):
            rounded = float(exact.quantize(Decimal(1).scaleb(-digits), rounding))
            if replace(problem, almr=decimal(rounded)).feasible(samples):
                return rounded
    return float(bound)


def _ample_epochs(inventory: Inventory, allowed: NDArray[np.bool_], target: Target, samples: int) -> float:
    """Return a cap under which any single dataset could fill the whole mixture."""
    smallest = int(inventory.tokens[allowed].min())
    return math.ceil((samples * target.sequence_length + 1) / smallest) * 1.001


def _smallest_max_epochs(
    inventory: Inventory, allowed: NDArray[np.bool_], target: Target, samples: int
) -> float | None:
    """Return the smallest cap that makes the target feasible if it holds for every dataset, rounded up to 4 digits."""

    def feasible(cap: float) -> bool:
        return pose(inventory, allowed, target, cap).feasible(samples)

    if not allowed.any():
        return None
    high = _ample_epochs(inventory, allowed, target, samples)
    if not feasible(high):
        return None
    low = samples * target.sequence_length / int(inventory.tokens[allowed].sum()) / 2  # not even enough samples
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if feasible(middle) else (middle, high)
    return float(Context(prec=4, rounding=ROUND_CEILING).create_decimal(Decimal(high)))
