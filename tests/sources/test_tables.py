"""Parquet and Arrow IPC."""

import datetime
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.errors import InputError, RecipeError


def parquet(table, path, **options):
    pq.write_table(table, path, **options)


def arrow_file(table, path, rows=1000):
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, rows)


def arrow_stream(table, path, rows=1000):
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, rows)


WRITERS = [parquet, arrow_file, arrow_stream]
writers = pytest.mark.parametrize("write", WRITERS, ids=["parquet", "arrow", "stream"])

STRINGS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()),
]


@writers
@pytest.mark.parametrize("kind", STRINGS, ids=str)
def test_every_kind_of_string(corpus, write, kind):
    values = ["one", None, "", "四 𠀀"]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = [value and value.encode() for value in ["one", None]] + [b"", "四 𠀀".encode()]
    write(pa.table({"text": pa.array(values, kind), "n": pa.array([1, 2, 3, None])}), corpus.folder / "f")
    assert corpus.documents(metadata=["n"]) == [("f", 0, "one", "1"), ("f", 2, "", "3"), ("f", 3, "四 𠀀", None)]
    assert corpus.rejected == [("f", "row 1", "`text` is null or holds a null")]


@writers
def test_lists_objects_and_templates(corpus, write):
    table = pa.table(
        {
            "lines": pa.array([["a", "b"], [], None, ["c", None]], pa.list_(pa.string())),
            "meta": pa.array(
                [{"x": {"y": "deep"}, "n": [1]}, {"x": None, "n": []}, None, {"x": {"y": "d"}, "n": None}]
            ),
            "dotted.name": ["p", "q", "r", "s"],
        }
    )
    write(table, corpus.folder / "f")
    assert corpus.documents(text="lines", metadata=["meta"]) == [
        ("f", 0, "a\nb", '{"x":{"y":"deep"},"n":[1]}'),
        ("f", 1, "", '{"x":null,"n":[]}'),
    ]
    assert corpus.texts(text="meta.x.y") == ["deep", "d"]
    assert [entry[1] for entry in corpus.rejected] == ["row 1", "row 2"]
    assert corpus.texts(text="dotted.name") == ["p", "q", "r", "s"]
    assert corpus.documents(text="{meta.x.y} {{{dotted.name}}}", metadata=["dotted.name", "meta.n"]) == [
        ("f", 0, "deep {p}", "p", "[1]"),
        ("f", 3, "d {s}", "s", None),
    ]
    assert corpus.rejected[0] == ("f", "row 1", "`meta.x.y` is null or holds a null")


@writers
def test_metadata_becomes_text(corpus, write):
    values = {
        "i": [1],
        "f": [1.5],
        "b": [True],
        "s": ["x"],
        "when": [datetime.datetime(2024, 6, 1, 12, 30)],
        "day": [datetime.date(2024, 6, 1)],
        "bytes": [b"raw"],
        "o": [{"a": [1]}],
        "n": pa.nulls(1),
    }
    write(pa.table({"text": ["a"], **values}), corpus.folder / "f")
    [found] = corpus.documents(metadata=list(values))
    expected = ["1", "1.5", "true", "x", "2024-06-01 12:30:00.000000", "2024-06-01", "raw", '{"a":[1]}', None]
    assert list(found[3:]) == expected


@writers
def test_invalid_utf8_and_nul_cost_their_rows(corpus, write):
    bad = [b"good", b"b\xffd", b"n\0l", b"\xe4\xb8", b"fine"]
    as_text = pa.array(bad, pa.binary()).view(pa.string())
    for name, column in (("binary", pa.array(bad, pa.binary())), ("string", as_text)):
        write(pa.table({"text": column}), corpus.folder / name)
        assert corpus.documents(name) == [(name, 0, "good"), (name, 4, "fine")]
        assert [entry[1] for entry in corpus.rejected] == ["row 1", "row 2", "row 3"]
        assert ["UTF-8" in entry[2] for entry in corpus.rejected] == [True, False, True]
    write(pa.table({"text": list("abcde"), "m": as_text}), corpus.folder / "m")
    assert corpus.texts("m", metadata=["m"]) == ["a", "c", "e"]
    assert "metadata `m`: invalid UTF-8" in corpus.rejected[0][2]


