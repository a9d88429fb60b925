"""Proves that a build holds what its ``mixture.json`` says, and what Megatron will make of it.

The last step of a build, and a command of its own. Every file is hashed and every index read again (``checks.py``),
in parallel; beside that, Megatron's rule is replayed over the weights of ``blend.json``, because those are what
training reads, for the whole run and in constant memory. Everything that is broken is collected before it is raised;
a build that is whole gets a report of numbers, which ``screens`` print.
"""

import os
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from mixer.engine.stage import Progress
from mixer.errors import BrokenPromiseError
from mixer.manifest import NAME, Almr, Manifest, read
from mixer.megatron.blend import Batches, Deviation
from mixer.mixture import checks
from mixer.mixture.export import Part, Weighted, parts_of, read_blend, read_flags, usable_valid
from mixer.mixture.phase_checks import check_phases, check_views
from mixer.mixture.running import Running
from mixer.storage import Root

CHECKPOINTS: Final = (0.01, 0.1, 0.5, 1.0)
"""Parts of the training at which the report gives the ALMR."""
_STEPS: Final = 1 << 25
"""Samples that are replayed between two looks at whether to stop, about a second."""


@dataclass(frozen=True)
class Checkpoint:
    """The ALMR of everything up to a part of the training: by label, and by the language of the text."""

    part: float
    samples: int
    realised: float
    measured: float


@dataclass(frozen=True)
class DatasetReport:
    """What training draws from one dataset of the blend: the replay's ``samples`` against the ``promised`` ones."""

    prefix: str
    role: str
    samples: int
    promised: int
    weight: float
    epochs: float
    max_epochs: float


@dataclass(frozen=True)
class PhaseReport:
    """What was found in one phase.

    ``almr`` is the one that it has, ``deviation`` how far it was from its target at any step of the phase, ``batches``
    the same within each global batch, by label and measured, and ``reads`` how often a document is read at most.
    """

    samples: int
    almr: Almr
    deviation: Deviation
    batches: tuple[Batches, ...]
    reads: int


@dataclass(frozen=True)
class VerifyReport:
    """What was found in a build that keeps its promises.

    Parameters
    ----------
    build_dir, manifest
        The build and its ``mixture.json``.
    rehashed
        Whether every file was hashed; if not, damage inside a ``.bin`` would not have been seen.
    files, read_bytes
        Dataset files that were checked, and what was hashed of them.
    checkpoints
        The ALMR at ``CHECKPOINTS``; with phases, at the end of each.
    realised, measured
        How far the samples of the additional language, and its measured part of all samples, were from their lines
        (``running``) at any step. With phases, each is held against its own, and these are the farthest.
    bounds
        What ``realised`` was held between after every sample (``running``).
    batches
        The same two within each global batch by itself; empty without the size of one, or without a whole one.
    loss_almr
        The realised ALMR of the positions that ``--eod-mask-loss`` leaves in the loss.
    datasets
        Every dataset of the blend, in its order.
    unused
        Prefixes of datasets without samples and of validation sets without a whole sequence: not in the blend.
    leftovers
        Folders of earlier builds, which ``mixer clean`` would remove.
    phases
        Every phase, in the order of training; empty where there are none.
    """

    build_dir: Root
    manifest: Manifest
    rehashed: bool
    files: int
    read_bytes: int
    checkpoints: tuple[Checkpoint, ...]
    realised: Deviation
    measured: Deviation
    bounds: tuple[float, float]
    batches: tuple[Batches, ...]
    loss_almr: float
    datasets: tuple[DatasetReport, ...]
    unused: tuple[str, ...]
    leftovers: tuple[str, ...]
    phases: tuple[PhaseReport, ...]


