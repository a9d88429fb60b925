"""Rules over a batch: statistics as columns, and the name of the first rule that objects as the reason.

Comes after ``language`` and ``edits``: every document meets the rules of its own language, as training will read it.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.documents import STATISTICS, Batch, set_column, undecided
from mixer.filters.settings import Ruling
from mixer.filters.statistics import SYNTAX_STATISTICS, compute
from mixer.filters.syntax import syntaxes_of


def statistics_of(rulebook: Mapping[str, Sequence[Ruling]]) -> list[str]:
    """Return the statistics that any rule of a rulebook looks at, in the order of the rules."""
    return list(dict.fromkeys(rule.statistic for rulings in rulebook.values() for rule, _ in rulings))


def judge(batch: Batch, rulebook: Mapping[str, Sequence[Ruling]], programming_language: str | None = None) -> Batch:
    """Apply to each document the rules of its language.

    Parameters
    ----------
    batch
        With the columns ``text`` and ``language``; documents that have a ``reason`` are left as they are.
    rulebook
        The rules in force by language, in the order in which they are asked (see ``settings.rulebook``). Documents of
        other languages meet no rule.
    programming_language
        The carried metadata that says what a document is written in; ``None``: see ``syntax.FIELDS``.

    Returns
    -------
    The batch with ``reason``, and a column ``statistics.<name>`` (float32) for every statistic that a rule of the
    rulebook looks at: null where no rule of the document's language does, or the document was dropped before.
    """
    open_documents = undecided(batch)
    columns = {name: np.full(len(batch), np.nan, np.float32) for name in statistics_of(rulebook)}
    syntaxes = syntaxes_of(batch, programming_language) if SYNTAX_STATISTICS.intersection(columns) else None
    reasons = np.full(len(batch), -1, np.int32)  # index into names
    names: list[str] = []
    for language, rulings in rulebook.items():
        of_language = pc.is_in(batch["language"], pa.array([language])).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(open_documents & of_language)
        if not len(rows):
            continue
        values = compute(batch["text"], rows, statistics_of({language: rulings}), syntaxes)
        for name, column in values.items():
            columns[name][rows] = column
        first = first_objections(rulings, values, len(rows))
        reasons[rows] = np.where(first < 0, first, first + len(names))
        names.extend(rule.name for rule, _ in rulings)
    for name, column in columns.items():
        batch = set_column(batch, STATISTICS + name, pa.array(column, pa.float32(), mask=np.isnan(column)))
    return _with_reasons(batch, reasons, names)


def first_objections(
    rulings: Sequence[Ruling], values: Mapping[str, NDArray[np.float32]], documents: int
) -> NDArray[np.int32]:
    """Return for each document the place of the first rule that objects, or -1: int32[documents].

    ``values`` has each statistic that the rules look at, float32[documents], NaN where a document has none.
    """
    first = np.full(documents, -1, np.int32)
    for place, (rule, threshold) in enumerate(rulings):
        first[(first < 0) & rule.objects(values[rule.statistic], threshold)] = place
    return first


def _with_reasons(batch: Batch, reasons: NDArray[np.int32], names: Iterable[str]) -> Batch:
    """Add to the column ``reason`` the names that ``reasons`` point to; -1 adds none."""
    found = pa.array(list(names), pa.string()).take(pa.array(reasons, mask=reasons < 0))
    if "reason" in batch.schema.names:
        found = pc.coalesce(batch["reason"], found)
    return set_column(batch, "reason", found)
