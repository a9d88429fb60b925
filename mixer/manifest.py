"""``mixture.json``, typed: what a build holds and promises, and the one file that everything else is found from.

The last stage writes it; ``verify`` holds it against the files; training and later mixes read it. Format version 1
holds at least the fields below, and a reader passes over keys that it does not know. Prefixes are relative to the
file and ``/``-separated, so that a build can be moved.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import xxhash
from msgspec import Meta

from mixer.errors import BrokenPromiseError, UsageError
from mixer.storage import Root

NAME = "mixture.json"
FORMAT = 1

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Amount: TypeAlias = Annotated[int, Meta(gt=0)]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Basis: TypeAlias = Literal["label", "measured"]
Role: TypeAlias = Literal["additional", "base"]


class Tokenizer(msgspec.Struct, frozen=True, kw_only=True):
    """The vocabulary that tokens are counted in.

    ``eod`` is the id that ends every document; ``bos`` says whether one begins with the vocabulary's BOS. ``sha256``
    is that of the vocabulary's file.
    """

    name: str
    vocab_size: Amount
    eod: Count
    bos: bool
    sha256: str


class Almr(msgspec.Struct, frozen=True, kw_only=True):
    """The additional-language mixture ratio: asked for, and had by label and by the language of the text."""

    target: Share
    basis: Basis
    realised: Share
    measured: Share


class Hashes(msgspec.Struct, frozen=True, kw_only=True):
    """xxh64 (16 hex digits) of a prefix's two files."""

    bin: str
    idx: str


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """All training documents of one (source, language), or a numbered part of them: one Megatron prefix.

    ``additional_tokens`` and ``base_tokens`` hold their part of the neutral ones, rounded to whole tokens. ``weight``
    is the dataset's samples over all samples; ``epochs`` is how often training reads it, samples times sequence length
    over tokens. One without samples has weight 0 and stays out of ``blend.json``, but its files are there and hashed,
    so that another mix can draw from it.
    """

    prefix: str
    source: str
    language: str
    domain: str
    role: Role
    documents: Amount
    tokens: Amount
    additional_tokens: Count
    base_tokens: Count
    neutral_tokens: Count
    samples: Count
    weight: Share
    epochs: Annotated[float, Meta(ge=0.0)]
    max_epochs: Annotated[float, Meta(ge=0.0)]
    xxh64: Hashes

    @property
    def name(self) -> str:
        """What it is called: ``<source>-<language>``, or that and the number of the part, ``-03``."""
        return name_of(self.prefix)

    @property
    def additional_share(self) -> float:
        """The measured part of the dataset's tokens in the additional language."""
        return self.additional_tokens / self.tokens


