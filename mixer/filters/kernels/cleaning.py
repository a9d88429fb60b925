"""Copies of a text without characters that do not belong there."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels.artefacts import is_control
from mixer.text.utf8 import Bytes, Offsets, decode


@njit(cache=True, nogil=True)
def count_stray(data: Bytes, offsets: Offsets) -> NDArray[np.int32]:
    """Count control characters (see ``is_control``) and carriage returns of each document: int32[documents, 2]."""
    counts = np.zeros((len(offsets) - 1, 2), np.int32)
    for document in range(len(counts)):
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            byte = data[position]
            if 0x20 <= byte < 0x7F:
                position += 1
            elif byte == 0x0D:
                counts[document, 1] += 1
                position += 1
            elif byte <= 0x7F or byte == 0xC2 or byte >= 0xEF:  # where every control character begins
                char, width = decode(data, position)
                counts[document, 0] += is_control(char)
                position += width
            else:
                position += 2 if byte < 0xE0 else 3
    return counts


@njit(cache=True, nogil=True)
def without_stray(data: Bytes, offsets: Offsets, asked: tuple[bool, bool]) -> tuple[Bytes, Offsets]:
    """Copy a column without control characters, and with every line end as a newline, if asked for the one, the other.

    Returns
    -------
    A column: data, and offsets int64[documents + 1].
    """
    controls, returns = asked
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    out_offsets = np.zeros(len(offsets), np.int64)
    to = 0
    for document in range(len(offsets) - 1):
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            byte = data[position]
            if returns and byte == 0x0D:
                if position + 1 >= end or data[position + 1] != 0x0A:
                    out[to] = 0x0A
                    to += 1
                position += 1
                continue
            char, width = decode(data, position)
            if not (controls and is_control(char)):
                for place in range(position, position + width):
                    out[to] = data[place]
                    to += 1
            position += width
        out_offsets[document + 1] = to
    return out[:to], out_offsets
