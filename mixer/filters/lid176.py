"""lid.176, fastText's model of 176 languages, read from its file and evaluated in a kernel over many lines at once.

The library takes 20 to 30 microseconds for a line, most of it in hash maps and objects; the same numbers come out of
flat arrays three to six times faster. The model (Joulin et al. 2016, arXiv:1612.03651) averages a vector for every word
it knows and every 2 to 4 characters in a row of a word, and walks down a Huffman tree of the labels.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.errors import MixerError
from mixer.text.ascii import stands
from mixer.text.utf8 import Bytes, Offsets

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]

_MAGIC, _VERSION = 793712314, 12
_HIERARCHICAL, _SUPERVISED = 1, 3
_KSUB = 256  # centroids of a product quantiser
_LABEL = "__label__"
_PREFIX = np.frombuffer(_LABEL.encode(), np.uint8)
"""What begins so in a text is no word to fastText."""
_ENDING = np.frombuffer(b"</s>", np.uint8)
"""The word that every line ends with; a text that holds it ends there."""
_BASIS, _PRIME = np.uint32(2166136261), np.uint32(16777619)  # FNV-1a, 32 bits


@dataclass(frozen=True)
class LanguageModel:
    """The arrays of a model.

    ``rows``: float32[words and character n-grams, dimension], dequantised. ``words``, ``word_bytes``, ``word_offsets``:
    an open hash table of word numbers (-1: empty) over the words' bytes. ``grams``: another of (bucket, row) for the
    character n-grams that were kept, -1 where empty. ``inner``: float32[labels, dimension], a vector for every inner
    node of the tree; ``left`` and ``right`` its children. ``labels``: codes, of the leaves.
    """

    labels: tuple[str, ...]
    rows: Floats
    words: Ints
    word_bytes: Bytes
    word_offsets: Offsets
    grams: Ints
    inner: Floats
    left: Ints
    right: Ints
    shortest: int
    longest: int
    buckets: int

    def best(self, data: Bytes, offsets: Offsets) -> tuple[Ints, Floats]:
        """Label some texts; line breaks in them count as spaces.

        Returns
        -------
        For each text the number of its best label (-1: it has nothing that the model knows), and the probability.
        """
        return _best(
            data, offsets, self.rows, self.words, self.word_bytes, self.word_offsets, self.grams, self.inner,
            self.left, self.right, self.shortest, self.longest, self.buckets, _ENDING, _PREFIX,
        )  # fmt: skip


class _File:
    """Reads numbers and arrays from a buffer, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def array(self, kind: Any, count: int) -> NDArray[Any]:
        found = np.frombuffer(self._data, np.dtype(kind).newbyteorder("<"), count, self._at)
        self._at += found.nbytes
        return found

    def string(self) -> bytes:
        end = self._data.index(b"\0", self._at)
        found = self._data[self._at : end]
        self._at = end + 1
        return found


def read_model(path: Path) -> LanguageModel:
    """Read a quantised, supervised fastText model with hierarchical softmax.

    Raises
    ------
    MixerError
        It is another kind of model.
    """
    file = _File(path.read_bytes())
    magic, version = file.numbers("2i")
    dim, _, _, _, _, word_ngrams, loss, kind, buckets, shortest, longest, _, _ = file.numbers("12id")
    if (magic, version, loss, kind, word_ngrams) != (_MAGIC, _VERSION, _HIERARCHICAL, _SUPERVISED, 1):
        raise MixerError(f"{path} is no fastText model of the kind that is known", "use lid.176.ftz")
    size, nwords, _, _, pruned = file.numbers("3i2q")
    entries = [(file.string(), *file.numbers("qb")) for _ in range(size)]
    pairs = file.array(np.int32, 2 * max(pruned, 0)).reshape(-1, 2)
    (quantised,) = file.numbers("?")
    rows = _quantised(file)
    (quantised_output,) = file.numbers("?")
    inner = _quantised(file) if quantised_output else _dense(file)
    if not quantised or rows.shape[1] != dim:
        raise MixerError(f"{path} is not quantised", "use lid.176.ftz")
    words = [word for word, _, kind_of in entries if kind_of == 0]
    left, right = _tree([count for _, count, kind_of in entries if kind_of == 1])
    offsets = np.concatenate([[0], np.cumsum([len(word) for word in words])]).astype(np.int64)
    data = np.frombuffer(b"".join(words), np.uint8)
    return LanguageModel(
        tuple(word.decode().removeprefix(_LABEL) for word, _, kind_of in entries if kind_of == 1),
        rows, _word_table(data, offsets, _power(len(words))), data, offsets,
        _gram_table(pairs, nwords, _power(len(pairs))), inner, left, right, shortest, longest, buckets,
    )  # fmt: skip


