"""Parquet: the wanted columns alone, a row group or a part of one at a time."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from mixer.documents import BATCH_BYTES, BATCH_DOCUMENTS
from mixer.errors import InputError
from mixer.sources.columns import Selection, rows, select, slices
from mixer.sources.listing import InputFile
from mixer.sources.rows import Rows
from mixer.sources.settings import SourceSettings
from mixer.sources.streams import open_binary


def open_parquet(file: InputFile, source: SourceSettings) -> pq.ParquetFile:
    """Open a file and read its footer.

    Raises
    ------
    InputError
        There is no footer, or a damaged one.
    """
    try:
        fs, path = url_to_fs(file.url)
        place = path if isinstance(fs, LocalFileSystem) else open_binary(file)
        return pq.ParquetFile(place, page_checksum_verification=True)  # of pages that have a checksum
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, source, error) from error


def damaged(file: InputFile, source: SourceSettings, error: Exception, where: str = "") -> InputError:
    """Word the error of a file that Arrow cannot read."""
    return InputError(
        f"source {source.name!r}: {file.path} cannot be read{where}: {error}",
        "the file is truncated or damaged: copy it again, or leave it out",
    )


def weights(file: InputFile, source: SourceSettings) -> list[int]:
    """Return the bytes on disk of each row group, from the footer."""
    with open_parquet(file, source) as parquet:
        metadata = parquet.metadata
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        return [sum(g.column(column).total_compressed_size for column in range(g.num_columns)) for g in groups]


def schema(file: InputFile, source: SourceSettings) -> pa.Schema:
    """Return a file's schema, from the footer."""
    with open_parquet(file, source) as parquet:
        return parquet.schema_arrow


def read(file: InputFile, source: SourceSettings, first: int = 0, last: int | None = None) -> Iterator[Rows]:
    """Read the row groups ``first`` up to but not including ``last``; positions are row numbers of the file, from 0.

    Raises
    ------
    InputError
        The file is damaged.
    RecipeError
        A wanted column is missing or holds no text.
    """
    with open_parquet(file, source) as parquet:
        selection = select(parquet.schema_arrow, source, file.path)
        metadata = parquet.metadata
        row = sum(metadata.row_group(group).num_rows for group in range(first))
        for group in range(first, metadata.num_row_groups if last is None else last):
            size = _rows_at_once(metadata.row_group(group), selection)
            try:
                for batch in parquet.iter_batches(
                    size, row_groups=[group], columns=selection.columns, use_threads=False
                ):
                    for part in slices(batch):
                        yield rows(part, selection, row)
                        row += len(part)
            except (pa.ArrowException, OSError) as error:
                raise damaged(file, source, error, f" in row group {group} (after row {row})") from error


def _rows_at_once(group: pq.RowGroupMetaData, selection: Selection) -> int:
    """Return how many rows of a row group to read at once, so that about a batch of text is in memory."""
    wanted = tuple(f"{name}." for name in selection.top)
    columns = [group.column(index) for index in range(group.num_columns)]
    size = sum(c.total_uncompressed_size for c in columns if f"{c.path_in_schema}.".startswith(wanted))
    return max(1, min(BATCH_DOCUMENTS, BATCH_BYTES * group.num_rows // max(1, size)))
