"""What holds for every format: sniffing, truncation, batches, missing files."""

import bz2
import gzip
import io
import json
import lzma

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mixer.documents import BATCH_BYTES, BATCH_DOCUMENTS
from mixer.errors import InputError, RecipeError
from mixer.sources.read import read

LINES = "".join(json.dumps({"text": f"text number {n}"}) + "\n" for n in range(3000))
NAMES = {"gz": "gzip", "zst": "zstd", "bz2": "bzip2", "xz": "xz"}
PACK = {"gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("suffix", PACK)
def test_content_decides_whatever_the_suffix(corpus, suffix):
    packed = PACK[suffix](LINES.encode())
    expected = [f"text number {n}" for n in range(3000)]
    for name in (f"a.jsonl.{suffix}", "b.txt", "c.parquet", "d"):
        corpus.write(name, packed)
        assert corpus.texts(name) == expected
    for name in ("e.jsonl.gz", "f.parquet", "g.csv"):
        corpus.write(name, LINES)
        assert corpus.texts(name) == expected
    corpus.write("h.gz", PACK[suffix](LINES.encode()) * 2)
    assert corpus.texts("h.gz") == expected * 2


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_truncated_archive_is_an_error_unless_allowed(corpus, suffix, share):
    packed = PACK[suffix](LINES.encode())
    corpus.write("a.jsonl", packed[: int(len(packed) * share)])
    with pytest.raises(InputError) as caught:
        corpus.texts()
    assert "'corpus'" in caught.value.message
    assert f"a.jsonl: the {NAMES[suffix]} data end in the middle" in caught.value.message
    assert f"byte {int(len(packed) * share):,}" in caught.value.message
    assert "allow_truncated" in caught.value.remedy
    texts = corpus.texts(allow_truncated=True)
    assert texts == [f"text number {n}" for n in range(len(texts))]
    assert len(texts) < 3000 or share == 0.99  # only the checksum is gone
    [(file, position, cause)] = corpus.rejected
    assert (file, position) == ("a.jsonl", f"byte {int(len(packed) * share):,}")
    assert "truncated" in cause


@pytest.mark.parametrize(
    ("content", "settings", "expected"),
    [
        (json.dumps([{"text": f"{n}"} for n in range(20_000)]), {}, None),
        ("text,n\n" + "".join(f'"{n}\n",1\n' for n in range(20_000)), {"format": "csv"}, None),
        ("".join(f"{n}\n\n" for n in range(20_000)), {"format": "text", "records": "line"}, None),
        ("".join(f"{n}\n\n" for n in range(20_000)), {"format": "text", "records": "paragraph"}, None),
    ],
    ids=["array", "csv", "line", "paragraph"],
)
def test_a_cut_off_record_is_left_out_in_every_format(corpus, content, settings, expected):
    packed = gzip.compress(content.encode())
    corpus.write("a", packed[: len(packed) // 2])
    texts = corpus.texts(allow_truncated=True, **settings)
    assert 1000 < len(texts) < 20_000
    assert [text.strip() for text in texts] == [str(n) for n in range(len(texts))]
    assert len(corpus.rejected) == 1


def test_a_cut_off_file_document_keeps_whole_characters(corpus):
    text = "".join(chr(0x4E00 + n % 5000) for n in range(50_000))
    packed = gzip.compress(text.encode())
    corpus.write("a", packed[: len(packed) // 2])
    [found] = corpus.texts(format="text", allow_truncated=True)
    assert text.startswith(found)
    assert len(found) > 1000
    packed = gzip.compress(text.encode("gb18030"))
    corpus.write("a", packed[: len(packed) // 2])
    [found] = corpus.texts(format="text", allow_truncated=True, encoding="gb18030")
    assert text.startswith(found)


def test_a_cut_off_plain_array_is_truncated_too(corpus):
    corpus.write("a.json", '[{"text": "a"}, {"text": "b')
    with pytest.raises(InputError, match=r"a\.json: the JSON is not closed at record 1"):
        corpus.texts()
    assert corpus.texts(allow_truncated=True) == ["a"]
    assert corpus.rejected[0][:2] == ("a.json", "record 1")


def test_a_damaged_archive_is_an_error_even_so(corpus):
    packed = bytearray(gzip.compress(LINES.encode()))
    packed[-5] ^= 0xFF  # the checksum
    corpus.write("a.jsonl.gz", bytes(packed))
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: corrupt gzip data"):
        corpus.texts(allow_truncated=True)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_an_empty_file_holds_no_documents(corpus, name):
    corpus.write(name, b"")
    assert corpus.texts() == []
    assert corpus.rejected == []
    corpus.write(name, gzip.compress(b""))
    assert corpus.texts() == []


def test_a_file_of_white_space_holds_no_documents_if_it_ends_so(corpus):
    corpus.write("a.jsonl", " \n" * 100_000)
    assert corpus.texts() == []
    corpus.write("a.jsonl", " \n" * 100_000 + '{"text": "a"}\n')
    with pytest.raises(InputError, match="white space"):
        corpus.texts()
    assert corpus.texts(format="jsonl") == ["a"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"PK\x03\x04....", "a zip archive"),
        (b"filedesc://a.arc 0.0.0.0", "an ARC file"),
        ("text".encode("utf-16"), "UTF-16 text"),
    ],
)
def test_formats_that_are_not_read_say_so(corpus, content, cause):
    corpus.write("a.jsonl", content)
    with pytest.raises(InputError, match=cause) as caught:
        corpus.texts()
    assert caught.value.remedy


def test_a_declared_format_that_is_wrong(corpus):
    corpus.write("a", LINES)
    with pytest.raises(InputError, match="declared parquet, but its content is neither"):
        corpus.texts(format="parquet")
    with pa.OSFile(str(corpus.folder / "b"), "wb") as sink, pa.ipc.new_file(sink, pa.schema([])):
        pass
    with pytest.raises(InputError, match="declared jsonl, but its content is arrow"):
        corpus.texts("b", format="jsonl")
    with pytest.raises(RecipeError, match="`records` means nothing to a, whose content is jsonl"):
        corpus.texts("a", records="line")


def test_declared_json_and_lines_are_told_apart(corpus):
    corpus.write("a", '[{"text": "a"}]')
    corpus.write("b", '{"text": "b"}\n{"text": "c"}\n')
    assert corpus.texts(format="jsonl") == corpus.texts(format="json") == ["a", "b", "c"]


def test_batches_end_at_documents_the_content_decides(corpus, monkeypatch):
    sizes = [10] * 9000 + [BATCH_BYTES // 2 + 1] * 3 + [BATCH_BYTES * 2] + [1] * 5
    texts = [f"{n % 10}" * size for n, size in enumerate(sizes)]
    for part, (start, stop) in enumerate([(0, 5000), (5000, 9001), (9001, len(sizes))]):
        corpus.write(f"{part}.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts[start:stop]))
    batches = corpus.batches()
    assert [len(batch) for batch in batches] == [BATCH_DOCUMENTS, 810, 2, 5]
    assert [text for batch in batches for text in batch["text"].to_pylist()] == texts
    monkeypatch.setattr("mixer.sources.streams.CHUNK", 12_345)
    assert corpus.batches() == batches


def test_batches_have_one_schema(corpus):
    corpus.write("a.jsonl", '{"text": "a"}\n')
    [batch] = corpus.batches(metadata=["id"])
    assert batch.schema.names == ["file", "record", "text", "metadata.id"]
    assert batch.schema.types == [pa.string(), pa.int64(), pa.large_string(), pa.string()]


def test_a_file_that_vanishes_or_may_not_be_read(corpus):
    path = corpus.write("a.jsonl", LINES)
    tasks, source = corpus.tasks(), corpus.source()
    path.unlink()
    with pytest.raises(InputError, match=r"'corpus': a\.jsonl: cannot be opened"):
        list(read(tasks[0], source, lambda *_: None))


def test_remote_files_and_odd_names(corpus):
    memory = fsspec.filesystem("memory")
    table = pa.BufferOutputStream()
    with pa.ipc.new_file(table, pa.schema([("text", pa.string())])) as writer:
        writer.write_batch(pa.record_batch([["arrow"]], names=["text"]))
    memory.pipe("/read/a 中.jsonl.gz", gzip.compress(b'{"text": "gz"}\n'))
    memory.pipe("/read/b.arrow", table.getvalue().to_pybytes())
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["parquet"]}), sink)
    memory.pipe("/read/c.parquet", sink.getvalue())
    assert corpus.documents("memory://read/*") == [
        ("a 中.jsonl.gz", 0, "gz"),
        ("b.arrow", 0, "arrow"),
        ("c.parquet", 0, "parquet"),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_text_that_no_kernel_could_number_is_rejected(corpus, monkeypatch, name):
    monkeypatch.setattr("mixer.sources.rows.LONGEST_TEXT", 8)
    texts = ["short", "哈哈哈", "a" * 8, "", "again"]
    if name == "a.parquet":
        pq.write_table(pa.table({"text": texts}), corpus.folder / name)
    else:
        corpus.write(name, "".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert corpus.texts(name) == ["short", "a" * 8, "", "again"]
    ((_, _, cause),) = corpus.rejected
    assert cause == "the text has 9 bytes, more than the 8 that a document can"
