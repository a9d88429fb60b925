"""What other thresholds would have decided about the documents of a finished build, from their stored statistics."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.documents import METADATA, STATISTICS
from mixer.filters.check import Threshold
from mixer.filters.judge import first_objections
from mixer.filters.settings import Ruling
from mixer.filters.statistics import compute
from mixer.filters.syntax import syntaxes_of
from mixer.filters.table import RULES
from mixer.inspection.finished import BuildFile, Wanted, batches, files, reasons_of, schema_of
from mixer.storage import Root


@dataclass
class Change:
    """What other thresholds would do to the documents of a source in a language, duplicates aside."""

    source: str
    language: str
    documents: int = 0
    kept: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Documents that are kept now and would not be, by the rule that would object."""
    back: Counter[str] = field(default_factory=Counter)
    """Documents that are dropped now and would not be, by the rule that objects now."""
    moved: int = 0
    """Documents that would be dropped for another reason."""


def what_if(directory: Root, wanted: Wanted, changes: Mapping[str, Threshold | bool]) -> list[Change]:
    """Decide about the documents of a build again, with other thresholds for some rules.

    Documents that were dropped for something else than a rule (their language, a duplicate, ...) stay dropped and are
    not counted. A statistic that no rule looked at in the build is computed from the stored text.

    Parameters
    ----------
    changes
        Thresholds by the name of the rule; ``False`` switches it off. They hold wherever the rule is in force; a rule
        that is in force for none of the documents asked about is switched on for all of them.

    Raises
    ------
    UsageError
        There is no such build or source.
    """
    asked = files(directory, wanted)
    met = {file.name: file.recorded() for file in asked}
    rules = {name: _in_language(record.rules, wanted.language) for name, record in met.items()}
    in_force = {rule.name for by_language in rules.values() for found in by_language.values() for rule, _ in found}
    found: dict[tuple[str, str], Change] = {}
    for file in asked:
        for language, before in rules[file.name].items():
            after = _changed(before, changes, in_force)
            for change in _redecide(file, language, met[file.name].programming_language, before, after):
                total = found.setdefault((file.source, language), Change(file.source, language))
                total.documents += change.documents
                total.kept += change.kept
                total.moved += change.moved
                total.lost.update(change.lost)
                total.back.update(change.back)
    return [found[key] for key in sorted(found)]


def _in_language(rules: Mapping[str, list[Ruling]], language: str | None) -> dict[str, list[Ruling]]:
    return {name: rulings for name, rulings in rules.items() if language in (None, name)}


def _changed(
    before: Sequence[Ruling], changes: Mapping[str, Threshold | bool], in_force: Collection[str]
) -> list[Ruling]:
    """Return the rules in force after the changes, in the order of the table.

    A rule that is in force somewhere is changed where it is; one that is nowhere (``in_force``) is switched on.
    """
    values: dict[str, Threshold | bool] = {rule.name: threshold for rule, threshold in before}
    values.update({name: value for name, value in changes.items() if name in values or name not in in_force})
    return [(rule, values[rule.name]) for rule in RULES if not isinstance(values.get(rule.name, False), bool)]


def _redecide(
    file: BuildFile,
    language: str,
    programming_language: str | None,
    before: Sequence[Ruling],
    after: Sequence[Ruling],
) -> Iterator[Change]:
    """Decide again about the documents of one language in a file."""
    stored = set(schema_of(file.path).names)
    met = {rule.statistic for rule, _ in before}
    statistics = list(dict.fromkeys(rule.statistic for rule, _ in after))
    missing = [name for name in statistics if name not in met or STATISTICS + name not in stored]
    columns = [STATISTICS + name for name in statistics if name not in missing]
    if missing:
        columns += ["text", "file", *(name for name in sorted(stored) if name.startswith(METADATA))]
    names = pa.array([rule.name for rule, _ in before], pa.string())
    for _, batch in batches(file, ["language", "reason", *columns]):
        reasons = reasons_of(batch)
        judged = pc.or_(pc.is_null(reasons), pc.is_in(reasons, names))
        own = pc.and_(judged, pc.equal(batch["language"], language).fill_null(False))  # noqa: FBT003
        rows = np.flatnonzero(own.to_numpy(zero_copy_only=False))
        if not len(rows):
            continue
        part = batch.take(pa.array(rows))
        values = {name: _numbers(part[STATISTICS + name]) for name in statistics if name not in missing}
        if missing:
            syntaxes = syntaxes_of(part, programming_language)
            values.update(compute(part["text"], np.arange(len(part)), missing, syntaxes))
        yield _compare(
            file.source, language, reasons_of(part).to_pylist(), after, first_objections(after, values, len(part))
        )


def _numbers(column: pa.Array) -> NDArray[np.float32]:
    """Return a stored statistic, NaN where a document has none."""
    return np.asarray(pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False), np.float32)


def _compare(
    source: str, language: str, old: Sequence[str | None], after: Sequence[Ruling], first: NDArray[np.int32]
) -> Change:
    change = Change(source, language, documents=len(old))
    for reason, place in zip(old, first.tolist(), strict=True):
        new = after[place][0].name if place >= 0 else None
        change.kept += reason is None
        if reason is None and new is not None:
            change.lost[new] += 1
        elif reason is not None and new is None:
            change.back[reason] += 1
        elif reason != new:
            change.moved += 1
    return change
