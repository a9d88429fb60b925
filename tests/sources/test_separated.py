import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.errors import RecipeError
from mixer.sources.listing import InputFile
from mixer.sources.separated import records
from mixer.sources.settings import SourceSettings
from mixer.sources.streams import Stream


def test_header_quotes_and_line_breaks(corpus):
    corpus.write("a.csv", '\ufeffid,title,body\r\n1,"a, b","x ""y""\r\nz"\r\n\r\n2,c,\r\n')
    found = corpus.documents(text="{title}|{body}", metadata=["id"])
    assert found == [("a.csv", 0, 'a, b|x "y"\nz', "1"), ("a.csv", 1, "c|", "2")]


def test_tsv_with_named_columns(corpus):
    corpus.write("a.txt", 'title one\t3\n"quoted"\t4\n"half" quoted\t5\n"open\t6\nlast\t7\n')
    settings = {"format": "tsv", "columns": ["title", "label"], "text": "title", "metadata": ["label"]}
    expected = ["title one", "quoted", '"half" quoted', '"open', "last"]
    assert corpus.documents(**settings) == [("a.txt", n, text, str(n + 3)) for n, text in enumerate(expected)]
    assert corpus.rejected == []


def test_tsv_with_quoted_line_breaks(corpus):
    corpus.write("a.tsv", 'text\tn\n"a\nb\tc"\t1\nd\t2\n')
    assert corpus.texts() == ["a\nb\tc", "d"]


def test_ragged_rows_and_open_quotes_cost_themselves(corpus):
    corpus.write("a.csv", 'text,n\na,1\nb\nc,3,4\n"open,5\nd,6\n')
    assert corpus.documents() == [("a.csv", 0, "a"), ("a.csv", 4, "d")]
    assert corpus.rejected == [
        ("a.csv", "line 3", "1 fields instead of 2"),
        ("a.csv", "line 4", "3 fields instead of 2"),
        ("a.csv", "line 5", "a quote that never closes"),
    ]


def test_lines_are_counted_through_quoted_breaks(corpus):
    corpus.write("a.csv", 'text,n\n"a\n\nb",1\nbad\n"c\0",2\n')
    assert corpus.documents() == [("a.csv", 0, "a\n\nb")]
    assert [entry[1:] for entry in corpus.rejected] == [
        ("line 5", "1 fields instead of 2"),
        ("line 6", "the text holds a NUL character"),
    ]


def test_encodings(corpus, monkeypatch):
    monkeypatch.setattr("mixer.sources.streams.CHUNK", 3)
    corpus.write("a.csv", "问,答\n头疼,多喝\n".encode("gb18030") + b"\xff,x\n" + "感冒,休息\n".encode("gb18030"))
    assert corpus.texts(text="{问}:{答}", encoding="gb18030") == ["头疼:多喝", "感冒:休息"]
    assert corpus.rejected == [("a.csv", "line 3", "bytes that gb18030 cannot decode")]
    corpus.write("a.csv", b"text,n\na,\xff\nb,1\n")
    assert corpus.documents() == [("a.csv", 1, "b")]
    assert "invalid UTF-8" in corpus.rejected[0][2]


def test_wrong_column(corpus):
    corpus.write("a.csv", "id,title,titel\n")
    with pytest.raises(RecipeError, match=r"a.csv has no column 'titles' \(did you mean 'title'\?\)") as caught:
        corpus.texts(text="titles")
    assert "id, title, titel" in caught.value.remedy
    corpus.write("a.csv", "text,text\n")
    with pytest.raises(RecipeError, match="more than one column 'text'"):
        corpus.texts()


def test_a_header_alone_and_blank_files_hold_no_documents(corpus):
    corpus.write("a.csv", "text\n")
    corpus.write("b.csv", "\n \n")
    corpus.write("c.csv", "")
    assert corpus.texts() == []
    assert corpus.rejected == []


CELL = st.text(st.sampled_from('ab,"\n\t 中'), max_size=6)


@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=6), size=st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_what_the_standard_writer_writes_is_read_back(tmp_path_factory, rows, size):
    rows = [row for row in rows if any(cell.strip() for cell in row)]  # blank lines are no records
    for kind, delimiter in (("csv", ","), ("tsv", "\t")):
        sink = io.StringIO()
        csv.writer(sink, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
        path = tmp_path_factory.getbasetemp() / f"rows.{kind}"
        path.write_text(sink.getvalue(), newline="")
        source = SourceSettings(name="corpus", paths=["x"])
        with Stream(InputFile(str(path), path.name, 0, ""), source, lambda *_: None) as stream:
            assert [fields for _, fields in records(stream, kind)] == rows
