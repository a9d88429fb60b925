import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.text.characters import CLASSES, FOLDED, FOLDING, SPACE, UNICODE_VERSION, UNSTABLE
from mixer.text.normalise import LONGEST_MARKS, normalise, with_ordered_marks
from mixer.text.utf8 import buffers, strings

pytestmark = pytest.mark.skipif(
    unicodedata.unidata_version != UNICODE_VERSION, reason="the twin is of another Unicode version than the tables"
)

SPACES = "".join(chr(cp) for cp in np.flatnonzero(CLASSES & SPACE))
MARKS = "\u0301\u0323\u0345\u3099\u0338\u1161\u11a8\ufe0f"
awkward = st.text(st.sampled_from("aAzZ09.ßẞİıΐΰſﬃǆŉΣςσЖ中文Åか각ᄀꭰ𐐀𝄞\U0002f800\u212b" + SPACES + MARKS))
texts = st.lists(st.text() | awkward)


def twin(text):
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def normal(texts):
    return strings(*normalise(*buffers(pa.array(texts, pa.large_string())))).to_pylist()


@settings(deadline=None)
@given(texts)
@example([])
@example([""])
@example([SPACES, "", f"{SPACES}A{SPACES}B{SPACES}"])
@example(["e\u0301", "plain", "A\u030a\u0301", "", "\u0301", "plain", "\u0301"])
def test_the_normal_form_is_three_lines_of_python(texts):
    assert normal(texts) == [twin(text) for text in texts]


def test_every_character_alone_and_between_others():
    characters = [chr(cp) for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]
    lines = ["".join(f"{char}x {char}" for char in characters[at : at + 64]) for at in range(0, len(characters), 64)]
    assert normal(lines) == [twin(line) for line in lines]
    folding = [chr(cp) for cp in FOLDING]
    assert normal(folding) == [twin(char) for char in folding]


def test_the_longest_folding_fits():
    """Room is set aside for three times the text: no character's folding takes more."""
    growth = [
        len("".join(chr(cp) for cp in row if cp).encode()) / len(chr(first).encode())
        for first, row in zip(FOLDING, FOLDED, strict=True)
    ]
    assert max(growth) == 3
    assert normal(["ΐ" * 10_000]) == [twin("ΐ" * 10_000)]


@settings(deadline=None)
@given(st.lists(awkward, min_size=1), st.data())
def test_a_slice_is_normalised_like_the_whole(texts, data):
    start = data.draw(st.integers(0, len(texts)))
    column = pa.array(texts, pa.large_string()).slice(start)
    assert strings(*normalise(*buffers(column))).to_pylist() == normal(texts)[start:]


@settings(deadline=None)
@given(awkward)
def test_what_is_equal_to_a_reader_is_equal_here(text):
    forms = [text, unicodedata.normalize("NFD", text), text.upper().lower() if text.isascii() else text, f" {text}\n"]
    assert len(set(normal(forms))) == 1


def test_what_makes_a_text_another_stays():
    assert len(set(normal(["x = 1", "x = 2", "x == 1", "x=1", "é", "e", "ab", "a b"]))) == 8


def test_the_offsets_begin_at_zero():
    data, offsets = normalise(*buffers(pa.array(["ab", "  C ", "e\u0301"], pa.large_string()).slice(1)))
    assert offsets.tolist() == [0, 1, 3]
    assert data.tobytes() == "cé".encode()
    assert CLASSES[0x301] & UNSTABLE


PILE = "\u0301\u0316\u0344\u0323\u0f71\u0f73\u0345\u093ea\u00e2\u1e69\u3099"
piled = st.text(st.sampled_from(PILE), max_size=2 * LONGEST_MARKS)


@settings(deadline=None)
@given(piled)
@example("\u00e2" + "\u0301\u0316" * LONGEST_MARKS)
def test_ordering_marks_changes_no_normal_form(text):
    for form in ("NFC", "NFD", "NFKC"):
        assert unicodedata.normalize(form, with_ordered_marks(text)) == unicodedata.normalize(form, text)


def test_a_megabyte_of_marks_takes_no_time():
    text = "a" + "\u0301\u0316" * 250_000  # minutes, if the library put them in order
    assert normal([text]) == ["\u00e1" + "\u0316" * 250_000 + "\u0301" * 249_999]
