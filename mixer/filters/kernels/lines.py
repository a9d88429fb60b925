"""Characters and the shape of lines: what lengths, scripts and line ends say about a document, in any language.

One kernel walks each document once. Lines are those of ``str.splitlines`` (newlines, but also U+2028 and the like).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.characters import HAN, LETTER, NUMBER, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, decode

LINE_STATISTICS = (
    "characters",
    "han_share",
    "alphanumeric_share",
    "alphabetic_share",
    "maximum_line_length",
    "mean_line_length",
    "bullet_lines",
    "ellipsis_lines",
    "terminal_lines",
)
"""Columns of ``line_statistics``."""
TERMINALS = ".?!;:\"')]。？！；：…”’」』）】》．｡"
"""What ends a sentence or a quotation, in English and in Chinese."""


@njit(cache=True, nogil=True)
def ends_line(char: int) -> bool:
    """Whether ``str.splitlines`` breaks at a character."""
    if char < 0x1F:
        return 0x0A <= char <= 0x0D or char >= 0x1C
    return char == 0x85 or char == 0x2028 or char == 0x2029


@njit(cache=True, nogil=True)
def line_statistics(
    data: Bytes, offsets: Offsets, rows: NDArray[np.int64], classes: Classes, terminals: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Measure characters and lines of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    terminals
        Sorted code points that end a sentence.

    Returns
    -------
    float32[documents, 9]: ``LINE_STATISTICS``.

    - ``characters``: code points that are not white space.
    - ``han_share``: Han characters among letters. ``alphanumeric_share``, ``alphabetic_share``: letters and numbers, or
      letters alone, among all characters.
    - ``maximum_line_length``, ``mean_line_length``: characters, line ends not counted.
    - ``bullet_lines``: share of lines that begin with ``•`` or ``-``; ``ellipsis_lines``: that end in ``…`` or ``...``;
      both look past white space. ``terminal_lines``: share of the lines that are not blank which end in one of
      ``terminals``.
    """
    out = np.zeros((len(rows), 9), np.float32)
    for index in range(len(rows)):
        end = offsets[rows[index] + 1]
        characters = spaces = letters = numbers = han = 0
        lines = blank = bullets = ellipses = terminal = longest = ends = 0
        length = 0  # of the line so far
        first = last = -1  # its first and last character that is no white space
        stops = edge = 0  # full stops in a row, and where the last of them ends
        position = offsets[rows[index]]
        while position < end:
            start = position
            char, width = decode(data, position)
            position += width
            flags = classes[char]
            characters += 1
            if flags & SPACE:
                spaces += 1
                if ends_line(char):
                    ends += 1
                    if char == 0x0D and position < end and data[position] == 0x0A:
                        continue
                else:
                    length += 1
                    if position < end:
                        continue
            else:
                length += 1
                letters += (flags & LETTER) != 0
                numbers += (flags & (LETTER | NUMBER)) == NUMBER
                han += (flags & HAN) != 0
                first = char if first < 0 else first
                last = char
                if char == 0x2E:
                    stops = stops + 1 if start == edge else 1
                    edge = position
                else:
                    stops = 0
                if position < end:
                    continue
            lines += 1  # a line has ended
            longest = max(longest, length)
            blank += last < 0
            bullets += first == 0x2022 or first == 0x2D
            ellipses += last == 0x2026 or stops >= 3
            at = int(np.searchsorted(terminals, last))
            if at < len(terminals) and terminals[at] == last:
                terminal += 1
            length = 0
            first = last = -1
            stops = 0
        if lines == 0:
            continue
        out[index, 0] = characters - spaces
        out[index, 1] = han / letters if letters else 0.0
        out[index, 2] = (letters + numbers) / characters
        out[index, 3] = letters / characters
        out[index, 4] = longest
        out[index, 5] = (characters - ends) / lines
        out[index, 6] = bullets / lines
        out[index, 7] = ellipses / lines
        out[index, 8] = terminal / (lines - blank) if lines > blank else 0.0
    return out
