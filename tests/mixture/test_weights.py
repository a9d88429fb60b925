"""The solver on cases that a person can check, beside slow twins, and replayed by Megatron's rule."""

import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixer.errors import InfeasibleError
from mixer.mixture.inventory import most_samples
from mixer.mixture.settings import MixtureSettings, decimal
from mixer.mixture.weights import Inventory, Target, largest_training, plan, solve, too_small
from tests.mixture.inventories import DOMAINS, REALISTIC, inventory


def test_the_published_mixture_is_exact_and_proportional_inside_the_groups():
    mixture = plan(REALISTIC, MixtureSettings(tokens="1.7T"))
    assert mixture.samples == 830_078_125
    assert int(mixture.n.sum()) == 830_078_125
    chinese = int(mixture.n[REALISTIC.additional].sum())
    assert abs(Fraction(chinese) - Fraction(33, 100) * 830_078_125) <= Fraction(1, 2)
    assert mixture.realised == chinese / 830_078_125
    for group in (REALISTIC.additional, ~REALISTIC.additional):
        tokens = REALISTIC.tokens[group] / REALISTIC.tokens[group].sum()
        assert np.abs(mixture.n[group] - tokens * mixture.n[group].sum()).max() <= 1
    assert mixture.weights.tolist() == [n / 830_078_125 for n in mixture.n.tolist()]
    assert mixture.measured == pytest.approx(float(mixture.weights @ REALISTIC.measured), abs=1e-15)
    assert mixture.epochs == pytest.approx(mixture.n * 2048 / REALISTIC.tokens, rel=1e-15)
    assert (mixture.binding, mixture.left_out) == ([], {})


