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
from mixer.megatron.draw import LANES, draw_lanes

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


@given(data=st.data(), counts=whole_samples, batch=st.integers(1, 50), cut=st.integers(0, 500))
def test_batches_are_held_against_the_line_each_by_itself(data, counts, batch, cut):
    total = sum(counts)
    shares = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(counts), max_size=len(counts))))
    slope = data.draw(st.floats(0, 1))
    weights = np.array(counts) / total
    replay = Replay(weights, [shares], [slope], batch)
    replay.advance(min(cut, total))
    replay.advance(total)
    whole = total // batch
    if not whole:
        assert replay.batches == []
        return
    inside = shares[Replay(weights).order(whole * batch)].reshape(whole, batch).sum(axis=1)
    found = replay.batches[0]
    assert (found.count, found.size, found.slope) == (whole, batch, slope)
    assert found.share == pytest.approx(inside.sum() / (whole * batch), abs=1e-9)
    assert found.mean == pytest.approx(np.abs(inside - slope * batch).mean(), abs=1e-9)
    assert abs(found.worst) == pytest.approx(np.abs(inside - slope * batch).max(), abs=1e-9)
    assert inside[found.worst_at] - slope * batch == pytest.approx(found.worst, abs=1e-9)


def test_batches_are_not_looked_at_unasked():
    replay = Replay([1.0, 2.0], [[1, 0]], [0.5])
    replay.advance(100)
    assert replay.batches == []


def on_foot(weights, amounts, slopes, batch, samples):
    """Draw one sample after the other."""
    replay = Replay(weights, amounts, slopes, batch)
    replay._one_by_one(samples)
    return replay


def same_sums(replay, expected):
    for one, other in zip(replay.deviations, expected.deviations, strict=True):
        assert (one.low, one.high) == (pytest.approx(other.low, abs=1e-3), pytest.approx(other.high, abs=1e-3))
    for one, other in zip(replay.batches, expected.batches, strict=True):
        assert (one.count, one.size, one.slope) == (other.count, other.size, other.slope)
        assert one.share == pytest.approx(other.share)
        assert one.mean == pytest.approx(other.mean, abs=1e-3)
        assert abs(one.worst) == pytest.approx(abs(other.worst), abs=1e-3)


kinds = st.sampled_from(["real", "whole", "equal", "halves", "one large", "tiny"])


def weights_of(kind, rng, count):
    return {
        "real": rng.dirichlet(np.ones(count)),
        "whole": (1 + rng.multinomial(10**6, rng.dirichlet(np.ones(count)))) / (10**6 + count),
        "equal": np.ones(count),
        "halves": 0.5 ** np.arange(min(count, 30)),
        "one large": np.append(0.9, np.full(count, 0.1 / count)),
        "tiny": rng.dirichlet(np.full(count, 0.1)) + 1e-9,
    }[kind]


@settings(max_examples=60, deadline=None)
@given(
    kind=kinds,
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 40),
    batch=st.sampled_from([0, 1, 7, 50]),
    first=st.integers(1, 40),
    of_lane=st.integers(1, 8),
    before=st.integers(0, 50),
)
def test_stretches_side_by_side_draw_the_same_as_one_by_one(kind, seed, count, batch, first, of_lane, before):
    rng = np.random.default_rng(seed)
    weights = weights_of(kind, rng, count)
    group, shares = rng.random(len(weights)) < 0.4, rng.random(len(weights))
    lines = [group, shares], [weights[group].sum() / weights.sum(), 0.5]
    first, of_lane = first * (batch or 1), of_lane * (batch or 13)
    replay = on_foot(weights, *lines, batch, first)
    replay.step = draw_lanes(replay._weights, replay._counts, replay._track, first, of_lane, min(before, of_lane))
    stretches, rest = divmod(replay.step - first, of_lane)
    assert 1 <= stretches <= LANES
    assert rest == 0
    expected = on_foot(weights, *lines, batch, replay.step)
    assert (replay.counts == expected.counts).all()
    same_sums(replay, expected)
    # Whoever goes on from there is none the wiser.
    replay.advance(replay.step + 99)
    expected.advance(expected.step + 99)
    assert (replay.counts == expected.counts).all()
    same_sums(replay, expected)


@pytest.mark.parametrize("kind", ["real", "whole", "equal", "halves", "one large", "tiny"])
@pytest.mark.parametrize("batch", [0, 256])
def test_a_long_way_is_that_of_single_steps(kind, batch):
    rng = np.random.default_rng(len(kind))
    weights = weights_of(kind, rng, 20)
    group, shares = np.arange(len(weights)) % 3 == 0, rng.random(len(weights))
    lines = [group, shares], [weights[group].sum() / weights.sum(), 0.5]
    replay = Replay(weights, *lines, batch)
    for end in (77, 1_500_000, 1_500_001, 3_000_000):
        replay.advance(end)
    expected = on_foot(weights, *lines, batch, 3_000_000)
    assert (replay.counts == expected.counts).all()
    same_sums(replay, expected)


def test_long_ways_are_mostly_gone_side_by_side(monkeypatch):
    weights = weights_of("whole", np.random.default_rng(1), 20)
    single = 0
    one_by_one = Replay._one_by_one

    def counted(replay, to):
        nonlocal single
        single += max(to - replay.step, 0)
        one_by_one(replay, to)

    monkeypatch.setattr(Replay, "_one_by_one", counted)
    replay = Replay(weights, batch=256)
    replay.advance(3_000_000)
    assert replay.step == 3_000_000
    assert single < 1_000_000


def test_wrong_suppositions_cost_time_alone(monkeypatch):
    monkeypatch.setattr("mixer.megatron.draw.supposed_counts", lambda weights, counts, samples, more: counts)
    weights = weights_of("tiny", np.random.default_rng(2), 30)
    replay = Replay(weights, [np.ones(30)], [1.0], 256)
    replay.advance(2_000_000)
    assert (replay.counts == on_foot(weights, [np.ones(30)], [1.0], 256, 2_000_000).counts).all()
    assert replay.deviations == [Deviation(0.0, 0, 0.0, 0)]
    assert replay.batches[0].worst == 0


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
