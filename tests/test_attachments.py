"""Block lists and the user's own filters in a build: what they drop, and that a changed file is noticed."""

import json

import pyarrow.parquet as pq
import pytest

from tests.small import english, mixer

MODULE = """
import numpy as np


def shorter_than(batch, characters):
    return np.array([len(text) < characters for text in batch["text"].to_pylist()])
"""


@pytest.fixture
def attached(small, monkeypatch):
    """The small recipe, with URLs, a domain list and a function of the user's own."""
    rows = [
        {"text": text, "url": f"http://site{number % 4}.example/{number}"} for number, text in enumerate(english(40))
    ]
    small.write("en.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    small.source("en", metadata=["url"])
    small.write("lists/domains.txt", "site3.example\n")
    small.write("own.py", MODULE)
    monkeypatch.syspath_prepend(str(small.folder))
    monkeypatch.setenv("PYTHONPATH", str(small.folder))
    monkeypatch.setenv("LISTS", "lists")
    small.recipe["blocklists"] = [{"kind": "domain", "file": "${LISTS}/domains.txt"}]
    longest = sorted(map(len, english(40)))[-3]
    own = {"name": "short", "function": "own:shorter_than", "arguments": {"characters": longest + 1}, "where": ["*/en"]}
    small.recipe["custom"] = [own]
    return small


def reasons(small):
    found = {}
    for path in (small.out / "dropped").rglob("*.parquet"):
        table = pq.read_table(path)
        for reason in table["reason"].to_pylist() if table.num_columns else []:
            found[reason] = found.get(reason, 0) + 1
    return found


def test_a_build_asks_them_and_notices_when_they_change(attached):
    ran = attached.build()
    assert ran.code == 0, ran.stderr
    found = reasons(attached)
    assert found["blocklist.domain"] == 10
    assert 0 < found["custom.short"] <= 2
    assert "note: block list ${LISTS}/domains.txt is not asked about zh" in ran.stderr
    assert attached.build().done["prepare"] == (2, 2)
    attached.write("lists/domains.txt", "site3.example\nsite2.example\n")
    assert attached.build().done["prepare"] == (2, 1)  # the source without URLs is not asked, and not done again
    assert reasons(attached)["blocklist.domain"] == 20


def test_what_is_missing_is_said_before_anything_is_read(attached):
    attached.recipe["blocklists"][0]["file"] = "gone.txt"
    ran = attached.build()
    assert ran.code == 2
    assert "blocklists[0].file" in ran.stderr and "gone.txt" in ran.stderr
    attached.write("lists/hosts.txt", "0.0.0.0 ads.example\n")
    attached.recipe["blocklists"][0]["file"] = "lists/hosts.txt"
    ran = attached.build()
    assert ran.code != 0 and "entry 1, '0.0.0.0 ads.example', is no domain" in ran.stderr
    attached.recipe["blocklists"][0] = {"kind": "url", "file": "lists/domains.txt", "field": "adress"}
    ran = attached.build()
    assert ran.code == 2 and "'adress', which no source carries" in ran.stderr
    assert not attached.out.exists()


def test_the_funnel_asks_them_too(attached):
    ran = mixer("filter", attached.folder / "en.jsonl", "--recipe", attached.file(), "--source", "en")
    assert ran.code == 0
    assert "blocklist.domain 10" in ran.stdout
    assert "custom.short" in ran.stdout
