"""JSON Lines: a record is a line; blank lines are none."""

from collections.abc import Iterator

import numpy as np

from mixer.sources.objects import Objects
from mixer.sources.rows import Rows
from mixer.sources.streams import Stream


def read(stream: Stream) -> Iterator[Rows]:
    """Read a file; positions are line numbers, counted from 1 with blank lines."""
    objects = Objects(stream.source, "line", stream.undecodable)
    record, line = 0, 1
    for block in blocks(stream):
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        values = [value for value in lines if value and not value.isspace()]
        if len(values) == len(lines):
            positions = np.arange(line, line + len(lines), dtype=np.int64)
        else:
            filled = (number for number, value in enumerate(lines, line) if value and not value.isspace())
            positions = np.fromiter(filled, np.int64, len(values))
        line += len(lines)
        if values:
            yield objects.rows(values, record, positions, block)
            record += len(values)


def blocks(stream: Stream) -> Iterator[bytes]:
    """Yield a file in pieces that end with a line (the last one perhaps without its line break).

    A line of any length costs time and memory in proportion to it. A truncated file's cut-off last line is left out.
    """
    parts: list[bytes] = []
    for chunk in stream.chunks():
        end = chunk.rfind(b"\n") + 1
        if not end:
            parts.append(chunk)
            continue
        block = b"".join([*parts, chunk[:end]])
        parts = [chunk[end:]] if end < len(chunk) else []
        yield block
    if parts and not stream.truncated:
        yield b"".join(parts)
