"""Second step of cutting repeated paragraphs: which units stand in too many documents, and where they are cut.

A task reads the keys of one partition from the files of all tasks of ``units``, sorts them, and counts the documents of
each key. One that stands in more than ``most`` stays in the first of them, in stable order, and is cut out of the
others. Memory: ``units.HELD_BYTES`` for each unit, ``corpus.TASK_BYTES`` on average; a key is never parted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows
from mixer.dedup.corpus import Corpus, group_id
from mixer.dedup.sections import SectionWriter, read_section
from mixer.dedup.settings import ParagraphSettings
from mixer.dedup.units import SCHEMA, UNITS, own_files, partitions_for
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.text.hashing import Hashes

REPEATS = "run/dedup/repeats/{}.arrow"
"""A section for each group of this build: ``key`` and ``row``, in the group, of what is cut."""


@dataclass(frozen=True)
class Repeats:
    """The stage ``dedup.repeats``: one task a partition.

    Parameters
    ----------
    corpus
        What has been deduplicated.
    settings
        Which units count, and in how many documents they may stand.
    inputs
        The file of units of every prepared file, by path.
    """

    corpus: Corpus
    settings: ParagraphSettings
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.repeats"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per partition."""
        corpus, partitions = self.corpus, partitions_for(self.corpus, self.settings)
        files = [self.inputs[UNITS.format(file.task)] for file in own_files(corpus)]
        bounds = (corpus.bounds[corpus.earlier :] - corpus.bounds[corpus.earlier]).tolist()
        about = key_of([file.xxh64 for file in files], bounds)  # once: it is as long as there are files
        size = sum(file.bytes for file in files) // partitions
        return [
            Task(
                group_id(partition),
                key_of(self.name, about, self.settings.most, partition, partitions),
                size,
                partition,
                size,
            )
            for partition in range(partitions)
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write what is cut of the units of a partition.

        Returns
        -------
        ``units``; ``repeated``, how many different ones stand in too many documents; ``cut``, in how many documents one
        is cut, summed up over all of these.
        """
        corpus = self.corpus
        keys, rows = self._read(task.payload, outputs)
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        cut, repeated = too_many(keys, rows, self.settings.most)
        keys, rows = keys[cut], rows[cut]
        groups = corpus.group_of(rows)
        of_rows = (rows - corpus.bounds[groups]).astype(np.uint32)
        with outputs.open(REPEATS.format(task.id)) as file, SectionWriter(file, SCHEMA, len(corpus.own)) as sink:
            sink.add(pa.RecordBatch.from_pydict({"key": keys, "row": of_rows}, SCHEMA), groups - corpus.earlier)
        return {"units": len(order), "repeated": repeated, "cut": len(keys)}

    def _read(self, partition: int, outputs: Outputs) -> tuple[Hashes, Rows]:
        """Read the keys of a partition and the documents that have them, over all files; these ascend."""
        keys, rows = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        partitions = partitions_for(self.corpus, self.settings)
        for group in self.corpus.own:
            for file, first, _ in self.corpus.files(group):
                origin = self.corpus.bounds[group] + first
                for batch in read_section(outputs, UNITS.format(file.task), partition, partitions):
                    keys.append(batch["key"].to_numpy())
                    rows.append(batch["row"].to_numpy() + origin)
        return np.concatenate(keys), np.concatenate(rows)


@njit(cache=True, nogil=True)
def too_many(keys: Hashes, rows: Rows, most: int) -> tuple[NDArray[np.bool_], int]:
    """Tell where units are cut.

    Parameters
    ----------
    keys, rows
        Units sorted by key, those of one key by document: uint64[n], int64[n].
    most
        Documents in which one may stand.

    Returns
    -------
    cut
        bool[n]: true once for each document out of which a unit is cut.
    repeated
        How many different units these are.
    """
    cut = np.zeros(len(keys), np.bool_)
    first = repeated = 0
    while first < len(keys):
        last, documents = first + 1, 1
        while last < len(keys) and keys[last] == keys[first]:
            documents += rows[last] != rows[last - 1]
            last += 1
        if documents > most:
            repeated += 1
            for place in range(first + 1, last):
                cut[place] = rows[place] != rows[place - 1]
        first = last
    return cut, repeated
