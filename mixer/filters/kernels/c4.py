"""C4's line edits: whole lines removed and citations cut, in one pass over a batch.

Raffel et al. 2020 (arXiv:1910.10683, section 2.2) and the code published with it; a line means and meets what it does
in datatrove's ``C4QualityFilter``, in the same order. Text is copied in the longest runs that stay as they are, so a
batch in which nothing changes is read once and copied never.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.filters.check import Value
from mixer.filters.kernels.lines import ends_line
from mixer.text.ascii import stands
from mixer.text.characters import CLASSES, DIGIT, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, buffers, decode, strings

LINE_EDITS = (
    "c4.long_word_lines",
    "c4.citations",
    "c4.unpunctuated_lines",
    "c4.short_lines",
    "c4.javascript_lines",
    "c4.policy_lines",
    "c4.line_spaces",
)
"""The edits that ``edit_lines`` makes, in the order in which each line meets them."""
JAVASCRIPT = ("javascript",)
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
"""Phrases, in small letters, of lines that tell of scripts and of policies."""

Phrases = NDArray[np.uint8]

_LONG, _CITATIONS, _UNPUNCTUATED, _SHORT, _JAVASCRIPT, _POLICY, _SPACES = range(len(LINE_EDITS))
_ANCHORS = ("av", "iv", "ok", "rm")
"""Pairs of letters, rare in that order, of which each phrase holds one: at the second of them it is looked for."""
_WIDEST = 16  # bytes of the longest phrase, and two that say where the anchor is and how long the phrase

_PLAIN, _BLANK, _BRACKET, _ANCHOR, _WIDE = range(5)  # what a byte may be the start of


def _kinds() -> Bytes:
    """Return for each byte what has to be looked at where it stands."""
    kinds = np.zeros(256, np.uint8)
    kinds[[byte for byte in range(128) if CLASSES[byte] & SPACE]] = _BLANK
    kinds[ord("[")] = _BRACKET
    kinds[[ord(letter) for pair in _ANCHORS for letter in (pair[1], pair[1].upper())]] = _ANCHOR
    kinds[[0xC2, 0xE1, 0xE2, 0xE3]] = _WIDE  # first bytes of white space beyond ASCII, and of the Kelvin sign
    return kinds


def _phrases(texts: tuple[str, ...]) -> Phrases:
    """Write phrases as rows of bytes, of which the last two are the place of the anchor and the length."""
    rows = np.zeros((len(texts), _WIDEST), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text.encode(), np.uint8)
        row[-2:] = 1 + next(text.index(pair) for pair in _ANCHORS if pair in text), len(text)
    return rows


_KINDS = _kinds()
_EDIT = np.frombuffer(b"edit]", np.uint8)
_NEEDED = np.frombuffer(b"citation needed]", np.uint8)
_LOWER = np.frombuffer(bytes(range(256)).lower(), np.uint8)
_PHRASES = _phrases((*JAVASCRIPT, *POLICY))


def edit_lines(
    texts: pa.LargeStringArray, values: Mapping[str, Value]
) -> tuple[pa.LargeStringArray, dict[str, NDArray[np.int32]]]:
    """Make the edits of ``LINE_EDITS`` that ``values`` names; an editor (see ``mixer.filters.edits``).

    Lines are those of ``str.splitlines``. The first edit that objects to a line removes it and is the one counted;
    citations are counted in the lines that stay. ``c4.line_spaces`` takes the white space from the ends of lines, the
    blank lines out, and makes every line end a newline, none at the end of the text; without it lines stay as they
    are, line ends included, and blank lines are no lines.

    Returns
    -------
    The same column if nothing changes, else a new one; and for each edit named the lines removed, the citations cut,
    or the lines whose white space changed: int32[documents].
    """
    data, offsets = buffers(texts)
    longest, shortest = _number(values, "c4.long_word_lines", np.inf), _number(values, "c4.short_lines", 0)
    flags = np.array([name in values for name in LINE_EDITS])
    out, bounds, counts = _edit(data, offsets, CLASSES, _KINDS, _LOWER, _PHRASES, flags, longest, shortest)
    found = {name: np.ascontiguousarray(counts[:, column]) for column, name in enumerate(LINE_EDITS) if flags[column]}
    return strings(out, bounds) if counts.any() else texts, found


def _number(values: Mapping[str, Value], name: str, otherwise: float) -> float:
    value = values.get(name, otherwise)
    if not isinstance(value, int | float):
        raise TypeError(f"{name} takes a number, not {value!r}")
    return float(value)


@njit(cache=True, nogil=True)
def _phrase_at(data: Bytes, begin: int, end: int, at: int, width: int, phrases: Phrases, lower: Bytes) -> int:
    """Return 1 if a phrase about scripts has its anchor at ``at``, 2 if one about policies has, else 0.

    The anchor is ``width`` bytes wide: 1, or 3 for the Kelvin sign, which is a K and has a small k.
    """
    if at == begin:
        return 0
    before, letter = lower[data[at - 1]], lower[data[at]] if width == 1 else np.uint8(0x6B)
    for index in range(len(phrases)):
        anchor, length = np.int64(phrases[index, _WIDEST - 2]), np.int64(phrases[index, _WIDEST - 1])
        if phrases[index, anchor] != letter or phrases[index, anchor - 1] != before:
            continue
        if at - anchor < begin or at + width + length - anchor - 1 > end:
            continue
        place = 0
        shift = at - anchor  # from places in the phrase to those in the text
        while place < length and (place == anchor or lower[data[shift + place]] == phrases[index, place]):
            shift += width - 1 if place == anchor else 0
            place += 1
        if place == length:
            return 1 if index == 0 else 2
    return 0


@njit(cache=True, nogil=True)
def _citation(data: Bytes, at: int, end: int, classes: Classes) -> int:
    """Return the bytes of the citation at ``at`` (``[12]``, ``[]``, ``[edit]``, ``[citation needed]``), or 0."""
    after = at + 1
    while after < end:
        char, width = decode(data, after)
        if char == 0x5D:
            return after + 1 - at
        if not classes[char] & DIGIT:
            break
        after += width
    if stands(data, at + 1, end, _EDIT):
        return 1 + len(_EDIT)
    return 1 + len(_NEEDED) if stands(data, at + 1, end, _NEEDED) else 0


@njit(cache=True, nogil=True)
def _cut(data: Bytes, begin: int, end: int, classes: Classes, out: Bytes) -> tuple[int, int]:
    """Copy ``data[begin:end]`` to ``out`` without its citations; return the bytes written, and how many were cut."""
    size = found = 0
    while begin < end:
        width = _citation(data, begin, end, classes) if data[begin] == 0x5B else 0
        if width:
            found += 1
            begin += width
            continue
        out[size] = data[begin]
        size += 1
        begin += 1
    return size, found


@njit(cache=True, nogil=True)
def _look(data: Bytes, begin: int, end: int, phrases: Phrases, kinds: Bytes, lower: Bytes) -> int:
    """Return 1 if a line holds a phrase about scripts, 2 if it holds one about policies, 3 if both, else 0."""
    spoken = 0
    for at in range(begin, end):
        kelvin = data[at] == 0xE2 and at + 2 < end and data[at + 1] == 0x84 and data[at + 2] == 0xAA
        if kelvin or kinds[data[at]] == _ANCHOR:
            spoken |= _phrase_at(data, begin, end, at, 3 if kelvin else 1, phrases, lower)
    return spoken


@njit(cache=True, nogil=True)
def _ends_sentence(data: Bytes, begin: int, end: int) -> bool:
    """Whether a line ends in one of ``. ? ! " '``, and not in an ellipsis of three full stops."""
    if end == begin:
        return False
    last = data[end - 1]
    if last == 0x2E:
        return not (end - begin >= 3 and data[end - 2] == 0x2E and data[end - 3] == 0x2E)
    return last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27


