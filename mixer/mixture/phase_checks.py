"""The promises of a training in phases: each function looks at one thing and returns what is broken, as in ``checks``.

What holds for a mixture holds for each phase, and is checked there by the same functions. What is looked at here is
what the phases have to do with one another: the views of a dataset share no document, and the caps hold for all phases.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mixer.errors import BrokenPromiseError
from mixer.manifest import NAME, Dataset, Manifest, View, content_id, prefix_of
from mixer.megatron.indexed import IndexFile
from mixer.megatron.order import most_reads
from mixer.megatron.view import read_view
from mixer.mixture.checks import SUFFIXES, check_almr, check_dataset, check_shares, hash_of
from mixer.mixture.inventory import most_samples
from mixer.storage import Root, is_local


def check_phases(path: Root, manifest: Manifest) -> list[str]:
    """Hold the phases of ``mixture.json`` against it, and against one another."""
    broken = [*_check_names(manifest), *_check_totals(manifest)]
    for number, phase in enumerate(manifest.phases, 1):
        alone = manifest.of_phase(number)
        found = [*check_almr(alone), *check_shares(alone)]
        if sum(view.samples for view in phase.views) != phase.samples:
            found.append(f"says {phase.samples:,} samples, but its views have another number")
        if phase.samples * manifest.sequence_length != phase.tokens:
            found.append(f"says {phase.tokens:,} tokens, which are not {phase.samples:,} samples")
        if manifest.global_batch and phase.samples % manifest.global_batch:
            found.append(f"has {phase.samples:,} samples, which are no whole batches of {manifest.global_batch:,}")
        if phase.samples_max != (most := _samples_max(manifest, number)):
            found.append(f"says samples_max {phase.samples_max:,}, but {most:,} break nothing")
        for entry in alone.datasets:
            found += [f"{entry.prefix}: {what}" for what in check_dataset(alone, entry)]
        broken += [f"phase {number}: {what}" for what in (*found, *_check_reads(manifest, number))]
    return [f"{path} {what}" for what in broken]


def _check_names(manifest: Manifest) -> list[str]:
    broken, files = [], []
    known = {entry.prefix for entry in manifest.datasets}
    for number, phase in enumerate(manifest.phases, 1):
        for view in phase.views:
            name = f"phase-{number}/{view.dataset.rsplit('/', 1)[-1]}"
            files.append((name, view.xxh64))
            if view.prefix != prefix_of(manifest.views or "", name) or view.dataset not in known:
                broken.append(f"lists {view.prefix} for phase {number}, which is no view of a dataset of it")
    if len({name for name, _ in files}) < len(files):
        broken.append("lists a view twice")
    if content_id(files) != manifest.views:
        broken.append(f"names the views {manifest.views}, but the hashes it lists make {content_id(files)}")
    return broken


def _views_of(manifest: Manifest, entry: Dataset) -> Iterator[tuple[int, View]]:
    """Go over the views of a dataset, with the numbers of their phases."""
    for number, phase in enumerate(manifest.phases, 1):
        yield from ((number, view) for view in phase.views if view.dataset == entry.prefix)


def _check_totals(manifest: Manifest) -> list[str]:
    """Hold what the phases have together against the whole training."""
    broken = []
    for entry in manifest.datasets:
        views = [view for _, view in _views_of(manifest, entry)]
        if sum(view.samples for view in views) != entry.samples:
            broken.append(f"{entry.prefix}: {entry.samples:,} samples, but its views have another number")
        if sum(view.documents for view in views) > entry.documents or sum(view.tokens for view in views) > entry.tokens:
            broken.append(f"{entry.prefix}: its views have more documents or tokens than itself")
    if manifest.samples != sum(phase.samples for phase in manifest.phases):
        broken.append(f"says {manifest.samples:,} samples, but its phases have another number")
    last = manifest.phases[-1]
    if manifest.samples_max != manifest.samples - last.samples + last.samples_max:
        broken.append(f"says samples_max {manifest.samples_max:,}, which does not go with the last phase's")
    return broken


def _check_reads(manifest: Manifest, number: int) -> list[str]:
    """Hold how often a document is read against Megatron's rule, and against the epochs of the whole training."""
    phase = manifest.phases[number - 1]
    length = manifest.sequence_length
    whole = {entry.prefix: entry for entry in manifest.datasets}
    most = most_reads(
        [view.weight for view in phase.views],
        [view.tokens for view in phase.views],
        length,
        [view.samples for view in phase.views],
    )
    broken = []
    for view, reads in zip(phase.views, most, strict=True):
        if view.reads != reads:
            broken.append(
                f"{view.prefix}: says {view.reads} reads of a document, but Megatron may read one {reads} times"
            )
        entry = whole[view.dataset]
        once = sum(other.samples * length + 1 for _, other in _views_of(manifest, entry)) <= entry.tokens
        if once and reads > 1:
            broken.append(f"{view.prefix}: at most an epoch is read of {view.dataset}, but a document {reads} times")
    return broken


