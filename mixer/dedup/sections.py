"""Files in sections: how the stages of deduplication hand rows to one another.

A task writes one file, an Arrow IPC file whose batches are the sections in turn, chunk by chunk: batch ``c * n + k`` is
what chunk c has for section k of n. Its footer is the table of their offsets, so that a task of the next stage maps
its own section of every file and reads nothing else. Memory of the writer: one chunk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.engine.outputs import HashingFile, Outputs
from mixer.storage import is_local, stream

Number = TypeVar("Number", bound=np.generic)
CHUNK = 1 << 18
"""Rows after which a writer hands on what it holds, about."""


class SectionWriter:
    """Write a file of ``sections`` sections; use with ``with``."""

    def __init__(self, file: HashingFile, schema: pa.Schema, sections: int) -> None:
        self._writer = pa.ipc.new_file(file, schema)
        self._schema = schema
        self._sections = sections
        self._held: list[pa.RecordBatch] = []
        self._parts: list[NDArray[np.integer]] = []
        self._rows = 0

    def __enter__(self) -> "SectionWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, batch: pa.RecordBatch, section: NDArray[np.integer]) -> None:
        """Append rows, each to its section, in which rows stay in order."""
        if len(batch):
            self._held.append(batch)
            self._parts.append(section)
            self._rows += len(batch)
        if self._rows >= CHUNK:
            self._flush()

    def write(self, chunk: pa.RecordBatch, bounds: NDArray[np.int64]) -> None:
        """Append a chunk sorted by section; ``bounds`` are where sections begin and end: int64[sections + 1]."""
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            self._writer.write_batch(chunk.slice(first, last - first))

    def _flush(self) -> None:
        if self._held:
            section = np.concatenate(self._parts).astype(np.uint16)  # for which NumPy sorts by counting
            order = np.argsort(section, kind="stable")
            bounds = np.searchsorted(section[order], np.arange(self._sections + 1)).astype(np.int64)
            chunk = pa.concat_batches(self._held)
            self._held, self._parts, self._rows = [], [], 0
            self.write(chunk.take(pa.array(order)), bounds)


def read_section(outputs: Outputs, path: str, section: int, sections: int) -> Iterator[pa.RecordBatch]:
    """Read what a file holds of a section, chunk by chunk; chunks without any row are left out."""
    with open_sections(outputs, path) as file:
        for number in range(section, file.num_record_batches, sections):
            batch = file.get_batch(number)
            if len(batch):
                yield batch


@contextmanager
def open_sections(outputs: Outputs, path: str) -> Iterator[pa.RecordBatchFileReader]:
    """Open a file whose batches are mapped into memory; in a store, a batch is a request or two."""
    root = outputs.root / path
    with pa.memory_map(str(root)) if is_local(root) else stream(root) as opened, pa.ipc.open_file(opened) as file:
        yield file


def fixed(rows: NDArray[np.generic]) -> pa.FixedSizeBinaryArray:
    """Return a C-contiguous matrix as a column of fixed-size binary values, a row each, without a copy."""
    count, width = rows.shape
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width * rows.itemsize), count, [None, pa.py_buffer(rows.view(np.uint8).reshape(-1))]
    )


def matrix(column: pa.FixedSizeBinaryArray, dtype: type[Number]) -> NDArray[Number]:
    """Return a column of fixed-size binary values as a matrix of ``dtype``, a row each, without a copy."""
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    return data.view(dtype).reshape(len(column), -1)
