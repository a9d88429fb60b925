"""The solver: token counts and a recipe's wishes in, samples and weights of every dataset out. Numbers only, no files.

Stands between tokenizing and writing: the build hands over an ``Inventory`` and gets a ``Mixture``, which the export
turns into ``mixture.json`` and Megatron's files. The steps are

1. leave out, or refuse, datasets too small to train on (``inventory.py``);
2. prove exactly that a mixture exists, and find the largest one for ``tokens: max`` (``feasibility.py``), or say why
   there is none and what would be possible (``explain.py``);
3. find the shares nearest to the preferred ones of the strategy (``preference.py``, ``shares.py``);
4. make whole samples of them (``whole.py``); the weight of a dataset is its samples over all samples, because with
   exactly these weights Megatron's blending rule draws exactly these samples.

Everything is computed in the order of the names, so that the order of the sources changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mixer.mixture.explain import explain
from mixer.mixture.feasibility import SAMPLES_LIMIT, Problem, pose
from mixer.mixture.inventory import Basis, Inventory, Target, too_small, usable
from mixer.mixture.preference import log_preferred, unwanted
from mixer.mixture.settings import MixtureSettings
from mixer.mixture.shares import Constraints, nearest_shares
from mixer.mixture.whole import whole_samples

__all__ = ["Inventory", "Mixture", "Target", "largest_training", "plan", "program", "solve", "target_of", "too_small"]


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture; entry ``k`` of an array belongs to dataset ``k`` of the inventory.

    Parameters
    ----------
    samples
        Training samples S.
    samples_max
        The most samples that training with these weights may draw without breaking a cap (``largest_training``).
    n
        int64[K]: samples of each dataset; they sum to ``samples``.
    weights
        float64[K]: n / samples.
    epochs
        float64[K]: n * sequence_length / tokens; 0 for a dataset without tokens.
    shares
        float64[K]: the real shares before rounding.
    realised
        Share of the samples that are of datasets labelled with the additional language.
    measured
        The sum of weights times measured additional shares.
    target, basis
        The ALMR that was asked for, and what it counts.
    binding
        The caps and the smallest and largest shares of sources that hold it (within the last sample), as text.
    left_out
        The datasets without samples, by name, with the cause.
    phases
        The mixtures of the phases, in their order; empty where the training has none.
    """

    samples: int
    samples_max: int
    n: NDArray[np.int64]
    weights: NDArray[np.float64]
    epochs: NDArray[np.float64]
    shares: NDArray[np.float64]
    realised: float
    measured: float
    target: float
    basis: Basis
    binding: list[str]
    left_out: dict[str, str]
    phases: tuple["Mixture", ...] = ()


def plan(
    inventory: Inventory, settings: MixtureSettings, shares: Mapping[str, tuple[float, float]] | None = None
) -> Mixture:
    """Find the mixture that a recipe asks for.

    Parameters
    ----------
    inventory
        The datasets.
    settings
        What is wanted.
    shares
        The smallest and the largest share of sources; default, and for those not named: 0 and 1.

    Raises
    ------
    InfeasibleError
        A dataset is too small and shall be refused, or no mixture keeps every constraint.
    """
    target = target_of(settings, shares)
    wanted = ~unwanted(inventory, target)
    allowed = usable(inventory, wanted, settings.sequence_length, settings.small_datasets)
    return solve(inventory, target, None if settings.tokens == "max" else settings.tokens, allowed)


def target_of(settings: MixtureSettings, shares: Mapping[str, tuple[float, float]] | None = None) -> Target:
    """Return what a recipe asks for, apart from its size; the parameters are those of ``plan``."""
    return Target(
        settings.almr,
        settings.sequence_length,
        settings.almr_basis,
        settings.domains,
        {name: bounds for name, bounds in (shares or {}).items() if bounds != (0.0, 1.0)},
        settings.strategy,
        settings.temperature,
        settings.weights,
        settings.additional_language,
    )


