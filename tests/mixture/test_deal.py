"""Dealing documents out to phases: each to one, all that is owed, and the same whatever the machine."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.mixture.deal import deal, owed
from mixer.mixture.inventory import MIN_SEQUENCES


def slow(lengths, parts):
    """Slow twin: sort by class and place, then give each document to the phase that lags most."""
    order = sorted(range(len(lengths)), key=lambda i: (-int(lengths[i]).bit_length(), i))
    given, handed, phase = [0.0] * len(parts), 0.0, [0] * len(lengths)
    for i in order:
        handed += int(lengths[i])
        lags = [part * handed - have for part, have in zip(parts, given, strict=True)]
        phase[i] = lags.index(max(lags))
        given[phase[i]] += int(lengths[i])
    return phase


@st.composite
def documents(draw):
    """Draw lengths of documents, few or many, short or long, and a length of samples that fits them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    longest = draw(st.sampled_from([1, 2, 100, 5000, 2**20]))
    lengths = rng.integers(1, longest + 1, draw(st.integers(1, 400))).astype(np.int32)
    return lengths, max(1, int(lengths.sum()) // draw(st.sampled_from([64, 200, 5000])))


@given(documents(), st.lists(st.integers(0, 2000), min_size=1, max_size=9).filter(any))
@example((np.array([5], np.int32), 1), [0, 3])
@settings(deadline=None)
def test_each_document_goes_to_one_phase_that_reads_something(found, samples):
    lengths, length = found
    dealt = deal(lengths, samples, length)
    assert dealt.phase.dtype == np.uint8
    assert all(samples[f] for f in np.unique(dealt.phase))
    tokens = np.bincount(dealt.phase, lengths, len(samples)).astype(np.int64)
    assert tokens.tolist() == dealt.tokens.tolist()
    needs, reads = owed(samples, int(lengths.sum()), length)
    assert dealt.short.tolist() == np.maximum(needs - tokens, 0).tolist()
    for count, got, short in zip(samples, tokens.tolist(), dealt.short.tolist(), strict=True):
        if count and not short:
            assert got >= MIN_SEQUENCES * length
            assert count * length + 1 <= reads * got


@given(documents(), st.integers(2, 9), st.data())
@settings(deadline=None)
def test_nothing_is_short_where_there_is_room_for_a_longest_document_each(found, phases, data):
    lengths, _ = found
    longest, total = int(lengths.max()), int(lengths.sum())
    length = data.draw(st.integers(1, max(1, total // 64 // phases)))
    budget = total - phases * phases * longest
    cuts = sorted(data.draw(st.lists(st.floats(0, 1), min_size=phases - 1, max_size=phases - 1)))
    parts = np.diff([0, *cuts, 1])
    samples = [int(part * budget) // length - 1 for part in parts]
    if budget < phases * (MIN_SEQUENCES * length + 1) or min(samples) < MIN_SEQUENCES:
        return
    dealt = deal(lengths, samples, length)
    assert dealt.reads == 1
    assert not dealt.short.any()


@given(documents(), st.lists(st.integers(1, 2000), min_size=1, max_size=9))
@settings(deadline=None, max_examples=60)
def test_it_is_what_the_slow_twin_deals(found, samples):
    lengths, length = found
    dealt = deal(lengths, samples, length)
    total = int(lengths.sum())
    needs, _ = owed(samples, total, length)
    left = total - int(needs.sum())
    target = needs
    if left > 0:
        cushion = min(left // len(samples), int(lengths.max()))
        rest = (left - cushion * len(samples)) * (np.array(samples, float) / sum(samples))
        target = needs + cushion + rest.astype(np.int64)
    assert dealt.phase.tolist() == slow(lengths, (target / target.sum()).tolist())


def test_phases_get_the_same_kinds_of_documents_from_everywhere():
    rng = np.random.default_rng(1)
    lengths = np.minimum(rng.lognormal(6, 1.5, 60_000), 1e5).astype(np.int32) + 1
    total, length = int(lengths.sum()), 256
    samples = [int(0.6 * total * part) // length for part in (0.2, 0.7, 0.1)]
    dealt = deal(lengths, samples, length)
    for f, part in enumerate((0.2, 0.7, 0.1)):
        chosen = lengths[dealt.phase == f]
        assert dealt.tokens[f] / total == pytest.approx(part, abs=0.01)
        assert len(chosen) / len(lengths) == pytest.approx(part, abs=0.02)
        assert chosen.mean() == pytest.approx(lengths.mean(), rel=0.1)
        assert np.flatnonzero(dealt.phase == f).mean() == pytest.approx(len(lengths) / 2, rel=0.03)


def test_a_full_epoch_can_be_dealt_to_the_last_samples():
    """With short documents among them, whole documents leave less than a few samples unread."""
    rng = np.random.default_rng(2)
    lengths = rng.integers(2, 3000, 20_000).astype(np.int32)
    length = 64
    total = int(lengths.sum()) // length - 4
    samples = [total // 10, total - total // 10 - total // 3, total // 3]
    assert not deal(lengths, samples, length).short.any()
