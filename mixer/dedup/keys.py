"""First step of deduplication: every document's keys, sorted into partitions by their value.

A key is a hash of the whole text, or of one band of the signature: two documents that share one may be duplicates, and
no others can be. A task reads the fingerprints of a group and writes 12 bytes for each key: the key and the document's
row in the group. Memory: ``corpus.TASK_BYTES`` at most, about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows, is_valid
from mixer.dedup.corpus import Corpus, File, group_id
from mixer.dedup.fingerprint import Fingerprints
from mixer.dedup.minhash import band_keys
from mixer.dedup.sections import SectionWriter
from mixer.dedup.settings import DedupSettings
from mixer.engine.keys import key_of
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Progress, Task
from mixer.text.hashing import Hashes

KEYS = "run/dedup/keys/{}.arrow"
"""A section a partition: ``key`` and ``row``, in the group; rows ascend."""
DRAWS = "run/dedup/draws/{}.npy"
"""Which documents of a group go to valid if they survive: bool[rows], eight a byte."""
LocalRows = NDArray[np.uint32]
"""Rows in a group."""
BLOCK = 1 << 16
_WRITES = 12


@dataclass(frozen=True)
class Keys:
    """The stage ``dedup.keys``: one task a group.

    Parameters
    ----------
    corpus
        What is deduplicated.
    seed, valid_fraction
        Seed of the split into train and valid, and the probability of a cluster to go to valid.
    """

    corpus: Corpus
    seed: int
    valid_fraction: float
    name: str = "dedup.keys"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per group."""
        corpus = self.corpus
        settings = corpus.settings
        bands = [settings.minhash.bands, settings.minhash.rows] if settings.minhash else None
        decides = [settings.exact, bands, corpus.partitions, self.seed, self.valid_fraction]
        planned = []
        for group, files in enumerate(corpus.groups):
            key = key_of(self.name, [file.identity for file in files], decides)
            size = sum(file.fingerprints.bytes for file in files)
            writes = _WRITES * settings.keys * sum(corpus.rows(file) for file in files)
            planned.append(Task(group_id(group), key, size, group, writes))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write the keys of a group.

        Returns
        -------
        ``documents``; ``keys`` of those that take part.

        Raises
        ------
        InputError
            A file does not hold fingerprints made with these settings.
        TaskError
            What was removed does not fit the fingerprints.
        """
        corpus = self.corpus
        draws: list[NDArray[np.bool_]] = [np.empty(0, np.bool_)]
        schema = pa.schema({"key": pa.uint64(), "row": pa.uint32()})
        documents = count = 0
        with outputs.open(KEYS.format(task.id)) as file, SectionWriter(file, schema, corpus.partitions) as sink:
            held = _Held(sink, corpus)
            for part, first, last in corpus.files(task.payload):
                prints = part.load(outputs, corpus.hashes)
                held.add(prints, part, first, outputs)
                draws.append(is_valid(prints.exact, self.valid_fraction, self.seed))
                documents += last - first
            held.flush()
            count = held.count
        with outputs.open(DRAWS.format(task.id)) as file:
            np.save(file, np.packbits(np.concatenate(draws)))
        progress(documents=documents)
        return {"documents": documents, "keys": count}


class _Held:
    """Keys on their way to the file: a chunk of about ``corpus.TASK_BYTES`` at most."""

    def __init__(self, sink: SectionWriter, corpus: Corpus) -> None:
        self._sink = sink
        self._settings = corpus.settings
        self._partitions = corpus.partitions
        self._keys: list[Hashes] = []
        self._rows: list[LocalRows] = []
        self._documents = self.count = 0

    def add(self, prints: Fingerprints, file: File, origin: int, outputs: Outputs) -> None:
        """Take in the documents of a file; ``origin`` is the row of its first in the group."""
        alive = file.taking_part(outputs, len(prints))
        for first in range(0, len(prints), BLOCK):
            rows = first + np.flatnonzero(alive[first : first + BLOCK])
            self._keys.append(keys_of(Fingerprints(prints.exact[rows], prints.signatures[rows]), self._settings))
            self._rows.append((rows + origin).astype(np.uint32))
            self._documents += len(rows)
            if self._documents >= CHUNK_DOCUMENTS:
                self.flush()

    def flush(self) -> None:
        """Write what is held, if it is anything."""
        if not self._documents:
            return
        keys, rows = np.concatenate(self._keys), np.concatenate(self._rows)
        self._keys, self._rows, self._documents = [], [], 0
        by_partition, of_rows, bounds = scatter(keys, rows, self._partitions)
        self._sink.write(pa.RecordBatch.from_pydict({"key": by_partition, "row": of_rows}), bounds)
        self.count += len(by_partition)


CHUNK_DOCUMENTS = 1 << 19
"""Documents whose keys are written at once."""


def keys_of(prints: Fingerprints, settings: DedupSettings) -> Hashes:
    """Return the keys of some documents by which they can meet others: uint64[n, kinds]."""
    kinds = [prints.exact[:, :1]] if settings.exact else []
    if settings.minhash:
        kinds.append(band_keys(prints.signatures, settings.minhash.bands, settings.minhash.rows).T)
    return np.concatenate([np.empty((len(prints), 0), np.uint64), *kinds], axis=1)


@njit(cache=True, nogil=True)
def scatter(keys: Hashes, rows: LocalRows, partitions: int) -> tuple[Hashes, LocalRows, Rows]:
    """Sort the keys of some documents by partition: equal parts of the range of 64-bit numbers.

    Parameters
    ----------
    keys, rows
        uint64[n, kinds] and uint32[n].
    partitions
        How many there are, at most 2^16.

    Returns
    -------
    keys, rows
        uint64[n * kinds] and uint32[n * kinds]; rows stay in order inside a partition.
    bounds
        Where each partition begins and the last one ends: int64[partitions + 1].
    """
    bounds = np.zeros(partitions + 1, np.int64)
    for row in range(len(keys)):
        for kind in range(keys.shape[1]):
            bounds[_partition(keys[row, kind], partitions) + 1] += 1
    for partition in range(partitions):
        bounds[partition + 1] += bounds[partition]
    places = bounds[:-1].copy()
    by_partition, of_rows = np.empty(keys.size, np.uint64), np.empty(keys.size, np.uint32)
    for row in range(len(keys)):
        for kind in range(keys.shape[1]):
            partition = _partition(keys[row, kind], partitions)
            by_partition[places[partition]] = keys[row, kind]
            of_rows[places[partition]] = rows[row]
            places[partition] += 1
    return by_partition, of_rows, bounds


@njit(cache=True, nogil=True, inline="always")
def _partition(key: np.uint64, partitions: int) -> np.int64:
    return np.int64(((key >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32))


def lowest_key(partition: int, partitions: int) -> int:
    """Return the lowest key of a partition."""
    return -(-(partition << 32) // partitions) << 32
