"""Last step of deduplication: what becomes of each document, file by file.

A task has a group of files. For each it writes the fates, which ``tokenize`` reads; the duplicates, set aside with the
reason, the twin that survives in their place and the size of their cluster; and the list of what was kept, by which a
later build finds it (``earlier``). Fates say nothing of other files: another source moves all later rows and changes
who is whose twin, and what is made from fates alone shall not be made again for that.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixer.dedup.corpus import KEPT, PREPARED, Corpus, File, group_id
from mixer.dedup.keys import DRAWS
from mixer.dedup.sections import read_section
from mixer.dedup.survivors import LOST, LOST_SCHEMA
from mixer.documents import ParquetSink, read_groups, set_column
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task

FATES = "run/fates/{}.npz"
"""Where ``fate``, uint8[rows], goes: ``TRAIN``, ``VALID``, or why the document was dropped."""
DUPLICATES = "dropped/{}.duplicates.parquet"
"""The documents that lost to a twin, with ``reason``, ``twin.*`` and ``cluster.size``."""

TRAIN, VALID, DROPPED_EXACT, DROPPED_MINHASH, CONTAMINATED, DROPPED_AGAINST = range(6)
"""The fates. Tokenizing knows them by number."""
REASONS = ("train", "valid", "dedup.exact", "dedup.minhash", "contamination", "dedup.against")
"""What each is counted as, and the reason of the documents that are dropped."""
_FATE_OF = np.array([TRAIN, DROPPED_EXACT, DROPPED_MINHASH, DROPPED_AGAINST], np.uint8)
"""The fate of each verdict, valid aside."""
_KEPT_FORMAT: Final = {
    "compression": "zstd",
    "use_dictionary": ["file"],
    "column_encoding": {"row": "DELTA_BINARY_PACKED", "record": "DELTA_BINARY_PACKED"},
}
_ABOUT_TWINS = [name for name in LOST_SCHEMA.names if name not in ("row", "verdict")]


@dataclass(frozen=True)
class Fates:
    """The stage ``dedup.fates``: one task for each group of this build.

    Parameters
    ----------
    corpus
        What is deduplicated.
    inputs
        The file of lost documents of every partition and the draws of every group, by path.
    """

    corpus: Corpus
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.fates"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per group."""
        # Hashed once: it is as long as there are partitions.
        lost = key_of(*(self.inputs[LOST.format(group_id(part))].xxh64 for part in range(self.corpus.partitions)))
        planned = []
        for group in self.corpus.own:
            files = self.corpus.groups[group]
            about = [[file.task, file.identity, file.listed.xxh64] for file in files]
            draws = self.inputs[DRAWS.format(group_id(group))].xxh64
            place = group - self.corpus.earlier
            size = sum(file.listed.bytes for file in files)
            planned.append(Task(group_id(place), key_of(self.name, about, draws, lost, place), size, group, size))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write what became of the documents of a group.

        Returns
        -------
        ``sources``: by source ``documents``, how many of them met each fate (``REASONS``), and ``against``, by the
        content id of earlier builds how many they have already.

        Raises
        ------
        TaskError
            What was removed does not fit its fingerprints.
        """
        lost = self._lost(task.payload, outputs)
        rows = lost["row"].to_numpy()
        packed = np.load(outputs.fetch(DRAWS.format(group_id(task.payload))))
        draws = np.unpackbits(packed).astype(np.bool_)
        sources: dict[str, _Counts] = {}
        for file, first, last in self.corpus.files(task.payload):
            begin, end = np.searchsorted(rows, (first, last)).tolist()
            own = lost.slice(begin, end - begin)
            fates = np.where(draws[first:last], VALID, TRAIN).astype(np.uint8)
            fates[~file.taking_part(outputs, last - first)] = CONTAMINATED
            fates[rows[begin:end] - np.int64(first)] = _FATE_OF[own["verdict"].to_numpy()]
            self._write(file, fates, own, first, outputs)
            counts = sources.setdefault(file.source, _Counts()).add(fates, own)
            progress(documents=last - first, kept=int(counts[TRAIN] + counts[VALID]))
        return {"sources": {source: counts.summary() for source, counts in sources.items()}}

    def _lost(self, group: int, outputs: Outputs) -> pa.RecordBatch:
        """Read which documents of a group are lost, by row."""
        place, groups = group - self.corpus.earlier, len(self.corpus.own)
        parts = [
            batch
            for partition in range(self.corpus.partitions)
            for batch in read_section(outputs, LOST.format(group_id(partition)), place, groups)
        ]
        if not parts:
            return pa.RecordBatch.from_pylist([], LOST_SCHEMA)
        lost = pa.concat_batches(parts)
        return lost.take(pa.array(np.argsort(lost["row"].to_numpy(), kind="stable")))

    def _write(self, file: File, fates: NDArray[np.uint8], lost: pa.RecordBatch, first: int, outputs: Outputs) -> None:
        """Write the fates of a file, its duplicates, and the list of what was kept; it begins at ``first``."""
        with outputs.open(FATES.format(file.task)) as opened:
            np.savez(opened, fate=fates)
        kept = np.flatnonzero(fates <= VALID)
        table = file.origins(outputs, kept).add_column(0, "row", pa.array(kept))
        with outputs.open(KEPT.format(file.task)) as opened:
            pq.write_table(table, opened, **_KEPT_FORMAT)
        if len(lost):
            rows = lost["row"].to_numpy() - np.int64(first)
            columns = {"reason": pa.array(REASONS).take(pa.array(fates[rows]))}
            columns |= {name: lost[name] for name in _ABOUT_TWINS}
            with outputs.open(DUPLICATES.format(file.task)) as opened, closing(ParquetSink(opened)) as sink:
                for begin, found in read_groups(outputs.root / PREPARED.format(file.task), rows):
                    batch = pa.concat_batches(found.to_batches())
                    for name, column in columns.items():
                        batch = set_column(batch, name, column.slice(begin, len(found)))
                    sink.write(batch)


class _Counts:
    """What became of the documents of a source."""

    def __init__(self) -> None:
        self._fates = np.zeros(len(REASONS), np.int64)
        self._against: Counter[str] = Counter()

    def add(self, fates: NDArray[np.uint8], lost: pa.RecordBatch) -> NDArray[np.int64]:
        """Add the documents of a file; return how many met each fate."""
        counts = np.bincount(fates, minlength=len(REASONS))
        self._fates += counts
        builds = lost["twin.build"].drop_null().value_counts().to_pylist()
        self._against.update({entry["values"]: entry["counts"] for entry in builds})
        return counts

    def summary(self) -> dict[str, Any]:
        """Return JSON values."""
        counts = dict(zip(REASONS, self._fates.tolist(), strict=True))
        against = {build: self._against[build] for build in sorted(self._against)}
        return {"documents": int(self._fates.sum()), **counts, "against": against}
