import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.errors import RecipeError
from mixer.sources.plain import _whole_characters

POEM = "床前明月光\n疑是地上霜\n\n  \n举头望明月\n低头思故乡\n"


def test_a_file_is_a_document(corpus):
    corpus.write("a.txt", POEM)
    corpus.write("b.txt", "\ufeffb\r\n")
    assert corpus.documents() == [("a.txt", 0, POEM), ("b.txt", 0, "b\r\n")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines(corpus, end):
    corpus.write("a.txt", POEM.replace("\n", end))
    lines = [line for line in POEM.split("\n") if line.strip()]
    assert corpus.documents(records="line") == [("a.txt", number, line) for number, line in enumerate(lines)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_paragraphs(corpus, end):
    corpus.write("a.txt", "\n\n" + POEM.replace("\n", end) + "\nlast")
    expected = ["床前明月光\n疑是地上霜", "举头望明月\n低头思故乡", "last"]
    assert corpus.texts(records="paragraph") == expected


def test_prose_that_begins_like_json_is_prose(corpus):
    corpus.write("a.txt", "[1] A footnote.")
    corpus.write("b.txt", "{braces} are signs")
    assert corpus.texts() == ["[1] A footnote.", "{braces} are signs"]
    corpus.write("c", '[{"text": "declared"}]')
    assert corpus.texts("c", format="text") == ['[{"text": "declared"}]']


def test_undecodable_lines_are_rejected_alone(corpus):
    corpus.write("a.txt", b"one\n\ntw\xffo\nthree\n")
    assert corpus.documents(records="line") == [("a.txt", 0, "one"), ("a.txt", 2, "three")]
    assert corpus.rejected == [("a.txt", "line 3", "invalid UTF-8 (invalid start byte at byte 2 of the record)")]
    assert corpus.texts(records="paragraph") == ["one"]
    assert corpus.texts() == []
    assert [entry[:2] for entry in corpus.rejected] == [("a.txt", "line 1")]


def test_nul_is_rejected(corpus):
    corpus.write("a.txt", b"one\nt\0wo\n")
    assert corpus.texts(records="line") == ["one"]
    assert corpus.rejected == [("a.txt", "line 2", "the text holds a NUL character")]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("gb18030", "床前明月光𠀀"), ("gbk", "床前"), ("big5", "床前明月"), ("latin-1", "café"), ("utf-16", "床前𠀀")],
)
def test_declared_encodings(corpus, monkeypatch, encoding, text):
    monkeypatch.setattr("mixer.sources.streams.CHUNK", 3)
    monkeypatch.setattr("mixer.sources.streams.HEAD", 5)
    content = f"{text}\nsecond\n{text}\n"
    corpus.write("a.txt", content.encode(encoding))
    corpus.write("b.txt", gzip.compress(content.encode(encoding)))
    assert corpus.texts(encoding=encoding, records="line") == [text, "second", text] * 2
    assert corpus.texts(encoding=encoding) == [content] * 2


@pytest.mark.parametrize(
    ("encoding", "bad"), [("gb18030", b"\xff"), ("big5", b"\xfe\xfe"), ("gbk", b"\x81"), ("shift_jis", b"\xa0\xfd")]
)
def test_bytes_an_encoding_does_not_know_cost_their_line(corpus, encoding, bad):
    corpus.write("a.txt", b"one\n" + bad + b"\nthree\n" + bad)
    assert corpus.documents(encoding=encoding, records="line") == [("a.txt", 0, "one"), ("a.txt", 2, "three")]
    cause = f"bytes that {encoding} cannot decode"
    assert corpus.rejected == [("a.txt", "line 2", cause), ("a.txt", "line 4", cause)]


def test_plain_text_has_no_fields(corpus):
    corpus.write("a.txt", "x")
    with pytest.raises(RecipeError, match="no fields such as 'body'"):
        corpus.texts(text="body")
    with pytest.raises(RecipeError, match="no fields such as 'url'"):
        corpus.texts(metadata=["url"])
    with pytest.raises(RecipeError, match=r"`columns` means nothing to a.txt"):
        corpus.texts(columns=["a"])


@given(st.text(max_size=6), st.integers(0, 4))
@settings(max_examples=100)
def test_a_cut_off_last_character_goes_alone(text, cut):
    data = text.encode()
    kept = _whole_characters(data[: len(data) - min(cut, len(data))])
    assert kept == data[: len(data) - min(cut, len(data))].decode(errors="ignore").encode()
