"""Any inventory, any target: either every promise holds, or the message says why not and what would hold."""

import math
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from mixer.errors import InfeasibleError
from mixer.mixture.explain import suggest
from mixer.mixture.feasibility import pose
from mixer.mixture.inventory import most_samples
from mixer.mixture.weights import Target, solve
from tests.mixture.inventories import REALISTIC, inventories, inventory, targets, wishes


def _score(found, target):
    return found.additional.astype(float) if target.basis == "label" else found.measured


def _rows(found, target, *, almr):
    """Write the equality constraints on the shares as a matrix: all, domains, and the ratio if asked for."""
    rows, right = [np.ones(len(found.names))], [1.0]
    for name, share in target.domains.items():
        rows.append((np.array(found.domain) == name).astype(float))
        right.append(share)
    if almr:
        rows.append(_score(found, target))
        right.append(target.almr)
    return np.array(rows), np.array(right)


def _groups(found, target):
    """Write the bounds of sources as a matrix of rows, their smallest and their largest shares."""
    rows = [(np.array(found.source) == name).astype(float) for name in target.shares]
    low, high = (np.array([bounds[side] for bounds in target.shares.values()]) for side in (0, 1))
    return np.array(rows).reshape(-1, len(found.names)), low, high


def _program(cost, found, target, samples, *, almr, caps=1.0, slack=0.0):
    """Ask a general solver for the best shares."""
    matrix, right = _rows(found, target, almr=almr)
    groups, low, high = _groups(found, target)
    upper = np.minimum(np.array(_caps(found, target), float) / samples * caps, 1.0)
    return linprog(
        cost,
        A_eq=matrix,
        b_eq=right,
        A_ub=np.concatenate((groups, -groups)) if len(groups) else None,
        b_ub=np.concatenate((high + slack, slack - low)) if len(groups) else None,
        bounds=np.c_[0 * upper, upper],
    )


def _preferred(found, target):
    """Slow twin of the strategies: what a source should have, shared out in proportion to tokens inside it."""
    total = {name: sum(found.tokens[k] for k, s in enumerate(found.source) if s == name) for name in found.source}
    wish = {
        "proportional": lambda name: total[name],
        "temperature": lambda name: math.exp(math.log(max(total[name], 1)) / target.temperature),
        "unimax": lambda name: 1.0,
        "weights": lambda name: target.weights[name],
    }[target.strategy]
    shares = np.array([wish(s) * (found.tokens[k] / max(total[s], 1)) for k, s in enumerate(found.source)], float)
    return shares / shares.sum()


def _caps(found, target):
    return [
        most_samples(int(t), float(e), target.sequence_length)
        for t, e in zip(found.tokens, found.max_epochs, strict=True)
    ]


def _divergence(shares, preferred):
    positive = shares > 0
    return float((shares[positive] * np.log(shares[positive] / preferred[positive])).sum())