def solve(
    inventory: Inventory,
    target: Target,
    tokens: int | None = None,
    allowed: NDArray[np.bool_] | None = None,
    limits: NDArray[np.int64] | None = None,
) -> Mixture:
    """Find the mixture of a target.

    Parameters
    ----------
    inventory
        The datasets.
    target
        The ALMR and what goes with it.
    tokens
        How many tokens to train on; a last part of a sample is not used. None for the most that the caps allow.
    allowed
        bool[K]: which datasets may get samples; default all.
    limits
        int64[K]: the most samples of each; default: what ``max_epochs`` allows.

    Raises
    ------
    InfeasibleError
        There is no such mixture; the message names what is in the way, the remedy what is possible.
    """
    order = np.array(sorted(range(len(inventory.names)), key=inventory.names.__getitem__), np.int64)
    inventory = inventory.take(order)
    given = np.ones(len(order), np.bool_) if allowed is None else allowed[order]
    given = given & (inventory.tokens > 0) & ~unwanted(inventory, target)
    problem = pose(inventory, given, target, limits=None if limits is None else limits[order])
    size = None if tokens is None else tokens // target.sequence_length
    if size is not None and not 1 <= size <= SAMPLES_LIMIT:
        raise ValueError(f"{tokens} tokens are not between one sample and {SAMPLES_LIMIT:,}")
    samples = problem.largest_samples() if size is None else size
    if samples < 1 or (size is not None and not problem.feasible(size)):
        raise explain(inventory, given, target, size)
    caps = np.array([min(cap, samples) for cap in problem.caps], np.int64)
    whole = problem.whole(samples)
    goal = whole.nearest_sum(samples)
    wish = log_preferred(inventory, given, target)
    inside, constraints = program(inventory, whole, target, samples, caps, goal)
    shares = np.zeros(len(caps))
    shares[inside] = nearest_shares(wish[inside], constraints).shares
    n = whole_samples(inventory, whole, target, samples, caps, goal, shares)
    _check(n, caps, inventory, whole, target, samples)
    back = np.argsort(order)
    weights = n / samples
    epochs = n * np.float64(target.sequence_length) / np.maximum(inventory.tokens, 1)
    return Mixture(
        samples=samples,
        samples_max=largest_training(n, problem.caps),
        n=n[back],
        weights=weights[back],
        epochs=epochs[back],
        shares=shares[back],
        realised=int(n[inventory.additional].sum()) / samples,
        measured=float(weights @ inventory.measured),
        target=target.almr,
        basis=target.basis,
        binding=_binding(inventory, problem, n, shares),
        left_out={
            name: _why_left_out(inventory, given, problem, target, k)
            for k, name in enumerate(inventory.names)
            if not n[k]
        },
    )


