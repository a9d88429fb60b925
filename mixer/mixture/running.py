"""The ALMR while training runs: Megatron's order of a blend, held against its line after every single sample.

``verify`` proves a build with it, and the report draws its curve from it, so that both speak of the same deviation.

The line of a basis (label, or measured) is the target where the target is on that basis: how far training is off what
was asked for. On the other basis nobody asked for a ratio, and the line is what the whole training comes to. Megatron's
rule keeps its distance from the ratio of whole samples; the line of the target lies up to half a sample beside that at
the end, by which the bounds are wider.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixer.manifest import Almr, Dataset
from mixer.megatron.blend import Batches, Deviation, Replay, group_bounds


def lines(almr: Almr) -> tuple[float, float]:
    """Return the lines of the realised and of the measured ALMR."""
    return (almr.target, almr.measured) if almr.basis == "label" else (almr.realised, almr.target)


class Running:
    """A training, from the first sample on: what was drawn so far, and how far it ever was from its lines.

    Parameters
    ----------
    datasets
        The K datasets of the blend, in its order.
    weights
        float[K], as Megatron reads them.
    almr
        Of the whole training.
    samples
        That the whole training draws.
    batch
        Samples of a global batch; 0: batches are not looked at.

    Attributes
    ----------
    bounds
        Between which the realised ALMR stays around its line after every sample, in samples: minus the base datasets,
        and the additional ones, each wider by what the line is beside the ratio of whole samples.
    """

    def __init__(
        self, datasets: Sequence[Dataset], weights: ArrayLike, almr: Almr, samples: int, batch: int = 0
    ) -> None:
        self._group = np.array([entry.role == "additional" for entry in datasets])
        self._shares = np.array([entry.additional_share for entry in datasets])
        self._replay = Replay(weights, [self._group, self._shares], lines(almr), batch)
        low, high = group_bounds(self._group)
        beside = abs(lines(almr)[0] - almr.realised) * samples
        self.bounds = low - beside, high + beside

    def advance(self, to: int) -> None:
        """Go on until ``to`` samples have been drawn in all."""
        self._replay.advance(to)

    @property
    def samples(self) -> int:
        """How many have been drawn."""
        return self._replay.step

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of them come from each dataset: int64[K]."""
        return self._replay.counts

    @property
    def additional(self) -> tuple[int, float]:
        """How many of them are of the additional language, by label and measured."""
        counts = self.counts
        return int(counts[self._group].sum()), float(counts @ self._shares)

    @property
    def deviations(self) -> tuple[Deviation, Deviation]:
        """The extreme distances so far of the realised and of the measured ALMR from their lines."""
        realised, measured = self._replay.deviations
        return realised, measured

    @property
    def batches(self) -> tuple[Batches, ...]:
        """The same of whole batches, each by itself; none before the first one is whole."""
        return tuple(self._replay.batches)
