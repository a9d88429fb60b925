"""Cuts repeated paragraphs out of the texts of a batch, as deduplication has decided (``dedup.paragraphs``)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.documents import EDITS, Batch, set_column
from mixer.text.utf8 import Bytes, Offsets, buffers, strings

CUTS = "run/cuts/"
REASON = "dedup.paragraphs"
"""Why a document is dropped of which too little would be left; also the name of the edit."""


@dataclass(frozen=True, eq=False)
class Cuts:
    """What is cut out of the documents of a prepared file.

    Attributes
    ----------
    rows, begins, ends, units
        The document, where in the bytes of its text, and how many units that are: int64[spans] each, in order.
    short
        Documents of which too little would be left: int64[n], ascending.
    """

    rows: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    units: NDArray[np.int64]
    short: NDArray[np.int64]

    @classmethod
    def load(cls, path: Path) -> "Cuts":
        """Read a file that the stage ``dedup.cuts`` wrote."""
        with np.load(path) as file:
            return cls(*(np.asarray(file[name], np.int64) for name in ("row", "begin", "end", "units", "short")))

    def too_short(self, first: int, documents: int) -> NDArray[np.bool_]:
        """Tell of which documents, from the one in row ``first`` on, too little would be left: bool[documents]."""
        low, high = np.searchsorted(self.short, (first, first + documents))
        short = np.zeros(documents, np.bool_)
        short[self.short[low:high] - first] = True
        return short

    def make(self, batch: Batch, first: int) -> Batch:
        """Return a batch, whose first document is in row ``first``, with its texts cut and the units cut counted."""
        low, high = np.searchsorted(self.rows, (first, first + len(batch)))
        rows = self.rows[low:high] - first
        counts = np.zeros(len(batch), np.int32)
        np.add.at(counts, rows, self.units[low:high])
        if high > low:
            data, offsets = buffers(batch["text"])
            texts = strings(*_without(data, offsets, rows, self.begins[low:high], self.ends[low:high]))
            batch = set_column(batch, "text", texts)
        return set_column(batch, EDITS + REASON, pa.array(counts, pa.int32()))

    @property
    def summary(self) -> dict[str, int]:
        """Count what is cut: ``edits``, the units, in how many ``documents``, and ``bytes``."""
        return {
            "edits": int(self.units.sum()),
            "documents": len(np.unique(self.rows)),
            "bytes": int((self.ends - self.begins).sum()),
        }


@njit(cache=True, nogil=True)
def _without(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[Bytes, Offsets]:
    """Return a column of texts without some of their bytes."""
    bounds = np.zeros(len(offsets), np.int64)
    out = np.empty(offsets[-1] - offsets[0] - (ends - begins).sum(), np.uint8)
    size = span = 0
    for row in range(len(offsets) - 1):
        position = offsets[row]
        while span < len(rows) and rows[span] == row:
            begin = offsets[row] + begins[span]
            out[size : size + begin - position] = data[position:begin]
            size += begin - position
            position = offsets[row] + ends[span]
            span += 1
        out[size : size + offsets[row + 1] - position] = data[position : offsets[row + 1]]
        size += offsets[row + 1] - position
        bounds[row + 1] = size
    return out, bounds