def _samples_max(manifest: Manifest, number: int) -> int:
    """Return the most samples of a phase: no cap over the whole training breaks, and no document is read more often."""
    phase, length = manifest.phases[number - 1], manifest.sequence_length
    whole = {entry.prefix: entry for entry in manifest.datasets}
    limits = []
    for view in phase.views:
        entry = whole[view.dataset]
        room = most_samples(entry.tokens, entry.max_epochs, length, len(manifest.phases)) - entry.samples + view.samples
        reads = -(-(view.samples * length + 1) // view.tokens)
        room = min(room, (reads * view.tokens - 1) // length)
        limits.append((room * phase.samples - 1) // view.samples + 1)
    return min(limits, default=0)


def check_views(build_dir: Root, manifest: Manifest, entry: Dataset, told: Callable[[int], None] | None) -> list[str]:
    """Read the views of a dataset: their documents are the dataset's, and none is in two of them.

    Parameters
    ----------
    build_dir, manifest, entry
        The build and the dataset.
    told
        Called with the number of bytes read; None: hash nothing.
    """
    views = list(_views_of(manifest, entry))
    if not views:
        return []
    try:
        whole = IndexFile(build_dir / entry.prefix)
    except BrokenPromiseError:  # which the check of the dataset reports
        return []
    taken = np.zeros(whole.documents, np.uint8)
    broken = []
    for number, view in views:
        try:
            broken += _check_view(build_dir, entry, view, whole, taken, number)
        except BrokenPromiseError as error:
            broken.append(error.message)
        else:
            broken += _check_hashes(build_dir, entry, view, told)
    return broken


def _check_view(
    build_dir: Root, entry: Dataset, view: View, whole: IndexFile, taken: NDArray[np.uint8], number: int
) -> list[str]:
    """Check the index of a view, and note in ``taken``, uint8[documents], the phase that has each document."""
    path = build_dir / f"{view.prefix}.idx"
    index = read_view(build_dir / view.prefix)
    broken = []
    if (index.documents, index.tokens) != (view.documents, view.tokens):
        broken.append(
            f"{path} has {index.documents:,} documents of {index.tokens:,} tokens, "
            f"but {NAME} says {view.documents:,} of {view.tokens:,}"
        )
    if index.dtype != whole.dtype:
        broken.append(f"{path} has ids of type {index.dtype}, but its dataset {whole.dtype}")
    for places in index.places(whole):
        if len(both := places[taken[places] > 0]):
            where = int(both[0])
            broken.append(f"{path} has document {where:,} of {entry.prefix}, which phase {taken[where]} has, too")
            break
        taken[places] = number
    return broken


def _check_hashes(build_dir: Root, entry: Dataset, view: View, told: Callable[[int], None] | None) -> list[str]:
    """Hash the files of a view; a ``.bin`` that is the very file of its dataset is hashed there."""
    paths = [(build_dir / f"{view.prefix}{suffix}") for suffix in SUFFIXES]
    promised = (view.xxh64.bin, view.xxh64.idx)
    broken = []
    for path, whole, hashed in zip(paths, (build_dir / f"{entry.prefix}.bin", None), promised, strict=True):
        if whole is not None and is_local(whole) and whole.is_file() and path.samefile(whole):
            if hashed != entry.xxh64.bin:
                broken.append(f"{path} is the file of its dataset, but {NAME} gives it another xxh64")
        elif told is not None and (found := hash_of(path, told)) != hashed:
            broken.append(f"{path} has the xxh64 {found}, but {NAME} says {hashed}")
        elif whole is not None and whole.is_file() and path.stat().st_size != whole.stat().st_size:
            broken.append(f"{path} has not the size of {whole}")
    return broken
