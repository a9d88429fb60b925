"""A build as training sees it: checked against its ``mixture.json`` before the first step, and watched at every step.

Training must read what was promised: the datasets of ``megatron/blend.json`` with the weights of ``mixture.json``,
whole files, the vocabulary of the model, no more samples than the caps on epochs allow. ``Tally`` then counts the
samples that were really drawn and holds them against the bound that Megatron's rule keeps (``mixer.megatron.blend``).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import Dataset, Hashes, Manifest, ValidDataset, read
from mixer.megatron.blend import SURPLUS, group_bounds, needed_surplus
from mixer.megatron.indexed import read_index
from mixer.train.presets import ModelShape

BLEND = "megatron/blend.json"
CACHE = "megatron/cache"
_PIECE = 16 << 20


@dataclass(frozen=True)
class Mixture:
    """A checked build: ``datasets`` and ``valid`` in the order of the blend, with their absolute prefixes."""

    build_dir: Path
    manifest: Manifest
    datasets: tuple[Dataset, ...]
    prefixes: tuple[str, ...]
    valid: tuple[ValidDataset, ...]
    valid_prefixes: tuple[str, ...]

    @property
    def cache(self) -> Path:
        """Where Megatron keeps its indices of the build."""
        return self.build_dir.resolve() / CACHE

    @property
    def weights(self) -> list[float]:
        """The weights of the blend."""
        return [entry.weight for entry in self.datasets]

    def surplus(self, samples: int) -> float:
        """Return Megatron's ``mid_level_dataset_surplus`` for a training of so many samples."""
        tokens = [entry.tokens for entry in self.datasets]
        return needed_surplus(self.weights, tokens, self.manifest.sequence_length, samples) or SURPLUS

    def record(self) -> dict[str, Any]:
        """Return what a checkpoint remembers of the mixture: resuming with another one is refused."""
        return {
            "build": self.manifest.build,
            "tokenizer": self.manifest.tokenizer.sha256,
            "tokenizer_name": self.manifest.tokenizer.name,
            "sequence_length": self.manifest.sequence_length,
            "weights": {_name(entry.prefix): repr(entry.weight) for entry in self.datasets},
        }


def load_mixture(build_dir: Path, shape: ModelShape, *, sequence_length: int | None, rehash: bool) -> Mixture:
    """Read a build and check that it is what its ``mixture.json`` says, and fits the model.

    Sizes and indices of all files are checked, the indices by their hashes; each ``.bin`` only if ``rehash`` says so,
    because that reads every token (``mixer verify`` does the same, and replays the run).

    Raises
    ------
    UsageError
        There is no build, or it is made for phases.
    BrokenPromiseError
        A file, a weight, the vocabulary or the sequence length is not what was promised.
    """
    manifest = read(build_dir)
    if manifest.phases:
        raise UsageError(
            f"{build_dir} is made for a training in {len(manifest.phases)} phases, which `mixer train` does not chain",
            "train with Megatron and the flags in megatron/phase-1/args.txt and those after it, or make one mixture of "
            "it: `mixer mix DIRECTORY --no-phases --tokens TOKENS --out OTHER`",
        )
    _check_shape(manifest, shape, sequence_length)
    blend = _read_blend(build_dir)
    drawn = tuple(entry for entry in manifest.datasets if entry.samples)
    datasets = {entry.prefix: entry for entry in drawn}
    weights, prefixes = _split(build_dir, blend.get("train"))
    if [_tail(prefix) for prefix in prefixes] != list(datasets):
        raise _broken(build_dir, "its training datasets are not those of mixture.json, in that order")
    if weights != [entry.weight for entry in drawn]:
        differ = [p for p, w, entry in zip(prefixes, weights, drawn, strict=True) if w != entry.weight]
        raise _broken(build_dir, f"other weights than in mixture.json, first for {differ[0]}")
    valid = {entry.prefix: entry for entry in manifest.valid}
    _, valid_prefixes = _split(build_dir, blend.get("valid"))
    if any(_tail(prefix) not in valid for prefix in valid_prefixes):
        raise _broken(build_dir, "a validation set that mixture.json does not list")
    used = tuple(valid[_tail(prefix)] for prefix in valid_prefixes)
    entries: list[Dataset | ValidDataset] = [*drawn, *used]
    for prefix, entry in zip([*prefixes, *valid_prefixes], entries, strict=True):
        _check_files(Path(prefix), entry, rehash=rehash)
    return Mixture(build_dir, manifest, drawn, tuple(prefixes), used, tuple(valid_prefixes))


def check_length(manifest: Manifest, steps: int, global_batch: int) -> None:
    """Check that a run of so many steps keeps every cap on epochs.

    Raises
    ------
    BrokenPromiseError
        It would not.
    """
    samples, most = steps * global_batch, manifest.samples_max // global_batch
    if samples > manifest.samples_max:
        raise BrokenPromiseError(
            f"the run needs {samples:,} samples, but the caps on epochs hold only up to {manifest.samples_max:,}",
            f"train --steps {most} or fewer at --global-batch {global_batch}; or mix more: raise max_epochs or add "
            "text to the recipe, then `mixer build` or `mixer mix --tokens`",
        )


