"""Two more steps of deduplication, for components that are too large to be compared in one task; see ``components``.

The keys of contested documents are made again, each with a *sketch* of the signature, two bits of every hash
(``minhash.sketches``). Inside a bucket two documents are joined only if their sketches differ in no more places than
those of duplicates can. Chance lets pass few others: of 16 agreeing hashes, as two documents have that share two bands
of a template, it would have to make 63 more of 96 seem equal at a quarter each.

Memory: 52 bytes a key of a partition. A bucket of m documents costs m^2 / 2 comparisons (about 3 ns) as long as it is
not all one component, like the comparison of documents itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from mixer.dedup.buckets import edges_path, read_keys, sort_keys, write_edges
from mixer.dedup.clusters import Rows
from mixer.dedup.corpus import Corpus, components_path, group_id, parts_of
from mixer.dedup.fingerprint import Fingerprints
from mixer.dedup.forest import CONTESTED
from mixer.dedup.keys import keys_of, scatter
from mixer.dedup.minhash import differences, sketches
from mixer.dedup.sections import CHUNK, SectionWriter, fixed, matrix
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.text.hashing import Hashes

KEYS_AGAIN = "run/dedup/again/keys/{}.arrow"
"""A section a partition: ``key``, ``row`` in the group, and ``sketch``; rows ascend."""


@dataclass(frozen=True)
class KeysAgain:
    """The stage ``dedup.keys.again``: one task a group.

    Parameters
    ----------
    corpus
        What is deduplicated.
    components
        The file of the first ``Components``.
    """

    corpus: Corpus
    components: OutputFile
    name: str = "dedup.keys.again"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per group."""
        settings, planned = self.corpus.settings, []
        decides = [settings.exact, settings.minhash and [settings.minhash.bands, settings.minhash.rows]]
        for group, files in enumerate(self.corpus.groups):
            about = [[file.identity for file in files], self.components.xxh64, group, self.corpus.partitions]
            size = sum(file.fingerprints.bytes for file in files)
            planned.append(Task(group_id(group), key_of(self.name, about, decides), size, group, size))
        return planned

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write the keys and sketches of the contested documents of a group.

        Returns
        -------
        ``documents``, how many they are.
        """
        corpus = self.corpus
        rows, parts = parts_of(outputs, components_path(again=False), corpus, task.payload)
        rows = rows[parts == CONTESTED]
        width = -(-corpus.hashes // 32)
        schema = pa.schema({"key": pa.uint64(), "row": pa.uint32(), "sketch": pa.binary(8 * width)})
        with outputs.open(KEYS_AGAIN.format(task.id)) as file, SectionWriter(file, schema, corpus.partitions) as sink:
            for part, first, last in corpus.files(task.payload):
                begin, end = np.searchsorted(rows, (first, last)).tolist()
                if end == begin:
                    continue
                prints = part.load(outputs, corpus.hashes)
                for start in range(begin, end, CHUNK):
                    chosen = rows[start : min(end, start + CHUNK)]
                    own = Fingerprints(prints.exact[chosen - first], prints.signatures[chosen - first])
                    count = np.arange(len(chosen), dtype=np.uint32)
                    keys, places, bounds = scatter(keys_of(own, corpus.settings), count, corpus.partitions)
                    columns = [
                        pa.array(keys),
                        pa.array(chosen.astype(np.uint32)[places]),
                        fixed(sketches(own.signatures)[places]),
                    ]
                    sink.write(pa.RecordBatch.from_arrays(columns, schema=schema), bounds)
        return {"documents": len(rows)}


@dataclass(frozen=True)
class BucketsAgain:
    """The stage ``dedup.buckets.again``: one task a partition.

    Parameters
    ----------
    corpus
        What is deduplicated.
    inputs
        The files of ``KeysAgain`` of every group, by path.
    """

    corpus: Corpus
    inputs: Mapping[str, OutputFile] = field(metadata=PLANNING)
    name: str = "dedup.buckets.again"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per partition."""
        corpus = self.corpus
        files = [self.inputs[KEYS_AGAIN.format(group_id(group))] for group in range(len(corpus.groups))]
        decides = [corpus.bounds.tolist(), corpus.partitions, _most_differences(corpus)]
        size = sum(file.bytes for file in files) // corpus.partitions
        return [
            Task(group_id(part), key_of(self.name, [file.xxh64 for file in files], decides, part), size, part, size)
            for part in range(corpus.partitions)
        ]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Write the edges of a partition.

        Returns
        -------
        ``keys`` and ``edges``.
        """
        corpus = self.corpus
        packed, rows, batches = read_keys(outputs, KEYS_AGAIN, corpus, task.payload)
        found = [np.empty((0, -(-corpus.hashes // 32)), np.uint64)]
        found += [matrix(batch["sketch"], np.uint64) for batch in batches]
        index_bits = sort_keys(packed, task.payload, corpus.partitions)
        edges = join_alike(packed, index_bits, rows, np.concatenate(found), _most_differences(corpus))
        write_edges(outputs, edges_path(again=True).format(task.id), edges)
        return {"keys": len(packed), "edges": edges.shape[1]}


def _most_differences(corpus: Corpus) -> int:
    """Return in how many hashes duplicates may differ."""
    minhash = corpus.settings.minhash
    return minhash.hashes - minhash.enough if minhash else 0


@njit(cache=True, nogil=True)
def join_alike(packed: Hashes, index_bits: np.uint64, rows: Rows, sketch: Hashes, most: int) -> Rows:
    """Join the documents of each bucket whose sketches differ in at most ``most`` places: int64[2, edges].

    Parameters
    ----------
    packed
        Sorted: the high bits of keys; in the low ``index_bits`` which of ``rows`` and ``sketch`` has it. Rows ascend.
    """
    mask = (np.uint64(1) << index_bits) - np.uint64(1)
    lowest = np.arange(len(packed))  # of the component inside the bucket, by place
    edges = np.empty((2, len(packed)), np.int64)
    count = start = 0
    while start < len(packed):
        stop = start + 1
        while stop < len(packed) and (packed[stop] | mask) == (packed[start] | mask):
            stop += 1
        components = stop - start
        for here in range(start, stop):
            if components == 1:
                break
            root = _root(lowest, here)
            for there in range(here + 1, stop):
                other = _root(lowest, there)
                one, two = np.int64(packed[here] & mask), np.int64(packed[there] & mask)
                if other != root and differences(sketch, one, two) <= most:
                    edges[0, count], edges[1, count] = rows[one], rows[two]
                    root, other = min(root, other), max(root, other)
                    lowest[other] = root
                    components -= 1
                    count += 1
        start = stop
    return edges[:, :count].copy()


@njit(cache=True, nogil=True, inline="always")
def _root(lowest: Rows, place: int) -> int:
    while lowest[place] != place:
        lowest[place] = lowest[lowest[place]]
        place = lowest[place]
    return place