@njit(cache=True, nogil=True)
def _copy(data: Bytes, begin: int, end: int, out: Bytes, size: int) -> int:
    """Append ``data[begin:end]`` to what is written; return where it ends."""
    out[size : size + end - begin] = data[begin:end]
    return size + end - begin


@njit(cache=True, nogil=True)
def _trim(out: Bytes, begin: int, end: int, classes: Classes) -> int:
    """Take the white space from both ends of ``out[begin:end]``; return where it ends now."""
    first = begin
    while first < end:
        char, width = decode(out, first)
        if not classes[char] & SPACE:
            break
        first += width
    while end > first:
        last = end - 1
        while (out[last] & 0xC0) == 0x80:
            last -= 1
        char, _ = decode(out, last)
        if not classes[char] & SPACE:
            break
        end = last
    if first > begin:
        for place in range(end - first):
            out[begin + place] = out[first + place]
    return begin + end - first


@njit(cache=True, nogil=True)
def _edit(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    kinds: Bytes,
    lower: Bytes,
    phrases: Phrases,
    flags: NDArray[np.bool_],
    longest: float,
    shortest: float,
) -> tuple[Bytes, Offsets, NDArray[np.int32]]:
    """Edit every text; return data and offsets of the new column, and how often each edit was made.

    That is int32[documents, 7]: ``LINE_EDITS``. What stays as it is waits as a run, ``data[run:until]``, to be copied
    behind ``out[:size]`` in one piece.
    """
    rows = len(offsets) - 1
    counts = np.zeros((rows, len(flags)), np.int32)
    bounds = np.zeros(rows + 1, np.int64)
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    line = np.empty(np.max(offsets[1:] - offsets[:-1]) if rows else 0, np.uint8)  # one without its citations
    size = 0
    run = until = offsets[0]
    spaces = flags[_SPACES]
    for row in range(rows):
        end = offsets[row + 1]
        position = offsets[row]
        broken = cited = False
        kept = 0  # lines that stay
        while position < end:
            # The line: its words, what is in it, and the place of its end.
            start = first = last = word = position
            words = spoken = 0  # spoken: of scripts 1, of policies 2
            long = bracket = ended = False
            while not ended:
                kind = kinds[data[position]] if position < end else _BLANK
                if kind == _PLAIN:
                    position += 1
                    continue
                char, width = np.int32(0x0A), 0
                if position < end:
                    char, width = decode(data, position)
                if kind == _BLANK or (kind == _WIDE and classes[char] & SPACE):
                    if position > word:
                        if position - word > longest:
                            letters = 0
                            for byte in range(word, position):
                                letters += (data[byte] & 0xC0) != 0x80
                            long = long or letters > longest
                        first = word if words == 0 else first
                        last = position
                        words += 1
                    ended = ends_line(char)
                    word = position + width
                elif kind == _BRACKET:
                    bracket = True
                elif kind == _ANCHOR or char == 0x212A:
                    spoken |= _phrase_at(data, offsets[row], end, position, width, phrases, lower)
                position += width
            stop = position - width  # of the line without its end
            broken = width > 0
            if broken and data[stop] == 0x0D and position < end and data[position] == 0x0A:
                position += 1
            # What objects to it.
            if words == 0:
                counts[row, _SPACES] += spaces
                if not spaces:
                    if start != until:
                        size, run = _copy(data, run, until, out, size), start
                    until = position
                continue
            if long:
                counts[row, _LONG] += 1
                continue
            tail = found = 0
            if bracket and flags[_CITATIONS]:
                tail, found = _cut(data, first, last, classes, line)
                if found:
                    spoken = _look(line, 0, tail, phrases, kinds, lower)
            ends = _ends_sentence(line, 0, tail) if found else _ends_sentence(data, first, last)
            if flags[_UNPUNCTUATED] and not ends:
                counts[row, _UNPUNCTUATED] += 1
                continue
            if words < shortest:
                counts[row, _SHORT] += 1
                continue
            if spoken & 1 and flags[_JAVASCRIPT]:
                counts[row, _JAVASCRIPT] += 1
                continue
            if spoken & 2 and flags[_POLICY]:
                counts[row, _POLICY] += 1
                continue
            # It stays, from left to right.
            left, right = start, position
            if spaces:
                plain = not broken or (data[stop] == 0x0A and position == stop + 1)
                counts[row, _SPACES] += first > start or last < stop or not plain
                left, right = first, last
                if kept and first == until + 1 and data[until] == 0x0A:
                    left = until
                elif kept:
                    size, run = _copy(data, run, until, out, size), until
                    out[size] = 0x0A
                    size += 1
            if left != until:
                size, run = _copy(data, run, until, out, size), left
            until = right
            if found:
                size = _copy(data, run, first, out, size)
                size, run = _copy(line, 0, tail, out, size), last
            counts[row, _CITATIONS] += found
            cited |= found > 0
            kept += 1
        if spaces and broken:  # an empty line is the last
            counts[row, _SPACES] += 1
        if spaces and cited:
            size, run = _copy(data, run, until, out, size), until
            size = _trim(out, bounds[row], size, classes)
        bounds[row + 1] = size + until - run
    size = _copy(data, run, until, out, size)
    return out[:size], bounds, counts
