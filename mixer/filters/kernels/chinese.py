"""The marks and lines of Chinese pages: what punctuation, digits, bullets and line ends say about a document.

One kernel walks each document once. Lines lie between newlines; blank ones count for nothing. No segmenter.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.text.characters import DIGIT, LETTER, NUMBER, PUNCTUATION, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, buffers, decode

PAGE_STATISTICS = (
    "bracketed_share",
    "hash_runs_per_character",
    "ellipsis_runs_per_character",
    "digit_share",
    "punctuation_share",
    "chinese_sentences",
    "newlines_per_character",
    "mean_filled_line",
    "teaser_lines",
    "chinese_bullet_lines",
    "stop_characters",
)
"""Columns of ``page_statistics``."""
SENTENCE_ENDS = ".?!…。？！｡．﹒﹖﹗‼⁇⁈⁉"
"""What ends a sentence, in Chinese and in English."""
BULLETS = "·•‧・●○◎■□◆◇▪▫◦★☆▶►▷➤※-*–—"
"""What begins a line of a list."""
ARROWS = ">＞»›→▼▽▾∨↓+＋]］)）"
"""What may follow the words of a link to the rest of a page."""
TEASERS = (
    *(
        "展开",
        "展開",
        "收起",
        "更多",
        "阅读全文",
        "閱讀全文",
        "查看全文",
        "展开全文",
        "展開全文",
        "显示全文",
        "顯示全文",
    ),
    *(
        "阅读原文",
        "閱讀原文",
        "查看原文",
        "继续阅读",
        "繼續閱讀",
        "查看详情",
        "查看詳情",
        "了解详情",
        "了解詳情",
        "瞭解詳情",
    ),
    *("点击查看", "點擊查看", "下一页", "下一頁", "。。。"),
    *("readmore", "ReadMore", "READMORE", "read more", "Read more", "Read More", "READ MORE"),
)
"""What a line ends in whose rest stands elsewhere."""
STOP_CHARACTERS = "的年在月是和日了於·為有被人中为他與後也而由"
"""FineWeb2's stop words for ``cmn_Hani``, each of one character."""

Marks: TypeAlias = NDArray[np.uint16]

_ENDS = 1
_BULLET = 2
_ARROW = 4
_TAIL = 8
_STOP = 5  # from this bit on: the place of a stop character, plus one
_COLUMNS = len(PAGE_STATISTICS)
_OPEN, _CLOSE = 0x3010, 0x3011  # 【】


def _marks() -> Marks:
    """Return what each code point is to ``page_statistics``."""
    table = np.zeros(0x110000, np.uint16)
    tails = "".join(phrase[-1] for phrase in TEASERS)
    for flag, characters in ((_ENDS, SENTENCE_ENDS), (_BULLET, BULLETS), (_ARROW, ARROWS), (_TAIL, tails)):
        table[[ord(char) for char in characters]] |= flag
    for place, char in enumerate(STOP_CHARACTERS):
        table[ord(char)] |= (place + 1) << _STOP
    return table


def column(phrases: Sequence[str]) -> tuple[Bytes, Offsets]:
    """Return phrases as kernels take them."""
    return buffers(pa.array(phrases, pa.large_string()))


MARKS = _marks()
"""uint16[0x110000], the argument ``marks`` of ``page_statistics``."""
TEASER_COLUMN = column(TEASERS)
"""Its arguments ``tail_data`` and ``tail_offsets``."""


@njit(cache=True, nogil=True)
def ends_with(data: Bytes, begin: int, end: int, phrases: Bytes, phrase_offsets: Offsets) -> bool:
    """Whether ``data[begin:end]`` ends in one of some phrases."""
    for phrase in range(len(phrase_offsets) - 1):
        first, at = phrase_offsets[phrase], phrase_offsets[phrase + 1]
        if at - first > end - begin:
            continue
        place = end
        while at > first and data[place - 1] == phrases[at - 1]:
            place -= 1
            at -= 1
        if at == first:
            return True
    return False


