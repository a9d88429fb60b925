"""Decontamination in a whole build: what is planted is found and dropped, said, shown and counted."""

import json

import pyarrow.parquet as pq
import pytest

from mixer.contamination import findings
from mixer.inspection.finished import Wanted
from mixer.inspection.specimens import inspect
from tests.small import WORDS, chinese, english, lines, mixer

pytestmark = pytest.mark.usefixtures("kept_server")

QUESTIONS = english(12, seed=11)
ASKED = chinese(6, seed=12)


def benchmark(small, **more):
    """Write two benchmarks and a corpus in which some of their items are planted, and name them in the recipe."""
    small.write("asked.json", json.dumps([{"id": f"q{n}", "question": q} for n, q in enumerate(QUESTIONS)]).encode())
    small.write("zh.csv", "".join(f'{n},"{q}"\n' for n, q in [("n", "question"), *enumerate(ASKED)]).encode())
    texts = english(40)
    texts[3] = f"{texts[3]} {QUESTIONS[5].title().replace(' ', '  ')} {english(1, seed=5)[0]}"
    texts[9] = " ".join(QUESTIONS[7:9])
    texts[20] = QUESTIONS[0][: len(QUESTIONS[0]) // 2] + " " + texts[20]  # half a question is none
    small.write("en.jsonl", lines(texts))
    small.write("zh.jsonl", lines([*chinese(39), f"{chinese(1, 5)[0]}「{ASKED[2]}」"]))
    small.recipe["decontaminate"] = {
        "benchmarks": [{"name": "asked", "paths": ["asked.json"]}, {"name": "zh-asked", "paths": ["zh.csv"]}],
        **more,
    }


@pytest.fixture
def built(small):
    benchmark(small)
    ran = small.build()
    assert ran.code == 0, ran.stderr
    return ran


def test_planted_items_are_found_and_their_documents_dropped(small, built):
    dropped = pq.read_table(small.out / "dropped/en/00000.contaminated.parquet")
    assert dropped["record"].to_pylist() == [3, 9]
    assert set(dropped["reason"].to_pylist()) == {"contamination"}
    found = pq.read_table(small.out / "contamination/en/00000.parquet").to_pylist()
    assert [(row["record"], row["benchmark"], row["item"]) for row in found] == [
        (3, "asked", "asked.json record 5 (q5)"),
        (9, "asked", "asked.json record 7 (q7)"),
        (9, "asked", "asked.json record 8 (q8)"),
    ]
    assert all(row["coverage"] == 1 for row in found)
    assert found[0]["matched"] == QUESTIONS[5].title().replace(" ", "  ").removesuffix(".")
    (zh,) = pq.read_table(small.out / "contamination/zh/00000.parquet").to_pylist()
    assert (zh["record"], zh["benchmark"], zh["text"], zh["matched"]) == (39, "zh-asked", ASKED[2], ASKED[2])
    kept = [
        row for path in small.out.glob("documents/*/*/*.parquet") for row in pq.read_table(path)["text"].to_pylist()
    ]
    assert len(kept) == 77 and not any(question in text for text in kept for question in (*QUESTIONS, *ASKED))


def test_counts_reach_the_screen_the_report_and_the_file(small, built):
    asked, zh = findings.read(small.out)
    assert (asked.items, asked.found, asked.documents, asked.sources) == (12, 3, 2, {"en": 2})
    assert (zh.items, zh.found, zh.documents, zh.by_chance) == (6, 1, 1, 0)
    assert "contamination 2" in built.stdout and "zh-asked" in built.stdout
    page = (small.out / "report.html").read_text()
    assert ">Benchmarks<" in page and "zh-asked" in page
    (tally, _) = json.loads((small.out / "tallies.json").read_text())
    assert tally["reasons"]["contamination"] == 2


def test_inspect_shows_document_and_item_side_by_side(small, built):
    found = inspect(small.out, Wanted(rule="contamination", source="en"), 5, 0)
    assert {each.record: len(each.contamination) for each in found} == {3: 1, 9: 2}
    ran = mixer("inspect", small.out, "--rule", "contamination", "--source", "zh")
    assert ran.code == 0
    assert "in the document" in ran.stdout and "zh.csv record 2" in ran.stdout and "100%" in ran.stdout


def test_another_benchmark_reads_no_source_again(small, built):
    small.recipe["decontaminate"]["benchmarks"].pop()
    ran = small.build()
    assert ran.code == 0, ran.stderr
    assert ran.done["prepare"] == (2, 2)
    assert ran.done["scan"] == (2, 0)
    assert not (small.out / "contamination/zh").exists()
    small.recipe["decontaminate"]["coverage"] = 0.4
    ran = small.build()
    assert (ran.done["scan"], ran.done["decontaminate"]) == ((2, 2), (2, 0))
    assert pq.read_table(small.out / "dropped/en/00000.contaminated.parquet")["record"].to_pylist() == [3, 9, 20]
    del small.recipe["decontaminate"]
    ran = small.build()
    assert ran.done["prepare"] == (2, 2) and "scan" not in ran.done
    assert not (small.out / "contamination").exists() and not (small.out / "contamination.json").exists()
    assert findings.read(small.out) == ()


def test_documents_of_a_source_may_be_reported_and_kept(small):
    benchmark(small, keep=["en"])
    assert small.build().code == 0
    assert findings.read(small.out)[0].sources == {"en": 2}
    assert not (small.out / "dropped/en/00000.contaminated.parquet").exists() or not len(
        pq.read_table(small.out / "dropped/en/00000.contaminated.parquet")
    )
    small.recipe["decontaminate"]["keep"] = ["eng"]
    assert "did you mean 'en'" in small.build().stderr


def test_a_source_that_is_a_benchmark_is_noted(small):
    benchmark(small)
    small.write("en.jsonl", lines([*english(38), *QUESTIONS]))
    ran = small.build()
    assert ran.code == 0, ran.stderr
    assert "benchmark 'asked' is in 12 of 50 documents of source 'en'" in " ".join(ran.stderr.split())


def test_phrases_of_the_corpus_flag_nothing(small):
    phrase = " ".join(WORDS)  # 30 words that half a benchmark and half a corpus share
    questions = [f"{phrase} {question.split('.')[0][:90]}" if n % 2 else phrase for n, question in enumerate(QUESTIONS)]
    benchmark(small, common_documents=15)
    small.write("asked.json", json.dumps([{"question": question} for question in questions]).encode())
    texts = [f"{text} {phrase}." if n % 2 else text for n, text in enumerate(english(40))]
    texts[4] = f"{texts[4]} {questions[1]}."
    small.write("en.jsonl", lines(texts))
    ran = small.build()
    assert ran.code == 0, ran.stderr
    assert pq.read_table(small.out / "dropped/en/00000.contaminated.parquet")["record"].to_pylist() == [4]
    asked, _ = findings.read(small.out)
    assert (asked.items, asked.repeated, asked.lost, asked.found) == (7, 5, 1, 1)
    assert "benchmark 'asked': 1 of 7 items cannot be found" in " ".join(ran.stderr.split())


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"paths": ["nothing.json"]}, 2, "benchmark 'asked'"),
        ({"paths": ["asked.json"], "fields": ["quesion"]}, 2, "did you mean 'question'"),
        ({"paths": ["short.jsonl"]}, 2, "nothing to look for"),
        ({"paths": ["bad.json"]}, 1, "no valid JSON"),
    ],
)
def test_a_benchmark_that_cannot_be_looked_for_is_an_error_before_sources_are_read(small, given, code, message):
    benchmark(small)
    small.write("short.jsonl", b'{"question": "too short"}\n')
    small.write("bad.json", b'[{"question": "a"}, {"question": ]')
    small.recipe["decontaminate"]["benchmarks"][0] = {"name": "asked", **given}
    ran = small.build()
    assert ran.code == code
    assert message in " ".join(ran.stderr.split()) and "prepare" not in ran.done
