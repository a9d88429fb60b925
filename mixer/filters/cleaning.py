"""Edits that repair a text: encodings, entities, control characters, line ends, Unicode forms, lines of LaTeX macros.

Each looks over the whole column first; a text without a reason to change is not copied.
"""

import html
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.filters.check import Value
from mixer.filters.kernels.artefacts import WINDOWS_BYTES, artefact_statistics
from mixer.filters.kernels.cleaning import count_stray, without_stray
from mixer.text.characters import CLASSES
from mixer.text.normalise import LONGEST_MARKS, longest_marks, with_ordered_marks
from mixer.text.utf8 import buffers

Texts: TypeAlias = pa.LargeStringArray
Counts: TypeAlias = dict[str, NDArray[np.int32]]

CONTROL_CHARACTERS, LINE_ENDS = "text.control_characters", "text.line_ends"
REPAIR, ENTITIES, UNICODE = "text.encoding", "text.entities", "text.unicode"
MACRO_LINES = "math.macro_lines"

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_MACROS = r"(?m)^[^\n]*newcommand[^\n]*newcommand[^\n]*(?:\n|\z)"


def stray(texts: Texts, values: Mapping[str, Value]) -> tuple[Texts, Counts]:
    """Remove control characters; write every line end as a newline."""
    data, offsets = buffers(texts)
    found = count_stray(data, offsets)
    columns = {CONTROL_CHARACTERS: found[:, 0].copy(), LINE_ENDS: found[:, 1].copy()}
    counts = {name: column for name, column in columns.items() if name in values}
    if any(column.any() for column in counts.values()):
        texts = _column(*without_stray(data, offsets, (CONTROL_CHARACTERS in values, LINE_ENDS in values)))
    return texts, counts


def normalise(texts: Texts, values: Mapping[str, Value]) -> tuple[Texts, Counts]:
    """Bring each text to a Unicode normalisation form; what is ASCII is in all of them."""
    after = texts
    if not pc.all(pc.string_is_ascii(texts)).as_py():
        slow = longest_marks(*buffers(texts), np.arange(len(texts)), CLASSES) > LONGEST_MARKS
        ordered, _ = _rewrite(texts, slow, UNICODE, lambda text: (with_ordered_marks(text), 1))
        after = pc.utf8_normalize(ordered, form=str(values[UNICODE]))
    changed = pc.not_equal(after, texts).to_numpy(zero_copy_only=False)
    return (after if changed.any() else texts), {UNICODE: changed.astype(np.int32)}


def repair(texts: Texts, _values: Mapping[str, Value]) -> tuple[Texts, Counts]:
    """Undo a wrong decoding, with ftfy, where there are characters that spell UTF-8."""
    import ftfy  # slow, and an extra: the table takes this edit only where it is installed

    shares = artefact_statistics(*buffers(texts), np.arange(len(texts)), WINDOWS_BYTES)

    def repaired(text: str) -> tuple[str, int]:
        fixed = ftfy.fix_encoding(text).replace("\0", "")  # it reads C0 80 as a NUL, which no text may hold
        return fixed, int(fixed != text)

    return _rewrite(texts, shares[:, 2] > 0, REPAIR, repaired)


def unescape(texts: Texts, _values: Mapping[str, Value]) -> tuple[Texts, Counts]:
    """Replace HTML's entities, named and numeric, by their characters."""
    there = pc.match_substring(texts, "&").to_numpy(zero_copy_only=False)
    return _rewrite(texts, there, ENTITIES, _unescaped)


def _unescaped(text: str) -> tuple[str, int]:
    made = 0

    def character(match: re.Match[str]) -> str:
        nonlocal made
        found = html.unescape(match[0])
        made += found != match[0]
        return found

    return _ENTITY.sub(character, text), made


def without_macros(texts: Texts, _values: Mapping[str, Value]) -> tuple[Texts, Counts]:
    """Remove lines that define more than one LaTeX macro."""
    if not pc.any(pc.match_substring(texts, "newcommand")).as_py():
        return texts, {MACRO_LINES: np.zeros(len(texts), np.int32)}
    counts = pc.count_substring_regex(texts, _MACROS).to_numpy(zero_copy_only=False).astype(np.int32)
    return (pc.replace_substring_regex(texts, _MACROS, "") if counts.any() else texts), {MACRO_LINES: counts}


def _rewrite(
    texts: Texts, where: NDArray[np.bool_], name: str, rewrite: Callable[[str], tuple[str, int]]
) -> tuple[Texts, Counts]:
    """Rewrite some texts one by one; ``rewrite`` returns the text and how many edits it made."""
    counts = np.zeros(len(texts), np.int32)
    edited = {}
    for row in np.flatnonzero(where).tolist():
        text, made = rewrite(texts[row].as_py())
        if made:
            edited[row], counts[row] = text, made
    if edited:
        order = np.arange(len(texts))
        order[list(edited)] = len(texts) + np.arange(len(edited))
        texts = pa.concat_arrays([texts, pa.array(list(edited.values()), pa.large_string())]).take(pa.array(order))
    return texts, {name: counts}


def _column(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Texts:
    """Make a column of text of its buffers, which hold valid UTF-8."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
