"""`mixer attribution`: sources, licences and shares, against sums made document by document."""

import json
import re

import pyarrow.parquet as pq
import pytest

from mixer.attribution import LICENCES, attribution
from mixer.errors import UsageError
from mixer.manifest import read
from tests.small import Small, chinese, english, lines, mixer

STATED = ["MIT", "CC-BY | 4.0", "", None, "*own*"]


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_tokenizer, kept_server):
    """English documents with licences, some empty; Chinese ones without; a third source with very many."""
    small = Small(tmp_path_factory.mktemp("attributed"), small_tokenizer)
    for name, texts, stated in (
        ("en", english(40), [STATED[k % 5] for k in range(40)]),
        ("many", english(50, seed=5), [f"L{k:03}" for k in range(50)]),
    ):
        rows = [{"text": text, "meta": {"License": said}} for text, said in zip(texts, stated, strict=True)]
        small.write(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    small.write("zh.jsonl", lines(chinese(60)))
    small.source("en", metadata=["meta.License"])
    small.source("many", metadata=["meta.License"], language="en")
    assert small.build().code == 0
    return small


def rows_of(page, title):
    section = page.split(f"## {title}\n", 1)[1].split("\n##", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    return [re.split(r" (?<!\\)\| ", line[2:-2]) for line in lines[2:]]


def test_shares_are_those_of_the_tokens_that_training_reads(built):
    page = attribution(built.out)
    shares, documents = {}, {}
    for entry in read(built.out).datasets:
        rows = pq.read_table(built.out / "documents/train" / entry.prefix.rsplit("/", 1)[-1]).to_pylist()
        for row in rows:
            said = row.get("metadata.meta.License") or "not stated"
            shares[said] = shares.get(said, 0) + entry.weight * row["tokens"] / entry.tokens
            documents[said] = documents.get(said, 0) + 1
    found = {name.replace("\\", ""): (count, share) for name, count, share, _ in rows_of(page, "Licences")[:LICENCES]}
    assert len(found) == LICENCES and {"MIT", "CC-BY | 4.0", "not stated", "*own*"} < set(found)
    for name, (count, share) in found.items():
        assert (int(count), share) == (documents[name], f"{shares[name]:.2%}")
    rest = rows_of(page, "Licences")[LICENCES]
    assert rest[0] == f"{len(shares) - LICENCES} more"
    assert int(rest[1]) == sum(documents.values()) - sum(documents[name] for name in found)
    assert "Documents of en, zh state no licence" in page


def test_every_dataset_language_and_domain_has_its_share(built):
    page, manifest = attribution(built.out), read(built.out)
    sources = {row[0]: row for row in rows_of(page, "Sources")}
    for entry in manifest.datasets:
        expected = [entry.language, "web", f"{entry.documents:,}", f"{entry.tokens:,}"]
        assert sources[entry.source][1:5] == expected
        assert sources[entry.source][6] == f"{entry.weight:.2%}"
    assert sources["zh"][7] == "not stated" and re.fullmatch(r"L\d+ \(\d%\), .* more", sources["many"][7])
    assert dict(rows_of(page, "Languages"))["zh"] == f"{manifest.almr.realised:.2%}"
    assert rows_of(page, "Domains") == [["web", "100.00%"]]
    assert f"{manifest.tokens:,} tokens" in page and manifest.build in page


def test_the_command_writes_the_page(built, tmp_path):
    shown = mixer("attribution", built.out)
    assert shown.code == 0 and shown.stdout == attribution(built.out)
    assert mixer("attribution", built.out, "--out", tmp_path / "cards/data.md").code == 0
    assert (tmp_path / "cards/data.md").read_text("utf-8") == shown.stdout
    assert str(built.out) not in shown.stdout


def test_another_mixture_needs_the_build_with_the_documents(built, tmp_path):
    assert mixer("mix", built.out, "--almr", 0, "--out", tmp_path / "other").code == 0
    with pytest.raises(UsageError, match="holds no documents"):
        attribution(tmp_path / "other")
    page = attribution(tmp_path / "other", built.out)
    assert [row[0] for row in rows_of(page, "Languages")] == ["en"]
    assert "Documents of en state no licence" in page
