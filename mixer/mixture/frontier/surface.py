"""A smooth surface through the results of runs, over log10 of the learning rate and the ALMR.

Called by ``choice`` once for the losses and once for the metrics; ``lines`` reads frontiers off it.

The surface is a thin-plate spline upon a full quadratic (SciPy's ``RBFInterpolator``, ``degree=2``). Its smoothing is
the strongest whose error, each point predicted from all others, is within one standard error of the best (the rule of
Breiman et al., Classification and Regression Trees, 1984, section 3.4.3). So a sweep of a few dozen noisy runs gets the
quadratic, which has just enough shape for one ridge or valley and invents no others; one that shows more gets more. The
predictions need no refit: the surface is linear in the results, and leaving point i out leaves the residual
r_i / (1 - S_ii), S being the matrix that takes results to the surface.

That linearity also makes the resamples cheap: they share the matrix.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from mixer.errors import UsageError

Array = NDArray[np.float64]
FEWEST: Final = 8
"""Distinct points without which there is no surface: a quadratic has six coefficients, and its error must be seen."""
_SMOOTHINGS: Final = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e8)
"""What is tried, in the units of the scaled coordinates; the last is the quadratic itself."""


@dataclass(frozen=True)
class Region:
    """The rectangle that the runs span; scaled, it is the unit square around the origin.

    Attributes
    ----------
    low, high
        Its corners: (log10 of the learning rate, ALMR as a share).
    """

    low: tuple[float, float]
    high: tuple[float, float]

    def scaled(self, points: Array) -> Array:
        """Scale points of shape (n, 2): each axis by the range of the runs, so that units do not matter."""
        low, high = np.array(self.low), np.array(self.high)
        return (points - (low + high) / 2) / (high - low)

    def unscaled(self, points: Array) -> Array:
        """Undo ``scaled``."""
        low, high = np.array(self.low), np.array(self.high)
        return points * (high - low) + (low + high) / 2


def quadratic(points: Array) -> Array:
    """Return the six terms 1, u, v, u^2, uv, v^2 at points of shape (n, 2), as (n, 6)."""
    u, v = points.T
    return np.column_stack([np.ones(len(points)), u, v, u * u, u * v, v * v])


@dataclass(frozen=True)
class Surface:
    """A smooth surface through the results at some points.

    Attributes
    ----------
    points
        Where results are, scaled, of shape (n, 2).
    values
        The results, of shape (n,).
    counts
        How many runs each is the mean of, of shape (n,).
    smoothing
        The smoothing that was chosen.
    """

    points: Array
    values: Array
    counts: Array
    smoothing: float

    def operator(self, where: Array) -> Array:
        """Return the matrix (m, n) that takes the results to the surface at scaled points of shape (m, 2)."""
        return _operator(self.points, self.counts, self.smoothing, where)

    @cached_property
    def smoother(self) -> Array:
        """The matrix (n, n) that takes the results to the surface where they are."""
        return self.operator(self.points)

    @property
    def coefficients(self) -> float:
        """How many free numbers the surface amounts to; 6 is the quadratic."""
        return float(np.trace(self.smoother))

    @property
    def explained(self) -> float:
        """The share of the variance of the results that is predicted from the other points; at most 1."""
        errors = _left_out(self.smoother, self.values) ** 2 * self.counts
        spread = (self.values - np.average(self.values, weights=self.counts)) ** 2 * self.counts
        return float(1 - errors.sum() / spread.sum()) if spread.sum() > 0 else 0.0

    def resampled(self, draws: NDArray[np.int64]) -> Array:
        """Return the results and resamples of them, of shape (n, 1 + draws): surface plus residuals of other points.

        The residuals are scaled to one variance by the counts and by 1 - S_ii, and centred (Davison and Hinkley,
        Bootstrap Methods and their Application, 1997, section 6.2.3).

        Parameters
        ----------
        draws
            Whose residual each point gets, of shape (n, draws).
        """
        fitted = self.smoother @ self.values
        freedom = np.clip(1 - np.diag(self.smoother), 1e-6, None)
        residuals = (self.values - fitted) * np.sqrt(self.counts / freedom)
        residuals -= residuals.mean()
        drawn = fitted[:, None] + residuals[draws] / np.sqrt(self.counts)[:, None]
        return np.column_stack([self.values, drawn])


def fit(points: Array, values: Array, counts: Array) -> Surface:
    """Fit a surface, its smoothing by leaving points out.

    Parameters
    ----------
    points
        Scaled and distinct, of shape (n, 2).
    values
        Results, of shape (n,).
    counts
        How many runs each result is the mean of, of shape (n,).

    Raises
    ------
    UsageError
        The points are too few, or lie so that no quadratic can be fitted.
    """
    if len(points) < FEWEST or np.linalg.matrix_rank(quadratic(points), tol=1e-6) < 6:
        raise UsageError(
            f"{len(points)} distinct points of (ALMR, learning rate) do not determine a surface",
            f"run at least {FEWEST}, with 3 or more ALMRs and 3 or more learning rates: a grid is best",
        )
    weights = counts / counts.sum()
    means, errors = [], []
    for smoothing in _SMOOTHINGS:
        left_out = _left_out(_operator(points, counts, smoothing, points), values) ** 2
        mean = float(weights @ left_out)
        means.append(mean)
        errors.append(float(np.sqrt(weights @ (left_out - mean) ** 2 / (len(points) - 1))))
    best = int(np.argmin(means))
    good = [number for number, mean in enumerate(means) if mean <= means[best] + errors[best]]
    return Surface(points, values, counts, _SMOOTHINGS[good[-1]])


def _operator(points: Array, counts: Array, smoothing: float, where: Array) -> Array:
    """Return the matrix that takes results at some points to the surface at others."""
    spline = RBFInterpolator(
        points, np.eye(len(points)), kernel="thin_plate_spline", degree=2, smoothing=smoothing / counts
    )
    return spline(where)


def _left_out(smoother: Array, values: Array) -> Array:
    """Return by how much each result is missed when it is left out."""
    return (values - smoother @ values) / np.clip(1 - np.diag(smoother), 1e-6, None)
