"""CSV and TSV: quoted fields, also over several lines; a ragged row or a quote that never closes costs that row only.

Lines without a quote, nearly all, are split directly; the others go through the standard library's reader, which pulls
the lines it needs. In TSV a quote that does not enclose a whole field is an ordinary character, as most writers of TSV
mean it.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from mixer.errors import RecipeError, did_you_mean
from mixer.sources.fields import UnreadableError, whole_value
from mixer.sources.jsonl import blocks
from mixer.sources.rows import Rejected, Rows
from mixer.sources.streams import Stream

Kind = Literal["csv", "tsv"]
_DELIMITER = {"csv": ",", "tsv": "\t"}
STRETCH = 1 << 20
"""Characters of text after which rows are handed on."""
OVERHEAD = 100
"""Characters that a record counts beside its text, so that rows of nothing are handed on too."""
LONGEST_RECORD = 16 << 20
"""Characters after which an open quote counts as one that never closes."""

csv.field_size_limit(1 << 40)


class _Lines:
    """The lines of a stream with a way back, counted from 1; bytes that are not UTF-8 become half surrogates."""

    def __init__(self, stream: Stream) -> None:
        self._blocks = blocks(stream)
        self._ready: list[str] = []  # reversed
        self.number = 0
        self.marked = False  # whether there were such bytes

    def next(self) -> str | None:
        """Return the next line without its line break, or None at the end."""
        if not self._ready:
            block = next(self._blocks, None)
            if block is None:
                return None
            try:
                text = block.decode()
            except UnicodeDecodeError:
                text = block.decode("utf-8", "surrogateescape")
                self.marked = True
            self._ready = text.removesuffix("\n").split("\n")
            self._ready.reverse()
        self.number += 1
        return self._ready.pop()

    def push_back(self, lines: Sequence[str]) -> None:
        """Give lines back that ``next`` returned."""
        self._ready += reversed(lines)
        self.number -= len(lines)


def records(stream: Stream, kind: Kind) -> Iterator[tuple[int, list[str] | UnreadableError]]:
    """Yield each record's first line number and its fields, or why it cannot be read; blank lines are no records."""
    lines = _Lines(stream)
    delimiter = _DELIMITER[kind]
    while (line := lines.next()) is not None:
        line = line.removesuffix("\r")
        if not line or line.isspace():
            continue
        number = lines.number
        fields = line.split(delimiter) if '"' not in line else _quoted(line, lines, kind)
        if stream.truncated and isinstance(fields, UnreadableError):
            return  # the record that is cut off
        if lines.marked and isinstance(fields, list):
            try:
                delimiter.join(fields).encode("utf-8", "surrogateescape").decode()
            except UnicodeDecodeError as error:
                fields = UnreadableError(stream.undecodable(error))
        yield number, fields


def _quoted(line: str, lines: _Lines, kind: Kind) -> list[str] | UnreadableError:
    """Read a record that holds quotes, pulling further lines while a quote is open.

    The lines pulled hold no quote before the one that ends the pulling, so giving them back is not quadratic.
    """
    pulled: list[str] = []
    closed = True

    def feed() -> Iterator[str]:
        nonlocal closed
        size = len(line)
        yield line
        while size <= LONGEST_RECORD and (further := lines.next()) is not None:
            pulled.append(further)
            size += len(further)
            yield "\n" + further.removesuffix("\r")
        closed = False

    try:
        fields = next(csv.reader(feed(), delimiter=_DELIMITER[kind], strict=kind == "tsv"))
        if closed:
            return fields
        cause = "a quote that never closes"
    except csv.Error as error:
        cause = str(error)
    lines.push_back(pulled)
    return line.split("\t") if kind == "tsv" else UnreadableError(cause)


def header(stream: Stream, kind: Kind) -> tuple[list[str], Iterator[tuple[int, list[str] | UnreadableError]]]:
    """Return the column names and the records that follow them.

    Raises
    ------
    RecipeError
        A wanted column is not there, or its name stands there twice.
    """
    source = stream.source
    found = records(stream, kind)
    if source.columns:
        names = source.columns
    else:
        _, first = next(found, (0, []))
        if isinstance(first, UnreadableError):
            raise stream.error(f"the header cannot be read: {first}", "correct it, or name the `columns`")
        names = [name.strip() for name in first]
    fields = names if source.text_rule.is_whole else source.text_rule.fields
    for wanted in (*fields, *source.metadata):
        if names.count(wanted) != 1:
            what = "no column" if wanted not in names else "more than one column"
            raise RecipeError(
                f"source {source.name!r}: {stream.file.path} has {what} {wanted!r}{did_you_mean(wanted, names)}",
                f"its columns: {', '.join(names)}" + ("" if source.columns else "; name `columns` if it has no header"),
            )
    return names, found


def read(stream: Stream, kind: Kind) -> Iterator[Rows]:
    """Read a file; positions are line numbers, counted from 1."""
    if not stream.head().strip():
        return
    source = stream.source
    names, found = header(stream, kind)
    text_at = [names.index(name) for name in (names if source.text_rule.is_whole else source.text_rule.fields)]
    metadata_at = [names.index(name) for name in source.metadata]
    stretch = _Stretch(stream, names)
    for record, (line, fields) in enumerate(found):
        if isinstance(fields, UnreadableError):
            stretch.reject(record, line, str(fields))
        elif len(fields) != len(names):
            stretch.reject(record, line, f"{len(fields)} fields instead of {len(names)}")
        else:
            stretch.add(record, line, [fields[at] for at in text_at], [fields[at] for at in metadata_at])
        if stretch.size >= STRETCH:
            yield stretch.rows()
            stretch = _Stretch(stream, names)
    yield stretch.rows()


class _Stretch:
    """Rows in the making."""

    def __init__(self, stream: Stream, names: list[str]) -> None:
        self._names = names
        self._carried = stream.source.metadata
        self._rule = stream.source.text_rule
        self._records: list[int] = []
        self._lines: list[int] = []
        self._texts: list[str] = []
        self._metadata: list[list[str]] = []
        self._rejected: list[Rejected] = []
        self.size = 0

    def add(self, record: int, line: int, values: list[str], metadata: list[str]) -> None:
        """Take a record's text fields and metadata."""
        text = (
            whole_value(dict(zip(self._names, values, strict=True))) if self._rule.is_whole else self._rule.join(values)
        )
        self._records.append(record)
        self._lines.append(line)
        self._texts.append(text)
        self._metadata.append(metadata)
        self.size += len(text) + OVERHEAD

    def reject(self, record: int, line: int, cause: str) -> None:
        """Take a record that cannot be read."""
        self._rejected.append(Rejected(record, f"line {line}", cause))
        self.size += OVERHEAD

    def rows(self) -> Rows:
        """Return what was taken."""
        columns = {name: [row[at] for row in self._metadata] for at, name in enumerate(self._carried)}
        return Rows(
            np.asarray(self._records, np.int64),
            pa.array(self._texts, pa.large_string()),
            {name: pa.array(values, pa.string()) for name, values in columns.items()},
            "line",
            np.asarray(self._lines, np.int64),
            self._rejected,
            is_utf8=True,
        )
