"""What there is to mix: the datasets of a build in numbers, and which of them are too short to train on.

The first step of planning a mixture: token counts come in from tokenizing, the solver (``weights.py``) takes them on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixer.errors import InfeasibleError
from mixer.mixture.settings import Strategy

MIN_SEQUENCES: Final = 64
"""A dataset below this many sequences is too small. Megatron draws whole sequences and builds at least a few of every
dataset, so a tiny one is repeated many times, down to several times inside one sequence; 64 keeps what its rounding
adds below two percent of the dataset."""
Basis: TypeAlias = Literal["label", "measured"]


@dataclass(frozen=True)
class Target:
    """What a mixture shall be, apart from its size.

    Parameters
    ----------
    almr
        The share of the additional language, 0 to 1.
    sequence_length
        Tokens in a sample.
    basis
        What counts as additional: whole datasets by their label, or the measured part of each.
    domains
        Shares by domain; domains not named share the rest.
    shares
        The smallest and the largest share by source, equal for one that is fixed; sources not named are free.
    strategy, temperature, weights
        Which shares are preferred (``preference.py``); ``weights`` by source.
    language
        The additional language, for messages.
    """

    almr: float
    sequence_length: int
    basis: Basis = "label"
    domains: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    strategy: Strategy = "proportional"
    temperature: float | None = None
    weights: Mapping[str, float] | None = None
    language: str = "the additional language"


@dataclass(frozen=True, eq=False)
class Inventory:
    """The datasets of a build; entry ``k`` of every field belongs to dataset ``k``.

    Parameters
    ----------
    names
        The prefix names ``<source>-<language>``, each once; they break ties.
    source
        The source of each dataset; all datasets of a source have one domain.
    tokens
        int64[K]: training tokens, EOD included.
    additional
        bool[K]: the label is the additional language.
    domain
        The domain of each dataset.
    measured
        float64[K]: additional share, the measured part of the tokens that is in the additional language, 0 to 1.
    max_epochs
        float64[K]: how often training may read the dataset on average, above 0.
    """

    names: list[str]
    source: list[str]
    tokens: NDArray[np.int64]
    additional: NDArray[np.bool_]
    domain: list[str]
    measured: NDArray[np.float64]
    max_epochs: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.names)
        columns = (self.source, self.tokens, self.additional, self.domain, self.measured, self.max_epochs)
        if any(len(column) != count for column in columns):
            raise ValueError("every field of an inventory must have one entry a dataset")
        if len(set(self.names)) != count:
            raise ValueError("two datasets of an inventory have the same name")
        if len(set(zip(self.source, self.domain, strict=True))) != len(set(self.source)):
            raise ValueError("a source of an inventory has two domains")
        if count and not (self.tokens.min() >= 0 and 0 <= self.measured.min() <= self.measured.max() <= 1):
            raise ValueError("tokens must not be negative and additional shares must be between 0 and 1")
        if count and not (np.isfinite(self.max_epochs).all() and self.max_epochs.min() > 0):
            raise ValueError("max_epochs must be above 0 and finite")

    def take(self, order: NDArray[np.int64]) -> "Inventory":
        """Return the datasets with these indices, in this order."""
        return Inventory(
            [self.names[k] for k in order],
            [self.source[k] for k in order],
            self.tokens[order],
            self.additional[order],
            [self.domain[k] for k in order],
            self.measured[order],
            self.max_epochs[order],
        )


def most_samples(tokens: int, max_epochs: float, sequence_length: int, phases: int = 1) -> int:
    """Return the largest n with n * sequence_length + phases <= max_epochs * tokens, exactly.

    A sample reads one token more than its length, and shares it with the next, so that there is one token more in each
    phase. ``max_epochs`` is taken at the exact value of the float, so that whoever multiplies it out again in floats
    finds the cap kept, too.
    """
    return max(0, int((Fraction(float(max_epochs)) * tokens - phases) // sequence_length))


def scores(inventory: Inventory, basis: Basis) -> list[Fraction]:
    """Return what a sample of each dataset counts towards the ALMR: 1 or 0 by label, or the measured share."""
    if basis == "label":
        return [Fraction(int(additional)) for additional in inventory.additional]
    return [Fraction(float(share)) for share in inventory.measured]


def too_small(inventory: Inventory, sequence_length: int) -> NDArray[np.bool_]:
    """Which datasets are shorter than ``MIN_SEQUENCES`` sequences: bool[K]. One without any token is not meant."""
    return (inventory.tokens > 0) & (inventory.tokens < MIN_SEQUENCES * sequence_length)


def usable(
    inventory: Inventory, wanted: NDArray[np.bool_], sequence_length: int, policy: Literal["refuse", "drop"]
) -> NDArray[np.bool_]:
    """Which datasets may get samples: bool[K]; those that are too small are refused or left out, as ``policy`` says.

    ``wanted`` is bool[K]: the others get none, whatever their size.

    Raises
    ------
    InfeasibleError
        The policy is ``refuse`` and a dataset is too small; the message names each with its tokens.
    """
    small = wanted & too_small(inventory, sequence_length)
    if policy == "refuse" and small.any():
        listed = ", ".join(f"{inventory.names[k]} ({inventory.tokens[k]:,} tokens)" for k in np.flatnonzero(small))
        shortest = int(inventory.tokens[small].min()) // MIN_SEQUENCES
        shorter = f"mixture.sequence_length: {shortest} or less; " if shortest >= 1 else ""
        raise InfeasibleError(
            f"too small to train on, shorter than {MIN_SEQUENCES} sequences of {sequence_length:,} tokens: {listed}",
            f"one of: mixture.small_datasets: drop (leaves them out); {shorter}"
            "declare the language of the source (language: in the recipe), so that no stray language splits off; "
            "or add text",
        )
    return wanted & (inventory.tokens > 0) & ~small
