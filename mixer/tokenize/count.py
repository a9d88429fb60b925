"""Counts which tokens are in the additional language, by walking the text and its tokens side by side.

A token that covers any byte of a letter of the additional script is *additional*; else one that covers any byte of a
letter is *base*; else it is *neutral*: digits, punctuation, space, the end of the document. A table gives each id's
bytes, so a character that is split over several tokens is seen whole by each of them. Neutral tokens are then shared
out in their document's own proportion, by its label where it has neither kind.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.text.characters import CLASSES, HAN, HANGUL, KANA, LETTER, Classes
from mixer.text.utf8 import Bytes, Offsets, buffers, decode
from mixer.tokenize.encode import Ids

SCRIPTS: dict[str, int] = {"zh": HAN, "ja": HAN | KANA, "ko": HANGUL}
"""Character classes that tell an additional language from base. Other languages share their script with base, or no
class names it: their tokens are counted by the documents' label."""

ADDITIONAL, BASE, NEUTRAL = 0, 1, 2
MISMATCH = -1
"""First column of a document whose tokens do not spell its bytes."""


@njit(cache=True, nogil=True)
def _tokens_by_kind(
    data: Bytes,
    text_offsets: Offsets,
    ids: Ids,
    offsets: Offsets,
    token_bytes: NDArray[np.int32],
    classes: Classes,
    script: int,
    counts: NDArray[np.int64],
) -> None:
    for document in range(len(counts)):
        end = text_offsets[document + 1]
        covered = text_offsets[document]  # the tokens so far spell the bytes before this
        seen = covered  # the characters so far end here
        letter = 0  # classes of the last of them if it is a letter, else 0
        for index in range(offsets[document], offsets[document + 1]):
            # A character that the token before began and did not finish counts for this token too.
            found = letter if seen > covered else 0
            covered += token_bytes[ids[index]]
            if covered > end:
                break
            while seen < covered:
                point, width = decode(data, seen)
                seen += width
                kinds = int(classes[point])
                letter = kinds if kinds & LETTER else 0
                found |= letter
            if found == 0:
                counts[document, NEUTRAL] += 1
            elif found & script:
                counts[document, ADDITIONAL] += 1
            else:
                counts[document, BASE] += 1
        if covered != end:
            counts[document, ADDITIONAL] = MISMATCH


def tokens_by_kind(
    texts: pa.Array, ids: Ids, offsets: Offsets, token_bytes: NDArray[np.int32], script: int
) -> NDArray[np.int64]:
    """Count each document's tokens by kind, the end of the document not counted.

    Parameters
    ----------
    texts
        A ``large_string`` column of ``n`` documents.
    ids, offsets
        uint32[tokens], int64[n + 1]: their tokens.
    token_bytes
        int32[vocab_size], the bytes that each id stands for.
    script
        Flags of ``characters.CLASSES``; a letter with any of them is of the additional script.

    Returns
    -------
    int64[n, 3], columns ``ADDITIONAL``, ``BASE``, ``NEUTRAL``; ``MISMATCH`` in the first where a document's tokens do
    not add up to its bytes (the other columns then mean nothing).
    """
    data, text_offsets = buffers(texts)
    counts = np.zeros((len(texts), 3), np.int64)
    _tokens_by_kind(data, text_offsets, ids, offsets, token_bytes, CLASSES, script, counts)
    return counts


def by_label(documents: int) -> NDArray[np.int64]:
    """Return the counts of documents whose tokens nothing tells apart: int64[documents, 3], all ``MISMATCH``."""
    counts = np.zeros((documents, 3), np.int64)
    counts[:, ADDITIONAL] = MISMATCH
    return counts


@njit(cache=True, nogil=True)
def _add_shares(counts: NDArray[np.int64], lengths: NDArray[np.int64], label: float, total: float) -> float:
    for document in range(len(counts)):
        additional, base = counts[document, 0], counts[document, 1]
        if additional == -1 or additional + base == 0:
            total += lengths[document] * label
        else:
            total += lengths[document] * (additional / (additional + base))
    return total


@dataclass
class Counts:
    """What a shard holds, summed document after document, so that the borders of batches do not show.

    Attributes
    ----------
    documents, tokens, bytes
        Documents, their tokens with the end of each document, their UTF-8 bytes of text.
    additional
        Tokens in the additional language, with its fractions of the neutral ones; all others are base.
    neutral
        Tokens without a letter, the ends of documents included.
    labelled
        Documents counted as a whole by their label, because their tokens do not spell their text.
    """

    documents: int = 0
    tokens: int = 0
    additional: float = 0.0
    neutral: int = 0
    labelled: int = 0
    bytes: int = 0

    def add(self, by_kind: NDArray[np.int64], lengths: NDArray[np.int64], size: int, *, is_additional: bool) -> None:
        """Add documents of one label.

        Parameters
        ----------
        by_kind
            int64[n, 3] of ``tokens_by_kind``.
        lengths
            int64[n], their tokens, the end of the document included.
        size
            Their bytes of text.
        is_additional
            Whether their label is the additional language.
        """
        by_script = by_kind[:, ADDITIONAL] != MISMATCH
        spelled = int(by_script.sum())
        self.documents += len(lengths)
        self.tokens += int(lengths.sum())
        self.additional = float(_add_shares(by_kind, lengths, float(is_additional), self.additional))
        self.neutral += int(by_kind[by_script, NEUTRAL].sum()) + spelled
        self.labelled += len(lengths) - spelled
        self.bytes += size

    def summary(self) -> dict[str, int | float]:
        """Return the counts as JSON values, with ``base``: the tokens that are not additional."""
        return {**asdict(self), "base": self.tokens - self.additional}
