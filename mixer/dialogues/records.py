"""From the files of a source to dialogues or preferences in form, one by one, with everything that was set aside.

Reading is ``mixer.sources``'; this module decodes whole records, finds out their format, and counts.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec

from mixer.dialogues.checks import checked
from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.table import LOOKED_AT, convert, detect, format_named, renamed, wanted
from mixer.dialogues.settings import TuningSource
from mixer.dialogues.turns import Item, Record, SetAsideError
from mixer.errors import InputError
from mixer.sources.plan import plan_source
from mixer.sources.read import read


@dataclass
class Tally:
    """What became of a source's records.

    Attributes
    ----------
    source, format
        Its name, and its format as found.
    kept
        Examples.
    aside
        Parts of records that are not trained on, by reason.
    first
        Where each reason was met first, and what was found there.
    notes
        Examples that something was done to, by what.
    unreadable
        Records that could not be read at all; ``unreadable_first`` says where and why the first.
    """

    source: str
    format: str = ""
    kept: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    unreadable_first: str = ""

    @property
    def read(self) -> int:
        """Dialogues and preferences that were found, trained on or not."""
        return self.kept + sum(self.aside.values())

    def set_aside(self, error: SetAsideError, place: str) -> None:
        """Count what is not trained on."""
        self.aside[error.reason] += 1
        self.first.setdefault(error.reason, f"{place}: {error}")

    def reject(self, file: str, position: str, cause: str) -> None:
        """Count a record that cannot be read."""
        self.unreadable += 1
        self.unreadable_first = self.unreadable_first or f"{file}, {position}: {cause}"


@dataclass(frozen=True)
class Found:
    """A dialogue or preference in form, where it comes from, and what was done to it."""

    item: Item
    place: str
    notes: Counter[str]


def find_format(source: TuningSource, root: Path) -> Format:
    """Return the format of a source, read from its first records if DATA.yaml does not name it.

    Raises
    ------
    RecipeError
        It cannot be told.
    InputError
        A file cannot be read.
    """
    if source.format != "auto":
        return format_named(source.format)
    first = []
    for _, record in _records(source, root, Tally(source.name)):
        first.append(record)
        if len(first) == LOOKED_AT:
            break
    return detect(first, source.name)


def items(source: TuningSource, root: Path, form: Format, tally: Tally) -> Iterator[Found]:
    """Yield what a source holds, in order.

    Parameters
    ----------
    source, root
        The source and the folder that its relative paths start from.
    form
        From ``find_format``.
    tally
        Counts what is set aside and what cannot be read; ``kept`` and ``notes`` are the caller's to count, who may
        still set something aside.

    Raises
    ------
    InputError
        A file cannot be read, or too many records cannot.
    RecipeError
        A path matches nothing, or a file is of no format that has records.
    """
    prefer = source.prefer or next(iter(form.prefer), "")
    tally.format = form.name
    count = 0
    for place, whole in _records(source, root, tally):
        for record in form.parts(renamed(whole, source.fields)):
            count += 1
            try:
                wanted(record, source.only)
                item, notes = checked(convert(form, record, prefer))
            except SetAsideError as error:
                tally.set_aside(error, place)
                continue
            yield Found(item, place, notes)
    if tally.unreadable > source.max_rejected * (count + tally.unreadable):
        raise InputError(
            f"source {source.name!r}: {tally.unreadable:,} of {count + tally.unreadable:,} records cannot be read, "
            f"first {tally.unreadable_first}",
            "correct the files, or allow more with `max_rejected`",
        )


def _records(source: TuningSource, root: Path, tally: Tally) -> Iterator[tuple[str, Record]]:
    """Yield each record and its place."""
    reading = source.reading
    batches = chain.from_iterable(read(task, reading, tally.reject) for task in plan_source(reading, root))
    for batch in batches:
        columns = (batch["file"].to_pylist(), batch["record"].to_pylist(), batch["text"].to_pylist())
        for file, record, text in zip(*columns, strict=True):
            yield f"{file}, record {record}", msgspec.json.decode(text)
