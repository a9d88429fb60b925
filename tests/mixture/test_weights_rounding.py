"""Whole samples: sums and caps exact, nothing further from its real value than it must be."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mixer.mixture.rounding import Total, apportion, round_cells, settle

PARITY = np.array([False, True])


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


def _parts(cells, *groups):
    """Return which cells are of each group."""
    return [np.isin(np.arange(cells), group) for group in groups]


@settings(deadline=None, max_examples=80)
@example(sevenths=[0, 4, 18, 0, 0, 9, 4, 0], slack=0, raised=True)  # which of two domains misses decides about a source
@given(st.lists(st.integers(0, 30), min_size=8, max_size=8), st.integers(0, 1), st.booleans())
def test_no_table_of_whole_numbers_is_nearer(sevenths, slack, raised):
    """Beside every table there is: two domains with a share, of which the first holds two sources, and the rest."""
    wanted = np.array(sevenths) / 7
    wanted[7] = round((wanted[7] - wanted.sum() % 1) * 7) / 7 % 7
    total = round(wanted.sum())
    assume(abs(total - wanted.sum()) < 1e-9)
    additional = np.tile(PARITY, 4)
    caps = np.ceil(wanted - 1e-9).astype(np.int64) + slack
    first, second, fixed, between = _parts(8, [0, 1, 2, 3], [4, 5], [0, 1], [2, 3])
    real = [float(wanted[cells].sum()) for cells in (first, second, fixed, between)]
    floors = [int(np.floor(amount + 1e-9)) for amount in real]
    fractions = [amount - floor if amount - floor > 1e-9 else 0.0 for amount, floor in zip(real, floors, strict=True)]
    low = floors[3] + int(raised and fractions[3] > 0)
    totals = [
        *(
            Total(cells, floor, floor + (fraction > 0), fraction, important)
            for cells, floor, fraction, important in zip(
                (first, second, fixed), floors[:3], fractions[:3], (True, True, False), strict=True
            )
        ),
        Total(between, low, low + 5),
    ]
    top = round(wanted[additional].sum())
    assume(abs(top - wanted[additional].sum()) <= 0.5)

    def cost(table):
        missed = [0, 0]
        for part in totals[:3]:
            missed[not part.first] += abs(table[part.cells].sum() - part.low - part.fraction) > 0.5 + 1e-9
        return (*missed, float(((table - wanted) ** 2).sum()))

    tables = (
        np.floor(wanted + 1e-9).astype(np.int64) + steps
        for steps in product(*(range(1 + (1e-9 < value % 1 < 1 - 1e-9)) for value in wanted))
    )
    legal = [
        cost(table)
        for table in tables
        if table.sum() == total
        and table[additional].sum() == top
        and (table <= caps).all()
        and all(part.low <= table[part.cells].sum() <= part.high for part in totals)
    ]
    assume(legal)
    cells = round_cells(wanted, caps, additional, totals, total, top)
    assert int(cells.sum()) == total
    assert int(cells[additional].sum()) == top
    assert (cells <= caps).all() and (cells >= 0).all()
    assert all(part.low <= cells[part.cells].sum() <= part.high for part in totals)
    assert cost(cells)[:2] == min(legal)[:2]


def test_a_total_is_nearest_even_where_its_cells_would_round_the_other_way():
    wanted = np.array([3.3, 2.4, 4.7, 1.6])  # the first part has 5.7
    parts = _parts(4, [0, 1])
    cells = round_cells(wanted, np.full(4, 9), np.tile(PARITY, 2), [Total(parts[0], 5, 6, 0.7)], 12, 4)
    assert int(cells[:2].sum()) == 6
    assert (int(cells.sum()), int(cells[1] + cells[3])) == (12, 4)


def test_a_domain_comes_before_its_sources():
    wanted = np.array([10.4, 0, 10.4, 0, 29.2, 0])  # a domain of 20.8, of two sources that shall have 10.4 each
    domain, one, two = _parts(6, [0, 1, 2, 3], [0, 1], [2, 3])
    totals = [Total(domain, 20, 21, 0.8, first=True), Total(one, 10, 11, 0.4), Total(two, 10, 11, 0.4)]
    cells = round_cells(wanted, np.full(6, 99), np.tile(PARITY, 3), totals, 50, 0)
    assert cells.tolist() == [11, 0, 10, 0, 29, 0]


def test_a_total_may_be_held_from_one_side_only():
    wanted = np.array([10.4, 0, 19.6, 0])
    part = _parts(4, [0, 1])[0]
    for total, cells in ((Total(part, 11, 40), [11, 0, 19, 0]), (Total(part, 0, 10), [10, 0, 20, 0])):
        assert round_cells(wanted, np.full(4, 99), np.tile(PARITY, 2), [total], 30, 0).tolist() == cells


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
