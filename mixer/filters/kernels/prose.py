"""The shape of English prose: sentences, long and short lines, and what C4 and FineWeb look for in a page.

One kernel walks each document once. Two kinds of line are told apart, as C4 and FineWeb do: sentences end with the
lines of ``str.splitlines``, everything else is of the lines between newlines.

A sentence ends with its line, and at a run of ``. ? !`` with the quotes and brackets that close after it, if white
space comes next, except

- before a small letter (a to z), and
- at one full stop after a single letter (``J. Smith``, ``the U.S. Army``) or one of ``TITLES`` (``Dr. Watson``).

What holds no letter is no sentence (``1.``, ``***``).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels.lines import ends_line
from mixer.filters.kernels.tables import count_duplicates, largest, new_table
from mixer.text.ascii import is_letter, stands_folded
from mixer.text.characters import CLASSES, LETTER, MARK, NUMBER, SPACE, Classes
from mixer.text.hashing import xxh64
from mixer.text.utf8 import Bytes, Offsets, decode

PROSE_STATISTICS = (
    "lorem_ipsum",
    "curly_brackets",
    "sentences",
    "long_lines",
    "ended_lines",
    "stopped_lines",
    "short_lines",
    "repeated_line_characters",
)
"""Columns of ``prose_statistics``."""
LONG_LINE = 200
"""Characters from which mC4 calls a line a paragraph."""
SHORT_LINE = 30
"""Characters up to which FineWeb calls a line short."""
UNBROKEN_LINE = 1000
"""Characters from which a line is a text whose line breaks were lost, and no heading, caption or entry of a menu."""
SENTENCE = 600
"""Characters to a sentence, at most, that make such a line prose."""
_LOREM = np.frombuffer(b"lorem ipsum", np.uint8)
TITLES = ("Mr", "Mrs", "Ms", "Dr", "St", "Prof")

_STOPS = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6 "
    "17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 "
    "2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB "
    "FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 "
    "111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 "
    "1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 "
    "16B37-16B38 16B44 16E98 1BC9F 1DA88"
)
"""Code points that end a sentence in any script: Unicode's Sentence_Terminal as of 15.0, with three marks of Khmer."""

_LETTERED, _LOOK, _SOLID = 1, 2, 4  # of a byte: it is a letter; it has to be looked at; it is no white space


def _stops() -> NDArray[np.int32]:
    """Return the code points of ``_STOPS``, sorted."""
    ranges = (entry.split("-") for entry in _STOPS.split())
    return np.concatenate([np.arange(int(ends[0], 16), int(ends[-1], 16) + 1, dtype=np.int32) for ends in ranges])


def _kinds() -> Bytes:
    """Return for each byte ``_LETTERED | _LOOK | _SOLID``; bytes beyond ASCII are looked at."""
    kinds = np.full(256, _LOOK, np.uint8)
    kinds[:128] = [(CLASSES[byte] & LETTER) * _LETTERED | (not CLASSES[byte] & SPACE) * _SOLID for byte in range(128)]
    kinds[[*b".?!{pP", *range(0x0A, 0x0E), *range(0x1C, 0x1F)]] |= _LOOK
    return kinds


STOPS = _stops()
KINDS = _kinds()
PACKED_TITLES = np.array([int.from_bytes(title.encode()) for title in TITLES], np.int64)


@njit(cache=True, nogil=True)
def _abbreviates(data: Bytes, begin: int, stop: int, classes: Classes, titles: NDArray[np.int64]) -> bool:
    """Whether the full stop at ``stop`` comes after a single letter or a title."""
    first = stop
    word = np.int64(0)
    while first > begin and stop - first < 5 and is_letter(data[first - 1]):
        first -= 1
        word |= np.int64(data[first]) << (8 * (stop - first - 1))
    if first > begin:
        last = first - 1
        while (data[last] & 0xC0) == 0x80:
            last -= 1
        before, _ = decode(data, last)
        if classes[before] & (LETTER | NUMBER | MARK) or before == 0x27 or before == 0x2019:  # ' ’
            return False
    place = 0
    while place < len(titles) and titles[place] != word:
        place += 1
    return stop - first == 1 or place < len(titles)


@njit(cache=True, nogil=True)
def _closes(data: Bytes, position: int) -> int:
    """Return the bytes of the mark, quote or bracket at ``position`` that may end a sentence, or 0."""
    byte = data[position]
    if byte < 0x80:
        marks = byte == 0x2E or byte == 0x3F or byte == 0x21
        return int(marks or byte == 0x22 or byte == 0x27 or byte == 0x29 or byte == 0x5D or byte == 0x7D)
    if byte == 0xC2:
        return 2 * (data[position + 1] == 0xBB)  # »
    if byte == 0xE2 and data[position + 1] == 0x80:
        return 3 * (data[position + 2] == 0x99 or data[position + 2] == 0x9D)  # ’ ”
    return 0


@njit(cache=True, nogil=True)
def _goes_on(data: Bytes, position: int, end: int, classes: Classes) -> bool:
    """Whether what follows a mark goes on with the sentence: no white space, or a small letter after it."""
    spaced = False
    while position < end:
        char, width = decode(data, position)
        if not classes[char] & SPACE:
            return not spaced or 0x61 <= char <= 0x7A
        spaced = True
        position += width
    return False


