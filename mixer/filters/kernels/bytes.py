"""Byte classes: what an ASCII character may be part of, for kernels that match addresses, numbers and keys.

Everything that ``private`` and ``secrets`` look for is ASCII, and no byte of a longer character is below 0x80; they can
therefore walk bytes, and what they cut out always begins and ends between characters.
"""

import string
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.ascii import stands_folded
from mixer.text.utf8 import Bytes, Offsets

ByteClasses = NDArray[np.uint16]

DIGIT: Final = 1
LETTER: Final = 2
ALNUM: Final = 4
HEX: Final = 8
WORD: Final = 16  # letters, digits, underscore
LOCAL: Final = 32  # the part of an e-mail address before the @
URL64: Final = 64  # base64 as in URLs, without padding
BASE64: Final = 128  # without padding
UPPER: Final = 256  # upper-case letters and digits
FILL: Final = 512  # what may stand between the name of a setting and its value
DOTTED: Final = 1024  # URL64 and the full stop
TILDE: Final = 2048  # DOTTED and the tilde
PATH: Final = 4096  # letters, digits and the slash

_ALNUM = string.ascii_letters + string.digits
_MEMBERS = {
    DIGIT: string.digits,
    LETTER: string.ascii_letters,
    ALNUM: _ALNUM,
    HEX: string.hexdigits,
    WORD: _ALNUM + "_",
    LOCAL: _ALNUM + "._%+-",
    URL64: _ALNUM + "_-",
    BASE64: _ALNUM + "+/",
    UPPER: string.ascii_uppercase + string.digits,
    FILL: " \t\"'=:>,([\\",
    DOTTED: _ALNUM + "_-.",
    TILDE: _ALNUM + "_-.~",
    PATH: _ALNUM + "/",
}


def members(flag: int) -> str:
    """Return the characters of a class."""
    return _MEMBERS[flag]


def byte_classes() -> ByteClasses:
    """Make the table: uint16[256] of flags."""
    table = np.zeros(256, np.uint16)
    for flag, characters in _MEMBERS.items():
        table[list(characters.encode())] |= np.uint16(flag)
    return table


class Words(NamedTuple):
    """A list of words that a matcher compares with: a column, as ``(data, offsets)``."""

    data: Bytes
    offsets: Offsets


def words(listed: Sequence[str]) -> Words:
    """Make such a list."""
    encoded = [word.encode() for word in listed]
    return Words(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)]))


@njit(cache=True, nogil=True)
def same_folded(data: Bytes, start: int, stop: int, listed: Words, index: int) -> bool:
    """Whether ``data[start:stop]`` is the word of that index; capital ASCII letters count as small ones."""
    first, after = listed.offsets[index], listed.offsets[index + 1]
    return after - first == stop - start and stands_folded(data, start, stop, listed.data[first:after])


@njit(cache=True, nogil=True)
def is_one_of(data: Bytes, start: int, stop: int, listed: Words) -> bool:
    """Whether ``data[start:stop]`` is one of the words, in any case."""
    index, size = 0, len(listed.offsets) - 1
    while index < size and not same_folded(data, start, stop, listed, index):
        index += 1
    return index < size


@njit(cache=True, nogil=True)
def byte_at(data: Bytes, position: int, begin: int, end: int) -> int:
    """Return the byte at a position, or 0 outside the document."""
    return int(data[position]) if begin <= position < end else 0


@njit(cache=True, nogil=True)
def run_end(data: Bytes, position: int, end: int, classes: ByteClasses, flags: int) -> int:
    """Return where the run of bytes of a class that begins at a position ends."""
    while position < end and classes[data[position]] & flags:
        position += 1
    return position
