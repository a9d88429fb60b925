"""Fingerprints made up, for benchmarks/dedup.py: clusters of near duplicates of known shape, scattered over files.

A share ``DUPLICATES`` of the documents repeats another one. Clusters have 2 to ``LARGEST`` documents, s of them with a
probability of s^-2.5: most are pairs, a third of the copies are in clusters of ten and more. Each cluster has one
degree of likeness: exact copies (40 %), or hashes that stay those of the original with a probability of 0.97, 0.9 or
0.78 (20 % each; of the last some are no duplicates by 70 % of 112 hashes). One document in fifty has two bands of a
template that 200 others have, too, and no more: candidates that are none, which chain clusters together. All is a
function of the document's number, so that files can be made one by one.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from mixer.dedup.corpus import PREPARED
from mixer.dedup.fingerprint import FINGERPRINTS
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt

HASHES, BANDS, ROWS = 112, 14, 8
DUPLICATES = 0.3
LARGEST = 200
LIKENESS = ((0.4, 1.0), (0.6, 0.97), (0.8, 0.9), (1.0, 0.78))
TEMPLATES = 0.02
SHARE_A_TEMPLATE = 200
_KEEP = np.array([int(like * 2**32) - (like == 1.0) for _, like in LIKENESS], np.uint64)
_UP_TO = np.array([share for share, _ in LIKENESS])


def clusters(documents, seed=0):
    """Return the cluster of each place, int64[documents]: the places of a cluster are next to one another."""
    rng = np.random.default_rng(seed)
    sizes = np.arange(2, LARGEST + 1)
    weights = sizes**-2.5
    mean = (weights * (sizes - 1)).sum() / weights.sum()
    count = int(documents * DUPLICATES / mean)
    drawn = rng.choice(sizes, count, p=weights / weights.sum())
    alone = documents - int(drawn.sum())
    return np.repeat(np.arange(count + alone), np.concatenate([drawn, np.ones(alone, np.int64)]))


def place_of(rows, documents):
    """Scatter rows over places: a permutation of the numbers below ``documents``."""
    factor = next(f for f in range(int(documents * 0.618) | 1, documents * 2, 2) if np.gcd(f, documents) == 1)
    return (rows * factor + 12345) % documents


@njit
def _mix(one, two):
    value = (np.uint64(one) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(two) + np.uint64(0x632BE59BD9B4E019))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit
def _fill(places, cluster, keep, up_to, documents, templates, table):
    """Write exact keys and signatures: uint32[n, 4 + HASHES]."""
    for row in range(len(places)):
        place, own = places[row], cluster[row]
        kind = 0
        draw = np.float64(_mix(own, 1) >> np.uint64(11)) / 2.0**53
        while draw >= up_to[kind]:
            kind += 1
        of = own + documents if kind == 0 else place  # an exact copy has the key of its cluster
        for k in range(2):
            key = _mix(of, 7 + k)
            table[row, 2 * k], table[row, 2 * k + 1] = np.uint32(key), np.uint32(key >> np.uint64(32))
        for k in range(HASHES):
            value = _mix(own, 100 + k)
            if kind and (_mix(place, 1000 + k) >> np.uint64(32)) >= keep[kind]:
                value = _mix(place, 5000 + k)
            table[row, 4 + k] = np.uint32(value)
        if _mix(place, 3) % np.uint64(1000000) < np.uint64(TEMPLATES * 1000000):
            template = _mix(place, 4) % np.uint64(templates)
            first = 4 + ROWS * np.int64(_mix(template, 5) % np.uint64(BANDS - 1))
            for k in range(first, first + 2 * ROWS):
                table[row, k] = np.uint32(_mix(template, 9000 + k))


def rows_of(first, last, documents, cluster_of):
    """Make the exact keys and signatures of some documents: uint32[n, 4 + HASHES]."""
    places = place_of(np.arange(first, last), documents)
    table = np.empty((last - first, 4 + HASHES), np.uint32)
    templates = max(1, int(documents * TEMPLATES / SHARE_A_TEMPLATE))
    _fill(places, cluster_of[places], _KEEP, _UP_TO, documents, templates, table)
    return table


def make(root, documents, file_rows):
    """Write files of fingerprints and (all but empty) prepared documents; return receipts as of ``prepare``."""
    cluster_of = clusters(documents)
    receipts = []
    for number, first in enumerate(range(0, documents, file_rows)):
        last, task = min(documents, first + file_rows), f"web/{number:05d}"
        outputs = Outputs(root)
        with outputs.open(FINGERPRINTS.format(task)) as file:
            file.write(b"fingerp1" + HASHES.to_bytes(8, "little"))
            file.write(rows_of(first, last, documents, cluster_of))
        names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(last - first, np.int32)), [f"{task}.jsonl"])
        table = pa.table({
            "file": names, "record": np.arange(last - first),
            "text": pa.array(np.full(last - first, "text", object), pa.large_string()),
        })  # fmt: skip
        with outputs.open(PREPARED.format(task)) as file:
            pq.write_table(table, file, row_group_size=8192)
        receipts.append(Receipt("prepare", task, "key", outputs.files, {}))
    return receipts
