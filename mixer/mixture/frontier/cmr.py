"""The CMR law (Gu et al. 2024, arXiv:2407.17467): the largest ratio at which the general loss stays feasible.

At a given amount of tokens the general loss is a power law of the ratio R of the new text, ``L = a R^s + b``; the
critical mixture ratio is the R at which it reaches what is tolerated, and is itself a power law of the tokens,
``CMR(T) = a T^s + b``, T in units of 0.2 billion tokens (their Table 5). The law is one of each model size: nothing
leads from one size to another. ``laws`` fits it and asks for the ratio.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Array = NDArray[np.float64]
UNIT: Final = 0.2e9
"""Tokens: the unit in which they publish their coefficients."""
FEWEST: Final = 3
"""Ratios that show a power law with three numbers; amounts of tokens likewise."""
_GRID: Final = 161


@dataclass(frozen=True)
class Power:
    """A power law ``a x^s + b``."""

    a: float
    s: float
    b: float

    def at(self, x: Array | float) -> Array:
        """Return its value."""
        return self.a * np.asarray(x, dtype=float) ** self.s + self.b

    def inverse(self, y: float) -> float:
        """Return where it has a value; NaN where it has it nowhere."""
        share = (y - self.b) / self.a if self.a else np.nan
        return float(share ** (1 / self.s)) if share > 0 else float("nan")


def fit_power(x: Array, y: Array, low: float, high: float) -> Power:
    """Fit a power law by least squares, its exponent between bounds.

    Given the exponent the rest is linear, so only the exponent is searched for, from a grid. The basis (x^s - 1) / s
    keeps the search smooth where s passes zero and the law becomes logarithmic.

    Parameters
    ----------
    x, y
        Points of shape (n,); x above 0 unless ``low`` is.
    low, high
        Bounds of the exponent.
    """

    def solved(s: float) -> tuple[float, float, float]:
        s = s if abs(s) > 1e-6 else 1e-6
        basis = (x**s - 1) / s
        (constant, slope), *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), basis]), y, rcond=None)
        return float(((constant + slope * basis - y) ** 2).sum()), float(slope / s), float(constant - slope / s)

    grid = np.linspace(low, high, _GRID)
    best = int(np.argmin([solved(s)[0] for s in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    s = float(minimize_scalar(lambda s: solved(s)[0], bounds=around, method="bounded", options={"xatol": 1e-9}).x)
    _, a, b = solved(s)
    return Power(a, s, b)


@dataclass(frozen=True)
class CMR:
    """The critical mixture ratios of one model size.

    Attributes
    ----------
    tokens
        Amounts of tokens at which it was found, ascending, of shape (k,).
    ratios
        The ratio at each: 1 where every ratio is feasible, 0 where none is.
    law
        The power law through those between 0 and 1, over T / ``UNIT``; None with fewer than three.
    """

    tokens: Array
    ratios: Array
    law: Power | None

    def at(self, tokens: float) -> float:
        """Return the critical mixture ratio: by the law, or without one as at the nearest amount of tokens."""
        if self.law is None:
            return float(self.ratios[np.abs(np.log(self.tokens / tokens)).argmin()])
        return float(np.clip(self.law.at(tokens / UNIT), 0, 1))


def fit_cmr(tokens: Array, ratio: Array, general_loss: Array, tolerance: float, base_loss: float | None) -> CMR | None:
    """Find the critical mixture ratio at every amount of tokens, and the law through them.

    Parameters
    ----------
    tokens, ratio, general_loss
        Of runs of one model size, of shape (n,) each.
    tolerance
        By how much the general loss may rise, in its own unit.
    base_loss
        Over which loss; None for that which the fit gives at ratio 0 and the same tokens.

    Returns
    -------
    None where no amount of tokens has three ratios.
    """
    amounts, ratios = [], []
    for amount in np.unique(tokens):
        here = tokens == amount
        if len(np.unique(ratio[here])) < FEWEST:
            continue
        losses = fit_power(ratio[here], general_loss[here], 0.05, 8)
        limit = (losses.b if base_loss is None else base_loss) + tolerance
        none, all_new = losses.at(np.array([0.0, 1.0]))
        amounts.append(float(amount))
        ratios.append(1.0 if all_new <= limit else 0.0 if none > limit else losses.inverse(limit))
    if not amounts:
        return None
    found, where = np.array(ratios), np.array(amounts)
    inside = (found > 0) & (found < 1)
    law = fit_power(where[inside] / UNIT, found[inside], -3, 3) if inside.sum() >= FEWEST else None
    return CMR(where, found, law)
