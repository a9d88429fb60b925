"""The ratio over the whole training, from a replay of Megatron's order: the points of a curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixer.manifest import Manifest
from mixer.mixture.running import Running

POINTS = 160
"""Places of the training that the curve is drawn through, evenly spaced on a logarithmic scale."""


@dataclass(frozen=True)
class Curve:
    """The ALMR of everything up to some places of the training.

    Attributes
    ----------
    samples
        int64[P], the places: so many samples have been drawn.
    realised, measured
        float64[P], by label, and by the language of the text.
    low, high
        float64[P], the largest distances below and above the line of the realised ALMR at any step so far, in samples
        (``mixer.mixture.running`` says what the line is).
    bounds
        Between which the distance stays at every step.
    """

    samples: NDArray[np.int64]
    realised: NDArray[np.float64]
    measured: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bounds: tuple[float, float]


def checkpoints(samples: int) -> list[int]:
    """Return the places that the page gives in figures: after 1, 10, 50 and 100 % of the training."""
    return sorted({max(1, round(part * samples)) for part in (0.01, 0.1, 0.5, 1.0)})


def curve(manifest: Manifest) -> Curve:
    """Replay a training, phase by phase where it has some: each is held against its own line."""
    spread = np.geomspace(1, manifest.samples, POINTS).round().astype(np.int64)
    samples = np.union1d(spread, np.array(checkpoints(manifest.samples)))
    rows, bounds = [], []
    before, additional, text, low, high = 0, 0, 0.0, 0.0, 0.0
    for part in manifest.parts:
        drawn = [entry for entry in part.datasets if entry.samples]
        running = Running(drawn, [entry.weight for entry in drawn], part.almr, part.samples)
        for place in samples[(samples > before) & (samples <= before + part.samples)].tolist():
            running.advance(place - before)
            by_label, by_text = running.additional
            off, _ = running.deviations
            rows.append(
                ((additional + by_label) / place, (text + by_text) / place, min(low, off.low), max(high, off.high))
            )
        running.advance(part.samples)
        by_label, by_text = running.additional
        off, _ = running.deviations
        before, additional, text = before + part.samples, additional + by_label, text + by_text
        low, high = min(low, off.low), max(high, off.high)
        bounds.append(running.bounds)
    columns = np.array(rows).T
    lows, highs = zip(*bounds, strict=True)
    return Curve(samples, columns[0], columns[1], columns[2], columns[3], (min(lows), max(highs)))
