"""Frontiers that are known are found, within the interval that is stated; what is doubtful is said."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import RBFInterpolator
from scipy.optimize import minimize_scalar

from mixer.errors import UsageError
from mixer.mixture.frontier.choice import Points, choose
from mixer.mixture.frontier.lines import Line, crossings, loss_lines, metric_lines, peaks, rate, unscaled
from mixer.mixture.frontier.paper import LOSS_LINE, METRIC_LINE, published_choice
from mixer.mixture.frontier.surface import Region, fit
from tests.mixture.sweeps import QUADRATIC, REGION, SHAPES, sweep

GRID = np.column_stack([part.ravel() for part in np.meshgrid(np.linspace(-0.5, 0.5, 5), np.linspace(-0.5, 0.5, 9))])
ONES = np.ones(len(GRID))


def test_the_published_lines_cross_where_the_paper_says():
    almr, lr = published_choice()
    assert f"{almr:.2%}" == "32.65%"
    assert rate(lr) == "9.6e-10"
    assert round(almr, 2) == 0.33
    assert str(METRIC_LINE) == "ALMR = 116.67 log10(LR) + 1085.00"
    assert str(LOSS_LINE) == "ALMR = -0.33 log10(LR) + 29.67"


def test_only_the_decimal_logarithm_makes_the_published_numbers_meet():
    logarithm, almr = METRIC_LINE.meets(LOSS_LINE)
    assert round(almr, 2) == 0.33
    assert rate(10**logarithm) == "9.6e-10"
    assert np.exp(logarithm) > 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_without_noise_the_choice_is_where_the_frontiers_cross(shape):
    found = choose(sweep(SHAPES[shape], 0, 0), resamples=20)
    logarithm, almr = SHAPES[shape].crossing
    assert found.almr.value == pytest.approx(almr, abs=1e-4 if shape == "quadratic" else 0.01)
    assert np.log10(found.lr.value) == pytest.approx(logarithm, abs=1e-4 if shape == "quadratic" else 0.03)
    assert found.warnings == ()


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_interval_holds_the_truth_as_often_as_it_says(shape, noise):
    inside, errors, refused = [], [], 0
    logarithm, almr = SHAPES[shape].crossing
    for seed in range(40):
        found = choose(sweep(SHAPES[shape], noise, seed), resamples=200)
        if found.almr is None:
            refused += bool(found.warnings)
            continue
        low, high = np.log10([found.lr.low, found.lr.high])
        inside.append([found.almr.low <= almr <= found.almr.high, low <= logarithm <= high])
        errors.append([found.almr.value - almr, np.log10(found.lr.value) - logarithm])
    assert len(inside) + refused == 40
    assert refused <= (2 if noise > 0.1 else 0)
    # of 40 intervals that hold the truth with 95 %, fewer than 33 do so once in a thousand times
    assert (np.mean(inside, axis=0) >= 33 / 40).all()
    assert (np.abs(np.median(errors, axis=0)) < [0.02, 0.05]).all()


def test_more_noise_makes_a_wider_interval():
    widths = [np.ptp([f.almr.low, f.almr.high]) for f in (choose(sweep(QUADRATIC, n, 1)) for n in (0.02, 0.1, 0.3))]
    assert widths[0] < widths[1] < widths[2]


def test_the_same_seed_gives_the_same_numbers_and_another_only_another_interval():
    points = sweep(QUADRATIC, 0.1, 5)
    first, again, other = choose(points, 7), choose(points, 7), choose(points, 8)
    assert (first.almr, first.lr) == (again.almr, again.lr)
    assert first.almr.value == other.almr.value
    assert first.almr.low != other.almr.low


def test_the_order_of_the_runs_does_not_matter(tmp_path):
    from mixer.mixture.frontier.choice import collect
    from mixer.mixture.frontier.runs import read_runs

    points = sweep(QUADRATIC, 0.1, 5)
    rows = [
        f"{a!r},{10**x!r},{loss!r},{p!r}"
        for (x, a), loss, p in zip(points.where.tolist(), points.loss, points.performance, strict=True)
    ]
    results = []
    for number, order in enumerate((rows, rows[::-1])):
        path = tmp_path / f"{number}.csv"
        path.write_text("\n".join(["almr,lr,loss,score", *order]).replace("np.float64(", "").replace(")", ""))
        found = choose(collect(read_runs(path)))
        results.append((found.almr.value, found.lr.value))
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_leaving_points_out_gives_the_errors_that_are_used():
    rng = np.random.default_rng(0)
    values = GRID[:, 0] ** 2 + np.sin(3 * GRID[:, 1]) + 0.1 * rng.normal(size=len(GRID))
    surface = fit(GRID, values, ONES)
    missed = []
    for left in range(len(GRID)):
        rest = np.arange(len(GRID)) != left
        refit = RBFInterpolator(
            GRID[rest], values[rest], kernel="thin_plate_spline", degree=2, smoothing=surface.smoothing
        )
        missed.append(float(refit(GRID[left : left + 1])[0] - values[left]))
    explained = 1 - np.square(missed).sum() / np.square(values - values.mean()).sum()
    assert surface.explained == pytest.approx(explained, rel=0.02)  # the spline scales its axes by the points it has


def test_noise_upon_a_quadratic_is_smoothed_to_a_quadratic_and_more_shape_is_kept():
    rng = np.random.default_rng(0)
    quadratic = GRID[:, 0] ** 2 - GRID[:, 0] * GRID[:, 1]
    assert fit(GRID, quadratic + 0.1 * rng.normal(size=len(GRID)), ONES).coefficients == pytest.approx(6, abs=0.1)
    assert fit(GRID, np.sin(8 * GRID[:, 1]) + 0.01 * rng.normal(size=len(GRID)), ONES).coefficients > 15


def test_a_point_of_many_runs_weighs_as_many_runs():
    rng = np.random.default_rng(0)
    values = GRID[:, 0] + 0.3 * rng.normal(size=len(GRID))
    counts = ONES.copy()
    counts[20] = 1000
    value = [fit(GRID, values, weights).smoother[20] @ values for weights in (ONES, counts)]
    assert abs(value[1] - values[20]) < abs(value[0] - values[20]) / 5


@pytest.mark.parametrize("angle", [0.0, 0.15, -0.3])
def test_the_loss_frontier_is_the_path_of_steepest_descent(angle):
    across, along = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])

    def loss(z):
        return 2 * (z @ across + 0.1) ** 2 - 0.4 * z @ along

    def gradient(_, z):
        return -(4 * (z @ across + 0.1) * across - 0.4 * along)

    start = minimize_scalar(lambda v: loss(np.array([-0.5, v])), bounds=(-0.5, 0.5), method="bounded").x

    def leaves(_, z):
        return 0.5 - z[0]

    leaves.terminal = True
    path = solve_ivp(gradient, (0, 100), [-0.5, start], events=leaves, rtol=1e-9, max_step=0.01).y
    slope, level = np.polyfit(*path, 1)
    surface = fit(GRID, loss(GRID), ONES)
    a, b, c = loss_lines(surface, surface.values[:, None])[:, 0]
    assert -a / b == pytest.approx(slope, abs=0.01)
    assert c / b == pytest.approx(level, abs=0.005)


def test_in_a_bowl_the_frontier_runs_along_the_axis_that_bends_less():
    for long, wide in ((0, 1), (1, 0)):
        surface = fit(GRID, GRID[:, long] ** 2 + 5 * (GRID[:, wide] - 0.1) ** 2, ONES)
        line = loss_lines(surface, surface.values[:, None])[:, 0]
        assert line / line[wide] == pytest.approx([*np.eye(2)[wide], 0.1], abs=1e-3)


@pytest.mark.parametrize("along", ["lr", "almr"])
def test_peaks_are_those_of_the_surface_along_the_cut(along):
    values = np.exp(-((GRID[:, 0] - 0.5 * GRID[:, 1]) ** 2)) - (GRID[:, 1] - 0.1) ** 2
    surface = fit(GRID, values, ONES)
    found = peaks(surface, values[:, None], along)
    for level, position, inside in zip(found.levels, found.positions[:, 0], found.inside[:, 0], strict=True):

        def depth(place, level=level):
            point = [[place, level]] if along == "lr" else [[level, place]]
            return -float((surface.operator(np.array(point)) @ values)[0])

        if inside:
            best = minimize_scalar(depth, bounds=(-0.5, 0.5), method="bounded").x
            assert position == pytest.approx(best, abs=2e-3)


def test_a_peak_at_the_end_of_a_cut_is_none():
    surface = fit(GRID, GRID[:, 0], ONES)
    found = peaks(surface, surface.values[:, None], "lr")
    assert not found.inside.any()
    assert np.isnan(metric_lines(found)).all()


def test_lines_cross_where_algebra_says_and_parallel_ones_nowhere():
    one, other = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [-1.0], [1.0]])
    where, angle = crossings(one, other)
    assert where[:, 0] == pytest.approx([1, 1])
    assert angle[0] == pytest.approx(90)
    where, angle = crossings(one, one)
    assert np.isnan(where).all()
    assert angle[0] == 0


def test_a_line_may_stand_upright():
    line = unscaled(np.array([1.0, 0.0, 0.0]), REGION)
    assert str(line) == "log10(LR) = -8.50"
    assert line.meets(Line(0, 1, 40)) == pytest.approx((-8.5, 0.4))


def changed(points: Points, **changes) -> Points:
    return Points(**{**points.__dict__, **changes})


def scaled(points):
    return REGION.scaled(points.where).T


def test_too_few_points_are_refused_and_few_are_doubted():
    points = sweep(QUADRATIC, 0.02, 0)
    some = np.linspace(0, 44, 12).astype(int)
    few = changed(
        points,
        where=points.where[some],
        loss=points.loss[some],
        performance=points.performance[some],
        counts=np.ones(12),
    )
    assert any("only 12 distinct points" in warning for warning in choose(few).warnings)
    seven = changed(few, where=few.where[:7], loss=few.loss[:7], performance=few.performance[:7], counts=np.ones(7))
    with pytest.raises(UsageError, match="7 distinct points"):
        choose(seven)


def test_points_on_one_line_are_refused():
    where = np.column_stack([np.linspace(-9, -7, 20), np.linspace(0.1, 0.9, 20)])
    with pytest.raises(UsageError, match="do not determine a surface"):
        choose(Points(where, where[:, 0], where[:, 1], np.ones(20), 0, {}, 0))
    where[:, 0] = -9
    with pytest.raises(UsageError, match="the same learning rate"):
        choose(Points(where, where[:, 0], where[:, 1], np.ones(20), 0, {}, 0))


def test_a_peak_on_the_border_is_doubted():
    points = sweep(QUADRATIC, 0, 0)
    u, v = scaled(points)
    found = choose(changed(points, performance=0.1 * v - (u - 0.7) ** 2))
    assert found.metric_line is None
    assert found.almr is None
    assert any("high border" in warning and "no metric frontier" in warning for warning in found.warnings)


def test_some_peaks_on_the_border_are_counted():
    points = sweep(QUADRATIC, 0, 0)
    u, v = scaled(points)
    found = choose(changed(points, performance=-((u - v - 0.3) ** 2)))
    assert found.metric_line is not None
    assert any("border of the runs for 7 of 21" in warning for warning in found.warnings)


def test_parallel_frontiers_are_doubted():
    points = sweep(QUADRATIC, 0, 0)
    u, v = scaled(points)
    found = choose(changed(points, performance=-((v + 0.15 - 0.05 * u) ** 2)))
    assert found.along == "almr"
    assert any("near parallel" in warning for warning in found.warnings)


def test_a_loss_without_a_valley_has_no_frontier():
    points = sweep(QUADRATIC, 0, 0)
    u, v = scaled(points)
    found = choose(changed(points, loss=-u - v - 0.1 * v**2))
    assert found.loss_line is None
    assert found.almr is None
    assert any("no valley" in warning for warning in found.warnings)


def test_a_choice_outside_the_runs_is_doubted():
    points = sweep(QUADRATIC, 0, 0)
    u, v = scaled(points)
    found = choose(changed(points, performance=-((u - 1.5 * (v + 0.2) + 0.6) ** 2)))
    assert any("outside the runs" in warning and "extrapolated" in warning for warning in found.warnings)


def test_a_crossing_that_is_no_ratio_is_not_recommended():
    u, v = GRID.T
    where = Region((-9.5, 0.0), (-7.5, 0.05)).unscaled(GRID)
    loss, performance = 2 * (v - 0.8 * u) ** 2 - 0.02 * (u + 0.8 * v), -((v - 0.5 * u + 0.3) ** 2)
    found = choose(Points(where, loss, performance, ONES, 0, {}, 0))
    assert found.loss_line is not None
    assert found.metric_line is not None
    assert found.almr is None
    assert any("ALMR of -2%, which is no ratio" in warning for warning in found.warnings)


def test_pure_noise_is_called_that():
    points = sweep(QUADRATIC, 0, 0)
    rng = np.random.default_rng(0)
    found = choose(changed(points, loss=rng.normal(size=45), performance=rng.normal(size=45)))
    assert sum("of the variance of runs left out" in warning for warning in found.warnings) == 2


def test_without_metrics_there_is_a_loss_frontier_and_no_choice():
    found = choose(changed(sweep(QUADRATIC, 0, 0), performance=None))
    assert found.loss_line is not None
    assert found.almr is None
    assert any("no metrics" in warning for warning in found.warnings)
