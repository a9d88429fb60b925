"""Which documents a training step reads: for the loss spike at three in the morning.

Reads a finished build and what Megatron was handed of it: the blend's order is replayed up to the step
(``megatron.blend``), the order inside each dataset is made again (``megatron.order``), and document k of a dataset is
row k of its files in ``documents/``. Neither torch nor megatron-core is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixer import storage
from mixer.directory import documents_of
from mixer.documents import METADATA, read_rows
from mixer.errors import BrokenPromiseError, MixerError, UsageError
from mixer.manifest import NAME, Dataset, Manifest, Tokenizer, folder_of, read
from mixer.megatron.blend import SURPLUS, Replay, planned_samples, wanted_samples
from mixer.megatron.indexed import IndexFile, read_index
from mixer.megatron.order import SEED, Part, contents
from mixer.megatron.view import read_view
from mixer.mixture.checks import tail
from mixer.mixture.export import ARGS, parts_of, read_blend, read_flags
from mixer.mixture.export import Part as TrainingPart
from mixer.storage import Root
from mixer.tokenize.vocabulary import NAMES, Vocabulary, load_vocabulary

NO_DOCUMENTS = "this mixture has no documents of its own: name the build that it was mixed from with --documents"
Flags = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Document:
    """What ``documents/`` holds of a document: where its source had it, what was carried along, and the text."""

    file: str
    record: int
    metadata: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Piece:
    """What a sample reads of a document: the tokens of ``part``, of ``tokens`` in all.

    ``document`` is None where the build's ``documents/`` are not at hand. ``text`` is what the part spells; None where
    the vocabulary is not at hand or does not spell texts byte by byte.
    """

    part: Part
    tokens: int
    document: Document | None
    text: str | None


@dataclass(frozen=True)
class Sample:
    """One training sample: its ``number`` in the training, and of its dataset the sample ``drawn``, both from 0."""

    number: int
    dataset: Dataset
    drawn: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Located:
    """The samples of a step in their order; ``steps`` are all of the training, ``notes`` say what is not shown."""

    step: int
    steps: int
    global_batch: int
    seed: int
    samples: tuple[Sample, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Drawn:
    """A sample as the blend draws it: ``place`` is its dataset's in the blend."""

    number: int
    place: int
    drawn: int


def locate(
    directory: Root, step: int, sample: int | None = None, seed: int | None = None, documents: Root | None = None
) -> Located:
    """Find what a step of the training reads.

    Parameters
    ----------
    directory
        The build that Megatron trains on.
    step
        As Megatron numbers iterations in its log: the first is 1, and with global batches of B samples step n reads
        those from (n - 1) B on.
    sample
        Only this sample of the batch, from 0.
    seed
        Megatron's ``--seed``. Default: that of ``args.txt``, else Megatron's own.
    documents
        The build to look for ``documents/`` in, if ``directory`` is another mixture of its datasets.

    Raises
    ------
    UsageError
        There is no build, no such step or sample, or ``documents`` holds other datasets.
    BrokenPromiseError
        A file of the build is missing or is not what it should be.
    """
    manifest = read(directory)
    part, before = _part(manifest, step)
    flags = read_flags(directory, part.args)
    training = _Training.of(directory, part, flags)
    wanted = training.draw(step, before, sample)
    seed = int(flags.get("--seed", [str(SEED)])[0]) if seed is None else seed
    texts = documents_of(directory, manifest, documents)
    notes: tuple[str, ...] = () if texts else (NO_DOCUMENTS,)
    vocabulary = _vocabulary(manifest.tokenizer, flags)
    if vocabulary is None:
        notes += ("the vocabulary is not at hand as a byte-exact one: documents are shown from their beginning",)
    found: list[Sample] = []
    for place in sorted({each.place for each in wanted}):
        own = [each for each in wanted if each.place == place]
        dataset, documents_read = _dataset(directory, manifest, training.datasets[place])
        index = read_index(directory / dataset.prefix)
        lengths = index.lengths if documents_read is None else index.lengths[documents_read]
        parts = contents(lengths, training.wanted[place], training.sequence_length, seed, [each.drawn for each in own])
        if documents_read is not None:
            parts = [[replace(one, document=int(documents_read[one.document])) for one in held] for held in parts]
        rows = _rows(texts, manifest, dataset, {part.document for held in parts for part in held})
        for each, held in zip(own, parts, strict=True):
            pieces = [_piece(part, directory / dataset.prefix, index, rows, vocabulary) for part in held]
            found.append(Sample(each.number, dataset, each.drawn, tuple(pieces)))
    found.sort(key=lambda each: each.number)
    steps = manifest.samples // training.global_batch if manifest.phases else training.steps
    return Located(step, steps, training.global_batch, seed, tuple(found), notes)


