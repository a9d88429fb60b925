"""Views of a dataset: some of its documents as a prefix of their own, without a copy of their tokens.

A view is an ``.idx`` in the format of ``indexed.py`` that lists fewer documents than the ``.bin`` holds, in the same
order, each with the byte at which it begins. Its ``.bin`` is another name of the same file. Megatron reads a document
from where the index says that it begins, and looks at no other byte.
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mixer.errors import BrokenPromiseError
from mixer.megatron.indexed import (
    HEADER,
    MAGIC,
    PIECE_DOCUMENTS,
    TYPE_CODES,
    VERSION,
    Index,
    IndexFile,
    Writable,
    write,
)
from mixer.storage import Root


def write_view(file: Writable, whole: IndexFile, chosen: NDArray[np.bool_]) -> Index:
    """Write the ``.idx`` of some documents.

    Parameters
    ----------
    file
        Where to; everything is written in order.
    whole
        The index of the dataset.
    chosen
        bool[documents]: which of them; at least one.
    """
    documents = int(np.count_nonzero(chosen))
    if not documents:
        raise ValueError("a view must have a document")
    file.write(memoryview(HEADER.pack(MAGIC, VERSION, TYPE_CODES[whole.dtype.name], documents, documents + 1)))
    tokens = 0
    for piece in _pieces(len(chosen)):
        lengths = np.ascontiguousarray(whole.lengths[piece][chosen[piece]], "<i4")
        tokens += int(lengths.sum(dtype=np.int64))
        write(file, lengths)
    for piece in _pieces(len(chosen)):
        write(file, np.ascontiguousarray(whole.begins[piece][chosen[piece]], "<i8"))
    for first in range(0, documents + 1, PIECE_DOCUMENTS):
        write(file, np.arange(first, min(first + PIECE_DOCUMENTS, documents + 1), dtype="<i8"))
    return Index(documents, tokens, whole.dtype)


class ViewFile(IndexFile):
    """The ``.idx`` of a view: documents in order, but not back to back."""

    def _check(self) -> int:
        tokens = end = 0
        for piece in _pieces(len(self.lengths)):
            lengths, begins = self.lengths[piece], self.begins[piece]
            ends = begins + lengths.astype(np.int64) * self.dtype.itemsize
            self._expect(lengths > 0, piece.start, "is empty")
            self._expect(begins >= np.append(end, ends[:-1]), piece.start, "begins inside the one before it")
            self._expect(begins % self.dtype.itemsize == 0, piece.start, "begins inside a token")
            self._expect_numbers(piece.start, len(lengths))
            tokens, end = tokens + int(lengths.sum(dtype=np.int64)), int(ends[-1])
        return tokens

    def places(self, whole: IndexFile) -> Iterator[NDArray[np.int64]]:
        """Find the documents in their dataset, by where they begin: their numbers there, int64[some].

        Raises
        ------
        BrokenPromiseError
            The dataset has no such document.
        """
        first = 0
        for piece in _pieces(whole.documents):
            after = whole.begins[piece.stop] if piece.stop < whole.documents else np.iinfo(np.int64).max
            last = bisect_left(self.begins, int(after), first)
            begins = np.ascontiguousarray(whole.begins[piece])
            places = np.minimum(np.searchsorted(begins, self.begins[first:last]), len(begins) - 1)
            same = (begins[places] == self.begins[first:last]) & (
                whole.lengths[piece][places] == self.lengths[first:last]
            )
            self._expect(same, first, "is none of its dataset")
            yield piece.start + places
            first = last


def read_view(prefix: Root) -> ViewFile:
    """Read the ``.idx`` of a view and check all of it, but not whose documents they are (``ViewFile.places``).

    Raises
    ------
    BrokenPromiseError
        The file is missing, or is not what Megatron would read; the message names the file and the fault.
    """
    view = ViewFile(prefix)
    path = prefix.with_name(prefix.name + ".bin")
    if not path.is_file():
        raise BrokenPromiseError(f"{path} is missing", "run the same command again")
    return view


def _pieces(documents: int) -> Iterator[slice]:
    """Cut the numbers of documents into pieces."""
    return (slice(first, first + PIECE_DOCUMENTS) for first in range(0, documents, PIECE_DOCUMENTS))
