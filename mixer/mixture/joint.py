"""Shares of several phases at once, under caps that hold for all of them together: numbers in, numbers out.

Called by ``phases.py``. Every phase is a problem of its own (``feasibility.py``): a size, a ratio, shares of domains
and sources; what couples them are the datasets' caps, which hold for the sum of samples over all phases. Two questions:

- *Is it possible?* A linear program over all phases together says by how much the training could be longer, all phases
  in proportion (``reach``); below 1 it is impossible, and two more programs say what would do.
- *Which mixture is the nearest?* The sum over phases of their samples times the divergence from the preferred shares is
  to be smallest. A cap that several phases want to use up is a price for the dataset, the same in every phase: with
  prices y >= 0 each phase is the problem that ``shares.py`` solves, for the preferred shares p exp(-y). The best prices
  are the maximum of a smooth concave function, whose slope is what the phases take of a dataset less its cap (Lagrange
  duality; L-BFGS-B finds it). So no phase has a right of way: a scarce dataset is divided as if all phases bid for it,
  and a later one cannot be starved by an earlier one.

Prices are only good to some digits. What is still above a cap is corrected by mixing in a little of the solution of the
linear program that has room everywhere. In the end every phase is given whole samples of each dataset as its own caps
(``allot``), and is solved again, exactly, within those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize
from scipy.sparse import coo_array, csr_array

from mixer.mixture.feasibility import Problem
from mixer.mixture.inventory import Inventory, Target
from mixer.mixture.preference import log_preferred
from mixer.mixture.rounding import apportion
from mixer.mixture.shares import nearest_shares
from mixer.mixture.weights import program

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_FARTHEST: Final = 1e6
"""No need to know by how much more a training could be longer."""
_PARTS: Final = (0.0, 1e-9, 1e-7, 1e-5, 1e-3, 1e-2, 0.1, 0.3, 1.0)
"""Parts of the roomy solution that are tried as the least to mix in."""


@dataclass(frozen=True, eq=False)
class Part:
    """One phase: what is wanted of it, its samples, which datasets it may draw from (bool[K]), and the exact problem.

    The caps of the problem are those of the whole training.
    """

    target: Target
    samples: int
    allowed: Flags
    problem: Problem


@dataclass(frozen=True, eq=False)
class Reach:
    """By what factor all phases could be longer, at most ``_FARTHEST``, and their samples then: float64[P, K]."""

    factor: float
    samples: Floats


def reach(parts: Sequence[Part], caps: Ints) -> Reach:
    """Ask how much longer the phases could be together.

    Parameters
    ----------
    parts
        The P phases.
    caps
        int64[K]: the most samples of each dataset in all phases together.
    """
    found = _Program(parts, len(caps))
    extra = found.variable(-1.0, _FARTHEST)
    total = sum(part.samples for part in parts)
    for f, part in enumerate(parts):
        found.promise(f, part, scale=extra)
    for k, cap in enumerate(caps.tolist()):
        found.at_most({found.share(f, k): part.samples / total for f, part in enumerate(parts)}, cap / total)
    values = found.solve()
    if values is None:
        return Reach(0.0, np.zeros((len(parts), len(caps))))
    return Reach(float(values[extra]), found.samples(values, parts))


def enough_epochs(parts: Sequence[Part], tokens: Ints, sequence_length: int) -> float | None:
    """Return the smallest cap on epochs, the same for every dataset, at which the phases are possible, if any is."""
    found = _Program(parts, len(tokens))
    epochs = found.variable(1.0, np.inf)
    total = sum(part.samples for part in parts)
    for f, part in enumerate(parts):
        found.promise(f, part)
    for k, size in enumerate(tokens.tolist()):
        used: dict[int, float] = {found.share(f, k): part.samples / total for f, part in enumerate(parts)}
        # Each phase reads one token more than its samples; the caps of all phases are whole samples, and so is theirs.
        beside = (len(parts) / sequence_length + len(parts) + 1) / total if size else 0.0
        found.at_most({**used, epochs: -size / sequence_length / total}, -beside)
    values = found.solve()
    return None if values is None else float(values[epochs])


def nearest_ratios(parts: Sequence[Part], caps: Ints) -> list[float] | None:
    """Return a ratio for each phase at which they are possible, together as near as can be, if any are."""
    found = _Program(parts, len(caps))
    total = sum(part.samples for part in parts)
    off = [(found.variable(part.samples / total, 1.0), found.variable(part.samples / total, 1.0)) for part in parts]
    for f, part in enumerate(parts):
        found.promise(f, part, off=off[f])
    for k, cap in enumerate(caps.tolist()):
        found.at_most({found.share(f, k): part.samples / total for f, part in enumerate(parts)}, cap / total)
    values = found.solve()
    if values is None:
        return None
    return [
        float(part.problem.almr) + values[less] - values[more] for part, (more, less) in zip(parts, off, strict=True)
    ]


class _Program:
    """A linear program whose first variables are the share of each dataset in each phase."""

    def __init__(self, parts: Sequence[Part], datasets: int) -> None:
        self._datasets = datasets
        self._cost = [0.0] * (len(parts) * datasets)
        self._upper = [np.inf if part.allowed[k] else 0.0 for part in parts for k in range(datasets)]
        self._equal: list[tuple[dict[int, float], float]] = []
        self._below: list[tuple[dict[int, float], float]] = []

    def share(self, f: int, k: int) -> int:
        """Return the variable of a dataset's share in a phase."""
        return f * self._datasets + k

    def variable(self, cost: float, upper: float) -> int:
        """Add a variable of at least 0."""
        self._cost.append(cost)
        self._upper.append(upper)
        return len(self._cost) - 1

    def at_most(self, row: dict[int, float], bound: float) -> None:
        """Add an upper bound on a sum."""
        self._below.append((row, bound))

    def promise(self, f: int, part: Part, scale: int | None = None, off: tuple[int, int] | None = None) -> None:
        """Add all that a phase must keep.

        Parameters
        ----------
        f, part
            The phase.
        scale
            The variable that stands for its length; default: 1.
        off
            The variables by which its ratio may be more and less.
        """

        def row(members: Sequence[int], values: Sequence[float], part_of_all: float) -> tuple[dict[int, float], float]:
            terms = {self.share(f, k): value for k, value in zip(members, values, strict=True)}
            return (terms, part_of_all) if scale is None else ({**terms, scale: -part_of_all}, 0.0)

        scored: dict[int, float] = {}
        for column in part.problem.columns:
            self._equal.append(row(column.members, [1.0] * len(column.members), float(column.share)))
            scored |= {k: float(score) for k, score in zip(column.members, column.scores, strict=True)}
            for group in column.groups:
                ones = [1.0] * len(group.members)
                self._below.append(row(group.members, ones, float(group.high)))
                low, bound = row(group.members, ones, float(group.low))
                self._below.append(({k: -value for k, value in low.items()}, -bound))
        terms, bound = row(list(scored), list(scored.values()), float(part.problem.almr))
        if off is not None:
            terms = {**terms, off[0]: 1.0, off[1]: -1.0}
        self._equal.append((terms, bound))

    def solve(self) -> Floats | None:
        """Return the best values, None where none are possible."""
        answer = linprog(  # type: ignore[call-overload]  # the stubs know no sparse matrices
            self._cost,
            A_eq=self._matrix(self._equal),
            b_eq=[bound for _, bound in self._equal],
            A_ub=self._matrix(self._below),
            b_ub=[bound for _, bound in self._below],
            bounds=np.c_[np.zeros(len(self._upper)), self._upper],
        )
        return None if answer.x is None else np.asarray(answer.x, np.float64)

    def _matrix(self, rows: list[tuple[dict[int, float], float]]) -> csr_array:
        places = [(r, k, value) for r, (terms, _) in enumerate(rows) for k, value in terms.items()]
        at, column, values = (np.array(each) for each in zip(*places, strict=True))
        return csr_array(coo_array((values, (at, column)), shape=(len(rows), len(self._cost))))

    def samples(self, values: Floats, parts: Sequence[Part]) -> Floats:
        """Return the samples of each dataset in each phase: float64[P, K]."""
        shares = values[: len(parts) * self._datasets].reshape(len(parts), self._datasets)
        return np.maximum(shares, 0.0) * np.array([[part.samples] for part in parts], np.float64)


