"""The two frontiers of Xi et al. (2024, section 4), read off surfaces as straight lines, and where they cross.

Called by ``choice``. Everything works on many versions of the results at once (the results themselves, then resamples):
the last axis of an array counts versions. Coordinates are scaled (``surface.Region``): u for log10 of the learning
rate, v for the ALMR, both from -1/2 to 1/2. A line is a normal and an offset, ``a u + b v = c``, so that it may stand
upright; NaN where a version has none.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mixer.mixture.frontier.surface import Array, Region, Surface, quadratic

Along = Literal["lr", "almr"]
LEVELS: Final = 21
"""Cuts through a surface on which peaks are looked for."""
_STEPS: Final = 101
"""Points of a cut; a parabola through the highest three gives the peak between them."""
_FEWEST_PEAKS: Final = 3
_PATH_STEP: Final = 0.01
_PATH_STEPS: Final = 200
"""A path of steepest descent is followed no farther than twice the side of the square."""
_FEWEST_POINTS: Final = 3


@dataclass(frozen=True)
class Line:
    """A straight frontier: ``a * log10(LR) + b * ALMR = c``, the ALMR in percent as Xi et al. write it."""

    a: float
    b: float
    c: float

    def __str__(self) -> str:
        if abs(self.b) < 1e-6 * abs(self.a):
            return f"log10(LR) = {self.c / self.a:.2f}"
        slope, intercept = -self.a / self.b, self.c / self.b
        return f"ALMR = {slope:.2f} log10(LR) {'+' if intercept >= 0 else '-'} {abs(intercept):.2f}"

    def meets(self, other: "Line") -> tuple[float, float]:
        """Return log10 of the learning rate and the ALMR as a share where two lines cross."""
        logarithm, percent = np.linalg.solve([[self.a, self.b], [other.a, other.b]], [self.c, other.c])
        return float(logarithm), float(percent) / 100


@dataclass(frozen=True)
class Peaks:
    """The highest points of cuts through a surface.

    Attributes
    ----------
    along
        The axis along which each cut runs: ``lr`` is the best learning rate for every ALMR.
    levels
        The other coordinate of each cut, of shape (levels,).
    positions
        The coordinate of the peak along the cut, of shape (levels, versions).
    inside
        Whether the peak is not at an end of its cut, of shape (levels, versions).
    """

    along: Along
    levels: Array
    positions: Array
    inside: NDArray[np.bool_]


def peaks(surface: Surface, versions: Array, along: Along) -> Peaks:
    """Find the peak of every cut along one axis.

    Parameters
    ----------
    surface
        Gives the matrix from results to surface.
    versions
        Results, of shape (n, versions).
    along
        The axis along which cuts run.
    """
    levels, steps = np.linspace(-0.5, 0.5, LEVELS), np.linspace(-0.5, 0.5, _STEPS)
    level, step = (grid.ravel() for grid in np.meshgrid(levels, steps, indexing="ij"))
    where = np.column_stack([step, level] if along == "lr" else [level, step])
    heights = (surface.operator(where) @ versions).reshape(LEVELS, _STEPS, -1)
    highest = heights.argmax(axis=1)
    inside = (highest > 0) & (highest < _STEPS - 1)
    middle = np.clip(highest, 1, _STEPS - 2)
    before, top, after = (np.take_along_axis(heights, (middle + shift)[:, None], axis=1)[:, 0] for shift in (-1, 0, 1))
    bend = before - 2 * top + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=inside & (bend < 0))
    return Peaks(along, levels, np.where(inside, steps[middle] + shift / (_STEPS - 1), steps[highest]), inside)


def metric_lines(found: Peaks) -> Array:
    """Regress peaks upon their cuts: the metric frontier, of shape (3, versions).

    The coordinate that was searched for is the one that has an error, so it is regressed upon the other. A peak at the
    end of a cut is none, and does not count; with fewer than three there is no line.
    """
    weights = found.inside.astype(float)
    count = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = (weights * found.levels[:, None]).sum(axis=0) / count
        position = (weights * found.positions).sum(axis=0) / count
        offsets = found.levels[:, None] - level
        slope = (weights * offsets * found.positions).sum(axis=0) / (weights * offsets**2).sum(axis=0)
    one = np.ones_like(slope)
    normal = (one, -slope) if found.along == "lr" else (-slope, one)
    return np.where(count >= _FEWEST_PEAKS, np.stack([*normal, position - slope * level]), np.nan)


def loss_lines(surface: Surface, versions: Array) -> Array:
    """Follow the loss down its steepest slope from the head of its valley: the loss frontier, of shape (3, versions).

    The surface is summed up by the quadratic nearest to it over the square. The head of the valley is the lowest point
    of the side where the valley is highest; it must not be a corner. From there the path goes against the gradient
    until it leaves the square or reaches the bottom. The frontier is the straight line nearest to that path (its first
    principal axis); NaN where a version has no such head.
    """
    side = np.linspace(-0.5, 0.5, LEVELS)
    where = np.column_stack([grid.ravel() for grid in np.meshgrid(side, side)])
    terms = np.linalg.pinv(quadratic(where)) @ surface.operator(where) @ versions
    head = _head(terms[:, 0])
    if head is None:
        return np.full((3, versions.shape[1]), np.nan)
    return _axis(*_descent(terms, _floor(terms, *head)))


def _floor(terms: Array, axis: int, end: float) -> Array:
    """Return the lowest point of one side of the square under quadratics, of shape (2, versions); NaN if a corner.

    Parameters
    ----------
    terms
        Coefficients of 1, u, v, u^2, uv, v^2, of shape (6, versions).
    axis
        The coordinate that is the same on the whole side (0: u, 1: v).
    end
        Its value.
    """
    other = 1 - axis
    slope, bend = terms[1 + other] + terms[4] * end, 2 * terms[3 + 2 * other]
    lowest = np.divide(-slope, bend, out=np.full_like(bend, np.nan), where=bend > 0)
    lowest = np.where(np.abs(lowest) < 0.5, lowest, np.nan)
    ends = np.where(np.isfinite(lowest), end, np.nan)
    return np.stack([ends, lowest] if axis == 0 else [lowest, ends])


def _head(terms: Array) -> tuple[int, float] | None:
    """Return the side (axis, end) of the square at which the valley of one quadratic, of shape (6,), is highest.

    A bowl has its lowest points inside of sides along both axes; its valley runs along the axis that bends less.
    """
    heads: dict[int, list[tuple[float, float]]] = {}
    for axis, end in ((0, -0.5), (0, 0.5), (1, -0.5), (1, 0.5)):
        floor = _floor(terms[:, None], axis, end)
        if np.isfinite(floor).all():
            heads.setdefault(axis, []).append((float(quadratic(floor.T)[0] @ terms), end))
    if not heads:
        return None
    axis = min(heads, key=lambda axis: terms[3 + 2 * axis])
    return axis, max(heads[axis])[1]


def _descent(terms: Array, start: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Follow steepest descent under quadratics by the midpoint rule, in steps of equal length.

    Returns
    -------
    Points of shape (steps, 2, versions), and which of them count, of shape (steps, versions): those before the path
    leaves the square or turns back at the bottom.
    """
    _, gu, gv, uu, uv, vv = terms

    def downhill(place: Array) -> Array:
        slope = np.stack([gu + 2 * uu * place[0] + uv * place[1], gv + uv * place[0] + 2 * vv * place[1]])
        steepness = np.hypot(*slope)
        return np.divide(-slope, steepness, out=np.zeros_like(slope), where=steepness > 0)

    places, counted = [start], [np.isfinite(start).all(axis=0)]
    for _ in range(_PATH_STEPS):
        here = places[-1]
        first = downhill(here)
        second = downhill(here + _PATH_STEP / 2 * first)
        there = here + _PATH_STEP * second
        onwards = ((first * second).sum(axis=0) > 0) & (np.abs(there).max(axis=0) <= 0.5)
        places.append(there)
        counted.append(counted[-1] & onwards)
    return np.stack(places), np.stack(counted)