def _check_promises(found, target, mixture):
    samples, caps = mixture.samples, _caps(found, target)
    # shares
    matrix, right = _rows(found, target, almr=True)
    assert np.abs(matrix @ mixture.shares - right).max() < 2.1e-9  # the target may be 1e-9 outside the range
    assert mixture.shares.min() >= 0
    for name, (low, high) in target.shares.items():
        inside = np.array(found.source) == name
        share = float(mixture.shares[inside].sum())
        assert low - 1e-9 <= share <= high + 1e-9 or high - low < 2 / samples + 2e-9
        assert low * samples - 1 - 1e-9 * samples < int(mixture.n[inside].sum()) < high * samples + 1 + 1e-9 * samples
    assert all(share * samples <= cap * (1 + 1e-9) for share, cap in zip(mixture.shares, caps, strict=True))
    # whole samples
    assert int(mixture.n.sum()) == samples
    for n, tokens, epochs in zip(mixture.n.tolist(), found.tokens.tolist(), found.max_epochs.tolist(), strict=True):
        assert n >= 0
        assert n == 0 or n * target.sequence_length + 1 <= Fraction(epochs) * tokens
    chinese = int(mixture.n[found.additional].sum())
    if target.basis == "label":
        assert abs(chinese - Fraction(repr(target.almr)) * samples) <= Fraction(1, 2)
    else:
        assert abs(mixture.measured - target.almr) <= len(found.names) / samples + 1e-9
    for name, share in target.domains.items():
        domain = int(mixture.n[np.array(found.domain) == name].sum())
        scaled = 1e-9 * samples if sum(target.domains.values()) > 0.999 else 0  # shares that almost sum to 1
        assert abs(domain - Fraction(repr(share)) * samples) < 1 + scaled
    steps = np.abs(mixture.n - mixture.shares * samples).max()
    assert steps < (1 if target.basis == "label" else 2) + 1e-12 * samples + 1e-9
    # what is told
    assert mixture.realised == chinese / samples
    assert mixture.weights.tolist() == [n / samples for n in mixture.n.tolist()]
    assert mixture.samples_max >= samples
    assert set(mixture.left_out) == {name for name, n in zip(found.names, mixture.n, strict=True) if n == 0}


