"""The single promises of a build: each function looks at one thing and returns what is broken, naming the file.

``verify`` calls them all, so that a user sees everything that is wrong at once.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from mixer import storage
from mixer.errors import BrokenPromiseError
from mixer.manifest import NAME, Dataset, Manifest, Tokenizer, ValidDataset, content_id, name_of, prefix_of
from mixer.megatron.indexed import PIECE_BYTES, IndexFile, read_index, token_dtype
from mixer.mixture.export import Part, Weighted, blended, blended_datasets, data_flags, unlisted_parts
from mixer.mixture.foreign import foreign_flags
from mixer.mixture.inventory import MIN_SEQUENCES, most_samples
from mixer.mixture.settings import SHARES_TOLERANCE, decimal
from mixer.storage import Root

SUFFIXES: Final = (".bin", ".idx")
TOLERANCE: Final = 1e-9
"""How far ratios may be from what they are recomputed as: they are sums of rounded products."""


def check_manifest(path: Root, manifest: Manifest) -> list[str]:
    """Hold ``mixture.json`` against itself: sums, weights, epochs, caps, ALMR, content id."""
    broken = [*_check_names(manifest), *_check_sums(manifest), *check_almr(manifest)]
    broken += [] if manifest.phases else [*_check_longest(manifest), *check_shares(manifest)]
    for entry in manifest.datasets:
        broken += [f"{entry.prefix}: {what}" for what in check_dataset(manifest, entry)]
    return [f"{path} {what}" for what in broken]


def _check_names(manifest: Manifest) -> list[str]:
    broken = []
    files = []
    for split, entries in (("train", manifest.datasets), ("valid", manifest.valid)):
        for entry in entries:
            name = f"{split}/{name_of(entry.prefix)}"
            files.append((name, entry.xxh64))
            if entry.prefix != prefix_of(manifest.build, name):
                broken.append(f"lists {entry.prefix} for {split}, which is not of its build {manifest.build}")
    if len({name for name, _ in files}) < len(files):
        broken.append("lists a prefix twice")
    if content_id(files) != manifest.build:
        broken.append(f"names the build {manifest.build}, but the hashes it lists make {content_id(files)}")
    return broken


def _check_sums(manifest: Manifest) -> list[str]:
    broken = []
    total = sum(entry.samples for entry in manifest.datasets)
    if total != manifest.samples:
        broken.append(f"says {manifest.samples:,} samples, but its datasets have {total:,}")
    if manifest.tokens // manifest.sequence_length != manifest.samples:
        broken.append(f"says {manifest.tokens:,} tokens, which are not {manifest.samples:,} samples")
    return broken


def _check_longest(manifest: Manifest) -> list[str]:
    most = samples_max(manifest)
    if manifest.samples_max != most:
        return [f"says samples_max {manifest.samples_max:,}, but the caps allow {most:,}"]
    return []


def samples_max(manifest: Manifest) -> int:
    """Return the most samples that training may draw with these weights and break no cap.

    After n samples, c_p <= floor(w_p (n - 1)) + 1 (see ``megatron.blend``), so the largest n with w_p (n - 1) below
    every dataset's cap in samples.
    """
    length = manifest.sequence_length
    limits = [
        (most_samples(entry.tokens, entry.max_epochs, length) * manifest.samples - 1) // entry.samples + 1
        for entry in blended_datasets(manifest)
    ]
    return min(limits, default=0)


def check_almr(manifest: Manifest) -> list[str]:
    """Hold the ratio against samples and shares: to half a sample, in every phase where there are some."""
    broken = []
    almr, datasets = manifest.almr, manifest.datasets
    additional = sum(entry.samples for entry in datasets if entry.role == "additional")
    if almr.realised != additional / manifest.samples:
        broken.append(f"says the realised ALMR is {almr.realised}, but it is {additional / manifest.samples}")
    measured = math.fsum(entry.weight * entry.additional_share for entry in datasets)
    # Additional tokens are whole numbers here, so a share is good to half a token.
    rounding = math.fsum(entry.weight / (2 * entry.tokens) for entry in datasets if entry.tokens)
    if abs(almr.measured - measured) > TOLERANCE + rounding:
        broken.append(f"says the measured ALMR is {almr.measured}, but weights and shares give {measured}")
    rounded = max(1, len(manifest.phases))
    beside = Fraction(rounded, 2) + Fraction(TOLERANCE) * (manifest.samples if manifest.phases else 0)
    if almr.basis == "label" and abs(additional - decimal(almr.target) * manifest.samples) > beside:
        broken.append(f"has an ALMR of {additional / manifest.samples}, more than half a sample from {almr.target}")
    # Each dataset's samples are rounded to whole ones.
    within = rounded * len(blended_datasets(manifest)) / manifest.samples + TOLERANCE + rounding
    if almr.basis == "measured" and abs(measured - almr.target) > within:
        broken.append(f"has a measured ALMR of {measured}, not {almr.target}")
    return broken


class _Settings(msgspec.Struct):
    """What is looked at of a mixture's settings."""

    domains: dict[str, float] = {}


