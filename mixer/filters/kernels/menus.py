"""Lines that belong to a web page and not to its text: links to the rest, page numbers, sharing, copyright notices.

What the phrases are, which lines are taken for such, the kernel that leaves them out, and the editor that calls it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels.chinese import TEASERS, column
from mixer.text.characters import CLASSES, HAN, LETTER, SPACE, Classes
from mixer.text.utf8 import Bytes, Offsets, buffers, decode, strings

PIPE_LINES = "chinese.pipe_lines"
MENU_LINES = "chinese.menu_lines"
MENU_EDITS = (PIPE_LINES, MENU_LINES)
"""The edits that ``edit_menus`` makes."""
MENU_PHRASES = (
    *(phrase for phrase in TEASERS if phrase != "。。。"),
    *(
        "更多内容",
        "更多內容",
        "查看更多",
        "展开更多",
        "展開更多",
        "加载更多",
        "載入更多",
        "点击展开",
        "點擊展開",
        "展开阅读",
    ),
    *("上一页", "上一頁", "上一篇", "下一篇", "上一章", "下一章", "上一节", "下一节", "没有了", "沒有了"),
    *("返回顶部", "返回頂部", "回到顶部", "回到頂部", "返回首页", "返回首頁", "返回列表", "返回目录", "返回目錄"),
    *("分享到", "分享至", "分享给", "分享給", "打印本页", "列印本頁", "关闭窗口", "關閉視窗", "加入收藏", "设为首页"),
)
"""What a line must have to be left out. Each is read from left to right, the longest that fits first."""
MENU_COMPANIONS = (
    *(
        "首页",
        "首頁",
        "尾页",
        "尾頁",
        "末页",
        "末頁",
        "目录",
        "目錄",
        "共",
        "第",
        "页",
        "頁",
        "条",
        "條",
        "到",
    ),
    *("微信好友", "微信", "新浪微博", "腾讯微博", "微博", "QQ空间", "QQ好友", "QQ", "朋友圈", "人人网", "豆瓣", "贴吧"),
    *("Facebook", "Twitter", "LINE", "收藏", "打印", "列印", "关闭", "關閉", "评论", "評論", "点赞", "點讚"),
)
"""What may stand beside it."""
NOTICES = ("版权所有", "版權所有", "All Rights Reserved", "All rights reserved", "ALL RIGHTS RESERVED")
"""What makes a short line a copyright notice, where no Han character follows."""
LONGEST_NOTICE = 60
"""Characters of such a line, white space aside, at most."""

_PHRASES = sorted((*MENU_PHRASES, *MENU_COMPANIONS), key=lambda phrase: (-len(phrase), phrase))
PHRASE_COLUMN = column(_PHRASES)
"""The phrases, longest first: the arguments ``phrases`` and ``phrase_offsets`` of ``without_menu_lines``."""
NEEDED = np.array([phrase in MENU_PHRASES for phrase in _PHRASES])
"""bool[phrases], its argument ``needed``: which of them a line must have."""
NOTICE_COLUMN = column(NOTICES)
"""Its arguments ``notices`` and ``notice_offsets``."""
_PIPES = r"[ |]*\|[ |]*"


@njit(cache=True, nogil=True)
def _phrase_at(data: Bytes, position: int, end: int, phrases: Bytes, phrase_offsets: Offsets) -> int:
    """Return the first phrase that stands at ``position``, or -1."""
    for phrase in range(len(phrase_offsets) - 1):
        first, last = phrase_offsets[phrase], phrase_offsets[phrase + 1]
        if last - first > end - position:
            continue
        at = first
        while at < last and data[position + at - first] == phrases[at]:
            at += 1
        if at == last:
            return phrase
    return -1


@njit(cache=True, nogil=True)
def _is_menu(
    data: Bytes,
    begin: int,
    end: int,
    classes: Classes,
    phrases: Bytes,
    phrase_offsets: Offsets,
    needed: NDArray[np.bool_],
) -> bool:
    """Whether the letters of a line are phrases, one at least that is needed, and it is no heading of Markdown."""
    found = False
    first = True
    position = begin
    while position < end:
        char, width = decode(data, position)
        flags = classes[char]
        if flags & SPACE == 0:
            if first and char == 0x23:
                return False
            first = False
        if flags & LETTER == 0:
            position += width
            continue
        phrase = _phrase_at(data, position, end, phrases, phrase_offsets)
        if phrase < 0:
            return False
        found |= needed[phrase]
        position += phrase_offsets[phrase + 1] - phrase_offsets[phrase]
    return found


@njit(cache=True, nogil=True)
def _is_notice(data: Bytes, begin: int, end: int, classes: Classes, notices: Bytes, notice_offsets: Offsets) -> bool:
    """Whether a line is short, is no sentence and has a copyright notice."""
    if end - begin > 8 * LONGEST_NOTICE:
        return False
    found = False
    characters = 0
    last = -1
    position = begin
    while position < end:
        char, width = decode(data, position)
        if classes[char] & SPACE == 0:
            characters += 1
            last = char
            notice = _phrase_at(data, position, end, notices, notice_offsets)
            if notice >= 0:
                after = position + notice_offsets[notice + 1] - notice_offsets[notice]
                if after == end:
                    found = True
                else:
                    follows, _ = decode(data, after)
                    found |= classes[follows] & HAN == 0
        position += width
    return found and characters <= LONGEST_NOTICE and last != 0x3002


@njit(cache=True, nogil=True)
def without_menu_lines(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    phrases: Bytes,
    phrase_offsets: Offsets,
    needed: NDArray[np.bool_],
    notices: Bytes,
    notice_offsets: Offsets,
) -> tuple[Bytes, Offsets, NDArray[np.int32]]:
    """Leave out the lines of a column of text that are menus or copyright notices.

    A menu is a line whose letters are all of ``phrases``, at least one of them ``needed``; digits, punctuation and the
    like do not matter, but a line that begins with ``#`` is a heading. A notice is a line of up to ``LONGEST_NOTICE``
    characters that does not end in 。 and has one of ``notices``, no Han character behind it.

    Returns
    -------
    The column that is left, as bytes and int64 offsets, and int32[documents]: how many lines went.
    """
    documents = len(offsets) - 1
    out = np.empty(offsets[documents] - offsets[0], np.uint8)
    out_offsets = np.zeros(documents + 1, np.int64)
    counts = np.zeros(documents, np.int32)
    filled = 0
    for index in range(documents):
        end = offsets[index + 1]
        begin = offsets[index]
        kept = 0  # lines
        while begin <= end:
            stop = begin
            while stop < end and data[stop] != 0x0A:
                stop += 1
            if _is_menu(data, begin, stop, classes, phrases, phrase_offsets, needed) or _is_notice(
                data, begin, stop, classes, notices, notice_offsets
            ):
                counts[index] += 1
            else:
                if kept:
                    out[filled] = 0x0A
                    filled += 1
                for place in range(begin, stop):
                    out[filled] = data[place]
                    filled += 1
                kept += 1
            begin = stop + 1
        out_offsets[index + 1] = filled
    return out[:filled], out_offsets, counts


def edit_menus(
    texts: pa.LargeStringArray, values: Mapping[str, Any]
) -> tuple[pa.LargeStringArray, dict[str, NDArray[np.int32]]]:
    """Replace lines of only ``|`` and spaces, those in a row as one, by a newline; leave out menus and notices.

    Parameters
    ----------
    values
        Which of ``MENU_EDITS`` are in force.

    Returns
    -------
    The text that is left, and for each edit in force int32[documents]: how many lines it was about.
    """
    counts = {}
    if PIPE_LINES in values:
        lines = pc.count_substring_regex(texts, f"(?m)^{_PIPES}$").to_numpy(zero_copy_only=False).astype(np.int32)
        if lines.any():
            texts = pc.replace_substring_regex(texts, f"(?m)^{_PIPES}$(\n{_PIPES}$)*", "\n")
        counts[PIPE_LINES] = lines
    if MENU_LINES in values:
        data, offsets = buffers(texts)
        left, left_offsets, lines = without_menu_lines(data, offsets, CLASSES, *PHRASE_COLUMN, NEEDED, *NOTICE_COLUMN)
        if lines.any():
            texts = strings(left, left_offsets)
        counts[MENU_LINES] = lines
    return texts, counts
