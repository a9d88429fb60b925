"""The document in whose place a duplicate was dropped: who it is, and its text where the build has it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixer import storage
from mixer.documents import read_rows
from mixer.inspection.finished import Wanted, files
from mixer.storage import Root

TWIN = "twin."
CLUSTER_SIZE = "cluster.size"


class Origin(NamedTuple):
    """Where a document is from."""

    source: str
    file: str
    record: int


@dataclass(frozen=True)
class Twin:
    """The survivor of a cluster.

    Attributes
    ----------
    origin
        Where it is from.
    build
        The content id of the earlier build that has it; None: this one.
    documents
        How many the cluster has, the survivor among them.
    text
        Its text; None if it is not looked up, or in an earlier build.
    """

    origin: Origin
    build: str | None
    documents: int
    text: str | None = None


def twin_of(row: Mapping[str, Any]) -> Twin | None:
    """Return the twin of a document of ``dropped/``, if it was dropped as a duplicate."""
    if row.get(TWIN + "source") is None:
        return None
    origin = Origin(row[TWIN + "source"], row[TWIN + "file"], row[TWIN + "record"])
    return Twin(origin, row[TWIN + "build"], row[CLUSTER_SIZE])


def texts_of(directory: Root, wanted: Iterable[Origin]) -> dict[Origin, str]:
    """Find the texts of kept documents; only the parts of files are read that may hold one."""
    found: dict[Origin, str] = {}
    by_source: dict[str, set[Origin]] = {}
    for origin in wanted:
        by_source.setdefault(origin.source, set()).add(origin)
    for source, asked in by_source.items():
        for file in files(directory, Wanted(source=source, kept=True)):
            missing = asked - found.keys()
            rows = list(_places(file.path, missing)) if missing else []
            for _, row in read_rows(file.path, rows):
                found[Origin(source, row["file"], row["record"])] = row["text"]
    return found


def _places(path: Root, asked: set[Origin]) -> Iterator[int]:
    """Find the rows of documents of a file, by the least and greatest record of each row group and then one by one."""
    names, records = pa.array({each.file for each in asked}), pa.array({each.record for each in asked})
    origins = {(each.file, each.record) for each in asked}
    start = 0
    with pq.ParquetFile(storage.seekable(path)) as parquet:
        column = parquet.schema_arrow.get_field_index("record")
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            seen = group.column(column).statistics
            if seen is None or any(seen.min <= each.record <= seen.max for each in asked):
                read = parquet.read_row_group(number, columns=["file", "record"], use_threads=False)
                either = pc.and_(pc.is_in(read["file"], names), pc.is_in(read["record"], records))
                rows = np.flatnonzero(either.to_numpy(zero_copy_only=False))
                for row, each in zip(rows.tolist(), read.take(pa.array(rows)).to_pylist(), strict=True):
                    if (each["file"], each["record"]) in origins:
                        yield start + row
            start += group.num_rows
