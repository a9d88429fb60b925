import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.text.hashing import SEEDS, avalanche, hash128, hash_texts, xxh64
from mixer.text.utf8 import buffers

seeds = st.integers(0, 2**64 - 1)


def column(texts):
    return buffers(pa.array(texts, pa.large_binary()))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200)), seeds)
def test_xxh64_is_that_of_the_package(texts, seed):
    hashes = hash_texts(*column(texts), np.uint64(seed))
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [xxhash.xxh64_intdigest(text, seed) for text in texts]


@pytest.mark.parametrize("length", [*range(70), 4096, 100_003])
def test_every_length_and_alignment(length):
    data = np.random.default_rng(length).integers(0, 256, length + 7, np.uint8)
    for start in (0, 1, 7):
        text = data[start : start + length].tobytes()
        assert xxh64(data, start, start + length, np.uint64(11)) == xxhash.xxh64_intdigest(text, 11)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_128_bits_are_two_seeds(texts):
    hashes = hash128(*column(texts))
    assert hashes.shape == (len(texts), 2)
    expected = [[xxhash.xxh64_intdigest(text, int(seed)) for seed in SEEDS] for text in texts]
    assert hashes.tolist() == expected


def test_avalanche_spreads_each_bit_over_half_the_others():
    for bit in range(64):
        before = np.random.default_rng(bit).integers(0, 2**63, 500, np.uint64)
        changed = [
            (int(avalanche(value)) ^ int(avalanche(value ^ np.uint64(1 << bit)))).bit_count() for value in before
        ]
        assert 30 < np.mean(changed) < 34
