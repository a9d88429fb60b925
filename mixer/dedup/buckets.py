"""Second step of deduplication: who shares a key with whom.

A task reads the keys of one partition, from the files of all groups, sorts them, and joins all documents of a bucket,
those with the same key, to the lowest of them: one edge a document, however large the bucket. An edge is a suspicion
only; ``survivors`` compares the documents themselves. Memory: 24 bytes a key, ``corpus.TASK_BYTES`` on average; a
bucket is never parted, so one that is larger than a partition adds its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from mixer.dedup.clusters import Rows
from mixer.dedup.corpus import Corpus, group_id
from mixer.dedup.keys import KEYS, lowest_key
from mixer.dedup.sections import CHUNK, read_section
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.text.hashing import Hashes

_WRITES = 0.5
"""Bytes of edges for a byte of keys, at most about."""


@dataclass(frozen=True)
class Buckets:
    """The stage ``dedup.buckets``: one task a partition.

    Parameters
    ----------
    corpus
        What is deduplicated.
    inputs
        The file of keys of every group, by path.
    """

    corpus: Corpus
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.buckets"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per partition."""
        files = [self.inputs[KEYS.format(group_id(group))] for group in range(len(self.corpus.groups))]
        # Hashed once: what every task depends on is as long as there are groups.
        about = key_of([file.xxh64 for file in files], self.corpus.bounds.tolist())
        size = sum(file.bytes for file in files) // self.corpus.partitions
        return [
            Task(
                group_id(partition),
                key_of(self.name, about, partition, self.corpus.partitions),
                size,
                partition,
                int(_WRITES * size),
            )
            for partition in range(self.corpus.partitions)
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write the edges of a partition.

        Returns
        -------
        ``keys`` and ``edges``.
        """
        corpus = self.corpus
        packed, rows, _ = read_keys(outputs, KEYS, corpus, task.payload)
        index_bits = sort_keys(packed, task.payload, corpus.partitions)
        edges = stars(packed, index_bits, rows)
        write_edges(outputs, edges_path(again=False).format(task.id), edges)
        return {"keys": len(packed), "edges": edges.shape[1]}


def edges_path(*, again: bool) -> str:
    """Return where the edges of a partition are: ``low`` and ``high``, rows over all files, int64 each."""
    return f"run/dedup/{'again/' if again else ''}edges/{{}}.arrow"


def read_keys(
    outputs: Outputs, path: str, corpus: Corpus, partition: int
) -> tuple[Hashes, Rows, Sequence[pa.RecordBatch]]:
    """Read all keys of a partition from the files of all groups.

    Returns
    -------
    keys, rows
        uint64[n], and the documents that have them, over all files and ascending: int64[n].
    batches
        The same with all columns that the files have, mapped.
    """
    found = [
        (origin, batch)
        for group, origin in enumerate(corpus.bounds[:-1])
        for batch in read_section(outputs, path.format(group_id(group)), partition, corpus.partitions)
    ]
    total = sum(len(batch) for _, batch in found)
    keys, rows = np.empty(total, np.uint64), np.empty(total, np.int64)
    start = 0
    for origin, batch in found:
        stop = start + len(batch)
        keys[start:stop] = batch["key"].to_numpy()
        np.add(batch["row"].to_numpy(), origin, out=rows[start:stop], dtype=np.int64, casting="unsafe")
        start = stop
    return keys, rows, [batch for _, batch in found]


def sort_keys(keys: Hashes, partition: int, partitions: int) -> np.uint64:
    """Put into the low bits of each key which one it is, and sort them; return how many bits these are."""
    index_bits = max(1, (len(keys) - 1).bit_length())
    shift, mask = np.uint64(partitions.bit_length() - 1), np.uint64((1 << index_bits) - 1)
    pack(keys, np.uint64(lowest_key(partition, partitions)), shift, mask)
    keys.sort()
    return np.uint64(index_bits)


def write_edges(outputs: Outputs, path: str, edges: Rows) -> None:
    """Write edges, int64[2, n], in batches."""
    schema = pa.schema({"low": pa.int64(), "high": pa.int64()})
    batch = pa.RecordBatch.from_arrays([pa.array(edges[0]), pa.array(edges[1])], schema=schema)
    with outputs.open(path) as file, pa.ipc.new_file(file, schema) as sink:
        for first in range(0, len(batch), CHUNK):
            sink.write_batch(batch.slice(first, CHUNK))


@njit(cache=True, nogil=True)
def pack(keys: Hashes, lowest: np.uint64, shift: np.uint64, mask: np.uint64) -> None:
    """Put each key's index into its low bits (``mask``); less ``lowest``, the high ``shift`` bits of all keys are 0.

    One number sorts many times faster than a key with an index. The bits that are lost (some 25 of 64) let a few keys
    seem equal that are not, one in ten thousand: an edge too many, that is all.
    """
    for index in range(len(keys)):
        keys[index] = (((keys[index] - lowest) << shift) & ~mask) | np.uint64(index)


@njit(cache=True, nogil=True)
def stars(packed: Hashes, index_bits: np.uint64, rows: Rows) -> Rows:
    """Join all documents of each bucket to its lowest: int64[2, edges].

    Parameters
    ----------
    packed
        Sorted: the high bits of keys, and in the low ``index_bits`` which of ``rows`` has it; rows ascend.
    """
    mask = (np.uint64(1) << index_bits) - np.uint64(1)
    count = 0
    for place in range(1, len(packed)):
        count += (packed[place] | mask) == (packed[place - 1] | mask)
    edges = np.empty((2, count), np.int64)
    first = count = 0
    for place in range(1, len(packed)):
        if (packed[place] | mask) != (packed[place - 1] | mask):
            first = place
            continue
        low, high = rows[np.int64(packed[first] & mask)], rows[np.int64(packed[place] & mask)]
        edges[0, count], edges[1, count] = low, high
        count += 1
    return edges