def _axis(places: Array, counted: NDArray[np.bool_]) -> Array:
    """Return the first principal axis of each version's points as a line; NaN for fewer than three points."""
    count = counted.sum(axis=0)
    weights = counted / np.maximum(count, 1)
    points = np.where(counted[:, None], places, 0.0)
    centre = (weights[:, None] * points).sum(axis=0)
    offsets = points - centre
    products = np.einsum("sk,sik,sjk->kij", weights, offsets, offsets)
    normal = np.linalg.eigh(products)[1][:, :, 0].T  # the axis with the smaller spread
    return np.where(count >= _FEWEST_POINTS, np.stack([*normal, (normal * centre).sum(axis=0)]), np.nan)


def crossings(one: Array, other: Array) -> tuple[Array, Array]:
    """Return where lines cross, of shape (2, versions), and the angle between them in degrees, of shape (versions,)."""
    (a, b, c), (d, e, f) = one, other
    with np.errstate(divide="ignore", invalid="ignore"):
        product = a * e - b * d
        where = np.stack([(c * e - b * f) / product, (a * f - c * d) / product])
        sine = np.abs(product) / (np.hypot(a, b) * np.hypot(d, e))
    return np.where(np.isfinite(where), where, np.nan), np.degrees(np.arcsin(np.clip(sine, 0, 1)))


def unscaled(line: Array, region: Region) -> Line:
    """Write a line of shape (3,) in the units that users know."""
    low, high = np.array(region.low), np.array(region.high)
    normal = line[:2] / (high - low)
    return Line(float(normal[0]), float(normal[1]) / 100, float(line[2] + normal @ (low + high) / 2))


def rate(lr: float) -> str:
    """Write a learning rate as papers do: 9.6e-10, 1.0e-9."""
    mantissa, _, exponent = f"{lr:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
