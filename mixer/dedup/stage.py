"""The second stage: all fingerprints, in the recipe's order -> what becomes of each document.

One task reads every fingerprint, so it is the only one whose memory grows with the corpora: about 130 bytes a document
(exact key, band keys, sorting, survivor) and 460 more for each that meets another in a band. A million documents need
0.15 GB without duplicates, 0.65 GB if every one meets another. Signatures stay in their files, mapped one at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows, find_duplicates, is_valid
from mixer.dedup.fingerprint import load
from mixer.dedup.minhash import Signatures, band_keys
from mixer.dedup.settings import DedupSettings
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Progress, Receipt, Task
from mixer.errors import TaskError

FINGERPRINTS = "run/fingerprints/{}.bin"
"""Where the fingerprints of a task of ``prepare`` are, by its id; rows as in its prepared file."""
FATES = "run/fates/{}.npz"
"""Where ``fate``, uint8[rows], goes: ``TRAIN``, ``VALID``, or why the document was dropped."""
TWINS = "run/twins/{}.npy"
"""Where the survivors go: int64[rows], the row counted over all files. Not with the fates: another source moves all
later rows, and what is made from fates alone shall not be made again for that."""
CONTAMINATION = "run/contaminated/{}.npy"
"""Which documents of a task of ``prepare`` were removed before duplicates are looked for: bool[rows]."""

TRAIN, VALID, DROPPED_EXACT, DROPPED_MINHASH, CONTAMINATED = range(5)
"""The fates. Tokenizing knows them by number."""
_COUNTED = ("train", "valid", "dedup.exact", "dedup.minhash", "contamination")


@dataclass(frozen=True)
class Deduplicate:
    """The stage ``dedup`` over the fingerprints of all sources: one task, ``all``.

    Parameters
    ----------
    files
        Tasks of ``prepare`` with their file of fingerprints, in stable order: of two duplicates the earlier survives.
    settings
        Which duplicates are removed.
    seed
        Seed of the split into train and valid.
    valid_fraction
        Probability of a cluster to go to valid, 0 to 1.
    removed
        The files ``CONTAMINATION`` of some tasks, by task: what they mark takes part in nothing.
    """

    files: Sequence[tuple[str, OutputFile]]
    settings: DedupSettings
    seed: int
    valid_fraction: float
    removed: Mapping[str, OutputFile] = field(default_factory=dict)
    name: str = "dedup"

    @classmethod
    def after(
        cls,
        receipts: Iterable[Receipt],
        settings: DedupSettings,
        seed: int,
        valid_fraction: float,
        removed: Mapping[str, OutputFile] | None = None,
    ) -> "Deduplicate":
        """Make the stage from the receipts of ``prepare``, in stable order."""
        files = [(receipt.task, receipt.outputs[FINGERPRINTS.format(receipt.task)]) for receipt in receipts]
        return cls(files, settings, seed, valid_fraction, removed or {})

    def tasks(self) -> Sequence[Task]:
        """Plan the one task."""
        files = [[task, file.xxh64] for task, file in self.files]
        removed = {task: file.xxh64 for task, file in self.removed.items()}
        key = key_of(self.name, files, self.settings.model_dump(), self.seed, self.valid_fraction, removed)
        return [Task("all", key, sum(file.bytes for _, file in self.files))]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Find all duplicates and write the fates and twins of each file.

        Returns
        -------
        ``documents`` and how many of them met each fate (``train``, ``valid``, ``dedup.exact``, ``dedup.minhash``,
        ``contamination``); ``sources``: the same by source.

        Raises
        ------
        InputError
            A file does not hold fingerprints made with these settings.
        TaskError
            What was removed does not fit the fingerprints.
        """
        corpus = _Corpus(self.files, outputs, self.settings)
        rows = np.flatnonzero(~corpus.removed(self.removed))
        exact, keys = corpus.exact[rows], (band[rows] for band in corpus.keys)
        found = find_duplicates(exact, keys, lambda some: corpus.gather(rows[some]), self.settings)
        fates, twins = np.full(len(corpus.exact), CONTAMINATED, np.uint8), np.arange(len(corpus.exact))
        fates[rows], twins[rows] = _FATES[found.verdict], rows[found.twin]
        fates[(fates == TRAIN) & is_valid(corpus.exact, self.valid_fraction, self.seed)] = VALID
        sources: dict[str, NDArray[np.int64]] = {}
        for (name, _), (first, last) in zip(self.files, pairwise(corpus.bounds), strict=True):
            with outputs.open(FATES.format(name)) as file:
                np.savez(file, fate=fates[first:last])
            with outputs.open(TWINS.format(name)) as file:
                np.save(file, twins[first:last])
            counts = np.bincount(fates[first:last], minlength=len(_COUNTED))
            source = name.rsplit("/", 1)[0]
            sources[source] = sources.get(source, 0) + counts
            progress(documents=int(last - first), kept=int(counts[TRAIN] + counts[VALID]))
        return {
            **_by_name(np.bincount(fates, minlength=len(_COUNTED))),
            "sources": {source: _by_name(counts) for source, counts in sources.items()},
        }


_FATES = np.array([TRAIN, DROPPED_EXACT, DROPPED_MINHASH], np.uint8)
"""The fate of each verdict, valid aside."""


class _Corpus:
    """All documents as deduplication sees them: exact and band keys in memory, signatures in their files."""

    def __init__(self, files: Sequence[tuple[str, OutputFile]], outputs: Outputs, settings: DedupSettings) -> None:
        minhash = settings.minhash
        self._hashes = minhash.hashes if minhash else 0
        self._outputs = outputs
        self._names = [name for name, _ in files]
        self._paths = [outputs.fetch(FINGERPRINTS.format(name)) for name in self._names]
        exact, keys = [np.empty((0, 2), np.uint64)], []
        for path in self._paths:
            rows = load(path, self._hashes)
            exact.append(rows.exact)
            if minhash:
                keys.append(band_keys(rows.signatures, minhash.bands, minhash.rows))
        self.bounds = np.cumsum([len(part) for part in exact])
        self.exact = np.concatenate(exact)
        self.keys = (np.concatenate(band) for band in zip(*keys, strict=True))

    def removed(self, files: Mapping[str, OutputFile]) -> NDArray[np.bool_]:
        """Read which documents were removed before: bool[n]."""
        removed = np.zeros(len(self.exact), np.bool_)
        for name, (first, last) in zip(self._names, pairwise(self.bounds), strict=True):
            if name in files:
                marks = np.load(self._outputs.fetch(CONTAMINATION.format(name)))
                if len(marks) != last - first:
                    raise TaskError(
                        f"{CONTAMINATION.format(name)} is about {len(marks)} documents, its fingerprints about "
                        f"{last - first}",
                        "remove the folder run/ of the build and run the same command again",
                    )
                removed[first:last] = marks
        return removed

    def gather(self, rows: Rows) -> Signatures:
        """Read the signatures of some rows, ascending: uint32[n, hashes]."""
        signatures = np.empty((len(rows), self._hashes), np.uint32)
        cuts = np.searchsorted(rows, self.bounds)
        for path, origin, (first, last) in zip(self._paths, self.bounds[:-1], pairwise(cuts), strict=True):
            if last > first:
                signatures[first:last] = load(path, self._hashes).signatures[rows[first:last] - origin]
        return signatures


def _by_name(counts: NDArray[np.int64]) -> dict[str, int]:
    return {"documents": int(counts.sum()), **dict(zip(_COUNTED, map(int, counts), strict=True))}
