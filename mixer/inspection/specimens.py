"""Documents of a finished build with what decided about them, drawn at random or near a threshold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from mixer.contamination.findings import Finding, findings
from mixer.documents import EDITS, METADATA, STATISTICS, Batch, read_rows
from mixer.errors import UsageError, did_you_mean
from mixer.filters.check import Rule
from mixer.filters.settings import Ruling
from mixer.filters.table import RULES
from mixer.inspection.finished import BuildFile, Wanted, batches, files, reasons_of
from mixer.inspection.twins import Twin, texts_of, twin_of
from mixer.storage import Root

CONTAMINATION = "contamination"
"""The reason of documents that hold items of benchmarks."""


@dataclass(frozen=True)
class Specimen:
    """One document with what decided about it."""

    source: str
    file: str
    record: int
    language: str
    language_score: float
    reason: str | None
    text: str
    edits: Mapping[str, int]
    metadata: Mapping[str, str]
    ruling: Ruling | None
    """The rule that dropped the document, or that was asked about, with its threshold."""
    value: float | None
    """The statistic of that rule."""
    contamination: Sequence[Finding] = ()
    """Items of benchmarks that it was dropped for, the one that is covered best first."""
    twin: Twin | None = None
    """Of a duplicate: the document that was kept in its place."""


def inspect(directory: Root, wanted: Wanted, count: int, seed: int) -> list[Specimen]:
    """Draw documents of a build.

    Kept documents that are asked for with a rule are those nearest to its threshold; any others are drawn at random,
    by a hash of the seed and their place, so that the same question has the same answer.

    Raises
    ------
    UsageError
        There is no such build, source, language or reason.
    """
    nearest = wanted.kept is True and wanted.rule is not None
    chosen: list[tuple[float, str, int, BuildFile]] = []
    languages: set[str] = set()
    reasons: set[str] = set()
    for file in files(directory, wanted):
        rule = _rule_of(file, wanted) if nearest else None
        if nearest and rule is None:
            continue
        for start, batch in batches(file, ["language", "reason", *([STATISTICS + rule.statistic] if rule else [])]):
            languages.update(batch["language"].unique().to_pylist())
            reasons.update(name for name in reasons_of(batch).unique().to_pylist() if name)
            rows = np.flatnonzero(_matches(batch, wanted, with_rule=not nearest))
            order = _distance(batch, rows, file, rule) if rule else random_order(file.name, start + rows, seed)
            best = np.argsort(order, kind="stable")[:count]
            chosen += [
                (float(order[index]), file.name, int(start + rows[index]), file)
                for index in best
                if not np.isnan(order[index])
            ]
        chosen = sorted(chosen, key=lambda entry: entry[:3])[:count]
    _check_exists("language", wanted.language, languages)
    if not nearest:
        _check_exists("reason", wanted.rule, reasons, families=True)
    elif wanted.rule is not None and not chosen:
        _check_exists("rule", wanted.rule, {rule.name for rule in RULES})
    places: dict[str, list[int]] = {}
    by_name = {file.name: file for *_, file in chosen}
    for _, name, row, _ in chosen:
        places.setdefault(name, []).append(row)
    found = {
        (name, row): each for name in places for row, each in specimens_at(by_name[name], places[name], wanted.rule)
    }
    return _with_texts(directory, [found[name, row] for _, name, row, _ in chosen])


def _with_texts(directory: Root, specimens: list[Specimen]) -> list[Specimen]:
    """Add the texts of the twins that are in this build."""
    twins = {each.twin.origin for each in specimens if each.twin and each.twin.build is None}
    texts = texts_of(directory, twins)
    return [
        replace(each, twin=replace(each.twin, text=texts.get(each.twin.origin)))
        if each.twin and each.twin.build is None
        else each
        for each in specimens
    ]


def _matches(batch: Batch, wanted: Wanted, *, with_rule: bool) -> NDArray[np.bool_]:
    """Return which documents are asked for; a rule may be named by its family."""
    matches = np.ones(len(batch), np.bool_)
    if wanted.language is not None:
        matches &= pc.equal(batch["language"], wanted.language).fill_null(False).to_numpy(False)  # noqa: FBT003
    if with_rule and wanted.rule is not None:
        reasons = reasons_of(batch)
        named = pc.or_(pc.equal(reasons, wanted.rule), pc.starts_with(reasons, wanted.rule + "."))
        matches &= named.fill_null(False).to_numpy(False)  # noqa: FBT003
    return matches


def _rule_of(file: BuildFile, wanted: Wanted) -> Rule | None:
    """Return the rule asked about if documents of the file met it."""
    met = (rule for rulings in file.recorded().rules.values() for rule, _ in rulings)
    return next((rule for rule in met if rule.name == wanted.rule), None)


def _distance(batch: Batch, rows: NDArray[np.int64], file: BuildFile, rule: Rule) -> NDArray[np.float64]:
    """Return how far each document is from the threshold of a rule, NaN where it did not meet it."""
    values = batch[STATISTICS + rule.statistic].to_numpy(zero_copy_only=False)[rows].astype(np.float64)
    distance = np.full(len(rows), np.nan)
    languages = batch["language"].take(pa.array(rows))
    for language, rulings in file.recorded().rules.items():
        for threshold in (value for each, value in rulings if each.name == rule.name):
            here = pc.equal(languages, language).fill_null(False).to_numpy(False)  # noqa: FBT003
            bounds = threshold if isinstance(threshold, tuple) else (threshold,)
            distance[here] = np.min([np.abs(values[here] - bound) for bound in bounds], axis=0)
    return distance


def random_order(name: str, rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each row, from nothing but the seed and where the row stands (splitmix64)."""
    start = xxhash.xxh3_64_intdigest(name.encode(), seed)
    mixed: NDArray[np.uint64] = np.asarray(rows, np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(1 << 53)


def _check_exists(what: str, name: str | None, known: Iterable[str], *, families: bool = False) -> None:
    """Refuse a name that nothing in the build has."""
    found = set(known)
    names = found | {each.partition(".")[0] for each in found} if families else found
    if name is not None and name not in names:
        remedy = f"there are {', '.join(sorted(found))}" if found else f"nothing here has a {what}"
        raise UsageError(f"no document has the {what} {name!r}{did_you_mean(name, names)}", remedy)


def specimens_at(file: BuildFile, rows: Sequence[int], rule: str | None = None) -> Iterator[tuple[int, Specimen]]:
    """Read documents of a file by their places; only the parts of the file that hold them are read.

    Parameters
    ----------
    rule
        The rule whose statistic comes with documents that were kept.
    """
    rules = file.recorded().rules
    for row, values in read_rows(file.path, rows):
        specimen = _specimen(file.source, values, rules, rule)
        if specimen.reason == CONTAMINATION:
            specimen = replace(specimen, contamination=findings(file.root, file.task, specimen.file, specimen.record))
        yield row, specimen


def _specimen(source: str, row: Mapping[str, Any], rules: Mapping[str, Sequence[Ruling]], rule: str | None) -> Specimen:
    reason = row.get("reason")
    decided = reason or rule
    ruling = next((each for each in rules.get(row["language"], ()) if each[0].name == decided), None)
    return Specimen(
        source=source,
        file=row["file"],
        record=row["record"],
        language=row["language"],
        language_score=row["language_score"],
        reason=reason,
        text=row["text"],
        edits=_with_prefix(row, EDITS),
        metadata=_with_prefix(row, METADATA),
        ruling=ruling,
        value=row.get(STATISTICS + ruling[0].statistic) if ruling else None,
        twin=twin_of(row),
    )


def _with_prefix(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the columns of a kind that say something about a document."""
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix) and value}