def _power(count: int) -> int:
    """Return the size of a hash table for so many entries."""
    return 1 << max(2 * count, 1).bit_length()


def _dense(file: _File) -> Floats:
    rows, columns = file.numbers("2q")
    return file.array(np.float32, rows * columns).reshape(rows, columns)


def _quantised(file: _File) -> Floats:
    """Read a product-quantised matrix, and write out its rows: the centroids of their parts, times that of the norm."""
    (with_norms,) = file.numbers("?")
    count, _ = file.numbers("2q")
    (size,) = file.numbers("i")
    codes = file.array(np.uint8, size).reshape(count, -1)
    rows = _centroids(file, codes)
    if with_norms:
        norms = file.array(np.uint8, count).reshape(count, 1)
        rows = _centroids(file, norms) * rows
    return np.ascontiguousarray(rows, np.float32)


def _centroids(file: _File, codes: NDArray[np.uint8]) -> Floats:
    dim, parts, width, last = file.numbers("4i")
    data = file.array(np.float32, dim * _KSUB)
    pieces = []
    for part in range(parts):
        columns = last if part == parts - 1 else width
        begin = part * _KSUB * width
        pieces.append(data[begin : begin + _KSUB * columns].reshape(_KSUB, columns)[codes[:, part]])
    return np.concatenate(pieces, axis=1)


def _tree(counts: list[int]) -> tuple[Ints, Ints]:
    """Build the Huffman tree of the labels, which are in the order of their counts, largest first."""
    leaves = len(counts)
    weights = [*counts, *[10**15] * (leaves - 1)]
    children = np.full((2 * leaves - 1, 2), -1, np.int32)
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, 2 * leaves - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[parent, side], leaf = leaf, leaf - 1
            else:
                children[parent, side], node = node, node + 1
        weights[parent] = weights[children[parent, 0]] + weights[children[parent, 1]]
    return np.ascontiguousarray(children[:, 0]), np.ascontiguousarray(children[:, 1])


@njit(cache=True, nogil=True, inline="always")
def _hashed(value: Any, byte: Any) -> Any:
    """Take one more byte into a hash; fastText sees bytes as signed."""
    return np.uint32((value ^ np.uint32(np.int8(byte))) * _PRIME)


