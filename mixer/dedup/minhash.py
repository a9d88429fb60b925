"""MinHash: units, shingles, signatures and bands, as kernels over the normal forms of a batch.

- A *unit* is one Han or kana character, or a run of other characters between spaces and such characters
  (``abc中文，hello`` is ``abc``, ``中``, ``文``, ``，hello``): the same for all languages and kinds of text.
- A *shingle* is ``shingle`` units in a row. A shorter document is compared as a whole: all its units are its one
  shingle, different from every longer one. An empty text (no units) is the shingle of nothing: it equals other empty
  texts and nothing else.
- The *signature* holds for each of ``bands * rows`` hash functions its least value over the document's shingles. Two
  documents agree in each value with the probability of their Jaccard similarity, shared shingles over all shingles.

A unit is hashed with XXH64; a shingle's hash is a polynomial of its units' hashes, so that the next one costs two
multiplications, spread over all bits by XXH64's finish; its upper 32 bits are h. Function k is ``a[k] * h + b[k]``
modulo 2^32, a permutation because a[k] is odd: one multiplication that every vector unit has, and good enough because
h is already spread well (the tests hold recall against theory). 32 bits let a shingle of one document meet a different
one of another document of a million units with a probability of 0.0002, which is below what 112 hashes can see.
"""

import numpy as np
import xxhash
from numba import njit
from numpy.typing import NDArray

from mixer.dedup.settings import MinhashSettings
from mixer.text.characters import CLASSES, HAN, KANA, Classes
from mixer.text.hashing import Hashes, avalanche, xxh64
from mixer.text.utf8 import Bytes, Offsets, decode

Signatures = NDArray[np.uint32]

_BASE = np.uint64(0x9FB21C651E98DF25)
"""Base of the polynomial over a shingle's units: odd, random bits."""
_BLOCK = 2048
"""Units hashed before they are made into shingles: the buffers of a block stay in the first-level cache."""
_ONE_CHARACTER = HAN | KANA


def sign(data: Bytes, offsets: Offsets, settings: MinhashSettings) -> Signatures:
    """Compute the signature of every normal form of a column: uint32[n, hashes]."""
    a, b = functions(settings)
    return _sign(data, offsets, CLASSES, a, b, settings.shingle, np.uint64(settings.seed))


def functions(settings: MinhashSettings) -> tuple[Signatures, Signatures]:
    """Draw the factors ``a``, odd, and the addends ``b`` of the hash functions from the seed: uint32[hashes] each."""
    draws = [xxhash.xxh64_intdigest(k.to_bytes(8, "little"), settings.seed) for k in range(settings.hashes)]
    return (
        np.array([draw & 0xFFFFFFFF | 1 for draw in draws], np.uint32),
        np.array([draw >> 32 for draw in draws], np.uint32),
    )


@njit(cache=True, nogil=True)
def band_keys(signatures: Signatures, bands: int, rows: int) -> Hashes:
    """Hash each band of each signature, and which band it is, to 64 bits: uint64[bands, n].

    Equal bands have equal keys. Different ones may, too: whoever finds two equal keys compares the bands themselves.
    """
    keys = np.empty((bands, len(signatures)), np.uint64)
    for row in range(len(signatures)):
        for band in range(bands):
            value = np.uint64(band + 1)
            for k in range(band * rows, band * rows + rows):
                value = value * _BASE + np.uint64(signatures[row, k])
            keys[band, row] = avalanche(value)
    return keys


