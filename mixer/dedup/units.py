"""First step of cutting repeated paragraphs: the keys of the units of all survivors, sorted into partitions.

A task reads the texts of a prepared file that survive as duplicates are removed, finds their units (``paragraphs``) and
writes 12 bytes for each that is long enough: its key and the document's row in the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.dedup.corpus import PREPARED, START_OVER, TASK_BYTES, Corpus, File
from mixer.dedup.fates import FATES, VALID
from mixer.dedup.paragraphs import find_units, hash_units
from mixer.dedup.sections import SectionWriter
from mixer.dedup.settings import ParagraphSettings
from mixer.documents import read_parquet, text_bytes
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.errors import TaskError
from mixer.text.hashing import Hashes
from mixer.text.utf8 import buffers

UNITS = "run/dedup/units/{}.arrow"
"""A section a partition: ``key`` and ``row``, in the file; rows ascend."""
SCHEMA = pa.schema({"key": pa.uint64(), "row": pa.uint32()})
HELD_BYTES = 48
"""What ``repeats`` holds for a unit: key and row, their order, and both in that order."""
MOST_PARTITIONS = 65_535
_TEXT = 3
"""Bytes of text for a byte of a prepared file."""
_WRITES = 12


@dataclass(frozen=True)
class Units:
    """The stage ``dedup.units``: one task for each prepared file.

    Parameters
    ----------
    corpus
        What has been deduplicated.
    settings
        Which units count.
    fates
        The file of fates of every prepared file, by path.
    """

    corpus: Corpus
    settings: ParagraphSettings
    fates: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.units"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per prepared file, with the same id."""
        decides = [self.settings.unit, self.settings.characters, partitions_for(self.corpus, self.settings)]
        planned = []
        for file in own_files(self.corpus):
            key = key_of(self.name, file.listed.xxh64, self.fates[FATES.format(file.task)].xxh64, decides)
            writes = _WRITES * _most_units(file, self.settings)
            planned.append(Task(file.task, key, file.listed.bytes, self.corpus.rows(file), writes))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write the keys of a file.

        Returns
        -------
        ``documents`` that survive; ``units`` of them that are long enough.

        Raises
        ------
        TaskError
            The fates do not fit the prepared file.
        """
        settings = self.settings
        with np.load(outputs.fetch(FATES.format(task.id))) as file:
            survives = file["fate"] <= VALID
        if len(survives) != task.payload:
            raise TaskError(
                f"{FATES.format(task.id)} has {len(survives)} fates for {task.payload} documents", START_OVER
            )
        partitions = partitions_for(self.corpus, settings)
        first = count = 0
        with outputs.open(UNITS.format(task.id)) as file, SectionWriter(file, SCHEMA, partitions) as sink:
            for batch in read_parquet(str(outputs.fetch(PREPARED.format(task.id))), ["text"]):
                data, offsets = buffers(batch["text"])
                units = find_units(data, offsets, lines=settings.unit == "line")
                own = units.of((units.characters >= settings.characters) & survives[first + units.rows])
                keys = hash_units(data, own)
                rows = (own.rows + first).astype(np.uint32)
                sink.add(pa.RecordBatch.from_pydict({"key": keys, "row": rows}, SCHEMA), _partition(keys, partitions))
                count += len(own)
                first += len(batch)
                progress(documents=len(batch), size=text_bytes([batch]))
        return {"documents": int(survives.sum()), "units": count}


def own_files(corpus: Corpus) -> Iterator[File]:
    """Yield the files of this build in their order: earlier ones have no text."""
    for group in corpus.own:
        yield from corpus.groups[group]


def partitions_for(corpus: Corpus, settings: ParagraphSettings) -> int:
    """Return in how many partitions units are counted, from the sizes of the files alone."""
    if corpus.settings.partitions != "auto":
        return corpus.settings.partitions
    units = sum(_most_units(file, settings) for file in own_files(corpus))
    return min(MOST_PARTITIONS, max(1, -(-units * HELD_BYTES // TASK_BYTES)))


def _partition(keys: Hashes, partitions: int) -> NDArray[np.uint64]:
    """Return the partition of each key: equal parts of the range of 64-bit numbers."""
    half = np.uint64(32)
    return ((keys >> half) * np.uint64(partitions)) >> half


def _most_units(file: File, settings: ParagraphSettings) -> int:
    """Estimate the units of a file from above: as if it held nothing but the shortest that count."""
    return _TEXT * file.listed.bytes // settings.characters