@njit(cache=True, nogil=True)
def _word_table(data: Bytes, offsets: Offsets, size: int) -> Ints:
    table = np.full(size, -1, np.int32)
    for word in range(len(offsets) - 1):
        value = _BASIS
        for at in range(offsets[word], offsets[word + 1]):
            value = _hashed(value, data[at])
        slot = np.int64(value) & (size - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        table[slot] = word
    return table


@njit(cache=True, nogil=True)
def _gram_table(pairs: Ints, nwords: int, size: int) -> Ints:
    table = np.full((size, 2), -1, np.int32)
    for pair in range(len(pairs)):
        slot = np.int64(pairs[pair, 0]) & (size - 1)
        while table[slot, 0] >= 0:
            slot = (slot + 1) & (size - 1)
        table[slot, 0] = pairs[pair, 0]
        table[slot, 1] = nwords + pairs[pair, 1]
    return table


@njit(cache=True, nogil=True)
def _add(total: Floats, row: Floats) -> None:
    for column in range(len(total)):
        total[column] += row[column]


@njit(cache=True, nogil=True)
def _add_grams(
    text: Bytes, size: int, total: Floats, rows: Floats, grams: Ints, shortest: int, longest: int, buckets: int
) -> int:
    """Add the vectors of the character n-grams of a word in its angle brackets; returns how many there are."""
    added = 0
    for begin in range(size):
        if text[begin] & 0xC0 == 0x80:
            continue
        value = _BASIS
        end = begin
        for length in range(1, longest + 1):
            if end >= size:
                break
            value = _hashed(value, text[end])
            end += 1
            while end < size and text[end] & 0xC0 == 0x80:
                value = _hashed(value, text[end])
                end += 1
            if length < shortest or (length == 1 and (begin == 0 or end == size)):
                continue
            bucket = np.int64(value) % buckets
            slot = bucket & (len(grams) - 1)
            while grams[slot, 0] >= 0:
                if grams[slot, 0] == bucket:
                    _add(total, rows[grams[slot, 1]])
                    added += 1
                    break
                slot = (slot + 1) & (len(grams) - 1)
    return added


@njit(cache=True, nogil=True)
def _find(text: Bytes, size: int, words: Ints, word_bytes: Bytes, word_offsets: Offsets) -> int:
    """Return the number of a word, or -1."""
    value = _BASIS
    for at in range(size):
        value = _hashed(value, text[at])
    slot = np.int64(value) & (len(words) - 1)
    while words[slot] >= 0:
        begin = word_offsets[words[slot]]
        if word_offsets[words[slot] + 1] - begin == size:
            same = True
            for at in range(size):
                same &= word_bytes[begin + at] == text[at]
            if same:
                return words[slot]
        slot = (slot + 1) & (len(words) - 1)
    return -1


@njit(cache=True, nogil=True)
def _best(
    data: Bytes,
    offsets: Offsets,
    rows: Floats,
    words: Ints,
    word_bytes: Bytes,
    word_offsets: Offsets,
    grams: Ints,
    inner: Floats,
    left: Ints,
    right: Ints,
    shortest: int,
    longest: int,
    buckets: int,
    ending: Bytes,
    prefix: Bytes,
) -> tuple[Ints, Floats]:
    """Average the vectors of what a line holds, and find the likeliest leaf, as fastText does and in its precision."""
    lines = len(offsets) - 1
    labels = np.full(lines, -1, np.int32)
    scores = np.zeros(lines, np.float32)
    total = np.zeros(rows.shape[1], np.float32)
    leaves = (len(left) + 1) // 2
    nodes = np.zeros(len(left), np.int32)
    held = np.zeros(len(left), np.float32)
    floor = np.float32(np.log(1e-5))
    longest_line = 0
    for line in range(lines):
        longest_line = max(longest_line, offsets[line + 1] - offsets[line])
    text = np.zeros(longest_line + 4, np.uint8)
    end_of_line = _find(ending, len(ending), words, word_bytes, word_offsets)
    for line in range(lines):
        total[:] = 0
        added = 0
        position = offsets[line]
        end = offsets[line + 1]
        while position < end:
            byte = data[position]
            position += 1
            if byte == 0x20 or byte == 0 or 0x09 <= byte <= 0x0D:
                continue
            text[0] = 0x3C
            text[1] = byte
            size = 2
            while position < end:
                byte = data[position]
                if byte == 0x20 or byte == 0 or 0x09 <= byte <= 0x0D:
                    break
                text[size] = byte
                size += 1
                position += 1
            text[size] = 0x3E
            if stands(text, 1, size, prefix):
                continue
            word = _find(text[1:], size - 1, words, word_bytes, word_offsets)
            if word >= 0 and word == end_of_line:
                break
            if word >= 0:
                _add(total, rows[word])
                added += 1
            added += _add_grams(text, size + 1, total, rows, grams, shortest, longest, buckets)
        if end_of_line >= 0:
            _add(total, rows[end_of_line])
            added += 1
        if not added:
            continue
        scale = np.float32(1.0 / added)
        for column in range(len(total)):
            total[column] *= scale
        best = np.float32(-np.inf)
        nodes[0] = len(left) - 1
        held[0] = 0
        depth = 1
        while depth:  # depth first, left before right, and nothing below what was found
            depth -= 1
            node = nodes[depth]
            score = held[depth]
            if score < floor or (labels[line] >= 0 and score < best):
                continue
            if left[node] < 0:
                if labels[line] < 0 or score > best:
                    labels[line] = node
                    best = score
                continue
            dot = np.float32(0)
            for column in range(len(total)):
                dot += inner[node - leaves, column] * total[column]
            share = np.float32(1.0 / (1.0 + np.float64(np.exp(-dot))))
            nodes[depth] = right[node]
            held[depth] = score + np.float32(np.log(np.float64(share) + 1e-5))
            nodes[depth + 1] = left[node]
            held[depth + 1] = score + np.float32(np.log(np.float64(np.float32(1.0 - share)) + 1e-5))
            depth += 2
        scores[line] = np.exp(best) if labels[line] >= 0 else 0
    return labels, scores
