r"""LaTeX in a text: commands, and how much of it stands inside formulas.

One kernel walks each document once. A formula lies between ``$ $``, ``$$ $$``, ``\( \)``, ``\[ \]`` or in one of
LaTeX's environments for display mathematics. A dollar sign opens one as in pandoc: the formula touches it, and the
closing sign, which no digit follows; so prices open none.
"""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.text.ascii import is_digit, is_letter, stands
from mixer.text.utf8 import Bytes, Offsets, buffers

MATH_STATISTICS = ("latex_commands", "command_share", "formula_share")
"""Columns of ``math_statistics``."""
ENVIRONMENTS = buffers(
    pa.array(
        ["align", "alignat", "displaymath", "eqnarray", "equation", "flalign", "gather", "math", "multline"],
        pa.large_string(),
    )
)
"""Environments whose content is a formula, starred or not, as a column."""

_LONGEST = 4000  # bytes; what is not closed within them is no formula
_BEGIN = np.frombuffer(b"\\begin{", np.uint8)
_END = np.frombuffer(b"\\end{", np.uint8)


@njit(cache=True, nogil=True)
def _dollar_closes(data: Bytes, position: int, end: int) -> int:
    """Return where the formula that a dollar sign opens at ``position`` ends, or ``position`` if it opens none."""
    double = position + 1 < end and data[position + 1] == 0x24
    start = position + (2 if double else 1)
    if start >= end or (not double and (data[start] <= 0x20 or data[start] == 0x24)):
        return position
    limit = min(end, start + _LONGEST)
    here = start
    while here < limit:
        byte = data[here]
        if byte == 0x5C:  # a backslash takes the next character with it
            here += 2
            continue
        if byte == 0x0A and not double and here + 1 < limit and data[here + 1] == 0x0A:
            return position
        if byte == 0x24:
            if double:
                return here + 2 if here + 1 < limit and data[here + 1] == 0x24 and here > start else position
            digit = here + 1 < end and is_digit(data[here + 1])
            return position if data[here - 1] <= 0x20 or digit else here + 1
        here += 1
    return position


@njit(cache=True, nogil=True)
def _command_closes(
    data: Bytes, position: int, end: int, environments: Bytes, places: Offsets, begin: Bytes, finish: Bytes
) -> int:
    r"""Return where the formula ends that ``\(``, ``\[`` or ``\begin{`` opens at ``position``, or ``position``."""
    limit = min(end, position + _LONGEST)
    opener = data[position + 1] if position + 1 < end else 0
    if opener == 0x28 or opener == 0x5B:  # ( [
        closer = 0x29 if opener == 0x28 else 0x5D
        here = position + 2
        while here + 1 < limit:
            if data[here] == 0x5C:
                if data[here + 1] == closer:
                    return here + 2
                here += 1
            here += 1
        return position
    name = position + len(begin)
    if not stands(data, position, end, begin):
        return position
    for environment in range(len(places) - 1):
        start, stop = places[environment], places[environment + 1]
        after = name + stop - start
        starred = after < end and data[after] == 0x2A
        if not stands(data, name, end, environments[start:stop]) or after + starred >= end:
            continue
        if data[after + starred] != 0x7D:
            continue
        for here in range(after, limit):
            if data[here] == 0x5C and stands(data, here, end, finish):
                named = here + len(finish)
                if stands(data, named, end, data[name : after + starred + 1]):
                    return named + after + starred + 1 - name
        return position
    return position


@njit(cache=True, nogil=True)
def math_statistics(
    data: Bytes,
    offsets: Offsets,
    rows: NDArray[np.int64],
    environments: Bytes,
    places: Offsets,
    begin: Bytes,
    finish: Bytes,
) -> NDArray[np.float32]:
    """Measure the LaTeX of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    environments, places
        ``ENVIRONMENTS``.
    begin, finish
        The bytes that begin and end an environment.

    Returns
    -------
    float32[documents, 3]: ``MATH_STATISTICS``.

    - ``latex_commands``: backslashes followed by at least two Latin letters.
    - ``command_share``: characters of these commands, the backslash included, of all characters.
    - ``formula_share``: characters inside formulas, delimiters included, of all characters.
    """
    out = np.zeros((len(rows), 3), np.float32)
    for index in range(len(rows)):
        position, end = offsets[rows[index]], offsets[rows[index] + 1]
        characters = commands = command_characters = formula = 0
        inside = position  # where the formula ends that has been seen
        while position < end:
            byte = data[position]
            characters += (byte & 0xC0) != 0x80
            formula += position < inside and (byte & 0xC0) != 0x80
            if byte == 0x24 and position >= inside:
                until = _dollar_closes(data, position, end)
                formula += until > position
                inside = max(inside, until)
                if until == position and position + 1 < end and data[position + 1] == 0x24:
                    characters += 1  # two signs that open nothing
                    position += 1
            elif byte == 0x5C:
                if position >= inside:
                    until = _command_closes(data, position, end, environments, places, begin, finish)
                    formula += until > position
                    inside = max(inside, until)
                after = position + 1
                while after < end and is_letter(data[after]):
                    after += 1
                if after - position > 2:
                    commands += 1
                    command_characters += after - position
                elif after == position + 1 and after < end:  # an escaped character opens nothing
                    characters += (data[after] & 0xC0) != 0x80
                    formula += after < inside and (data[after] & 0xC0) != 0x80
                    position += 1
            position += 1
        if characters:
            out[index, 0] = commands
            out[index, 1] = command_characters / characters
            out[index, 2] = formula / characters
    return out


def measure(data: Bytes, offsets: Offsets, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Run ``math_statistics`` with the tables of this module."""
    return math_statistics(data, offsets, rows, *ENVIRONMENTS, _BEGIN, _END)