def _check_shape(manifest: Manifest, shape: ModelShape, sequence_length: int | None) -> None:
    length = manifest.sequence_length
    if sequence_length is not None and sequence_length != length:
        raise BrokenPromiseError(
            f"the mixture was made for sequences of {length:,} tokens, not {sequence_length:,}: "
            "its weights and epochs hold for that length only",
            f"leave --sequence-length out, or `mixer mix DIRECTORY --sequence-length {sequence_length}` first",
        )
    if length > shape.context:
        raise BrokenPromiseError(
            f"the mixture has sequences of {length:,} tokens, but the model reads at most {shape.context:,}",
            f"`mixer mix DIRECTORY --sequence-length {shape.context}` first",
        )
    found, expected = (manifest.tokenizer.vocab_size, manifest.tokenizer.eod), (shape.vocab_size, shape.eod)
    for number, wanted, what in zip(found, expected, ("ids", "for the end of a document"), strict=True):
        if wanted is not None and number != wanted:
            raise BrokenPromiseError(
                f"the tokenizer of the build, {manifest.tokenizer.name}, differs from the model's: it has {number:,} "
                f"{what}, the model {wanted:,}",
                "build the mixture with the model's tokenizer (`mixer build --tokenizer`), or train another model",
            )


def _read_blend(build_dir: Path) -> dict[str, Any]:
    path = build_dir / BLEND
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BrokenPromiseError(f"{path} cannot be read: {error}", "run the same build command again") from error
    return content if isinstance(content, dict) else {}


def _split(build_dir: Path, entries: Any) -> tuple[list[float], list[str]]:
    """Take a flat list of weight and prefix apart."""
    entries = entries or []
    try:
        return [float(weight) for weight in entries[::2]], [str(prefix) for prefix in entries[1::2]]
    except (TypeError, ValueError) as error:
        raise _broken(build_dir, f"a weight that is no number: {error}") from error


def _check_files(prefix: Path, entry: Dataset | ValidDataset, *, rehash: bool) -> None:
    index = read_index(prefix)
    if (index.documents, index.tokens) != (entry.documents, entry.tokens):
        raise BrokenPromiseError(
            f"{prefix}.idx counts {index.documents:,} documents and {index.tokens:,} tokens, mixture.json "
            f"{entry.documents:,} and {entry.tokens:,}",
            "run the same build command again",
        )
    for suffix in ("idx", "bin") if rehash else ("idx",):
        _check_hash(prefix.with_name(f"{prefix.name}.{suffix}"), entry.xxh64, suffix)


def _check_hash(path: Path, hashes: Hashes, suffix: str) -> None:
    digest = xxhash.xxh64()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != getattr(hashes, suffix):
        raise BrokenPromiseError(
            f"{path} is not the file that mixture.json describes: its hash differs",
            "`mixer verify` lists all that is broken; run the same build command again",
        )


def _broken(build_dir: Path, what: str) -> BrokenPromiseError:
    return BrokenPromiseError(
        f"{build_dir / BLEND} holds {what}",
        "build again with the same command (only the mixture is made anew); after a move run `mixer relocate`",
    )


def _tail(prefix: str) -> str:
    """Return the part of an absolute prefix that mixture.json names."""
    return "/".join(Path(prefix).parts[-4:])


def _name(prefix: str) -> str:
    """Return a dataset's name, ``<source>-<language>`` and its part if it has several."""
    return prefix.rsplit("/", 1)[1]


def names_of(entries: "Sequence[Dataset | ValidDataset]") -> list[str]:
    """Return the names of datasets, as the log shows them."""
    return [_name(entry.prefix) for entry in entries]


class Tally:
    """The samples drawn so far from each dataset, held against the share that was promised.

    Parameters
    ----------
    mixture
        What is trained on.
    """

    def __init__(self, mixture: Mixture) -> None:
        group = np.array([entry.role == "additional" for entry in mixture.datasets])
        weights = np.array(mixture.weights)
        self.drawn: NDArray[np.int64] = np.zeros(len(group), np.int64)
        self._group = group
        self._share = float(weights[group].sum() / weights.sum())
        self._bounds = group_bounds(group)

    @property
    def almr(self) -> float:
        """The realised ALMR of everything drawn so far."""
        return float(self.drawn[self._group].sum() / self.drawn.sum())

    def add(self, drawn: NDArray[np.int64]) -> None:
        """Add the samples of a step: int64[K].

        Raises
        ------
        BrokenPromiseError
            The additional language has left the bound that Megatron's rule keeps.
        """
        self.drawn = self.drawn + drawn
        distance = float(self.drawn[self._group].sum()) - self._share * float(self.drawn.sum())
        low, high = self._bounds
        if not low - 1e-6 <= distance <= high + 1e-6:
            raise BrokenPromiseError(
                f"after {self.drawn.sum():,} samples training has read {distance:+.1f} samples of the additional "
                f"language beside its share; Megatron's rule stays between {low} and {high}",
                "remove megatron/cache in the build, which may hold indices of another mixture, and train again",
            )
