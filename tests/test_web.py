"""Web archives and HTML through the whole pipeline: what is skipped and rejected is told, and nothing is lost."""

import hashlib
import json

import pytest

from tests.small import chinese, english, mixer
from tests.sources.archives import Archive, page

pytestmark = pytest.mark.usefixtures("kept_server")


def archive(texts, encoding="utf-8"):
    made = Archive().info()
    for number, text in enumerate(texts):
        url = f"https://a.test/{number}"
        made.request(url).response(page(text).encode(encoding), f"text/html; charset={encoding}", url=url)
    return made


def hashes(out):
    """Hash every dataset and document of a build, by path below it."""
    files = [path for folder in ("megatron", "documents", "rejected") for path in (out / folder).rglob("*.*")]
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix in (".bin", ".idx", ".parquet", ".jsonl")
    }


def test_archives_and_fields_build_the_same_for_any_number_of_workers(small):
    crawl = archive(english(40)).response(b"x", "image/png").response("<html><body></body></html>")
    small.write("en.warc.gz", crawl.data)
    small.write("zh.warc", archive(chinese(20), "gb18030").data)
    small.write("zh2.warc", archive(chinese(20, seed=3), "gbk").data)
    fields = [json.dumps({"html": page(text)}) for text in english(20, seed=5)]
    small.write("field.jsonl", "\n".join(fields))
    small.source("en", paths=["en.warc.gz"], max_rejected=0.05, metadata=["url", "charset"])
    small.source("zh", paths=["*.warc"])
    small.source("field", text="html", html=True, language="en")
    found = []
    for workers in (1, 3):
        out = small.folder / f"out{workers}"
        ran = mixer("build", small.file(), "--out", out, "--workers", workers)
        assert ran.code == 0, ran.stderr
        assert "source 'en': skipped, as no pages of text: 42 records" in " ".join(ran.stdout.split())
        assert "request 40" in ran.stdout
        found.append(hashes(out))
    assert found[0] == found[1]
    assert len(found[0]) > 6
    [entry] = map(json.loads, (out / "rejected/en/00000.jsonl").read_text().splitlines())
    place = f"byte {crawl.offsets[-1]:,}"
    assert entry == {"file": "en.warc.gz", "position": place, "cause": "no text found in the page"}


def test_an_archive_without_pages_is_refused(small):
    small.write("en.warc.gz", Archive().info().request().data)
    small.source("en", paths=["en.warc.gz"])
    ran = small.build()
    assert ran.code == 2
    assert "source 'en' is empty: none of its 2 records holds a page of text" in " ".join(ran.stderr.split())


def test_more_pages_without_text_than_allowed_end_the_build_and_raising_the_bound_goes_on(small):
    small.write("en.warc.gz", archive([*english(40), *[""] * 3]).data)
    small.source("en", paths=["en.warc.gz"])
    ran = small.build()
    assert ran.code == 1
    assert "3 of 43 records could not be read" in " ".join(ran.stderr.split())
    small.source("en", max_rejected=0.1)
    ran = small.build()
    assert ran.code == 0, ran.stderr
    assert ran.done["prepare"] == (2, 2)
