"""The first stage: read, ``steps``, fingerprint, one task per group of input.

A task reads its part of a source once, batch by batch, and writes the kept documents with their statistics, the
dropped ones with their reason, the unreadable ones with their position, and the fingerprints that deduplication
compares. It is one of the two places that know the order of the rooms (the other is ``build``).
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mixer.dedup.corpus import PREPARED
from mixer.dedup.fingerprint import FINGERPRINTS, FingerprintWriter
from mixer.dedup.settings import MinhashSettings
from mixer.documents import EDITS, Batch, ParquetSink, text_bytes
from mixer.engine.keys import key_of
from mixer.engine.outputs import HashingFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.recipe import Recipe
from mixer.sources.plan import SourceTask
from mixer.sources.read import read
from mixer.steps import Attachments, Steps, identity

DROPPED = "dropped/{}.parquet"
REJECTED = "rejected/{}.jsonl"
WRITES = 0.6
"""Bytes written for a byte of text, at most about: compressed documents and statistics, fingerprints."""


@dataclass(frozen=True)
class Prepare:
    """The stage ``prepare`` over the planned tasks of all sources of a recipe."""

    recipe: Recipe
    planned: Sequence[SourceTask] = field(metadata=PLANNING)
    attachments: Attachments
    name: str = "prepare"

    def tasks(self) -> Sequence[Task]:
        """Return the planned tasks, in the recipe's order of sources."""
        decides = {source: self._decides(source) for source in {task.source for task in self.planned}}
        return [
            Task(
                id=task.id,
                key=key_of(self.name, task.identity(), decides[task.source]),
                size=task.size,
                payload=task,
                writes=int(WRITES * task.text_bytes),
            )
            for task in self.planned
        ]

    def _decides(self, name: str) -> str:
        """Hash what beside its input decides the outputs of a source's tasks; nothing that only the mixture needs."""
        source, minhash = self.recipe.source(name), self.recipe.dedup.minhash
        return key_of(
            source.identity(),
            identity(self.recipe, source, self.attachments),
            [minhash.shingle, minhash.hashes, minhash.seed] if minhash else None,
        )

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Prepare one group of input.

        Returns
        -------
        ``documents`` read and ``bytes`` of their text; ``rejected`` records; ``skipped``, records that are no documents
        by kind; ``reasons``, dropped documents by rule; ``edits``, by name how many and in how many documents;
        ``languages``, for each label ``documents`` and ``kept``, and ``scripts``, the same for each way of writing
        Chinese.

        Raises
        ------
        InputError
            A file cannot be read.
        """
        source = self.recipe.source(task.payload.source)
        counts = _Counts()
        with ExitStack() as files:
            sinks = _Sinks(task.id, outputs, files, self.recipe.dedup.minhash or None)
            steps = Steps(self.recipe, source, self.attachments)
            for batch in read(task.payload, source, sinks.reject, counts.skip):
                kept, dropped = steps(batch)
                sinks.write(kept, dropped)
                size = counts.add(batch, kept, dropped)
                progress(documents=len(batch), size=size, kept=len(kept))
        return {**counts.summary(), "rejected": sinks.rejected}


class _Sinks:
    """The files of one task; those for rejected records appear only when there are any."""

    def __init__(self, task: str, outputs: Outputs, files: ExitStack, minhash: MinhashSettings | None) -> None:
        self._task, self._outputs, self._files = task, outputs, files
        self._kept = self._parquet(PREPARED)
        self._dropped = self._parquet(DROPPED)
        self._fingerprints = FingerprintWriter(self._open(FINGERPRINTS), minhash)
        self._rejects: HashingFile | None = None
        self.rejected = 0

    def write(self, kept: Batch, dropped: Batch) -> None:
        """Write what became of a batch."""
        self._kept.write(kept)
        self._dropped.write(dropped)
        if len(kept):
            self._fingerprints.write(kept["text"])

    def reject(self, file: str, position: str, cause: str) -> None:
        """Set a record aside that could not be read."""
        self._rejects = self._rejects or self._open(REJECTED)
        self._rejects.write(msgspec.json.encode({"file": file, "position": position, "cause": cause}) + b"\n")
        self.rejected += 1

    def _open(self, path: str) -> HashingFile:
        return self._files.enter_context(self._outputs.open(path.format(self._task)))

    def _parquet(self, path: str) -> ParquetSink:
        sink = ParquetSink(self._open(path))
        self._files.callback(sink.close)
        return sink


class _Counts:
    """What a task has seen so far."""

    def __init__(self) -> None:
        self.documents = self.bytes = 0
        self.reasons: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.edited: Counter[str] = Counter()
        self.read: dict[str, Counter[str]] = {"language": Counter(), "script": Counter()}
        self.kept: dict[str, Counter[str]] = {"language": Counter(), "script": Counter()}

    def add(self, batch: Batch, kept: Batch, dropped: Batch) -> int:
        """Count a batch and return the bytes of its text."""
        size = text_bytes([batch])
        self.documents += len(batch)
        self.bytes += size
        self.reasons.update(_tally(dropped, "reason"))
        for part in (kept, dropped):
            for column, seen in self.read.items():
                seen.update(_tally(part, column))
            for name in (name for name in part.schema.names if name.startswith(EDITS)):
                counts = part[name].fill_null(0).to_numpy()
                self.edits[name.removeprefix(EDITS)] += int(counts.sum())
                self.edited[name.removeprefix(EDITS)] += int((counts > 0).sum())
        for column, seen in self.kept.items():
            seen.update(_tally(kept, column))
        return size

    def skip(self, what: str) -> None:
        """Count a record that is no document."""
        self.skipped[what] += 1

    def summary(self) -> dict[str, Any]:
        """Return JSON values, sorted."""
        labels = {
            column: {name: {"documents": seen[name], "kept": self.kept[column][name]} for name in sorted(seen)}
            for column, seen in self.read.items()
        }
        reasons = {reason: self.reasons[reason] for reason in sorted(self.reasons)}
        edits = {name: {"edits": self.edits[name], "documents": self.edited[name]} for name in sorted(self.edits)}
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "skipped": {what: self.skipped[what] for what in sorted(self.skipped)},
            "reasons": reasons,
            "edits": edits,
            "languages": labels["language"],
            "scripts": labels["script"],
        }


def _tally(batch: Batch, column: str) -> dict[str, int]:
    """Count the values of a string column, nulls aside."""
    return {entry["values"]: entry["counts"] for entry in batch[column].drop_null().value_counts().to_pylist()}
