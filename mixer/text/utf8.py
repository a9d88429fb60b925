"""The door between Arrow's UTF-8 columns and kernels: raw buffers out, columns in, one character at a time.

A column of ``n`` texts is two NumPy arrays: ``data`` (uint8, all bytes back to back) and ``offsets`` (int64, ``n + 1``
entries; text ``i`` is ``data[offsets[i]:offsets[i + 1]]``; the first offset need not be 0). Text is valid UTF-8: the
readers check it, so kernels do not.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


def buffers(texts: pa.Array) -> tuple[Bytes, Offsets]:
    """Look at a ``large_string`` or ``large_binary`` column without nulls as ``(data, offsets)``, without a copy.

    Both are read-only whatever the column came from, for a kernel is compiled for each mix of types it is given.

    Raises
    ------
    TypeError
        The column has another type, such as ``string``, whose offsets are narrower.
    ValueError
        The column holds nulls.
    """
    if texts.type not in (pa.large_string(), pa.large_binary()):
        raise TypeError(f"a text column must be large_string or large_binary, not {texts.type}")
    if texts.null_count:
        raise ValueError("a text column must not hold nulls")
    _, offsets_buffer, data_buffer = texts.buffers()
    data = np.frombuffer(data_buffer or b"", np.uint8)
    offsets = np.zeros(1, np.int64)
    if len(texts):
        offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data.flags.writeable = offsets.flags.writeable = False
    return data, offsets


def strings(data: Bytes, offsets: Offsets) -> pa.LargeStringArray:
    """Wrap ``(data, offsets)`` as a ``large_string`` column, without a copy."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@njit(cache=True, nogil=True)
def count_characters(data: Bytes, start: int, end: int) -> int:
    """Count the characters of valid UTF-8."""
    count = 0
    for position in range(start, end):
        count += (data[position] & 0xC0) != 0x80
    return count


@njit(cache=True, nogil=True, inline="always")
def decode(data: Bytes, position: int) -> tuple[Any, int]:
    """Return ``(code point, width in bytes)`` of the character that begins at ``position`` (valid UTF-8 assumed)."""
    first = np.int32(data[position])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int32(data[position + 1]) & 0x3F, 2
    if first < 0xF0:
        return (
            (first & 0x0F) << 12 | (np.int32(data[position + 1]) & 0x3F) << 6 | np.int32(data[position + 2]) & 0x3F,
            3,
        )
    return (
        (first & 0x07) << 18
        | (np.int32(data[position + 1]) & 0x3F) << 12
        | (np.int32(data[position + 2]) & 0x3F) << 6
        | np.int32(data[position + 3]) & 0x3F,
        4,
    )
