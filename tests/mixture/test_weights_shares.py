"""The nearest shares beside slow twins, at the ends of the range, and when they cannot exist."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mixer.mixture.shares import Constraints, nearest_shares

DOMAINS = np.array([0, 0, 0, 1, 1])
LABEL = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
TOKENS = np.log([5.0, 3.0, 2.0, 4.0, 6.0])
FREE = np.ones(5)
NONE = np.empty(0)


def constraints(almr, upper=FREE, score=LABEL, column_shares=(0.5, 0.5), group=(-1,) * 5, low=NONE, high=NONE):
    """Return constraints on five datasets in two columns."""
    floats = [np.asarray(values, float) for values in (upper, column_shares, low, high, score)]
    upper, column_shares, low, high, score = floats
    return Constraints(upper, DOMAINS, column_shares, np.array(group), low, high, score, almr)


def _twin(preferred, given):
    """Adjust one multiplier after the other by bisection until no constraint moves: slow, but plain.

    The multiplier of a group is 0 where its bounds do not hold it.
    """
    preferred = preferred / preferred.sum()
    rows = [np.where(given.column == g, 1.0, 0.0) for g in range(len(given.column_shares))]
    rows += [np.where(given.group == h, 1.0, 0.0) for h in range(len(given.group_low))]
    rows.append(given.score)
    low = [*given.column_shares, *given.group_low, given.almr]
    high = [*given.column_shares, *given.group_high, given.almr]
    multipliers = np.zeros(len(rows))

    def shares():
        exponent = sum(m * row for m, row in zip(multipliers, rows, strict=True))
        return np.minimum(given.upper, preferred * np.exp(exponent))

    for _ in range(300):
        for k, row in enumerate(rows):
            multipliers[k] = 0.0
            amount = shares() @ row
            if low[k] <= amount <= high[k]:
                continue
            wanted = low[k] if amount < low[k] else high[k]
            below, above = -60.0, 60.0
            for _ in range(50):
                multipliers[k] = (below + above) / 2
                below, above = (multipliers[k], above) if shares() @ row < wanted else (below, multipliers[k])
    return shares()


def _random_problem(data, *, grouped):
    """Draw constraints that some shares fulfil: those shares, the preferred ones and the constraints."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    preferred = random.uniform(0.05, 1, 5)
    inside = random.uniform(0.05, 1, 5)
    inside /= inside.sum()
    score = LABEL if data.draw(st.booleans()) else random.uniform(0, 1, 5)
    upper = inside * random.uniform(1.02, 3, 5)
    amounts = np.bincount(DOMAINS, inside)
    if not grouped:
        return inside, preferred, constraints(float(inside @ score), upper, score, amounts)
    group = np.array([0, 0, -1, 1, -1]) if data.draw(st.booleans()) else np.array([0, 1, 1, 2, 2])
    sums = np.array([inside[group == h].sum() for h in range(group.max() + 1)])
    low, high = sums * random.choice([0, 0.5, 0.98, 1], len(sums)), sums * random.choice([1, 1.02, 2, 20], len(sums))
    return inside, preferred, constraints(float(inside @ score), upper, score, amounts, group, low, high)


@settings(deadline=None, max_examples=6)
@given(st.data())
def test_the_slow_twin_finds_the_same_shares(data):
    _, preferred, problem = _random_problem(data, grouped=data.draw(st.booleans()))
    found = nearest_shares(np.log(preferred), problem)
    assert found.residual < 1e-11
    slow = _twin(preferred, problem)
    unfinished = np.abs(np.bincount(DOMAINS, slow) - problem.column_shares).max()  # slow where rows are alike
    groups = problem.group >= 0
    sums = np.bincount(problem.group[groups], slow[groups], len(problem.group_low))
    missed = np.maximum(problem.group_low - sums, sums - problem.group_high).max(initial=0)
    unfinished = max(unfinished, missed, abs(slow @ problem.score - problem.almr))
    assume(unfinished < 1e-6)
    assert np.abs(found.shares - slow).max() < 1e-6 + 100 * unfinished


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_general_solver_finds_nothing_nearer(data):
    """Beside SciPy's SLSQP, which knows nothing of columns, vessels and tilts."""
    inside, preferred, problem = _random_problem(data, grouped=True)
    log_preferred = np.log(preferred / preferred.sum())
    found = nearest_shares(log_preferred, problem)

    def divergence(shares):
        return float((shares * (np.log(np.maximum(shares, 1e-300)) - log_preferred)).sum())

    rows = np.array([DOMAINS == 0, DOMAINS == 1, problem.score], float)
    groups = np.array([problem.group == h for h in range(len(problem.group_low))], float)
    rival = minimize(
        divergence,
        inside,
        jac=lambda shares: np.log(np.maximum(shares, 1e-300)) - log_preferred + 1,
        method="SLSQP",
        bounds=[(1e-12, cap) for cap in problem.upper],
        constraints=[
            {"type": "eq", "fun": lambda w: rows @ w - [*problem.column_shares, problem.almr], "jac": lambda w: rows},
            {"type": "ineq", "fun": lambda w: groups @ w - problem.group_low, "jac": lambda w: groups},
            {"type": "ineq", "fun": lambda w: problem.group_high - groups @ w, "jac": lambda w: -groups},
        ],
        options={"ftol": 1e-13, "maxiter": 500},
    )
    missed = np.abs(rows @ rival.x - [*problem.column_shares, problem.almr]).max()
    nearest = divergence(found.shares)
    assert nearest <= divergence(inside) + 1e-12
    if rival.success:  # which it claims of other points, too, where bounds leave little room
        assert nearest <= rival.fun + 1e-8 + 100 * missed
        same = rival.fun <= nearest + 1e-8
        event(f"the same: {same}")
        assert not same or np.abs(found.shares - rival.x).max() < 1e-3


