"""A step of deduplication: the fingerprints of those who must be compared with one another, brought together.

A task has a group. It reads the fingerprints of those of its documents that ``components`` has put into a partition,
and writes them, sorted by partition, with where each is from. Memory: some chunks of 260,000 documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mixer.dedup.corpus import Corpus, components_path, group_id, parts_of
from mixer.dedup.sections import CHUNK, SectionWriter, fixed
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Progress, Task

CANDIDATES = "run/dedup/candidates/{}.arrow"
"""A section a partition: ``row`` in the group, ``exact``, ``signature``, ``file`` and ``record``; rows ascend."""


@dataclass(frozen=True)
class Candidates:
    """The stage ``dedup.candidates``: one task a group.

    Parameters
    ----------
    corpus
        What is deduplicated.
    components
        The file of the last ``Components``.
    again
        Whether that was the second.
    """

    corpus: Corpus
    components: OutputFile
    again: bool
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
        rows, parts = parts_of(outputs, components_path(again=self.again), corpus, task.payload)
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
