"""The order inside a prefix, against a twin that lays out every token; megatron-core itself is in its own file."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixer.megatron import order
from mixer.megatron.order import Part, contents, layout


def twin(lengths, shape, length, seed):
    """Return all samples as lists of (document, token), from shuffled lists of everything."""
    random = np.random.RandomState(seed)
    heads = shape.epochs - 1 if shape.separate else shape.epochs
    row = []
    for epochs in [heads, shape.epochs - heads]:
        if epochs:
            documents = np.array([d for _ in range(epochs) for d in range(len(lengths))], np.int32)
            random.shuffle(documents)
            row += [(d, token) for d in documents.tolist() for token in range(lengths[d])]
    samples = [row[k * length : k * length + length + 1] for k in range(shape.samples)]
    places = list(range(shape.samples))
    head, last = np.array(places[: shape.head]), np.array(places[shape.head :])
    random.shuffle(head)
    if len(last):
        random.shuffle(last)
    return [samples[place] for place in [*head.tolist(), *last.tolist()]]


def spelled(parts):
    return [(part.document, token) for part in parts for token in range(part.first, part.last)]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    length=st.integers(2, 12),
    epochs=st.floats(0.01, 4.5),
    seed=st.integers(0, 2**32 - 1),
    piece=st.integers(1, 40),
)
def test_every_sample_holds_what_the_twin_reads(lengths, length, epochs, seed, piece):
    wanted = max(1, int(sum(lengths) * epochs / length))
    shape = layout(sum(lengths), wanted, length)
    assert shape.samples >= wanted
    expected = twin(lengths, shape, length, seed)
    before, order._PIECE = order._PIECE, piece
    try:
        found = contents(np.array(lengths, np.int32), wanted, length, seed, range(shape.samples))
    finally:
        order._PIECE = before
    assert [spelled(parts) for parts in found] == expected


def test_only_what_is_asked_for_comes_in_its_order():
    lengths = np.array([5, 3, 9], np.int32)
    every = contents(lengths, 8, 4, 7, range(8))
    assert contents(lengths, 8, 4, 7, [6, 2, 6]) == [every[6], every[2], every[6]]
    assert sum(part.last - part.first for part in every[0]) == 5
    assert contents(np.array([9], np.int32), 1, 8, 1, [0]) == [[Part(0, 0, 9)]]
