"""The four stages of decontamination, between ``prepare`` and ``dedup``.

- ``benchmarks`` (one task, before anything else is read) makes the index of all benchmarks;
- ``scan`` (a task per prepared file) finds the index's n-grams in documents;
- ``common`` (one task) counts over all files in how many documents each n-gram occurs, and sets common ones aside;
- ``decontaminate`` (a task per prepared file) computes coverage, marks documents and writes down what was found.

The scan reads prepared files once more, and so neither reading nor filters are done again for another benchmark;
coverage and thresholds can be changed without a scan. Hits of a task are some bytes for each n-gram in a document.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixer.contamination.coverage import Found, common_grams, cover, decide, reachable, unreachable
from mixer.contamination.findings import FINDINGS, FindingsSink
from mixer.contamination.index import Index, IndexBuilder, load, load_lookup
from mixer.contamination.passages import Document
from mixer.contamination.records import BenchmarkFiles, read_items
from mixer.contamination.settings import DecontaminateSettings
from mixer.contamination.units import Numbers, find
from mixer.dedup.corpus import CONTAMINATION
from mixer.documents import read_parquet, read_rows, text_bytes
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Receipt, Task
from mixer.errors import RecipeError
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers

INDEX = "run/benchmarks/index.npz"
ITEMS = "run/benchmarks/items.parquet"
"""Name and text of each item, as the index counts them."""
HITS = "run/hits/{}.npz"
"""``row`` and ``gram``, int32[hits]: which document of a prepared file holds which n-gram; each pair once, in order."""
COMMON = "run/benchmarks/common.npz"
"""``common``, the n-grams that prove nothing, and ``possible``, what is left of each item."""
_PREPARED = "run/prepared/{}.parquet"
_WRITES = 0.01
"""Bytes of hits and findings for a byte of a prepared file, roughly."""


@dataclass(frozen=True)
class Benchmarks:
    """The stage ``benchmarks``: one task, ``all``.

    Parameters
    ----------
    files
        Each benchmark with its files.
    settings
        Lengths of n-grams and items.
    """

    files: BenchmarkFiles
    settings: DecontaminateSettings
    name: str = "benchmarks"

    def tasks(self) -> Sequence[Task]:
        """Plan the one task."""
        shape = self.settings.model_dump(include={"ngram", "ngram_characters", "shortest", "shortest_characters"})
        identity = [
            [benchmark.model_dump(exclude={"paths"}), [file.identity() for file in files]]
            for benchmark, files in self.files
        ]
        return [
            Task("all", key_of(self.name, identity, shape), sum(file.size for _, own in self.files for file in own))
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Read all benchmarks and write their index.

        Returns
        -------
        For each benchmark the fields of ``index.Counted``.

        Raises
        ------
        InputError, RecipeError
            A file cannot be read, has not the fields named, or a benchmark holds nothing that could be looked for.
        """
        builder = IndexBuilder(self.settings)
        for benchmark, files in self.files:
            builder.add(read_items(benchmark, files))
            if not builder.counted[-1].items:
                raise RecipeError(
                    f"benchmark {benchmark.name!r} has nothing to look for: of {builder.counted[-1].texts:,} texts "
                    f"{builder.counted[-1].empty:,} are empty and {builder.counted[-1].short:,} too short",
                    "name other `fields`, or lower decontaminate.shortest",
                )
            progress(documents=builder.counted[-1].texts, kept=builder.counted[-1].items)
        with outputs.open(INDEX) as file:
            builder.index().save(file)
        with outputs.open(ITEMS) as file:
            columns = {
                "name": pa.array([item.name for item in builder.kept], pa.string()),
                "text": pa.array([item.text for item in builder.kept], pa.large_string()),
            }
            pq.write_table(pa.table(columns), file, compression="zstd")
        names = [benchmark.name for benchmark, _ in self.files]
        return {name: vars(counts) for name, counts in zip(names, builder.counted, strict=True)}


