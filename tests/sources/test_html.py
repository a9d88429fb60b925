import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mixer.errors import InputError, RecipeError
from mixer.sources.settings import SourceSettings
from tests.sources.archives import CHINESE, ENGLISH, JAPANESE, page

EMPTY = "<html><body></body></html>"


def test_a_file_is_a_page(corpus):
    corpus.write("a.html", page(ENGLISH, lang="en"))
    corpus.write("b.htm.gz", gzip.compress(page(CHINESE, head="<meta charset=gb2312>").encode("gb18030")))
    corpus.write("c", page(JAPANESE).encode("cp932"))
    corpus.write("d.xhtml", "<div>" + page(ENGLISH).encode("utf-16").decode("utf-16")[15:])
    corpus.write("e.html", page(CHINESE).encode("utf-16"))
    assert corpus.documents(metadata=["charset", "language"]) == [
        ("a.html", 0, ENGLISH, "utf-8", "en"),
        ("b.htm.gz", 0, CHINESE, "gb18030", None),
        ("c", 0, JAPANESE, "cp932", None),
        ("d.xhtml", 0, ENGLISH, "utf-8", None),
        ("e.html", 0, CHINESE, "utf-16-le", None),
    ]


def test_html_as_it_is_where_text_is_declared(corpus):
    html = page(ENGLISH)
    corpus.write("a.html", html)
    assert corpus.texts(format="text") == [html]
    assert corpus.texts(format="html") == corpus.texts() == [ENGLISH]
    corpus.write("a.html", f"<p>{ENGLISH}</p>")
    assert corpus.texts(format="html") == [ENGLISH]


def test_a_declared_encoding_serves_pages_that_declare_none(corpus):
    corpus.write("a.html", page("Größe, Übung, Äpfel und was sonst noch so dazugehört.").encode("latin-1"))
    assert corpus.texts() == []
    assert corpus.rejected == [("a.html", "line 1", "the character encoding of the page cannot be told")]
    assert corpus.texts(encoding="latin-1") == ["Größe, Übung, Äpfel und was sonst noch so dazugehört."]


def test_files_without_text_are_rejected_and_cut_off_ones_left_out(corpus):
    corpus.write("a.html", EMPTY)
    assert corpus.texts() == []
    assert corpus.rejected == [("a.html", "line 1", "no text found in the page")]
    corpus.write("a.html", gzip.compress(page(*[ENGLISH] * 9).encode())[:-30])
    with pytest.raises(InputError, match="truncated"):
        corpus.texts()
    assert corpus.texts(allow_truncated=True) == []
    assert len(corpus.rejected) == 1


def test_settings_of_files(corpus):
    corpus.write("a.html", page(ENGLISH))
    with pytest.raises(RecipeError, match=r"no metadata 'lang' \(did you mean 'language'\?\)"):
        corpus.tasks(metadata=["lang"])
    with pytest.raises(RecipeError, match="no metadata 'url'"):
        corpus.tasks(metadata=["url"])
    with pytest.raises(RecipeError, match="`records` means nothing"):
        corpus.tasks(records="line")


