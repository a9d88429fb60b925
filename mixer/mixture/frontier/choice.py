"""From results of runs to a recommended ALMR and learning rate, how sure that is, and what to doubt about it.

``choose`` is what ``mixer frontier`` calls after ``runs.read_runs``; the picture and the tables show what it returns.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mixer.errors import UsageError
from mixer.mixture.frontier.lines import (
    LEVELS,
    Line,
    Peaks,
    crossings,
    loss_lines,
    metric_lines,
    peaks,
    rate,
    unscaled,
)
from mixer.mixture.frontier.runs import SIZES, Runs
from mixer.mixture.frontier.surface import Array, Region, Surface, fit

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000
_ENDS: Final = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
_THIN: Final = 15
"""Points below which a quadratic of six coefficients has fewer than nine left to show its error."""
_FEW_VALUES: Final = 4
_PARALLEL: Final = 10.0
"""Degrees, in scaled coordinates: below it an error in a line moves the crossing six times as far along it."""
_LOST: Final = 0.05
_UNEXPLAINED: Final = 0.5


@dataclass(frozen=True)
class Points:
    """Results at distinct points.

    Attributes
    ----------
    where
        log10 of the learning rate and ALMR as a share, of shape (n, 2), in ascending order of both.
    loss
        Mean validation loss, of shape (n,).
    performance
        Mean of the standardised metrics, higher being better, of shape (n,); None without metrics.
    counts
        Runs at each point, of shape (n,).
    set_aside
        Rows without a result in one of the columns needed.
    size
        The tokens and parameters that these runs share, as far as the file says.
    elsewhere
        Rows of other sizes.
    """

    where: Array
    loss: Array
    performance: Array | None
    counts: Array
    set_aside: int
    size: dict[str, float]
    elsewhere: int


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Frontier:
    """Both frontiers and the choice.

    Attributes
    ----------
    points, region
        What the runs gave, and the rectangle that they span.
    loss, performance
        The surfaces; the latter is None without metrics.
    loss_line, metric_line
        The frontiers; None where the surface has none.
    peaks
        The peaks that the metric frontier regresses: log10 of the learning rate and ALMR, of shape (peaks, 2).
    along
        Which coordinate each peak is the best of: ``lr`` or ``almr``.
    almr, lr
        The recommendation with its interval, the ALMR as a share; None without a crossing.
    seed, resamples
        Of the bootstrap.
    warnings
        What to doubt.
    """

    points: Points
    region: Region
    loss: Surface
    performance: Surface | None
    loss_line: Line | None
    metric_line: Line | None
    peaks: Array
    along: str
    almr: Interval | None
    lr: Interval | None
    seed: int
    resamples: int
    warnings: tuple[str, ...]


def collect(runs: Runs) -> Points:
    """Take the rows that have results, of one size, standardise the metrics, and average what stands at one point.

    Where the file holds several sizes (tokens, parameters), that with the most distinct points is taken; of equals the
    largest.

    Raises
    ------
    UsageError
        No row has all the results needed.
    """
    needed = ["almr", "lr", "loss", *runs.metrics]
    complete = runs.complete(needed)
    if not complete.any():
        raise UsageError(
            f"{runs.path}: none of its {len(runs)} rows has a number in each of {', '.join(needed)}",
            "fill in the results, or name the metrics that are there with --metric",
        )
    table = np.column_stack([np.log10(runs.columns["lr"][complete]), runs.columns["almr"][complete]])
    sizes = [name for name in SIZES if name in runs.columns]
    keys = np.nan_to_num(np.column_stack([runs.columns[name][complete] for name in reversed(sizes)] or [table[:, :0]]))
    groups = [(np.all(keys == key, axis=1), key) for key in np.unique(keys, axis=0)]
    chosen, key = max(groups, key=lambda group: (len(np.unique(table[group[0]], axis=0)), *group[1]))
    used = complete.copy()
    used[complete] = chosen
    where, position, counts = np.unique(table[chosen], axis=0, return_inverse=True, return_counts=True)

    def averaged(values: Array) -> Array:
        return np.bincount(position.ravel(), weights=values[used]) / counts

    return Points(
        where=where,
        loss=averaged(runs.columns["loss"]),
        performance=averaged(_performance(runs, used)) if runs.metrics else None,
        counts=counts.astype(float),
        set_aside=int((~complete).sum()),
        size={name: float(value) for name, value in zip(reversed(sizes), key, strict=True) if value},
        elsewhere=int((~chosen).sum()),
    )


def _performance(runs: Runs, used: NDArray[np.bool_]) -> Array:
    """Return the mean of the metrics, each turned so that higher is better and scaled to mean 0 and deviation 1."""
    total = np.zeros(len(runs))
    for name in runs.metrics:
        values = runs.columns[name] * (-1 if name in runs.lower else 1)
        deviation = values[used].std()
        if deviation > 1e-12 * np.abs(values[used]).max():  # one that is the same everywhere says nothing
            total += (values - values[used].mean()) / deviation
    return total / len(runs.metrics)


def choose(points: Points, seed: int = 0, resamples: int = RESAMPLES) -> Frontier:
    """Find both frontiers and where they cross, with an interval by resampling residuals.

    The resampled runs keep their places, and a run's residuals of loss and of performance travel together. The interval
    is that of the percentiles. The same seed gives the same numbers.

    Raises
    ------
    UsageError
        The points do not determine a surface.
    """
    region = _region(points)
    scaled = region.scaled(points.where)
    draws = np.random.default_rng(seed).integers(0, len(scaled), (len(scaled), resamples))
    doubts = list(_thin(points))

    loss = fit(scaled, points.loss, points.counts)
    falling = loss_lines(loss, loss.resampled(draws))
    performance, found, rising = None, None, np.full_like(falling, np.nan)
    if points.performance is None:
        doubts.append("there are no metrics: without them there is no metric frontier, and nothing to choose")
    else:
        performance = fit(scaled, points.performance, points.counts)
        found = _peaks(performance, performance.resampled(draws))
        rising = metric_lines(found)
    where, angles = crossings(falling, rising)

    lines = [unscaled(line[:, 0], region) if np.isfinite(line[:, 0]).all() else None for line in (falling, rising)]
    doubts += _shapeless(loss, performance)
    doubts += _bordering(found, has_line=lines[1] is not None)
    doubts += _valley(falling[:, 0])
    almr = lr = None
    if np.isfinite(where[:, 0]).all():
        good = np.asarray(np.isfinite(where).all(axis=0))
        real = region.unscaled(where[:, good].T)
        doubts += _crossing(real, 1 - float(good.mean()), float(angles[0]), region)
        if 0 <= real[0, 1] <= 1:
            almr, logarithm = _interval(real[:, 1]), _interval(real[:, 0])
            with np.errstate(over="ignore"):
                lr = Interval(*(10 ** np.array(astuple(logarithm))).tolist())
    return Frontier(
        points=points,
        region=region,
        loss=loss,
        performance=performance,
        loss_line=lines[0],
        metric_line=lines[1],
        peaks=_shown(found, region),
        along="" if found is None else found.along,
        almr=almr,
        lr=lr,
        seed=seed,
        resamples=resamples,
        warnings=tuple(doubts),
    )


def _region(points: Points) -> Region:
    """Return the rectangle that the points span."""
    low, high = points.where.min(axis=0), points.where.max(axis=0)
    for name, one, other in zip(("learning rate", "ALMR"), low, high, strict=True):
        if one == other:
            raise UsageError(
                f"all runs with results have the same {name}", "a surface needs 3 or more of it, better a grid"
            )
    return Region((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


def _peaks(surface: Surface, versions: Array) -> Peaks:
    """Find peaks along the axis along which more of them are inside; the best learning rate per ALMR if equal."""
    candidates = [peaks(surface, versions, along) for along in ("lr", "almr")]
    return max(candidates, key=lambda found: found.inside[:, 0].sum())


def _interval(values: Array) -> Interval:
    """Return the first value with the percentiles of the others."""
    low, high = np.quantile(values[1:], _ENDS).tolist() if len(values) > 1 else (np.nan, np.nan)
    return Interval(float(values[0]), low, high)


def _shown(found: Peaks | None, region: Region) -> Array:
    """Return the peaks of the results themselves in the units of users."""
    if found is None:
        return np.empty((0, 2))
    inside = found.inside[:, 0]
    level, position = found.levels[inside], found.positions[inside, 0]
    return region.unscaled(np.column_stack([position, level] if found.along == "lr" else [level, position]))


def _thin(points: Points) -> Iterable[str]:
    """Doubt a sweep with too few points."""
    if len(points.where) < _THIN:
        yield f"only {len(points.where)} distinct points; the shape of a surface needs {_THIN} or more"
    for axis, name in enumerate(("learning rates", "ALMRs")):
        values = len(np.unique(points.where[:, axis]))
        if values < _FEW_VALUES:
            yield f"only {values} {name}; {_FEW_VALUES} or more show whether the surface bends as a quadratic does"


def _shapeless(loss: Surface, performance: Surface | None) -> Iterable[str]:
    """Doubt a surface that does not predict runs that it has not seen."""
    for name, surface in (("loss", loss), ("metrics", performance)):
        if surface is not None and surface.explained < _UNEXPLAINED:
            yield (
                f"the surface of the {name} predicts only {max(surface.explained, 0):.0%} of the variance of runs left "
                "out: noise, or a shape that these runs do not resolve"
            )


def _bordering(found: Peaks | None, *, has_line: bool) -> Iterable[str]:
    """Doubt a metric frontier with peaks at the border of the runs."""
    if found is None:
        return
    outside = ~found.inside[:, 0]
    what, per = ("learning rate", "ALMRs") if found.along == "lr" else ("ALMR", "learning rates")
    if outside.any():
        positions = found.positions[outside, 0]
        sides = [side for side, there in (("low", (positions < 0).any()), ("high", (positions > 0).any())) if there]
        yield (
            f"the best {what} lies on the {' and '.join(sides)} border of the runs for {outside.sum()} of {LEVELS} "
            f"{per}{'' if has_line else ', so there is no metric frontier'}: run beyond it"
        )


def _valley(line: Array) -> Iterable[str]:
    """Doubt a loss frontier that the runs do not show."""
    if not np.isfinite(line).all():
        yield (
            "the loss has no valley inside the runs: on every side of them it is lowest in a corner, so there is no "
            "loss frontier; run ALMRs beyond that corner"
        )


def _crossing(real: Array, lost: float, angle: float, region: Region) -> Iterable[str]:
    """Doubt the choice itself.

    Parameters
    ----------
    real
        Where the frontiers cross, of shape (versions, 2), the results first.
    lost
        Share of the versions without a crossing.
    angle
        Between the frontiers, in degrees.
    region
        What the runs span.
    """
    if angle < _PARALLEL:
        yield f"the frontiers are near parallel ({angle:.0f} degrees, axes scaled by the runs): the crossing is unsure"
    if not 0 <= real[0, 1] <= 1:
        yield f"the frontiers cross at an ALMR of {real[0, 1]:.0%}, which is no ratio: there is nothing to recommend"
        return
    for axis, name in enumerate(("LR", "ALMR")):
        found, low, high = _interval(real[:, axis]), region.low[axis], region.high[axis]
        if not low <= found.value <= high:
            ends = " to ".join(rate(10**end) if name == "LR" else f"{end:.1%}" for end in (low, high))
            yield f"the {name} chosen lies outside the runs ({ends}): it is extrapolated"
        elif found.high - found.low > (high - low) / 2:
            yield f"the interval of the {name} covers more than half of the runs: they do not settle it"
    if lost > _LOST:
        yield f"in {lost:.0%} of the resamples the frontiers do not cross; the interval leaves these out"
