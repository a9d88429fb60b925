"""`report.html`: what it says, that it shows any text as text, needs nothing else, and is the same every time."""

import base64
import re
from collections import Counter
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest

from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import read
from mixer.megatron.blend import Replay
from mixer.mixture.verify import verify
from mixer.report import tallies
from mixer.report.markup import escape, short
from mixer.report.page import report
from mixer.report.ratio import curve
from tests.small import Small, chinese, english, lines, mixer

HOSTILE = '<script>alert("in")</script> & <img src=x onerror=alert(1)> \x07\u202e $x_1$ '
SHORT = [" ".join(text.split()[:40]) + "." for text in english(6, seed=9)]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page as elements and texts; every element must be closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.links, self.cells, self.rows = [], Counter(), [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        assert not any(name.startswith("on") for name, _ in attrs)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_tokenizer, kept_server):
    """A build with hostile texts, names in Chinese, duplicates, short documents and a record that cannot be read."""
    small = Small(tmp_path_factory.mktemp("reported"), small_tokenizer)
    small.write("en.jsonl", lines([*english(40), *SHORT, HOSTILE, english(1)[0]]) + b'{"text": 5}\n')
    small.write("zh.jsonl", lines(chinese(60)))
    small.source("en", max_rejected=0.1)
    assert small.build().code == 0
    return small


def test_the_page_needs_nothing_else_and_shows_texts_as_texts(built):
    text = report(built.out, shown=100)
    page = Page(text)
    assert page.tags["script"] == 0 and page.tags["img"] == 4
    assert all(re.match(r"#\w+$|data:image/svg\+xml;base64,", link) for link in page.links)
    assert "&lt;script&gt;alert" in text and "\x07" not in text
    assert str(built.folder) not in text
    assert not re.search(r"https?://", re.sub(r"base64,[\w+/=]+", "", text).split("</style>")[1])
    for link in page.links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in text
        else:
            picture = base64.b64decode(link.split(",")[1]).decode()
            assert "<svg" in picture and "<script" not in picture and "dc:date" not in picture


def test_the_same_build_gives_the_same_page_also_after_cleaning(built, tmp_path):
    text = (built.out / "report.html").read_text("utf-8")
    assert report(built.out) == text
    assert built.build("--out", tmp_path / "other/place").code == 0
    assert (tmp_path / "other/place/report.html").read_text("utf-8") == text
    assert mixer("clean", tmp_path / "other/place").code == 0
    assert report(tmp_path / "other/place") == text


def test_the_figures_are_those_of_the_mixture(built):
    manifest, page = read(built.out), Page(report(built.out))
    rows = {row[0]: row for row in page.rows if len(row) == 9}
    for entry in manifest.datasets:
        expected = [entry.role, "web", f"{entry.documents:,}", f"{entry.tokens:,}", f"{entry.samples:,}"]
        assert rows[f"{entry.source}-{entry.language}"][1:6] == expected
        assert rows[f"{entry.source}-{entry.language}"][7] == f"{entry.epochs:.2f}"
    last = [row for row in page.rows if row[0] == "100%"]
    assert last == [["100%", f"{manifest.samples:,}", f"{manifest.almr.realised:.4%}", f"{manifest.almr.measured:.4%}"]]


def test_tallies_are_what_the_files_hold(built):
    found = {tally.source: tally for tally in tallies.read(built.out)}
    for source, tally in found.items():
        kept = [pq.read_metadata(path).num_rows for path in (built.out / "documents").rglob(f"{source}-*/*.parquet")]
        assert tally.kept == sum(kept)
        dropped = [pq.read_table(path) for path in (built.out / "dropped" / source).glob("*.parquet")]
        reasons = Counter(name for table in dropped if table.num_columns for name in table["reason"].to_pylist())
        assert tally.reasons == reasons
        assert tally.documents == tally.kept + reasons.total()
        assert tally.rejected == (source == "en")
        assert tally.documents == sum(label.documents for label in tally.languages.values())
    assert found["en"].reasons["gopher.words"] >= len(SHORT) and found["en"].reasons["dedup.exact"] == 1
    assert sum(label.kept for label in found["zh"].scripts.values()) == 60
    funnel = next(row for row in Page(report(built.out)).rows if row[:3] == ["en", "web", "49"])
    assert funnel[3:8] == ["1", "", str(found["en"].documents - found["en"].kept - 1), "1", str(found["en"].kept)]