def check_shares(manifest: Manifest) -> list[str]:
    """Hold domains and sources to the shares that were asked for: to less than one sample."""
    try:
        domains = msgspec.convert(manifest.settings or {}, _Settings).domains
    except msgspec.ValidationError as error:
        return [f"has no settings of a mixture: {error}"]
    asked = [("domain", name, (share, share)) for name, share in domains.items()]
    asked += [("source", name, bounds) for name, bounds in manifest.shares.items()]
    total = manifest.samples
    broken = []
    for kind, name, (low, high) in asked:
        samples = sum(entry.samples for entry in manifest.datasets if getattr(entry, kind) == name)
        beside = 1 + SHARES_TOLERANCE * total
        if not decimal(low) * total - beside < samples < decimal(high) * total + beside:
            wanted = f"{low:g}" if low == high else f"between {low:g} and {high:g}"
            broken.append(f"gives the {kind} {name} a share of {samples / total}, not {wanted}")
    return broken


def check_dataset(manifest: Manifest, entry: Dataset) -> list[str]:
    """Hold a dataset against its own numbers: weight, tokens, size, epochs and cap."""
    broken = []
    length = manifest.sequence_length
    if entry.weight != entry.samples / manifest.samples:
        broken.append(f"the weight {entry.weight!r} is not its {entry.samples:,} samples of {manifest.samples:,}")
    if max(entry.additional_tokens, entry.base_tokens, entry.neutral_tokens) > entry.tokens:
        broken.append("more tokens of one kind than tokens")
    if not entry.samples:
        return broken
    if entry.tokens < MIN_SEQUENCES * length:
        broken.append(f"{entry.tokens:,} tokens are less than {MIN_SEQUENCES} sequences")
    if not math.isclose(entry.epochs, entry.samples * length / max(entry.tokens, 1), rel_tol=TOLERANCE):
        broken.append(f"{entry.epochs} epochs are not its {entry.samples:,} samples of {entry.tokens:,} tokens")
    if entry.samples > most_samples(entry.tokens, entry.max_epochs, length, max(1, len(manifest.phases))):
        broken.append(f"{entry.samples:,} samples are more than {entry.max_epochs} epochs")
    return broken


def check_blend(path: Root, blend: dict[str, Weighted | None], manifest: Manifest, root: Root) -> list[str]:
    """Hold ``blend.json`` against ``mixture.json``: the same prefixes, weights and order, below ``root``."""
    broken = []
    for split, entries in blended(manifest).items():
        found = blend[split]
        if found is None:
            if entries:
                broken.append(f"has no {split} split, but {NAME} lists one")
            continue
        weights = dict(zip(found.prefixes, map(float, found.weights), strict=True))
        expected = {str(root / prefix): weight for weight, prefix in entries}
        elsewhere = {prefix for prefix in weights if prefix not in expected and tail(prefix) in dict(_swap(entries))}
        if elsewhere and len(elsewhere) == len(weights):
            broken.append(f"points to {min(elsewhere)}, but the build stands in {root}: run `mixer relocate`")
            continue
        broken += [f"lacks {prefix}, which {NAME} lists" for prefix in expected if prefix not in weights]
        broken += [f"names {prefix}, which {NAME} does not list" for prefix in weights if prefix not in expected]
        broken += [
            f"gives {prefix} the weight {weights[prefix]!r}, but {NAME} says {weight!r}"
            for prefix, weight in expected.items()
            if weights.get(prefix, weight) != weight
        ]
        if weights.keys() == expected.keys() and list(weights) != list(expected):
            broken.append(f"has another order than {NAME}")
    if blend["test"] is not None:
        broken.append("has a test split, which no build makes")
    return [f"{path} {what}" for what in broken]


