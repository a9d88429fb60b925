"""The solver for a training in phases: samples of every dataset in every phase, with caps over the whole training.

Stands beside ``weights.plan``, which solves a training of one phase, and makes each phase a mixture of that kind:

1. every phase is whole global batches, and must be possible with the whole caps for itself (``feasibility.py``);
2. all of them together must be possible, and are solved together, so that none is starved (``joint.py``);
3. that gives each phase caps of its own, in whole samples, within which it is solved exactly (``weights.solve``);
4. the documents of each dataset must be such that they can be dealt out (``deal.py``). Where they are too long to leave
   every phase what it is owed, the cap of the dataset is lowered by what is missing; where a phase reads too little of
   a dataset for a view of ``MIN_SEQUENCES`` sequences, it reads nothing of it. Then all is solved again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixer.errors import InfeasibleError
from mixer.mixture import joint
from mixer.mixture.deal import deal, owed
from mixer.mixture.feasibility import pose
from mixer.mixture.inventory import MIN_SEQUENCES, Inventory, most_samples, usable
from mixer.mixture.preference import unwanted
from mixer.mixture.settings import MixtureSettings, decimal
from mixer.mixture.weights import Mixture, Target, largest_training, solve, target_of

Lengths: TypeAlias = Callable[[int], NDArray[Any]]
"""Gives the tokens of every document of a dataset, int32[documents], by its index in the inventory."""

_TRIES: Final = 100
"""So often the mixture is solved again for documents that could not be dealt out; one or two are usual."""

_NAMED: Final = 6
"""So many datasets are named in a message; the rest are counted."""

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_DISTANCES = (1e-5, 1e-4, 1e-3, 1e-2)
"""Parts by which fewer tokens are suggested than a linear program finds possible, tried in turn."""


def whole_batches(settings: MixtureSettings) -> int:
    """Return the samples of a phase: as many whole global batches as its tokens hold."""
    return int(settings.tokens) // settings.sequence_length // settings.global_batch * settings.global_batch


def plan_phases(
    inventory: Inventory,
    settings: MixtureSettings,
    shares: Mapping[str, tuple[float, float]] | None = None,
    lengths: Lengths | None = None,
) -> Mixture:
    """Find the mixtures of all phases that a recipe asks for.

    Parameters
    ----------
    inventory, shares
        As in ``weights.plan``.
    settings
        What is wanted, with phases.
    lengths
        Of the documents; None leaves open whether they can be dealt out, when only counts are known.

    Returns
    -------
    The mixture of the whole training, and in ``phases`` those of its phases.

    Raises
    ------
    InfeasibleError
        A dataset is too small and shall be refused, or no mixtures keep every constraint.
    """
    parts = settings.by_phase
    targets = [target_of(part, shares) for part in parts]
    sizes = [whole_batches(part) for part in parts]
    wanted = ~unwanted(inventory, targets[0])
    allowed = usable(inventory, wanted, settings.sequence_length, settings.small_datasets)
    allowed = np.tile(allowed, (len(parts), 1))
    rows = zip(inventory.tokens.tolist(), inventory.max_epochs.tolist(), strict=True)
    most = [most_samples(size, epochs, settings.sequence_length, len(parts)) for size, epochs in rows]
    caps = np.array(most, np.int64)
    missed: dict[str, int] = {}
    for _ in range(_TRIES):
        try:
            phases = _solve(inventory, targets, sizes, allowed, caps, settings.global_batch)
        except InfeasibleError as error:
            raise _too_long(error, missed) if missed else error from None
        if lengths is None or not _adjust(inventory, phases, settings.sequence_length, lengths, allowed, caps, missed):
            return _whole(inventory, phases, np.array(most, np.int64), targets[0], lengths)
    raise _too_long(None, missed)


def _solve(
    inventory: Inventory, targets: Sequence[Target], sizes: Sequence[int], allowed: Flags, caps: Ints, batch: int
) -> list[Mixture]:
    """Solve all phases together.

    Parameters
    ----------
    inventory
        The datasets.
    targets, sizes
        What each phase shall be, and its samples.
    allowed
        bool[P, K]: the datasets that a phase may draw from.
    caps
        int64[K]: the most samples of each dataset in all phases.
    batch
        A phase has a multiple of so many samples.
    """
    length = targets[0].sequence_length
    for number, (target, samples, may) in enumerate(zip(targets, sizes, allowed, strict=True), 1):
        try:
            solve(inventory, target, samples * length, may, caps)
        except InfeasibleError as error:
            raise InfeasibleError(f"phase {number}: {error.message}", error.remedy) from None
    phases = _together(inventory, targets, sizes, allowed, caps)
    if phases is None:
        raise _impossible(inventory, targets, sizes, allowed, caps, batch)
    return phases


def _parts(
    inventory: Inventory, targets: Sequence[Target], sizes: Sequence[int], allowed: Flags, caps: Ints
) -> list[joint.Part]:
    """Pose the problem of each phase."""
    parts = []
    for target, samples, may in zip(targets, sizes, allowed, strict=True):
        given = may & (inventory.tokens > 0)
        parts.append(joint.Part(target, samples, given, pose(inventory, given, target, limits=caps)))
    return parts


def _together(
    inventory: Inventory, targets: Sequence[Target], sizes: Sequence[int], allowed: Flags, caps: Ints
) -> list[Mixture] | None:
    """Solve phases that are possible one by one; None if they are not possible together."""
    length = targets[0].sequence_length
    parts = _parts(inventory, targets, sizes, allowed, caps)
    reach = joint.reach(parts, caps)
    if reach.factor >= 1:
        wanted = joint.nearest(inventory, parts, caps)
        for limits in joint.allotments(wanted, reach.samples / reach.factor, caps, sizes):
            try:
                return [
                    solve(inventory, target, samples * length, may, np.array(limit, np.int64))
                    for target, samples, may, limit in zip(targets, sizes, allowed, limits, strict=True)
                ]
            except InfeasibleError:  # by a sample or two; the next ones leave more room
                continue
    return None


def _impossible(
    inventory: Inventory, targets: Sequence[Target], sizes: Sequence[int], allowed: Flags, caps: Ints, batch: int
) -> InfeasibleError:
    """Say why phases that are possible one by one are not possible together, and what would be.

    What is suggested keeps a distance to the edge: 1e-5, since a linear program knows it only to some digits, and a
    sample of each dataset in each phase, since the phases divide a cap in whole samples. Fewer tokens and other ratios
    are suggested only if they have been solved.
    """
    parts = _parts(inventory, targets, sizes, allowed, caps)
    length = parts[0].target.sequence_length
    room = np.maximum(caps - len(parts), 0)
    reach = joint.reach(parts, room)
    factor = min(reach.factor, 1.0)
    full = [k for k, cap in enumerate(room) if cap and reach.samples[:, k].sum() > cap * (1 - 1e-6)]
    full.sort(key=lambda k: (-caps[k], inventory.names[k]))
    named = [
        f"{inventory.names[k]} ({inventory.max_epochs[k]:g} epochs of {inventory.tokens[k]:,} tokens: {caps[k]:,} "
        "samples)"
        for k in full[:_NAMED]
    ] + [f"{len(full) - _NAMED} more"] * (len(full) > _NAMED)
    ways = []
    for distance in _DISTANCES:
        fewer = [int(size * factor * (1 - distance)) // batch * batch for size in sizes]
        if min(fewer) and _possible(inventory, targets, fewer, allowed, caps):
            ways.append(f"tokens of the phases: {', '.join(f'{samples * length:,}' for samples in fewer)} or less")
            break
    if ratios := _ratios(parts, room):
        others = [replace(target, almr=ratio) for target, ratio in zip(targets, ratios, strict=True)]
        if _possible(inventory, others, sizes, allowed, caps):
            ways.append(f"almr of the phases: {', '.join(map(repr, ratios))}")
    epochs = joint.enough_epochs(parts, inventory.tokens, length)
    if epochs is not None:
        ways.append(f"max_epochs: {_up(epochs * (1 + 1e-5))!r} for every source")
    return InfeasibleError(
        f"the {len(parts)} phases are possible one by one, but not together: at most {factor:.6g} of their tokens are, "
        f"since these are read as often as their caps allow: {', '.join(named) or 'none'}",
        f"feasible is one of: {'; '.join(ways)}" if ways else "change the ratios or domain shares of the phases",
    )


def _possible(
    inventory: Inventory, targets: Sequence[Target], sizes: Sequence[int], allowed: Flags, caps: Ints
) -> bool:
    """Whether phases can be solved, each and together."""
    try:
        for target, samples, may in zip(targets, sizes, allowed, strict=True):
            solve(inventory, target, samples * target.sequence_length, may, caps)
    except InfeasibleError:
        return False
    return _together(inventory, targets, sizes, allowed, caps) is not None


def _ratios(parts: Sequence[joint.Part], room: Ints) -> list[float] | None:
    """Return ratios of the phases that are possible, near to those that are asked for, in as few digits as do."""
    near = joint.nearest_ratios(parts, room)
    for digits in (4, 6, 9) if near else ():
        rounded = [min(max(round(float(ratio), digits), 0.0), 1.0) for ratio in near or ()]
        tried = [
            replace(part, problem=replace(part.problem, almr=decimal(ratio)))
            for part, ratio in zip(parts, rounded, strict=True)
        ]
        if joint.reach(tried, room).factor >= 1:
            return rounded
    return None


def _up(value: float) -> float:
    """Round up to four digits."""
    digits = 3 - int(np.floor(np.log10(value)))
    return float(round(np.ceil(value * 10.0**digits) / 10.0**digits, max(digits, 0)))


def _adjust(
    inventory: Inventory,
    phases: Sequence[Mixture],
    length: int,
    lengths: Lengths,
    allowed: Flags,
    caps: Ints,
    missed: dict[str, int],
) -> bool:
    """Deal the documents out; where that leaves a phase short, lower a cap or take a dataset from a phase.

    Parameters
    ----------
    inventory, phases, length, lengths
        What has been solved, the length of samples, and of the documents.
    allowed, caps
        bool[P, K] and int64[K]: changed in place.
    missed
        How often a dataset could not be dealt out, by name; changed in place.

    Returns
    -------
    Whether anything was changed.
    """
    changed = False
    for k, name in enumerate(inventory.names):
        samples = [int(phase.n[k]) for phase in phases]
        if not any(samples):
            continue
        tokens = int(inventory.tokens[k])
        needs, reads = owed(samples, tokens, length)
        floor = MIN_SEQUENCES * length
        small = [f for f, count in enumerate(samples) if count and -(-(count * length + 1) // reads) < floor]
        if int(needs.sum()) > tokens and small:
            allowed[min(small, key=lambda f: samples[f]), k] = False
            changed = True
            continue
        short = int(deal(lengths(k), samples, length).short.sum())
        if short:
            missed[name] = missed.get(name, 0) + 1
            caps[k] = max(0, sum(samples) - (-(-short * reads // length)) * 2 ** (missed[name] - 1))
            changed = True
    return changed


def _too_long(error: InfeasibleError | None, missed: Mapping[str, int]) -> InfeasibleError:
    """Say that documents could not be dealt out."""
    names = ", ".join(sorted(missed))
    return InfeasibleError(
        f"the documents of these datasets are too long to be dealt to the phases so that none is read more often than "
        f"its dataset's epochs, rounded up: {names}" + (f"; with less of them, {error.message}" if error else ""),
        "lower the tokens of the phases a little, or raise max_epochs of these sources",
    )


def _whole(
    inventory: Inventory, phases: Sequence[Mixture], caps: Ints, target: Target, lengths: Lengths | None
) -> Mixture:
    """Return the mixture of the whole training.

    ``caps``, int64[K], are what the caps on epochs allow in all phases.
    """
    n = np.sum([phase.n for phase in phases], axis=0).astype(np.int64)
    samples = sum(phase.samples for phase in phases)
    weights = n / samples
    total = np.array([phase.samples for phase in phases]) / samples
    longest = [
        replace(phase, samples_max=_most(phases, f, caps, target.sequence_length, inventory, lengths))
        for f, phase in enumerate(phases)
    ]
    held: dict[str, list[str]] = {}
    for f, phase in enumerate(phases, 1):
        for bound in phase.binding:
            held.setdefault(bound, []).append(str(f))
    # What holds in all phases, or over all of them, needs no number.
    whole = {bound for bound, where in held.items() if len(where) == len(phases) or ": max_epochs" in bound}
    binding = [bound if bound in whole else f"{bound} (phase {', '.join(where)})" for bound, where in held.items()]
    return Mixture(
        samples=samples,
        samples_max=samples - phases[-1].samples + longest[-1].samples_max,
        n=n,
        weights=weights,
        epochs=n * np.float64(target.sequence_length) / np.maximum(inventory.tokens, 1),
        shares=np.sum([part * phase.shares for part, phase in zip(total, phases, strict=True)], axis=0),
        realised=int(n[inventory.additional].sum()) / samples,
        measured=float(weights @ inventory.measured),
        target=float(total @ np.array([phase.target for phase in phases])),
        basis=target.basis,
        binding=binding,
        left_out={name: _why(name, phases) for k, name in enumerate(inventory.names) if not n[k]},
        phases=tuple(longest),
    )


def _why(name: str, phases: Sequence[Mixture]) -> str:
    """Say why a dataset has no samples in any phase: the causes, each once."""
    return "; ".join(dict.fromkeys(phase.left_out[name] for phase in phases))


def _most(
    phases: Sequence[Mixture], f: int, caps: Ints, length: int, inventory: Inventory, lengths: Lengths | None
) -> int:
    """Return the most samples of a phase that break nothing, the other phases being as they are.

    No cap over the whole training breaks, and no document is read more often than it is now.
    """
    n = phases[f].n
    rooms = caps - sum(phase.n for g, phase in enumerate(phases) if g != f)
    for k in np.flatnonzero(n) if lengths is not None else ():
        assert lengths is not None
        view = int(deal(lengths(int(k)), [int(phase.n[k]) for phase in phases], length).tokens[f])
        rooms[k] = min(rooms[k], (-(-(int(n[k]) * length + 1) // view) * view - 1) // length)
    return largest_training(n, tuple(rooms.tolist()))
