"""The batch of documents that flows between steps: its columns, and how it is kept in Parquet between stages.

A batch is a ``pyarrow.RecordBatch`` with these columns; a step adds columns or rows' reasons, and never reorders:

========================  ==============  ============================================================
column                    type            meaning
========================  ==============  ============================================================
``file``                  string          path of the file, relative to the root of the glob that found it
``record``                int64           index of the record in its file, unreadable records counted
``text``                  large_string    the document
``metadata.<name>``       string          a carried column of the source (id, url, licence, ...); may be null
``language``              string          set by the language step: an ISO 639-1 code, or ``code``
``language_score``        float32         how sure that is, 0 to 1
``script``                string          of Chinese, set after the edits: Hans, Hant, mixed or Hani; else null
``edits.<name>``          int32           how often an edit was made in the text; null: not in force
``statistics.<name>``     float32         what a rule looked at
``reason``                string          null: still kept; else the rule that dropped the document
========================  ==============  ============================================================

(source, ``file``, ``record``) is a document's stable key: batches and files are in this order.
"""

from collections.abc import Iterable, Iterator, Sequence
from io import RawIOBase
from typing import IO, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixer import storage
from mixer.storage import Root

BATCH_BYTES = 2 << 20
"""Text bytes after which a reader closes a batch: large enough that a batch's fixed costs vanish (2 ms), small enough
that a worker's memory is a few batches (with 4 MB, a worker needs 40 to 60 MB more and is no faster)."""
BATCH_DOCUMENTS = 8192
"""Documents after which a reader closes a batch, for corpora of very short texts."""
METADATA = "metadata."
EDITS = "edits."
STATISTICS = "statistics."

Batch: TypeAlias = pa.RecordBatch


def make_batch(
    files: Sequence[str],
    records: Sequence[int] | NDArray[np.int64],
    texts: Sequence[str | bytes] | pa.Array,
    metadata: dict[str, Sequence[str | None]] | None = None,
) -> Batch:
    """Build a reader's batch; ``texts`` may be ``str``, valid UTF-8 ``bytes`` or an Arrow column."""
    columns: dict[str, pa.Array] = {
        "file": pa.array(files, pa.string()),
        "record": pa.array(records, pa.int64()),
        "text": large_strings(texts),
    }
    for name, values in (metadata or {}).items():
        columns[METADATA + name] = pa.array(values, pa.string())
    return pa.RecordBatch.from_pydict(columns)


def large_strings(texts: Sequence[str | bytes] | pa.Array) -> pa.LargeStringArray:
    """Return ``texts`` as a ``large_string`` column; bytes must be valid UTF-8 already."""
    if isinstance(texts, pa.Array):
        return texts if texts.type == pa.large_string() else texts.cast(pa.large_string())
    if texts and isinstance(texts[0], bytes):
        return pa.array(texts, pa.large_binary()).view(pa.large_string())
    return pa.array(texts, pa.large_string())


def set_column(batch: Batch, name: str, values: pa.Array) -> Batch:
    """Return the batch with a column added, or replaced where it stands."""
    index = batch.schema.get_field_index(name)
    return batch.append_column(name, values) if index < 0 else batch.set_column(index, name, values)


def undecided(batch: Batch) -> NDArray[np.bool_]:
    """Which documents no rule has dropped yet: bool[documents]."""
    if "reason" not in batch.schema.names:
        return np.ones(len(batch), np.bool_)
    return np.asarray(pc.is_null(batch["reason"]).to_numpy(zero_copy_only=False))


def drop(batch: Batch, where: NDArray[np.bool_], reason: str) -> Batch:
    """Give ``reason`` to the documents ``where`` it is true that have none yet: the first rule to object names it."""
    reasons = batch["reason"] if "reason" in batch.schema.names else pa.nulls(len(batch), pa.string())
    mask = pa.array(where & undecided(batch))
    return set_column(batch, "reason", pc.if_else(mask, pa.scalar(reason, pa.string()), reasons))


def split(batch: Batch) -> tuple[Batch, Batch]:
    """Part a batch into the kept documents, without the column ``reason``, and the dropped ones with it."""
    kept = pa.array(undecided(batch))
    if "reason" not in batch.schema.names:
        return batch, batch.slice(0, 0).append_column("reason", pa.nulls(0, pa.string()))
    return batch.filter(kept).drop_columns(["reason"]), batch.filter(pc.invert(kept))


class ParquetSink:
    """Write batches of one schema to an open binary file as zstd Parquet; no documents give a file without columns.

    Row groups hold about ``BATCH_BYTES`` of text or ``BATCH_DOCUMENTS``, however few documents a batch brings, so that
    a reader needs memory for one of them and a file of scattered documents is not all overhead. Where they are cut
    depends on the documents alone.
    """

    def __init__(self, file: IO[bytes] | RawIOBase) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._held: list[Batch] = []
        self._held_bytes = self._held_documents = 0

    def write(self, batch: Batch) -> None:
        """Append a batch; an empty one is skipped."""
        if not len(batch):
            return
        self._held.append(batch)
        self._held_bytes += text_bytes([batch])
        self._held_documents += len(batch)
        if self._held_bytes >= BATCH_BYTES or self._held_documents >= BATCH_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            group = pa.concat_batches(self._held)
            self._writer = self._writer or pq.ParquetWriter(
                self._file, group.schema, compression="zstd", compression_level=1
            )
            self._writer.write_batch(group, row_group_size=len(group))
        self._held.clear()
        self._held_bytes = self._held_documents = 0

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, pa.schema([]))
        self._writer.close()


def read_parquet(file: str | IO[bytes], columns: list[str] | None = None) -> Iterator[Batch]:
    """Read what a ``ParquetSink`` wrote, one row group at a time: the batches it was given, in order."""
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            yield from parquet.read_row_group(group, columns=columns, use_threads=False).to_batches()


def read_groups(
    file: Root, rows: NDArray[np.int64], columns: list[str] | None = None, dictionaries: Sequence[str] = ()
) -> Iterator[tuple[int, pa.Table]]:
    """Read some documents of a file from the row groups that hold them.

    Parameters
    ----------
    rows
        Their places in the file, ascending.
    columns
        Which are read; None: all.
    dictionaries
        Columns of strings that come as dictionaries.

    Yields
    ------
    first
        How many of them have come before.
    documents
        Those of a row group.
    """
    start = 0
    with pq.ParquetFile(storage.seekable(file), read_dictionary=dictionaries) as parquet:
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            first, last = np.searchsorted(rows, (start, stop)).tolist()
            if last > first:
                found = parquet.read_row_group(group, columns=columns, use_threads=False)
                yield first, found.take(pa.array(rows[first:last] - start))
            start = stop


def read_rows(file: Root, rows: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read whole documents of a file by their places, in order, from the row groups that hold them."""
    wanted = sorted(rows)
    for first, found in read_groups(file, np.array(wanted, np.int64)):
        yield from zip(wanted[first:], found.to_pylist(), strict=False)


def text_bytes(batches: Iterable[Batch]) -> int:
    """Count the UTF-8 bytes of text in some batches."""
    return sum(pc.sum(pc.binary_length(batch["text"])).as_py() or 0 for batch in batches)
