"""Sweeps with frontiers that are known, for the tests of ``mixer frontier``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixer.mixture.frontier.choice import Points
from mixer.mixture.frontier.surface import Region

LRS = 10.0 ** np.array([-9.5, -9, -8.5, -8, -7.5])
ALMRS = np.linspace(0.1, 0.9, 9)
REGION = Region((-9.5, 0.1), (-7.5, 0.9))


@dataclass(frozen=True)
class Shape:
    """A surface pair over scaled coordinates whose frontiers are straight, and where these cross.

    The loss is a function of v plus a function of u, so its steepest path down the floor of the valley is v = floor.
    The metrics of every v have their peak at u = -0.1 + 0.6 v.
    """

    floor: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    performance: Callable[[np.ndarray, np.ndarray], np.ndarray]

    @property
    def crossing(self) -> tuple[float, float]:
        """log10 of the learning rate and ALMR of the choice."""
        logarithm, almr = REGION.unscaled(np.array([[-0.1 + 0.6 * self.floor, self.floor]]))[0]
        return logarithm, almr


def _ridge(u, v):
    return u - (-0.1 + 0.6 * v)


QUADRATIC = Shape(
    -0.2,
    lambda u, v: 2 + 0.5 * (v + 0.2) ** 2 - 0.3 * u,
    lambda u, v: -2 * _ridge(u, v) ** 2 - 0.3 * (v - 0.1) ** 2,
)
CURVED = Shape(
    -0.1,
    lambda u, v: 2 + 0.25 * (np.cosh(2 * (v + 0.1)) - 1) + 0.3 * np.exp(-1.5 * u),
    lambda u, v: 2 * np.exp(-2 * _ridge(u, v) ** 2) - 0.3 * (v - 0.1) ** 2,
)
SHAPES = {"quadratic": QUADRATIC, "curved": CURVED}


def sweep(shape: Shape, noise: float, seed: int) -> Points:
    """Run a grid of 45 points; the noise is a share of the deviation of the surface."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(np.log10(LRS), ALMRS, indexing="ij")
    where = np.column_stack([part.ravel() for part in grid])
    u, v = REGION.scaled(where).T
    values = [surface(u, v) for surface in (shape.loss, shape.performance)]
    loss, performance = (value + noise * value.std() * rng.normal(size=len(u)) for value in values)
    return Points(where, loss, performance, np.ones(len(u)), 0, {}, 0)