def _swap(entries: list[tuple[float, str]]) -> list[tuple[str, float]]:
    return [(prefix, weight) for weight, prefix in entries]


def tail(prefix: str) -> str:
    """Return the part of an absolute prefix that ``mixture.json`` holds."""
    return "/".join(PurePosixPath(prefix).parts[-4:])


def check_flags(path: Root, found: dict[str, list[str]], part: Part, root: Root) -> list[str]:
    """Hold ``args.txt`` against ``mixture.json``; the choice of tokenizer is the trainer's."""
    flags = data_flags(part, root)
    broken = foreign_flags(found, [flag for flag, *_ in flags])
    for flag, *expected in flags:
        values = found.get(flag)
        if values is None:
            broken.append(f"lacks {flag}")
        elif values != expected:
            broken.append(f"says {flag} {' '.join(values)}, not {' '.join(expected)}")
    if "--tokenizer-type" not in found:
        broken.append("lacks --tokenizer-type")
    return [f"{path} {what}" for what in broken]


def check_unlisted(build_dir: Root, manifest: Manifest) -> list[str]:
    """Look for files in the build's own folders that ``mixture.json`` does not list."""
    listed = {f"{entry.prefix}{suffix}" for entry in manifest.entries for suffix in SUFFIXES}
    listed |= {f"{view.prefix}{suffix}" for phase in manifest.phases for view in phase.views for suffix in SUFFIXES}
    folders = [name for name in (manifest.build, manifest.views) if name is not None]
    there = [name for folder in folders for name in dataset_files(build_dir, f"megatron/{folder}")]
    unlisted = [build_dir / name for name in there if name not in listed]
    return [f"{path} is not listed in {NAME}" for path in [*unlisted, *unlisted_parts(build_dir, manifest)]]


def dataset_files(build_dir: Root, folder: str) -> list[str]:
    """List the ``.bin`` and ``.idx`` files below a folder of a build, relative to the build, sorted."""
    return sorted(f"{folder}/{name}" for name in storage.files(build_dir / folder) if name.endswith(SUFFIXES))


def check_files(
    build_dir: Root,
    entry: Dataset | ValidDataset,
    tokenizer: Tokenizer,
    told: Callable[[int], None] | None,
) -> list[str]:
    """Hold a prefix's two files against ``mixture.json``.

    Parameters
    ----------
    build_dir, entry, tokenizer
        The prefix and the vocabulary of its ids.
    told
        Called with the number of bytes read, again and again; what it raises ends the check. None: read the ``.idx``
        only and hash nothing.
    """
    prefix = build_dir / entry.prefix
    index: IndexFile | None = None
    paths = [prefix.with_name(prefix.name + suffix) for suffix in SUFFIXES]
    broken = [f"{path} is missing" for path in paths if not path.is_file()]
    if broken:
        return broken
    try:
        index = read_index(prefix)
    except BrokenPromiseError as error:
        broken.append(error.message)
    else:
        broken += _check_index(prefix.with_name(prefix.name + ".idx"), index, entry, tokenizer)
    if told is not None:
        try:
            broken += _check_hashes(prefix, entry, None if broken else index, tokenizer, told)
        except OSError as error:
            broken.append(f"{error.filename or prefix} cannot be read: {error.strerror or error}")
    return broken


