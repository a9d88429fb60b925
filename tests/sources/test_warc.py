import gzip
import io
import re
import zlib
from pathlib import Path

import brotli
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from mixer.errors import InputError, RecipeError
from mixer.sources.page import extract
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.sources.settings import HtmlSettings, SourceSettings
from tests.sources.archives import CHINESE, ENGLISH, JAPANESE, Archive, framed, page

PARAGRAPHS = [f"{ENGLISH} Number {number}." for number in range(5)]
PLAIN = "plain text, kept as it is\n  with its spaces\n"


def pages(count):
    archive = Archive().info()
    for number in range(count):
        url = f"https://a.test/{number}"
        archive.request(url).response(page(PARAGRAPHS[0].replace("0", str(number)), CHINESE), url=url)
    return archive


def numbers(texts):
    return [int(re.search(r"Number (\d+)", text)[1]) for text in texts]


def test_responses_are_documents_and_the_rest_is_counted(corpus):
    archive = (
        Archive()
        .info()
        .request()
        .response(page(ENGLISH))
        .response(page(ENGLISH), "image/png")
        .response(PLAIN, "text/plain; charset=utf-8")
        .response(page(ENGLISH), status="404 Not Found")
        .response(b"", status="301 Moved Permanently")
        .add("metadata", "https://a.test/", b"fetchTimeMs: 9\r\n")
        .add("resource", "metadata://gnu.org/software/wget/warc/wget.log", b"a log")
        .add("revisit", "https://a.test/", b"", [("Content-Type", "text/html")])
        .add("conversion", "https://a.test/", CHINESE.encode())
        .response(page(CHINESE), "application/xhtml+xml")
        .response(page(JAPANESE), None)
        .response(b"\x89PNG", None)
    )
    corpus.write("a.warc.gz", archive.data)
    assert corpus.documents() == [
        ("a.warc.gz", 2, ENGLISH),
        ("a.warc.gz", 4, PLAIN),
        ("a.warc.gz", 10, CHINESE),
        ("a.warc.gz", 11, CHINESE),
        ("a.warc.gz", 12, JAPANESE),
    ]
    assert corpus.rejected == []
    assert sorted(corpus.skipped) == [
        "metadata",
        "request",
        "resource that is no web page",
        "response with status 301",
        "response with status 404",
        "response without a type",
        "response: image/png",
        "revisit",
        "warcinfo",
    ]


def test_metadata(corpus):
    archive = Archive().response(
        page(ENGLISH, lang="en-GB"), url="https://a.test/%E4%B8%AD?q=1", WARC_Date="2024-05-06T07:08:09Z"
    )
    archive.response(page(CHINESE).encode("gb18030"), "text/html; charset=gb2312", http=[("Content-Language", "zh")])
    corpus.write("a.warc.gz", archive.data)
    fields = ["url", "date", "mime", "record_id", "language", "charset"]
    first, second = corpus.documents(metadata=fields)
    raw = [record.rec_headers for record in ArchiveIterator(io.BytesIO(archive.data))]
    assert first[3:] == (
        "https://a.test/%E4%B8%AD?q=1",
        "2024-05-06T07:08:09Z",
        "text/html",
        raw[0]["WARC-Record-ID"],
        "en-GB",
        "utf-8",
    )
    assert second[2:5] == (CHINESE, "https://a.test/", raw[1]["WARC-Date"])
    assert second[5:] == ("text/html", raw[1]["WARC-Record-ID"], "zh", "gb18030")


def test_settings_that_mean_nothing_to_pages(corpus):
    corpus.write("a.warc.gz", pages(1).data)
    with pytest.raises(RecipeError, match=r"no metadata 'uri' \(did you mean 'url'\?\)"):
        corpus.tasks(metadata=["uri"])
    with pytest.raises(RecipeError, match="no fields such as 'body'"):
        corpus.tasks(text="body")
    with pytest.raises(RecipeError, match="`encoding` means nothing"):
        corpus.tasks(encoding="gbk")
    with pytest.raises(RecipeError, match="`records` means nothing"):
        corpus.tasks(records="line")
    corpus.write("b.warc.gz", b'{"text": "x"}\n')
    with pytest.raises(InputError, match="declared warc, but its content is neither"):
        corpus.texts("b.warc.gz", format="warc")
    with pytest.raises(InputError, match="declared jsonl, but its content is warc"):
        corpus.texts("a.warc.gz", format="jsonl")


