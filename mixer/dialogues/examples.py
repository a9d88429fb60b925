"""What training consumes: examples as columns of token ids, and which of them are learned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """``n`` examples, back to back.

    Attributes
    ----------
    tokens
        int32[sum], ids of the vocabulary, special tokens of the template included.
    offsets
        int64[n + 1]; example ``i`` has ``tokens[offsets[i]:offsets[i + 1]]``, at least one of them learned, and never
        the first.
    learned
        bool[sum], whether a token is part of an answer that is trained on: its text and the token that ends it. The
        loss counts the prediction *of* these tokens.
    source
        int16[n], which source an example comes from.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    learned: NDArray[np.bool_]
    source: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.source)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example: int64[n]."""
        return np.diff(self.offsets)

    @property
    def learned_counts(self) -> NDArray[np.int64]:
        """Learned tokens of each example: int64[n]."""
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.learned, dtype=np.int64)])
        return ends[self.offsets[1:]] - ends[self.offsets[:-1]]


@dataclass(frozen=True)
class Pairs:
    """``n`` preferences: the same prompt with the better and with the worse answer; only the answers are learned.

    ``chosen`` and ``rejected`` have the same length and the same ``source``; example ``i`` of both begins with the same
    tokens, up to the first that is learned.
    """

    chosen: Examples
    rejected: Examples

    def __len__(self) -> int:
        return len(self.chosen)


def joined(parts: Sequence[Examples]) -> Examples:
    """Put examples behind one another."""
    lengths = np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)])
    return Examples(
        np.concatenate([np.empty(0, np.int32), *(part.tokens for part in parts)]),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
        np.concatenate([np.empty(0, np.bool_), *(part.learned for part in parts)]),
        np.concatenate([np.empty(0, np.int16), *(part.source for part in parts)]),
    )
