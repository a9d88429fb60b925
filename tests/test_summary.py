"""What `mixer build` says in the end of the edits it made."""

import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from mixer.documents import EDITS
from tests.small import Small, chinese, english, lines

ADDRESSES = ["ann@site.org or bob@site.org", "bob@site.org", "ann@site.org"]
FILTERS = {"*/en": {"c4.citations": True}, "web/zh": {"chinese.menu_lines": True}}


def edits_of(out):
    """Sum the columns of edits in the documents of a build, and count those that are not zero."""
    made, edited = Counter(), Counter()
    for path in [*(out / "documents").rglob("*.parquet"), *(out / "dropped").rglob("*.parquet")]:
        table = pq.ParquetFile(path).read()
        for name in (name for name in table.schema.names if name.startswith(EDITS)):
            counts = [count for count in table[name].to_pylist() if count]
            made[name.removeprefix(EDITS)] += sum(counts)
            edited[name.removeprefix(EDITS)] += len(counts)
    return {name: (count, edited[name]) for name, count in made.items() if count}


def edits_said(stdout):
    """Read the line about edits: how many of each, and in how many documents."""
    said = re.search(r"^edits: (.*(?:\n.*)*?documents)$", stdout, re.M)
    found = re.findall(r"([\w.]+) ([\d,]+) in\s+([\d,]+)\s+documents", said[1]) if said else []
    return {name: (int(made.replace(",", "")), int(edited.replace(",", ""))) for name, made, edited in found}


@pytest.fixture
def small(tmp_path, small_tokenizer, kept_server):
    return Small(tmp_path, small_tokenizer)


def test_the_summary_counts_every_edit_in_kept_and_dropped_documents(small):
    texts = english(40)
    for number, address in enumerate(ADDRESSES):
        texts[number] = f"Write to {address}. {texts[number]}"
    texts[3] += " So it was [1] and [2]."
    texts.append("Gone, as it is too short [3].")
    small.write("en.jsonl", lines(texts))
    small.write("zh.jsonl", lines([chinese(1)[0] + "\n展开\n上一页", *chinese(40)[1:]]))
    ran = small.build("--set", f"filters={FILTERS}")
    assert ran.code == 0, ran.stderr
    expected = {"privacy.email": (4, 3), "c4.citations": (3, 2), "chinese.menu_lines": (2, 1)}
    assert edits_of(small.out) == expected
    assert edits_said(ran.stdout) == expected
    assert list(edits_said(ran.stdout)) == sorted(expected)


def test_a_build_without_edits_says_nothing_of_them(small):
    ran = small.build()
    assert ran.code == 0 and edits_of(small.out) == {}
    assert "edits:" not in ran.stdout