def _part(manifest: Manifest, step: int) -> tuple[TrainingPart, int]:
    """Return the phase that reads a step, or all of the training where there are none, and the steps before it."""
    parts = parts_of(manifest)
    ended = [end for end in parts[0].transitions if end < step]
    return parts[len(ended)], ended[-1] if ended else 0


def _dataset(directory: Root, manifest: Manifest, entry: Dataset) -> tuple[Dataset, NDArray[np.int64] | None]:
    """Return the dataset of a prefix, and, if that is a view of it, the numbers of its documents there."""
    listed = {whole.prefix: whole for whole in manifest.datasets}
    if entry.prefix in listed:
        return entry, None
    of_view = {view.prefix: view.dataset for phase in manifest.phases for view in phase.views}
    whole = listed[of_view[entry.prefix]]
    places = read_view(directory / entry.prefix).places(IndexFile(directory / whole.prefix))
    return whole, np.concatenate(list(places))


@dataclass(frozen=True)
class _Training:
    """What Megatron was handed: ``args.txt`` and ``blend.json``, as it reads them.

    ``wanted`` are the samples that it asks of each dataset of the blend.
    """

    datasets: tuple[Dataset, ...]
    weights: tuple[float, ...]
    wanted: tuple[int, ...]
    samples: int
    sequence_length: int
    global_batch: int

    @classmethod
    def of(cls, directory: Root, read_part: TrainingPart, flags: Flags) -> "_Training":
        """Read the blend of a build, or of one of its phases, whose flags are ``flags``."""
        train = read_blend(directory, read_part.blend)["train"]
        listed = {entry.prefix: entry for entry in read_part.manifest.datasets}
        tails = [tail(prefix) for prefix in train.prefixes] if train else []
        if train is None or any(name not in listed for name in tails):
            raise BrokenPromiseError(
                f"{directory / read_part.blend} names datasets that {NAME} does not", "run the build command again"
            )
        samples = _number(directory, flags, "--train-samples")
        if read_part.transitions:  # the flag then tells the samples of all phases
            samples = read_part.manifest.samples
        weights = tuple(float(weight) for weight in train.weights)
        surplus = float(flags.get("--mid-level-dataset-surplus", [str(SURPLUS)])[0])
        planned = planned_samples(weights, samples).tolist()
        return cls(
            datasets=tuple(listed[name] for name in tails),
            weights=weights,
            # A single dataset is read without blending, and without a surplus.
            wanted=(samples,) if len(tails) == 1 else tuple(wanted_samples(count, surplus) for count in planned),
            samples=samples,
            sequence_length=_number(directory, flags, "--seq-length"),
            global_batch=_number(directory, flags, "--global-batch-size"),
        )

    @property
    def steps(self) -> int:
        """Whole global batches of the training."""
        return self.samples // self.global_batch

    def draw(self, step: int, before: int, sample: int | None) -> list[_Drawn]:
        """Return the samples of a step of the training, or one of them; ``before`` steps come before this part."""
        batch = self.global_batch
        if not before < step <= before + self.steps or step < 1:
            raise UsageError(
                f"there is no step {step:,}: the training has {before + self.steps:,}, of {batch:,} samples each",
                "count as Megatron's log does, from 1",
            )
        if sample is not None and not 0 <= sample < batch:
            raise UsageError(f"there is no sample {sample:,} in a batch of {batch:,}", f"give one of 0 to {batch - 1}")
        replay = Replay(self.weights)
        replay.advance((step - before - 1) * batch)
        counts = replay.counts.tolist()
        drawn = []
        for number, place in enumerate(replay.order(batch).tolist(), (step - 1) * batch):
            drawn.append(_Drawn(number, place, counts[place]))
            counts[place] += 1
        return drawn if sample is None else [drawn[sample]]


