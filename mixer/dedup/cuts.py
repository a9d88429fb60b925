"""Last step of cutting repeated paragraphs: the bytes that go, file by file.

A task reads what ``repeats`` has found for the group of a prepared file, and those of its texts that are concerned.
Cuts say nothing of other files, as fates do not: ``tokenize``, which makes them, is not done again for a file whose
cuts are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows
from mixer.dedup.corpus import PREPARED, Corpus, group_id
from mixer.dedup.paragraphs import find_units, hash_units, spans
from mixer.dedup.repeats import REPEATS
from mixer.dedup.sections import read_section
from mixer.dedup.settings import ParagraphSettings
from mixer.dedup.units import partitions_for
from mixer.documents import read_groups
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.text.hashing import Hashes
from mixer.text.utf8 import buffers

CUTS = "run/cuts/{}.npz"
"""What ``tokenize`` cuts out of the documents of a file: ``row``, ``begin``, ``end`` (bytes of the text) and ``units``,
how many that are, int64[spans] each and in order; and ``short``, the rows of which too little would be left, of which
nothing is cut."""


@dataclass(frozen=True)
class Cuts:
    """The stage ``dedup.cuts``: one task for each prepared file.

    Parameters
    ----------
    corpus
        What has been deduplicated.
    settings
        Which units count, and how much must be left of a document.
    inputs
        The file of repeated units of every partition, by path.
    """

    corpus: Corpus
    settings: ParagraphSettings
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.cuts"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per prepared file, with the same id."""
        partitions = partitions_for(self.corpus, self.settings)
        # Hashed once: it is as long as there are partitions.
        repeats = key_of(*(self.inputs[REPEATS.format(group_id(part))].xxh64 for part in range(partitions)))
        decides = [self.settings.unit, self.settings.characters, repeats]
        planned = []
        for group in self.corpus.own:
            place = group - self.corpus.earlier
            for file, first, last in self.corpus.files(group):
                key = key_of(self.name, file.listed.xxh64, decides, place, first)
                planned.append(Task(file.task, key, file.listed.bytes, (place, first, last)))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write what is cut out of the documents of a file.

        Returns
        -------
        ``documents`` of which something is cut, ``units`` and ``bytes`` of that, and ``short``, the documents of which
        too little would be left.
        """
        place, low, high = task.payload
        rows, keys = self._repeated(place, low, high, outputs)
        affected = np.unique(rows)
        found = [np.empty((4, 0), np.int64)]
        short = [np.empty(0, np.int64)]
        for first, table in read_groups(outputs.root / PREPARED.format(task.id), affected, ["text"]):
            texts = pa.concat_batches(table.to_batches())["text"]
            own = affected[first : first + len(texts)]
            left, cut = self._cut(texts, own, rows, keys)
            too_short = left < self.settings.characters
            cut[0] = own[cut[0]]
            short.append(own[too_short])
            found.append(cut[:, ~np.isin(cut[0], short[-1])])
            progress(documents=len(own))
        row, begin, end, units = np.concatenate(found, axis=1)
        with outputs.open(CUTS.format(task.id)) as file:
            np.savez(file, row=row, begin=begin, end=end, units=units, short=np.concatenate(short))
        dropped = sum(map(len, short))
        return {
            "documents": len(affected) - dropped,
            "units": int(units.sum()),
            "bytes": int((end - begin).sum()),
            "short": dropped,
        }

    def _repeated(self, place: int, first: int, last: int, outputs: Outputs) -> tuple[Rows, Hashes]:
        """Read what is cut out of a file: documents, by their rows in it and ascending, and keys, which ascend inside.

        The file has the rows from ``first`` to ``last`` of the group at ``place``.
        """
        rows, keys = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for partition in range(partitions_for(self.corpus, self.settings)):
            for batch in read_section(outputs, REPEATS.format(group_id(partition)), place, len(self.corpus.own)):
                row = batch["row"].to_numpy().astype(np.int64)
                own = (row >= first) & (row < last)
                rows.append(row[own] - first)
                keys.append(batch["key"].to_numpy()[own])
        of_rows, of_keys = np.concatenate(rows), np.concatenate(keys)
        order = np.lexsort((of_keys, of_rows))
        return of_rows[order], of_keys[order]

    def _cut(self, texts: pa.Array, own: Rows, rows: Rows, keys: Hashes) -> tuple[Rows, Rows]:
        """Find what is cut out of some texts, those of the rows ``own``.

        Returns
        -------
        left
            Characters that stay of each, white space aside: int64[texts].
        spans
            int64[4, spans]: text, begin, end and units of each.
        """
        data, offsets = buffers(texts)
        units = find_units(data, offsets, lines=self.settings.unit == "line")
        cut = units.characters >= self.settings.characters
        long = units.of(cut)
        cut[cut] = among(own[long.rows], hash_units(data, long), rows, keys)
        stay = units.of(~cut)
        left = np.zeros(len(texts), np.int64)
        np.add.at(left, stay.rows, stay.characters)
        return left, np.stack(spans(data, offsets, units, cut))


@njit(cache=True, nogil=True)
def among(rows: Rows, keys: Hashes, of_rows: Rows, of_keys: Hashes) -> NDArray[np.bool_]:
    """Tell which pairs of row and key are among others, which are sorted: bool[n]."""
    found = np.zeros(len(rows), np.bool_)
    for index in range(len(rows)):
        low, high = np.searchsorted(of_rows, rows[index]), np.searchsorted(of_rows, rows[index], side="right")
        place = low + np.searchsorted(of_keys[low:high], keys[index])
        found[index] = place < high and of_keys[place] == keys[index]
    return found
