"""Inside one prefix: which documents, and which of their tokens, each sample that Megatron builds of it holds.

``blend`` says which prefix a training sample is drawn from and how many were drawn before; this says what that sample
is. What ``GPTDataset`` of megatron-core 0.14 to 0.16 does, with one ``numpy.random.RandomState(seed)`` a prefix:

1. Of m samples that are asked for, E epochs are laid out, the fewest that hold them: E copies of the document numbers,
   shuffled together. The last epoch is separate, shuffled by itself and put at the end, if E > 1 and fewer than 80 %
   (rounded down) of an epoch's samples are needed of it.
2. The documents in that order are one row of E T tokens. Sample s holds the L + 1 tokens from s L on; the last one it
   shares with the next sample. What is left at the end makes no sample.
3. The samples are shuffled, those of a separate last epoch by themselves; the border between them is at
   floor(((E - 1) T - 1) / L). Training reads them in this order.

The shuffles need the whole of both arrays: 4 bytes a document and epoch, and 4 a sample. Positions in the row are
found piece by piece, so nothing else grows with the prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixer.megatron.blend import SURPLUS, built_epochs, needed_surplus, planned_samples, wanted_samples

SEED: Final = 1234
"""Megatron's default of ``--seed``, which it draws every prefix's order from."""
_SEPARATE_BELOW: Final = 0.80
WIDE: Final = 2**32 - 2
"""From this many samples on Megatron numbers them in int64, not uint32."""
_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class Part:
    """Tokens ``first`` to ``last`` (not included) of a document of the prefix."""

    document: int
    first: int
    last: int


@dataclass(frozen=True)
class Layout:
    """How often a prefix is laid out, and where the samples are cut into two ranges that are shuffled apart.

    ``head`` samples come before a separate last epoch; ``samples`` where there is none.
    """

    epochs: int
    samples: int
    head: int

    @property
    def separate(self) -> bool:
        """Whether the last epoch is shuffled by itself."""
        return self.head < self.samples


def layout(tokens: int, wanted: int, sequence_length: int) -> Layout:
    """Lay out a prefix.

    Parameters
    ----------
    tokens
        Of the prefix, at least 1.
    wanted
        Samples that are asked for: ``blend.wanted_samples`` in a blend, those of the training for a single prefix.
    sequence_length
        L; a sample holds one token more.
    """
    epochs = built_epochs(wanted, tokens, sequence_length)
    samples = (epochs * tokens - 1) // sequence_length
    if epochs == 1:
        return Layout(epochs, samples, samples)
    before = ((epochs - 1) * tokens - 1) // sequence_length
    in_epoch = (tokens - 1) // sequence_length
    separate = wanted - before < int(_SEPARATE_BELOW * in_epoch)
    return Layout(epochs, samples, before if separate else samples)


def most_reads(weights: ArrayLike, tokens: ArrayLike, sequence_length: int, samples: ArrayLike) -> list[int]:
    """Return how often a training reads one document of each prefix at most.

    All copies of a document in the epochs that are shuffled together may be among what is read; those of a separate
    last epoch only if training gets there.

    Parameters
    ----------
    weights, tokens
        float[K] and int[K] of the prefixes.
    sequence_length
        Of the training.
    samples
        int[K]: what is drawn of each prefix; all of them are the training.
    """
    counts = np.asarray(samples, np.int64).tolist()
    total = sum(counts)
    surplus = needed_surplus(weights, tokens, sequence_length, total) or SURPLUS
    planned = planned_samples(weights, total).tolist()
    # A single prefix is read without blending, and without a surplus.
    wanted = [total] if len(counts) == 1 else [wanted_samples(plan, surplus) for plan in planned]
    found = []
    for count, want, size in zip(counts, wanted, np.asarray(tokens, np.int64).tolist(), strict=True):
        shape = layout(size, want, sequence_length)
        found.append(shape.epochs - 1 if shape.separate and count <= shape.head else shape.epochs)
    return found


def contents(
    lengths: NDArray[Any], wanted: int, sequence_length: int, seed: int, samples: Sequence[int]
) -> list[list[Part]]:
    """Say what some samples of a prefix hold.

    Parameters
    ----------
    lengths
        int32[documents], tokens of each document.
    wanted, sequence_length
        As for ``layout``.
    seed
        Megatron's ``--seed``.
    samples
        Places in the order that training reads the prefix in, each below the layout's ``samples``.

    Returns
    -------
    For each of ``samples`` its parts, in order; together L + 1 tokens.
    """
    tokens = int(np.sum(lengths, dtype=np.int64))
    shape = layout(tokens, wanted, sequence_length)
    random = np.random.RandomState(seed)
    documents = _documents(len(lengths), shape, random)
    places = _places(shape, random)[np.asarray(samples, np.int64)].astype(np.int64)
    return _cut(lengths, documents, places * sequence_length, sequence_length + 1)


def _documents(count: int, shape: Layout, random: np.random.RandomState) -> NDArray[np.int32]:
    """Return the document at each place of the row: int32[epochs * count]."""
    order = np.tile(np.arange(count, dtype=np.int32), shape.epochs)
    last = len(order) - count if shape.separate else len(order)
    random.shuffle(order[:last])
    if shape.separate:
        random.shuffle(order[last:])
    return order


def _places(shape: Layout, random: np.random.RandomState) -> NDArray[Any]:
    """Return which sample of the row is read when: uint32[samples], or int64."""
    order = np.arange(shape.samples, dtype=np.uint32 if shape.samples < WIDE else np.int64)
    random.shuffle(order[: shape.head])
    if shape.separate:
        random.shuffle(order[shape.head :])
    return order


def _cut(
    lengths: NDArray[Any], documents: NDArray[np.int32], begins: NDArray[np.int64], width: int
) -> list[list[Part]]:
    """Return the parts of the documents that lie in ``width`` tokens from each of ``begins`` on."""
    found: list[list[Part]] = [[] for _ in begins]
    start = 0
    for place in range(0, len(documents), _PIECE):
        numbers = documents[place : place + _PIECE]
        ends = np.cumsum(lengths[numbers], dtype=np.int64) + start
        stop = int(ends[-1])
        for index in np.flatnonzero((begins < stop) & (begins + width > start)).tolist():
            begin = int(begins[index])
            row = int(np.searchsorted(ends, begin, side="right"))
            while row < len(ends) and (at := int(ends[row - 1]) if row else start) < begin + width:
                first, last = max(begin - at, 0), min(begin + width, int(ends[row])) - at
                found[index].append(Part(int(numbers[row]), first, last))
                row += 1
        start = stop
        if (begins + width <= start).all():
            break
    return found