@pytest.mark.parametrize("form", ["plain", "gzip as a whole", "zstd"])
def test_other_containers_give_the_same(corpus, form, monkeypatch):
    archive = pages(5)
    corpus.write("a", archive.data)
    corpus.write("b", framed(gzip.decompress(archive.data), form))
    by_member = corpus.documents("a")
    assert [document[1:] for document in corpus.documents("b")] == [document[1:] for document in by_member]
    for chunk, head in ((1, 8), (13, 70), (1000, 1 << 16)):
        monkeypatch.setattr("mixer.sources.streams.CHUNK", chunk)
        monkeypatch.setattr("mixer.sources.streams.HEAD", head)
        assert corpus.documents("a") == by_member


def test_a_limit_extracts_and_counts_no_more_than_it_needs(corpus):
    corpus.write("a.warc.gz", pages(100).data)
    assert numbers(corpus.texts(limit=3)) == [0, 1, 2]
    assert corpus.skipped == ["warcinfo", "request", "request", "request"]
    assert numbers(corpus.texts()) == list(range(100))
    assert corpus.skipped.count("request") == 100


def compressed(name, data):
    if name == "deflate":
        return zlib.compress(data)
    if name == "raw deflate":
        return zlib.compress(data)[2:-4]
    return {"gzip": gzip.compress, "zstd": zstandard.compress, "br": brotli.compress}[name](data)


def chunked(data, size=100):
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate", "br", "zstd"])
def test_http_bodies_are_unpacked(corpus, name):
    body = page(CHINESE, *PARAGRAPHS).encode()
    label = [("Content-Encoding", name.split()[-1])]
    chunks = [("Transfer-Encoding", "chunked")]
    packed = compressed(name, body)
    archive = Archive().response(packed, http=label).response(chunked(packed), http=[*label, *chunks])
    archive.response(body, http=[*label, *chunks])  # as crawlers store what they have unpacked
    archive.response(packed[:-30], http=label).response(chunked(packed)[:-40], http=[*label, *chunks])
    archive.response(packed, http=[("Content-Encoding", "x-mine")])
    corpus.write("a.warc.gz", archive.data)
    assert corpus.texts(max_rejected=1) == ["\n".join([CHINESE, *PARAGRAPHS])] * 3
    causes = [re.sub(":.*", "", cause) for _, _, cause in corpus.rejected]
    broken = f"{name.split()[-1]} content that is broken or cut off"
    assert causes == [
        broken,
        "HTTP chunks that are broken or cut off",
        "content encoded as 'x-mine', which is not read",
    ]
    assert [place for _, place, _ in corpus.rejected] == [f"byte {offset:,}" for offset in archive.offsets[3:]]


def test_a_small_body_that_unpacks_to_much_is_rejected(corpus):
    archive = Archive()
    for name in ("gzip", "deflate", "br", "zstd"):
        archive.response(compressed(name, b"<html>" + bytes(100_000_000)), http=[("Content-Encoding", name)])
    corpus.write("a.warc.gz", archive.data)
    assert corpus.texts() == []
    assert [cause for *_, cause in corpus.rejected] == ["a page of more than the 8,000,000 bytes that are read"] * 4


