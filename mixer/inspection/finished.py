"""The documents of a finished build, file by file: what ``specimens`` and ``what_if`` look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mixer.documents import Batch, read_parquet
from mixer.errors import UsageError, did_you_mean
from mixer.filters.recorded import Recorded, recorded

KEPT = "documents"
DROPPED = "dropped"


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

    path: Path
    name: str
    source: str

    def recorded(self) -> Recorded:
        """Return the rules that its documents met."""
        return recorded(pq.read_schema(self.path), self.name)


def files(directory: Path, wanted: Wanted) -> list[BuildFile]:
    """List the files of a build that may hold wanted documents.

    Raises
    ------
    UsageError
        The directory holds no build, or not that source.
    """
    found = []
    sources = set()
    for root, depth in ((KEPT, 2), (DROPPED, 1)):
        for path in sorted((directory / root).rglob("*.parquet")):
            folder = path.relative_to(directory / root).parts[depth - 1]
            source = folder.rsplit("-", 1)[0] if root == KEPT else folder  # kept: one folder a source and language
            sources.add(source)
            if wanted.kept in (None, root == KEPT) and pq.read_schema(path).names:
                found.append(BuildFile(path, path.relative_to(directory).as_posix(), source))
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
    names = pq.read_schema(file.path).names
    start = 0
    for batch in read_parquet(str(file.path), None if columns is None else [name for name in columns if name in names]):
        yield start, batch
        start += len(batch)


def reasons_of(batch: Batch) -> pa.Array:
    """Return the column of reasons, which kept documents do not have."""
    return batch["reason"] if "reason" in batch.schema.names else pa.nulls(len(batch), pa.string())
