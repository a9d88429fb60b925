"""The third stage: surviving documents -> token ids and counts, one shard per split and language of a prepared file.

A task reads one prepared file and the fates that deduplication gave its documents. Survivors are encoded batch by
batch and part into the shards of their datasets, after repeated paragraphs are cut out of them (``cuts``), if any are;
documents that lost to a twin are set aside with the reason. ``join`` makes datasets of the shards.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.documents import Batch, read_parquet, set_column, text_bytes
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Receipt, Task
from mixer.errors import MixerError, TaskError
from mixer.megatron.indexed import token_dtype
from mixer.text.utf8 import Offsets
from mixer.tokenize.count import ADDITIONAL, MISMATCH, SCRIPTS, by_label, tokens_by_kind
from mixer.tokenize.cuts import CUTS, REASON, Cuts
from mixer.tokenize.encode import Encoder, Ids
from mixer.tokenize.shard import DocumentSink, Part, ShardWriter, gather
from mixer.tokenize.vocabulary import Vocabulary

PREPARED = "run/prepared/"
FATES = "run/fates/"
_START_OVER = "remove the folder run/ of the build and run the same command again"
WRITES = 5
"""Bytes written (roughly) for a byte of a prepared file, the documents again, and 4 bytes for every token. There is
a token in 3 to 4.5 bytes of text, and a prepared file is a third of its text."""
SPLITS = ("train", "valid")
"""What fates 0 and 1 mean; the dataset's folder."""
REASONS = ("dedup.exact", "dedup.minhash", "contamination", "dedup.against")
"""What fates 2, 3, ... mean: the reason."""
CONTAMINATED = len(SPLITS) + REASONS.index("contamination")


@dataclass(frozen=True)
class Tokenize:
    """The stage ``tokenize`` over all prepared files.

    Parameters
    ----------
    inputs
        The outputs of the stages before, by path: every ``run/prepared/<task>.parquet`` (a task each) and its
        ``run/fates/<task>.npz``, and ``run/cuts/<task>.npz`` if paragraphs are cut; other paths are ignored.
    vocabulary
        What to encode with.
    additional_language
        Whose tokens are counted apart.
    """

    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    vocabulary: Vocabulary
    additional_language: str
    name: str = "tokenize"

    @classmethod
    def after(cls, receipts: Iterable[Receipt], vocabulary: Vocabulary, additional_language: str) -> "Tokenize":
        """Make the stage from the receipts of ``prepare`` and ``dedup``."""
        outputs = (item for receipt in receipts for item in receipt.outputs.items())
        inputs = {path: file for path, file in outputs if path.startswith((PREPARED, FATES, CUTS))}
        return cls(inputs, vocabulary, additional_language)

    def tasks(self) -> Sequence[Task]:
        """Plan a task per prepared file, with the same id."""
        planned = []
        settings = [self.vocabulary.key, self.additional_language]
        for path in sorted(self.inputs):
            if path.startswith(PREPARED) and path.endswith(".parquet"):
                task = path.removeprefix(PREPARED).removesuffix(".parquet")
                prepared, fates = self.inputs[path], self.inputs[f"{FATES}{task}.npz"]
                cuts = self.inputs.get(f"{CUTS}{task}.npz")
                decides = [settings, cuts.xxh64] if cuts else [settings]
                key = key_of(self.name, prepared.xxh64, fates.xxh64, *decides)
                planned.append(Task(task, key, prepared.bytes, cuts is not None, WRITES * prepared.bytes))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Tokenize one prepared file.

        Returns
        -------
        ``documents`` and ``bytes`` that came in; ``set_aside``, documents by reason; ``counted_by``, ``script`` or
        ``label``; ``datasets``, for each split and language its shard, sorted: ``split``, ``source``, ``language`` and
        the fields of ``count.Counts`` with ``base``. Where paragraphs are cut also ``edits``, by name how many and in
        how many documents, and what ``bytes``.

        Raises
        ------
        TaskError
            The fates do not fit the prepared file.
        MixerError
            The encoder failed on a document.
        """
        source, number = task.id.rsplit("/", 1)
        fates = load_fates(outputs.fetch(f"{FATES}{task.id}.npz"))
        cuts = Cuts.load(outputs.fetch(f"{CUTS}{task.id}.npz")) if task.payload else None
        encoding = _Encoding(self.vocabulary, self.additional_language)
        documents = size = 0
        shards: dict[tuple[str, str], ShardWriter] = {}
        with ExitStack() as files:
            contaminated = DocumentSink(outputs, f"dropped/{source}/{number}.contaminated.parquet", files)
            too_short = DocumentSink(outputs, f"dropped/{source}/{number}.paragraphs.parquet", files)
            for batch in read_parquet(str(outputs.fetch(f"{PREPARED}{task.id}.parquet"))):
                first, documents = documents, documents + len(batch)
                fate = fates[first:documents]
                if documents > len(fates):
                    raise _misfit(task, documents, len(fates))
                size += (batch_bytes := text_bytes([batch]))
                survives = fate < len(SPLITS)
                contaminated.write(
                    _with_reason(_select(batch, fate == CONTAMINATED), REASONS[CONTAMINATED - len(SPLITS)])
                )
                if cuts:
                    short = cuts.too_short(first, len(batch))
                    too_short.write(_with_reason(_select(batch, short), REASON))
                    survives &= ~short
                    batch = cuts.make(batch, first)
                survivors = _select(batch, survives)
                for split, language, part in encoding.parts(survivors, fate[survives]):
                    if (split, language) not in shards:
                        shards[split, language] = ShardWriter(outputs, f"{split}/{source}-{language}/{number}", files)
                    shards[split, language].write(part)
                progress(documents=len(batch), size=batch_bytes, kept=len(survivors))
            if documents < len(fates):
                raise _misfit(task, documents, len(fates))
        set_aside = {reason: int((fates == k).sum()) for k, reason in enumerate(REASONS, len(SPLITS))}
        counts = {
            "documents": documents,
            "bytes": size,
            "set_aside": {**set_aside, REASON: len(cuts.short)} if cuts else set_aside,
            "counted_by": "label" if encoding.script is None else "script",
            "datasets": [
                {"split": split, "source": source, "language": language, **shards[split, language].counts.summary()}
                for split, language in sorted(shards)
            ],
        }
        return {**counts, "edits": {REASON: cuts.summary}} if cuts else counts


def load_fates(path: Path) -> NDArray[np.uint8]:
    """Read what became of a prepared file's documents: uint8[documents], indices into ``SPLITS``, then ``REASONS``."""
    with np.load(path) as file:
        fates = np.asarray(file["fate"], np.uint8)
    if len(fates) and fates.max() >= len(SPLITS) + len(REASONS):
        raise TaskError(f"{path} holds the unknown fate {fates.max()}", _START_OVER)
    return fates


