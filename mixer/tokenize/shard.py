"""Writes one shard: a dataset's part of a prepared file, as token ids, lengths and documents.

``stage`` hands over the survivors batch by batch; ``join`` appends the shards of a dataset to one another.
"""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.documents import Batch, ParquetSink, text_bytes
from mixer.engine.outputs import HashingFile, Outputs
from mixer.text.utf8 import Offsets
from mixer.tokenize.count import Counts
from mixer.tokenize.encode import Ids

SHARDS = "run/shards/"
DOCUMENTS = "documents/"


@njit(cache=True, nogil=True)
def _copy(ids: Ids, offsets: Offsets, rows: NDArray[np.int64], eod: int, out: NDArray[np.generic]) -> None:
    position = 0
    for row in rows:
        for index in range(offsets[row], offsets[row + 1]):
            out[position] = ids[index]
            position += 1
        out[position] = eod
        position += 1


def gather(
    ids: Ids, offsets: Offsets, rows: NDArray[np.int64], eod: int, dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    """Return the ids of some documents back to back, each ended by ``eod``.

    Parameters
    ----------
    ids, offsets
        uint32[tokens], int64[n + 1]: the ids of ``n`` documents; all fit ``dtype``.
    rows
        int64[m], which documents, in which order.
    """
    out = np.empty(int((offsets[rows + 1] - offsets[rows]).sum()) + len(rows), dtype)
    _copy(ids, offsets, rows, eod, out)
    return out


@dataclass(frozen=True, eq=False)
class Part:
    """Encoded documents of one dataset.

    Attributes
    ----------
    documents
        ``n`` rows, with the column ``tokens``.
    ids
        Their tokens back to back, each document ended.
    lengths
        int64[n], their tokens, the end included.
    by_kind
        int64[n, 3] of ``count.tokens_by_kind``.
    is_additional
        Whether their label is the additional language.
    """

    documents: Batch
    ids: NDArray[np.generic]
    lengths: NDArray[np.int64]
    by_kind: NDArray[np.int64]
    is_additional: bool


class DocumentSink:
    """A Parquet file that appears with its first document."""

    def __init__(self, outputs: Outputs, path: str, files: ExitStack) -> None:
        self._outputs, self._path, self._files = outputs, path, files
        self._sink: ParquetSink | None = None

    def write(self, batch: Batch) -> None:
        """Append a batch; an empty one is skipped."""
        if not len(batch):
            return
        if self._sink is None:
            self._sink = ParquetSink(self._files.enter_context(self._outputs.open(self._path)))
            self._files.callback(self._sink.close)
        self._sink.write(batch)


class ShardWriter:
    """An open shard: ``<name>.bin``, ``<name>.lengths.npy`` and the documents in the same order.

    Parameters
    ----------
    outputs
        Where to write.
    name
        ``<split>/<source>-<language>/<nnnnn>``.
    files
        Whose end completes the files.
    """

    def __init__(self, outputs: Outputs, name: str, files: ExitStack) -> None:
        self.counts = Counts()
        self._lengths: list[NDArray[np.int32]] = []
        lengths_file = files.enter_context(outputs.open(f"{SHARDS}{name}.lengths.npy"))
        files.callback(self._write_lengths, lengths_file)
        self._ids = files.enter_context(outputs.open(f"{SHARDS}{name}.bin"))
        self._documents = DocumentSink(outputs, f"{DOCUMENTS}{name}.parquet", files)

    def write(self, part: Part) -> None:
        """Append documents."""
        self._ids.write(part.ids.data)
        self._lengths.append(part.lengths.astype(np.int32))
        self._documents.write(part.documents)
        size = text_bytes([part.documents])
        self.counts.add(part.by_kind, part.lengths, size, is_additional=part.is_additional)

    def _write_lengths(self, file: HashingFile) -> None:
        np.save(file, np.concatenate([np.empty(0, np.int32), *self._lengths]), allow_pickle=False)
