"""Whole samples: sums and caps exact, nothing further from its real value than it must be."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixer.mixture.rounding import apportion, round_cells, settle


def test_the_largest_remainders_are_served_first_and_ties_in_order():
    caps = np.full(4, 10)
    assert apportion(10, np.array([2.5, 2.5, 2.5, 2.5]), caps).tolist() == [3, 3, 2, 2]
    assert apportion(10, np.array([1.2, 1.9, 3.3, 3.6]), caps).tolist() == [1, 2, 3, 4]
    assert apportion(10, np.array([1.2, 1.9, 3.3, 3.6]), np.array([9, 1, 9, 9])).tolist() == [1, 1, 4, 4]


def test_float_dust_at_large_counts_does_no_harm():
    big = 10**12
    assert apportion(3 * big, np.array([big + 2e-4, big - 2e-4, float(big)]), np.full(3, big)).tolist() == [big] * 3
    assert apportion(5, np.array([2.0, 4.0]), np.array([9, 9])).tolist() == [1, 4]


def test_what_does_not_fit_under_the_caps_is_a_defect():
    with pytest.raises(ArithmeticError, match="do not fit"):
        apportion(5, np.array([2.5, 2.5]), np.array([2, 2]))


@given(st.data())
def test_shares_of_any_kind_add_up_under_their_caps(data):
    caps = np.array(data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=12)))
    total = data.draw(st.integers(0, int(caps.sum())))
    wanted = np.array([data.draw(st.floats(0, float(cap))) for cap in caps])
    given_ = apportion(total, wanted, caps)
    assert int(given_.sum()) == total
    assert (given_ >= 0).all() and (given_ <= caps).all()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_table_of_whole_numbers_is_nearer(data):
    """Beside every table there is: three domains by two groups, the first two domains with a share."""
    wanted = np.array([data.draw(st.integers(0, 30)) / 7 for _ in range(6)])
    wanted[5] += -wanted.sum() % 1
    wanted[5] = round(wanted[5] * 7) / 7
    total = round(wanted.sum())
    additional = np.array([False, True] * 3)
    column = np.array([0, 0, 1, 1, -1, -1])
    caps = np.ceil(wanted).astype(np.int64) + data.draw(st.integers(0, 1))
    amounts = [wanted[:2].sum(), wanted[2:4].sum()]
    floors = np.floor(np.array(amounts) + 1e-9).astype(np.int64)
    fractions = np.maximum(np.array(amounts) - floors, 0)
    fractions[fractions < 1e-9] = 0
    top = round(wanted[additional].sum())
    assume(abs(top - wanted[additional].sum()) <= 0.5)
    cells = round_cells(wanted, caps, additional, column, floors, fractions, total, top)
    assert int(cells.sum()) == total
    assert int(cells[additional].sum()) == top
    assert (cells <= caps).all() and (cells >= 0).all()

    def cost(table):
        sums = np.array([table[0] + table[1], table[2] + table[3]])
        return float(((table - wanted) ** 2).sum() + 28 * ((sums - amounts) ** 2).sum())

    best = min(
        cost(table)
        for steps in product(*(range(1 + (value % 1 > 0)) for value in wanted))
        if (table := np.floor(wanted).astype(np.int64) + steps).sum() == total
        and table[additional].sum() == top
        and (table <= caps).all()
        and all(
            low <= table[2 * g] + table[2 * g + 1] <= low + (fraction > 0)
            for g, (low, fraction) in enumerate(zip(floors, fractions, strict=True))
        )
    )
    assert cost(cells) == pytest.approx(best, abs=1e-5)


def test_the_domain_total_is_nearest_even_where_its_cells_would_round_the_other_way():
    wanted = np.array([3.3, 2.4, 4.7, 1.6])  # the first domain has 5.7
    cells = round_cells(
        wanted,
        np.full(4, 9),
        np.array([False, True] * 2),
        np.array([0, 0, -1, -1]),
        np.array([5]),
        np.array([0.7]),
        12,
        4,
    )
    assert int(cells[:2].sum()) == 6
    assert (int(cells.sum()), int(cells[1] + cells[3])) == (12, 4)


def test_settling_brings_a_measured_sum_nearer_inside_domains_and_caps():
    score = np.array([0.9, 0.1, 0.5, 0.9])
    wanted = np.array([10.5, 10.5, 10.0, 10.0])
    start = np.array([11, 10, 10, 10])
    goal = float(wanted @ score)
    domain = np.array([0, 0, 0, 1])
    settled = settle(start, wanted, np.full(4, 20), domain, score, goal)
    assert settled.tolist() == [10, 10, 11, 10]
    assert settle(start, wanted, np.full(4, 10), domain, score, goal)[1:].max() == 10
    assert start.tolist() == [11, 10, 10, 10]
    assert settle(np.array([5]), np.array([5.0]), np.array([5]), np.array([0]), np.array([1.0]), 4.5).tolist() == [5]
