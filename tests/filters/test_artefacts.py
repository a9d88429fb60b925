"""What encodings and extraction leave behind: statistics against their definitions, edits against what they promise."""

import html
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.filters import cleaning
from mixer.filters.kernels.artefacts import ARTEFACT_STATISTICS, WINDOWS_BYTES, artefact_statistics
from mixer.text.utf8 import buffers
from tests.filters import corpora

MISREAD = ["café", "naïve — “quoted”", "春眠不覺曉", "Zażółć", "😀 ok"]


def column(texts):
    return pa.array(texts, pa.large_string())


def measured(texts):
    values = artefact_statistics(*buffers(column(texts)), np.arange(len(texts)), WINDOWS_BYTES)
    return [dict(zip(ARTEFACT_STATISTICS, row, strict=True)) for row in values.tolist()]


def misread(text):
    """Read UTF-8 as Windows-1252, its five unused bytes as Latin-1 has them."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())


def is_control(char):
    point = ord(char)
    return (
        (unicodedata.category(char) == "Cc" and char not in "\t\n\x0b\x0c\r\x85")
        or char == "\ufeff"
        or 0xFDD0 <= point <= 0xFDEF
        or point & 0xFFFE == 0xFFFE
    )


def byte_of(char):
    for encoding in ("cp1252", "latin-1"):
        try:
            found = char.encode(encoding)
        except UnicodeEncodeError:
            continue
        return found if found[0] >= 0x80 else None
    return None


def spelt(text):
    """Characters that spell another one: try to read each stretch of two, three or four as UTF-8."""
    total = place = 0
    while place < len(text):
        for size in (2, 3, 4):
            parts = [byte_of(char) for char in text[place : place + size]]
            if len(parts) == size and None not in parts:
                try:
                    read = b"".join(parts).decode("utf-8")
                except UnicodeDecodeError:
                    continue
                if len(read) == 1:
                    total += size
                    place += size - 1
                    break
        place += 1
    return total


def twin(text):
    if not text:
        return dict.fromkeys(ARTEFACT_STATISTICS, 0.0)
    tag = r"<(?!/?[\w+,.-]*(?:@|:/))(?:/?[A-Za-z]|!|/!)[^<>]*>"
    entity = r"&(?:#[A-Za-z0-9]{1,9}|[A-Za-z][A-Za-z0-9]{0,9});"
    garbage = len(re.findall("锟斤拷", text)) * 3
    garbage += sum(len(run) for run in re.findall("烫{2,}|屯{2,}", text))
    return {
        "replacement_share": text.count("\ufffd") / len(text),
        "control_share": sum(map(is_control, text)) / len(text),
        "mojibake_share": (spelt(text) + garbage) / len(text),
        "markup_share": sum(map(len, re.findall(f"{tag}|{entity}", text, re.ASCII))) / len(text),
    }


PIECES = st.sampled_from(
    ["a", " ", "<", ">", "<b>", "</p >", "<o:p>", "https:/", "@", ":", "/",
     "_", "<!-- x -->", "&", "&amp;", "&#39;", "&#x4e2d;", ";", "#", "é", "Ã", "©", "Â",
     "\xa0", "â", "€", "™", "ä", "¸", "\xad", "中", "锟", "斤", "拷", "烫", "屯", "\ufffd", "\x00", "\x07", "\x85",
     "\x9f", "\ufeff", "\ufffe", "\U0010ffff", "\n", "ð", "Ÿ", "˜", "\x80", "\x90", "à", "œ", "õ", "¿", "ï", "½"]
)  # fmt: skip
PASSAGES = st.lists(PIECES, max_size=30).map("".join)
STRAY = st.one_of(PIECES.filter(lambda piece: len(piece) == 1), st.sampled_from("\r\n"))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(PASSAGES, st.text(max_size=20)), max_size=5), st.integers(0, 5))
def test_statistics_agree_with_their_definitions_however_batches_are_cut(texts, cut):
    found = measured(texts[:cut]) + measured(texts[cut:])
    for text, values in zip(texts, found, strict=True):
        assert values == pytest.approx(twin(text), abs=1e-6), text


@pytest.mark.parametrize("text", MISREAD)
def test_what_was_misread_is_seen_and_repaired(text):
    garbled = misread(text)
    assert measured([text])[0]["mojibake_share"] == 0
    assert measured([garbled])[0]["mojibake_share"] > 0.1
    long = f"{garbled} and then some more text that was read in the same wrong way: {garbled}"
    texts, counts = cleaning.repair(column([text, long]), {cleaning.REPAIR: True})
    assert counts[cleaning.REPAIR].tolist() == [0, 1]
    assert texts.to_pylist() == [text, f"{text} and then some more text that was read in the same wrong way: {text}"]


def test_a_repaired_text_holds_no_nul():
    texts, counts = cleaning.repair(column(["caf\xc3\xa9 and \xc0\x80."]), {cleaning.REPAIR: True})
    assert texts.to_pylist() == ["café and ."]
    assert counts[cleaning.REPAIR].tolist() == [1]


def test_an_address_in_angle_brackets_is_no_tag():
    assert measured(["See <https://site.org/a>, <git+ssh://x> or <a_b.c@site.org>."])[0]["markup_share"] == 0
    assert measured(["<o:p>x</o:p>"])[0]["markup_share"] == pytest.approx(11 / 12)


def test_a_tag_has_an_end():
    assert measured(["if a < b and c > d: x<y"])[0]["markup_share"] == 0
    assert measured(["<" + "a" * 3000 + ">"])[0]["markup_share"] == 0
    assert measured(["<a href='x'>y</a>"])[0]["markup_share"] == pytest.approx(16 / 17)


@settings(deadline=None)
@given(st.lists(st.text(STRAY, max_size=12), max_size=4))
def test_stray_characters_are_removed_and_counted(texts):
    both = (cleaning.CONTROL_CHARACTERS, cleaning.LINE_ENDS)
    for names in ({both[0]}, {both[1]}, set(both)):
        after, counts = cleaning.stray(column(texts), dict.fromkeys(names, True))
        assert set(counts) == names
        for row, text in enumerate(texts):
            expected = text
            if cleaning.LINE_ENDS in names:
                assert counts[cleaning.LINE_ENDS][row] == text.count("\r")
                expected = expected.replace("\r\n", "\n").replace("\r", "\n")
            if cleaning.CONTROL_CHARACTERS in names:
                assert counts[cleaning.CONTROL_CHARACTERS][row] == sum(map(is_control, text))
                expected = "".join(char for char in expected if not is_control(char))
            assert after[row].as_py() == expected


def test_a_clean_column_is_returned_as_it_is():
    texts = column(["plain", "中文\n", "naïve"])
    assert cleaning.stray(texts, {cleaning.CONTROL_CHARACTERS: True})[0] is texts
    assert cleaning.normalise(texts, {cleaning.UNICODE: "NFC"})[0] is texts
    assert cleaning.repair(texts, {})[0] is texts
    assert cleaning.unescape(texts, {})[0] is texts
    assert cleaning.without_macros(texts, {})[0] is texts


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=4), st.sampled_from(["NFC", "NFKC"]))
def test_normalisation_is_unicodes(texts, form):
    # Code points that this Python's Unicode does not know yet may have a normalisation in Arrow's.
    texts = ["".join(char for char in text if unicodedata.category(char) != "Cn") for text in texts]
    after, counts = cleaning.normalise(column(texts), {cleaning.UNICODE: form})
    expected = [unicodedata.normalize(form, text) for text in texts]
    assert after.to_pylist() == expected
    assert counts[cleaning.UNICODE].tolist() == [int(a != b) for a, b in zip(texts, expected, strict=True)]


def test_entities_become_characters():
    texts = ["&nbsp;&lt;b&gt; &#20013;&#x6587; &amp;amp;", "AT&T; &unknown; R&D", "x & y; &copy", "plain"]
    after, counts = cleaning.unescape(column(texts), {cleaning.ENTITIES: True})
    assert after.to_pylist() == ["\xa0<b> 中文 &amp;", *texts[1:]]
    assert counts[cleaning.ENTITIES].tolist() == [6, 0, 0, 0]
    assert html.unescape("&copy") == "©"  # which is why only entities with their semicolon count


def test_lines_of_macros_are_removed():
    text = "\\newcommand{\\a}{1}\nkeep\n\\newcommand{\\b}{2} \\renewcommand{\\c}{3}\nlast \\newcommand \\newcommand"
    after, counts = cleaning.without_macros(column([text, "no macros", ""]), {cleaning.MACRO_LINES: True})
    assert after.to_pylist() == ["\\newcommand{\\a}{1}\nkeep\n", "no macros", ""]
    assert counts[cleaning.MACRO_LINES].tolist() == [2, 0, 0]


def test_a_megabyte_of_marks_is_normalised_at_once():
    text = "a" + "\u0301\u0316" * 250_000  # minutes, if the library put them in order
    after, _ = cleaning.normalise(column([text]), {cleaning.UNICODE: "NFC"})
    assert after.to_pylist() == ["\u00e1" + "\u0316" * 250_000 + "\u0301" * 249_999]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["en/c4_demo.jsonl.gz", "zh/oi_wiki.jsonl.zst", "zh/classic_novels_html.jsonl.zst"])
def test_real_text_is_not_taken_for_garbage(name):
    for values in measured([text for text in corpora.texts(name) if text]):
        assert values["mojibake_share"] < 0.02 and values["replacement_share"] < 0.01 and values["control_share"] < 0.01