def test_caps_bind_and_what_they_cut_off_is_shared_out_in_proportion():
    found = inventory(
        ("a-zh", 1_000_000, "web", 1, 4),
        ("b-zh", 3_000_000, "web", 1, 0.5),
        ("c-zh", 2_000_000, "web", 1, 4),
        ("d-en", 9_000_000, "web", 0, 4),
    )
    mixture = solve(found, Target(0.5, 100), 12_000_000)
    cap = (1_500_000 - 1) // 100
    assert mixture.n.tolist() == [(60_000 - cap) // 3, cap, 60_000 - cap - (60_000 - cap) // 3, 60_000]
    assert mixture.binding == ["b-zh: max_epochs 0.5"]


def test_domain_shares_and_almr_hold_together():
    mixture = plan(REALISTIC, MixtureSettings(tokens="500B", domains={"math": 0.04, "code": 0.15}))
    total = {name: int(mixture.n[np.array(REALISTIC.domain) == name].sum()) for name in ("web", "math", "code")}
    assert abs(total["math"] - 0.04 * mixture.samples) < 1
    assert abs(total["code"] - 0.15 * mixture.samples) < 1
    assert abs(int(mixture.n[REALISTIC.additional].sum()) - 0.33 * mixture.samples) <= 0.5


def test_all_the_domains_may_be_given_as_rounded_thirds():
    third = 1 / 3
    mixture = solve(REALISTIC, Target(0.33, 2048, domains={"web": third, "math": third, "code": third}), 10**9)
    assert mixture.samples == 488_281
    for name in ("web", "math", "code"):
        assert abs(int(mixture.n[np.array(REALISTIC.domain) == name].sum()) - 488_281 / 3) < 1


def test_measured_basis_makes_the_measured_ratio_equal_the_target():
    mixture = plan(REALISTIC, MixtureSettings(tokens="1T", almr_basis="measured"))
    assert abs(mixture.measured - 0.33) <= 0.5 / mixture.samples
    assert mixture.realised > 0.335


def test_whole_samples_keep_a_measured_ratio_far_within_half_a_sample():
    names = [f"s{k:02}-{'zh' if k % 2 else 'en'}" for k in range(10)]
    shares = [0.8 + 0.017 * k if k % 2 else 0.013 * k for k in range(10)]
    found = inventory(*((names[k], 10**6 + k * 77_777, "web", shares[k], 4.0) for k in range(10)))
    for samples in range(300, 310):
        mixture = solve(found, Target(0.33, 2048, "measured"), samples * 2048)
        assert abs(mixture.measured - 0.33) * samples < 0.02


@pytest.mark.parametrize(("almr", "absent"), [(0.0, True), (1.0, False)])
def test_a_ratio_of_zero_or_one_leaves_a_group_out(almr, absent):
    mixture = plan(REALISTIC, MixtureSettings(almr=almr, tokens="100B"))
    gone = REALISTIC.additional == absent
    assert not mixture.n[gone].any()
    assert mixture.n[~gone].all()
    assert set(mixture.left_out) == {name for name, out in zip(REALISTIC.names, gone, strict=True) if out}


def test_a_group_that_is_not_wanted_need_not_exist():
    only = REALISTIC.take(np.flatnonzero(REALISTIC.additional))
    assert plan(only, MixtureSettings(almr=1)).realised == 1.0
    only = REALISTIC.take(np.flatnonzero(~REALISTIC.additional))
    assert plan(only, MixtureSettings(almr=0)).realised == 0.0


def test_max_is_the_most_that_keeps_every_cap():
    mixture = plan(REALISTIC, MixtureSettings())
    caps = [most_samples(int(t), float(e), 2048) for t, e in zip(REALISTIC.tokens, REALISTIC.max_epochs, strict=True)]
    assert (mixture.n <= caps).all()
    chinese = caps[1] + caps[4]
    assert (
        abs(chinese - Fraction(33, 100) * mixture.samples)
        <= Fraction(1, 2)
        < Fraction(33, 100) * (mixture.samples + 1) - chinese
    )
    assert mixture.samples_max == mixture.samples
    assert mixture.binding == ["gsm-en: max_epochs 2", "mathpile-zh: max_epochs 4", "wanjuan-zh: max_epochs 4"]
    again = solve(REALISTIC, Target(0.33, 2048), mixture.samples * 2048)
    assert again.n.tolist() == mixture.n.tolist()
    with pytest.raises(InfeasibleError, match="wanjuan-zh"):
        solve(REALISTIC, Target(0.33, 2048), (mixture.samples + 1) * 2048)


def test_the_order_of_the_sources_changes_nothing():
    order = np.array([3, 0, 4, 2, 1])
    target = Target(0.33, 2048, "measured", {"math": 0.01, "code": 0.15})
    one, two = solve(REALISTIC, target), solve(REALISTIC.take(order), target)
    assert one.n[order].tolist() == two.n.tolist()
    assert one.shares[order].tolist() == two.shares.tolist()


def test_ties_go_to_the_first_name():
    found = inventory(*((f"{name}-zh", 10**6, "web", 1, 4) for name in "cab"))
    assert solve(found, Target(1.0, 100), 100 * 1_000).n.tolist() == [333, 334, 333]


def test_half_a_sample_goes_where_the_float_lies():
    found = inventory(("a-zh", 10**6, "web", 1, 4), ("b-en", 10**6, "web", 0, 4))
    for almr in (0.33, 0.29, 0.07, 0.5, 0.57, 1 / 3):
        for samples in (1, 2, 3, 7, *range(50, 400, 50), *range(11, 400, 37)):
            chinese = int(solve(found, Target(almr, 100), samples * 100).n[0])
            assert abs(chinese - Fraction(almr) * samples) <= Fraction(1, 2)
            assert abs(chinese - Fraction(repr(almr)) * samples) <= Fraction(1, 2)


def test_what_gets_no_samples_is_reported_with_the_cause():
    found = inventory(
        ("a-zh", 10**9, "web", 1, 4),
        ("b-en", 10**9, "web", 0, 4),
        ("empty-en", 0, "web", 0, 4),
        ("none-en", 10**9, "code", 0, 4),
        ("stray-en", 500, "web", 0, 4),
        ("tiny-en", 20_000, "web", 0, 4),
        ("unread-en", 10**6, "web", 0, 1e-6),
    )
    wishes = MixtureSettings(sequence_length=100, tokens=2000, domains={"code": 0.0}, small_datasets="drop")
    assert plan(found, wishes).left_out == {
        "empty-en": "no training tokens",
        "none-en": "domain code has the share 0",
        "stray-en": "too small",
        "tiny-en": "its share is less than a sample",
        "unread-en": "1e-06 epochs are less than one sample",
    }


@pytest.mark.parametrize(("almr", "absent"), [(0.0, "a-zh"), (1.0, "b-en")])
def test_the_group_that_an_extreme_ratio_leaves_out_is_told_why(almr, absent):
    found = inventory(("a-zh", 10**9, "web", 1, 4), ("b-en", 10**9, "web", 0, 4))
    assert plan(found, MixtureSettings(almr=almr)).left_out == {absent: f"the ALMR is {almr:g}"}


def test_small_datasets_are_refused_with_their_names_and_the_remedies():
    found = inventory(("a-zh", 10**9, "web", 1, 4), ("b-en", 10**9, "web", 0, 4), ("c-en", 64 * 2048 - 1, "web", 0, 4))
    assert too_small(found, 2048).tolist() == [False, False, True]
    assert not too_small(found, 2047).any()
    with pytest.raises(InfeasibleError, match=r"c-en \(131,071 tokens\)") as refusal:
        plan(found, MixtureSettings())
    assert refusal.value.exit_code == 3
    for way in ("small_datasets: drop", "sequence_length: 2047 or less", "declare the language"):
        assert way in refusal.value.remedy
    assert plan(found, MixtureSettings(small_datasets="drop")).left_out == {"c-en": "too small"}
    assert plan(found, MixtureSettings(sequence_length=2047)).left_out == {}


def test_a_small_dataset_that_shall_have_nothing_is_not_refused():
    found = inventory(("a-zh", 10**9, "web", 1, 4), ("b-en", 10**9, "web", 0, 4), ("c-en", 1000, "web", 0, 4))
    weights = MixtureSettings(strategy="weights", weights={"a": 1, "b": 1, "c": 0})
    assert plan(found, weights).left_out == {"c-en": "the weight of c is 0"}
    assert plan(found, MixtureSettings(), {"c": (0.0, 0.0)}).left_out == {"c-en": "the share of c is 0"}


def test_a_dataset_without_tokens_is_no_small_dataset():
    found = inventory(("a-zh", 10**9, "web", 1, 4), ("b-en", 10**9, "web", 0, 4), ("c-en", 0, "web", 0, 4))
    assert plan(found, MixtureSettings()).left_out == {"c-en": "no training tokens"}


@pytest.mark.parametrize("field", ["source", "tokens", "domain", "measured"])
def test_an_inventory_with_missing_entries_is_a_defect(field):
    with pytest.raises(ValueError, match="one entry a dataset"):
        replace(REALISTIC, **{field: getattr(REALISTIC, field)[:-1]})


def test_an_inventory_with_impossible_entries_is_a_defect():
    for broken in (
        {"names": ["a"] * 5},
        {"tokens": REALISTIC.tokens - 10**10},
        {"measured": REALISTIC.measured + 0.5},
        {"max_epochs": REALISTIC.max_epochs * 0},
        {"max_epochs": REALISTIC.max_epochs * np.inf},
    ):
        with pytest.raises(ValueError, match=r"inventory|negative|above 0"):
            replace(REALISTIC, **broken)
    with pytest.raises(ValueError, match="one sample"):
        solve(REALISTIC, Target(0.33, 2048), 2047)


@pytest.mark.parametrize("basis", ["label", "measured"])
def test_five_hundred_datasets_take_well_under_a_second(basis):
    random = np.random.default_rng(5)
    additional = random.random(500) < 0.4
    found = Inventory(
        [f"s{k:03}-{'zh' if added else 'en'}" for k, added in enumerate(additional)],
        [f"s{k:03}" for k in range(500)],
        (10 ** random.uniform(7, 12, 500)).astype(np.int64),
        additional,
        [DOMAINS[d] for d in random.integers(0, 4, 500)],
        np.where(additional, random.uniform(0.8, 1, 500), random.uniform(0, 0.05, 500)),
        random.choice([1.0, 2.0, 4.0], 500),
    )
    target = Target(0.33, 2048, basis, {"math": 0.2, "code": 0.15})
    solve(found, target)
    start = time.process_time()
    solve(found, target)
    assert time.process_time() - start < 0.7
    with pytest.raises(InfeasibleError, match="--almr"):
        solve(found, replace(target, almr=0.9), int(found.tokens.sum()))
    assert time.process_time() - start < 3


def test_a_hundred_sources_with_shares_of_their_own_are_exact_together():
    random = np.random.default_rng(11)
    sources = [f"s{k:03}" for k in range(100)]
    rows = [
        (f"{source}-{language}", int(10 ** random.uniform(9, 12)), DOMAINS[k % 4], float(language == "zh"), 16.0)
        for k, source in enumerate(sources)
        for language in ("en", "zh")
    ]
    found = inventory(*rows)
    wanted = dict(zip(sources, random.dirichlet(np.ones(100)).round(5), strict=True))
    shares = {name: (float(wanted[name]), float(wanted[name])) for name in sources[:40]}
    shares |= {name: (float(wanted[name]) / 2, float(wanted[name])) for name in sources[40:60]}
    shares |= {name: (float(wanted[name]) / 2, 1.0) for name in sources[60:90]}
    target = Target(0.33, 2048, domains={"math": 0.27, "code": 0.23}, shares=shares, strategy="unimax")
    mixture = solve(found, target, 1_700 * 10**9)
    samples = mixture.samples
    assert abs(int(mixture.n[found.additional].sum()) - 0.33 * samples) <= 0.5
    total = {name: int(mixture.n[np.array(found.source) == name].sum()) for name in sources}
    for name in sources[:40]:
        assert abs(total[name] - decimal(wanted[name]) * samples) <= Fraction(1, 2)
    for name, (low, high) in shares.items():
        assert low == high or decimal(low) * samples <= total[name] <= decimal(high) * samples
    for name, share in target.domains.items():
        assert abs(int(mixture.n[np.array(found.domain) == name].sum()) - decimal(share) * samples) <= Fraction(1, 2)


def test_a_smallest_share_that_the_ratio_leaves_no_room_for_is_a_part_of_a_sample_off():
    found = inventory(("a-zh", 10**9, "web", 1, 4), ("b-en", 10**9, "web", 0, 4), ("c-en", 10**9, "web", 0, 4))
    target = Target(0.33, 100, shares={"a": (0.33, 1.0), "b": (0.305, 1.0)})
    mixture = solve(found, target, 101 * 100)
    assert mixture.n.tolist() == [33, 34, 34]  # 33.33 and at least 30.8
    held = replace(target, shares={"a": (0.0, 1.0), "b": (0.331, 0.332)})  # 33.4 to 33.5 samples
    assert int(solve(found, held, 101 * 100).n[1]) in (33, 34)


def _blend(weights, samples):
    """Replay Megatron's blending rule: how often each dataset is drawn after each sample, int64[samples + 1, K]."""
    drawn = np.zeros((samples + 1, len(weights)), np.int64)
    for step in range(samples):
        best = int(np.argmax(weights * max(step, 1) - drawn[step]))
        drawn[step + 1] = drawn[step]
        drawn[step + 1, best] += 1
    return drawn


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_blending_rule_draws_what_was_planned_and_keeps_the_caps_to_the_last_sample(data):
    counts = np.array(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=8)), np.int64)
    caps = tuple(int(n) + data.draw(st.integers(0, 30)) for n in counts)
    samples = int(counts.sum())
    most = largest_training(counts, caps)
    assert most >= samples
    assume(most < 3000)
    drawn = _blend(counts / samples, most)
    assert drawn[samples].tolist() == counts.tolist()
    assert (drawn[most] <= caps).all()
    assert any(int(n) * most // samples + 1 > cap for n, cap in zip(counts, caps, strict=True))


def _pour(tokens, caps, total):
    """Slow twin: give every dataset its proportion, hold those above their caps, share out the rest, repeat."""
    shares = {k: Fraction(0) for k in range(len(tokens))}
    open_, left = set(shares), Fraction(total)
    while open_:
        size = sum(tokens[k] for k in open_)
        over = {k for k in open_ if left * tokens[k] / size >= caps[k]}
        for k in over or open_:
            shares[k] = Fraction(caps[k]) if over else left * tokens[k] / size
        if not over:
            break
        left -= sum(caps[k] for k in over)
        open_ -= over
    return [shares[k] for k in sorted(shares)]


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_without_domains_the_answer_is_water_filling_inside_each_group(data):
    size = data.draw(st.integers(1, 12))
    rows = [
        (
            f"s{k:02}-{data.draw(st.sampled_from(['zh', 'en']))}",
            int(10 ** data.draw(st.floats(5, 12))),
            "web",
            0.0,
            data.draw(st.sampled_from([0.5, 1.0, 4.0])),
        )
        for k in range(size)
    ]
    found = inventory(*rows)
    caps = [most_samples(row[1], row[4], 100) for row in rows]
    chinese = [k for k in range(size) if found.additional[k]]
    english = [k for k in range(size) if not found.additional[k]]
    almr = data.draw(st.sampled_from([0.1, 0.33, 0.8])) if chinese and english else float(bool(chinese))
    most = solve(found, Target(almr, 100)).samples
    samples = data.draw(st.integers(max(1, most // 3), most))
    mixture = solve(found, Target(almr, 100), samples * 100)
    share = Fraction(repr(almr))
    for group, total in ((chinese, share * samples), (english, (1 - share) * samples)):
        twin = _pour([rows[k][1] for k in group], [caps[k] for k in group], total)
        for k, wanted in zip(group, twin, strict=True):
            assert abs(mixture.shares[k] - wanted / samples) < 1e-9
            assert abs(int(mixture.n[k]) - wanted) < 2
