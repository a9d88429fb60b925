"""What deduplication is about: files of fingerprints in stable order, in groups, and in how many partitions it works.

The order of files is the order of survival: earlier builds (``earlier``) come first, then the recipe's sources. A
*group* is some files in a row that one task reads; a *partition* is what one task holds of keys, or of candidates.
Both are planned from the sizes of the files alone, so that neither depends on who does the work, and both are small
enough that a task needs about half a gigabyte, however large the corpora are.

A document is known by its row: ``row`` counts over all files (int64), and inside a group from its first file (uint32).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows
from mixer.dedup.fingerprint import FINGERPRINTS, Fingerprints, load, rows_in
from mixer.dedup.sections import read_section
from mixer.dedup.settings import DedupSettings
from mixer.documents import read_groups
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Receipt
from mixer.errors import TaskError
from mixer.storage import Root, borrow, seekable

PREPARED = "run/prepared/{}.parquet"
"""The documents of a task of ``prepare``; rows as in its fingerprints."""
KEPT = "fingerprints/{}.kept.parquet"
"""Which documents of a task a build kept: columns ``row``, ``file`` and ``record``."""
CONTAMINATION = "run/contaminated/{}.npy"
"""Which documents of a task of ``prepare`` were removed before duplicates are looked for: bool[rows]."""
_ORIGIN = pa.schema({"file": pa.dictionary(pa.int32(), pa.string()), "record": pa.int64()})
TASK_BYTES = 400 << 20
"""What a task may hold of keys and rows (24 bytes for each key of a document)."""
_KEY_BYTES = 24
CANDIDATE_BYTES = 600
"""What comparing needs for each candidate: its signature twice, and keys."""
START_OVER = "remove the folder run/ of the build and run the same command again"


@dataclass(frozen=True)
class File:
    """One file of fingerprints and what belongs to it.

    Attributes
    ----------
    task
        The task of ``prepare`` that wrote it.
    fingerprints
        The file itself.
    listed
        What says where each document is from: the prepared documents, or the list of those that an earlier build kept.
    removed
        The file ``CONTAMINATION``, if there is one.
    build, root
        Of an earlier build its content id, and where it is.
    """

    task: str
    fingerprints: OutputFile
    listed: OutputFile
    removed: OutputFile | None = None
    build: str | None = None
    root: Root | None = None

    @property
    def source(self) -> str:
        """Name the source that the documents are of."""
        return self.task.rsplit("/", 1)[0]

    @property
    def identity(self) -> list[str | None]:
        """Return what decides which fingerprints take part."""
        listed = self.listed.xxh64 if self.root else None
        return [self.fingerprints.xxh64, listed, self.removed.xxh64 if self.removed else None]

    def load(self, outputs: Outputs, hashes: int) -> Fingerprints:
        """Map the fingerprints into memory."""
        with borrow(self._at(outputs, FINGERPRINTS)) as path:
            return load(path, hashes)

    def taking_part(self, outputs: Outputs, rows: int) -> NDArray[np.bool_]:
        """Return which documents take part: those that an earlier build kept, or that were not removed: bool[rows]."""
        if self.root:
            found = np.zeros(rows, np.bool_)
            found[self._kept(outputs)] = True
            return found
        if self.removed is None:
            return np.ones(rows, np.bool_)
        removed = np.load(outputs.fetch(CONTAMINATION.format(self.task)))
        if len(removed) != rows:
            raise TaskError(
                f"{CONTAMINATION.format(self.task)} is about {len(removed)} documents, its fingerprints about {rows}",
                START_OVER,
            )
        return np.asarray(~removed)

    def origins(self, outputs: Outputs, rows: Rows) -> pa.Table:
        """Return ``file``, as a dictionary, and ``record`` of some documents, given by their rows here, ascending."""
        if not len(rows):  # a file without documents has no columns either
            return _ORIGIN.empty_table()
        places = np.searchsorted(self._kept(outputs), rows) if self.root else rows
        path = self._at(outputs, KEPT if self.root else PREPARED)
        groups = read_groups(path, places, _ORIGIN.names, ["file"])
        return pa.concat_tables([found.cast(_ORIGIN) for _, found in groups]).unify_dictionaries().combine_chunks()

    def _kept(self, outputs: Outputs) -> Rows:
        with pq.ParquetFile(seekable(self._at(outputs, KEPT))) as parquet:
            return np.asarray(parquet.read(["row"], use_threads=False)["row"].to_numpy(), np.int64)

    def _at(self, outputs: Outputs, path: str) -> Root:
        return (self.root or outputs.root) / path.format(self.task)


@dataclass(frozen=True)
class Corpus:
    """All files in groups, the first ``earlier`` of them of earlier builds, and how many partitions there are."""

    groups: tuple[tuple[File, ...], ...]
    earlier: int
    partitions: int
    settings: DedupSettings

    @classmethod
    def of(
        cls,
        prepared: Iterable[Receipt],
        settings: DedupSettings,
        removed: Mapping[str, OutputFile] | None = None,
        earlier: Sequence[File] = (),
    ) -> "Corpus":
        """Plan groups and partitions.

        Parameters
        ----------
        prepared
            Receipts of ``prepare`` in stable order: of two duplicates the earlier survives.
        settings
            Which duplicates are removed.
        removed
            The files ``CONTAMINATION`` of some tasks, by task: what they mark takes part in nothing.
        earlier
            Files of earlier builds, which come before all others.
        """
        removed = removed or {}
        own = [
            File(
                task=receipt.task,
                fingerprints=receipt.outputs[FINGERPRINTS.format(receipt.task)],
                listed=receipt.outputs[PREPARED.format(receipt.task)],
                removed=removed.get(receipt.task),
            )
            for receipt in prepared
        ]
        hashes = settings.hashes
        most = TASK_BYTES // (_KEY_BYTES * settings.keys)
        before, after = (_groups(files, hashes, most) for files in (earlier, own))
        rows = sum(rows_in(file.fingerprints.bytes, hashes) for file in (*earlier, *own))
        partitions = settings.partitions if settings.partitions != "auto" else max(1, -(-rows // most))
        return cls((*before, *after), len(before), partitions, settings)

    @property
    def hashes(self) -> int:
        """Length of a signature; 0 if MinHash is off."""
        return self.settings.hashes

    @property
    def own(self) -> range:
        """The groups of this build."""
        return range(self.earlier, len(self.groups))

    @property
    def bounds(self) -> Rows:
        """Where the rows of each group begin, and where the last ends: int64[groups + 1]."""
        rows = [sum(self.rows(file) for file in group) for group in self.groups]
        return np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)

    def group_of(self, rows: Rows) -> Rows:
        """Return the group of each row over all files: int64[n]."""
        return np.searchsorted(self.bounds, rows, side="right") - 1

    def files_of(self, rows: Rows) -> tuple[list[File], Rows]:
        """Return all files, and which of them holds each row over all files: int64[n]."""
        files = [file for group in self.groups for file in group]
        ends = np.cumsum([self.rows(file) for file in files])
        return files, np.searchsorted(ends, rows, side="right")

    def rows(self, file: File) -> int:
        """Count the documents of a file."""
        return rows_in(file.fingerprints.bytes, self.hashes)

    def files(self, group: int) -> Iterator[tuple[File, int, int]]:
        """Yield the files of a group with their first row in the group and the one after their last."""
        first = 0
        for file in self.groups[group]:
            last = first + self.rows(file)
            yield file, first, last
            first = last


def group_id(group: int) -> str:
    """Name the task of a group, or of a partition."""
    return f"{group:05d}"


def _groups(files: Sequence[File], hashes: int, most: int) -> list[tuple[File, ...]]:
    """Part files in groups of at most ``most`` rows, or of one file."""
    groups: list[list[File]] = []
    held = 0
    for file in files:
        rows = rows_in(file.fingerprints.bytes, hashes)
        if not groups or held + rows > most:
            groups.append([])
            held = 0
        groups[-1].append(file)
        held += rows
    return [tuple(group) for group in groups]


def components_path(*, again: bool) -> str:
    """Return where the result of ``Components`` is.

    A section a group: ``row``, in the group, of each document that shares a key with another, and its ``part``.
    """
    return f"run/dedup/{'again/' if again else ''}components.arrow"


def parts_of(outputs: Outputs, path: str, corpus: Corpus, group: int) -> tuple[Rows, NDArray[np.uint16]]:
    """Read the documents of a group that share a key with another: rows in the group, ascending, and their parts."""
    found = list(read_section(outputs, path, group, len(corpus.groups)))
    rows = [batch["row"].to_numpy().astype(np.int64) for batch in found]
    parts = [batch["part"].to_numpy() for batch in found]
    return np.concatenate([np.empty(0, np.int64), *rows]), np.concatenate([np.empty(0, np.uint16), *parts])