@dataclass(frozen=True)
class Scan:
    """The stage ``scan``: a task per prepared file, with the same id.

    Parameters
    ----------
    prepared
        The prepared file of each task of ``prepare``.
    index
        What ``benchmarks`` wrote.
    """

    prepared: Mapping[str, OutputFile] = field(metadata=PLANNING)
    index: OutputFile
    name: str = "scan"

    @classmethod
    def after(cls, prepared: Iterable[Receipt], indexed: Iterable[Receipt]) -> "Scan":
        """Make the stage from the receipts of ``prepare`` and ``benchmarks``."""
        return cls(_prepared(prepared), _output(indexed, INDEX))

    def tasks(self) -> Sequence[Task]:
        """Plan a task per prepared file."""
        return [
            Task(task, key_of(self.name, file.xxh64, self.index.xxh64), file.bytes, writes=int(_WRITES * file.bytes))
            for task, file in self.prepared.items()
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Scan one prepared file.

        Returns
        -------
        ``documents`` of the file, and ``hits``: pairs of document and n-gram.
        """
        lookup = load_lookup(outputs.fetch(INDEX))
        grams = len(lookup.hashes)
        pairs = [np.empty(0, np.int64)]
        documents = 0
        for batch in read_parquet(str(outputs.fetch(_PREPARED.format(task.id))), ["text"]):
            row, gram = find(*normalise(*buffers(batch["text"])), lookup)
            pairs.append(np.unique((documents + row.astype(np.int64)) * grams + gram))
            documents += len(batch)
            progress(documents=len(batch), size=text_bytes([batch]))
        found = np.concatenate(pairs)
        with outputs.open(HITS.format(task.id)) as file:
            np.savez_compressed(
                file, row=(found // max(1, grams)).astype(np.int32), gram=(found % max(1, grams)).astype(np.int32)
            )
        return {"documents": documents, "hits": len(found)}


@dataclass(frozen=True)
class Common:
    """The stage ``common``: one task, ``all``.

    Parameters
    ----------
    hits
        What ``scan`` wrote, by task.
    documents
        How many there are in all.
    index
        What ``benchmarks`` wrote.
    settings
        When an n-gram is common.
    """

    hits: Mapping[str, OutputFile]
    documents: int
    index: OutputFile
    benchmarks: tuple[str, ...]
    settings: DecontaminateSettings
    name: str = "common"

    @classmethod
    def after(cls, scanned: Sequence[Receipt], indexed: Iterable[Receipt], settings: DecontaminateSettings) -> "Common":
        """Make the stage from the receipts of ``scan`` and ``benchmarks``."""
        return cls(
            {receipt.task: receipt.outputs[HITS.format(receipt.task)] for receipt in scanned},
            sum(receipt.counts["documents"] for receipt in scanned),
            _output(indexed, INDEX),
            tuple(benchmark.name for benchmark in settings.benchmarks),
            settings,
        )

    def tasks(self) -> Sequence[Task]:
        """Plan the one task."""
        hits = [[task, file.xxh64] for task, file in self.hits.items()]
        least = [self.settings.common_documents, self.settings.common_share, self.settings.coverage]
        key = key_of(self.name, hits, self.documents, self.index.xxh64, least, self.benchmarks)
        return [Task("all", key, sum(file.bytes for file in self.hits.values()))]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Count the documents of each n-gram, and set the common ones aside.

        Returns
        -------
        ``grams``, how many there are; ``common``, how many of them are common; ``lost``, for each benchmark the items
        of which too little is left to find them.
        """
        index = load(outputs.fetch(INDEX))
        documents = np.zeros(len(index.hashes), np.int64)
        for name in self.hits:
            documents += np.bincount(_load_hits(outputs, name)[1], minlength=len(documents))
            progress()
        common = common_grams(documents, self.documents, self.settings.common_documents, self.settings.common_share)
        possible = reachable(index, common)
        with outputs.open(COMMON) as file:
            np.savez(file, common=common, possible=possible)
        lost = unreachable(index, possible, self.settings.coverage) & ~index.controls
        counts = np.bincount(index.benchmark[lost], minlength=len(self.benchmarks)).tolist()
        return {
            "grams": len(documents),
            "common": len(common),
            "lost": dict(zip(self.benchmarks, counts, strict=True)),
        }


@dataclass(frozen=True)
class Decontaminate:
    """The stage ``decontaminate``: a task per prepared file, with the same id.

    Parameters
    ----------
    prepared, hits
        What ``prepare`` and ``scan`` wrote, by task.
    index, items, common
        What ``benchmarks`` and ``common`` wrote.
    settings
        How much of an item must be covered.
    """

    prepared: Mapping[str, OutputFile] = field(metadata=PLANNING)
    hits: Mapping[str, OutputFile] = field(metadata=PLANNING)
    index: OutputFile
    items: OutputFile
    common: OutputFile
    settings: DecontaminateSettings
    name: str = "decontaminate"

    @classmethod
    def after(
        cls,
        prepared: Iterable[Receipt],
        indexed: Sequence[Receipt],
        scanned: Iterable[Receipt],
        common: Iterable[Receipt],
        settings: DecontaminateSettings,
    ) -> "Decontaminate":
        """Make the stage from the receipts of the stages before."""
        return cls(
            _prepared(prepared),
            {receipt.task: receipt.outputs[HITS.format(receipt.task)] for receipt in scanned},
            _output(indexed, INDEX),
            _output(indexed, ITEMS),
            _output(common, COMMON),
            settings,
        )

    def tasks(self) -> Sequence[Task]:
        """Plan a task per prepared file."""
        names = [benchmark.name for benchmark in self.settings.benchmarks]
        made = [self.index.xxh64, self.items.xxh64, self.common.xxh64, self.settings.coverage, names]
        return [
            Task(
                task,
                key_of(self.name, file.xxh64, self.hits[task].xxh64, made, self._keeps(task)),
                self.hits[task].bytes,
                writes=int(_WRITES * file.bytes),
            )
            for task, file in self.prepared.items()
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Mark the contaminated documents of a prepared file, and write down what was found in them.

        Returns
        -------
        ``documents`` and ``contaminated`` ones, which are dropped; ``benchmarks``, by name, where something was found:
        ``documents``, ``items`` (their numbers) and ``controls``, the numbers of controls that were found.
        """
        path = outputs.fetch(_PREPARED.format(task.id))
        with pq.ParquetFile(path) as parquet:
            documents = parquet.metadata.num_rows
        index = load(outputs.fetch(INDEX))
        with np.load(outputs.fetch(COMMON)) as file:
            common, possible = file["common"], file["possible"]
        row, gram = _load_hits(outputs, task.id)
        found = cover(index, common, possible, row.astype(np.int64), gram)
        items, controls = decide(index, found, self.settings.coverage)
        marks = np.zeros(documents, np.bool_)
        marks[items.row] = not self._keeps(task.id)
        with outputs.open(CONTAMINATION.format(task.id)) as marked:
            np.save(marked, marks)
        if len(items.row):
            with outputs.open(FINDINGS.format(task.id)) as written:
                self._write_findings(FindingsSink(written), path, outputs, index, items)
        progress(documents=documents, kept=documents - int(marks.sum()))
        return {
            "documents": documents,
            "contaminated": int(marks.sum()),
            "benchmarks": {
                benchmark.name: counts
                for number, benchmark in enumerate(self.settings.benchmarks)
                if (counts := _counts(index, number, items, controls))
            },
        }

    def _keeps(self, task: str) -> bool:
        """Whether documents of a task are reported and not dropped."""
        return task.rsplit("/", 1)[0] in self.settings.keep

    def _write_findings(self, sink: FindingsSink, path: Path, outputs: Outputs, index: Index, found: Found) -> None:
        """Write what was found in each document, with the passage that shows it."""
        texts = dict(read_rows(outputs.fetch(ITEMS), np.unique(found.item).tolist()))
        bounds = np.searchsorted(found.row, np.unique(found.row))
        for (_, values), start, stop in zip(
            read_rows(path, np.unique(found.row).tolist()), bounds, [*bounds[1:], len(found.row)], strict=True
        ):
            document = Document(values["text"])
            for place in range(start, stop):
                item = int(found.item[place])
                sink.add(
                    file=values["file"],
                    record=values["record"],
                    benchmark=self.settings.benchmarks[index.benchmark[item]].name,
                    item=texts[item]["name"],
                    coverage=float(found.coverage[place]),
                    matched=document.matched(texts[item]["text"], int(index.ngrams[item])),
                    text=texts[item]["text"],
                )
        sink.close()


def _counts(index: Index, benchmark: int, items: Found, controls: Found) -> dict[str, Any]:
    """Count what was found of a benchmark; nothing if nothing was."""
    own = items.select(index.benchmark[items.item] == benchmark)
    chance = controls.select(index.benchmark[controls.item] == benchmark)
    if not len(own.row) and not len(chance.row):
        return {}
    return {
        "documents": len(np.unique(own.row)),
        "items": np.unique(own.item).tolist(),
        "controls": np.unique(chance.item).tolist(),
    }


def _prepared(receipts: Iterable[Receipt]) -> dict[str, OutputFile]:
    return {receipt.task: receipt.outputs[_PREPARED.format(receipt.task)] for receipt in receipts}


def _output(receipts: Iterable[Receipt], path: str) -> OutputFile:
    return next(receipt.outputs[path] for receipt in receipts if path in receipt.outputs)


def _load_hits(outputs: Outputs, task: str) -> tuple[Numbers, NDArray[np.int32]]:
    with np.load(outputs.fetch(HITS.format(task))) as file:
        return file["row"], file["gram"]
