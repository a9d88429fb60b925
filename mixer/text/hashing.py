"""64-bit and 128-bit hashes of byte ranges, in kernels: of a unit, of a whole text, of a band of a signature.

The function is XXH64, bit for bit (the tests hold it against the package ``xxhash``, which a kernel cannot call):
fast, well distributed and the same on every machine. It does not resist an adversary. 128 bits are two XXH64 with
different seeds.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.text.utf8 import Bytes, Offsets

Hashes = NDArray[np.uint64]

SEEDS = (np.uint64(0), np.uint64(0x27D4EB2F165667C5))
"""The two seeds of a 128-bit hash. Part of the format of fingerprints: never change them."""

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


@njit(cache=True, nogil=True, inline="always")
def _rotate(value: np.uint64, bits: int) -> np.uint64:
    return value << np.uint64(bits) | value >> np.uint64(64 - bits)


@njit(cache=True, nogil=True, inline="always")
def _four(data: Bytes, position: np.uint64) -> np.uint64:
    """Read four bytes, little endian. An unsigned index cannot be negative, and so LLVM makes one load of it."""
    return (
        np.uint64(data[position])
        | np.uint64(data[position + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[position + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[position + np.uint64(3)]) << np.uint64(24)
    )


@njit(cache=True, nogil=True, inline="always")
def _eight(data: Bytes, position: np.uint64) -> np.uint64:
    return _four(data, position) | _four(data, position + np.uint64(4)) << np.uint64(32)


@njit(cache=True, nogil=True, inline="always")
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotate(lane + word * _P2, 31) * _P1


@njit(cache=True, nogil=True, inline="always")
def avalanche(value: np.uint64) -> np.uint64:
    """Spread every bit of ``value`` over all bits of the result: a permutation of the 64-bit numbers (XXH64's last)."""
    value = (value ^ value >> np.uint64(33)) * _P2
    value = (value ^ value >> np.uint64(29)) * _P3
    return value ^ value >> np.uint64(32)


@njit(cache=True, nogil=True)
def xxh64(data: Bytes, start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Hash ``data[start:stop]`` with XXH64."""
    position, end = np.uint64(start), np.uint64(stop)
    length = end - position
    value = seed + _P5
    if length >= np.uint64(32):
        one, two, three, four = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while end - position >= np.uint64(32):
            one = _round(one, _eight(data, position))
            two = _round(two, _eight(data, position + np.uint64(8)))
            three = _round(three, _eight(data, position + np.uint64(16)))
            four = _round(four, _eight(data, position + np.uint64(24)))
            position += np.uint64(32)
        value = _rotate(one, 1) + _rotate(two, 7) + _rotate(three, 12) + _rotate(four, 18)
        for lane in (one, two, three, four):
            value = (value ^ _round(np.uint64(0), lane)) * _P1 + _P4
    value += length
    while end - position >= np.uint64(8):
        value = _rotate(value ^ _round(np.uint64(0), _eight(data, position)), 27) * _P1 + _P4
        position += np.uint64(8)
    if end - position >= np.uint64(4):
        value = _rotate(value ^ _four(data, position) * _P1, 23) * _P2 + _P3
        position += np.uint64(4)
    while position < end:
        value = _rotate(value ^ np.uint64(data[position]) * _P5, 11) * _P1
        position += np.uint64(1)
    return avalanche(value)


@njit(cache=True, nogil=True)
def hash_texts(data: Bytes, offsets: Offsets, seed: np.uint64) -> Hashes:
    """Hash every text of a column: uint64[n]."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(hashes)):
        hashes[row] = xxh64(data, offsets[row], offsets[row + 1], seed)
    return hashes


def hash128(data: Bytes, offsets: Offsets) -> Hashes:
    """Hash every text of a column to 128 bits: uint64[n, 2]."""
    return np.stack([hash_texts(data, offsets, seed) for seed in SEEDS], axis=1)
