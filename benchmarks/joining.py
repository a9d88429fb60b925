"""Joining shards of 100 billion tokens: time, and peak memory at 1, 8 and 64 times the shards.

    python benchmarks/joining.py            # 1.6, 12.5 and 100 billion tokens: 400 GB, of which 2 GB are really written
    python benchmarks/joining.py --times 1 8

A shard has 97.7 million ids, all 0 but the last, in 100,000 documents. They are three files again and again, which
stay in memory, so that no disk is measured. ``join`` reads every byte, hashes it twice and writes all in order, as in a
build; what takes its output leaves holes for zeros. Each step is a process of its own. At the end mixer and
megatron-core read documents at the ends of shards.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import xxhash
from harness import machine, run, table

from mixer.megatron.indexed import Shard, join, read_index

SHARDS = 16
FILES = 3
DOCUMENTS = 100_000
TOKENS = 977
"""Of a document, but the last of a shard has one more."""
IDS = np.dtype("<i4")


class Holes:
    """A file that is written in order and hashed, like those of a build, and keeps no zeros on the disk."""

    def __init__(self, path):
        self._file = path.open("wb", buffering=0)
        self._hash = xxhash.xxh64()

    def write(self, data):
        self._hash.update(data)
        if np.frombuffer(data, np.uint8).any():
            self._file.write(data)
        else:
            self._file.seek(len(data), os.SEEK_CUR)
        return len(data)

    def close(self):
        self._file.truncate()
        self._file.close()


def make(folder):
    """Make the files of the shards; the last id of each is its number, from 1."""
    each = np.full(DOCUMENTS, TOKENS, np.int32)
    each[-1] += 1
    np.save(folder / "lengths.npy", each)
    for number in range(FILES):
        with (folder / f"{number}.bin").open("wb") as file:
            file.seek(IDS.itemsize * DOCUMENTS * TOKENS)
            file.write(np.array([number + 1], IDS).tobytes())


def joined(folder, count):
    """Join the first shards."""
    shards = [Shard(folder / f"{number % FILES}.bin", folder / "lengths.npy") for number in range(count)]
    ids, index = Holes(folder / "joined.bin"), Holes(folder / "joined.idx")
    found = join(shards, ids, index, IDS)
    ids.close()
    index.close()
    return {"documents": found.documents, "tokens": found.tokens}


def looked_at(folder, count):
    """Check the index as ``verify`` does, and read the last document of the last shard."""
    index = read_index(folder / "joined")
    (end,) = index.ends(index.documents - 1, index.documents)
    last = np.memmap(folder / "joined.bin", IDS, "r")[end - 1]
    assert (end, last) == (index.tokens, (count - 1) % FILES + 1)
    return {"documents": index.documents, "tokens": index.tokens}


def megatron(folder, count):
    """Read the last documents of some shards with megatron-core."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from megatron.core.datasets.indexed_dataset import IndexedDataset
    dataset = IndexedDataset(str(folder / "joined"))
    for number in {0, count // 2, count - 1}:
        ids = dataset.get((number + 1) * DOCUMENTS - 1)
        assert (len(ids), ids[-1], ids[:-1].any()) == (TOKENS + 1, number % FILES + 1, False)
    return {"documents": len(dataset), "tokens": int(dataset.sequence_lengths.sum(dtype=np.int64))}


STEPS = {"join": joined, "read_index": looked_at, "megatron-core": megatron}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        name, folder, count = given.step
        print(json.dumps(STEPS[name](Path(folder), int(count))))
        return
    print(machine() + "\n")
    rows = [["step", "shards", "tokens", "documents", "seconds of CPU", "peak memory, MB"]]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for times in given.times:
            for name in STEPS:
                used = run([sys.executable, __file__, "--step", name, folder, str(SHARDS * times)])
                found = json.loads(used.printed)
                amounts = [f"{SHARDS * times:,}", f"{found['tokens']:,}", f"{found['documents']:,}"]
                rows.append([name, *amounts, f"{used.seconds:,.1f}", f"{used.peak / 1e6:,.0f}"])
    table(rows)


if __name__ == "__main__":
    main()
