"""Which example comes at which place: the ratio at every point, whole epochs, and the same beginning always."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.dialogues.draw import draw
from mixer.dialogues.examples import Examples
from mixer.dialogues.prepare import Prepared


def prepared(sizes, weights=None, held_out=(), seed=1):
    """Make prepared data of examples of one token."""
    source = np.repeat(np.arange(len(sizes)), sizes).astype(np.int16)
    count = len(source)
    ones = np.ones(count, np.bool_)
    examples = Examples(np.zeros(count, np.int32), np.arange(count + 1, dtype=np.int64), ones, source)
    given = np.array(sizes if weights is None else weights, np.float64)
    out = np.zeros(count, np.bool_)
    out[list(held_out)] = True
    zeros = np.zeros(count, np.int16)
    names = tuple(f"s{number}" for number in range(len(sizes)))
    return Prepared(
        examples, out, zeros.astype(np.int64), zeros, zeros, ("en",), names, given / given.sum(), (), "", 9, seed, ""
    )


sizes_and_weights = st.lists(st.tuples(st.integers(1, 30), st.floats(0.01, 10)), min_size=1, max_size=5)


@given(sizes_and_weights, st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_the_ratio_holds_at_every_place(both, count):
    sizes, weights = zip(*both, strict=True)
    data = prepared(sizes, weights)
    rows = draw(data, count)
    drawn = np.eye(len(sizes))[data.source[rows]].cumsum(axis=0)
    wanted = np.arange(1, count + 1)[:, None] * data.weights
    assert (drawn - wanted < 1).all()
    assert (drawn - wanted > -max(len(sizes) - 1, 1e-6)).all()


@given(sizes_and_weights, st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_a_source_is_read_whole_before_it_is_read_again(both, count):
    sizes, weights = zip(*both, strict=True)
    data = prepared(sizes, weights)
    rows = draw(data, count)
    for number, size in enumerate(sizes):
        mine = rows[data.source[rows] == number]
        for start in range(0, len(mine), size):
            assert len(set(mine[start : start + size].tolist())) == len(mine[start : start + size])


@given(sizes_and_weights, st.integers(0, 150), st.integers(0, 150))
@settings(max_examples=50, deadline=None)
def test_a_longer_training_begins_with_the_same(both, count, more):
    sizes, weights = zip(*both, strict=True)
    data = prepared(sizes, weights)
    assert draw(data, count).tolist() == draw(data, count + more)[:count].tolist()


def test_without_weights_an_epoch_reads_everything_once():
    data = prepared([3, 10, 1])
    assert sorted(draw(data, 14).tolist()) == list(range(14))
    assert np.bincount(draw(data, 28)).tolist() == [2] * 14


def test_held_out_examples_are_never_drawn():
    data = prepared([6, 6], held_out=[0, 3, 7])
    assert set(draw(data, 200).tolist()) == set(range(12)) - {0, 3, 7}
    assert data.valid_rows.tolist() == [0, 3, 7]


def test_order_depends_on_seed_and_epoch_and_is_a_shuffle():
    data = prepared([50])
    rows = draw(data, 100).tolist()
    assert rows[:50] != rows[50:]
    assert rows[:50] != list(range(50))
    assert rows != draw(replace(data, seed=2), 100).tolist()
    assert rows[:5] == [36, 32, 34, 49, 35]  # for good: a resumed training must find the order that it began with


def test_learned_tokens_are_counted_by_example():
    tokens = np.arange(6, dtype=np.int32)
    data = Examples(tokens, np.array([0, 2, 2, 6]), tokens > 2, np.array([0, 1, 2], np.int16))
    assert data.learned_counts.tolist() == [0, 0, 3]
    assert data.lengths.tolist() == [2, 0, 4]
