"""Duplicates at scale: mixer's stages over made-up fingerprints, held against SciPy, beside datatrove's.

    python benchmarks/dedup.py --documents 20000000 --out /tmp/duplicates
    python benchmarks/dedup.py --documents 1000000 --peer --out /tmp/duplicates

``synthetic`` makes the fingerprints, 464 bytes a document. The stages of ``dedup`` run over them on the local engine.
The check shares nothing with them: all pairs of every bucket of every band, as NumPy sorts them, those that agree in
enough hashes as edges, and ``scipy.sparse.csgraph.connected_components``; every document must have the same fate. The
peer gets the same signatures, in its format, and clusters by bands alone.
"""

import argparse
import json
import math
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
from harness import machine, run, table
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from synthetic import BANDS, HASHES, ROWS, make

from mixer.dedup.corpus import Corpus
from mixer.dedup.fates import FATES
from mixer.dedup.fingerprint import FINGERPRINTS, load
from mixer.dedup.settings import DedupSettings
from mixer.dedup.stage import deduplicate
from mixer.engine.display import SilentDisplay
from mixer.engine.local import LocalEngine
from mixer.engine.lock import lock
from mixer.engine.stage import Receipt

FILE_ROWS = 250_000
HERE = Path(__file__).parent
PEER = HERE / ".venv-datatrove/bin/python"


def prepared(root):
    """Read the receipts that ``make`` returned."""
    return msgspec.json.decode((root / "prepared.json").read_bytes(), type=list[Receipt])


def step_make(root, options):
    """Write the fingerprints."""
    receipts = make(root, options.documents, FILE_ROWS)
    (root / "prepared.json").write_bytes(msgspec.json.encode(receipts))


def step_mixer(root, options):
    """Deduplicate; print what each stage took."""
    corpus = Corpus.of(prepared(root), DedupSettings(partitions=options.partitions or "auto"))
    with lock(root), LocalEngine(root, options.workers, SilentDisplay(), ["mixer.prepare"]) as engine:
        deduplicate(engine.run, corpus, 1, 0.001)
    stages = [
        {"stage": r.stage, "tasks": r.ran, "cpu": r.cpu_seconds, "wall": r.seconds, "peak": r.peak_bytes}
        for r in engine.reports
    ]
    print(json.dumps({"partitions": corpus.partitions, "stages": stages}))


def fingerprints(root):
    """Map all fingerprints, file by file."""
    return [load(root / FINGERPRINTS.format(receipt.task), HASHES) for receipt in prepared(root)]


