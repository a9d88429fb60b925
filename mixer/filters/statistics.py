"""The statistics that rules look at, by name: which kernel makes which, and all that are asked for in few passes.

A family is one kernel over the buffers of a batch and the columns it makes; asking for any of them runs it once.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.filters.kernels.artefacts import ARTEFACT_STATISTICS, WINDOWS_BYTES, artefact_statistics
from mixer.filters.kernels.chinese import MARKS, PAGE_STATISTICS, TEASER_COLUMN, page_statistics
from mixer.filters.kernels.code import CODE_STATISTICS, MARKERS, code_statistics, recognise
from mixer.filters.kernels.comments import COMMENT_STATISTICS, comment_statistics
from mixer.filters.kernels.encoded import ALPHABETS, ENCODED_STATISTICS, encoded_statistics
from mixer.filters.kernels.han import HAN_STATISTICS, han_statistics
from mixer.filters.kernels.lines import LINE_STATISTICS, TERMINALS, line_statistics
from mixer.filters.kernels.mathematics import MATH_STATISTICS, measure
from mixer.filters.kernels.prose import KINDS, PACKED_TITLES, PROSE_STATISTICS, STOPS, prose_statistics
from mixer.filters.kernels.repetition import DUPLICATE_STATISTICS, GRAM_STATISTICS, duplicate_statistics
from mixer.filters.kernels.words import STOP_WORDS, WORD_STATISTICS, word_statistics
from mixer.filters.syntax import ACTIONS, BLOCK_MARKS, LINE_MARKS, TRAITS, Syntaxes
from mixer.text.characters import CLASSES
from mixer.text.utf8 import Bytes, Offsets, buffers

Rows = NDArray[np.int64]
Columns = NDArray[np.float32]

_STOP_WORDS = buffers(pa.array(STOP_WORDS, pa.large_string()))
_MARKERS = buffers(pa.array(MARKERS, pa.large_string()))
_TERMINALS = np.array(sorted(map(ord, set(TERMINALS))), np.int32)


def _lines(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return line_statistics(data, offsets, rows, CLASSES, _TERMINALS)


def _artefacts(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return artefact_statistics(data, offsets, rows, WINDOWS_BYTES)


def _duplicates(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return duplicate_statistics(data, offsets, rows, CLASSES)


def _prose(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return prose_statistics(data, offsets, rows, CLASSES, KINDS, STOPS, PACKED_TITLES)


def _words(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return word_statistics(data, offsets, rows, CLASSES, *_STOP_WORDS, len(WORD_STATISTICS))


def _words_and_grams(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return word_statistics(data, offsets, rows, CLASSES, *_STOP_WORDS, len(WORD_STATISTICS) + len(GRAM_STATISTICS))


def _pages(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return page_statistics(data, offsets, rows, CLASSES, MARKS, *TEASER_COLUMN)


def _han(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return han_statistics(data, offsets, rows, CLASSES)


def _encoded(data: Bytes, offsets: Offsets, rows: Rows) -> Columns:
    return encoded_statistics(data, offsets, rows, ALPHABETS)


def _code(data: Bytes, offsets: Offsets, rows: Rows, syntaxes: Syntaxes) -> Columns:
    return code_statistics(data, offsets, rows, syntaxes, TRAITS, *_MARKERS)


def _comments(data: Bytes, offsets: Offsets, rows: Rows, syntaxes: Syntaxes) -> Columns:
    return comment_statistics(data, offsets, rows, syntaxes, ACTIONS, LINE_MARKS, BLOCK_MARKS, TRAITS)


FAMILIES: tuple[tuple[tuple[str, ...], Callable[[Bytes, Offsets, Rows], Columns]], ...] = (
    (LINE_STATISTICS, _lines),
    (ARTEFACT_STATISTICS, _artefacts),
    (WORD_STATISTICS, _words),
    ((*WORD_STATISTICS, *GRAM_STATISTICS), _words_and_grams),
    (DUPLICATE_STATISTICS, _duplicates),
    (PROSE_STATISTICS, _prose),
    (PAGE_STATISTICS, _pages),
    (HAN_STATISTICS, _han),
    (ENCODED_STATISTICS, _encoded),
    (MATH_STATISTICS, measure),
)
"""Names of the columns that each kernel makes, and the kernel."""
CODE_FAMILIES: tuple[tuple[tuple[str, ...], Callable[[Bytes, Offsets, Rows, Syntaxes], Columns]], ...] = (
    (CODE_STATISTICS, _code),
    (COMMENT_STATISTICS, _comments),
)
"""The same for kernels that ask what the documents are written in."""
SYNTAX_STATISTICS = frozenset(name for names, _ in CODE_FAMILIES for name in names)
"""Statistics that depend on what a document is written in, and not on its text alone."""
STATISTICS = frozenset(name for names, _ in FAMILIES for name in names) | SYNTAX_STATISTICS
"""Every statistic there is."""


def compute(
    texts: pa.LargeStringArray, rows: Rows, names: Iterable[str], syntaxes: Syntaxes | None = None
) -> dict[str, NDArray[np.float32]]:
    """Compute statistics of some documents of a column of text.

    Parameters
    ----------
    rows
        int64[documents]: which documents.
    names
        Statistics, of ``STATISTICS``.
    syntaxes
        uint8[texts]: what each is written in (see ``syntax.syntaxes_of``), 0 or ``None`` where that is not known:
        then its first characters decide.

    Returns
    -------
    For each name float32[documents], in the order of ``names``.
    """
    wanted = list(names)
    data, offsets = buffers(texts)
    found: dict[str, NDArray[np.float32]] = {}
    # Families with more columns first: words alone are not segmented again where their n-grams are wanted too.
    for columns, kernel in sorted(FAMILIES, key=lambda family: -len(family[0])):
        own = {name: index for index, name in enumerate(columns) if name in wanted and name not in found}
        if own and not (kernel is _words_and_grams and not set(GRAM_STATISTICS) & set(own)):
            values = kernel(data, offsets, rows)
            found.update({name: np.ascontiguousarray(values[:, index]) for name, index in own.items()})
    if SYNTAX_STATISTICS.intersection(wanted):
        known = recognise(data, offsets, rows, np.zeros(len(texts), np.uint8) if syntaxes is None else syntaxes)
        for columns, kernel_of_code in CODE_FAMILIES:
            if set(columns).intersection(wanted):
                values = kernel_of_code(data, offsets, rows, known)
                found.update({name: np.ascontiguousarray(values[:, at]) for at, name in enumerate(columns)})
    return {name: found[name] for name in wanted}
