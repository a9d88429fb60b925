"""The pictures of the page, drawn by matplotlib as SVG. Importing this needs the extra `report`.

The same numbers give the same bytes: no date, and element names from a fixed salt. Text stays text, set in the
reader's fonts.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from mixer.manifest import Dataset, Manifest
from mixer.mixture.running import lines
from mixer.report.markup import short
from mixer.report.ratio import Curve

ADDITIONAL, BASE, LINE = "#c2410c", "#1d5fa8", "#8a94a3"
FATES = {
    "kept": "#2f8f5b",
    "duplicates": "#d9a92b",
    "benchmarks": "#e0662f",
    "rules": "#b2473e",
    "language": "#7a5aa6",
    "unreadable": "#5b6573",
}
"""What becomes of a record, and its colour, in the order in which it is shown."""
_WIDTH = 10.5
_STYLE: dict[Any, Any] = {
    **mpl.rcParamsDefault,
    "svg.hashsalt": "mixer",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e9ee",
}


def ratio(found: Curve, manifest: Manifest) -> bytes:
    """Draw the ALMR over training with its bound, and the distance from its line in samples."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 5.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        share, (low, high) = lines(manifest.almr)[0], found.bounds
        above.fill_between(
            found.samples,
            np.clip(share + low / found.samples, 0, 1),
            np.clip(share + high / found.samples, 0, 1),
            color="#e9d8cd",
            label="bound",
        )
        above.plot(found.samples, found.realised, color=ADDITIONAL, lw=1.8, label="realised, by label")
        above.plot(found.samples, found.measured, color="#111827", lw=1.2, ls="--", label="measured, by the text")
        above.axhline(manifest.almr.target, color=LINE, lw=1, ls=":", label=f"target {manifest.almr.target:.2%}")
        above.set_ylim(max(0, share - 0.25), min(1, share + 0.25))
        above.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        above.set_ylabel("ALMR so far")
        figure.legend(*above.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
        below.fill_between(found.samples, found.low, found.high, color="#e2a27f", step="post", label="reached so far")
        for bound in found.bounds:
            below.axhline(bound, color=ADDITIONAL, lw=1, ls="--")
        below.set_ylabel("samples off the line")
        below.set_xlabel("training samples drawn")
        below.set_xscale("log")
        below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(round(value))))
        below.set_xlim(1, max(2, manifest.samples))
        below.legend(["reached so far", "bound"], frameon=False, loc="lower left", ncols=2)
        return _svg(figure)


def fates(counts: Mapping[str, Mapping[str, int]]) -> bytes:
    """Draw what became of the records of each source.

    Parameters
    ----------
    counts
        By source, the records by the keys of ``FATES``.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _bars(len(counts))
        left = np.zeros(len(counts))
        totals = np.array([max(1, sum(each.values())) for each in counts.values()])
        for fate, colour in FATES.items():
            part = np.array([each.get(fate, 0) for each in counts.values()]) / totals
            if part.any():
                axes.barh(range(len(counts)), part, left=left, color=colour, height=0.66, label=fate)
                left += part
        _names(axes, list(counts))
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("records of the source")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(FATES), frameon=False)
        return _svg(figure)


def epochs(datasets: Sequence[Dataset]) -> bytes:
    """Draw how often training reads each dataset, beside its cap."""
    with mpl.rc_context(_STYLE):
        figure, axes = _bars(len(datasets))
        axes.barh(range(len(datasets)), [entry.epochs for entry in datasets], color=_colours(datasets), height=0.62)
        for row, entry in enumerate(datasets):
            axes.plot([entry.max_epochs] * 2, [row - 0.42, row + 0.42], color="#111827", lw=2)
        _names(axes, [entry.name for entry in datasets])
        axes.set_xlim(0, 1.06 * max(max(entry.epochs, entry.max_epochs) for entry in datasets))
        axes.set_xlabel("epochs (upright mark: the cap)")
        return _svg(figure)


def additional(datasets: Sequence[Dataset]) -> bytes:
    """Draw what part of each dataset is in the additional language by the text itself."""
    with mpl.rc_context(_STYLE):
        figure, axes = _bars(len(datasets))
        shares = [entry.additional_share for entry in datasets]
        axes.barh(range(len(datasets)), shares, color=_colours(datasets), height=0.62)
        for row, share in enumerate(shares):
            axes.annotate(f"{share:.1%}", (share, row), xytext=(5, 0), textcoords="offset points", va="center", size=9)
        _names(axes, [entry.name for entry in datasets])
        axes.set_xlim(0, 1.08)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}" if value <= 1 else ""))
        axes.set_xlabel("part of the tokens in the additional language")
        return _svg(figure)


def _bars(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 1.1 + 0.3 * max(rows, 2)), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False, axis="y")
    return figure, axes


def _names(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _colours(datasets: Sequence[Dataset]) -> list[str]:
    return [ADDITIONAL if entry.role == "additional" else BASE for entry in datasets]


def _svg(figure: Figure) -> bytes:
    FigureCanvasSVG(figure)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names may be written in what matplotlib has no glyphs of; a reader has
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
