"""From counted datasets to ``mixture.json``: what goes into the solver, and what comes out of it as a manifest.

The last step before writing. The build hands over what it counted; ``weights.plan`` decides; ``export`` writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixer.manifest import Almr, Dataset, Hashes, Manifest, Tokenizer, ValidDataset, prefix_of
from mixer.megatron.indexed import IndexFile
from mixer.mixture.inventory import MIN_SEQUENCES
from mixer.mixture.phases import Lengths, plan_phases
from mixer.mixture.settings import MixtureSettings
from mixer.mixture.weights import Inventory, Mixture, plan
from mixer.storage import Root


@dataclass(frozen=True)
class Counted:
    """What the build has counted of one training dataset, before it has a weight.

    ``name`` is that of its prefix; ``additional`` is a sum of fractions (neutral tokens are shared out); ``max_epochs``
    is the cap of its source.
    """

    name: str
    source: str
    language: str
    domain: str
    documents: int
    tokens: int
    additional: float
    neutral: int
    max_epochs: float
    hashes: Hashes

    @property
    def additional_tokens(self) -> int:
        """Tokens in the additional language, whole."""
        return round(self.additional)


def fit_to_trial(settings: MixtureSettings, tokens: Sequence[int]) -> MixtureSettings:
    """Make the mixture one that a few documents of each source can fill: as large as possible, in short sequences.

    The sequences are the longest, up to the recipe's, at which no dataset is too small. Phases become one mixture with
    their mean ratio.

    Parameters
    ----------
    settings
        The recipe's.
    tokens
        Of each training dataset.
    """
    shortest = min((count for count in tokens if count >= MIN_SEQUENCES), default=MIN_SEQUENCES)
    length = min(settings.sequence_length, shortest // MIN_SEQUENCES)
    changes: dict[str, Any] = {"sequence_length": length, "tokens": "max", "small_datasets": "drop"}
    if settings.phases:
        parts = settings.by_phase
        almr = sum(part.almr * int(part.tokens) for part in parts) / sum(int(part.tokens) for part in parts)
        changes |= {"phases": (), "almr": almr}
    return settings.model_copy(update=changes)


def decide(
    inventory: Inventory,
    settings: MixtureSettings,
    shares: Mapping[str, tuple[float, float]],
    lengths: Lengths | None = None,
) -> Mixture:
    """Find the mixture that a recipe asks for, of a training with or without phases.

    Parameters
    ----------
    inventory, settings, shares
        As in ``weights.plan``.
    lengths
        As in ``phases.plan_phases``; None where only counts are known.

    Raises
    ------
    InfeasibleError
        There is no such mixture.
    """
    if settings.phases:
        return plan_phases(inventory, settings, shares, lengths)
    return plan(inventory, settings, shares)


def compose(
    recipe: str,
    build: str,
    tokenizer: Tokenizer,
    counted: Sequence[Counted],
    valid: Sequence[ValidDataset],
    settings: MixtureSettings,
    shares: Mapping[str, tuple[float, float]],
    seed: int,
    root: Root,
) -> tuple[Manifest, Mixture]:
    """Solve the mixture of some datasets and describe it.

    Parameters
    ----------
    recipe, build
        Name of the recipe; content id of the build.
    tokenizer
        What tokens are counted in.
    counted, valid
        The datasets of the two splits.
    settings
        What the mixture shall be.
    shares
        The smallest and the largest share of each source, 0 and 1 where none is set.
    seed
        The recipe's seed, for the record.
    root
        The directory that holds the datasets; only phases look at them, at the lengths of their documents.

    Returns
    -------
    The manifest, in which phases are still missing (``views.py`` writes and names them), and the mixture.

    Raises
    ------
    InfeasibleError
        There is no such mixture.
    """
    datasets = sorted(counted, key=lambda dataset: dataset.name)
    additional = [dataset.language == settings.additional_language for dataset in datasets]
    inventory = Inventory(
        names=[dataset.name for dataset in datasets],
        source=[dataset.source for dataset in datasets],
        tokens=np.array([dataset.tokens for dataset in datasets], np.int64),
        additional=np.array(additional, np.bool_),
        domain=[dataset.domain for dataset in datasets],
        measured=np.array([d.additional_tokens / d.tokens if d.tokens else 0.0 for d in datasets], np.float64),
        max_epochs=np.array([dataset.max_epochs for dataset in datasets], np.float64),
    )
    prefixes = [prefix_of(build, f"train/{dataset.name}") for dataset in datasets]
    mixture = decide(inventory, settings, shares, lambda k: IndexFile(root / prefixes[k]).lengths)
    manifest = Manifest(
        recipe=recipe,
        build=build,
        tokenizer=tokenizer,
        sequence_length=settings.sequence_length,
        samples=mixture.samples,
        samples_max=mixture.samples_max,
        tokens=mixture.samples * settings.sequence_length,
        almr=Almr(target=mixture.target, basis=mixture.basis, realised=mixture.realised, measured=mixture.measured),
        datasets=tuple(
            Dataset(
                prefix=prefixes[k],
                source=dataset.source,
                language=dataset.language,
                domain=dataset.domain,
                role="additional" if additional[k] else "base",
                documents=dataset.documents,
                tokens=dataset.tokens,
                additional_tokens=dataset.additional_tokens,
                base_tokens=dataset.tokens - dataset.additional_tokens,
                neutral_tokens=dataset.neutral,
                samples=int(mixture.n[k]),
                weight=float(mixture.weights[k]),
                epochs=float(mixture.epochs[k]),
                max_epochs=dataset.max_epochs,
                xxh64=dataset.hashes,
            )
            for k, dataset in enumerate(datasets)
        ),
        valid=tuple(sorted(valid, key=lambda dataset: dataset.prefix)),
        additional_language=settings.additional_language,
        global_batch=settings.global_batch,
        seed=seed,
        settings=settings.record,
        shares=dict(shares),
    )
    return manifest, mixture
