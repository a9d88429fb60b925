"""What a format is: the fields that tell it, and how a record becomes a dialogue or a preference."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mixer.dialogues.turns import Item, Record

Kind: TypeAlias = Literal["dialogue", "preference"]
Convert: TypeAlias = Callable[[Record, str], Item]
"""``convert(record, prefer)`` raises ``SetAsideError``; ``prefer`` is one of the format's, or empty if it has none."""


def _one(record: Record) -> list[Record]:
    return [record]


@dataclass(frozen=True)
class Format:
    """A published format.

    Attributes
    ----------
    name
        As DATA.yaml writes it.
    kind
        What its records are.
    summary
        For the documentation: the data sets that are published so.
    required, optional
        Fields that are looked at; a source can say under which names its records have them.
    convert
        Makes a dialogue or a preference of a record.
    matches
        Whether a record is of this format, asked where DATA.yaml names none; None: it must be named, since another
        format has the same fields and reads it in the same way.
    parts
        The records that a record holds, each converted by itself.
    prefer
        Ways of telling which answer is better, the default first.
    """

    name: str
    kind: Kind
    summary: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    convert: Convert
    matches: Callable[[Record], bool] | None = None
    parts: Callable[[Record], list[Record]] = _one
    prefer: tuple[str, ...] = field(default=())

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that are looked at."""
        return (*self.required, *self.optional)