def step_check(root, options):
    """Find clusters in another way; every document must have the fate that follows."""
    parts = fingerprints(root)
    count = sum(map(len, parts))
    exact = np.concatenate([part.exact for part in parts])
    order = np.lexsort((np.arange(count), exact[:, 1], exact[:, 0]))
    new = np.ones(count, np.bool_)
    new[1:] = (exact[order[1:]] != exact[order[:-1]]).any(axis=1)
    twin = np.empty(count, np.int64)
    twin[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    del exact, order, new
    alive = np.flatnonzero(twin == np.arange(count))
    factors = np.random.default_rng(7).integers(1, 2**63, ROWS).astype(np.uint64) | np.uint64(1)
    pairs = np.empty(0, np.uint64)
    for band in range(BANDS):
        keys = np.concatenate([
            (part.signatures[:, band * ROWS : band * ROWS + ROWS].astype(np.uint64) * factors).sum(axis=1)
            for part in parts
        ])[alive]  # fmt: skip
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        ends = np.flatnonzero(np.append(keys[1:] != keys[:-1], True)) + 1
        sizes = np.diff(ends, prepend=0)
        left = np.repeat(ends, sizes) - np.arange(len(keys)) - 1  # later members of the bucket
        first = np.repeat(np.arange(len(keys)), left)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(left) - left, left)
        ones, twos = alive[order[first]], alive[order[second]]
        found = (np.minimum(ones, twos).astype(np.uint64) << np.uint64(32)) | np.maximum(ones, twos).astype(np.uint64)
        pairs = np.sort(np.concatenate([pairs, found]))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])] if len(pairs) else pairs
        del keys, order, first, second, ones, twos, found, left
    ones, twos = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    edge = np.zeros(len(ones), np.bool_)
    place = (ones // FILE_ROWS) * len(parts) + twos // FILE_ROWS
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(parts) ** 2 + 1))
    for which in np.flatnonzero(np.diff(bounds)):  # by the files of both ends
        here = order[bounds[which] : bounds[which + 1]]
        one, two = parts[which // len(parts)].signatures, parts[which % len(parts)].signatures
        agreeing = (one[ones[here] % FILE_ROWS] == two[twos[here] % FILE_ROWS]).sum(axis=1)
        edge[here] = agreeing >= math.ceil(0.7 * HASHES - 1e-9)
    ones, twos = ones[edge], twos[edge]
    graph = coo_array((np.ones(len(ones), np.bool_), (ones, twos)), (count, count)).tocsr()
    _, labels = connected_components(graph, directed=False)
    lowest = np.full(labels.max() + 1, count)
    np.minimum.at(lowest, labels, np.arange(count))
    survivor = lowest[labels]
    fates = np.concatenate([np.load(root / FATES.format(receipt.task))["fate"] for receipt in prepared(root)])
    here = np.arange(count)
    wrong = int(((fates == 2) != (twin != here)).sum())
    wrong += int(((fates == 3) != ((twin == here) & (survivor != here))).sum())
    print(json.dumps({
        "candidate_pairs": len(pairs), "edges": len(ones), "exact": int((twin != here).sum()),
        "near": int(((twin == here) & (survivor != here)).sum()), "wrong": wrong,
    }))  # fmt: skip
    if wrong:
        sys.exit(f"{wrong} documents have another fate")


def step_signatures(root, options):
    """Write the signatures as datatrove's first step does: a file for each band and task, sorted."""
    names = [f"field{k}" for k in range(ROWS + 1)]
    records = np.dtype([(name, "<u4") for name in names])
    for number, part in enumerate(fingerprints(root)):
        for band in range(BANDS):
            folder = root / f"peer/signatures/bucket_{band:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            columns = np.column_stack(
                [part.signatures[:, band * ROWS : band * ROWS + ROWS], np.arange(len(part), dtype=np.uint32)]
            )
            order = np.lexsort(columns.T[::-1])
            np.ascontiguousarray(columns[order]).view(records).tofile(folder / f"{number:05d}.minhash.sig")


def measured(step, root, options):
    """Run a step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--out", root, "--documents", options.documents]
    command += ["--workers", options.workers, "--partitions", options.partitions]
    return run([str(part) for part in command])


def main():
    """Make, deduplicate, check, and run the peer; print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, required=True, help="scratch; 0.9 GB for a million documents")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--partitions", type=int, default=0, help="0: as planned")
    parser.add_argument("--peer", action="store_true", help="datatrove, too")
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the scratch files")
    parser.add_argument("--step", choices=["make", "mixer", "check", "signatures"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = options.out
    if options.step:
        globals()[f"step_{options.step}"](root, options)
        return
    root.mkdir(parents=True, exist_ok=True)
    print(f"{options.documents:,} documents, {options.workers} workers; {machine()}\n", flush=True)
    measured("make", root, options)
    used = measured("mixer", root, options)
    found = json.loads(used.printed.splitlines()[-1])
    rows = [["stage", "tasks", "CPU s", "wall s", "peak MB"]]
    for stage in found["stages"]:
        rows.append(
            [
                f"`{stage['stage']}`",
                str(stage["tasks"]),
                f"{stage['cpu']:.1f}",
                f"{stage['wall']:.1f}",
                f"{stage['peak'] / 1e6:.0f}",
            ]
        )
    peak = max(stage["peak"] for stage in found["stages"])
    rows.append(["all, with what starts them", "", f"{used.seconds:.1f}", f"{used.wall:.1f}", f"{peak / 1e6:.0f}"])
    print(f"{found['partitions']} partitions\n")
    table(rows)
    if not options.no_check:
        checked = measured("check", root, options)
        print(f"check ({checked.wall:.0f} s, {checked.peak / 1e9:.1f} GB): {checked.printed}")
    if options.peer:
        measured("signatures", root, options)
        rows = [["datatrove", "CPU s", "peak MB", "of it imports"]]
        for step in ("buckets", "cluster"):
            took = run([str(PEER), str(HERE / "peer_datatrove_dedup.py"), step, str(root / "peer")])
            peaks = (f"{int(kilobytes) / 1e3:.0f}" for kilobytes in took.printed.split())
            rows.append([step, f"{took.seconds:.1f}", *peaks])
        table(rows)
    if not options.keep:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
