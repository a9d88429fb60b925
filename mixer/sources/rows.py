"""What every format hands over, the checks they share, and where a batch ends.

A format yields ``Rows``: a stretch of records of one file as Arrow columns, with the records it could not read.
``screen`` rejects what is no document (null, invalid UTF-8, NUL, too long). ``Batches`` closes a batch at a document
that the documents alone decide, so that chunk sizes, row groups and short network reads never show in the output.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.documents import BATCH_BYTES, BATCH_DOCUMENTS, Batch, make_batch

NUL_CAUSE = "the text holds a NUL character"
LONGEST_TEXT: Final = 2**31 - 2
"""Bytes of a text at most. Kernels number what is in a document in int32, and Megatron its tokens, of which there are
not more than bytes, and one for its end."""


@dataclass(frozen=True)
class Rejected:
    """A record that cannot be read: its index in the file, where it stands, and why."""

    record: int
    position: str
    cause: str


@dataclass(frozen=True)
class Skipped:
    """A record that is no document by its kind, such as an image in a web archive: its index in the file, and what."""

    record: int
    what: str


@dataclass
class Rows:
    """A stretch of a file's records in order; ``n`` of them became documents.

    Attributes
    ----------
    records
        int64[n], each record's index in its file.
    texts
        ``large_string[n]``; a null is a record without text and is rejected with ``null_cause``.
    metadata
        ``string[n]`` columns by field.
    unit, positions
        How a record's place is told: ``unit`` ("line", "record", "row") and int64[n].
    rejected, skipped
        Records that are not among the ``n``.
    is_utf8
        Whether texts and metadata are known to be valid UTF-8.
    null_cause
        Words the cause of a null text, given its position among the ``n``.
    """

    records: NDArray[np.int64]
    texts: pa.Array
    metadata: dict[str, pa.Array]
    unit: str
    positions: NDArray[np.int64]
    rejected: list[Rejected] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    is_utf8: bool = False
    null_cause: Callable[[int], str] = lambda _: "the text is null"
    bad_utf8_cause: Callable[[UnicodeDecodeError], str] = lambda error: f"invalid UTF-8 ({error.reason})"


@dataclass(frozen=True)
class Screened:
    """Documents that passed the checks, and all rejected and skipped records of the stretch, each kind in order."""

    records: NDArray[np.int64]
    texts: pa.Array
    metadata: dict[str, pa.Array]
    unit: str
    positions: NDArray[np.int64]
    rejected: list[Rejected]
    skipped: list[Skipped]


def screen(rows: Rows) -> Screened:
    """Reject documents without text, with invalid UTF-8, with NUL or beyond ``LONGEST_TEXT``; empty texts pass."""
    causes: dict[int, str] = {}
    if rows.texts.null_count:
        for row in np.flatnonzero(pc.is_null(rows.texts).to_numpy(zero_copy_only=False)).tolist():
            causes[row] = rows.null_cause(row)
    if not rows.is_utf8:
        _find_invalid(rows.texts, "", rows.bad_utf8_cause, causes)
        for name, column in rows.metadata.items():
            _find_invalid(column, f"metadata `{name}`: ", rows.bad_utf8_cause, causes)
    if _holds_nul(rows.texts):
        for row in np.flatnonzero(pc.match_substring(rows.texts, "\x00").fill_null(False).to_numpy(False)).tolist():  # noqa: FBT003
            causes.setdefault(row, NUL_CAUSE)
    sizes = pc.binary_length(rows.texts).fill_null(0).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(sizes > LONGEST_TEXT).tolist():
        causes.setdefault(row, f"the text has {sizes[row]:,} bytes, more than the {LONGEST_TEXT:,} that a document can")
    rejected = list(rows.rejected)
    records, texts, metadata, positions = rows.records, rows.texts, rows.metadata, rows.positions
    if causes:
        rejected += [
            Rejected(int(records[row]), f"{rows.unit} {positions[row]}", cause) for row, cause in causes.items()
        ]
        kept = np.ones(len(texts), np.bool_)
        kept[list(causes)] = False
        mask = pa.array(kept)
        records, texts, positions = records[kept], texts.filter(mask), positions[kept]
        metadata = {name: column.filter(mask) for name, column in metadata.items()}
    rejected.sort(key=lambda entry: entry.record)
    return Screened(records, texts, metadata, rows.unit, positions, rejected, rows.skipped)


def _find_invalid(
    column: pa.Array, what: str, word: Callable[[UnicodeDecodeError], str], causes: dict[int, str]
) -> None:
    """Note the rows of a string column whose bytes are not UTF-8; the whole column is checked at once first."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        binary = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        for row, value in enumerate(column.view(binary)):
            try:
                str(value.as_buffer() or b"", "utf-8")
            except UnicodeDecodeError as error:
                causes.setdefault(row, what + word(error))


def _holds_nul(texts: pa.Array) -> bool:
    """Whether any byte of a ``large_string`` column is NUL; much cheaper than looking at each text."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return False
    first, last = np.frombuffer(offsets, np.int64)[[texts.offset, texts.offset + len(texts)]]
    return bool(last > first and np.frombuffer(data, np.uint8)[first:last].min() == 0)


class Batches:
    """Collects screened rows and closes a batch after ``BATCH_BYTES`` of text or ``BATCH_DOCUMENTS`` documents."""

    def __init__(self, metadata: list[str]) -> None:
        self._names = metadata
        self._clear()

    def _clear(self) -> None:
        self._files: list[pa.Array] = []
        self._records: list[NDArray[np.int64]] = []
        self._texts: list[pa.Array] = []
        self._metadata: list[list[pa.Array]] = []
        self._bytes = 0
        self._documents = 0

    def add(self, file: str, rows: Screened) -> Iterator[Batch]:
        """Take a stretch of a file's documents; yield the batches that it completes."""
        ends = np.cumsum(pc.binary_length(rows.texts).to_numpy(zero_copy_only=False), dtype=np.int64)
        start, before = 0, 0
        while start < len(ends):
            full = int(np.searchsorted(ends, before + BATCH_BYTES - self._bytes)) + 1
            stop = min(full, start + BATCH_DOCUMENTS - self._documents, len(ends))
            self._files.append(pa.repeat(pa.scalar(file, pa.string()), stop - start))
            self._records.append(rows.records[start:stop])
            self._texts.append(rows.texts.slice(start, stop - start))
            self._metadata.append([rows.metadata[name].slice(start, stop - start) for name in self._names])
            self._bytes += int(ends[stop - 1]) - before
            self._documents += stop - start
            start, before = stop, int(ends[stop - 1])
            if self._bytes >= BATCH_BYTES or self._documents >= BATCH_DOCUMENTS:
                yield from self.flush()

    def flush(self) -> Iterator[Batch]:
        """Close what has been collected, if anything."""
        if not self._documents:
            return
        columns = {
            name: pa.concat_arrays([part[index] for part in self._metadata]) for index, name in enumerate(self._names)
        }
        batch = make_batch(
            pa.concat_arrays(self._files), np.concatenate(self._records), pa.concat_arrays(self._texts), columns
        )
        self._clear()
        yield batch
