"""The D-CPT law (Que et al. 2024, arXiv:2406.01375): loss as a function of model size, tokens and mixture ratio.

``L(N, D, r) = E + A / N^alpha + B r^eta / D^beta + C / (r + epsilon)^gamma``, once for the loss on general text, r
being the share of general text, and once for the loss on the text of the domain, r being its share. ``laws`` fits both
and asks for the ratio. N and D are in billions here, so that A and B have a size one can read.

Like scaling laws before it, it is fitted by a Huber loss of 1e-3 on differences of log losses (Hoffmann et al. 2022,
arXiv:2203.15556, section 3.3), from many starts: given the exponents the rest is linear, so a grid of exponents with
non-negative least squares for the rest finds the few starts worth following.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

Array = NDArray[np.float64]
BILLION: Final = 1e9
_HUBER: Final = 1e-3
_STARTS: Final = 6
_STEPS: Final = 100
"""Steps of a descent. Beyond them numbers that the runs leave loose drift on, and the predicted losses stand still."""
_EXPONENTS: Final = (0.1, 0.3, 0.8)
_ETAS: Final = (0.3, 1.0, 2.5)
_EPSILONS: Final = (0.01, 0.1, 0.5)
_BOUNDS: Final = np.log(
    [
        (1e-3, 1e3),  # E
        (1e-8, 1e4),  # A
        (0.01, 4),  # alpha
        (1e-8, 1e4),  # B
        (0.01, 4),  # beta
        (0.01, 8),  # eta
        (1e-8, 1e4),  # C
        (1e-4, 2),  # epsilon
        (0.01, 4),  # gamma
    ]
)


@dataclass(frozen=True)
class DCPT:
    """One fitted law. A term that the runs cannot show (a single size, a single amount of tokens) is constant.

    Attributes
    ----------
    constant, size, alpha, tokens, beta, eta, ratio, epsilon, gamma
        E, A, alpha, B, beta, eta, C, epsilon and gamma of the formula.
    error
        Root mean square of the relative errors of the losses it was fitted to.
    """

    constant: float
    size: float
    alpha: float
    tokens: float
    beta: float
    eta: float
    ratio: float
    epsilon: float
    gamma: float
    error: float = 0.0

    def loss(self, parameters: Array | float, tokens: Array | float, ratio: Array | float) -> Array:
        """Return the loss at sizes and amounts of tokens (in ones) and ratios (shares), broadcast."""
        theta = (self.constant, self.size, self.alpha, self.tokens, self.beta, self.eta, self.ratio, self.epsilon)
        return _law((*theta, self.gamma), *(np.asarray(value) for value in (parameters, tokens, ratio)))


def _law(theta: "tuple[float, ...] | Array", parameters: Array, tokens: Array, ratio: Array) -> Array:
    """Return the loss for the nine numbers of the formula in its order."""
    constant, size, alpha, amount, beta, eta, rest, epsilon, gamma = theta
    falling = amount * ratio**eta * (tokens / BILLION) ** -beta
    return constant + size * (parameters / BILLION) ** -alpha + falling + rest * (ratio + epsilon) ** -gamma


def free_numbers(parameters: Array, tokens: Array) -> int:
    """Return how many numbers of the law the runs can show."""
    return 9 - 2 * bool(np.ptp(parameters) == 0) - bool(np.ptp(tokens) == 0)


def fit_dcpt(parameters: Array, tokens: Array, ratio: Array, losses: Array) -> DCPT:
    """Fit the law to losses, of shape (n,) each.

    Parameters
    ----------
    parameters, tokens
        Sizes and training tokens of the runs, in ones.
    ratio
        Share of the text whose loss it is.
    losses
        What was measured.
    """
    one_size, one_amount = np.ptp(parameters) == 0, np.ptp(tokens) == 0
    free = np.array([True, not one_size, not one_size, True, not one_amount, True, True, True, True])

    def whole(some: Array) -> Array:
        theta = np.zeros(9)  # the constant term of one size is part of E; that of one amount of tokens of B
        theta[free] = np.exp(some)
        return theta

    def residuals(some: Array) -> Array:
        return np.log(_law(whole(some), parameters, tokens, ratio)) - np.log(losses)

    low, high = _BOUNDS[free].T
    descents = [
        least_squares(
            residuals,
            np.clip(start[free], low + 1e-9, high - 1e-9),
            bounds=(low, high),
            loss="huber",
            f_scale=_HUBER,
            max_nfev=_STEPS,
        )
        for start in _starts(parameters, tokens, ratio, losses, one_size=one_size, one_amount=one_amount)
    ]
    best = min(descents, key=lambda descent: float(descent.cost))
    theta = whole(best.x)
    error = float(np.sqrt(np.mean((_law(theta, parameters, tokens, ratio) / losses - 1) ** 2)))
    constant, size, alpha, amount, beta, eta, rest, epsilon, gamma = theta.tolist()
    return DCPT(constant, size, alpha, amount, beta, eta, rest, epsilon, gamma, error)


def _starts(
    parameters: Array, tokens: Array, ratio: Array, losses: Array, *, one_size: bool, one_amount: bool
) -> list[Array]:
    """Return logarithms of the nine numbers from which to descend, best first."""
    grid = product(
        (1.0,) if one_size else _EXPONENTS, (1.0,) if one_amount else _EXPONENTS, _ETAS, _EPSILONS, _EXPONENTS
    )
    found: list[tuple[float, Array]] = []
    for alpha, beta, eta, epsilon, gamma in grid:
        size = np.zeros_like(losses) if one_size else (parameters / BILLION) ** -alpha
        amount = ratio**eta * (1.0 if one_amount else (tokens / BILLION) ** -beta)
        terms = np.column_stack([np.ones_like(losses), size, amount, (ratio + epsilon) ** -gamma])
        (constant, a, b, c), miss = nnls(terms, losses)
        theta = np.array([constant, a, alpha, b, beta, eta, c, epsilon, gamma])
        found.append((float(miss), np.log(np.maximum(theta, 1e-6))))
    return [theta for _, theta in sorted(found, key=lambda entry: entry[0])[:_STARTS]]


def largest_share(general: DCPT, domain: DCPT, parameters: float, tokens: float, limit: float) -> float | None:
    """Return the share of the domain with the smallest domain loss while the general loss is within a limit.

    Their first use of the law: the general loss may rise by a given share over that of the model before
    training. None where no ratio keeps the limit.
    """
    shares = np.linspace(0, 1, 10001)
    within = general.loss(parameters, tokens, 1 - shares) <= limit
    if not within.any():
        return None
    return float(shares[np.where(within, domain.loss(parameters, tokens, shares), np.inf).argmin()])