@writers
def test_wrong_columns(corpus, write):
    write(pa.table({"content": ["a"], "score": [1], "meta": [{"url": "u"}]}), corpus.folder / "f")
    with pytest.raises(RecipeError, match=r"f has no column 'contents' \(did you mean 'content'\?\)") as caught:
        corpus.texts(text="contents")
    assert "content, score, meta, meta.url" in caught.value.remedy
    with pytest.raises(RecipeError, match=r"column 'score' of f holds int64, not text"):
        corpus.texts(text="score")
    with pytest.raises(RecipeError, match=r"no column 'meta.uri' \(did you mean 'meta.url'"):
        corpus.texts(text="content", metadata=["meta.uri"])
    with pytest.raises(RecipeError, match="`encoding` means nothing to f"):
        corpus.texts(text="content", encoding="gbk")
    write(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), corpus.folder / "f")
    with pytest.raises(RecipeError, match="more than one column 'text'"):
        corpus.texts()


@writers
def test_any_suffix_will_do(corpus, write):
    write(pa.table({"text": ["a"]}), corpus.folder / "f.json")
    assert corpus.texts() == ["a"]


@writers
def test_damaged_files(corpus, write):
    path = corpus.folder / "f.parquet"
    options = {"write_page_checksum": True} if write is parquet else {}
    write(pa.table({"text": [f"some text {n} " * 50 for n in range(3000)]}), path, **options)
    whole = path.read_bytes()
    corpus.write("f.parquet", whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match=r"corpus'.*f.parquet") as caught:
        corpus.texts()
    assert "copy" in caught.value.remedy
    if write is not arrow_stream:
        middle = len(whole) // 2 if write is parquet else len(whole) - 200
        corpus.write("f.parquet", whole[:middle] + bytes(100) + whole[middle + 100 :])
        with pytest.raises(InputError, match=r"f.parquet"):
            corpus.texts()


def test_a_cut_stream_may_be_allowed(corpus):
    path = corpus.folder / "f"
    arrow_stream(pa.table({"text": [f"text {n}" for n in range(100)]}), path, rows=10)
    whole = path.read_bytes()
    corpus.write("f", whole[: len(whole) // 2])
    texts = corpus.texts(allow_truncated=True)
    assert 10 <= len(texts) < 60
    assert [entry[1] for entry in corpus.rejected] == [f"row {len(texts)}"]
    corpus.write("f", gzip.compress(whole))
    assert len(corpus.texts()) == 100
    corpus.write("f", gzip.compress(whole)[:-20])
    with pytest.raises(InputError, match="gzip data end in the middle"):
        corpus.texts()
    assert len(corpus.texts(allow_truncated=True)) in range(101)
    assert len(corpus.rejected) == 1


def test_a_compressed_parquet_file_says_what_to_do(corpus):
    path = corpus.folder / "f"
    parquet(pa.table({"text": ["a"]}), path)
    corpus.write("f", gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="decompress it"):
        corpus.texts()


@writers
def test_row_numbers_do_not_depend_on_groups_and_tasks(corpus, write):
    table = pa.table({"text": [f"text {n} " * 20 if n % 7 else None for n in range(5000)], "n": range(5000)})
    options = {"row_group_size": 300} if write is parquet else {"rows": 300}
    write(table, corpus.folder / "f", **options)
    whole = corpus.documents(metadata=["n"]), corpus.rejected
    assert [int(n) for _, _, _, n in whole[0]] == [record for _, record, _, _ in whole[0]]
    assert len(whole[1]) == 715
    size = (corpus.folder / "f").stat().st_size
    tasks = corpus.tasks(target_bytes=size // 4)
    assert len(tasks) == (1 if write is arrow_stream else len(tasks))
    assert len(tasks) > 3 or write is arrow_stream
    assert (corpus.documents(metadata=["n"], target_bytes=size // 4), corpus.rejected) == whole


def test_parquet_without_rows_or_groups(corpus):
    parquet(pa.table({"text": pa.array([], pa.string())}), corpus.folder / "f")
    assert corpus.texts() == []


def test_rows_of_very_different_sizes(corpus):
    texts = ["x" * (1 << 20), "y", "z" * (3 << 20), *["w"] * 10_000]
    parquet(pa.table({"text": texts}), corpus.folder / "f")
    batches = corpus.batches()
    assert [len(batch) for batch in batches] == [3, 8192, 1808]
    assert [text for batch in batches for text in batch["text"].to_pylist()] == texts


def test_json_in_a_parquet_metadata_column_is_readable(corpus):
    parquet(pa.table({"text": ["a"], "m": [[{"k": "中"}]]}), corpus.folder / "f")
    [(_, _, _, value)] = corpus.documents(metadata=["m"])
    assert json.loads(value) == [{"k": "中"}]
