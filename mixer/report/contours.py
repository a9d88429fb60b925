"""The two surfaces of ``mixer frontier`` as contours, in the manner of Figure 1 of Xi et al. (2024).

Draws what ``mixer.mixture.frontier.choice`` found and decides nothing. The same frontier gives the same SVG and PNG: no
date, no path, and ids that hang on the drawing alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mixer.mixture.frontier.choice import Frontier
from mixer.mixture.frontier.lines import Line
from mixer.mixture.frontier.surface import Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = ("svg", "png")
_SIDE: Final = 121
_LEVELS: Final = 12
_LOSS: Final = ("-", "#c0392b")
_METRIC: Final = ("--", "#111111")
_REACH: Final = 0.6
"""How far beyond the runs, as a share of their range, an axis goes to show a choice that lies there."""


def draw_contours(frontier: Frontier, folder: Path) -> list[Path]:
    """Draw loss and metrics beside each other into ``frontier.svg`` and ``frontier.png``, and return their paths.

    Parameters
    ----------
    frontier
        What was found.
    folder
        Where the pictures go; it exists.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels: list[tuple[str, Surface, str]] = [("validation loss", frontier.loss, "viridis_r")]
    if frontier.performance is not None:
        panels.append(("mean of the metrics (standardised)", frontier.performance, "viridis"))
    with mpl.rc_context({**mpl.rcParamsDefault, "svg.hashsalt": "mixer", "font.size": 10, "axes.titlesize": 11}):
        figure = Figure(figsize=(5.6 * len(panels), 5.2), layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, surface, colours) in zip(all_axes, panels, strict=True):
            _panel(figure, axes, frontier, surface, colours)
            axes.set_title(title)
        handles, labels = all_axes[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
        paths = [folder / f"frontier.{kind}" for kind in FORMATS]
        for path, metadata in zip(paths, ({"Date": None, "Creator": None}, {"Software": None}), strict=True):
            figure.savefig(path, dpi=150, metadata=metadata)
    return paths


def _panel(figure: "Figure", axes: "Axes", frontier: Frontier, surface: Surface, colours: str) -> None:
    """Draw one surface with the runs, both frontiers and the choice."""
    region = frontier.region
    side = np.linspace(-0.5, 0.5, _SIDE)
    grid = np.meshgrid(side, side)
    heights = (surface.operator(np.column_stack([part.ravel() for part in grid])) @ surface.values).reshape(
        grid[0].shape
    )
    places = region.unscaled(np.column_stack([side, side]))
    rates, percents = 10 ** places[:, 0], 100 * places[:, 1]
    filled = axes.contourf(rates, percents, heights, levels=_LEVELS, cmap=colours)
    axes.contour(rates, percents, heights, levels=filled.levels, colors="white", linewidths=0.5, linestyles="solid")
    figure.colorbar(filled, ax=axes, shrink=0.9, pad=0.02)

    where = frontier.points.where
    axes.plot(10 ** where[:, 0], 100 * where[:, 1], "x", color="white", markeredgecolor="black", ms=5, label="runs")
    low, high = _limits(frontier)
    for line, (style, colour), name in (
        (frontier.loss_line, _LOSS, "loss frontier"),
        (frontier.metric_line, _METRIC, "metric frontier"),
    ):
        if line is not None:
            axes.plot(*_ends(line, low, high), style, color=colour, linewidth=1.8, label=name)
    if surface is frontier.performance and len(frontier.peaks):
        axes.plot(10 ** frontier.peaks[:, 0], 100 * frontier.peaks[:, 1], ".", color="black", ms=4, label="peaks")
    _choice(axes, frontier)
    axes.set_xscale("log")
    axes.set_xlim(10 ** low[0], 10 ** high[0])
    axes.set_ylim(100 * low[1], 100 * high[1])
    axes.set_xlabel("learning rate")
    axes.set_ylabel("ALMR (%)")


def _choice(axes: "Axes", frontier: Frontier) -> None:
    """Draw the recommendation with its interval."""
    if frontier.almr is None or frontier.lr is None:
        return
    axes.errorbar(
        frontier.lr.value,
        100 * frontier.almr.value,
        xerr=_arms(frontier.lr.value, frontier.lr.low, frontier.lr.high),
        yerr=_arms(100 * frontier.almr.value, 100 * frontier.almr.low, 100 * frontier.almr.high),
        fmt="*",
        ms=15,
        color="#f1c40f",
        markeredgecolor="black",
        ecolor="black",
        capsize=3,
        zorder=5,
        label="choice",
    )


def _arms(value: float, low: float, high: float) -> list[list[float]] | None:
    """Return the arms of an interval, none where it has no finite ends."""
    if not np.isfinite([low, high]).all():
        return None
    return [[max(value - low, 0)], [max(high - value, 0)]]


def _limits(frontier: Frontier) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the picture: the runs, and the choice unless it is far from them."""
    low, high = np.array(frontier.region.low), np.array(frontier.region.high)
    span = high - low
    bottom, top = low - 0.04 * span, high + 0.04 * span
    if frontier.almr is not None and frontier.lr is not None and frontier.lr.value > 0:
        choice = np.array([np.log10(frontier.lr.value), frontier.almr.value])
        if ((choice > low - _REACH * span) & (choice < high + _REACH * span)).all():
            bottom, top = np.minimum(bottom, choice - 0.05 * span), np.maximum(top, choice + 0.05 * span)
    return bottom, top


def _ends(line: Line, low: np.ndarray, high: np.ndarray) -> tuple[list[float], list[float]]:
    """Return learning rates and percentages of two points of a line, at the limits of its steeper coordinate."""
    span = high - low
    if abs(line.a) * span[0] >= abs(line.b) * 100 * span[1]:  # upright rather than level
        percents = [100 * low[1], 100 * high[1]]
        return [10 ** ((line.c - line.b * percent) / line.a) for percent in percents], percents
    logarithms = [low[0], high[0]]
    return [10**value for value in logarithms], [(line.c - line.a * value) / line.b for value in logarithms]
