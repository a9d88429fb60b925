"""Deduplication as slow, readable Python: what the kernels and the clusters are held against."""

import unicodedata
from functools import cache
from itertools import combinations

import numpy as np
import xxhash

from mixer.text.characters import CLASSES, HAN, KANA

MASK = 2**64 - 1


def normal(text):
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def exact_key(text):
    return [xxhash.xxh64_intdigest(normal(text).encode(), seed) for seed in (0, 0x27D4EB2F165667C5)]


def units(text):
    spread = "".join(f" {char} " if CLASSES[ord(char)] & (HAN | KANA) else char for char in normal(text))
    return [unit for unit in spread.split(" ") if unit]


def shingles(text, length):
    """The set of a document's shingles; a short document is one, whole."""
    found = units(text)
    if len(found) < length:
        return {tuple(found)}
    return {tuple(found[at : at + length]) for at in range(len(found) - length + 1)}


def avalanche(value):
    value = (value ^ value >> 33) * 0xC2B2AE3D27D4EB4F & MASK
    value = (value ^ value >> 29) * 0x165667B19E3779F9 & MASK
    return value ^ value >> 32


def shingle_hash(shingle, seed):
    value = 0
    for unit in shingle:
        value = value * 0x9FB21C651E98DF25 + xxhash.xxh64_intdigest(unit.encode(), seed)
    return avalanche((value + len(shingle) * 0x9FB21C651E98DF25) & MASK) >> 32


def functions(settings):
    draws = [xxhash.xxh64_intdigest(k.to_bytes(8, "little"), settings.seed) for k in range(settings.hashes)]
    return [(draw % 2**32 | 1, draw >> 32) for draw in draws]


@cache
def signature(text, settings):
    hashes = np.array([shingle_hash(shingle, settings.seed) for shingle in shingles(text, settings.shingle)], np.uint64)
    return [int(((a * hashes + b) % 2**32).min()) for a, b in functions(settings)]


def is_edge(one, two, settings):
    same = one == two
    enough = same.sum() * 1000 >= round(settings.similarity * 1000) * settings.hashes
    return enough and same.reshape(settings.bands, settings.rows).all(axis=1).any()


def edges(signatures, settings):
    pairs = combinations(range(len(signatures)), 2)
    return [pair for pair in pairs if is_edge(signatures[pair[0]], signatures[pair[1]], settings)]


def verdicts(texts, signatures, settings):
    """What becomes of each document: ``(reason or None, survivor)``."""
    keys = [normal(text) for text in texts]
    exact = [keys.index(key) if settings.exact else row for row, key in enumerate(keys)]
    alive = [row for row in range(len(texts)) if exact[row] == row]
    cluster = {row: {row} for row in alive}
    if settings.minhash:
        for one, two in edges([signatures[row] for row in alive], settings.minhash):
            joined = cluster[alive[one]] | cluster[alive[two]]
            for row in joined:
                cluster[row] = joined
    result = []
    for row in range(len(texts)):
        survivor = min(cluster[exact[row]])
        reason = "dedup.exact" if exact[row] != row else "dedup.minhash" if survivor != row else None
        result.append((reason, survivor))
    return result