@settings(deadline=None, max_examples=300)
@given(wishes())
@example((REALISTIC, Target(0.33, 2048, "label", {"math": 0.02, "code": 0.1}), 1_700_000_000_000 // 4))
def test_every_promise_holds_or_the_refusal_helps(wish):
    found, target, tokens = wish
    try:
        mixture = solve(found, target, tokens)
    except InfeasibleError as error:
        event("infeasible")
        for way in _follow(found, target, tokens, error):
            event(f"{way} suggested")
        return
    event("feasible")
    _check_promises(found, target, mixture)
    if tokens is None:
        # one sample more is not possible
        with pytest.raises(InfeasibleError):
            solve(found, target, (mixture.samples + 1) * target.sequence_length)


def _follow(found, target, tokens, error):
    """Follow every suggestion of the message to the letter; return which there were."""
    ways = []
    assert error.exit_code == 3
    assert error.remedy
    if match := re.search(r"--almr (\S+?)(;| |$)", error.remedy):
        almr = float(match[1])
        ways.append("almr")
        _check_promises(found, replace(target, almr=almr), solve(found, replace(target, almr=almr), tokens))
    if match := re.search(r"--tokens (\d+)", error.remedy):
        ways.append("tokens")
        assert tokens is not None and int(match[1]) < tokens
        _check_promises(found, target, solve(found, target, int(match[1])))
        with pytest.raises(InfeasibleError):
            solve(found, target, int(match[1]) + target.sequence_length)
    if match := re.search(r"max_epochs: (\S+) for every source", error.remedy):
        ways.append("epochs")
        cap = float(match[1])
        wider = replace(found, max_epochs=np.full(len(found.names), cap))
        _check_promises(wider, target, solve(wider, target, tokens or target.sequence_length))
        narrower = replace(found, max_epochs=np.full(len(found.names), cap * 0.995))
        with pytest.raises(InfeasibleError):
            solve(narrower, target, tokens or target.sequence_length)
    return ways


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_nothing_feasible_is_nearer(data):
    found = data.draw(inventories(12))
    target = data.draw(targets(found))
    try:
        most = solve(found, target).samples
    except InfeasibleError:
        return
    samples = data.draw(st.integers(max(1, most // 4), most))
    mixture = solve(found, target, samples * target.sequence_length)
    preferred = _preferred(found, target)
    nearest = _divergence(mixture.shares, preferred)
    # Smallest and largest shares are in whole samples where possible: so they are for rivals, then.
    bounds = dict(target.shares)
    for name, (low, high) in target.shares.items():
        share = float(mixture.shares[np.array(found.source) == name].sum())
        inner = math.ceil(low * samples) / samples, math.floor(high * samples) / samples
        if low < high and inner[0] - 1e-12 <= share <= inner[1] + 1e-12:
            bounds[name] = inner
    target = replace(target, shares=bounds)
    matrix, right = _rows(found, target, almr=True)
    groups, low, high = _groups(found, target)
    upper = np.minimum(np.array(_caps(found, target), float) / samples, 1.0)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    for _ in range(4):
        corner = _program(random.normal(size=len(upper)), found, target, samples, almr=True)
        rival = np.clip(corner.x, 0, upper) if corner.x is not None else mixture.shares
        missed = [np.abs(matrix @ rival - right), groups @ rival - high, low - groups @ rival]
        if max(part.max(initial=0) for part in missed) > 1e-13:  # only within the solver's own, wider tolerance
            continue
        event("rival")
        for part in (1.0, 0.1, 1e-3):
            assert _divergence((1 - part) * mixture.shares + part * rival, preferred) >= nearest - 1e-9 * part - 1e-13


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_exact_range_is_that_of_the_linear_program(data):
    found = data.draw(inventories(10))
    target = data.draw(targets(found))
    samples = data.draw(st.integers(1, max(1, 2 * int(found.tokens.sum()) // target.sequence_length)))
    exact = pose(found, np.ones(len(found.names), np.bool_), target).sum_range(samples)
    score = _score(found, target)
    least, greatest = (_program(sign * score, found, target, samples, almr=False) for sign in (1, -1))
    if exact is None:
        # the solver's tolerance may admit what is short by less
        narrower = _program(score, found, target, samples, almr=False, caps=1 - 1e-6, slack=-1e-6)
        assert narrower.status == 2 or least.status == 2
    elif least.status == 0 and greatest.status == 0:
        assert float(exact[0] / samples) == pytest.approx(least.fun, abs=1e-5)
        assert float(exact[1] / samples) == pytest.approx(-greatest.fun, abs=1e-5)
    else:  # exactly feasible, but too narrow for the solver
        assert _program(score, found, target, samples, almr=False, caps=1 + 1e-6, slack=1e-6).status == 0


@pytest.mark.parametrize(
    ("almr", "tokens", "extra", "causes", "ways"),
    [
        (
            0.33,
            1_700 * 10**9,
            {"domains": {"math": 0.08}},
            ["domain math needs 66,406,250 samples", "gsm-en (2 epochs of 10,000,000,000 tokens: 9,765,624 samples)"],
            ["--tokens", "max_epochs"],
        ),
        (
            0.9,
            5 * 10**12,
            {},
            ["at most 0.8016 is possible", "wanjuan-zh (4 epochs"],
            ["--almr 0.8015 ", "--tokens", "max_epochs"],
        ),
        (
            0.1,
            16 * 10**12,
            {},
            ["at least 0.19", "dolma-en (4 epochs"],
            ["--almr 0.19", "--tokens", "max_epochs"],
        ),
        (
            0.9,
            None,
            {"domains": {"code": 0.15}},
            ["at most 0.85 is possible with the domain shares code 0.15"],
            ["--almr 0.85"],
        ),
        (
            0.99,
            None,
            {"basis": "measured"},
            ["the measured additional shares of the datasets lie between 0 and 0.97"],
            ["--almr 0.97"],
        ),
        (
            0.33,
            None,
            {"domains": {"book": 0.1}},
            ["domain book shall be 0.1 of the tokens, but has no dataset"],
            ["change mixture.domains"],
        ),
        (
            0.33,
            None,
            {"domains": {"web": 0.5, "math": 0.1, "code": 0.1}},
            ["sum to 0.7, but no other domain has a dataset"],
            ["change mixture.domains"],
        ),
        (
            0.33,
            1_700 * 10**9,
            {"shares": {"gsm": (0.1, 1.0)}},
            ["source gsm shall be at least 0.1 of the tokens and needs 83,007,813 samples", "9,765,624 (0.0117647)"],
            ["--tokens", "max_epochs"],
        ),
        (
            0.33,
            None,
            {"shares": {"wiki": (0.1, 0.1)}},
            ["source wiki shall be 0.1 of the tokens, but has no dataset"],
            ["shares of sources"],
        ),
        (
            0.33,
            None,
            {"shares": {"dolma": (0.7, 0.7)}},
            ["at most 0.3 is possible with the shares of sources dolma 0.7"],
            ["--almr 0.3"],
        ),
        (
            0.33,
            None,
            {"shares": {"gsm": (0.05, 1.0), "mathpile": (0.05, 1.0)}, "domains": {"math": 0.08}},
            ["gsm (min_share 0.05), mathpile (min_share 0.05) must have 0.1", "domain math shall be 0.08"],
            ["shares of sources"],
        ),
        (
            0.33,
            None,
            {"shares": {"gsm": (0.0, 0.05), "mathpile": (0.0, 0.02)}, "domains": {"math": 0.08}},
            ["the caps on epochs and the shares of sources (gsm (max_share 0.05), mathpile (max_share 0.02)) allow"],
            ["shares of sources"],
        ),
        (
            0.9,
            1_700 * 10**9,
            {"shares": {"wanjuan": (0.0, 0.85), "dolma": (0.1, 1.0)}},
            ["at most", "mathpile-zh (4 epochs", "wanjuan (max_share 0.85)"],
            ["--almr", "max_epochs"],
        ),
        (
            0.33,
            40 * 10**12,
            {},
            ["the mixture needs 19,531,250,000 samples"],
            ["--tokens", "max_epochs"],
        ),
    ],
)
def test_the_message_names_what_binds_and_the_ways_out(almr, tokens, extra, causes, ways):
    with pytest.raises(InfeasibleError) as refusal:
        solve(REALISTIC, Target(almr, 2048, **extra), tokens)
    for cause in causes:
        assert cause in refusal.value.message
    for way in ways:
        assert way in refusal.value.remedy
    _follow(REALISTIC, Target(almr, 2048, **extra), tokens, refusal.value)


@pytest.mark.parametrize(("language", "almr", "group"), [("en", "0.0", "zh"), ("zh", "1.0", "a base language")])
def test_a_group_whose_documents_were_all_dropped_is_named(language, almr, group):
    found = inventory((f"a-{language}", 10**9, "web", 0.5, 4), (f"tiny-{group[:2]}", 200, "web", 0.5, 4))
    with pytest.raises(InfeasibleError, match=f"no dataset in {group} is left") as refusal:
        solve(found, Target(0.33, 2048, language="zh"), None, np.array([True, False]))
    assert f"--almr {almr}" in refusal.value.remedy
    assert f"left out, shorter than 64 sequences: tiny-{group[:2]}" in refusal.value.message


def test_nothing_at_all_is_explained():
    for found in (inventory(), inventory(("a-zh", 0, "web", 1, 4))):
        with pytest.raises(InfeasibleError, match="every document was dropped"):
            solve(found, Target(0.33, 2048))


def test_many_capped_datasets_are_counted_and_not_all_listed():
    found = inventory(*((f"s{k:02}-zh", 10**6, "web", 1, 1) for k in range(20)), ("a-en", 10**12, "web", 0, 4))
    with pytest.raises(InfeasibleError, match="and 14 more"):
        solve(found, Target(0.33, 2048), 10**9)


def test_a_bound_that_no_short_decimal_can_write_is_suggested_all_the_same():
    found = inventory(("a-zh", 1001, "web", 1, 1), ("b-en", 2001, "web", 0, 1))
    ways = suggest(found, np.ones(2, np.bool_), Target(0.9, 100), 30)
    assert ways.almr == pytest.approx(1 / 3, abs=1e-9)
    assert solve(found, replace(Target(0.9, 100), almr=ways.almr), 3000).n.tolist() == [10, 20]
