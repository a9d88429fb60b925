"""Runs what ``prepare`` does to documents over a few files and counts at every rule, for tuning thresholds in seconds.

Nothing is written. It sees the documents as a build would: read, labelled, edited, judged; duplicates aside.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.documents import EDITS, STATISTICS, Batch, text_bytes
from mixer.errors import InputError
from mixer.filters.settings import Overrides, Ruling, rulebook
from mixer.loading import check
from mixer.recipe import Recipe, Source
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.steps import Steps, attach_files, checks_of


@dataclass
class RuleCount:
    """What one rule did to the documents of a language."""

    rule: Ruling
    objects: int = 0
    """Documents that it objects to."""
    alone: int = 0
    """Those that no other rule objects to: what switching it off would bring back."""
    first: int = 0
    """Those that were dropped for it."""
    values: list[NDArray[np.float32]] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Return a quantile of its statistic over all documents that it looked at; NaN if there are none."""
        values = np.concatenate(self.values) if self.values else np.empty(0, np.float32)
        values = values[~np.isnan(values)]
        return float(np.quantile(values, share)) if len(values) else float("nan")


@dataclass
class LanguageCount:
    """What became of the documents of a language."""

    rules: list[RuleCount]
    documents: int = 0
    kept: int = 0
    bytes: int = 0
    kept_bytes: int = 0
    other: Counter[str] = field(default_factory=Counter)
    """Reasons that are no rule of the table: the language itself, and the like."""
    edits: Counter[str] = field(default_factory=Counter)
    edited: Counter[str] = field(default_factory=Counter)


@dataclass
class Funnel:
    """What became of all documents of some files."""

    languages: dict[str, LanguageCount]
    rejected: list[tuple[str, str, str]]
    """File, position and cause of each record that could not be read."""


def source_of(
    files: Sequence[str],
    given: Mapping[str, str],
    filters: Mapping[str, Any],
    recipe: Recipe | None = None,
    like: Source | None = None,
) -> tuple[Recipe, Source]:
    """Describe some files as the one source of a recipe.

    Parameters
    ----------
    given
        Keys of a source, such as ``domain`` and ``text``.
    filters
        What the source says about checks, unchecked.
    recipe, like
        A source to take everything else from, and the recipe that it stands in.

    Raises
    ------
    RecipeError
        Anything of it is unknown or impossible.
    """
    own = like.model_dump(exclude={"filters", "paths", "datasets"}, exclude_unset=True) if like else {}
    tree = {"domain": "web", **own, **given, "name": "files", "paths": list(files), "filters": filters}
    made = check({"name": "files", "sources": [tree]}, "the options")
    if recipe is None or like is None:
        return made, made.sources[0]
    asked = made.sources[0].filters
    merged = Overrides({**like.filters.values, **asked.values}, asked.profiles or like.filters.profiles)
    source = made.sources[0].model_copy(update={"filters": merged})
    return recipe.model_copy(update={"sources": [source]}), source


def funnel(recipe: Recipe, source: Source, root: Path, limit: int | None = None) -> Funnel:
    """Take the documents of a source through the steps of ``prepare``.

    Parameters
    ----------
    root
        The folder that relative paths start from.
    limit
        Read only so many documents.

    Raises
    ------
    RecipeError, InputError
        A file is missing, cannot be read, or holds no document.
    """
    rules = rulebook(checks_of(recipe, source))
    found = Funnel({}, [])
    steps = Steps(recipe, source, attach_files(recipe, root))
    for task in plan_source(source, root, limit):
        for batch in read(task, source, lambda *reject: found.rejected.append(reject)):
            kept, dropped = steps(batch)
            for part in (kept, dropped):
                _count(part, rules, found.languages)
    if not found.languages:
        causes = "".join(f"\n  {file}, {position}: {cause}" for file, position, cause in found.rejected[:3])
        raise InputError(
            f"no document in {', '.join(source.paths or [source.name])}{causes}",
            "name the field of the text by --text; an encoding or format needs a recipe: --recipe FILE --source NAME",
        )
    return found


def _count(part: Batch, rules: dict[str, list[Ruling]], found: dict[str, LanguageCount]) -> None:
    """Add the kept or the dropped documents of a batch."""
    for language in part["language"].unique().to_pylist():
        own = part.filter(pc.equal(part["language"], language))
        rulings = rules.get(language, [])
        counts = found.setdefault(language, LanguageCount([RuleCount(ruling) for ruling in rulings]))
        size = text_bytes([own])
        counts.documents += len(own)
        counts.bytes += size
        reasons: Counter[str] = Counter()
        if "reason" in own.schema.names:
            reasons.update({entry["values"]: entry["counts"] for entry in own["reason"].value_counts().to_pylist()})
        else:
            counts.kept += len(own)
            counts.kept_bytes += size
        _count_rules(own, counts.rules)
        for entry in counts.rules:
            entry.first += reasons.pop(entry.rule[0].name, 0)
        counts.other.update(reasons)
        for name in (name for name in own.schema.names if name.startswith(EDITS)):
            made = own[name].fill_null(0).to_numpy()
            counts.edits[name.removeprefix(EDITS)] += int(made.sum())
            counts.edited[name.removeprefix(EDITS)] += int((made > 0).sum())


def _count_rules(batch: Batch, counts: Sequence[RuleCount]) -> None:
    """Ask every rule about every document that was judged, whichever objected first."""
    objections = np.zeros((len(counts), len(batch)), np.bool_)
    for entry, objects in zip(counts, objections, strict=True):
        rule, threshold = entry.rule
        column = batch[STATISTICS + rule.statistic]
        values = np.asarray(pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False), np.float32)
        objects[:] = rule.objects(values, threshold)
        entry.objects += int(objects.sum())
        entry.values.append(values)
    alone = objections.sum(axis=0) == 1
    for entry, objects in zip(counts, objections, strict=True):
        entry.alone += int((objects & alone).sum())
