"""JSON that is no JSON Lines: one big array, arrays in a row, or objects spread over lines; never held as a whole.

A compiled scanner follows brackets, strings and escapes and finds where each record begins and ends, in memory of one
chunk and one record. The records are then decoded like lines, so one bad record does not end the reading.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.sources.objects import Objects
from mixer.sources.rows import Rows
from mixer.sources.streams import Stream

DEPTH, IN_ARRAY, IN_VALUE, IN_STRING, ESCAPED = range(5)
"""Fields of the scanner's state, int64[5]; all zero at the start of a file. ``DEPTH`` counts open brackets, the array's
own included; ``IN_ARRAY`` is 1 between the brackets of an array of records."""

_QUOTE, _BACKSLASH, _COMMA = ord('"'), ord("\\"), ord(",")
_SPACE, _LINE_FEED, _RETURN, _TAB = 32, 10, 13, 9
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = ord("["), ord("]"), ord("{"), ord("}")


@njit(cache=True, nogil=True)
def scan(
    data: NDArray[np.uint8], state: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[Any, Any]:
    """Find the records that begin or end in a chunk.

    Record ``i`` of the chunk is ``data[starts[i]:ends[i]]``. The first begins in an earlier chunk if the state said so
    (its start is then 0); a last one without end is told by the state and by one start more than ends.

    Parameters
    ----------
    data
        A chunk.
    state
        See above; updated.
    starts, ends
        int64[len(data) + 1], written.

    Returns
    -------
    tuple
        How many starts and how many ends were written.
    """
    depth, in_array, in_value = state[0], state[1], state[2]
    in_string, escaped = state[3], state[4]
    begun = ended = 0
    if in_value:
        starts[0] = 0
        begun = 1
    position = 0
    while position < len(data):
        byte = data[position]
        if in_string:
            if escaped:
                escaped = 0
            elif byte == _BACKSLASH:
                escaped = 1
            elif byte == _QUOTE:
                in_string = 0
            position += 1
            continue
        space = byte in (_SPACE, _LINE_FEED, _RETURN, _TAB, _COMMA)
        if not in_value:
            if space:
                position += 1
                continue
            if in_array and byte == _CLOSE_LIST:
                depth = in_array = 0
                position += 1
                continue
            if not in_array and byte == _OPEN_LIST:
                depth = in_array = 1
                position += 1
                continue
            starts[begun] = position
            begun += 1
            in_value = 1
        elif depth == in_array and (space or byte in (_CLOSE_LIST, _OPEN_LIST, _OPEN_OBJECT)):
            # a number, a word or a string ends where something else begins; the byte is looked at again
            ends[ended] = position
            ended += 1
            in_value = 0
            continue
        if byte == _QUOTE:
            in_string = 1
        elif byte in (_OPEN_OBJECT, _OPEN_LIST):
            depth += 1
        elif byte in (_CLOSE_OBJECT, _CLOSE_LIST) and depth > in_array:
            depth -= 1
            if depth == in_array:
                ends[ended] = position + 1
                ended += 1
                in_value = 0
        position += 1
    state[0], state[1], state[2] = depth, in_array, in_value
    state[3], state[4] = in_string, escaped
    return begun, ended


def read(stream: Stream) -> Iterator[Rows]:
    """Read a file; positions are record indices, counted from 0.

    Raises
    ------
    InputError
        The array or the last record is not closed, unless the source allows truncated files.
    """
    objects = Objects(stream.source, "record", stream.undecodable)
    state = np.zeros(5, np.int64)
    starts = ends = np.empty(0, np.int64)
    parts: list[bytes] = []  # of a record that earlier chunks began
    record = 0
    for chunk in stream.chunks():
        if len(chunk) >= len(starts):
            starts, ends = np.empty(len(chunk) + 1, np.int64), np.empty(len(chunk) + 1, np.int64)
        begun, ended = scan(np.frombuffer(chunk, np.uint8), state, starts, ends)
        values = [chunk[start:end] for start, end in zip(starts[:ended].tolist(), ends[:ended].tolist(), strict=True)]
        if parts and values:
            values[0] = b"".join([*parts, values[0]])
            parts = []
        if begun > ended:
            parts.append(chunk[starts[ended] :])
        if values:
            yield objects.rows(values, record, np.arange(record, record + len(values), dtype=np.int64))
            record += len(values)
    if stream.truncated:
        return
    if state[IN_ARRAY] or state[DEPTH] or state[IN_STRING]:
        stream.cut_off(f"record {record}", "the JSON is not closed")
    elif parts:  # a bare word at the very end, which only the end of the file ends
        yield objects.rows([b"".join(parts)], record, np.asarray([record], np.int64))
