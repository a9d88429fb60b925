"""A step of deduplication: who must be compared with whom.

The one task that looks at all documents at once. It joins the edges to components and shares these out to partitions,
so that documents that share a key, directly or over others, come into one partition. Memory: see ``forest``; for 2
billion documents of which 40 % share a key, 7 GB.

Documents that share a template have a band in common without being duplicates, and may chain half a corpus together.
A component that is too large for a partition is *contested*: the keys of its documents are gone through again, now with
sketches of their signatures, by which all but a few edges between documents that are no duplicates are recognised; then
components are made a second time. No edge between duplicates is lost by that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.dedup.buckets import edges_path
from mixer.dedup.clusters import Rows
from mixer.dedup.corpus import CANDIDATE_BYTES, TASK_BYTES, Corpus, components_path, group_id, parts_of
from mixer.dedup.forest import CONTESTED, Forest
from mixer.dedup.sections import open_sections
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task


@dataclass(frozen=True)
class Components:
    """The stages ``dedup.components`` and ``dedup.components.again``: one task, ``all``.

    Parameters
    ----------
    corpus
        What is deduplicated.
    inputs
        The files of edges of every partition, by path; the second time those of both times, and the first's result.
    again
        Whether it is the second time.
    """

    corpus: Corpus
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    again: bool = False

    @property
    def name(self) -> str:
        """Name the stage."""
        return "dedup.components.again" if self.again else "dedup.components"

    def tasks(self) -> Sequence[Task]:
        """Plan the one task."""
        files = [self.inputs[path].xxh64 for path in self._paths(again=False)]
        if self.again:
            files += [self.inputs[path].xxh64 for path in (*self._paths(again=True), components_path(again=False))]
        size = sum(self.inputs[path].bytes for path in self._paths(again=False))
        decides = [self.corpus.bounds.tolist(), self.corpus.partitions, self.corpus.settings.minhash is False, _most()]
        return [Task("all", key_of(self.name, files, decides), size, writes=size)]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Find the components and share them out.

        Returns
        -------
        ``edges``; the documents that have one, ``candidates``, and those of them that are ``contested``; ``largest``,
        the most in a partition.
        """
        bounds = self.corpus.bounds
        forest, edges = Forest(int(bounds[-1])), 0
        for low, high in self._edges(outputs):
            forest.meet(low, high)
            edges += len(low)
        forest.seal()
        for low, high in self._edges(outputs):
            forest.join(low, high)
        alone = self.again or not self.corpus.settings.minhash  # without signatures there is nothing to look at again
        parts = forest.share_out(self.corpus.partitions, len(forest) if alone else _most())
        schema = pa.schema({"row": pa.uint32(), "part": pa.uint16()})
        with (
            outputs.open(components_path(again=self.again)) as file,
            pa.ipc.new_file(file, schema) as sink,
        ):
            for group, (first, last) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
                rows, ranks = forest.members(first, last)
                local = (rows - bounds[group]).astype(np.uint32)
                sink.write_batch(pa.RecordBatch.from_arrays([pa.array(local), pa.array(parts[ranks])], schema=schema))
        counts = np.bincount(parts, minlength=CONTESTED + 1)
        return {
            "edges": edges,
            "candidates": len(forest),
            "contested": int(counts[CONTESTED]),
            "largest": int(counts[:CONTESTED].max()),
        }

    def _edges(self, outputs: Outputs) -> Iterator[tuple[Rows, Rows]]:
        """Map the edges of one partition after the other, some at a time; those that hold, the second time."""
        contested = self._contested(outputs) if self.again else None
        for again in (False, True)[: 1 + self.again]:
            for path in self._paths(again=again):
                with open_sections(outputs, path) as file:
                    for number in range(file.num_record_batches):
                        batch = file.get_batch(number)
                        low, high = batch["low"].to_numpy(), batch["high"].to_numpy()
                        if contested is not None and not again:
                            holds = contested[low >> 3] >> (low & 7).astype(np.uint8) & 1 == 0
                            low, high = low[holds], high[holds]
                        yield low, high

    def _contested(self, outputs: Outputs) -> NDArray[np.uint8]:
        """Read which documents are contested: a bit each, the lowest of a byte first."""
        bounds = self.corpus.bounds
        found = np.zeros(int(bounds[-1]) // 8 + 1, np.uint8)
        for group, origin in enumerate(bounds[:-1]):
            rows, parts = parts_of(outputs, components_path(again=False), self.corpus, group)
            rows = rows[parts == CONTESTED] + origin
            np.bitwise_or.at(found, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))
        return found

    def _paths(self, *, again: bool) -> list[str]:
        return [edges_path(again=again).format(group_id(partition)) for partition in range(self.corpus.partitions)]


def _most() -> int:
    """Return how many documents a component may have to be compared in one task."""
    return TASK_BYTES // CANDIDATE_BYTES
