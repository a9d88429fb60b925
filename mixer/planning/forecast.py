"""The whole mixture from token counts: what ``mixer build`` would arrive at, and what it would cost.

Nothing that the recipe names has to exist. The solver is that of a build, so the answer is the same for the same
counts, and what cannot be is refused with the same remedies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mixer.errors import RecipeError
from mixer.loading import LoadedRecipe
from mixer.megatron.blend import needed_surplus, planned_samples
from mixer.megatron.indexed import token_dtype
from mixer.mixture.compose import decide
from mixer.mixture.inventory import Inventory
from mixer.mixture.weights import Mixture
from mixer.planning.costs import Amount, Disk, Indices, core_hours, disk, indices
from mixer.planning.counts import Count, Counts
from mixer.planning.kinds import Kind, kind_of
from mixer.recipe import Recipe
from mixer.storage import Root
from mixer.tokenize.parts import Limits, Size, names_of, parts_for
from mixer.tokenize.vocabulary import load_vocabulary

OFF: Final = 0.001
"""A measured ALMR this far from the target is worth a warning: a tenth of a percentage point."""
ITEMSIZE: Final = 4
"""Bytes of an id where the vocabulary cannot be looked at: right for every one of 65,500 tokens or more."""


@dataclass(frozen=True)
class Dataset:
    """A dataset that a build would make, and what training would read of it.

    Attributes
    ----------
    name, source, language, domain, role
        As in ``mixture.json``.
    count
        What is known of it.
    kind
        Of text.
    tokens, documents, text_bytes
        As counted, or estimated.
    prefixes
        How many prefixes it goes into.
    samples, weight, epochs, max_epochs
        As in ``mixture.json``.
    """

    name: str
    source: str
    language: str
    domain: str
    role: str
    count: Count
    kind: Kind
    tokens: int
    documents: int
    text_bytes: int
    max_epochs: float
    prefixes: int
    samples: int = 0
    weight: float = 0.0
    epochs: float = 0.0

    @property
    def is_estimate(self) -> bool:
        """Whether nobody has counted the tokens."""
        return self.count.estimate or self.count.tokens is None


@dataclass(frozen=True)
class Forecast:
    """A planned mixture, its costs, and what the user should know.

    ``measured`` is the ALMR by the language of the text; None if no count tells additional shares. ``hours`` are those
    of a core, by stage.
    """

    recipe: Recipe
    counts: Root
    datasets: tuple[Dataset, ...]
    mixture: Mixture
    measured: float | None
    hours: dict[str, float]
    disk: Disk
    indices: Indices
    warnings: tuple[str, ...]


def forecast(loaded: LoadedRecipe, path: Root, counts: Counts) -> Forecast:
    """Plan the mixture of a recipe.

    Parameters
    ----------
    loaded
        The recipe.
    path, counts
        Where the counts stand, and what they are.

    Raises
    ------
    RecipeError
        ``almr_basis: measured`` is asked for, and a count has no additional share.
    InfeasibleError
        There is no such mixture.
    """
    recipe, settings = loaded.recipe, loaded.recipe.mixture
    if settings.almr_basis == "measured":
        _check_shares(path, counts)
    found = sorted(_datasets(recipe, counts), key=lambda dataset: dataset.name)
    parts = sorted((part for dataset in found for part in _parts(dataset)), key=lambda part: part.name)
    shares = [part.dataset.count.additional_share for part in parts]
    additional = np.array([part.dataset.role == "additional" for part in parts], np.bool_)
    inventory = Inventory(
        names=[part.name for part in parts],
        source=[part.dataset.source for part in parts],
        tokens=np.array([part.tokens for part in parts], np.int64),
        additional=additional,
        domain=[part.dataset.domain for part in parts],
        measured=np.array(
            [float(label) if share is None else share for share, label in zip(shares, additional, strict=True)]
        ),
        max_epochs=np.array([part.dataset.max_epochs for part in parts], np.float64),
    )
    mixture = decide(inventory, settings, recipe.share_bounds)
    planned = np.zeros(len(parts), np.int64)
    drawn = mixture.n > 0
    planned[drawn] = planned_samples(mixture.weights[drawn], mixture.samples)
    amounts = [
        Amount(part.dataset.kind, part.text_bytes, part.documents, part.tokens, int(count))
        for part, count in zip(parts, planned, strict=True)
    ]
    datasets = tuple(_drawn(dataset, parts, mixture) for dataset in found)
    measured = mixture.measured if any(share is not None for share in shares) else None
    return Forecast(
        recipe,
        path,
        datasets,
        mixture,
        measured,
        core_hours(amounts),
        disk(amounts, _itemsize(loaded)),
        indices(amounts, settings.sequence_length),
        tuple(_warnings(recipe, datasets, mixture, inventory.tokens, measured)),
    )


def _datasets(recipe: Recipe, counts: Counts) -> Iterable[Dataset]:
    """Yield the datasets that there are counts of, without samples yet."""
    for source in recipe.sources:
        for language, count in counts[source.name].items():
            kind = kind_of(source.domain, language)
            tokens = count.tokens if count.tokens is not None else round((count.bytes or 0) / kind.bytes_per_token)
            text = count.bytes if count.bytes is not None else round(tokens * kind.bytes_per_token)
            documents = count.documents
            if documents is None:
                documents = -(-text // kind.bytes_per_document)
            yield Dataset(
                name=f"{source.name}-{language}",
                source=source.name,
                language=language,
                domain=source.domain,
                role="additional" if language == recipe.mixture.additional_language else "base",
                count=count,
                kind=kind,
                tokens=tokens,
                documents=documents,
                text_bytes=text,
                max_epochs=recipe.max_epochs(source.name),
                prefixes=parts_for(Size(documents, tokens), Limits()),
            )


@dataclass(frozen=True)
class _Part:
    """A prefix of a dataset, which a build would cut into equal parts."""

    name: str
    dataset: Dataset
    tokens: int
    documents: int
    text_bytes: int


def _parts(dataset: Dataset) -> Iterable[_Part]:
    count = dataset.prefixes
    for k, name in enumerate(names_of(dataset.name, count)):
        of_whole = (dataset.tokens, dataset.documents, dataset.text_bytes)
        yield _Part(name, dataset, *((k + 1) * whole // count - k * whole // count for whole in of_whole))


def _drawn(dataset: Dataset, parts: Sequence[_Part], mixture: Mixture) -> Dataset:
    """Return a dataset with what is drawn of all its parts."""
    own = [k for k, part in enumerate(parts) if part.dataset == dataset]
    tokens = max(1, dataset.tokens)
    return replace(
        dataset,
        samples=int(mixture.n[own].sum()),
        weight=float(mixture.weights[own].sum()),
        epochs=float(sum(mixture.epochs[k] * parts[k].tokens for k in own)) / tokens,
    )


def _check_shares(path: Root, counts: Counts) -> None:
    """Make sure that every count tells its additional share."""
    missing = [
        f"{source}-{language}"
        for source, languages in counts.items()
        for language, count in languages.items()
        if count.additional_share is None
    ]
    if missing:
        raise RecipeError(
            f"mixture.almr_basis: measured needs the additional_share of every count; {path} has none for "
            f"{', '.join(missing)}",
            "add them, or plan with almr_basis: label",
        )


def _itemsize(loaded: LoadedRecipe) -> int:
    """Return the bytes of a token's id, as far as the recipe's tokenizer can be looked at."""
    file = loaded.root / loaded.recipe.tokenizer
    try:
        vocabulary = load_vocabulary(str(file) if file.exists() else loaded.recipe.tokenizer)
    except RecipeError:  # it is not there yet
        return ITEMSIZE
    return token_dtype(vocabulary.vocab_size).itemsize


def _warnings(
    recipe: Recipe,
    datasets: tuple[Dataset, ...],
    mixture: Mixture,
    tokens: NDArray[np.int64],
    measured: float | None,
) -> Iterable[str]:
    """Yield what the user should know before downloading anything; ``tokens`` are those of each prefix."""
    settings = recipe.mixture
    if estimates := [dataset.name for dataset in datasets if dataset.is_estimate and dataset.tokens]:
        yield f"nobody has counted the tokens of {', '.join(estimates)}: estimates (~)"
    if repeated := [f"{dataset.name} ({dataset.epochs:.2f})" for dataset in datasets if dataset.epochs > 1]:
        yield f"read more than once: {', '.join(repeated)}"
    if measured is not None:
        silent = [d.name for d in datasets if d.samples and d.count.additional_share is None]
        assumed = f" (as labelled where no share is counted: {', '.join(silent)})" if silent else ""
        if settings.almr_basis == "label" and abs(measured - mixture.target) > OFF:
            yield (
                f"by the language of the text the ALMR is {measured:.4f}, not {mixture.target:g}{assumed}; "
                "mixture.almr_basis: measured aims at that"
            )
    drawn = mixture.n > 0
    surplus = needed_surplus(mixture.weights[drawn], tokens[drawn], settings.sequence_length, mixture.samples)
    if surplus is not None:
        yield f"so few samples of so many datasets need --mid-level-dataset-surplus {surplus!r} (args.txt will say so)"