class ValidDataset(msgspec.Struct, frozen=True, kw_only=True):
    """The validation documents of one (source, language)."""

    prefix: str
    source: str
    language: str
    documents: Amount
    tokens: Amount
    xxh64: Hashes


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of a dataset that one phase reads: a Megatron prefix whose ``.bin`` is that of the dataset.

    ``dataset`` is the prefix of the dataset. ``weight`` is the view's samples over those of the phase, ``epochs`` how
    often the phase reads the view, and ``reads`` how often one document of it at most.
    """

    prefix: str
    dataset: str
    documents: Amount
    tokens: Amount
    samples: Amount
    weight: Share
    epochs: Annotated[float, Meta(ge=0.0)]
    reads: Amount
    xxh64: Hashes


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the training with a blend of its own; ``views`` stand in the order of that blend.

    ``samples_max`` is the most samples that the phase may draw, all others being as they are.
    """

    samples: Amount
    samples_max: Amount
    tokens: Amount
    almr: Almr
    domains: dict[str, Share]
    views: tuple[View, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``mixture.json``. ``datasets`` stand in the order of Megatron's blend, which breaks ties by it.

    ``settings`` is what the mixture was solved from, as a recipe's ``mixture`` writes it, and ``shares`` the smallest
    and the largest share of each source (0 and 1 where none is set): with the counts of the datasets, all that makes it
    again.

    A training in phases has ``phases``, in their order, whose views lie below the content id ``views``; the samples,
    weights and epochs of ``datasets`` and the ALMR are then those of the whole training.
    """

    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)] = FORMAT
    recipe: str
    build: str
    tokenizer: Tokenizer
    sequence_length: Amount
    samples: Amount
    samples_max: Amount
    tokens: Amount
    almr: Almr
    datasets: tuple[Dataset, ...]
    valid: tuple[ValidDataset, ...]
    additional_language: str | None = None
    global_batch: int | None = None
    seed: int | None = None
    settings: dict[str, Any] | None = None
    shares: dict[str, tuple[Share, Share]] = {}
    views: str | None = None
    phases: tuple[Phase, ...] = ()

    def of_phase(self, number: int) -> "Manifest":
        """Return a phase, counted from 1, as the manifest of a training of its own.

        Its datasets are the views. Their ``max_epochs`` are the times that a document may be read; the tokens of a
        view by language, which nobody counted, are in the proportion of its dataset's.
        """
        phase = self.phases[number - 1]
        whole = {entry.prefix: entry for entry in self.datasets}
        datasets = []
        for view in phase.views:
            entry = whole[view.dataset]
            additional = round(entry.additional_share * view.tokens)
            datasets.append(
                msgspec.structs.replace(
                    entry,
                    prefix=view.prefix,
                    documents=view.documents,
                    tokens=view.tokens,
                    additional_tokens=additional,
                    base_tokens=view.tokens - additional,
                    neutral_tokens=entry.neutral_tokens * view.tokens // entry.tokens,
                    samples=view.samples,
                    weight=view.weight,
                    epochs=view.epochs,
                    max_epochs=float(view.reads),
                    xxh64=view.xxh64,
                )
            )
        return msgspec.structs.replace(
            self,
            samples=phase.samples,
            samples_max=phase.samples_max,
            tokens=phase.tokens,
            almr=phase.almr,
            datasets=tuple(datasets),
            settings=None if self.settings is None else {**self.settings, "domains": phase.domains},
            views=None,
            phases=(),
        )

    @property
    def parts(self) -> "list[Manifest]":
        """What training reads one after the other: the phases, or all of it at once."""
        return [self.of_phase(number) for number in range(1, len(self.phases) + 1)] or [self]

    @property
    def entries(self) -> "list[Dataset | ValidDataset]":
        """Everything that has files: the datasets, then the validation sets."""
        return [*self.datasets, *self.valid]

    @property
    def folders(self) -> set[str]:
        """What a build needs of ``megatron/``: datasets, views, files of phases, and Megatron's own index cache."""
        views = {self.views} if self.views is not None else set()
        return {self.build, "cache", *views, *(f"phase-{number}" for number in range(1, len(self.phases) + 1))}


class _Version(msgspec.Struct):
    format: int


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of ``mixture.json``: keys in the order of this module, floats as ``repr`` writes them."""
    text = json.dumps(msgspec.to_builtins(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def read(build_dir: Root) -> Manifest:
    """Read the ``mixture.json`` of a build.

    Raises
    ------
    UsageError
        There is no build in ``build_dir``.
    BrokenPromiseError
        The file is not JSON, is of another format version, or misses a field.
    """
    path = build_dir / NAME
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"there is no finished build in {build_dir}: {NAME} is missing",
            "name the directory that `mixer build` wrote, or run the same build command again to finish it",
        ) from error
    try:
        version = msgspec.json.decode(content, type=_Version).format
        if version != FORMAT:
            raise BrokenPromiseError(
                f"{path} has format version {version}; this mixer reads version {FORMAT}",
                "use the version of mixer that made the build",
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenPromiseError(f"{path} is damaged: {error}", "run the same build command again") from error


def content_id(files: Iterable[tuple[str, Hashes]]) -> str:
    """Name a set of dataset files by their contents: 32 hex digits, the directory they live in.

    Parameters
    ----------
    files
        Name below that directory, without suffix (``train/wanjuan-zh``), and the hashes; in any order.
    """
    lines = sorted(f"{name}\t{hashes.bin}\t{hashes.idx}\n" for name, hashes in files)
    return str(xxhash.xxh3_128_hexdigest("".join(lines).encode()))


def name_of(prefix: str) -> str:
    """Return the name of a dataset, the last part of its prefix."""
    return prefix.rsplit("/", 1)[-1]


def folder_of(entry: Dataset | ValidDataset) -> str:
    """Return the folder of ``documents/train`` or ``documents/valid`` that a dataset shares with its other parts."""
    return f"{entry.source}-{entry.language}"


def wholes(datasets: Iterable[Dataset]) -> list[Dataset]:
    """Put the numbered parts of a dataset together again, in the place of the first: as tables show it.

    Counts, samples and weights are sums; such a dataset has the prefix that it would have in one part, which is not
    there, and the hashes of the first.
    """
    found: dict[tuple[str, str], list[Dataset]] = {}
    for entry in datasets:
        found.setdefault((entry.source, entry.language), []).append(entry)
    return [parts[0] if len(parts) == 1 else _together(parts) for parts in found.values()]


def _together(parts: Sequence[Dataset]) -> Dataset:
    first, tokens = parts[0], sum(part.tokens for part in parts)
    sums = ("documents", "tokens", "additional_tokens", "base_tokens", "neutral_tokens", "samples")
    return msgspec.structs.replace(
        first,
        prefix=f"{first.prefix.removesuffix(first.name)}{folder_of(first)}",
        weight=min(1.0, math.fsum(part.weight for part in parts)),
        epochs=math.fsum(part.epochs * part.tokens for part in parts) / tokens,
        **{name: sum(getattr(part, name) for part in parts) for name in sums},
    )


def prefix_of(build: str, name: str) -> str:
    """Return where the dataset ``name`` (``train/wanjuan-zh``) of a build lies, relative to the build directory."""
    return f"megatron/{build}/{name}"