def _check_index(path: Root, index: IndexFile, entry: Dataset | ValidDataset, tokenizer: Tokenizer) -> list[str]:
    broken = []
    if (index.documents, index.tokens) != (entry.documents, entry.tokens):
        broken.append(
            f"{path} has {index.documents:,} documents of {index.tokens:,} tokens, "
            f"but {NAME} says {entry.documents:,} of {entry.tokens:,}"
        )
    if index.dtype != token_dtype(tokenizer.vocab_size):
        broken.append(f"{path} has ids of type {index.dtype}, not that of {tokenizer.vocab_size:,} tokens")
    return broken


def _check_hashes(
    prefix: Root,
    entry: Dataset | ValidDataset,
    index: IndexFile | None,
    tokenizer: Tokenizer,
    told: Callable[[int], None],
) -> list[str]:
    broken = []
    walk = _Walk(index, tokenizer) if index else None
    for suffix, promised in ((".idx", entry.xxh64.idx), (".bin", entry.xxh64.bin)):
        path = prefix.with_name(prefix.name + suffix)
        found = hash_of(path, told, walk.step if walk and suffix == ".bin" else None)
        if found != promised:
            broken.append(f"{path} has the xxh64 {found}, but {NAME} says {promised}")
        elif walk and suffix == ".bin":
            broken += [f"{path} {what}" for what in walk.finish()]
    return broken


def hash_of(path: Root, told: Callable[[int], None], seen: Callable[[memoryview], None] | None = None) -> str:
    """Return the xxh64 of a file, showing it piece by piece to ``seen``."""
    digest = xxhash.xxh64()
    buffer = bytearray(PIECE_BYTES)
    with storage.stream(path) as file:
        while size := storage.fill(file, buffer):
            piece = memoryview(buffer)[:size]
            digest.update(piece)
            if seen is not None:
                seen(piece)
            told(size)
    return str(digest.hexdigest())


class _Walk:
    """Goes over the ids of a ``.bin``: each is one of the vocabulary, and EOD ends every document and is nowhere else.

    The size of the file is known to be a whole number of ids, and every piece but the last is full.
    """

    def __init__(self, index: IndexFile, tokenizer: Tokenizer) -> None:
        self._index, self._tokenizer = index, tokenizer
        self._tokens = self._documents = 0
        self._outside = self._misplaced = -1

    def step(self, piece: memoryview) -> None:
        """Look at the next piece."""
        ids: NDArray[Any] = np.frombuffer(piece, self._index.dtype)
        if self._outside < 0 and len(ids) and (int(ids.max()) >= self._tokenizer.vocab_size or int(ids.min()) < 0):
            self._outside = self._tokens + int(np.argmax((ids >= self._tokenizer.vocab_size) | (ids < 0)))
        ends = np.flatnonzero(ids == self._tokenizer.eod) + (self._tokens + 1)
        expected = self._index.ends(self._documents, self._documents + len(ends))
        if self._misplaced < 0 and not np.array_equal(ends, expected):
            same = ends[: len(expected)] == expected
            self._misplaced = self._documents + (len(expected) if same.all() else int(np.argmin(same)))
        self._tokens += len(ids)
        self._documents += len(ends)

    def finish(self) -> list[str]:
        """Return what was wrong."""
        broken = []
        if self._outside >= 0:
            broken.append(f"has an id outside the vocabulary: token {self._outside:,}")
        if self._misplaced < 0 and self._documents < self._index.documents:
            self._misplaced = self._documents
        if self._misplaced >= 0:
            broken.append(f"does not end document {self._misplaced:,} with EOD {self._tokenizer.eod}, or has it inside")
        return broken


def leftovers(build_dir: Root, manifest: Manifest) -> list[str]:
    """Name the folders of earlier builds that still hold dataset files; ``mixer clean`` removes them."""
    there = {"/".join(name.split("/")[:2]) for name in dataset_files(build_dir, "megatron") if name.count("/") > 1}
    return sorted(there - {f"megatron/{name}" for name in manifest.folders})