RECORDS = [
    {"id": "a", "doc": {"html": page(ENGLISH)}},
    {"id": "b", "doc": {"html": EMPTY}},
    {"id": "c", "doc": {"html": None}},
    {"id": "d", "doc": {"html": page(CHINESE, head="<meta charset=gb2312>")}},  # it is text already
    {"id": "e", "doc": {"html": "a\0b"}},
    {"id": "f", "doc": {"html": page(JAPANESE)}},
]


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet", "arrow"])
def test_pages_in_a_field(corpus, form):
    if form == "jsonl":
        corpus.write("a", "\n".join(json.dumps(record) for record in RECORDS))
    elif form == "json":
        corpus.write("a", json.dumps(RECORDS))
    else:
        table = pa.Table.from_pylist(RECORDS)
        if form == "parquet":
            pq.write_table(table, corpus.folder / "a")
        else:
            with pa.OSFile(str(corpus.folder / "a"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    documents = corpus.documents(text="doc.html", html=True, metadata=["id"])
    assert documents == [("a", 0, ENGLISH, "a"), ("a", 3, CHINESE, "d"), ("a", 5, JAPANESE, "f")]
    unit, first = {"jsonl": ("line", 1), "json": ("record", 0)}.get(form, ("row", 0))
    assert [entry[1] for entry in corpus.rejected] == [f"{unit} {first + at}" for at in (1, 2, 4)]
    assert corpus.rejected[0][2] == "no text found in the page"


def test_pages_in_lines_and_columns(corpus):
    corpus.write("a.csv", f'id,html\n1,"{page(ENGLISH)}"\n2,"{EMPTY}"\n')
    assert corpus.documents("a.csv", text="html", html=True, metadata=["id"]) == [("a.csv", 0, ENGLISH, "1")]
    corpus.write("b.txt", f"<p>{ENGLISH}</p>\n<p>{CHINESE}</p>\n")
    assert corpus.texts("b.txt", html=True, format="text", records="line") == [ENGLISH, CHINESE]


def test_pages_of_a_dataset(corpus):
    corpus.write("a.jsonl", "\n".join(json.dumps({"html": page(text)}) for text in (ENGLISH, CHINESE)))
    found = corpus.texts(datasets={"path": "json", "data_files": ["a.jsonl"]}, text="html", html=True)
    assert found == [ENGLISH, CHINESE]


@pytest.mark.parametrize("at_once", [1, 3, 64])
def test_stretches_and_limits_do_not_show(corpus, monkeypatch, at_once):
    texts = [f"{ENGLISH} Number {number}." for number in range(10)]
    pages = [page(text) if number % 3 else EMPTY for number, text in enumerate(texts)]
    corpus.write("a.jsonl", "\n".join(json.dumps({"html": html}) for html in pages))
    monkeypatch.setattr("mixer.sources.html.AT_ONCE", at_once)
    kept = [text for number, text in enumerate(texts) if number % 3]
    assert corpus.texts(text="html", html=True) == kept
    assert [place for _, place, _ in corpus.rejected] == ["line 1", "line 4", "line 7", "line 10"]
    assert corpus.texts(text="html", html=True, limit=3) == kept[:3]
    assert [place for _, place, _ in corpus.rejected] == ["line 1", "line 4"]


def test_how_to_extract_is_a_setting_and_part_of_a_task_s_identity():
    settings = {"name": "x", "paths": ["x"]}
    plain, html = SourceSettings(**settings), SourceSettings(**settings, html=True)
    recall = SourceSettings(**settings, html={"focus": "recall"})
    assert len({json.dumps(source.identity()) for source in (plain, html, recall)}) == 3
    assert html.extraction.focus == "balanced"
    assert recall.extraction.focus == "recall"
    with pytest.raises(ValidationError, match="needs a `text` that is one field"):
        SourceSettings(**settings, html=True, text="{title}\n{html}")
    with pytest.raises(ValidationError):
        SourceSettings(**settings, html={"focus": "precise"})


@pytest.mark.real_data
def test_real_chinese_and_japanese_pages_in_their_old_encodings(real_pages, corpus):
    import zstandard

    lines = zstandard.decompress((real_pages / "readability_pages.jsonl.zst").read_bytes(), max_output_size=1 << 26)
    real = {record["page"]: record["html"] for record in map(json.loads, lines.splitlines())}
    for name, codec, label, words in (
        ("qq", "gb18030", "gb2312", "谷歌"),
        ("gmw", "gb18030", "gb2312", "翱翔于距地球数千公里的太空中"),
        ("pixnet", "big5hkscs", "big5", "山巒披上嫣紅的彩衣"),
        ("yahoo-4", "cp932", "shift_jis", "トレンドマイクロ"),
        ("hukumusume", "euc_jp", "euc-jp", "欲張りなイヌ"),
    ):
        html = real[name].encode(codec, "ignore")
        told = html.decode(codec).replace("utf-8", label).replace("UTF-8", label).encode(codec)
        corpus.write(f"{name}-told.html", told)
        corpus.write(f"{name}-untold.html", html.replace(b"charset", b"c"))
        first, second = corpus.texts(f"{name}-*.html")
        assert words in first
        assert first == second
        assert "\ufffd" not in first
