"""Writes the views of a training in phases: for every phase, the documents that are its own, as Megatron prefixes.

Comes after solving (``phases.py``) and before the export. A view is an ``.idx`` of its own beside another name of its
dataset's ``.bin``, so it takes the disk of an index alone. Like datasets, views live below a content id: Megatron keeps
indices by the path of a prefix, so other views must never stand at the same path.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mixer import storage
from mixer.engine.outputs import Outputs, place
from mixer.manifest import Almr, Dataset, Hashes, Manifest, Phase, View, content_id, prefix_of
from mixer.megatron.indexed import IndexFile
from mixer.megatron.order import most_reads
from mixer.megatron.view import write_view
from mixer.mixture.deal import deal
from mixer.mixture.settings import MixtureSettings
from mixer.mixture.weights import Mixture
from mixer.storage import Root, is_local

_BUILDING = ".building-views"


@dataclass(frozen=True)
class _Written:
    """A view whose place is not known yet: the phase, its name (``phase-1/wanjuan-zh``), and what is in it."""

    name: str
    dataset: Dataset
    documents: int
    tokens: int
    samples: int
    hashes: Hashes


def write_views(root: Root, manifest: Manifest, mixture: Mixture, settings: MixtureSettings) -> tuple[Manifest, int]:
    """Write the views of all phases; nothing where the training has none.

    Parameters
    ----------
    root
        The build directory, which holds the datasets.
    manifest, mixture, settings
        What has been composed for it, without phases yet.

    Returns
    -------
    The manifest with its phases, and the bytes that had to be copied.

    Raises
    ------
    DiskError
        No space is left on the disk.
    """
    building = root / "megatron" / _BUILDING
    _clear(building)
    if not mixture.phases:
        return manifest, 0
    written: list[list[_Written]] = [[] for _ in mixture.phases]
    copied = 0
    for k, entry in enumerate(manifest.datasets):
        samples = [int(phase.n[k]) for phase in mixture.phases]
        if any(samples):
            found, more = _write(root, entry, samples, manifest.sequence_length)
            copied += more
            for f, view in found:
                written[f].append(view)
    identity = content_id((view.name, view.hashes) for views in written for view in views)
    if is_local(root):
        _finish(root / "megatron" / _BUILDING, root / prefix_of(identity, ""))
    else:
        copied += _finish_store(root, identity, [view for views in written for view in views])
    phases = tuple(
        _phase(identity, phase, views, manifest.sequence_length, part)
        for phase, views, part in zip(mixture.phases, written, settings.by_phase, strict=True)
    )
    return msgspec.structs.replace(manifest, views=identity, phases=phases), copied


def _write(root: Root, entry: Dataset, samples: Sequence[int], length: int) -> tuple[list[tuple[int, _Written]], int]:
    """Write the views of one dataset, and return each with its phase, and the bytes that had to be copied."""
    outputs = Outputs(root)
    whole = IndexFile(root / entry.prefix)
    dealt = deal(whole.lengths, samples, length)
    found, copied = [], 0
    for f, count in enumerate(samples):
        if not count:
            continue
        name = f"phase-{f + 1}/{entry.name}"
        path = f"megatron/{_BUILDING}/{name}.idx"
        with outputs.open(path) as file:
            index = write_view(file, whole, np.equal(dealt.phase, f))
        if is_local(root):
            copied += place(root / f"{entry.prefix}.bin", (root / path).with_suffix(".bin"), root)
        hashes = Hashes(bin=entry.xxh64.bin, idx=outputs.files[path].xxh64)
        found.append((f, _Written(name, entry, index.documents, index.tokens, count, hashes)))
    return found, copied


def _clear(building: Root) -> None:
    """Remove what an interrupted run left."""
    if is_local(building):
        shutil.rmtree(building, ignore_errors=True)
    else:
        storage.remove(building / name for name in storage.files(building))


def _finish_store(root: Root, identity: str, written: Sequence[_Written]) -> int:
    """Give the views their final place in an object store, which has no other names for a file: copies, by the store.

    Returns
    -------
    The bytes that were copied; what is there already is not copied again.
    """
    there = storage.files(root / prefix_of(identity, ""))
    building = root / "megatron" / _BUILDING
    copied = 0
    for view in written:
        target = prefix_of(identity, view.name)
        place(building / f"{view.name}.idx", root / f"{target}.idx", root)
        whole = root / f"{view.dataset.prefix}.bin"
        if there.get(f"{view.name}.bin") != whole.stat().st_size:
            copied += place(whole, root / f"{target}.bin", root)
    _clear(building)
    return copied


def _finish(building: Path, target: Path) -> None:
    """Give the views their final place; those that stand there already are put back, whatever became of them."""
    if not target.is_dir():
        building.rename(target)
        return
    for path in sorted(building.rglob("*")):
        place_of = target / path.relative_to(building)
        if path.is_dir():
            place_of.mkdir(exist_ok=True)
        else:
            path.replace(place_of)
    shutil.rmtree(building)


def _phase(identity: str, phase: Mixture, views: Sequence[_Written], length: int, settings: MixtureSettings) -> Phase:
    """Describe a phase."""
    counts = [view.samples for view in views]
    weights = [count / phase.samples for count in counts]
    reads = most_reads(weights, [view.tokens for view in views], length, counts)
    return Phase(
        samples=phase.samples,
        samples_max=phase.samples_max,
        tokens=phase.samples * length,
        almr=Almr(target=phase.target, basis=phase.basis, realised=phase.realised, measured=phase.measured),
        domains=settings.domains,
        views=tuple(
            View(
                prefix=prefix_of(identity, view.name),
                dataset=view.dataset.prefix,
                documents=view.documents,
                tokens=view.tokens,
                samples=view.samples,
                weight=weight,
                epochs=view.samples * length / view.tokens,
                reads=most,
                xxh64=view.hashes,
            )
            for view, weight, most in zip(views, weights, reads, strict=True)
        ),
    )
