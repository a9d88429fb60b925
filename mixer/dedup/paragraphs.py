"""What a paragraph or a line is, by which key two are the same, and which bytes go when some are cut.

A *unit* is a line that is not blank, or a paragraph: such lines in a row, between blank ones. Lines end with a newline.
A unit holds its lines whole, white space at their ends included; what lies between two units is a *gap*, newlines and
blank lines. All kernels work over the texts of a batch; their stages are ``units``, ``repeats`` and ``cuts``.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.clusters import Rows
from mixer.text.characters import CLASSES, SPACE, Classes
from mixer.text.hashing import SEEDS, Hashes, hash_texts
from mixer.text.normalise import normalise
from mixer.text.utf8 import Bytes, Offsets, decode

_NEWLINE = np.uint8(0x0A)


@dataclass(frozen=True, eq=False)
class Units:
    """Units of the texts of a column, in order.

    Attributes
    ----------
    rows
        The text that each is of: int64[n].
    begins, ends
        Where in the bytes of the column: int64[n] each.
    characters
        How long each is, white space aside: int64[n].
    """

    rows: Rows
    begins: Rows
    ends: Rows
    characters: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, where: NDArray[np.bool_]) -> "Units":
        """Return those for which ``where`` is true."""
        return Units(self.rows[where], self.begins[where], self.ends[where], self.characters[where])


def find_units(data: Bytes, offsets: Offsets, *, lines: bool) -> Units:
    """Find all units of a column of texts: lines, or else paragraphs."""
    return Units(*_find(data, offsets, lines, CLASSES))


def hash_units(data: Bytes, units: Units) -> Hashes:
    """Return the key of each unit: 64 bits of hash of its normal form, uint64[n].

    So many are enough: the odds that a unit which stands once meets one of 10 million repeated ones by chance, among 10
    billion units, are 10^17 / 2^64, one in 180.
    """
    if not len(units):
        return np.empty(0, np.uint64)
    # What lies between units becomes texts, too, so that nothing need be copied for the units to be a column.
    bounds = np.stack([units.begins, units.ends], axis=1).reshape(-1)
    bounds.flags.writeable = False  # as Arrow's are: one compiled kernel serves both
    keys: Hashes = hash_texts(*normalise(data, bounds), SEEDS[0])[::2]
    return keys


@njit(cache=True, nogil=True)
def _find(data: Bytes, offsets: Offsets, lines: bool, classes: Classes) -> tuple[Rows, Rows, Rows, Rows]:  # noqa: FBT001
    most = len(offsets) - 1
    for position in range(offsets[0], offsets[-1]):
        most += data[position] == _NEWLINE
    rows, begins = np.empty(most, np.int64), np.empty(most, np.int64)
    ends, characters = np.empty(most, np.int64), np.empty(most, np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        inside = False
        position, end = offsets[row], offsets[row + 1]
        while position < end:
            begin, seen = position, 0
            while position < end and data[position] != _NEWLINE:
                char, width = decode(data, position)
                seen += (classes[char] & SPACE) == 0
                position += width
            if seen:
                if lines or not inside:
                    rows[count], begins[count], characters[count] = row, begin, 0
                    count += 1
                ends[count - 1] = position
                characters[count - 1] += seen
            inside = seen > 0
            position += 1
    return rows[:count], begins[:count], ends[:count], characters[:count]


def spans(data: Bytes, offsets: Offsets, units: Units, cut: NDArray[np.bool_]) -> tuple[Rows, Rows, Rows, Rows]:
    """Return the bytes that go when units are cut: units in a row with the gaps between them, and one gap beside them.

    Of the gaps before and behind, the one with more newlines stays, the first if they are equal. Where nothing stays
    on one side, the gap on the other side goes, so that a text ends as it did.

    Parameters
    ----------
    units
        All of the column.
    cut
        Which of them are cut: bool[n].

    Returns
    -------
    rows, begins, ends, counts
        The text, where in it (from its own beginning), and how many units that are: int64[spans] each.
    """
    return _spans(data, offsets, units.rows, units.begins, units.ends, cut)


@njit(cache=True, nogil=True)
def _spans(
    data: Bytes, offsets: Offsets, rows: Rows, begins: Rows, ends: Rows, cut: NDArray[np.bool_]
) -> tuple[Rows, Rows, Rows, Rows]:
    of_rows, of_begins = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    of_ends, counts = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    count = first = 0
    while first < len(rows):
        if not cut[first]:
            first += 1
            continue
        last = first  # of those that go together
        while last + 1 < len(rows) and cut[last + 1] and rows[last + 1] == rows[first]:
            last += 1
        begin, end = begins[first], ends[last]
        before = first > 0 and rows[first - 1] == rows[first]
        behind = last + 1 < len(rows) and rows[last + 1] == rows[first]
        if before and (
            not behind
            or _newlines(data, ends[last], begins[last + 1]) > _newlines(data, ends[first - 1], begins[first])
        ):
            begin = ends[first - 1]
        elif behind:
            end = begins[last + 1]
        start = offsets[rows[first]]
        of_rows[count], of_begins[count], of_ends[count] = rows[first], begin - start, end - start
        counts[count] = last + 1 - first
        count += 1
        first = last + 1
    return of_rows[:count], of_begins[:count], of_ends[:count], counts[:count]


@njit(cache=True, nogil=True)
def _newlines(data: Bytes, begin: int, end: int) -> int:
    count = 0
    for position in range(begin, end):
        count += data[position] == _NEWLINE
    return count