def largest_training(n: NDArray[np.int64], caps: tuple[int, ...]) -> int:
    """Return the most samples S' that training with weights n / S may draw with no dataset drawn above its cap.

    Before Megatron's rule picks dataset p at step t (from 0), no dataset lags behind its weight by more than p does,
    and the lags sum to 0; so p does not run ahead, and after S' samples c_p <= floor(w_p (S' - 1)) + 1. S' is the
    largest for which that bound is within every cap; it is at least S.

    Parameters
    ----------
    n
        int64[K]: samples of each dataset; a dataset without any has weight 0 and is never drawn.
    caps
        The most samples of each.
    """
    samples = int(n.sum())
    return min((cap * samples - 1) // count + 1 for count, cap in zip(n.tolist(), caps, strict=True) if count)


def program(
    inventory: Inventory, problem: Problem, target: Target, samples: int, caps: NDArray[np.int64], goal: Fraction
) -> tuple[NDArray[np.int64], Constraints]:
    """Write a problem as constraints on the shares of those datasets that may have any.

    Parameters
    ----------
    inventory, problem, target, samples
        What is to be solved.
    caps
        int64[K]: the most samples of each dataset.
    goal
        The sum of samples times score that the shares shall have.

    Returns
    -------
    The indices of those datasets, int64[k], and the constraints on their shares.
    """
    column = np.full(len(caps), -1, np.int64)
    group = np.full(len(caps), -1, np.int64)
    amounts: list[float] = []
    for part in problem.columns:
        if part.share > 0:
            column[list(part.members)] = len(amounts)
            amounts.append(float(part.share))
    groups = list(problem.groups)
    for h, found in enumerate(groups):
        group[list(found.members)] = h
    inside = np.flatnonzero((caps > 0) & (column >= 0))
    score = inventory.additional.astype(np.float64) if target.basis == "label" else inventory.measured
    return inside, Constraints(
        upper=caps[inside] / samples,
        column=column[inside],
        column_shares=np.array(amounts),
        group=group[inside],
        group_low=np.array([float(found.low) for found in groups], np.float64),
        group_high=np.array([float(found.high) for found in groups], np.float64),
        score=score[inside],
        almr=float(goal / samples),
    )


def _binding(inventory: Inventory, problem: Problem, n: NDArray[np.int64], shares: NDArray[np.float64]) -> list[str]:
    """Name the bounds that hold the samples, within the last one."""
    samples = int(n.sum())
    found = [
        f"{name}: max_epochs {inventory.max_epochs[k]:g}"
        for k, name in enumerate(inventory.names)
        if n[k] and shares[k] * samples > problem.caps[k] - 1
    ]
    for group in problem.groups:
        total = int(n[list(group.members)].sum())
        if group.fixed:
            continue
        if group.low and total - 1 < group.low * samples:
            found.append(f"{group.source}: min_share {float(group.low):g}")
        elif total + 1 > group.high * samples:
            found.append(f"{group.source}: max_share {float(group.high):g}")
    return found


def _why_left_out(inventory: Inventory, allowed: NDArray[np.bool_], problem: Problem, target: Target, k: int) -> str:
    """Say why dataset ``k`` has no samples."""
    source = inventory.source[k]
    if not inventory.tokens[k]:
        return "no training tokens"
    if target.strategy == "weights" and not (target.weights or {}).get(source):
        return f"the weight of {source} is 0"
    if target.shares.get(source, (0.0, 1.0))[1] == 0:
        return f"the share of {source} is 0"
    if not allowed[k]:
        return "too small"
    if not problem.caps[k]:
        return f"{inventory.max_epochs[k]:g} epochs are less than one sample"
    if target.domains.get(inventory.domain[k]) == 0:
        return f"domain {inventory.domain[k]} has the share 0"
    if target.basis == "label" and target.almr == float(not inventory.additional[k]):
        return f"the ALMR is {target.almr:g}"
    return "its share is less than a sample"


def _check(
    n: NDArray[np.int64],
    caps: NDArray[np.int64],
    inventory: Inventory,
    problem: Problem,
    target: Target,
    samples: int,
) -> None:
    """Hold the result against every promise once more, in whole numbers; a failure is a defect of this room."""
    broken = []
    if int(n.sum()) != samples or (n < 0).any() or (n > caps).any():
        broken.append("sum and caps")
    language = int(n[inventory.additional].sum())
    if target.basis == "label" and abs(language - problem.almr * samples) > Fraction(1, 2):
        broken.append("ALMR")
    for part in problem.columns:
        if abs(int(n[list(part.members)].sum()) - part.share * samples) >= 1 and part.domain is not None:
            broken.append(f"domain {part.domain}")
        for group in part.groups:
            found = int(n[list(group.members)].sum())
            if not group.low * samples - 1 < found < group.high * samples + 1:
                broken.append(f"source {group.source}")
    if broken:
        raise ArithmeticError(f"the mixture of {samples} samples is not exact: {', '.join(broken)}")