class _Encoding:
    """What a task makes of a batch of survivors: the parts of its datasets, encoded and counted."""

    def __init__(self, vocabulary: Vocabulary, additional_language: str) -> None:
        self.script = SCRIPTS.get(additional_language)
        self._vocabulary = vocabulary
        self._additional_language = additional_language
        self._encoder = Encoder(vocabulary)
        self._dtype = token_dtype(vocabulary.vocab_size)

    def parts(self, batch: Batch, fate: NDArray[np.uint8]) -> Iterator[tuple[str, str, Part]]:
        """Encode a batch and yield it by split and language."""
        if not len(batch):
            return
        ids, offsets = self._encoder.encode(batch["text"], _where(batch, 0, len(batch) - 1))
        lengths = np.diff(offsets) + 1
        if lengths.max() > np.iinfo(np.int32).max:
            row = int(lengths.argmax())
            raise MixerError(
                f"{_where(batch, row, row)}: the document has {lengths[row]:,} tokens, more than Megatron's format "
                f"can hold",
                "cut it into several records",
            )
        by_kind = self._count(batch, ids, offsets)
        batch = set_column(batch, "tokens", pa.array(lengths, pa.int32()))
        languages = batch["language"].dictionary_encode()
        names = languages.dictionary.to_pylist()
        group = fate.astype(np.int64) * len(names) + languages.indices.to_numpy()
        for number in np.unique(group):
            where = group == number
            rows = np.flatnonzero(where)
            split, language = SPLITS[number // len(names)], names[number % len(names)]
            part = Part(
                documents=_select(batch, where),
                ids=gather(ids, offsets, rows, self._vocabulary.eod, self._dtype),
                lengths=lengths[rows],
                by_kind=by_kind[rows],
                is_additional=language == self._additional_language,
            )
            yield split, language, part

    def _count(self, batch: Batch, ids: Ids, offsets: Offsets) -> NDArray[np.int64]:
        if self.script is None:
            return by_label(len(batch))
        by_kind = tokens_by_kind(batch["text"], ids, offsets, self._vocabulary.token_bytes, self.script)
        astray = np.flatnonzero(by_kind[:, ADDITIONAL] == MISMATCH)
        if self._vocabulary.byte_exact and len(astray):
            raise MixerError(
                f"{_where(batch, astray[0], astray[0])}: the tokens of the document do not spell its text",
                "report this with the file: the tokenizer has lost or added text",
            )
        return by_kind


def _misfit(task: Task, documents: int, fates: int) -> TaskError:
    return TaskError(
        f"{task.id}: the prepared file and its fates do not fit ({documents} documents read, {fates} fates)",
        _START_OVER,
    )


def _select(batch: Batch, where: NDArray[np.bool_]) -> Batch:
    """Return the rows for which ``where`` is true, without a copy if that is all of them."""
    return batch if where.all() else batch.filter(pa.array(where))


def _with_reason(batch: Batch, reason: str) -> Batch:
    return set_column(batch, "reason", pa.array([reason] * len(batch), pa.string()))


def _where(batch: Batch, first: int, last: int) -> str:
    """Name the documents from row ``first`` to row ``last`` as a user finds them: file and record."""
    ends = [f"{batch['file'][row]}, record {batch['record'][row]}" for row in (first, last)]
    return ends[0] if first == last else f"{ends[0]} to {ends[1]}"
