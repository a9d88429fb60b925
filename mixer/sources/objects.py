"""Raw JSON values to rows: the decoder that JSON Lines and JSON arrays share.

Plain fields are decoded by ``msgspec`` into a struct that holds nothing but the wanted fields, everything else in a
record being skipped, not built. A value that the struct refuses is looked at again slowly to word the cause.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.sources.fields import LINE_BREAK, UnreadableError, lookup, metadata_value, text_value, whole_value
from mixer.sources.rows import Rejected, Rows
from mixer.sources.settings import SourceSettings

_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Objects:
    """Decodes values of one source; ``unit`` is how a record's place is told ("line", "record").

    Parameters
    ----------
    source
        Says which fields are wanted.
    unit
        How positions are told.
    undecodable
        Words the cause of a record that is not valid text.
    """

    def __init__(self, source: SourceSettings, unit: str, undecodable: Callable[[UnicodeDecodeError], str]) -> None:
        self._rule = source.text_rule
        self._metadata = source.metadata
        self._unit = unit
        self._undecodable = undecodable
        dotted = any("." in name for name in (*self._rule.fields, *self._metadata))
        self._struct = None if dotted or self._rule.is_whole else self._wanted()

    def _wanted(self) -> Callable[[bytes], Any]:
        """Build the decoder of a struct with one attribute a wanted field: ``f0``, ``f1``, ..."""
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        self._attributes: dict[str, str] = {}
        for name in dict.fromkeys((*self._rule.fields, *self._metadata)):
            attribute = self._attributes[name] = f"f{len(fields)}"
            text = name in self._rule.fields
            fields.append((attribute, str | list[str]) if text else (attribute, Any, None))
        names = {attribute: name for name, attribute in self._attributes.items()}
        struct = msgspec.defstruct("Wanted", fields, rename=names, gc=False, kw_only=True)
        return msgspec.json.Decoder(struct).decode

    def rows(
        self, values: Sequence[bytes], first: int, positions: NDArray[np.int64], whole: bytes | None = None
    ) -> Rows:
        """Decode some values in a row.

        Parameters
        ----------
        values
            Raw JSON, one value each.
        first
            Index of the first of them in the file.
        positions
            int64[values], where each stands.
        whole
            Bytes that hold all the values, if there are such, to check them at once.
        """
        if self._struct is not None and _is_utf8(b"".join(values) if whole is None else whole):
            decode = self._struct
            try:
                return self._columns([decode(value) for value in values], first, positions)
            except _REFUSED:
                pass
        return self._slowly(values, first, positions)

    def _columns(self, found: list[Any], first: int, positions: NDArray[np.int64]) -> Rows:
        records = np.arange(first, first + len(found), dtype=np.int64)
        texts = self._texts(
            [[getattr(record, self._attributes[name]) for record in found] for name in self._rule.fields]
        )
        metadata = {}
        for name in self._metadata:
            attribute = self._attributes[name]
            metadata[name] = _strings([getattr(record, attribute) for record in found])
        return Rows(records, texts, metadata, self._unit, positions, is_utf8=True)

    def _texts(self, columns: list[list[Any]]) -> pa.Array:
        if self._rule.is_plain:
            try:
                return pa.array(columns[0], pa.large_string())
            except (pa.ArrowTypeError, pa.ArrowInvalid):
                pass  # a list somewhere
        parts = [[v if type(v) is str else LINE_BREAK.join(v) for v in column] for column in columns]
        if not self._rule.is_plain:
            parts = [[self._rule.join(values) for values in zip(*parts, strict=True)]]
        return pa.array(parts[0], pa.large_string())

    def _slowly(self, values: Sequence[bytes], first: int, positions: NDArray[np.int64]) -> Rows:
        kept: list[int] = []
        texts: list[str] = []
        metadata: dict[str, list[str | None]] = {name: [] for name in self._metadata}
        rejected = []
        for number, value in enumerate(values):
            try:
                record = self._decoded(value)
                if self._rule.is_whole:
                    text = whole_value(record)
                else:
                    text = self._rule.join([text_value(lookup(record, name), name) for name in self._rule.fields])
                carried = [metadata_value(lookup(record, name)) for name in self._metadata]
            except UnreadableError as error:
                rejected.append(Rejected(first + number, f"{self._unit} {positions[number]}", str(error)))
                continue
            kept.append(number)
            texts.append(text)
            for name, entry in zip(self._metadata, carried, strict=True):
                metadata[name].append(entry)
        chosen = np.asarray(kept, np.int64)
        columns = {name: pa.array(entries, pa.string()) for name, entries in metadata.items()}
        texts_column = pa.array(texts, pa.large_string())
        return Rows(first + chosen, texts_column, columns, self._unit, positions[chosen], rejected, is_utf8=True)

    def _decoded(self, value: bytes) -> dict[str, Any]:
        """Decode one object wholly; takes also what only Python's reader takes, such as NaN."""
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise UnreadableError(self._undecodable(error)) from None
        try:
            record = msgspec.json.decode(value)
        except RecursionError:
            raise UnreadableError("JSON nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as refusal:
            try:
                record = json.loads(text)
            except RecursionError:
                raise UnreadableError("JSON nested too deeply") from None
            except ValueError:
                raise UnreadableError(f"no valid JSON: {refusal}") from None
        if not isinstance(record, dict):
            raise UnreadableError("no JSON object")
        return record


def _is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8 in all fields; the struct decoder looks only at those it wants."""
    try:
        offsets = pa.py_buffer(np.asarray([0, len(data)], np.int64))
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _strings(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.array([metadata_value(value) for value in values], pa.string())
