"""Which part of a record is the document: a dotted field or a template, and how odd values are judged.

``TextRule`` is parsed once from the recipe's ``text``; the formats ask it which fields they have to read. The causes of
rejection are worded here, so that they read the same whatever the format.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

MISSING = object()
"""What ``lookup`` returns for a field that a record does not have (null is another thing)."""
LINE_BREAK = "\n"
"""Joins the strings of a field that is a list: the lines of a poem, the paragraphs of an article."""


class UnreadableError(Exception):
    """A record cannot be read; the message is the cause that goes into ``rejected/``."""


@dataclass(frozen=True)
class TextRule:
    """How a document's text is made: ``literals[0] + fields[0] + literals[1] + ... + literals[-1]``."""

    fields: tuple[str, ...]
    literals: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the text is the whole record as JSON, which no recipe can ask for (see ``RecordSettings``)."""
        return not self.fields

    @property
    def is_plain(self) -> bool:
        """Whether the text is one field as it is."""
        return len(self.fields) == 1 and not any(self.literals)

    def join(self, values: Sequence[str]) -> str:
        """Put the values of ``fields`` between the literals."""
        parts = [self.literals[0]]
        for value, literal in zip(values, self.literals[1:], strict=True):
            parts += (value, literal)
        return "".join(parts)


WHOLE = TextRule((), ("",))
"""The text is the whole record as JSON."""


def parse_text(text: str) -> TextRule:
    """Parse the recipe's ``text``: a field such as ``content`` or ``meta.body``, or a template with ``{field}`` in it.

    A literal brace in a template is written twice, as in Python.

    Raises
    ------
    ValueError
        The template is not well formed, or names no field.
    """
    if "{" not in text and "}" not in text:
        if not text.strip():
            raise ValueError("`text` names no field")
        return TextRule((text,), ("", ""))
    fields: list[str] = []
    literals = [""]
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"the template {text!r} is not well formed ({error}); write a literal brace twice") from error
    for literal, field, form, conversion in parsed:
        literals[-1] += literal
        if field is None:
            continue
        if not field.strip() or form or conversion:
            raise ValueError(f"the template {text!r} must hold plain fields such as {{question}}")
        fields.append(field)
        literals.append("")
    if not fields:
        raise ValueError(f"the template {text!r} holds no field such as {{question}}")
    return TextRule(tuple(fields), tuple(literals))


def lookup(record: Mapping[str, Any], field: str) -> Any:
    """Return a field of a decoded record, ``MISSING`` if it has none; a key that holds the dots itself goes first."""
    if field in record:
        return record[field]
    value: Any = record
    for name in field.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def text_value(value: Any, field: str) -> str:
    """Return the text of a text field's value.

    Raises
    ------
    UnreadableError
        It is missing, null, no string and no list of strings, or holds half a surrogate pair.
    """
    if isinstance(value, list):
        for position, item in enumerate(value):
            if not isinstance(item, str):
                raise UnreadableError(f"item {position} of `{field}` is {kind_of(item)}, not text")
        value = LINE_BREAK.join(value)
    if not isinstance(value, str):
        raise UnreadableError(f"no field `{field}`" if value is MISSING else f"`{field}` is {kind_of(value)}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnreadableError(f"`{field}` holds half a surrogate pair (character {error.start})") from None
    return value


def metadata_value(value: Any) -> str | None:
    """Write a metadata value as text: strings as they are, null and missing as null, everything else as JSON.

    Raises
    ------
    UnreadableError
        A string holds half a surrogate pair.
    """
    if value is None or value is MISSING:
        return None
    if isinstance(value, float) and value - value != 0:  # nan and the infinities, which JSON cannot spell
        return str(value)
    text = value if isinstance(value, str) else None
    try:
        if text is None:
            return msgspec.json.encode(value, enc_hook=str).decode()
        text.encode()
    except UnicodeEncodeError as error:
        raise UnreadableError(f"metadata holds half a surrogate pair (character {error.start})") from None
    return text


def whole_value(record: Any) -> str:
    """Write a whole record as JSON; what JSON cannot spell becomes null (nan) or text (dates, and what is unknown).

    Raises
    ------
    UnreadableError
        A string holds half a surrogate pair.
    """
    try:
        return msgspec.json.encode(record, enc_hook=str).decode()
    except UnicodeEncodeError as error:
        raise UnreadableError(f"a field holds half a surrogate pair (character {error.start})") from None


def kind_of(value: Any) -> str:
    """Name the kind of a JSON value, for the cause of a rejection."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return "a string" if isinstance(value, str) else f"a {type(value).__name__}"