def test_broken_pages_are_rejected_where_their_record_begins(corpus):
    archive = (
        pages(1)
        .response("<html><body></body></html>")
        .response(b"<html>" + bytes(range(128, 256)) * 20)
        .response(b"", "text/plain")
        .response(b"a\0b", "text/plain")
        .response(page(ENGLISH), status="OK")
        .response(page(ENGLISH))
    )
    bare = Archive(gzipped=False).add("resource", "https://a.test/", b"no HTTP at all").data
    archive.offsets.append(len(archive.data))
    corpus.write("a.warc.gz", archive.data + gzip.compress(bare.replace(b"resource", b"response")))
    assert len(corpus.texts()) == 2
    causes = [
        "no text found in the page",
        "the character encoding of the page cannot be told; it claims utf-8",
        "no text found in the page",
        "the text holds a NUL character",
        "a response without a valid HTTP status",
        "a response that does not begin with an HTTP status",
    ]
    places = [f"byte {offset:,}" for offset in (*archive.offsets[3:8], archive.offsets[9])]
    assert corpus.rejected == [("a.warc.gz", place, cause) for place, cause in zip(places, causes, strict=True)]


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (
            b"WARC/1.0\r\nWARC-Type: response",
            b"WORC/1.0\r\nWARC-Type: response",
            "no WARC record where one should begin",
        ),
        (b"Content-Length", b"Content-Longth", "a WARC record without a valid Content-Length"),
        (b"Content-Length: ", b"Content-Length: -", "a WARC record without a valid Content-Length"),
        (b"Content-Length: ", b"Content-Length: x", "a WARC record without a valid Content-Length"),
        (b"Content-Length: ", b"Content-Length: 1", "a WARC record whose Content-Length of"),
        (b"Content-Length: ", b"Content-Length: 99999999", "a WARC record whose Content-Length of"),
        (b"</article>", b"", "a WARC record whose Content-Length of"),
        (b"</article>", b"</article> and more", "a WARC record whose Content-Length of"),
    ],
)
@pytest.mark.parametrize("gzipped", [True, False])
def test_a_broken_record_costs_itself_alone(corpus, old, new, cause, gzipped):
    """The second of three pages is broken."""
    members = []
    for number in range(3):
        archive = Archive(gzipped=False).response(page(PARAGRAPHS[0].replace("0", str(number)), CHINESE))
        members.append(archive.data.replace(old, new) if number == 1 else archive.data)
    corpus.write("a.warc", b"".join(map(gzip.compress if gzipped else bytes, members)))
    assert numbers(corpus.texts()) == [0, 2]
    [(file, place, why)] = corpus.rejected
    offset = len(gzip.compress(members[0]) if gzipped else members[0])
    assert (file, place) == ("a.warc", f"byte {offset:,}")
    assert why.startswith(cause)


def test_garbage_between_and_behind_records(corpus):
    first, second = (Archive(gzipped=False).response(page(PARAGRAPHS[n], CHINESE)).data for n in range(2))
    corpus.write("a.warc", first + b"garbage\r\n" * 10_000 + second + b"\r\n\r\nmore of it")
    assert corpus.documents()[0][1] == 0
    assert [document[1] for document in corpus.documents()] == [0, 2]
    assert [entry[2] for entry in corpus.rejected] == ["no WARC record where one should begin"] * 2


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_truncated_archive_is_an_error_unless_allowed(corpus, gzipped):
    archive = Archive(gzipped=gzipped)
    for number in range(3):
        archive.response(page(PARAGRAPHS[0].replace("0", str(number)), CHINESE))
    begin = archive.offsets[2]
    cuts = [begin + 12, begin + 100, begin + 300, len(archive.data) - 20]
    for cut in cuts:
        corpus.write("a.warc", archive.data[:cut])
        with pytest.raises(InputError, match="the file is truncated"):
            corpus.texts()
        assert numbers(corpus.texts(allow_truncated=True)) == [0, 1]
        [(_, place, cause)] = corpus.rejected
        assert "truncated" in cause
        assert gzipped or f"{begin:,}" in place
    corpus.write("a.warc", archive.data[:begin])
    assert numbers(corpus.texts()) == [0, 1]