def test_each_reason_and_dataset_has_its_documents(built):
    text = report(built.out)
    for reason in tallies.read(built.out)[0].reasons:
        assert f"<summary>{reason} " in text
    section = text.split("<summary>gopher.words ")[1].split("</details>")[0]
    assert section.count("<article>") == 2 and "words is 40" in section
    assert report(built.out, shown=4).split("<summary>gopher.words ")[1].split("</details>")[0].count("<article>") == 4
    assert "<summary>zh-zh " in text and report(built.out, seed=1) != text
    assert "<article>" not in report(built.out, shown=0)


def test_without_matplotlib_there_are_tables_alone(built, monkeypatch):
    monkeypatch.setattr("mixer.report.page.can_draw", lambda: False)
    page = Page(report(built.out))
    assert page.tags["img"] == 0 and page.rows == Page((built.out / "report.html").read_text("utf-8")).rows


def test_a_frontier_is_shown(built, tmp_path):
    (tmp_path / "f.svg").write_text('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "f.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "f.txt").write_text("no picture")
    ran = mixer(
        "report", built.out, "--frontier", tmp_path / "f.svg", "--out", tmp_path / "a/page.html", "--samples", 0
    )
    assert ran.code == 0 and Page((tmp_path / "a/page.html").read_text("utf-8")).tags["img"] == 5
    assert "data:image/png;base64,iVBOR" in report(built.out, frontier=tmp_path / "f.png")
    with pytest.raises(UsageError, match="neither a PNG nor an SVG"):
        report(built.out, frontier=tmp_path / "f.txt")


def test_another_mixture_has_a_page_without_a_funnel(built, tmp_path):
    assert mixer("mix", built.out, "--almr", 0.4, "--out", tmp_path / "other").code == 0
    assert mixer("report", tmp_path / "other").code == 0
    text = (tmp_path / "other/report.html").read_text("utf-8")
    assert 'id="ratio"' in text and 'id="funnel"' not in text and 'id="kept"' not in text
    assert mixer("mix", tmp_path / "other", "--almr", 0.5).code == 0
    assert not (tmp_path / "other/report.html").exists()  # it would be about the mixture before
    (tmp_path / "other/tallies.json").write_text("[")
    with pytest.raises(BrokenPromiseError, match=r"tallies\.json is damaged"):
        report(tmp_path / "other")


def test_the_curve_is_what_the_order_says(built):
    manifest = read(built.out)
    found = curve(manifest)
    order = Replay([entry.weight for entry in manifest.datasets]).order(manifest.samples)
    additional = [entry.role == "additional" for entry in manifest.datasets]
    counts = [sum(additional[place] for place in order[:samples]) for samples in found.samples]
    assert (found.realised == [count / samples for count, samples in zip(counts, found.samples, strict=True)]).all()
    assert found.realised[-1] == manifest.almr.realised
    assert (found.low >= found.bounds[0]).all() and (found.high <= found.bounds[1]).all()
    assert (found.low <= 0).all() and (found.high >= 0).all()
    proved = verify(built.out, rehash=False)
    assert (found.low[-1], found.high[-1]) == (proved.realised.low, proved.realised.high)
    assert found.bounds == proved.bounds


def test_small_things():
    assert escape('a<b>&"c"\x00\x85') == "a&lt;b&gt;&amp;&quot;c&quot;\ufffd\ufffd"
    assert [short(count) for count in (7, 999_999, 1_234_567, 1_700_000_000_000)] == ["7", "999,999", "1.23M", "1.7T"]
