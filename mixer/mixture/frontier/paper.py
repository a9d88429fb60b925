"""The frontiers that Xi et al. published for Llama-3 8B (2024, arXiv:2409.06624, section 4), and what follows.

Shown by ``mixer frontier --paper``, and what a sweep of one's own can be held against.
"""

from typing import Final

from mixer.mixture.frontier.lines import Line

METRIC_LINE: Final = Line(-116.67, 1, 1085.00)
"""Equation 4: ALMR = 116.67 log(LR) + 1085.00. The logarithm is the decimal one: only so do the lines meet where Xi et
al. say."""
LOSS_LINE: Final = Line(0.33, 1, 29.67)
"""Equation 5: ALMR = -0.33 log(LR) + 29.67."""
ROUNDED: Final = (0.33, 1.0e-9)
"""The ALMR and the learning rate of their 8B model."""
LARGER_DIVISOR: Final = 10
"""Their 70B model has the ALMR of the 8B and its learning rate divided by this; no search of its own confirmed it."""


def published_choice() -> tuple[float, float]:
    """Return the ALMR as a share and the learning rate where the two published lines cross."""
    logarithm, almr = METRIC_LINE.meets(LOSS_LINE)
    return almr, 10**logarithm
