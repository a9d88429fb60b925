"""Arrow IPC: files, whose record batches can be reached singly, and streams, as ``datasets`` saves them."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from mixer.sources.columns import rows, select, slices
from mixer.sources.listing import InputFile
from mixer.sources.parquet import damaged
from mixer.sources.rows import Rows
from mixer.sources.settings import SourceSettings
from mixer.sources.streams import CHUNK, Stream, StreamFile, open_binary


@contextmanager
def _opened(file: InputFile) -> Iterator[pa.NativeFile]:
    fs, path = url_to_fs(file.url)
    if isinstance(fs, LocalFileSystem):
        with pa.OSFile(path) as handle:
            yield handle
    else:
        with open_binary(file) as remote:
            yield pa.PythonFile(remote, mode="r")


def weights(file: InputFile, source: SourceSettings) -> list[int]:
    """Return the bytes on disk of each record batch of an IPC file, taking them as equally large."""
    try:
        with _opened(file) as handle, pa.ipc.open_file(handle) as reader:
            count = reader.num_record_batches
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, source, error) from error
    return [file.size // count] * count if count else []


def schema(file: InputFile, source: SourceSettings) -> pa.Schema:
    """Return the schema of an IPC file, from the footer."""
    try:
        with _opened(file) as handle, pa.ipc.open_file(handle) as reader:
            return reader.schema
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, source, error) from error


def read(file: InputFile, source: SourceSettings, first: int = 0, last: int | None = None) -> Iterator[Rows]:
    """Read the record batches ``first`` up to but not including ``last``; positions are row numbers, from 0.

    Raises
    ------
    InputError
        The file is damaged.
    RecipeError
        A wanted column is missing or holds no text.
    """
    row, number = 0, 0
    try:
        with _opened(file) as handle:
            selection = select(pa.ipc.open_file(handle).schema, source, file.path)
            row = _rows_before(handle, first)
            reader = pa.ipc.open_file(handle, options=_options(pa.ipc.open_file(handle).schema, selection.top))
            for number in range(first, reader.num_record_batches if last is None else last):
                for part in slices(reader.get_batch(number)):
                    yield rows(part, selection, row)
                    row += len(part)
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, source, error, f" in record batch {number} (after row {row})") from error


def read_stream(stream: Stream) -> Iterator[Rows]:
    """Read an IPC stream, compressed as a whole or not.

    Raises
    ------
    InputError
        The stream is damaged, or it ends in the middle and the source does not allow that.
    RecipeError
        A wanted column is missing or holds no text.
    """
    file, source = stream.file, stream.source
    row = 0
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(io.BufferedReader(StreamFile(stream), CHUNK), mode="r"))
        selection = select(reader.schema, source, file.path)
        for batch in reader:
            for part in slices(batch):
                yield rows(part, selection, row)
                row += len(part)
    except (pa.ArrowException, OSError) as error:
        if stream.truncated:
            return
        if not _is_cut_off(error):
            raise damaged(file, source, error, f" after row {row}") from error
        stream.cut_off(f"row {row}", f"the Arrow stream ends in the middle ({error})")


def _is_cut_off(error: Exception) -> bool:
    return any(sign in str(error) for sign in ("Expected to be able to read", "Expected to read", "bytes available"))


def _rows_before(handle: pa.NativeFile, batches: int) -> int:
    """Count the rows of the first record batches, reading one column, a small one if possible."""
    if not batches:
        return 0
    schema = pa.ipc.open_file(handle).schema
    small = next((index for index, field in enumerate(schema) if pa.types.is_primitive(field.type)), 0)
    reader = pa.ipc.open_file(handle, options=pa.ipc.IpcReadOptions(included_fields=[small], use_threads=False))
    return sum(reader.get_batch(number).num_rows for number in range(batches))


def _options(schema: pa.Schema, columns: list[str]) -> pa.ipc.IpcReadOptions:
    fields = sorted(schema.get_field_index(name) for name in columns)
    return pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
