"""The replay of Megatron's rule against a slow twin, and what follows from the rule.

That the compiled helper of megatron-core gives the same order is in ``test_megatron_core.py``.
"""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.megatron.blend import (
    Deviation,
    Replay,
    built_samples,
    drawing_weights,
    drawn,
    group_bounds,
    needed_surplus,
    planned_samples,
)

Replay([1.0]).advance(1)  # loads the kernel, so that no deadline pays for it

whole_samples = st.lists(st.integers(1, 60), min_size=1, max_size=12)
real_weights = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


def order_twin(weights, steps):
    """Draw one sample after the other, as Megatron's documentation of the rule says."""
    counts = [0] * len(weights)
    order = []
    for step in range(steps):
        lags = [weight * max(step, 1) - count for weight, count in zip(weights, counts, strict=True)]
        first = lags.index(max(lags))
        counts[first] += 1
        order.append(first)
    return order


@given(weights=real_weights, steps=st.integers(0, 300))
@example(weights=[1.0], steps=5)
@example(weights=[1.0] * 9, steps=30)
@example(weights=[0.5, 0.25, 0.25], steps=20)
def test_the_order_is_that_of_the_twin(weights, steps):
    assert Replay(weights).order(steps).tolist() == order_twin(drawing_weights(weights).tolist(), steps)


@given(weights=real_weights, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_steps_of_any_size_give_the_same_order(weights, cuts):
    replay = Replay(weights)
    pieces = np.concatenate([replay.order(cut) for cut in [0, *cuts]])
    assert (pieces == Replay(weights).order(sum(cuts))).all()
    assert replay.step == sum(cuts)
    assert (replay.counts == np.bincount(pieces, minlength=len(weights))).all()


@given(weights=real_weights, steps=st.integers(0, 200), more=st.integers(0, 100))
def test_a_longer_training_begins_like_a_shorter_one(weights, steps, more):
    assert (Replay(weights).order(steps + more)[:steps] == Replay(weights).order(steps)).all()


@given(counts=st.lists(st.integers(1, 2000), min_size=1, max_size=40))
def test_weights_of_whole_samples_draw_exactly_those(counts):
    total = sum(counts)
    assert drawn([count / total for count in counts], total).tolist() == counts


def test_raw_real_shares_do_not_always():
    rng = np.random.default_rng(0)
    differing = 0
    for _ in range(100):
        shares = rng.dirichlet(np.ones(12))
        rounded = np.round(shares * 1000)
        differing += not np.array_equal(drawn(shares, 1000), rounded)
    assert differing > 20


@settings(max_examples=200)
@given(data=st.data(), counts=whole_samples)
def test_a_group_stays_within_its_bounds_at_every_step(data, counts):
    group = np.array(data.draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts))))
    total = sum(counts)
    weights = np.array(counts) / total
    share = sum(count for count, inside in zip(counts, group, strict=True) if inside) / total
    order = Replay(weights).order(total)
    distances = np.cumsum(group[order]) - share * np.arange(1, total + 1)
    low, high = group_bounds(group)
    assert (low, high) == (-int((~group).sum()), int(group.sum()))
    if low and high:
        assert low < distances.min()
        assert distances.max() < high
    assert abs(distances[-1]) < 1e-9

    replay = Replay(weights, [group], [share])
    replay.advance(total)
    deviation = replay.deviations[0]
    assert deviation.low == pytest.approx(min(distances.min(), 0), abs=1e-9)
    assert deviation.high == pytest.approx(max(distances.max(), 0), abs=1e-9)


@given(weights=real_weights, steps=st.integers(1, 300))
def test_no_prefix_runs_ahead_by_more_than_the_rule_allows(weights, steps):
    counts = drawn(weights, steps)
    assert (counts <= np.floor(drawing_weights(weights) * (steps - 1) + 1e-9) + 1).all()


@given(data=st.data(), counts=whole_samples, cut=st.integers(0, 500))
def test_sums_are_followed_in_steps_of_any_size(data, counts, cut):
    shares = data.draw(st.lists(st.floats(0, 1), min_size=len(counts), max_size=len(counts)))
    total = sum(counts)
    slope = data.draw(st.floats(0, 1))
    weights = np.array(counts) / total
    replay = Replay(weights, [np.ones(len(counts)), shares], [1.0, slope])
    replay.advance(min(cut, total))
    replay.advance(total)
    constant, measured = replay.deviations
    assert constant == Deviation(0.0, 0, 0.0, 0)
    distances = np.cumsum(np.array(shares)[Replay(weights).order(total)]) - slope * np.arange(1, total + 1)
    assert measured.low == pytest.approx(min(distances.min(), 0), abs=1e-9)
    assert measured.high == pytest.approx(max(distances.max(), 0), abs=1e-9)
    for extreme, at in ((measured.low, measured.low_at), (measured.high, measured.high_at)):
        assert at == 0 or distances[at - 1] == pytest.approx(extreme, abs=1e-9)


def test_the_larger_deviation_is_reported_with_its_sign():
    assert Deviation(-2.0, 5, 1.0, 7).largest == (-2.0, 5)
    assert Deviation(-1.0, 5, 3.0, 7).largest == (3.0, 7)
    assert Deviation(0.0, 0, 0.0, 0).largest == (0.0, 0)


@pytest.mark.parametrize("weights", [[], [0.0, 1.0], [-1.0, 2.0], [math.nan], [math.inf, 1.0], [1.0] * 32_767])
def test_weights_that_stop_megatron_are_refused(weights):
    with pytest.raises(ValueError, match="a blend needs"):
        Replay(weights)


def test_prefixes_are_told_apart_beyond_one_byte():
    assert Replay([1.0] * 400).order(400).tolist() == list(range(400))


@given(planned=st.integers(1, 5000), tokens=st.integers(1, 5000), length=st.integers(1, 300), surplus=st.floats(0, 0.2))
def test_whole_epochs_are_built_until_the_samples_are_there(planned, tokens, length, surplus):
    wanted = math.ceil(planned * (1 + surplus))
    epochs = 1
    while epochs * tokens < wanted * length + 1:
        epochs += 1
    assert built_samples(planned, tokens, length, surplus) == (epochs * tokens - 1) // length


@given(weights=real_weights, samples=st.integers(1, 10**6))
def test_planned_samples_are_rounded_up(weights, samples):
    planned = planned_samples(weights, samples)
    assert samples <= planned.sum() <= samples + 2 * len(weights)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), prefixes=st.integers(1, 60), samples=st.integers(60, 3000))
def test_the_surplus_is_asked_for_exactly_when_the_default_is_too_little(seed, prefixes, samples):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(prefixes)) + 1e-6
    tokens = rng.integers(64 * 8, 64 * 80, prefixes)
    planned = planned_samples(weights, samples)
    draws = drawn(weights, int(planned.sum()))

    def enough(surplus):
        built = [built_samples(p, t, 8, surplus) for p, t in zip(planned.tolist(), tokens.tolist(), strict=True)]
        return bool((draws <= built).all())

    surplus = needed_surplus(weights, tokens, 8, samples)
    if prefixes == 1 or enough(0.005):
        assert surplus is None
    else:
        assert surplus > 0.005
        assert enough(surplus)


def test_large_trainings_need_no_surplus_and_take_no_replay():
    weights = np.random.default_rng(0).dirichlet(np.ones(300))
    assert needed_surplus(weights, np.full(300, 10**11), 2048, 10**9) is None
