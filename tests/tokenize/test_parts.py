"""How a dataset is cut into prefixes: all of it, in order, within the limits, and no rest that is too small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer.tokenize.parts import PREFIX_TOKENS, Limits, Size, cut, names_of, parts_for

SHARDS = st.lists(st.builds(Size, documents=st.integers(1, 40), tokens=st.integers(40, 4000)), min_size=1, max_size=60)


def total(shards):
    return Size(sum(shard.documents for shard in shards), sum(shard.tokens for shard in shards))


@given(shards=SHARDS, documents=st.integers(40, 2000), tokens=st.integers(1, 200_000))
def test_every_part_is_within_the_limits(shards, documents, tokens):
    limits = Limits(documents, tokens)
    parts = cut(shards, limits)
    assert [place for part in parts for place in part] == list(range(len(shards)))
    assert all(part for part in parts)
    roomy = max(tokens, 2 * max(shard.tokens for shard in shards))
    for part in parts:
        size = total(shards[part.start : part.stop])
        assert size.documents <= documents
        assert size.tokens <= roomy
    whole = total(shards)
    assert (len(parts) == 1) == (whole.documents <= documents and whole.tokens <= roomy)


@given(shards=SHARDS, documents=st.integers(80, 1000), tokens=st.integers(8000, 100_000))
def test_parts_are_few_and_alike(shards, documents, tokens):
    limits = Limits(documents, tokens)
    parts = cut(shards, limits)
    assert len(parts) >= parts_for(total(shards), limits)
    loads = [max(shard.documents / documents, shard.tokens / tokens) for shard in shards]
    largest, even = max(loads), sum(loads) / len(parts)
    assert len(parts) <= sum(loads) / (1 - largest) + 1
    for part in parts:
        assert even - largest - 1e-9 <= sum(loads[part.start : part.stop]) <= even + largest + 1e-9


def test_one_large_file_does_not_cut_the_others_to_pieces():
    shards = [Size(10, 100)] * 50 + [Size(10, 5000)] + [Size(10, 100)] * 50
    assert len(cut(shards, Limits(10_000, 1000))) == 3


def test_a_real_size():
    """Three trillion tokens in 110,000 shards, and four billion short documents."""
    shards = np.random.default_rng(1).integers(20_000_000, 35_000_000, 110_000).tolist()
    parts = cut([Size(30_000, tokens) for tokens in shards], Limits())
    sizes = [sum(shards[part.start : part.stop]) for part in parts]
    assert len(parts) == 23
    assert max(sizes) <= PREFIX_TOKENS
    assert min(sizes) > 0.99 * max(sizes)
    assert len(cut([Size(100_000, 1_000_000)] * 40_000, Limits())) == 2


@pytest.mark.parametrize(
    ("parts", "expected"),
    [(1, ["a-en"]), (2, ["a-en-00", "a-en-01"]), (101, ["a-en-000", "a-en-100"])],
)
def test_names(parts, expected):
    names = names_of("a-en", parts)
    assert len(names) == parts
    assert [names[0], names[-1]] == [expected[0], expected[-1]]
    assert names == sorted(names)
