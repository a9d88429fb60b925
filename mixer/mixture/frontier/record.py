"""Writes what was found as one JSON object, for programs and for the report; the last step of ``mixer frontier``."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mixer.mixture.frontier.choice import Frontier, Interval
from mixer.mixture.frontier.laws import Asked
from mixer.mixture.frontier.lines import Line
from mixer.mixture.frontier.runs import Runs

FORMAT = 1


def write_record(path: Path, runs: Runs, frontier: Frontier, asked: Asked | None) -> None:
    """Write both frontiers, the choice, the laws and every doubt. No clock, host or path is in it."""
    points = frontier.points
    found = {
        "format": FORMAT,
        "points": len(points.where),
        "runs": int(points.counts.sum()),
        "set_aside": points.set_aside,
        "metrics": {name: "lower" if name in runs.lower else "higher" for name in runs.metrics},
        "size": points.size,
        "loss_frontier": _line(frontier.loss_line),
        "metric_frontier": _line(frontier.metric_line),
        "almr": _interval(frontier.almr),
        "lr": _interval(frontier.lr),
        "seed": frontier.seed,
        "resamples": frontier.resamples,
        "warnings": list(frontier.warnings),
        "laws": None if asked is None else _laws(asked),
    }
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def _line(line: Line | None) -> dict[str, Any] | None:
    """Return a * log10(LR) + b * ALMR in percent = c, also as an equation to read."""
    return None if line is None else {"equation": str(line), **asdict(line)}


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    """Return a value with its interval; an end that is beyond any number is null."""
    if interval is None:
        return None
    return {name: value if math.isfinite(value) else None for name, value in asdict(interval).items()}


def _laws(asked: Asked) -> dict[str, Any]:
    """Return what the laws recommend, with their numbers."""

    def numbers(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: numbers(item) for name, item in value.items()}
        if isinstance(value, np.ndarray | tuple):
            return [numbers(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    found: dict[str, Any] = numbers(asdict(asked))
    return found
