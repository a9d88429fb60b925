"""Words of space-separated text, and what Gopher's rules count about them.

One kernel walks each document once and leaves its words behind as three arrays (hash, length, kind), from which
this module counts and in which ``repetition`` looks for repeated n-grams. What a word is:

- White space separates words and is in none of them.
- A run of letters, numbers, combining marks and invisible controls is one word, except that
- a Han or kana character is a word by itself (with the marks that follow it), as in the shingles of ``dedup``;
- a full stop or a low line between two characters of a word stays in it (``example.com``, ``3.14``, ``snake_case``),
  and so does a comma between two digits (``1,000``);
- an apostrophe between two letters begins a new word (``that's`` is ``that`` and ``'s``), as English tokenizers do;
- of everything else (punctuation, symbols) a run of one same character is a word (``...``, ``--``).

So punctuation counts as words of its own, as in datatrove, whose filters over these words decide as the rules do.
Punctuation is what Unicode calls so (and symbols and controls); datatrove's own list lacks some symbols and takes
them for words, which changed one decision in 12,000 English texts.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels.repetition import repeated_word_grams
from mixer.filters.kernels.tables import largest, new_table
from mixer.text.characters import CONTROL, DIGIT, HAN, KANA, LETTER, MARK, NUMBER, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, decode

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's, of which an English text has at least two; case counts, as in datatrove."""

WORD_STATISTICS = (
    "words",
    "mean_word_length",
    "hashes_per_word",
    "ellipses_per_word",
    "alphabetic_words",
    "stop_words",
    "newlines_per_word",
)
"""Columns of ``word_statistics``; those of ``repetition.GRAM_STATISTICS`` follow where they are asked for."""

HAS_LETTER = 1
HAS_SUBSTANCE = 2  # a letter, number or mark: anything but punctuation, symbols and controls

_SPELT = LETTER | NUMBER | MARK | CONTROL  # what words are made of
_SINGLE = HAN | KANA  # what is a word by itself
_SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_CLOSED = -1  # no word is open
_SPELLING = -2  # the open word is made of letters and the like; else: the symbol that it repeats


@njit(cache=True, nogil=True)
def _followed_by(data: Bytes, position: int, end: int, classes: Classes, wanted: int) -> bool:
    """Whether a character of one of the classes ``wanted``, and no Han or kana, stands at ``position``."""
    if position >= end:
        return False
    char, _ = decode(data, position)
    return (classes[char] & wanted) != 0 and (classes[char] & (_SINGLE | SPACE)) == 0


@njit(cache=True, nogil=True)
def segment(
    data: Bytes,
    begin: int,
    end: int,
    classes: Classes,
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    kinds: NDArray[np.uint8],
) -> int:
    """Cut ``data[begin:end]`` into words and return their number.

    Parameters
    ----------
    hashes, lengths, kinds
        Filled for each word: 64-bit FNV-1a of its bytes, its characters, and ``HAS_LETTER | HAS_SUBSTANCE``. At least
        ``end - begin`` entries each.
    """
    count = 0
    state = _CLOSED
    value = _SEED
    length = 0
    kind = 0
    before = 0  # classes of the last character that is no mark
    position = begin
    while position < end:
        char, width = decode(data, position)
        flags = classes[char]
        begins = True
        after = _SPELLING
        if flags & SPACE:
            after = _CLOSED
        elif flags & _SPELT:
            if state == _SPELLING:
                begins = (flags & MARK) == 0 and ((flags | before) & _SINGLE) != 0
        elif state == _SPELLING and (before & _SINGLE) == 0:
            ahead = position + width
            if char == 0x2E or char == 0x5F:  # . _
                begins = not _followed_by(data, ahead, end, classes, _SPELT)
            elif char == 0x2C and before & DIGIT:  # ,
                begins = not _followed_by(data, ahead, end, classes, DIGIT)
            clitic = char == 0x27 or char == 0x2019  # ' ’
            if begins and not (clitic and before & LETTER and _followed_by(data, ahead, end, classes, LETTER)):
                after = char
        else:
            begins = state != char
            after = char
        if begins and state != _CLOSED:
            hashes[count] = value
            lengths[count] = length
            kinds[count] = kind
            count += 1
        state = after
        if after == _CLOSED:
            position += width
            continue
        if begins:
            value = _SEED
            length = 0
            kind = 0
        for byte in range(position, position + width):
            value = (value ^ np.uint64(data[byte])) * _PRIME
        length += 1
        if flags & LETTER:
            kind |= HAS_LETTER | HAS_SUBSTANCE
        elif flags & (NUMBER | MARK):
            kind |= HAS_SUBSTANCE
        if (flags & MARK) == 0 or begins:
            before = flags
        position += width
        while state == _SPELLING and position < end and data[position] < 0x80:  # the rest of a plain word, quickly
            flags = classes[data[position]]
            if (flags & (LETTER | NUMBER)) == 0 or before & _SINGLE:
                break
            value = (value ^ np.uint64(data[position])) * _PRIME
            length += 1
            kind |= HAS_LETTER | HAS_SUBSTANCE if flags & LETTER else HAS_SUBSTANCE
            before = flags
            position += 1
    if state != _CLOSED:
        hashes[count] = value
        lengths[count] = length
        kinds[count] = kind
        count += 1
    return count