def verify(
    build_dir: Root,
    *,
    rehash: bool = True,
    workers: int | None = None,
    root: Root | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check every promise of a build.

    Parameters
    ----------
    build_dir
        The build.
    rehash
        Read every file from end to end: its hash, and that each id is of the vocabulary and every document ends with
        EOD. Otherwise the indices and sizes only.
    workers
        Files that are read at once; default: the cores there are.
    root
        Where Megatron finds the build, if that is not ``build_dir``: what ``relocate`` was given.
    progress
        Told the bytes that were hashed, from one thread at a time.

    Raises
    ------
    UsageError
        There is no build.
    BrokenPromiseError
        Anything is not as promised; the message lists all of it, each with its file.
    """
    manifest = read(build_dir)
    root = build_dir.resolve() if root is None else root
    parts = parts_of(manifest)
    blends, broken = _check_texts(build_dir, manifest, parts, root)
    reading = _Reading(progress)
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        try:
            replaying = [
                pool.submit(_replay, part.manifest, blend, CHECKPOINTS if len(parts) == 1 else (1.0,), reading)
                for part, blend in zip(parts, blends, strict=True)
                if blend
            ]
            told = reading.told if rehash else None
            reads = [
                pool.submit(checks.check_files, build_dir, entry, manifest.tokenizer, told)
                for entry in manifest.entries
            ]
            if manifest.phases:
                reads += [pool.submit(check_views, build_dir, manifest, entry, told) for entry in manifest.datasets]
            broken += [what for checked in reads for what in checked.result()]
            replays = [replay for each in replaying if (replay := each.result()) is not None]
        except BaseException:
            reading.stop()
            pool.shutdown(cancel_futures=True)
            raise
    whole = len(replays) == len(parts)
    for part, replay in zip(parts, replays, strict=True) if whole else ():
        broken += [f"{build_dir / part.blend} {what}" for what in _check_replay(part.manifest, replay)]
    if broken or not whole:
        listed = "".join(f"\n  - {what}" for what in broken)
        raise BrokenPromiseError(
            f"{build_dir} does not hold what it promises:{listed}",
            "run the same build command again, which makes anew what is not whole; after a move run `mixer relocate`",
        )
    return VerifyReport(
        build_dir=build_dir,
        manifest=manifest,
        rehashed=rehash,
        files=len(checks.SUFFIXES) * (len(manifest.entries) + sum(len(phase.views) for phase in manifest.phases)),
        read_bytes=reading.bytes,
        checkpoints=replays[0].checkpoints if len(parts) == 1 else _ends(manifest, replays),
        realised=max((replay.realised for replay in replays), key=lambda found: abs(found.largest[0])),
        measured=max((replay.measured for replay in replays), key=lambda found: abs(found.largest[0])),
        bounds=(min(replay.bounds[0] for replay in replays), max(replay.bounds[1] for replay in replays)),
        batches=replays[0].batches if len(parts) == 1 else (),
        loss_almr=_loss_almr(manifest),
        datasets=replays[0].datasets if len(parts) == 1 else _together(manifest, replays),
        unused=_unused(manifest),
        leftovers=tuple(checks.leftovers(build_dir, manifest)),
        phases=tuple(
            PhaseReport(
                phase.samples,
                phase.almr,
                replay.realised if phase.almr.basis == "label" else replay.measured,
                replay.batches,
                max(view.reads for view in phase.views),
            )
            for phase, replay in zip(manifest.phases, replays, strict=False)
        ),
    )


def _ends(manifest: Manifest, replays: "list[_Replayed]") -> tuple[Checkpoint, ...]:
    """Return the ALMR of all that was read by the end of each phase."""
    samples, realised, measured = 0, 0.0, 0.0
    found = []
    for replay in replays:
        end = replay.checkpoints[-1]
        samples += end.samples
        realised, measured = realised + end.realised * end.samples, measured + end.measured * end.samples
        found.append(Checkpoint(samples / manifest.samples, samples, realised / samples, measured / samples))
    return tuple(found)


def _together(manifest: Manifest, replays: "list[_Replayed]") -> tuple[DatasetReport, ...]:
    """Return what all phases together draw from each dataset."""
    of_view = {view.prefix: view.dataset for phase in manifest.phases for view in phase.views}
    drawn: Counter[str] = Counter()
    for replay in replays:
        for report in replay.datasets:
            drawn[of_view[report.prefix]] += report.samples
    return tuple(
        DatasetReport(
            prefix=entry.prefix,
            role=entry.role,
            samples=drawn[entry.prefix],
            promised=entry.samples,
            weight=entry.weight,
            epochs=drawn[entry.prefix] * manifest.sequence_length / entry.tokens,
            max_epochs=entry.max_epochs,
        )
        for entry in manifest.datasets
        if entry.samples
    )


def _check_texts(
    build_dir: Root, manifest: Manifest, parts: list[Part], root: Root
) -> tuple[list[Weighted | None], list[str]]:
    """Check everything but the dataset files; return the blend of each part of the training, and what is broken."""
    broken = checks.check_manifest(build_dir / NAME, manifest) + checks.check_unlisted(build_dir, manifest)
    if manifest.phases:
        broken += check_phases(build_dir / NAME, manifest)
    blends: list[Weighted | None] = []
    for part in parts:
        train = None
        try:
            blend = read_blend(build_dir, part.blend)
            broken += checks.check_blend(build_dir / part.blend, blend, part.manifest, root)
            train = blend["train"]
        except BrokenPromiseError as error:
            broken.append(error.message)
        try:
            broken += checks.check_flags(build_dir / part.args, read_flags(build_dir, part.args), part, root)
        except BrokenPromiseError as error:
            broken.append(error.message)
        blends.append(train)
    return blends, broken


class _Reading:
    """Counts what all threads read, passes it on, and ends them all when one is not wanted any more."""

    def __init__(self, progress: Progress | None) -> None:
        self.bytes = 0
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = False

    def told(self, size: int) -> None:
        """Add bytes; raises ``CancelledError`` once stopped."""
        with self._lock:
            if self._stopped:
                raise CancelledError
            self.bytes += size
            if self._progress is not None:
                self._progress(size=size)

    def stop(self) -> None:
        """Let every thread end at its next piece."""
        self._stopped = True


@dataclass(frozen=True)
class _Replayed:
    """What the replay of a whole training came to."""

    checkpoints: tuple[Checkpoint, ...]
    realised: Deviation
    measured: Deviation
    bounds: tuple[float, float]
    batches: tuple[Batches, ...]
    datasets: tuple[DatasetReport, ...]


def _replay(manifest: Manifest, train: Weighted, looks: Sequence[float], reading: _Reading) -> _Replayed | None:
    """Replay Megatron's rule over the weights of ``blend.json``; None if its prefixes are not those of the build.

    ``looks`` are the parts of the training at which the ALMR is noted, the last one 1.
    """
    listed = {entry.prefix: entry for entry in manifest.datasets}
    tails = [checks.tail(prefix) for prefix in train.prefixes]
    if any(tail not in listed for tail in tails):
        return None
    datasets = [listed[tail] for tail in tails]
    weights = [float(weight) for weight in train.weights]
    running = Running(datasets, weights, manifest.almr, manifest.samples, manifest.global_batch or 0)
    checkpoints = []
    for part in looks:
        samples = max(1, round(part * manifest.samples))
        while running.samples < samples:
            running.advance(min(samples, running.samples + _STEPS))
            reading.told(0)
        by_label, by_text = running.additional
        checkpoints.append(Checkpoint(part, samples, by_label / samples, by_text / samples))
    realised, measured = running.deviations
    drawn = tuple(
        DatasetReport(
            prefix=entry.prefix,
            role=entry.role,
            samples=samples,
            promised=entry.samples,
            weight=entry.weight,
            epochs=samples * manifest.sequence_length / entry.tokens,
            max_epochs=entry.max_epochs,
        )
        for entry, samples in zip(datasets, running.counts.tolist(), strict=True)
    )
    return _Replayed(
        checkpoints=tuple(checkpoints),
        realised=realised,
        measured=measured,
        bounds=running.bounds,
        batches=running.batches,
        datasets=drawn,
    )


def _check_replay(manifest: Manifest, replay: _Replayed) -> list[str]:
    """Say what the order that Megatron draws in breaks."""
    broken = [
        f"makes Megatron draw {entry.samples:,} samples of {entry.prefix}, but {NAME} says {entry.promised:,}"
        for entry in replay.datasets
        if entry.samples != entry.promised
    ]
    if replay.checkpoints[-1].realised != manifest.almr.realised:
        broken.append(f"has an ALMR of {replay.checkpoints[-1].realised}, but {NAME} says {manifest.almr.realised}")
    low, high = replay.bounds
    found = replay.realised  # 0 on a side on which it never was, as with one group alone
    if (found.low and found.low <= low) or (found.high and found.high >= high):
        distance, samples = found.largest
        broken.append(
            f"is {distance:.2f} samples of the additional language off its line after {samples:,} samples, "
            f"not between {low:.2f} and {high:.2f}"
        )
    return broken


def _loss_almr(manifest: Manifest) -> float:
    """Return the realised ALMR of the positions whose input is no EOD, one a document."""
    kept = [entry.weight * (1 - entry.documents / entry.tokens) for entry in manifest.datasets]
    additional = [share for entry, share in zip(manifest.datasets, kept, strict=True) if entry.role == "additional"]
    return sum(additional) / sum(kept) if any(kept) else 0.0


def _unused(manifest: Manifest) -> tuple[str, ...]:
    """Name what the build holds but Megatron is not handed."""
    valid = {entry.prefix for entry in usable_valid(manifest)}
    undrawn = [entry.prefix for entry in manifest.datasets if not entry.samples]
    return (*undrawn, *(entry.prefix for entry in manifest.valid if entry.prefix not in valid))