@njit(cache=True, nogil=True)
def _is_lorem_ipsum(data: Bytes, begin: int, end: int, position: int) -> bool:
    """Whether the ``p`` of ``lorem ipsum``, in any case, stands at ``position``."""
    start = position - 7
    return start >= begin and stands_folded(data, start, end, _LOREM)


@njit(cache=True, nogil=True)
def _is_stop(data: Bytes, end: int, stops: NDArray[np.int32]) -> bool:
    """Whether the character before ``end``, of which there is one, ends a sentence."""
    last = end - 1
    if data[last] < 0x80:
        return data[last] == 0x2E or data[last] == 0x3F or data[last] == 0x21
    while (data[last] & 0xC0) == 0x80:
        last -= 1
    char, _ = decode(data, last)
    at = int(np.searchsorted(stops, char))
    return at < len(stops) and stops[at] == char


@njit(cache=True, nogil=True)
def _before_closers(data: Bytes, begin: int, end: int, classes: Classes) -> int:
    """Return where a line ends without the white space, quotes and brackets at its end; the first character stays."""
    while True:
        last = end - 1
        while (data[last] & 0xC0) == 0x80:
            last -= 1
        char, _ = decode(data, last)
        if last == begin or not (classes[char] & SPACE or (_closes(data, last) and char not in (0x21, 0x2E, 0x3F))):
            return end
        end = last


@njit(cache=True, nogil=True)
def prose_statistics(
    data: Bytes,
    offsets: Offsets,
    rows: NDArray[np.int64],
    classes: Classes,
    kinds: Bytes,
    stops: NDArray[np.int32],
    titles: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Measure sentences and lines of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    kinds, stops, titles
        ``KINDS``, ``STOPS``, ``PACKED_TITLES``.

    Returns
    -------
    float32[documents, 8]: ``PROSE_STATISTICS``.

    - ``lorem_ipsum``, ``curly_brackets``: how often the words stand there, in any case, and how many ``{``.
    - ``sentences``: see the module. ``long_lines``: how many lines have at least ``LONG_LINE`` characters.
    - Of the lines that are not blank: ``ended_lines``, the share that ends in one of ``stops``, past white space and
      the quotes and brackets that may close after it, or that has at least ``UNBROKEN_LINE`` characters and a sentence
      that ends inside for each ``SENTENCE`` of them; ``stopped_lines``, the share whose last character of all is one;
      ``short_lines``, the share of at most ``SHORT_LINE`` characters; ``repeated_line_characters``, characters of
      those that came before as a share of all characters but newlines.
    """
    out = np.zeros((len(rows), 8), np.float32)
    size = largest(offsets, rows)
    keys = np.empty(size, np.uint64)
    lengths = np.empty(size, np.int32)
    table = new_table(size)
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        lorem = brackets = sentences = long = ended = stopped = short = lines = characters = 0
        sentence = line = 0  # kinds of their bytes so far, together
        start = position = begin  # of the line, and of what is looked at
        wide = 0  # bytes of the line but the first of each character
        inside = 0  # sentences that end inside the line
        while position <= end:
            if position < end:
                kind = int(kinds[data[position]])
                sentence |= kind
                line |= kind
                if not kind & _LOOK:
                    position += 1
                    continue
                char, width = decode(data, position)
                if char >= 0x80:
                    wide += width - 1
                    flags = classes[char]
                    if flags & LETTER:
                        sentence |= _LETTERED
                    if not flags & SPACE:
                        line |= _SOLID
                    elif ends_line(char):
                        sentences += sentence & _LETTERED
                        sentence = 0
                    position += width
                    continue
                if char == 0x7B:
                    brackets += 1
                elif char >= 0x50 and char != 0x3F:  # p, P
                    lorem += _is_lorem_ipsum(data, begin, end, position)
                elif char > 0x20:  # . ? !
                    after = position + 1
                    while after < end and _closes(data, after):
                        step = _closes(data, after)
                        wide += step - 1
                        after += step
                    alone = char == 0x2E and after == position + 1
                    if not _goes_on(data, after, end, classes) and not (
                        alone and _abbreviates(data, begin, position, classes, titles)
                    ):
                        sentences += sentence & _LETTERED
                        inside += sentence & _LETTERED
                        sentence = 0
                    position = after
                    continue
                else:
                    sentences += sentence & _LETTERED
                    sentence = 0
                if char != 0x0A:
                    position += 1
                    continue
            # A line has ended.
            length = position - start - wide
            characters += length
            long += length >= LONG_LINE
            if line & _SOLID:
                stopped += _is_stop(data, position, stops)
                prose = length >= UNBROKEN_LINE and inside * SENTENCE >= length
                ended += prose or _is_stop(data, _before_closers(data, start, position, classes), stops)
                short += length <= SHORT_LINE
                keys[lines], lengths[lines] = xxh64(data, start, position, np.uint64(0)), length
                lines += 1
            line = 0
            wide = 0
            inside = 0
            position += 1
            start = position
        sentences += sentence & _LETTERED
        out[index, 0] = lorem
        out[index, 1] = brackets
        out[index, 2] = sentences
        out[index, 3] = long
        if lines:
            _, repeated = count_duplicates(keys, lengths, lines, table)
            out[index, 4] = ended / lines
            out[index, 5] = stopped / lines
            out[index, 6] = short / lines
            out[index, 7] = repeated / characters
    return out
