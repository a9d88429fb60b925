"""The table of formats: finding one by name or by what the records hold, and converting by it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mixer.dialogues.formats import alpaca, chosen, comparisons, messages, mutual, seed_tasks, tasks, tigerbot
from mixer.dialogues.formats.format import Format
from mixer.dialogues.turns import Item, Record, SetAsideError
from mixer.errors import RecipeError, did_you_mean
from mixer.sources.fields import MISSING, lookup

TABLE: Final[tuple[Format, ...]] = (
    *alpaca.FORMATS,
    *tigerbot.FORMATS,
    *seed_tasks.FORMATS,
    *messages.FORMATS,
    *mutual.FORMATS,
    *tasks.FORMATS,
    *chosen.FORMATS,
    *comparisons.FORMATS,
)
BY_NAME: Final = {form.name: form for form in TABLE}

LOOKED_AT: Final = 100
"""Records from the beginning of a source that its format is told from."""
_LABELS: Final = ("label", "kto_tag")
"""Fields that say whether a single answer is good, as KTO data have them (LLaMA-Factory, data/README.md)."""


def detect(records: Sequence[Record], source: str) -> Format:
    """Tell the format of some records by their fields.

    Raises
    ------
    RecipeError
        They are of no known format, or of more than one.
    """
    found = [form for form in TABLE if form.matches and any(map(form.matches, records))]
    if len(found) == 1:
        return found[0]
    fields = ", ".join(dict.fromkeys(field for record in records for field in record))
    if found:
        names = " or ".join(form.name for form in found)
        raise RecipeError(
            f"source {source!r}: its first records look like {names}",
            "name its `format`, or make a source of its own of the files of each",
        )
    raise RecipeError(
        f"source {source!r}: its records are of no known format; their fields are {fields[:500] or 'none'}",
        f"name its `format` ({', '.join(BY_NAME)}), with `fields` if they are called otherwise",
    )


def format_named(name: str) -> Format:
    """Return the format of that name.

    Raises
    ------
    RecipeError
        There is none.
    """
    if name not in BY_NAME:
        raise RecipeError(
            f"there is no format {name!r}{did_you_mean(name, BY_NAME)}", f"known formats: auto, {', '.join(BY_NAME)}"
        )
    return BY_NAME[name]


def renamed(record: Record, fields: Mapping[str, str]) -> Record:
    """Return a record with fields under the names of its format; ``fields`` has the record's own, dots allowed."""
    if not fields:
        return record
    values = {known: lookup(record, own) for known, own in fields.items()}
    return {**record, **{known: value for known, value in values.items() if value is not MISSING}}


def wanted(record: Record, only: Mapping[str, Any]) -> None:
    """Set a record aside if a field has another value than ``only`` says.

    Raises
    ------
    SetAsideError
        It has.
    """
    for field, value in only.items():
        if lookup(record, field) != value:
            raise SetAsideError("not_wanted", f"`{field}` is not {value!r}")


def convert(form: Format, record: Record, prefer: str) -> Item:
    """Make a dialogue or a preference of a part of a record.

    Raises
    ------
    SetAsideError
        It cannot be made, or the record says that its answer is a bad one.
    """
    if form.kind == "dialogue" and any(record.get(label) is False for label in _LABELS):
        raise SetAsideError("bad_answer")
    return form.convert(record, prefer)
