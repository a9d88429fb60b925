"""The table against the running Python's ``unicodedata``, where both are of one Unicode version."""

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.text import characters as c

SURROGATES = range(0xD800, 0xE000)
TONES = set(range(0x1AFF0, 0x1B000))
"""Tone marks of Taiwanese in kana: letters to Unicode, but not signs that stand for a syllable."""
same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != c.UNICODE_VERSION,
    reason=f"the tables are of Unicode {c.UNICODE_VERSION}, this Python of {unicodedata.unidata_version}",
)


def where(flag):
    return set(np.flatnonzero(c.CLASSES & flag).tolist())


def code_points(holds):
    """All code points, surrogates apart, of whose character something holds."""
    return {cp for cp in range(sys.maxunicode + 1) if cp not in SURROGATES and holds(chr(cp))}


@same_unicode
@pytest.mark.parametrize(
    ("flag", "categories"),
    [
        (c.DIGIT, ("Nd",)),
        (c.NUMBER, ("Nd", "Nl", "No")),
        (c.MARK, ("Mn", "Mc", "Me")),
        (c.PUNCTUATION, ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po")),
        (c.SYMBOL, ("Sm", "Sc", "Sk", "So")),
        (c.CONTROL, ("Cc", "Cf", "Co", "Cn")),
    ],
)
def test_categories(flag, categories):
    assert where(flag) == code_points(lambda char: unicodedata.category(char) in categories)


@same_unicode
def test_letters_are_the_categories_l_and_all_of_han():
    assert where(c.LETTER) == code_points(lambda char: unicodedata.category(char)[0] == "L") | where(c.HAN)


@same_unicode
def test_space_and_folding():
    assert where(c.SPACE) == code_points(str.isspace)
    assert where(c.FOLDS) == code_points(lambda char: char.casefold() != char) == set(c.FOLDING.tolist())
    folded = ["".join(chr(cp) for cp in row if cp) for row in c.FOLDED]
    assert folded == [chr(cp).casefold() for cp in c.FOLDING]


@same_unicode
@settings(deadline=None)
@given(st.text(), st.text(st.sampled_from("aeAÅEÉéΑάアｱか각ᄀ\u1161\u11a8\u0301\u0323\u3099\u0345=≠\u0338क\u093c")))
def test_a_text_without_unstable_characters_is_composed(drawn, likely):
    for text in (drawn, likely, drawn + likely):
        stable = "".join(char for char in text if not c.CLASSES[ord(char)] & c.UNSTABLE)
        assert unicodedata.normalize("NFC", stable) == stable


@same_unicode
def test_scripts_by_name():
    """Names are what ``unicodedata`` knows of scripts; ideographs and syllables are named by theirs."""
    for flag, begins in (
        (c.HAN, ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "CJK RADICAL", "KANGXI RADICAL")),
        (c.HANGUL, ("HANGUL SYLLABLE", "HANGUL CHOSEONG", "HANGUL JUNGSEONG", "HANGUL JONGSEONG")),
        (c.KANA, ("HIRAGANA LETTER", "KATAKANA LETTER", "HALFWIDTH KATAKANA LETTER")),
    ):
        assert code_points(lambda char, begins=begins: unicodedata.name(char, "").startswith(begins)) - TONES <= where(
            flag
        )
    assert {ord("々"), ord("〇")} <= where(c.HAN)
    assert ord("ー") in where(c.KANA)
    assert not where(c.HAN) & (where(c.KANA) | where(c.HANGUL))


def test_other_scripts_and_signs_are_none_of_these():
    for char in "aßЖα5，。、！「」·～％\u3000":
        assert not c.CLASSES[ord(char)] & (c.HAN | c.KANA | c.HANGUL), char


def test_the_shape_of_the_tables():
    assert c.CLASSES.shape == (0x110000,)
    assert c.CLASSES.dtype == np.uint16
    assert c.FOLDED.shape == (len(c.FOLDING), 3)
    assert (np.diff(c.FOLDING) > 0).all()
