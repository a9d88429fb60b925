"""Do near duplicates by MinHash cluster as exact Jaccard similarity would have it; by cluster, on real corpora.

    MIXER_DATA=/data python benchmarks/recall.py

The truth shares no code with the kernels: shingles as sets of Python objects, all pairs by a sparse product, an edge
where shared shingles are at least 70 % of all, clusters by ``scipy.sparse.csgraph.connected_components``.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import zstandard
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

sys.path.insert(0, str(Path(__file__).parent.parent))
from mixer.dedup.clusters import find_duplicates
from mixer.dedup.fingerprint import fingerprint
from mixer.dedup.minhash import band_keys
from mixer.dedup.settings import DedupSettings
from tests.dedup.twin import units

CORPORA = (  # what, file, field
    ("versions of the Rust book", "en/rust_book_versions.jsonl.zst", "content"),
    ("editions of novels", "en/gutenberg_editions.jsonl.zst", "text"),
    ("amended statutes", "zh/laws_versions.jsonl.zst", "正文"),
    ("release notes and manuals", "zh/tidb_docs_cn.jsonl.zst", "content"),
    ("a book in three scripts", "zh/go_web_book_en_zh_zhtw.jsonl.zst", "text"),
)


class Found(NamedTuple):
    """How two ways to cluster compare.

    ``lost`` and ``truly_lost`` count documents that are not the first of their cluster; ``recall`` and ``precision``
    are of pairs of documents in one cluster; ``clusters`` of two and more are true ones, of which ``same`` were found
    as they are; ``unlike`` documents were lost though no other of their cluster is truly alike, the least so at
    ``least``.
    """

    documents: int
    truly_lost: int
    lost: int
    recall: float
    precision: float
    clusters: int
    same: int
    unlike: int
    least: float


def similarities(texts, length):
    """Return the exact Jaccard similarity of every pair: float64[n, n]."""
    number, rows, columns = {}, [], []
    for row, text in enumerate(texts):
        found = units(text)
        own = {tuple(found[at : at + length]) for at in range(max(1, len(found) - length + 1))}
        columns += [number.setdefault(hash(shingle), len(number)) for shingle in own]
        rows += [row] * len(own)
    matrix = csr_array((np.ones(len(rows), np.int32), (rows, columns)), (len(texts), len(number)))
    shared = (matrix @ matrix.T).toarray()
    sizes = shared.diagonal()
    return shared / (sizes[:, None] + sizes[None, :] - shared)


def compare(texts):
    """Cluster documents by MinHash and by exact similarity."""
    chosen = DedupSettings()
    minhash = chosen.minhash
    alike = similarities(texts, minhash.shingle)
    true = connected_components(csr_array(alike >= minhash.similarity), directed=False)[1]
    made = fingerprint(pa.array(texts, pa.large_string()), minhash)
    keys = band_keys(made.signatures, minhash.bands, minhash.rows)
    twin = find_duplicates(made.exact, keys, lambda rows: made.signatures[rows], chosen).twin
    both, ours = true[:, None] == true[None, :], twin[:, None] == twin[None, :]
    for pairs in (both, ours):
        pairs[np.diag_indices(len(texts))] = False
    lost = np.flatnonzero(twin != np.arange(len(texts)))
    nearest = np.where(ours, alike, 0.0).max(axis=1)[lost]
    sizes = np.bincount(true)
    members = (np.flatnonzero(true == label) for label in np.flatnonzero(sizes > 1))
    same = sum((both[own] == ours[own]).all() for own in members)
    return Found(
        documents=len(texts),
        truly_lost=len(texts) - len(sizes),
        lost=len(lost),
        recall=(both & ours).sum() / max(1, both.sum()),
        precision=(both & ours).sum() / max(1, ours.sum()),
        clusters=int((sizes > 1).sum()),
        same=int(same),
        unlike=int((nearest < minhash.similarity).sum()),
        least=float(nearest.min(initial=1.0)),
    )


def read(file, field):
    """Read the documents of a corpus."""
    with zstandard.open(Path(os.environ["MIXER_DATA"]) / file, "rt", encoding="utf-8") as opened:
        return [json.loads(line)[field] for line in io.StringIO(opened.read()) if line.strip()]


def main():
    """Print a table."""
    from harness import table

    columns = ["corpus", "documents", "true duplicates", "found", "recall", "precision", "clusters", "same", "unlike"]
    rows = [[*columns, "least alike"]]
    for what, file, field in CORPORA:
        found = compare(read(file, field))
        counts = (found.documents, found.truly_lost, found.lost)
        shares = (f"{found.recall:.3f}", f"{found.precision:.3f}")
        clusters = (f"{count:,}" for count in (found.clusters, found.same, found.unlike))
        rows.append([what, *(f"{count:,}" for count in counts), *shares, *clusters, f"{found.least:.2f}"])
    table(rows)


if __name__ == "__main__":
    main()