def nearest(inventory: Inventory, parts: Sequence[Part], caps: Ints) -> Floats:
    """Return the samples nearest to the preferred shares, all phases together: float64[P, K], not whole.

    Their sums over phases may miss the caps by a little. Every phase must be possible alone.

    Parameters
    ----------
    inventory, parts, caps
        As in ``reach``, with the datasets.
    """
    total = sum(part.samples for part in parts)
    wishes = [log_preferred(inventory, part.allowed, part.target) for part in parts]
    programs = []
    for part in parts:
        within = np.minimum(np.where(part.allowed, caps, 0), part.samples)
        goal = part.problem.nearest_sum(part.samples)
        programs.append(program(inventory, part.problem, part.target, part.samples, within, goal))
    best = np.zeros((len(parts), len(caps)))

    def bid(prices: Floats) -> tuple[float, Floats]:
        value = float(prices @ caps) / total
        for f, (part, (inside, constraints)) in enumerate(zip(parts, programs, strict=True)):
            wish = wishes[f][inside] - np.logaddexp.reduce(wishes[f][inside])
            shares = nearest_shares(wish - prices[inside], constraints).shares
            drawn = shares > 0
            level = np.log(shares[drawn]) - wish[drawn] + prices[inside][drawn]
            value -= float(shares[drawn] @ level) * part.samples / total
            best[f] = 0.0
            best[f, inside] = shares * part.samples
        return value, (caps - best.sum(axis=0)) / total

    start = np.zeros(len(caps))
    _, slope = bid(start)
    if (slope < 0).any():
        answer = minimize(
            bid,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * len(caps),
            options={"maxiter": 500, "ftol": 1e-16, "gtol": 1e-12, "maxcor": 30},
        )
        bid(np.asarray(answer.x, np.float64))
    return best


def allotments(wanted: Floats, roomy: Floats, caps: Ints, lengths: Sequence[int]) -> "list[Ints]":
    """Return caps for each phase, int64[P, K], whose sums keep those of the training: some to try, the best first.

    Parameters
    ----------
    wanted
        float64[P, K]: the samples that the phases should have (``nearest``).
    roomy
        float64[P, K]: samples that the phases can have, with room below every cap.
    caps
        int64[K].
    lengths
        The samples of each phase.
    """
    found = []
    for part in _PARTS:
        mixed = (1 - part) * wanted + part * roomy
        if (mixed.sum(axis=0) <= caps * (1 + 1e-6)).all():
            found.append(np.column_stack([_allot(mixed[:, k], int(cap), lengths) for k, cap in enumerate(caps)]))
    return found


def _allot(wanted: Floats, cap: int, lengths: Sequence[int]) -> Ints:
    """Divide one dataset's cap among the phases: int64[P]."""
    each = np.full(len(wanted), cap, np.int64)
    roomy = np.ceil(wanted).astype(np.int64) + 1
    left = cap - int(roomy.sum())
    if left < 0:
        return apportion(cap, wanted * (cap / max(cap, float(wanted.sum()))), each)
    return roomy + left * np.array(lengths, np.int64) // sum(lengths)
