"""Runs the steps of deduplication in this process, over documents written as ``prepare`` does."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixer.dedup.corpus import CONTAMINATION, PREPARED, Corpus
from mixer.dedup.fates import FATES
from mixer.dedup.fingerprint import FINGERPRINTS, FingerprintWriter
from mixer.dedup.settings import DedupSettings
from mixer.dedup.stage import deduplicate
from mixer.documents import make_batch, set_column
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt


class Runs:
    """An engine of a few lines: ``receipts`` of all stages, and what tasks told their progress."""

    def __init__(self, root):
        self.root = root
        self.receipts = {}
        self.documents = self.kept = 0

    def __call__(self, stage):
        found = []
        for task in stage.tasks():
            outputs = Outputs(self.root)
            counts = stage.run(task, outputs, self.progress)
            found.append(Receipt(stage.name, task.id, task.key, outputs.files, counts))
        self.receipts[stage.name] = found
        return found

    def progress(self, *, documents=0, size=0, kept=0):
        self.documents += documents
        self.kept += kept

    @property
    def files(self):
        return {
            path: file
            for receipts in self.receipts.values()
            for receipt in receipts
            for path, file in receipt.outputs.items()
        }


def prepare(root, corpus, minhash, group_rows=3):
    """Write documents and fingerprints by task; return the receipts."""
    receipts = []
    for task, texts in corpus.items():
        outputs = Outputs(root)
        with outputs.open(FINGERPRINTS.format(task)) as file:
            FingerprintWriter(file, minhash).write(pa.array(texts, pa.large_string()))
        files = [f"{task.split('/')[0]}-{row // 2}.jsonl" for row in range(len(texts))]
        batch = make_batch(files, [row % 2 for row in range(len(texts))], texts)
        batch = set_column(batch, "language", pa.array(["en"] * len(texts), pa.string()))
        table = pa.Table.from_batches([batch]) if texts else pa.table({})
        with outputs.open(PREPARED.format(task)) as file:
            pq.write_table(table, file, row_group_size=group_rows)
        receipts.append(Receipt("prepare", task, "key", outputs.files, {}))
    return receipts


def mark(root, marks):
    """Write which documents were removed before; return the files by task."""
    files = {}
    for task, removed in marks.items():
        outputs = Outputs(root)
        with outputs.open(CONTAMINATION.format(task)) as file:
            np.save(file, np.array(removed, np.bool_))
        files[task] = outputs.files[CONTAMINATION.format(task)]
    return files


def run(root, corpus, chosen=None, seed=1, valid_fraction=0.0, marks=None, earlier=()):
    """Deduplicate; return the engine, and the fates by task."""
    chosen = chosen or DedupSettings()
    receipts = prepare(root, corpus, chosen.minhash or None)
    engine = Runs(root)
    deduplicate(engine, Corpus.of(receipts, chosen, mark(root, marks or {}), earlier), seed, valid_fraction)
    fates = {}
    for task, texts in corpus.items():
        with np.load(root / FATES.format(task)) as file:
            fates[task] = file["fate"].tolist()
            assert file["fate"].dtype == np.uint8
        assert len(fates[task]) == len(texts)
    return engine, fates
