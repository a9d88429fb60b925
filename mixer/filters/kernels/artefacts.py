"""What extraction and wrong encodings leave in a text: markup, control and replacement characters, mojibake.

One kernel walks each document once. Mojibake is found by its structure, not by a list: characters that, written as
bytes of Windows-1252 (or Latin-1), spell a character of UTF-8 (``Ã©`` for ``é``, ``â€™`` for ``’``); and the words that
lost bytes become in Chinese: U+FFFD read as GBK (锟斤拷) and memory never written to (烫烫, 屯屯).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.ascii import is_digit, is_letter
from mixer.text.utf8 import Bytes, Offsets, decode

ARTEFACT_STATISTICS = ("replacement_share", "control_share", "mojibake_share", "markup_share")
"""Columns of ``artefact_statistics``."""

_LONGEST_TAG = 2000  # bytes; a < without its > within them is no tag
_LONGEST_ENTITY = 10  # characters between & and ;, as in &thetasym;
_KUN, _JIN, _KAO, _TANG, _TUN = 0x951F, 0x65A4, 0x62F7, 0x70EB, 0x5C6F


def _windows_bytes() -> NDArray[np.int16]:
    """Return the byte that a character below U+2200 is in Windows-1252 or else Latin-1; -1 if it is in neither."""
    table = np.full(0x2200, -1, np.int16)
    table[0x80:0x100] = np.arange(0x80, 0x100)
    for byte in range(0x80, 0xA0):
        char = bytes([byte]).decode("cp1252", "ignore")
        if char:
            table[ord(char)] = byte
    return table


WINDOWS_BYTES = _windows_bytes()


@njit(cache=True, nogil=True)
def is_control(char: int) -> bool:
    """Whether a character has no place in text: C0 and C1 controls but tab and line ends, BOM, noncharacters."""
    if char < 0x20:
        return not 0x09 <= char <= 0x0D
    return (
        0x7F <= char <= 0x84
        or 0x86 <= char <= 0x9F
        or char == 0xFEFF
        or 0xFDD0 <= char <= 0xFDEF
        or (char & 0xFFFE) == 0xFFFE
    )


@njit(cache=True, nogil=True)
def _byte_of(char: int, windows: NDArray[np.int16]) -> int:
    return int(windows[char]) if char < len(windows) else -1


@njit(cache=True, nogil=True)
def _overlong(lead: int, byte: int) -> bool:
    """Whether a sequence that begins with these two bytes is longer than it need be, or beyond Unicode."""
    return byte < 0xA0 if lead == 0xE0 else byte < 0x90 if lead == 0xF0 else lead == 0xF4 and byte > 0x8F


@njit(cache=True, nogil=True)
def _misread(data: Bytes, position: int, end: int, windows: NDArray[np.int16]) -> tuple[int, int]:
    """Return how many characters from ``position`` spell one character of UTF-8, and where they end; 0: they do not."""
    char, width = decode(data, position)
    lead = _byte_of(char, windows)
    if not 0xC2 <= lead <= 0xF4:
        return 0, position
    wanted = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
    position += width
    for place in range(wanted):
        if position >= end:
            return 0, position
        char, width = decode(data, position)
        byte = _byte_of(char, windows)
        if not 0x80 <= byte <= 0xBF:
            return 0, position
        if place == 0 and _overlong(lead, byte):
            return 0, position
        position += width
    return wanted + 1, position


@njit(cache=True, nogil=True)
def _is_address(data: Bytes, position: int, end: int) -> bool:
    """Whether an address begins at ``position``, after a <: ``https://`` or ``name@``."""
    while position < end and (is_letter(data[position]) or 0x2B <= data[position] <= 0x39 or data[position] == 0x5F):
        if data[position] == 0x2F:
            return False
        position += 1  # letters, digits and + , - . _
    if position + 1 >= end:
        return False
    return data[position] == 0x40 or (data[position] == 0x3A and data[position + 1] == 0x2F)


@njit(cache=True, nogil=True)
def _markup_ends(data: Bytes, position: int, end: int) -> int:
    """Return where the tag, comment or entity that begins at ``position`` ends, or ``position`` if none does."""
    after = position + 1
    if data[position] == 0x26:  # &
        limit = min(end, after + _LONGEST_ENTITY + 1)
        if after < limit and data[after] == 0x23:  # #
            after += 1
        elif after >= limit or not is_letter(data[after]):
            return position
        start = after
        while after < limit and (is_letter(data[after]) or is_digit(data[after])):
            after += 1
        return after + 1 if start < after < limit and data[after] == 0x3B else position
    if after < end and data[after] == 0x2F:  # </
        after += 1
    if after >= end or not (is_letter(data[after]) or data[after] == 0x21):  # a letter, or <!
        return position
    if _is_address(data, after, end):  # Markdown writes <https://site.org/>
        return position
    limit = min(end, position + _LONGEST_TAG)
    while after < limit and data[after] != 0x3E and data[after] != 0x3C:
        after += 1
    return after + 1 if after < limit and data[after] == 0x3E else position


@njit(cache=True, nogil=True)
def artefact_statistics(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], windows: NDArray[np.int16]
) -> NDArray[np.float32]:
    """Measure what is left in some documents that no author wrote.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    windows
        ``WINDOWS_BYTES``.

    Returns
    -------
    float32[documents, 4]: ``ARTEFACT_STATISTICS``, each a share of all characters.

    - ``replacement_share``: U+FFFD, which stands where a byte could not be read.
    - ``control_share``: see ``is_control``.
    - ``mojibake_share``: characters that spell another one in the bytes of Windows-1252, and 锟斤拷, 烫烫, 屯屯.
    - ``markup_share``: characters of HTML tags, comments and entities, names and attributes included.
    """
    out = np.zeros((len(rows), 4), np.float32)
    for index in range(len(rows)):
        position, end = offsets[rows[index]], offsets[rows[index] + 1]
        characters = replacements = controls = mojibake = markup = 0
        inside = position  # where the markup ends that has been seen
        spelt = position  # where the mojibake ends that has been seen
        before = beyond = 0  # the last character, and the one before it
        while position < end:
            byte = data[position]
            if byte < 0x80:
                if position >= inside and (byte == 0x3C or byte == 0x26):
                    inside = max(inside, _markup_ends(data, position, end))
                markup += position < inside
                controls += (byte < 0x20 and not 0x09 <= byte <= 0x0D) or byte == 0x7F
                characters += 1
                position += 1
                before = beyond = 0
                continue
            char, width = decode(data, position)
            characters += 1
            markup += position < inside
            if char < 0x2200:
                if char <= 0x9F:
                    controls += is_control(char)
                if position >= spelt:
                    count, until = _misread(data, position, end, windows)
                    if count:
                        mojibake += count
                        spelt = until
            elif char == 0xFFFD:
                replacements += 1
            elif char >= 0xFDD0:
                controls += is_control(char)
            elif char in (_TANG, _TUN) and char == before:
                mojibake += 1 if beyond == char else 2
            elif char == _KAO and before == _JIN and beyond == _KUN:
                mojibake += 3
            beyond = before
            before = char
            position += width
        if characters:
            out[index, 0] = replacements / characters
            out[index, 1] = controls / characters
            out[index, 2] = mojibake / characters
            out[index, 3] = markup / characters
    return out
