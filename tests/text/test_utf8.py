from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from mixer.text.utf8 import buffers, decode, strings


@njit
def walk(data, start, stop):
    """All characters of ``data[start:stop]``, with their widths."""
    characters, widths = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    position = start
    while position < stop:
        character, width = decode(data, position)
        characters.append(np.int64(character))
        widths.append(np.int64(width))
        position += width
    return characters, widths


def spelled(data, offsets):
    return [data[first:last].tobytes().decode() for first, last in pairwise(offsets)]


@settings(deadline=None)
@given(st.text())
def test_decode_agrees_with_python(text):
    data = np.frombuffer(text.encode(), np.uint8)
    characters, widths = walk(data, 0, len(data))
    assert "".join(map(chr, characters)) == text
    assert list(widths) == [len(character.encode()) for character in text]


@pytest.mark.parametrize("code_point", [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF])
def test_decode_at_the_edges_of_each_width(code_point):
    data = np.frombuffer(b"x" + chr(code_point).encode() + b"x", np.uint8)
    assert list(walk(data, 0, len(data))[0]) == [ord("x"), code_point, ord("x")]


@settings(deadline=None)
@given(st.lists(st.text()), st.data())
def test_buffers_of_slices(texts, data):
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    column = pa.array(texts, pa.large_string())
    part = column.slice(start, stop - start)
    assert spelled(*buffers(part)) == texts[start:stop]
    assert strings(*buffers(part)).equals(part)
    assert spelled(*buffers(column.cast(pa.large_binary()))) == texts


def test_buffers_of_nothing():
    for column in (
        pa.array([], pa.large_string()),
        pa.array(["a"], pa.large_string()).slice(1),
        pa.nulls(0, pa.large_string()),
    ):
        data, offsets = buffers(column)
        assert len(offsets) == 1
        assert data.dtype == np.uint8
    assert spelled(*buffers(pa.array(["", ""], pa.large_string()))) == ["", ""]


def test_buffers_share_memory_and_cannot_be_written_to():
    column = pa.array(["ab", "c"], pa.large_string())
    data, offsets = buffers(column)
    assert data.ctypes.data == column.buffers()[2].address
    assert not data.flags.writeable
    assert not offsets.flags.writeable


def test_buffers_refuse_what_they_would_misread():
    with pytest.raises(ValueError, match="nulls"):
        buffers(pa.array(["a", None], pa.large_string()))
    with pytest.raises(TypeError, match="string"):
        buffers(pa.array(["a"], pa.string()))
