"""Columns of Arrow data to rows: what Parquet, Arrow IPC and Hugging Face datasets share.

Texts stay in Arrow's buffers; a plain text column passes without a copy until its batch is put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.errors import RecipeError, did_you_mean
from mixer.sources.fields import LINE_BREAK, TextRule, metadata_value, whole_value
from mixer.sources.rows import Rejected, Rows
from mixer.sources.settings import SourceSettings

SLICE = 2048
"""Rows converted at once, so that joined and cast columns stay small."""


@dataclass(frozen=True)
class Selection:
    """Where the wanted fields are in a schema: the way down to each, from the top column inwards."""

    rule: TextRule
    text: tuple[tuple[str, ...], ...]
    metadata: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> list[str]:
        """Dotted names of all columns that must be read, as Parquet takes them."""
        return list(dict.fromkeys(".".join(way) for way in (*self.text, *self.metadata.values())))

    @property
    def top(self) -> list[str]:
        """Names of the top-level columns that must be read."""
        return list(dict.fromkeys(way[0] for way in (*self.text, *self.metadata.values())))


def select(schema: pa.Schema, source: SourceSettings, file: str) -> Selection:
    """Find the fields that a source wants.

    Raises
    ------
    RecipeError
        A column is missing, or a text column holds no text; the columns that exist are named.
    """
    ways = {}
    wanted = schema.names if source.text_rule.is_whole else source.text_rule.fields
    for name in (*wanted, *source.metadata):
        way = _way(schema, name)
        if way is None:
            known = _names(schema)
            raise RecipeError(
                f"source {source.name!r}: {file} has no column {name!r}{did_you_mean(name, known)}",
                f"its columns: {', '.join(known)}",
            )
        if schema.names.count(way[0]) > 1:
            raise RecipeError(
                f"source {source.name!r}: {file} has more than one column {way[0]!r}", "rename all but one of them"
            )
        ways[name] = way
    for name in source.text_rule.fields:
        kind = _type(schema, ways[name])
        if not _is_text(kind):
            texts = [known for known in _names(schema) if _is_text(_type(schema, _way(schema, known) or ()))]
            raise RecipeError(
                f"source {source.name!r}: column {name!r} of {file} holds {kind}, not text",
                f"columns that hold text: {', '.join(texts) or 'none'}",
            )
    text = tuple(ways[name] for name in wanted)
    return Selection(source.text_rule, text, {name: ways[name] for name in source.metadata})


def rows(batch: pa.RecordBatch, selection: Selection, first: int) -> Rows:
    """Turn a stretch of a table into rows; ``first`` is the index of its first row in the file."""
    numbers = np.arange(first, first + len(batch), dtype=np.int64)
    if selection.rule.is_whole:
        return _whole(batch, numbers)
    parts = [_texts(_column(batch, way)) for way in selection.text]
    texts = parts[0] if selection.rule.is_plain else _joined(parts, selection.rule.literals)
    metadata = {name: _strings(_column(batch, way)) for name, way in selection.metadata.items()}

    def null_cause(row: int) -> str:
        empty = next(name for name, part in zip(selection.rule.fields, parts, strict=True) if not part[row].is_valid)
        return f"`{empty}` is null or holds a null"

    return Rows(numbers, texts, metadata, "row", numbers, null_cause=null_cause)


def _whole(batch: pa.RecordBatch, numbers: NDArray[np.int64]) -> Rows:
    """Write each row as JSON; bytes are text, as everywhere, but for those inside lists and objects."""
    columns = [_texts(column) if _is_bytes(column.type) else column for column in batch.columns]
    table = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    kept, texts, rejected = [], [], []
    for row, number in enumerate(numbers.tolist()):
        try:
            (record,) = table.slice(row, 1).to_pylist()
            texts.append(whole_value(record))
        except UnicodeDecodeError as error:
            rejected.append(Rejected(number, f"row {number}", f"invalid UTF-8 ({error.reason})"))
        else:
            kept.append(row)
    chosen = numbers[np.asarray(kept, np.int64)]
    return Rows(chosen, pa.array(texts, pa.large_string()), {}, "row", chosen, rejected, is_utf8=True)


def slices(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Cut a batch into views of at most ``SLICE`` rows."""
    return [batch.slice(start, SLICE) for start in range(0, len(batch), SLICE)]


def _joined(parts: Sequence[pa.Array], literals: Sequence[str]) -> pa.Array:
    pieces: list[pa.Array | pa.Scalar] = [pa.scalar(literals[0], pa.large_string())]
    for part, literal in zip(parts, literals[1:], strict=True):
        pieces += (part, pa.scalar(literal, pa.large_string()))
    return pc.binary_join_element_wise(*pieces, pa.scalar("", pa.large_string()))  # a null anywhere gives null


def _texts(column: pa.Array) -> pa.Array:
    """Return a column of strings, bytes, or lists of strings as ``large_string``, its bytes unchecked."""
    kind = column.type
    if _is_list(kind):
        values = kind.value_type
        column = column.cast(pa.large_list(values))
        if not pa.types.is_large_string(values):
            column = column.cast(pa.large_list(pa.large_string()))
        return pc.binary_join(column, pa.scalar(LINE_BREAK, pa.large_string()))
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.large_string())
    if _is_bytes(kind):
        return column.cast(pa.large_binary()).view(pa.large_string())
    return column.cast(pa.large_string())


def _strings(column: pa.Array) -> pa.Array:
    """Return a metadata column as ``string``: nested values as JSON, everything else as Arrow writes it."""
    kind = column.type
    if _is_bytes(kind):
        return column.cast(pa.binary()).view(pa.string())
    if pa.types.is_nested(kind):
        return pa.array([metadata_value(value) for value in column.to_pylist()], pa.string())
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array([metadata_value(value) for value in column.to_pylist()], pa.string())


def _column(batch: pa.RecordBatch, way: Sequence[str]) -> pa.Array:
    column = batch.column(way[0])
    if len(way) > 1:
        column = pc.struct_field(column, list(way[1:]))
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _way(schema: pa.Schema, name: str) -> tuple[str, ...] | None:
    """Find a field: a column of that very name, else down the dots into objects."""
    if name in schema.names:
        return (name,)
    way = tuple(name.split("."))
    return way if _type(schema, way) is not None else None


def _type(schema: pa.Schema, way: Sequence[str]) -> pa.DataType | None:
    if not way or way[0] not in schema.names:
        return None
    kind = schema.field(way[0]).type
    for name in way[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return None
        kind = kind.field(name).type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _names(schema: pa.Schema) -> list[str]:
    names = []
    for field in schema:
        names.append(field.name)
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{inner.name}" for inner in field.type]
    return names


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_string(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_text(kind: pa.DataType | None) -> bool:
    if kind is None:
        return False
    if _is_list(kind):
        return _is_string(kind.value_type) or pa.types.is_null(kind.value_type)
    return _is_string(kind) or _is_bytes(kind) or bool(pa.types.is_null(kind))
