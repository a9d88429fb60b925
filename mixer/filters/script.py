"""How Chinese documents are written: the column ``script``, from characters that only one writing uses.

Comes after the edits, so that it describes the text that is kept. The same counts tell Japanese without kana from
Chinese, for the language step before. The table of characters is data (``scripts/han_tables.py`` writes it).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from mixer.documents import Batch, set_column
from mixer.text.utf8 import Bytes, Offsets, buffers, decode

SIMPLIFIED = 1  # simplified text uses it, traditional text does not: 国 们 这
TRADITIONAL = 2  # the other way round: 國 們 這
JAPANESE = 4  # a form that only Japan gave the character: 図 気 読
UNJAPANESE = 8  # modern Japanese does not write it: 们 這 國

Writings = NDArray[np.uint8]

SCRIPTS = ("Hani", "Hans", "Hant", "mixed")
"""Values of ``script``. The first three are codes of ISO 15924: simplified, traditional, and plain Han for a text
without a single character that tells the two apart."""
MIXED_SHARE = 0.2
"""Share of the rarer writing among the characters that tell, from which a text is mixed. ``docs/language.md`` has the
table of the real corpora it was set on."""
_JAPANESE_SHARE = 0.05
"""Evidence of Japanese for a Han character that a text must have, and one piece of it at least. With the share below,
no document of the real Chinese corpora is taken for Japanese, nor are more than 2 in 10,000 of their single clauses."""
_UNJAPANESE_SHARE = 0.025
"""Han characters that modern Japanese does not write, as a share, up to which a text may be Japanese: 10 % and more in
running Chinese of either writing."""
_CHINESE = "zh"


def _load() -> tuple[str, Writings]:
    path = Path(__file__).with_name("han.npz")
    if not path.exists():  # only while scripts/han_tables.py writes it
        return "", np.zeros(0x110000, np.uint8)
    with np.load(path) as tables:
        starts, flags = tables["starts"], tables["flags"]
        return str(tables["version"]), np.repeat(flags, np.diff(starts, append=0x110000))


OPENCC_VERSION, WRITINGS = _load()
"""``WRITINGS``: uint8[0x110000], the flags above for each code point."""


def add_script(batch: Batch) -> Batch:
    """Add the column ``script`` (string): one of ``SCRIPTS`` for Chinese documents, null for the others."""
    rows = np.flatnonzero(pc.is_in(batch["language"], pa.array([_CHINESE])).to_numpy(zero_copy_only=False))
    codes = np.zeros(len(batch), np.int8)
    absent = np.ones(len(batch), np.bool_)
    if len(rows):
        codes[rows] = scripts(count_writings(*buffers(batch["text"]), rows, WRITINGS))
        absent[rows] = False
    column = pa.array(SCRIPTS, pa.string()).take(pa.array(codes, mask=absent))
    return set_column(batch, "script", column)


def scripts(counts: NDArray[np.int64]) -> NDArray[np.int8]:
    """Name the writing of each text, by its place in ``SCRIPTS``; ``counts`` from ``count_writings``."""
    simplified, traditional = counts[:, 0], counts[:, 1]
    telling = simplified + traditional
    mixed = (telling > 0) & (np.minimum(simplified, traditional) >= MIXED_SHARE * telling)
    decided = np.where(telling == 0, 0, np.where(simplified > traditional, 1, 2))
    return np.where(mixed, 3, decided).astype(np.int8)


def japanese(counts: NDArray[np.int64], han: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which texts without kana are Japanese all the same.

    Japan simplified some characters in ways of its own (図), some as the mainland did (国), and left others as they are
    in traditional text (東). What can thus be neither simplified nor traditional Chinese, and has hardly a character
    that Japan does not write, is Japanese. The evidence is the number of characters that no simplified text would hold,
    or that no traditional text would hold, whichever is smaller. 会社 and 新聞 give none: they can be Chinese.

    Parameters
    ----------
    counts
        From ``count_writings``.
    han
        Han characters of each text.
    """
    simplified, traditional, shinjitai, unjapanese = counts.T
    evidence = shinjitai + np.minimum(simplified, traditional)
    return (evidence > 0) & (evidence >= _JAPANESE_SHARE * han) & (unjapanese <= _UNJAPANESE_SHARE * han)


@njit(cache=True, nogil=True)
def count_writings(data: Bytes, offsets: Offsets, rows: NDArray[np.int64], writings: Writings) -> NDArray[np.int64]:
    """Count the characters of some documents that have each of the four flags, in their order: int64[rows, 4]."""
    out = np.zeros((len(rows), 4), np.int64)
    for index in range(len(rows)):
        simplified = traditional = shinjitai = unjapanese = 0
        position = offsets[rows[index]]
        end = offsets[rows[index] + 1]
        while position < end:
            byte = data[position]
            if byte < 0x80:
                position += 1
                continue
            char, width = decode(data, position)
            flags = writings[char]
            simplified += flags & 1
            traditional += flags >> 1 & 1
            shinjitai += flags >> 2 & 1
            unjapanese += flags >> 3
            position += width
        out[index, 0] = simplified
        out[index, 1] = traditional
        out[index, 2] = shinjitai
        out[index, 3] = unjapanese
    return out
