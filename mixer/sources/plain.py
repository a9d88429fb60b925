"""Plain text: the document is the file, a line, or a paragraph (lines up to one that is blank)."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from mixer.errors import RecipeError
from mixer.sources.jsonl import blocks
from mixer.sources.rows import Rows
from mixer.sources.settings import SourceSettings
from mixer.sources.streams import Stream

FIELD = "text"
"""The one field of a plain-text record."""


def check(source: SourceSettings, file: str) -> None:
    """Refuse settings that mean nothing to plain text.

    Raises
    ------
    RecipeError
        ``text`` or ``metadata`` names a field that plain text does not have, or whole records are wanted.
    """
    if source.text_rule.is_whole:
        raise RecipeError(
            f"source {source.name!r}: {file} is plain text, which has no records with fields",
            "name files of JSON Lines, JSON, Parquet, Arrow IPC, CSV or TSV",
        )
    if source.text != FIELD or source.metadata:
        named = source.text if source.text != FIELD else source.metadata[0]
        raise RecipeError(
            f"source {source.name!r}: {file} is plain text, which has no fields such as {named!r}",
            "leave out `text` and `metadata`, or name the right `format`",
        )


def read(stream: Stream) -> Iterator[Rows]:
    """Read a file by the source's ``records``; positions are line numbers, counted from 1."""
    if stream.source.records == "file":
        text = b"".join(stream.chunks())
        if stream.truncated:
            text = _whole_characters(text)
        if text:
            yield _rows(stream, [text], 0, [1])
        return
    split = _lines if stream.source.records == "line" else _paragraphs
    record = 0
    for texts, positions in split(stream):
        if texts:
            yield _rows(stream, texts, record, positions)
            record += len(texts)


def _lines(stream: Stream) -> Iterator[tuple[list[bytes], list[int]]]:
    line = 1
    for block in blocks(stream):
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        texts = [text.removesuffix(b"\r") for text in lines]
        filled = [number for number, text in enumerate(texts) if text and not text.isspace()]
        yield [texts[number] for number in filled], [line + number for number in filled]
        line += len(lines)


def _paragraphs(stream: Stream) -> Iterator[tuple[list[bytes], list[int]]]:
    line, begin = 0, 0
    paragraph: list[bytes] = []
    for block in blocks(stream):
        texts: list[bytes] = []
        positions: list[int] = []
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for text in lines:
            line += 1
            if text and not text.isspace():
                begin = begin or line
                paragraph.append(text.removesuffix(b"\r"))
            elif paragraph:
                texts.append(b"\n".join(paragraph))
                positions.append(begin)
                paragraph, begin = [], 0
        yield texts, positions
    if paragraph and not stream.truncated:
        yield [b"\n".join(paragraph)], [begin]


def _rows(stream: Stream, texts: list[bytes], first: int, positions: list[int]) -> Rows:
    cause: Callable[[UnicodeDecodeError], str] = stream.undecodable
    column = pa.array(texts, pa.large_binary()).view(pa.large_string())
    records = np.arange(first, first + len(texts), dtype=np.int64)
    return Rows(records, column, {}, "line", np.asarray(positions, np.int64), bad_utf8_cause=cause)


def _whole_characters(text: bytes) -> bytes:
    """Cut the bytes of a broken last character off."""
    for width in range(1, min(4, len(text) + 1)):
        byte = text[-width]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return text[:-width] if needed > width else text
        if byte < 0x80:
            return text
    return text