@njit(cache=True, nogil=True)
def _hash(data: Bytes, begin: int, end: int) -> np.uint64:
    """Return the hash that ``segment`` gives the word ``data[begin:end]``."""
    value = _SEED
    for position in range(begin, end):
        value = (value ^ np.uint64(data[position])) * _PRIME
    return value


@njit(cache=True, nogil=True)
def _count_symbols(data: Bytes, begin: int, end: int) -> tuple[int, int, int]:
    """Count ``#``, ellipses (``…`` and each three full stops in a row) and newlines."""
    signs = ellipses = newlines = 0
    stops = 0
    for position in range(begin, end):
        byte = data[position]
        if byte == 0x2E:
            stops += 1
            continue
        if stops:
            ellipses += stops // 3
            stops = 0
        if byte == 0x23:
            signs += 1
        elif byte == 0x0A:
            newlines += 1
        elif byte == 0xA6 and position - begin >= 2 and data[position - 1] == 0x80 and data[position - 2] == 0xE2:
            ellipses += 1
    return signs, ellipses + stops // 3, newlines


@njit(cache=True, nogil=True)
def word_statistics(
    data: Bytes,
    offsets: Offsets,
    rows: NDArray[np.int64],
    classes: Classes,
    stop_data: Bytes,
    stop_offsets: Offsets,
    columns: int,
) -> NDArray[np.float32]:
    """Measure the words of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.
    stop_data, stop_offsets
        The stop words, as a column.
    columns
        7, or 16 to look for repeated n-grams as well.

    Returns
    -------
    float32[documents, columns]: ``WORD_STATISTICS``, then ``repetition.GRAM_STATISTICS``. Characters are code points.
    Words that are only punctuation count in the denominators, but not in ``words`` and ``mean_word_length``.
    """
    out = np.zeros((len(rows), columns), np.float32)
    with_grams = columns > 7
    size = largest(offsets, rows)
    hashes = np.empty(size, np.uint64)
    lengths = np.empty(size, np.int32)
    kinds = np.empty(size, np.uint8)
    table = new_table(size if with_grams else 0)
    scratch = np.empty((5, size if with_grams else 0), np.int32)
    stops = np.empty(len(stop_offsets) - 1, np.uint64)
    found = np.empty(len(stops), np.bool_)
    longest = 0
    for word in range(len(stops)):
        stops[word] = _hash(stop_data, stop_offsets[word], stop_offsets[word + 1])
        longest = max(longest, int(stop_offsets[word + 1] - stop_offsets[word]))
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        count = segment(data, begin, end, classes, hashes, lengths, kinds)
        if count == 0:
            continue
        words = 0
        characters = 0
        alphabetic = 0
        found[:] = False
        for word in range(count):
            kind = kinds[word]
            if kind & HAS_SUBSTANCE:
                words += 1
                characters += lengths[word]
            if kind & HAS_LETTER:
                alphabetic += 1
                if lengths[word] <= longest:
                    for stop in range(len(stops)):
                        if hashes[word] == stops[stop]:
                            found[stop] = True
        signs, ellipses, newlines = _count_symbols(data, begin, end)
        out[index, 0] = words
        out[index, 1] = characters / words if words else 0.0
        out[index, 2] = signs / count
        out[index, 3] = ellipses / count
        out[index, 4] = alphabetic / count
        out[index, 5] = np.sum(found)
        out[index, 6] = newlines / count
        if with_grams:
            text_length = 0
            for position in range(begin, end):
                text_length += (data[position] & 0xC0) != 0x80
            repeated_word_grams(hashes, lengths, count, text_length, table, scratch, out[index, 7:])
    return out
