"""Third and fourth step of deduplication: who must be compared with whom, and their fingerprints brought together.

``Components`` is the one task that looks at all documents at once: it joins the edges to components and shares these
out to partitions. ``Candidates`` then has a task a group again, which reads the fingerprints of those of its documents
that are in a component and writes them, sorted by partition, with where each is from. Two duplicates share a key, so
they are in one component and meet in one partition.

Memory of ``Components``: see ``forest``; for 2 billion documents of which 40 % share a key, 7 GB. Of a task of
``Candidates``: some chunks of 260,000 documents.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mixer.dedup.buckets import EDGES
from mixer.dedup.clusters import Rows
from mixer.dedup.corpus import Corpus, group_id
from mixer.dedup.forest import Forest
from mixer.dedup.sections import CHUNK, SectionWriter, fixed, open_sections, read_section
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task

COMPONENTS = "run/dedup/components.arrow"
"""A section a group: ``row``, in the group, of each document that shares a key with another, and its ``part``."""
CANDIDATES = "run/dedup/candidates/{}.arrow"
"""A section a partition: ``row`` in the group, ``exact``, ``signature``, ``file`` and ``record``; rows ascend."""


@dataclass(frozen=True)
class Components:
    """The stage ``dedup.components``: one task, ``all``.

    Parameters
    ----------
    corpus
        What is deduplicated.
    inputs
        The file of edges of every partition, by path.
    """

    corpus: Corpus
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.components"

    def tasks(self) -> Sequence[Task]:
        """Plan the one task."""
        files = [self.inputs[path] for path in self._paths()]
        key = key_of(self.name, [file.xxh64 for file in files], self.corpus.bounds.tolist())
        size = sum(file.bytes for file in files)
        return [Task("all", key, size, writes=size)]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Find the components and share them out.

        Returns
        -------
        ``edges``, and the documents that have one, ``candidates``; ``largest``, the most of them in a partition.
        """
        bounds, groups = self.corpus.bounds, len(self.corpus.groups)
        forest, edges = Forest(int(bounds[-1])), 0
        for low, high in self._edges(outputs):
            forest.meet(low, high)
            edges += len(low)
        forest.seal()
        for low, high in self._edges(outputs):
            forest.join(low, high)
        parts = forest.share_out(self.corpus.partitions)
        schema = pa.schema({"row": pa.uint32(), "part": pa.uint16()})
        with outputs.open(COMPONENTS) as file, pa.ipc.new_file(file, schema) as sink:
            for group in range(groups):
                rows, ranks = forest.members(int(bounds[group]), int(bounds[group + 1]))
                local = (rows - bounds[group]).astype(np.uint32)
                sink.write_batch(pa.RecordBatch.from_arrays([pa.array(local), pa.array(parts[ranks])], schema=schema))
        largest = int(np.bincount(parts).max(initial=0))
        return {"edges": edges, "candidates": len(forest), "largest": largest}

    def _edges(self, outputs: Outputs) -> Iterator[tuple[Rows, Rows]]:
        """Map the edges of one partition after the other, some at a time."""
        for path in self._paths():
            with open_sections(outputs, path) as file:
                for number in range(file.num_record_batches):
                    batch = file.get_batch(number)
                    yield batch["low"].to_numpy(), batch["high"].to_numpy()

    def _paths(self) -> list[str]:
        return [EDGES.format(group_id(partition)) for partition in range(self.corpus.partitions)]


@dataclass(frozen=True)
class Candidates:
    """The stage ``dedup.candidates``: one task a group.

    Parameters
    ----------
    corpus
        What is deduplicated.
    components
        The file of ``Components``.
    """

    corpus: Corpus
    components: OutputFile
    name: str = "dedup.candidates"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per group."""
        planned = []
        for group, files in enumerate(self.corpus.groups):
            origins = [file.listed.xxh64 for file in files]
            key = key_of(self.name, [file.identity for file in files], origins, self.components.xxh64, group)
            size = sum(file.fingerprints.bytes for file in files)
            planned.append(Task(group_id(group), key, size, group, writes=size))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write the candidates of a group.

        Returns
        -------
        ``candidates``, how many they are.
        """
        corpus = self.corpus
        marked = list(read_section(outputs, COMPONENTS, task.payload, len(corpus.groups)))
        rows = np.concatenate([np.empty(0, np.int64), *(batch["row"].to_numpy() for batch in marked)])
        parts = np.concatenate([np.empty(0, np.uint16), *(batch["part"].to_numpy() for batch in marked)])
        schema = candidate_schema(corpus.hashes)
        with outputs.open(CANDIDATES.format(task.id)) as file, SectionWriter(file, schema, corpus.partitions) as sink:
            for part, first, last in corpus.files(task.payload):
                begin, end = np.searchsorted(rows, (first, last))
                if end == begin:
                    continue
                prints = part.load(outputs, corpus.hashes)
                for start in range(begin, end, CHUNK):
                    chosen = slice(start, min(end, start + CHUNK))
                    here = rows[chosen] - first
                    origins = part.origins(outputs, here)
                    columns = [
                        pa.array(rows[chosen].astype(np.uint32)),
                        fixed(prints.exact[here]),
                        fixed(prints.signatures[here]),
                        origins["file"].combine_chunks().cast(pa.string()),
                        origins["record"].combine_chunks(),
                    ]
                    sink.add(pa.RecordBatch.from_arrays(columns, schema=schema), parts[chosen])
        return {"candidates": len(rows)}


def candidate_schema(hashes: int) -> pa.Schema:
    """Return the columns of ``CANDIDATES``."""
    return pa.schema(
        {
            "row": pa.uint32(),
            "exact": pa.binary(16),
            "signature": pa.binary(4 * hashes),
            "file": pa.string(),
            "record": pa.int64(),
        }
    )
