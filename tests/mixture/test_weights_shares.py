"""The nearest shares beside a slow twin, at the ends of the range, and when they cannot exist."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.mixture.shares import nearest_shares

DOMAINS = np.array([0, 0, 0, 1, 1])
LABEL = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
TOKENS = np.array([5.0, 3.0, 2.0, 4.0, 6.0])
FREE = np.ones(5)


def _twin(preferred, upper, column, column_shares, score, almr):
    """Adjust one multiplier after the other by bisection until no constraint moves: slow, but plain."""
    preferred = preferred / preferred.sum()
    rows = [np.where(column == g, 1.0, 0.0) for g in range(len(column_shares))] + [score]
    right = [*column_shares, almr]
    multipliers = np.zeros(len(rows))

    def shares():
        return np.minimum(upper, preferred * np.exp(sum(m * row for m, row in zip(multipliers, rows, strict=True))))

    for _ in range(300):
        for k, (row, wanted) in enumerate(zip(rows, right, strict=True)):
            low, high = -60.0, 60.0
            for _ in range(50):
                multipliers[k] = (low + high) / 2
                low, high = (multipliers[k], high) if shares() @ row < wanted else (low, multipliers[k])
    return shares()


@settings(deadline=None, max_examples=6)
@given(st.data())
def test_the_slow_twin_finds_the_same_shares(data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    preferred = random.uniform(0.05, 1, 5)
    inside = random.uniform(0.05, 1, 5)  # some feasible shares, from which the constraints are made
    inside /= inside.sum()
    score = LABEL if data.draw(st.booleans()) else random.uniform(0, 1, 5)
    upper = inside * random.uniform(1.02, 3, 5)
    amounts = np.bincount(DOMAINS, inside)
    problem = (preferred, upper, DOMAINS, amounts, score, float(inside @ score))
    found = nearest_shares(*problem)
    assert found.residual < 1e-12
    slow = _twin(*problem)
    unfinished = np.abs(np.bincount(DOMAINS, slow) - amounts).max()  # it converges slowly where rows are alike
    assert np.abs(found.shares - slow).max() < 1e-6 + 100 * unfinished


def test_without_constraints_that_pull_the_preferred_shares_are_kept():
    found = nearest_shares(TOKENS, FREE, DOMAINS, np.array([0.5, 0.5]), LABEL, 0.45)
    assert found.tilt == 0
    assert found.shares == pytest.approx(TOKENS / 20, abs=1e-15)


@pytest.mark.parametrize(
    ("almr", "tilt", "shares"),
    [
        (1.0, math.inf, [0.5, 0, 0, 0.5, 0]),
        (0.0, -math.inf, [0, 0.3, 0.2, 0, 0.5]),
    ],
)
def test_at_the_ends_of_the_range_scores_decide_and_proportion_among_equals(almr, tilt, shares):
    found = nearest_shares(TOKENS, FREE, DOMAINS, np.array([0.5, 0.5]), LABEL, almr)
    assert found.tilt == tilt
    assert found.shares == pytest.approx(shares, abs=1e-15)
    assert found.residual < 1e-14


def test_an_end_that_caps_make_needs_no_infinite_tilt():
    upper = np.array([0.1, 1.0, 1.0, 0.2, 1.0])
    found = nearest_shares(TOKENS, upper, DOMAINS, np.array([0.5, 0.5]), LABEL, 0.3)
    assert found.shares == pytest.approx([0.1, 0.24, 0.16, 0.2, 0.3], abs=1e-15)


def test_measured_scores_that_hardly_differ_are_told_apart():
    score = np.array([0.9, 0.9 + 1e-12, 0.1, 0.9 + 2e-12, 0.1])
    found = nearest_shares(TOKENS, FREE, DOMAINS, np.array([0.5, 0.5]), score, 0.9)
    assert float(found.shares @ score) == pytest.approx(0.9, abs=1e-12)


def test_sizes_may_differ_by_many_orders():
    preferred = np.array([1e13, 1e5, 1e5, 1e13, 1e5])
    upper = np.array([1.0, 1e-9, 2e-9, 1.0, 1.0])
    found = nearest_shares(preferred, upper, DOMAINS, np.array([0.5, 0.5]), LABEL, 0.999999)
    assert found.residual < 1e-12
    assert np.bincount(DOMAINS, found.shares) == pytest.approx([0.5, 0.5], abs=1e-15)


@pytest.mark.parametrize(("upper", "almr"), [(np.full(5, 0.1), 0.2), (FREE, 1.1), (FREE, -0.1)])
def test_an_impossible_problem_is_never_answered(upper, almr):
    with pytest.raises(ArithmeticError, match="miss the conditions"):
        nearest_shares(TOKENS, upper, DOMAINS, np.array([0.5, 0.5]), LABEL, almr)
