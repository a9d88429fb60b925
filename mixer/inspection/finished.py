"""The documents of a finished build, file by file: what ``specimens`` and ``what_if`` look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from mixer import storage
from mixer.documents import Batch, read_parquet
from mixer.errors import UsageError, did_you_mean
from mixer.filters.recorded import Recorded, recorded
from mixer.storage import Root

KEPT = "documents"
DROPPED = "dropped"
_SURELY_FULL = 512
"""A file without documents has fewer bytes: larger ones need not be opened to know."""


@dataclass(frozen=True)
class Wanted:
    """Which documents are asked for; what is ``None`` does not matter."""

    source: str | None = None
    language: str | None = None
    rule: str | None = None
    kept: bool | None = None


@dataclass(frozen=True)
class BuildFile:
    """One Parquet file of documents; ``name`` is its path below the build."""

    root: Root
    name: str
    source: str

    @property
    def path(self) -> Root:
        """Where it is."""
        return self.root / self.name

    @property
    def task(self) -> str:
        """The task of ``prepare`` that its documents come from, if they were dropped."""
        return f"{self.source}/{self.name.rpartition('/')[2].partition('.')[0]}"

    def recorded(self) -> Recorded:
        """Return the rules that its documents met."""
        return recorded(schema_of(self.path), self.name)


def schema_of(path: Root) -> pa.Schema:
    """Return the columns of a file of documents; none if it is empty."""
    return pq.read_schema(storage.seekable(path))


def files(directory: Root, wanted: Wanted) -> list[BuildFile]:
    """List the files of a build that may hold wanted documents.

    Raises
    ------
    UsageError
        The directory holds no build, or not that source.
    """
    found = []
    sources = set()
    for root, depth in ((KEPT, 2), (DROPPED, 1)):
        for path, size in sorted(storage.files(directory / root).items(), key=lambda item: item[0].split("/")):
            if not path.endswith(".parquet"):
                continue
            folder = path.split("/")[depth - 1]
            source = folder.rsplit("-", 1)[0] if root == KEPT else folder  # kept: one folder a source and language
            sources.add(source)
            file = BuildFile(directory, f"{root}/{path}", source)
            if wanted.kept in (None, root == KEPT) and (size > _SURELY_FULL or schema_of(file.path).names):
                found.append(file)
    if not (directory / KEPT).is_dir():
        raise UsageError(f"{directory} holds no finished build", "give the directory that `mixer build` wrote")
    if wanted.source is not None and wanted.source not in sources:
        raise UsageError(
            f"no documents of a source {wanted.source!r}{did_you_mean(wanted.source, sources)}",
            f"the sources are {', '.join(sorted(sources))}",
        )
    return [file for file in found if wanted.source in (None, file.source)]


def batches(file: BuildFile, columns: Sequence[str] | None) -> Iterator[tuple[int, Batch]]:
    """Read a file: batches, each with the place of its first row."""
    names = schema_of(file.path).names
    start = 0
    there = None if columns is None else [name for name in columns if name in names]
    for batch in read_parquet(storage.seekable(file.path), there):
        yield start, batch
        start += len(batch)


def reasons_of(batch: Batch) -> pa.Array:
    """Return the column of reasons, which kept documents do not have."""
    return batch["reason"] if "reason" in batch.schema.names else pa.nulls(len(batch), pa.string())