def test_without_constraints_that_pull_the_preferred_shares_are_kept():
    found = nearest_shares(TOKENS, constraints(0.45))
    assert found.tilt == 0
    assert found.shares == pytest.approx(np.exp(TOKENS) / 20, abs=1e-15)


@pytest.mark.parametrize(
    ("almr", "tilt", "shares"),
    [
        (1.0, math.inf, [0.5, 0, 0, 0.5, 0]),
        (0.0, -math.inf, [0, 0.3, 0.2, 0, 0.5]),
    ],
)
def test_at_the_ends_of_the_range_scores_decide_and_proportion_among_equals(almr, tilt, shares):
    found = nearest_shares(TOKENS, constraints(almr))
    assert found.tilt == tilt
    assert found.shares == pytest.approx(shares, abs=1e-15)
    assert found.residual < 1e-14


def test_an_end_that_caps_make_needs_no_infinite_tilt():
    found = nearest_shares(TOKENS, constraints(0.3, [0.1, 1.0, 1.0, 0.2, 1.0]))
    assert found.shares == pytest.approx([0.1, 0.24, 0.16, 0.2, 0.3], abs=1e-15)


def test_a_group_that_would_fall_short_is_held_and_the_rest_shares_what_is_left():
    found = nearest_shares(TOKENS, constraints(0.45, group=[-1, -1, 0, -1, -1], low=[0.2], high=[1]))
    assert found.shares[2] == pytest.approx(0.2, abs=1e-15)
    assert found.shares @ LABEL == pytest.approx(0.45, abs=1e-15)
    # The Chinese sources keep one tilt: each stands to the free one beside it as the tokens do, times the same factor.
    assert found.shares[0] / found.shares[1] / (5 / 3) == pytest.approx(found.shares[3] / found.shares[4] / (4 / 6))


def test_at_the_end_of_the_range_groups_keep_what_they_must_have():
    group = [0, 0, 1, -1, -1]
    given = constraints(0.8, group=group, low=[0.1, 0.2], high=[0.3, 1.0])
    found = nearest_shares(TOKENS, given)  # the first column: 0.3 at most of its Chinese group, so 0.2 of the other
    assert found.tilt == math.inf
    assert found.shares == pytest.approx([0.3, 0, 0.2, 0.5, 0], abs=1e-14)
    with pytest.raises(ArithmeticError):
        nearest_shares(TOKENS, replace(given, almr=0.81))
    lowest = nearest_shares(TOKENS, replace(given, almr=0.0))
    assert lowest.shares == pytest.approx([0, 0.3, 0.2, 0, 0.5], abs=1e-14)


def test_groups_that_are_all_fixed_leave_no_choice():
    given = constraints(0.6, group=[0, 1, 1, 2, 3], low=[0.3, 0.2, 0.3, 0.2], high=[0.3, 0.2, 0.3, 0.2])
    found = nearest_shares(TOKENS, given)
    assert found.shares == pytest.approx([0.3, 0.12, 0.08, 0.3, 0.2], abs=1e-15)


def test_measured_scores_that_hardly_differ_are_told_apart():
    score = np.array([0.9, 0.9 + 1e-12, 0.1, 0.9 + 2e-12, 0.1])
    found = nearest_shares(TOKENS, constraints(0.9, score=score))
    assert float(found.shares @ score) == pytest.approx(0.9, abs=1e-12)


def test_sizes_may_differ_by_many_orders():
    preferred = np.log([1e13, 1e5, 1e5, 1e13, 1e5])
    found = nearest_shares(preferred, constraints(0.999999, [1.0, 1e-9, 2e-9, 1.0, 1.0]))
    assert found.residual < 1e-12
    assert np.bincount(DOMAINS, found.shares) == pytest.approx([0.5, 0.5], abs=1e-15)


@pytest.mark.parametrize(("upper", "almr"), [(np.full(5, 0.1), 0.2), (FREE, 1.1), (FREE, -0.1)])
def test_an_impossible_problem_is_never_answered(upper, almr):
    with pytest.raises(ArithmeticError, match="miss the conditions"):
        nearest_shares(TOKENS, constraints(almr, upper))


def test_what_is_not_the_nearest_is_not_answered(monkeypatch):
    """The conditions are checked apart from how the shares are found: spoil the filling, and nothing comes out."""
    spoilt = nearest_shares(TOKENS, constraints(0.45)).shares + np.array([0.0, 0.01, -0.01, 0.0, 0.0])
    shares = {0: spoilt[:3], 1: spoilt[3:]}
    monkeypatch.setattr("mixer.mixture.shares._column", lambda rank, *_: shares[len(rank) == 2])
    with pytest.raises(ArithmeticError, match="miss the conditions"):
        nearest_shares(TOKENS, constraints(0.45))