@njit(cache=True, nogil=True)
def sketches(signatures: Signatures) -> Hashes:
    """Shrink each hash of each signature to two bits, 32 of them a word: uint64[n, words].

    Equal hashes have equal bits, different ones with a probability of a quarter: two documents whose sketches differ in
    more places than duplicates may are none.
    """
    found = np.zeros((len(signatures), -(-signatures.shape[1] // 32)), np.uint64)
    for row in range(len(signatures)):
        for k in range(signatures.shape[1]):
            two = (signatures[row, k] * np.uint32(0x9E3779B1) & np.uint32(0xFFFFFFFF)) >> np.uint32(30)
            found[row, k // 32] |= np.uint64(two) << np.uint64(2 * (k % 32))
    return found


@njit(cache=True, nogil=True, inline="always")
def differences(sketch: Hashes, one: np.int64, two: np.int64) -> np.int64:
    """Count the places in which two sketches differ."""
    count = np.int64(0)
    for word in range(sketch.shape[1]):
        bits = sketch[one, word] ^ sketch[two, word]
        bits = (bits | (bits >> np.uint64(1))) & np.uint64(0x5555555555555555)
        bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
        bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        count += np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return count


@njit(cache=True, nogil=True)
def _sign(
    data: Bytes, offsets: Offsets, classes: Classes, a: Signatures, b: Signatures, shingle: int, seed: np.uint64
) -> Signatures:
    """Do the work of ``sign``, given the hash functions ``a`` and ``b``."""
    signatures = np.full((len(offsets) - 1, len(a)), 0xFFFFFFFF, np.uint32)
    units = np.empty(shingle - 1 + _BLOCK, np.uint64)
    hashes = np.empty(_BLOCK, np.uint32)
    for row in range(len(signatures)):
        position = offsets[row]
        held = 0  # units at the front of the buffer: those that the next shingle shares with the last one
        short = True
        while position < offsets[row + 1]:
            position, found = _hash_units(data, position, offsets[row + 1], classes, seed, units[held : held + _BLOCK])
            held += found
            if held >= shingle:
                _hash_shingles(units[:held], shingle, hashes)
                _lower(signatures[row], hashes[: held - shingle + 1], a, b)
                units[: shingle - 1] = units[held - shingle + 1 : held]
                held = shingle - 1
                short = False
        if short:
            _hash_shingles(units[:held], held, hashes)
            _lower(signatures[row], hashes[:1], a, b)
    return signatures


@njit(cache=True, nogil=True)
def _hash_units(
    data: Bytes, start: int, stop: int, classes: Classes, seed: np.uint64, out: Hashes
) -> tuple[np.int64, int]:
    """Hash the units of the normal form ``data[start:stop]`` into ``out`` until it is full.

    Returns
    -------
    position
        Where the next unit may begin; ``stop`` when there is none left.
    found
        How many units were written.
    """
    found = 0
    position, end = np.uint64(start), np.uint64(stop)
    while position < end and found < len(out):
        first = position
        while position < end:
            byte = data[position]
            if byte < 0x80:
                if byte == 0x20:
                    break
                position += np.uint64(1)
                continue
            character, width = decode(data, position)
            if classes[character] & _ONE_CHARACTER:
                if position == first:
                    position += np.uint64(width)
                break
            position += np.uint64(width)
        if position > first:
            out[found] = xxh64(data, first, position, seed)
            found += 1
        if position < end and data[position] == 0x20:
            position += np.uint64(1)
    return np.int64(position), found


@njit(cache=True, nogil=True)
def _hash_shingles(units: Hashes, shingle: int, out: Signatures) -> None:
    """Hash every ``shingle`` units in a row: ``len(units) - shingle + 1`` values into ``out``."""
    highest = np.uint64(1)
    value = np.uint64(0)
    for index in range(shingle):
        value = value * _BASE + units[index]
        highest *= _BASE
    many = np.uint64(shingle) * _BASE  # parts a short whole from a longer shingle
    out[0] = avalanche(value + many) >> np.uint64(32)
    for index in range(shingle, len(units)):
        value = value * _BASE + units[index] - units[index - shingle] * highest
        out[index - shingle + 1] = avalanche(value + many) >> np.uint64(32)


@njit(cache=True, nogil=True)
def _lower(signature: Signatures, hashes: Signatures, a: Signatures, b: Signatures) -> None:
    """Lower each value of a signature to the least of its hash function over ``hashes``; four at once, to load less."""
    whole = len(hashes) - len(hashes) % 4
    for index in range(0, whole, 4):
        one, two, three, four = hashes[index], hashes[index + 1], hashes[index + 2], hashes[index + 3]
        for k in range(len(signature)):
            least = min(
                min(_function(a[k], b[k], one), _function(a[k], b[k], two)),
                min(_function(a[k], b[k], three), _function(a[k], b[k], four)),
            )
            signature[k] = min(signature[k], least)
    for index in range(whole, len(hashes)):
        for k in range(len(signature)):
            signature[k] = min(signature[k], _function(a[k], b[k], hashes[index]))


@njit(cache=True, nogil=True, inline="always")
def _function(factor: np.uint32, addend: np.uint32, value: np.uint32) -> np.uint32:
    return np.uint32(factor * value + addend)  # kernels compute in 64 bits unless told
