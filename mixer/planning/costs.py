"""What a build and the training after it will cost: hours of cores, bytes of disk, Megatron's indices.

Reckons with numbers alone; ``forecast.py`` hands over the datasets and the mixture. Hours come from the speeds of
``kinds.py``. Bytes of ``.bin`` and ``.idx`` are exact for exact counts, everything else is an estimate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mixer.megatron.blend import wanted_samples
from mixer.megatron.indexed import HEADER
from mixer.megatron.order import WIDE, layout
from mixer.plan import DOCUMENTS
from mixer.planning.kinds import STAGES, Kind
from mixer.prepare import WRITES as PREPARED

BLEND_BYTES: Final = 10
"""Megatron keeps an int16 and an int64 for every sample of a blend (``BlendedDataset``)."""
BLEND_NANOSECONDS: Final = 2.7
"""For every sample and prefix: megatron-core 0.16's compiled helper took 38 to 54 ns a sample with 20 prefixes, on one
core of a shared machine."""
_INT32_MAX: Final = 2**31 - 1


@dataclass(frozen=True)
class Amount:
    """What there is of a dataset, and what training reads of it.

    Attributes
    ----------
    kind
        Of text.
    text_bytes, documents, tokens
        Of the whole dataset.
    planned
        Samples that Megatron plans to draw; 0 for a dataset that is not in the blend.
    """

    kind: Kind
    text_bytes: int
    documents: int
    tokens: int
    planned: int


@dataclass(frozen=True)
class Disk:
    """Bytes on disk: the datasets (``.bin`` and ``.idx``), the documents kept, and what is only there meanwhile."""

    bin: int
    idx: int
    documents: int
    scratch: int

    @property
    def total(self) -> int:
        """All of them, which is the most that a build takes at a time."""
        return self.bin + self.idx + self.documents + self.scratch


@dataclass(frozen=True)
class Indices:
    """What Megatron makes of the datasets before its first step.

    Attributes
    ----------
    blend_bytes
        Memory of the blend, in every process that builds it.
    blend_seconds
        To build it, on one core.
    cache_bytes
        Of all indices, the blend's too, in the folder of ``--data-cache-path``.
    peak_bytes
        Memory while the largest document index is built.
    """

    blend_bytes: int
    blend_seconds: float
    cache_bytes: int
    peak_bytes: int


def core_hours(amounts: Sequence[Amount]) -> dict[str, float]:
    """Return the hours of one core that each stage of the build takes."""
    return {
        stage: sum(amount.text_bytes / (amount.kind.speeds[stage] * 1e6) for amount in amounts) / 3600
        for stage in STAGES
    }


def disk(amounts: Sequence[Amount], itemsize: int) -> Disk:
    """Return the bytes on disk.

    Parameters
    ----------
    amounts
        Every dataset of the build, also those that the mixture leaves out.
    itemsize
        Bytes of a token's id, 2 or 4.
    """
    text = sum(amount.text_bytes for amount in amounts)
    tokens = sum(amount.tokens for amount in amounts) * itemsize
    # An .idx: the header, then for each document a length, a pointer and its number; one number more.
    idx = sum(HEADER.size + 8 + 20 * amount.documents for amount in amounts if amount.tokens)
    return Disk(tokens, idx, int(DOCUMENTS * text), int(PREPARED * text) + tokens)


def indices(amounts: Sequence[Amount], sequence_length: int) -> Indices:
    """Return what Megatron's indices take.

    A document index has 4 bytes for every document and epoch (16 more while it is built), a sample index two numbers a
    sample and two at its end, int32 if every count fits, and a shuffle index one. A single dataset is read without
    blending.
    """
    drawn = [amount for amount in amounts if amount.planned]
    blended = len(drawn) > 1
    samples = sum(amount.planned for amount in drawn) if blended else 0
    cache, peak = BLEND_BYTES * samples, 0
    for amount in drawn:
        wanted = wanted_samples(amount.planned) if blended else amount.planned
        shape = layout(amount.tokens, wanted, sequence_length)
        entries = shape.epochs * amount.documents
        cache += 4 * entries
        cache += 2 * (4 if entries <= _INT32_MAX else 8) * (shape.samples + 1)
        cache += (4 if shape.samples < WIDE else 8) * shape.samples
        peak = max(peak, 20 * entries)
    return Indices(BLEND_BYTES * samples, samples * len(drawn) * BLEND_NANOSECONDS * 1e-9, cache, peak)
