"""Comments in source code: a scanner of strings and comments that knows some thirty syntaxes as rows of tables.

It is no parser. What it takes for granted, so that broken code and languages in a row do little harm: a string that
does not end on its line is none, an unclosed block comment reaches to the end, a backslash hides the next character.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.syntax import (
    BLOCK,
    CLOSE,
    COMMENTS,
    DOCSTRINGS,
    ESCAPE,
    LINE,
    LONG_QUOTE,
    OPEN,
    QUOTE,
    SLASH,
    SPACED,
    Syntaxes,
)
from mixer.text.ascii import stands
from mixer.text.utf8 import Bytes, Offsets, count_characters

COMMENT_STATISTICS = ("comment_share",)
"""Columns of ``comment_statistics``."""

_TAB, _NEWLINE, _RETURN, _BLANK, _BACKSLASH, _SLASH, _STAR = 0x09, 0x0A, 0x0D, 0x20, 0x5C, 0x2F, 0x2A
_BEFORE_REGEX = np.frombuffer(b"(,=:[!&|?+", np.uint8)
_RETURNS = np.frombuffer(b"return", np.uint8)


@njit(cache=True, nogil=True, inline="always")
def _mark_bytes(mark: Bytes, data: Bytes, position: int, end: int) -> int:
    """Return the length of a zero-padded mark if it stands at a position, else 0."""
    length = 0
    while length < len(mark) and mark[length]:
        if position + length >= end or data[position + length] != mark[length]:
            return 0
        length += 1
    return length


@njit(cache=True, nogil=True)
def _after_block(data: Bytes, position: int, end: int, close: Bytes) -> int:
    """Return where a block comment ends whose opening has been read."""
    first = close[0]
    while position < end:
        if data[position] == first:
            length = _mark_bytes(close, data, position, end)
            if length:
                return position + length
        position += 1
    return end


@njit(cache=True, nogil=True)
def _line_end(data: Bytes, position: int, end: int) -> int:
    """Return the end of a line, its line break left out."""
    while position < end and data[position] != _NEWLINE:
        position += 1
    return position


@njit(cache=True, nogil=True)
def _after_string(data: Bytes, position: int, end: int, quote: int) -> int:
    """Return where a string ends whose opening quote has been read; -1: it does not end on its line."""
    while position < end and data[position] != _NEWLINE:
        byte = data[position]
        position += 1
        if byte == quote:
            return position
        if byte == _BACKSLASH and position < end and data[position] != _NEWLINE:
            position += 1
    return -1


@njit(cache=True, nogil=True)
def _after_long_string(data: Bytes, position: int, end: int, quote: int) -> int:
    """Return where a string ends that may go on over lines, its opening quote has been read."""
    while position < end:
        byte = data[position]
        position += 1 + (byte == _BACKSLASH)
        if byte == quote:
            return position
    return end


@njit(cache=True, nogil=True)
def _after_triple(data: Bytes, position: int, end: int, quote: int) -> int:
    """Return where a string in triple quotes ends whose opening has been read."""
    while position < end:
        byte = data[position]
        if byte == _BACKSLASH:
            position += 1
        elif byte == quote and position + 2 < end and data[position + 1] == quote and data[position + 2] == quote:
            return position + 3
        position += 1
    return end


@njit(cache=True, nogil=True)
def _begins_statement(data: Bytes, begin: int, position: int) -> bool:
    """Whether nothing but blanks and a prefix of strings stands before a quote on its line, or on one it goes on."""
    before = position - 1
    if before >= begin and data[before] | 0x20 in (0x72, 0x75):  # r and u
        before -= 1
    while before >= begin and (data[before] == _BLANK or data[before] == _TAB):
        before -= 1
    if before < begin:
        return True
    if data[before] != _NEWLINE:
        return False
    before -= 1
    if before >= begin and data[before] == _RETURN:
        before -= 1
    return before < begin or data[before] != _BACKSLASH


@njit(cache=True, nogil=True)
def _begins_regex(data: Bytes, begin: int, position: int, end: int) -> bool:
    """Whether a slash opens a regular expression: what stands before it on its line cannot be divided."""
    if position + 1 < end and (data[position + 1] == _SLASH or data[position + 1] == _STAR):
        return False
    before = position - 1
    while before >= begin and (data[before] == _BLANK or data[before] == _TAB):
        before -= 1
    if before < begin:
        return False
    for mark in _BEFORE_REGEX:
        if data[before] == mark:
            return True
    word = before - len(_RETURNS) + 1
    return word >= begin and stands(data, word, end, _RETURNS)


@njit(cache=True, nogil=True)
def comment_characters(
    data: Bytes, begin: int, end: int, actions: Bytes, lines: Bytes, blocks: Bytes, traits: int
) -> int:
    """Count the characters of comments in one document, given the rows of its syntax.

    Comments count with what opens and closes them, line breaks at their end aside.
    """
    count = depth = 0
    position = begin
    while position < end:
        byte = data[position]
        action = actions[byte]
        if not action:
            position += 1
            continue
        after = 0
        if action & BLOCK:
            for place in range(len(blocks)):
                if blocks[place, 0, 0] == byte:
                    length = _mark_bytes(blocks[place, 0], data, position, end)
                    if length:
                        after = _after_block(data, position + length, end, blocks[place, 1])
                        break
        if not after and action & LINE:
            for place in range(len(lines)):
                if lines[place, 0] == byte and _mark_bytes(lines[place], data, position, end):
                    spaced = position == begin or data[position - 1] <= _BLANK or not traits & SPACED
                    if spaced:
                        after = _line_end(data, position, end)
                    break
        if after:
            count += count_characters(data, position, after)
            position = after
            continue
        if action & ESCAPE:
            position += 2
            continue
        if action & (QUOTE | LONG_QUOTE):
            triple = (
                traits & DOCSTRINGS and position + 2 < end and data[position + 1] == byte and data[position + 2] == byte
            )
            if triple:
                after = _after_triple(data, position + 3, end, byte)
            elif action & LONG_QUOTE:
                after = _after_long_string(data, position + 1, end, byte)
            else:
                after = _after_string(data, position + 1, end, byte)
            if after > 0:
                if traits & DOCSTRINGS and depth == 0 and _begins_statement(data, begin, position):
                    count += count_characters(data, position, after)
                position = after
                continue
        elif action & SLASH and _begins_regex(data, begin, position, end):
            after = _after_string(data, position + 1, end, _SLASH)
            if after > 0:
                position = after
                continue
        elif action & OPEN:
            depth += 1
        elif action & CLOSE and depth:
            depth -= 1
        position += 1
    return count


@njit(cache=True, nogil=True)
def comment_statistics(
    data: Bytes,
    offsets: Offsets,
    rows: NDArray[np.int64],
    syntaxes: Syntaxes,
    actions: NDArray[np.uint8],
    lines: NDArray[np.uint8],
    blocks: NDArray[np.uint8],
    traits: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Measure the comments of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    syntaxes
        uint8[documents]: the syntax of each of them.
    actions, lines, blocks, traits
        The tables of ``mixer.filters.syntax``.

    Returns
    -------
    float32[documents, 1]: ``comment_share``, the characters of comments (and of Python's docstrings) among all; NaN
    where the syntax is not known or has no comments.
    """
    out = np.full((len(rows), 1), np.nan, np.float32)
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        syntax = syntaxes[index]
        if traits[syntax] & COMMENTS and begin < end:
            found = comment_characters(data, begin, end, actions[syntax], lines[syntax], blocks[syntax], traits[syntax])
            out[index, 0] = found / count_characters(data, begin, end)
    return out