@njit(cache=True, nogil=True)
def page_statistics(
    data: Bytes,
    offsets: Offsets,
    rows: NDArray[np.int64],
    classes: Classes,
    marks: Marks,
    tail_data: Bytes,
    tail_offsets: Offsets,
) -> NDArray[np.float32]:
    """Measure marks and lines of some documents.

    Parameters
    ----------
    rows
        int64[documents]: which documents of the batch.

    Returns
    -------
    float32[documents, 11]: ``PAGE_STATISTICS``. Characters are those that are not white space, and lines those that
    are not blank; a document without any has 0 everywhere.

    - ``bracketed_share``: characters from 【 to the next 】 of the line, both included, among all.
    - ``hash_runs_per_character``: ``#`` in a row count once. ``ellipsis_runs_per_character``: so do ``…``, and three
      or more of ``.`` or of ``。``.
    - ``digit_share``: decimal digits among the characters that are no punctuation; ``punctuation_share``: punctuation
      among all.
    - ``chinese_sentences``: stretches with a letter or number that end at one of ``SENTENCE_ENDS`` (a full stop only if
      white space follows), a newline or the end of the text.
    - ``newlines_per_character``: all newlines. ``mean_filled_line``: characters of a line.
    - ``teaser_lines``: share of lines that end in one of ``TEASERS``, ``ARROWS`` aside; ``chinese_bullet_lines``: that
      begin with one of ``BULLETS``.
    - ``stop_characters``: how many of ``STOP_CHARACTERS`` occur.
    """
    out = np.zeros((len(rows), _COLUMNS), np.float32)
    for index in range(len(rows)):
        end = offsets[rows[index] + 1]
        characters = punctuation = digits = newlines = 0
        lines = teasers = bullets = 0
        sentences = hashes = ellipses = bracketed = 0
        stops = np.uint32(0)
        run = 0  # how often in a row the last character stood
        before = -1
        opened = -1  # characters before the open 【 of the line, or -1
        speaks = False  # the sentence has a letter or number
        first = -1  # the first character of the line that is no white space
        begin = position = offsets[rows[index]]  # of the line
        tail = begin  # where the line ends, white space and arrows aside
        tail_char = -1  # the last character there
        while position <= end:
            if position == end:
                char, width = 0x0A, 1  # as if the last line ended
                newlines -= 1
            else:
                char, width = decode(data, position)
            position += width
            flags = classes[char]
            if flags & SPACE:
                if speaks and (before == 0x2E or char == 0x0A):
                    sentences += 1
                    speaks = False
                if char == 0x0A:
                    newlines += 1
                    if first >= 0:
                        lines += 1
                        bullets += (marks[first] & _BULLET) != 0
                        if tail_char >= 0 and marks[tail_char] & _TAIL:
                            teasers += ends_with(data, begin, tail, tail_data, tail_offsets)
                    opened = first = tail_char = -1
                    begin = position
                before = char
                continue
            characters += 1
            mark = marks[char]
            first = char if first < 0 else first
            if (mark & _ARROW) == 0:
                tail, tail_char = position, char
            if flags & LETTER:
                speaks = True
            elif flags & PUNCTUATION:
                punctuation += 1
                run = run + 1 if char == before else 1
                if char == 0x23:
                    hashes += run == 1
                elif char == 0x2026:
                    ellipses += run == 1
                elif char == 0x2E or char == 0x3002:
                    ellipses += run == 3
                elif char == _OPEN:
                    opened = characters - 1 if opened < 0 else opened
                elif char == _CLOSE and opened >= 0:
                    bracketed += characters - opened
                    opened = -1
                if mark & _ENDS and char != 0x2E and speaks:
                    sentences += 1
                    speaks = False
            elif flags & NUMBER:
                speaks = True
                digits += (flags & DIGIT) != 0
            if mark >> _STOP:
                stops |= np.uint32(1) << np.uint32((mark >> _STOP) - 1)
            before = char
        if characters == 0:
            continue
        out[index, 0] = bracketed / characters
        out[index, 1] = hashes / characters
        out[index, 2] = ellipses / characters
        out[index, 3] = digits / (characters - punctuation) if characters > punctuation else 0.0
        out[index, 4] = punctuation / characters
        out[index, 5] = sentences
        out[index, 6] = newlines / characters
        out[index, 7] = characters / lines
        out[index, 8] = teasers / lines
        out[index, 9] = bullets / lines
        for place in range(32):
            out[index, 10] += (stops >> np.uint32(place)) & np.uint32(1)
    return out
