"""Fifth step of deduplication: candidates -> who is lost, and to whom.

A task reads the candidates of one partition, whole components of them, and decides with ``clusters`` which of them are
duplicates: what any other partition holds can change nothing about that. Memory: 600 bytes a candidate, a partition
being an equal share of them; where one component is larger than that share, its partition holds all of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from mixer.dedup.candidates import CANDIDATES
from mixer.dedup.clusters import Duplicates, Rows, find_duplicates
from mixer.dedup.corpus import Corpus, group_id
from mixer.dedup.minhash import Signatures, band_keys
from mixer.dedup.sections import SectionWriter, matrix, read_section
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.text.hashing import Hashes

LOST = "run/dedup/lost/{}.arrow"
"""A section for each group of this build: its documents that are lost, in the columns of ``LOST_SCHEMA``."""
LOST_SCHEMA: Final = pa.schema(
    {
        "row": pa.uint32(),
        "verdict": pa.uint8(),
        "twin.build": pa.string(),
        "twin.source": pa.string(),
        "twin.file": pa.string(),
        "twin.record": pa.int64(),
        "cluster.size": pa.int64(),
    }
)
"""``row`` in the group; ``verdict`` of ``clusters``, or ``AGAINST``; the survivor of the cluster, by the content id of
its build if that is an earlier one; and the documents of the cluster, the survivor among them."""
AGAINST = 3
"""The verdict about a document whose cluster has one of an earlier build."""


@dataclass(frozen=True)
class Survivors:
    """The stage ``dedup.survivors``: one task a partition.

    Parameters
    ----------
    corpus
        What is deduplicated.
    inputs
        The file of candidates of every group, by path.
    """

    corpus: Corpus
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.survivors"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per partition."""
        corpus = self.corpus
        files = [self.inputs[CANDIDATES.format(group_id(group))] for group in range(len(corpus.groups))]
        sources = [[(file.build, file.source) for file in group] for group in corpus.groups]
        decides = [
            corpus.settings.model_dump(exclude={"against", "paragraphs"}),
            corpus.bounds.tolist(),
            corpus.earlier,
            sources,
        ]
        about = key_of([file.xxh64 for file in files], decides)  # once: it is as long as there are groups
        size = sum(file.bytes for file in files) // corpus.partitions
        return [
            Task(
                group_id(partition),
                key_of(self.name, about, partition),
                size,
                partition,
            )
            for partition in range(corpus.partitions)
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write which candidates of a partition are lost.

        Returns
        -------
        ``candidates``, and how many of them are ``lost``.
        """
        corpus = self.corpus
        held = _Candidates.read(corpus, task.payload, outputs)
        found = find_duplicates(held.exact, held.keys(), held.signatures, corpus.settings)
        own = corpus.bounds[corpus.earlier]
        lost = np.flatnonzero((found.twin != np.arange(len(found.twin))) & (held.rows >= own))
        groups = corpus.group_of(held.rows[lost])
        with (
            outputs.open(LOST.format(task.id)) as file,
            SectionWriter(file, LOST_SCHEMA, len(corpus.own)) as sink,
        ):
            sink.add(self._describe(held, found, lost, groups), groups - corpus.earlier)
        return {"candidates": len(held.rows), "lost": len(lost)}

    def _describe(self, held: "_Candidates", found: Duplicates, lost: Rows, groups: Rows) -> pa.RecordBatch:
        """Say what became of the documents ``lost`` in the columns of ``LOST_SCHEMA``."""
        corpus = self.corpus
        twins = found.twin[lost]
        earlier = held.rows[twins] < corpus.bounds[corpus.earlier]
        files, file_of = corpus.files_of(held.rows[twins])
        builds = pa.array([file.build for file in files], pa.string())
        sources = pa.array([file.source for file in files], pa.string())
        columns = [
            pa.array((held.rows[lost] - corpus.bounds[groups]).astype(np.uint32)),
            pa.array(np.where(earlier, AGAINST, found.verdict[lost]).astype(np.uint8)),
            builds.take(pa.array(file_of)),
            sources.take(pa.array(file_of)),
            *held.origins(twins),
            pa.array(np.bincount(found.twin)[twins] if len(twins) else twins),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=LOST_SCHEMA)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The candidates of a partition in the order of their rows; signatures stay in their files, mapped.

    Attributes
    ----------
    rows
        Over all files: int64[n].
    exact
        uint64[n, 2].
    """

    corpus: Corpus
    batches: Sequence[pa.RecordBatch]
    rows: Rows
    exact: Hashes

    @classmethod
    def read(cls, corpus: Corpus, partition: int, outputs: Outputs) -> "_Candidates":
        """Map the candidates of a partition."""
        batches, rows, exact = [], [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)]
        for group, origin in enumerate(corpus.bounds[:-1]):
            path = CANDIDATES.format(group_id(group))
            for batch in read_section(outputs, path, partition, corpus.partitions):
                batches.append(batch)
                rows.append(batch["row"].to_numpy().astype(np.int64) + origin)
                exact.append(matrix(batch["exact"], np.uint64))
        return cls(corpus, batches, np.concatenate(rows), np.concatenate(exact))

    def keys(self) -> Iterable[Hashes]:
        """Return the keys of each band, if MinHash is on: uint64[n]."""
        minhash = self.corpus.settings.minhash
        if not minhash or not self.batches:
            return [np.empty(0, np.uint64)] * (minhash.bands if minhash else 0)
        by_batch = (matrix(batch["signature"], np.uint32) for batch in self.batches)
        return np.concatenate([band_keys(each, minhash.bands, minhash.rows) for each in by_batch], axis=1)

    def signatures(self, some: Rows) -> Signatures:
        """Return the signatures of some candidates, ascending: uint32[m, hashes]."""
        found = np.empty((len(some), self.corpus.hashes), np.uint32)
        for chosen, place, batch in self._by_batch(some):
            found[place] = matrix(batch["signature"], np.uint32)[chosen]
        return found

    def origins(self, some: Rows) -> tuple[pa.Array, pa.Array]:
        """Return ``file`` and ``record`` of some candidates, in any order."""
        ordered, back = np.unique(some, return_inverse=True)
        found = [
            batch.select(["file", "record"]).take(pa.array(chosen)) for chosen, _, batch in self._by_batch(ordered)
        ]
        if not found:
            return pa.array([], pa.string()), pa.array([], pa.int64())
        table = pa.concat_batches(found).take(pa.array(back))
        return table["file"], table["record"]

    def _by_batch(self, some: Rows) -> Iterable[tuple[Rows, slice, pa.RecordBatch]]:
        """Part candidates, ascending, by the batch that holds them: rows in the batch, which they are, the batch."""
        start = 0
        for batch in self.batches:
            first, last = np.searchsorted(some, (start, start + len(batch))).tolist()
            if last > first:
                yield some[first:last] - start, slice(first, last), batch
            start += len(batch)
