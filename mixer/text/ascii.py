"""ASCII bytes in kernels: letters, small letters, and whether a literal stands at a position.

No byte of a longer character of UTF-8 is below 0x80, so that a kernel may ask these questions of any byte of a text.
"""

from typing import Any

from numba import njit

from mixer.text.utf8 import Bytes


@njit(cache=True, nogil=True, inline="always")
def is_letter(byte: int) -> bool:
    """Whether a byte is an ASCII letter."""
    return 0x61 <= (byte | 0x20) <= 0x7A


@njit(cache=True, nogil=True, inline="always")
def is_digit(byte: int) -> bool:
    """Whether a byte is an ASCII digit."""
    return 0x30 <= byte <= 0x39


@njit(cache=True, nogil=True, inline="always")
def lower(byte: int) -> int:
    """Return a capital ASCII letter as a small one, and every other byte as it is."""
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@njit(cache=True, nogil=True)
def stands(data: Bytes, position: int, end: int, literal: Any) -> bool:
    """Whether a literal (uint8[n], or a tuple of bytes) stands at a position, wholly before ``end``."""
    if position + len(literal) > end:
        return False
    same = 0
    while same < len(literal) and data[position + same] == literal[same]:
        same += 1
    return same == len(literal)


@njit(cache=True, nogil=True)
def stands_folded(data: Bytes, position: int, end: int, literal: Bytes) -> bool:
    """Whether a literal in small letters stands at a position, wholly before ``end``, in any case."""
    if position + len(literal) > end:
        return False
    same = 0
    while same < len(literal) and lower(data[position + same]) == literal[same]:
        same += 1
    return same == len(literal)