def test_a_corrupt_archive_is_an_error(corpus):
    data = bytearray(pages(3).data)
    data[len(data) // 2] ^= 255
    corpus.write("a.warc.gz", bytes(data))
    with pytest.raises(InputError, match="corrupt gzip data"):
        corpus.texts()


def test_long_records_are_passed_over(corpus, monkeypatch):
    monkeypatch.setattr("mixer.sources.records.HELD", 1000)
    archive = Archive(gzipped=False)
    archive.response(b"v" * 50_000, "video/mp4").response(page(*[ENGLISH] * 20)).response(page(ENGLISH))
    corpus.write("a.warc", archive.data)
    assert corpus.texts() == [ENGLISH]
    assert corpus.skipped == ["response: video/mp4"]
    [(_, place, cause)] = corpus.rejected
    assert (place, cause.split(",")[0]) == (f"byte {archive.offsets[1]:,}", "a record of 2")
    corpus.write("a.warc", archive.data[: archive.offsets[1] - 10_000])
    with pytest.raises(InputError, match="the file is truncated"):
        corpus.texts()


@given(st.lists(st.binary(max_size=80), max_size=6), st.sampled_from([1, 7, 1000]))
@settings(max_examples=50, deadline=None)
def test_any_blocks_come_out_as_warcio_reads_them(tmp_path_factory, blocks, chunk):
    from mixer.sources import streams
    from mixer.sources.listing import InputFile
    from mixer.sources.records import records
    from mixer.sources.streams import Stream

    archive = Archive()
    for block in blocks:
        archive.add("resource", "https://a.test/", block)
    path = tmp_path_factory.mktemp("blocks") / "a.warc.gz"
    path.write_bytes(archive.data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        source = SourceSettings(name="x", paths=["x"])
        with Stream(InputFile(str(path), "a.warc.gz", 0, ""), source, lambda *_: None) as stream:
            found = [(record.place, record.block) for record in records(stream)]
    assert found == [(f"byte {at:,}", block) for at, block in zip(archive.offsets, blocks, strict=True)]


@pytest.mark.real_data
def test_real_archives_as_warcio_reads_them(real_pages):
    """Records, their offsets and their pages: warcio's iterator over the file, against ours over the stream."""
    source = SourceSettings(name="web", paths=[str(real_pages / "*.warc.gz")], metadata=["record_id", "url"])
    skipped, rejected, found = [], [], {}
    for task in plan_source(source, Path()):
        for batch in read(task, source, lambda *entry: rejected.append(entry), skipped.append):
            found |= {row["metadata.record_id"]: row for row in batch.to_pylist()}
    seen = 0
    for path in sorted(real_pages.glob("*.warc.gz")):
        with path.open("rb") as handle:
            for number, record in enumerate(ArchiveIterator(handle)):
                row = found.get(record.rec_headers["WARC-Record-ID"])
                assert (row is not None) == (record.rec_type == "response")
                if row is not None:
                    seen += 1
                    html = record.content_stream().read().decode()
                    assert (row["file"], row["record"]) == (path.name, number)
                    assert row["metadata.url"] == record.rec_headers["WARC-Target-URI"]
                    assert row["text"] == extract(html, HtmlSettings()).text
    assert (seen, len(found), rejected, len(skipped)) == (37, 37, [], 45)


@pytest.mark.real_data
def test_offsets_of_real_archives(real_pages):
    """Against the bytes themselves: at each offset a gzip member begins that holds exactly that record."""
    from mixer.sources.listing import InputFile
    from mixer.sources.records import records
    from mixer.sources.streams import Stream

    for path in sorted(real_pages.glob("*.warc.gz")):
        data = path.read_bytes()
        with Stream(
            InputFile(str(path), path.name, 0, ""), SourceSettings(name="x", paths=["x"]), lambda *_: None
        ) as s:
            found = list(records(s))
        places = [int(record.place.removeprefix("byte ").replace(",", "")) for record in found]
        for begin, end, record in zip(places, [*places[1:], len(data)], found, strict=True):
            header, _, block = gzip.decompress(data[begin:end]).partition(b"\r\n\r\n")
            assert header.startswith(b"WARC/1.0\r\n")
            assert block == record.block + b"\r\n\r\n"


def test_batches_do_not_depend_on_stretches(corpus, monkeypatch):
    corpus.write("a.warc.gz", pages(30).data)
    batches = corpus.batches()
    monkeypatch.setattr("mixer.sources.warc.STRETCH", 3)
    assert corpus.batches() == batches
    assert isinstance(batches[0], pa.RecordBatch)
