"""Converts Chinese documents from one writing to another with OpenCC: the edit ``chinese.convert``.

Only where a recipe asks for it; the library is the extra ``opencc``. OpenCC goes by its dictionaries of phrases, so
that 头发 becomes 頭髮 and 发展 becomes 發展. A text without a character to convert costs it little (280 MB/s, 25 to
60 where there is much to do), so every document of the column is handed over as it is.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.documents import large_strings
from mixer.filters.check import Value
from mixer.filters.families.conversion import CONVERT, load
from mixer.text.utf8 import Bytes, Offsets, buffers, decode


def edit(
    texts: pa.LargeStringArray, values: Mapping[str, Value]
) -> tuple[pa.LargeStringArray, dict[str, NDArray[np.int32]]]:
    """Make the edit ``chinese.convert``, whose value is the name of a configuration of OpenCC."""
    converted, counts = convert(texts, str(values[CONVERT]))
    return converted, {CONVERT: counts}


def convert(texts: pa.LargeStringArray, configuration: str) -> tuple[pa.LargeStringArray, NDArray[np.int32]]:
    """Convert every text.

    Parameters
    ----------
    configuration
        A name of OpenCC's: ``t2s``, ``s2twp``, ...

    Returns
    -------
    The texts, and for each the number of characters that are new in it: int32[texts]. A converted word may have more or
    fewer characters (内存, 記憶體), so this is counted as a bag: characters of the result beyond those that the
    original had already.

    Raises
    ------
    RecipeError
        As ``load``.
    """
    converter = load(configuration)
    converted = large_strings([converter.convert(text) for text in texts.to_pylist()])
    return converted, count_new(*buffers(texts), *buffers(converted))


@njit(cache=True, nogil=True)
def count_new(before: Bytes, before_offsets: Offsets, after: Bytes, after_offsets: Offsets) -> NDArray[np.int32]:
    """Count for each text the characters of ``after`` beyond those of ``before``, as bags: int32[texts]."""
    out = np.zeros(len(before_offsets) - 1, np.int32)
    held = np.zeros(0x110000, np.int32)
    for text in range(len(out)):
        begin, end = before_offsets[text], before_offsets[text + 1]
        position = begin
        while position < end:
            char, width = decode(before, position)
            held[char] += 1
            position += width
        position = after_offsets[text]
        while position < after_offsets[text + 1]:
            char, width = decode(after, position)
            if held[char] > 0:
                held[char] -= 1
            else:
                out[text] += 1
            position += width
        position = begin
        while position < end:
            char, width = decode(before, position)
            held[char] = 0
            position += width
    return out
