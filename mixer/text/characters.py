"""What each Unicode code point is: one table of bit flags that every kernel takes as an argument.

``CLASSES[code_point] & LETTER`` answers a question about a character in one load. The table comes from a data file
(written by ``scripts/unicode_tables.py``), not from the running Python, so that every Python gives the same bytes.
Kernels take the table as an argument: a global array would be frozen into each compiled kernel.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LETTER = 1  # general category L*, and everything in HAN
HAN = 2  # script Han: ideographs with all extensions, 々 and 〇
KANA = 4  # scripts Hiragana and Katakana, and the length mark
HANGUL = 8
DIGIT = 16  # category Nd
NUMBER = 32  # category N*
MARK = 64  # category M*
PUNCTUATION = 128  # category P*
SYMBOL = 256  # category S*
SPACE = 512  # str.isspace
CONTROL = 1024  # categories Cc, Cf, Co and unassigned
FOLDS = 2048  # str.casefold changes it
UNSTABLE = 4096  # NFC may change it or what stands before it; a text without such characters is NFC

Classes = NDArray[np.uint16]


def _load() -> tuple[str, Classes, NDArray[np.int32], NDArray[np.int32]]:
    path = Path(__file__).with_name("unicode.npz")
    if not path.exists():  # only while scripts/unicode_tables.py writes it
        return "", np.zeros(0, np.uint16), np.zeros(0, np.int32), np.zeros((0, 3), np.int32)
    with np.load(path) as tables:
        starts, flags = tables["starts"], tables["flags"]
        classes = np.repeat(flags, np.diff(starts, append=0x110000))
        return str(tables["version"]), classes, tables["folding"], tables["folded"]


UNICODE_VERSION, CLASSES, FOLDING, FOLDED = _load()
"""``CLASSES``: uint16[0x110000]. ``FOLDING``: sorted code points with FOLDS; ``FOLDED[i]``: their folding, zero-padded
to three code points."""