def _number(directory: Root, flags: Flags, flag: str) -> int:
    try:
        return int(flags[flag][0])
    except (KeyError, IndexError, ValueError) as error:
        raise BrokenPromiseError(f"{directory / ARGS} gives no {flag}", "add the one you train with") from error


def _vocabulary(tokenizer: Tokenizer, flags: Flags) -> Vocabulary | None:
    """Load the vocabulary of a build, if what its flags name still is that one and spells texts byte by byte."""
    name = tokenizer.name if tokenizer.name in NAMES else next(iter(flags.get("--tokenizer-model", ())), None)
    try:
        vocabulary = load_vocabulary(name) if name else None
    except MixerError:
        return None
    return vocabulary if vocabulary and vocabulary.byte_exact and vocabulary.sha256 == tokenizer.sha256 else None


def _rows(texts: Root | None, manifest: Manifest, dataset: Dataset, wanted: Iterable[int]) -> dict[int, Document]:
    """Read documents of a dataset by their numbers, from the row groups that hold them.

    The numbered parts of a dataset have one folder, in which their documents follow one another.
    """
    if texts is None:
        return {}
    folder = texts / "train" / folder_of(dataset)
    parts = [entry for entry in manifest.datasets if folder_of(entry) == folder_of(dataset)]
    found: dict[int, Document] = {}
    before = sum(entry.documents for entry in parts[: parts.index(dataset)])
    remaining, start = sorted(wanted), -before
    names = (name for name in storage.files(folder) if name.endswith(".parquet"))
    for path in (folder / name for name in sorted(names, key=lambda name: int(PurePosixPath(name).stem))):
        stop = start + pq.read_metadata(storage.seekable(path)).num_rows
        here = [number - start for number in remaining if start <= number < stop]
        found.update((start + row, _document(values)) for row, values in read_rows(path, here))
        start = stop
    if start + before != (expected := sum(entry.documents for entry in parts)):
        raise BrokenPromiseError(
            f"{folder} holds {start + before:,} documents, but the dataset {expected:,}", "run the build command again"
        )
    return found


def _document(row: Mapping[str, object]) -> Document:
    metadata = {name.removeprefix(METADATA): str(value) for name, value in row.items() if name.startswith(METADATA)}
    return Document(
        file=str(row["file"]),
        record=int(str(row["record"])),
        metadata={name: value for name, value in metadata.items() if value and row[METADATA + name] is not None},
        text=str(row["text"]),
    )


def _piece(
    part: Part, prefix: Root, index: IndexFile, rows: Mapping[int, Document], vocabulary: Vocabulary | None
) -> Piece:
    """Add to a part what is known of its document, and what it spells."""
    tokens, document = int(index.lengths[part.document]), rows.get(part.document)
    if document is None or vocabulary is None:
        return Piece(part, tokens, document, None)
    begin = int(index.ends(part.document, part.document + 1)[0]) - tokens
    size = index.dtype.itemsize
    read = storage.piece(prefix.with_name(prefix.name + ".bin"), begin * size, (begin + part.last) * size)
    ids = np.frombuffer(read, index.dtype)
    first = int(vocabulary.token_bytes[ids[: part.first]].sum())
    last = first + int(vocabulary.token_bytes[ids[part.first :]].sum())
    return Piece(part, tokens, document, document.text.encode()[first:last].decode(errors="replace"))
