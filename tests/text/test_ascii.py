"""The questions about ASCII bytes, held against what Python's own bytes say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from mixer.text.ascii import is_digit, is_letter, lower, stands, stands_folded
from mixer.text.utf8 import count_characters


@njit
def ask(byte):
    return is_letter(byte), is_digit(byte), lower(byte)


@pytest.mark.parametrize("byte", range(256))
def test_a_byte_is_what_python_says(byte):
    letter, digit, small = ask(np.uint8(byte))
    char = bytes([byte])
    assert (letter, digit, small) == (char.isalpha(), char.isdigit(), char.lower()[0])


@given(st.binary(max_size=12), st.binary(min_size=1, max_size=4), st.integers(0, 12), st.integers(0, 12))
def test_a_literal_stands_where_python_finds_it(text, literal, position, end):
    position, end = min(position, len(text)), min(end, len(text))
    for planted in (text, text[:position] + literal + text[position:]):
        data = np.frombuffer(planted, np.uint8)
        expected = planted[:end].startswith(literal, position)
        assert stands(data, position, end, np.frombuffer(literal, np.uint8)) == expected
        small = np.frombuffer(literal.lower(), np.uint8)
        folded = planted[:end].lower().startswith(literal.lower(), position)
        assert stands_folded(data, position, end, small) == folded
        end = len(planted)


def test_a_literal_may_be_a_tuple():
    data = np.frombuffer(b"a key", np.uint8)
    assert stands(data, 2, 5, tuple(b"key"))
    assert not stands(data, 2, 4, tuple(b"key"))


@given(st.text(), st.text(), st.text())
def test_characters_are_counted_as_python_does(before, text, after):
    data = np.frombuffer((before + text + after).encode(), np.uint8)
    start = len(before.encode())
    assert count_characters(data, start, start + len(text.encode())) == len(text)
