"""Repeated paragraphs and lines: the kernels and the three stages beside slow twins, and whole builds."""

import json
import re
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mixer.dedup import corpus as planning
from mixer.dedup import units as counting
from mixer.dedup.corpus import PREPARED, Corpus
from mixer.dedup.cuts import CUTS, among
from mixer.dedup.fates import FATES
from mixer.dedup.paragraphs import find_units, hash_units, spans
from mixer.dedup.repeats import Repeats, too_many
from mixer.dedup.settings import DedupSettings, ParagraphSettings
from mixer.dedup.stage import PARAGRAPHS, STAGES, cut_paragraphs, deduplicate
from mixer.dedup.survivors import Survivors
from mixer.dedup.units import Units
from mixer.documents import make_batch, read_parquet
from mixer.errors import TaskError
from mixer.report.tallies import read
from mixer.text.utf8 import buffers
from mixer.tokenize.cuts import Cuts
from tests.dedup import real
from tests.dedup.steps import Runs, mark, prepare
from tests.dedup.twin import exact_key, normal
from tests.small import english, lines, mixer

LINE = r"[^\n]*\S[^\n]*"
PATTERNS = {"line": re.compile(LINE), "paragraph": re.compile(rf"{LINE}(?:\n{LINE})*")}
TEXTS = st.lists(st.text("ab \n\r\t\u3000\u2028好é", max_size=30), max_size=4)
UNIT = st.sampled_from(["line", "paragraph"])


def size(unit):
    """Characters, white space aside."""
    return len("".join(unit.split()))


def without(text, found, cut):
    """Cut the matches whose places are in ``cut``; of the two gaps around them the one with more newlines stays."""
    if not cut:
        return text
    ends = [0, *(match.end() for match in found)]
    gaps = [text[end:start] for end, start in zip(ends, [*(match.start() for match in found), len(text)], strict=True)]
    kept = [place for place in range(len(found)) if place not in cut]
    out = gaps[0]
    for place, following in pairwise([*kept, None]):
        between = [gaps[place + 1], gaps[following]] if following is not None else [gaps[-1]]
        out += found[place].group() + max(between, key=lambda gap: gap.count("\n"))
    return out if kept else gaps[0] + gaps[-1]


def twin(documents, chosen):
    """Say what becomes of the texts of some documents: ``(text, units cut)``, or None if too little would be left."""
    units = [list(PATTERNS[chosen.unit].finditer(text)) for text in documents]
    having = defaultdict(set)
    for row, found in enumerate(units):
        for match in found:
            if size(match.group()) >= chosen.characters:
                having[normal(match.group())].add(row)
    result = []
    for row, (text, found) in enumerate(zip(documents, units, strict=True)):
        cut = set()
        for place, match in enumerate(found):
            rows = having[normal(match.group())] if size(match.group()) >= chosen.characters else set()
            if len(rows) > chosen.most and row != min(rows):
                cut.add(place)
        left = without(text, found, cut)
        result.append(None if cut and size(left) < chosen.characters else (left, len(cut)))
    return result


def cut(root, corpus, chosen, marks=None, partitions="auto", **both):
    """Deduplicate and cut; return the engine and what became of the texts of each task."""
    asked = DedupSettings(minhash=False, paragraphs=chosen, partitions=partitions, **both)
    engine, receipts = Runs(root), prepare(root, corpus, None)
    planned = Corpus.of(receipts, asked, mark(root, marks or {}))
    fates = deduplicate(engine, planned, 1, 0.0)
    cut_paragraphs(engine, planned, fates)
    found = {}
    for task in corpus:
        cuts, first, texts = Cuts.load(root / CUTS.format(task)), 0, []
        for batch in read_parquet(str(root / PREPARED.format(task))):
            short = cuts.too_short(first, len(batch))
            made = cuts.make(batch, first)
            counts = made["edits.dedup.paragraphs"].to_pylist()
            for row, text, count in zip(range(len(batch)), made["text"].to_pylist(), counts, strict=True):
                assert not (short[row] and count)
                texts.append(None if short[row] else (text, count))
            first += len(batch)
        found[task] = texts
        (receipt,) = (each for each in engine.receipts["dedup.cuts"] if each.task == task)
        kept = [(before, *each) for before, each in zip(corpus[task], texts, strict=True) if each]
        assert receipt.counts == {
            "documents": sum(count > 0 for _, _, count in kept),
            "units": sum(count for _, _, count in kept),
            "bytes": sum(len(before.encode()) - len(after.encode()) for before, after, _ in kept),
            "short": texts.count(None),
        }
        summary = {name: receipt.counts[key] for name, key in (("edits", "units"), ("documents",) * 2, ("bytes",) * 2)}
        assert cuts.summary == summary
    return engine, found


@given(TEXTS, UNIT)
@settings(deadline=None)
def test_units_are_those_of_a_pattern(texts, unit):
    data, offsets = buffers(pa.array(["before", *texts], pa.large_string())[1:])
    found = find_units(data, offsets, lines=unit == "line")
    expected = [
        (row, match.group(), size(match.group()))
        for row, text in enumerate(texts)
        for match in PATTERNS[unit].finditer(text)
    ]
    spelt = [data[begin:end].tobytes().decode() for begin, end in zip(found.begins, found.ends, strict=True)]
    assert list(zip(found.rows.tolist(), spelt, found.characters.tolist(), strict=True)) == expected
    assert hash_units(data, found).tolist() == [exact_key(text)[0] for _, text, _ in expected]


@given(st.data(), TEXTS, UNIT)
@settings(deadline=None)
def test_what_is_cut_leaves_one_gap(data, texts, unit):
    units = [list(PATTERNS[unit].finditer(text)) for text in texts]
    chosen = [data.draw(st.sets(st.sampled_from(range(len(own))))) if own else set() for own in units]
    batch = make_batch([""] * len(texts), range(len(texts)), texts)
    column = buffers(batch["text"])
    found = find_units(*column, lines=unit == "line")
    where = np.array(
        [place in own for own, each in zip(chosen, units, strict=True) for place in range(len(each))], bool
    )
    cuts = Cuts(*spans(*column, found, where), np.empty(0, np.int64))
    made = cuts.make(batch, 0)
    assert made["text"].to_pylist() == [without(*each) for each in zip(texts, units, chosen, strict=True)]
    assert made["edits.dedup.paragraphs"].to_pylist() == [len(own) for own in chosen]


@pytest.mark.parametrize(
    ("unit", "text", "left"),
    [
        ("line", "one\nCUT\ntwo\n", "one\ntwo\n"),
        ("line", "one\nCUT\n\n  two\n", "one\n\n  two\n"),  # a paragraph begins here still
        ("line", "one\n\nCUT\n\ntwo", "one\n\ntwo"),
        ("line", "one\r\nCUT\r\ntwo", "one\r\ntwo"),
        ("line", "one\nCUT", "one"),
        ("paragraph", "CUT\n\none\n", "one\n"),
        ("paragraph", "one\n\nCUT\n", "one\n"),
        ("paragraph", "one\n\nCUT\n\n\n\nCUT\n \ntwo", "one\n\ntwo"),
    ],
)
def test_gaps(unit, text, left):
    batch = make_batch(["a"], [0], [text])
    column = buffers(batch["text"])
    found = find_units(*column, lines=unit == "line")
    where = [column[0][begin : begin + 3].tobytes() == b"CUT" for begin in found.begins]
    assert (
        Cuts(*spans(*column, found, np.array(where)), np.empty(0, np.int64)).make(batch, 0)["text"][0].as_py() == left
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5))), st.integers(1, 4))
@settings(deadline=None)
def test_documents_are_counted_and_not_units(pairs, most):
    pairs.sort()
    keys, rows = np.array(pairs, np.int64).reshape(-1, 2).T
    where, repeated = too_many(keys.astype(np.uint64), np.ascontiguousarray(rows), most)
    documents = {key: sorted({row for other, row in pairs if other == key}) for key, _ in pairs}
    many = {key: rows for key, rows in documents.items() if len(rows) > most}
    assert repeated == len(many)
    cut_pairs = [pair for pair, is_cut in zip(pairs, where.tolist(), strict=True) if is_cut]
    assert cut_pairs == [(key, row) for key, rows in sorted(many.items()) for row in rows[1:]]
    asked = [(row, key) for key in range(4) for row in range(6)]
    of_rows, of_keys = np.array(sorted((row, key) for key, row in cut_pairs), np.int64).reshape(-1, 2).T
    ask_rows, ask_keys = np.array(asked, np.int64).T
    found = among(
        np.ascontiguousarray(ask_rows),
        ask_keys.astype(np.uint64),
        np.ascontiguousarray(of_rows),
        of_keys.astype(np.uint64),
    )
    assert found.tolist() == [(key, row) in cut_pairs for row, key in asked]


PIECES = st.sampled_from(
    ["Alpha beta", "alpha  BETA ", "gamma", " gamma", "x", "好的好的", "", "", " ", "e\u0301tude", "étude"]
)
DOCUMENTS = st.lists(st.lists(PIECES, max_size=7).map("\n".join), max_size=7)


@given(
    st.lists(DOCUMENTS, min_size=1, max_size=3),
    UNIT,
    st.integers(1, 3),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from(["auto", 1, 3]),
    st.integers(1, 4),
)
@settings(deadline=None, max_examples=60)
def test_as_the_twin(tmp_path_factory, files, unit, most, characters, exact, partitions, group_rows):
    """Over any documents in any files, duplicates of whole documents first, if they are removed."""
    chosen = ParagraphSettings(unit=unit, most=most, characters=characters)
    corpus = {f"web/{number:05d}": texts for number, texts in enumerate(files)}
    root = tmp_path_factory.mktemp("cut")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "TASK_BYTES", 24 * group_rows)
        engine, found = cut(root, corpus, chosen, partitions=partitions, exact=exact)
    together = [text for texts in files for text in texts]
    seen, survives = set(), []
    for text in together:
        survives.append(not exact or normal(text) not in seen)
        seen.add(normal(text))
    expected = iter(twin([text for text, alive in zip(together, survives, strict=True) if alive], chosen))
    assert [each for texts in found.values() for each in texts] == [
        next(expected) if alive else (text, 0) for text, alive in zip(together, survives, strict=True)
    ]
    assert list(engine.receipts) == [*STAGES, *PARAGRAPHS]


@pytest.mark.real_data
@pytest.mark.parametrize("chosen", [ParagraphSettings(most=2), ParagraphSettings(unit="line", most=5, characters=20)])
def test_real_documents_as_the_twin(tmp_path, chosen):
    """Over statutes, manuals and pages whose versions share most of their paragraphs."""
    texts = real.documents()[::2]
    corpus = {f"web/{number:05d}": texts[number * 50 : number * 50 + 50] for number in range(-(-len(texts) // 50))}
    _, found = cut(tmp_path, corpus, chosen, exact=False)
    expected = twin(texts, chosen)
    assert [each for own in found.values() for each in own] == expected
    assert sum(count for each in expected if each for count in each[1:]) > 100


PARAGRAPH = "The same words stand under every page of this site, and nobody reads them any more."


def site(count, head="Page"):
    return [
        f"{head} {number} is about number {number} and nothing else at all, say we.\n\n{PARAGRAPH}"
        for number in range(count)
    ]


def test_the_first_keeps_it(tmp_path):
    chosen = ParagraphSettings(most=5, characters=40)
    corpus = {"a/00000": site(3), "b/00000": site(2, "Leaf"), "c/00000": [f"{PARAGRAPH}\n\n{PARAGRAPH}\n", "x" * 50]}
    _, found = cut(tmp_path / "six", corpus, chosen)
    assert [text for texts in found.values() for text in texts] == [
        (corpus["a/00000"][0], 0),
        *((text.split("\n")[0], 1) for text in corpus["a/00000"][1:] + corpus["b/00000"]),
        None,
        ("x" * 50, 0),
    ]
    five = {**corpus, "c/00000": ["x" * 50]}
    _, found = cut(tmp_path / "five", five, chosen)
    assert found == {task: [(text, 0) for text in texts] for task, texts in five.items()}


def test_what_was_removed_counts_for_nothing(tmp_path):
    chosen, corpus = ParagraphSettings(most=5, characters=40), {"a/00000": site(6)}
    _, found = cut(tmp_path, corpus, chosen, marks={"a/00000": [True, *[False] * 5]})
    assert found["a/00000"] == [(text, 0) for text in corpus["a/00000"]]


def test_the_same_bytes_from_1_3_and_16_partitions(tmp_path, monkeypatch):
    corpus = {f"{name}/{k:05d}": site(30, f"{name}{k}") for name in "abc" for k in range(2)}
    found = []
    for partitions, group_bytes in ((1, 400 << 20), (3, 400 << 20), (16, 24 * 35)):
        monkeypatch.setattr(planning, "TASK_BYTES", group_bytes)
        chosen = ParagraphSettings(characters=20)
        engine, _ = cut(tmp_path / str(partitions), corpus, chosen, partitions=partitions)
        assert len(engine.receipts["dedup.repeats"]) == partitions
        found.append({path: file for path, file in engine.files.items() if path.startswith("run/cuts")})
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 6
    assert sum(receipt.counts["units"] for receipt in engine.receipts["dedup.cuts"]) == 179


def test_partitions_follow_from_the_sizes_of_the_files(tmp_path, monkeypatch):
    chosen = ParagraphSettings(characters=1)
    receipts = prepare(tmp_path, {"a/00000": site(100)}, None)
    planned = Corpus.of(receipts, DedupSettings(minhash=False))
    size = receipts[0].outputs[PREPARED.format("a/00000")].bytes
    assert counting.partitions_for(planned, chosen) == 1
    monkeypatch.setattr(counting, "TASK_BYTES", 1000)
    assert counting.partitions_for(planned, chosen) == -(-3 * size * counting.HELD_BYTES // 1000)
    monkeypatch.setattr(counting, "TASK_BYTES", 1)
    assert counting.partitions_for(planned, chosen) == counting.MOST_PARTITIONS


def test_the_keys_say_what_decides(tmp_path):
    corpus = {"a/00000": site(6), "b/00000": site(1, "Leaf")}
    engine, _ = cut(tmp_path, corpus, ParagraphSettings())
    receipts = prepare(tmp_path, corpus, None)

    def keys(stage):
        return [task.key for task in stage.tasks()]

    def again(chosen):
        planned = Corpus.of(receipts, DedupSettings(minhash=False, paragraphs=chosen))
        lost = keys(Survivors(planned, engine.files))
        return lost, keys(Units(planned, chosen, engine.files)), keys(Repeats(planned, chosen, engine.files))

    lost, units, repeats = again(ParagraphSettings())
    for chosen in (ParagraphSettings(most=3), ParagraphSettings(characters=7), ParagraphSettings(unit="line")):
        assert again(chosen)[0] == lost
        assert (again(chosen)[1] == units) == (chosen.most == 3)
        assert (again(chosen)[2] == repeats) == (chosen.most != 3)  # which reads what units wrote
    off = Corpus.of(receipts, DedupSettings(minhash=False))
    assert keys(Survivors(off, engine.files)) == lost
    assert cut_paragraphs(engine, off, []) == []


def test_fates_that_do_not_fit(tmp_path):
    engine, _ = cut(tmp_path, {"a/00000": site(6)}, ParagraphSettings())
    np.savez(tmp_path / FATES.format("a/00000"), fate=np.zeros(5, np.uint8))
    planned = Corpus.of(prepare(tmp_path, {"a/00000": site(6)}, None), DedupSettings(minhash=False))
    stage = Units(planned, ParagraphSettings(), engine.files)
    with pytest.raises(TaskError, match="5 fates for 6 documents"):
        Runs(tmp_path)(stage)


def test_settings():
    assert DedupSettings().paragraphs is False
    assert DedupSettings.model_validate({"paragraphs": {}}).paragraphs == ParagraphSettings()
    for wrong in ({"unit": "word"}, {"most": 0}, {"characters": 0}, {"least": 3}, True):
        with pytest.raises(ValidationError):
            DedupSettings.model_validate({"paragraphs": wrong})
    assert all(entry["description"] for entry in ParagraphSettings.model_json_schema()["properties"].values())


@pytest.mark.usefixtures("kept_server")
def test_a_build_without_boilerplate(small):
    """A paragraph in 20 documents and a note that is little else; a second source has the paragraph, too."""
    boilerplate = english(1, seed=9)[0]
    pages = english(40)
    texts = [f"{page}\n\n{boilerplate}" if number % 2 else page for number, page in enumerate(pages)]
    small.write("en.jsonl", lines([*texts, f"{boilerplate}\n\nThat is all."]))
    small.source("more", language="en")
    small.write("more.jsonl", lines([*english(20, seed=5), f"{english(1, seed=8)[0]}\n\n{boilerplate}"]))
    off = small.build()
    assert off.code == 0, off.stderr
    assert not set(PARAGRAPHS) & set(off.done)

    def texts_of(source):
        paths = sorted((small.out / "documents").glob(f"*/{source}-*/*.parquet"))
        rows = [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]
        return sorted(rows, key=lambda row: row["record"])

    def tokens():
        return sum(row["tokens"] for source in ("en", "zh", "more") for row in texts_of(source))

    before, more = tokens(), {row["record"]: row for row in texts_of("en")}
    assert [row["text"] for row in more.values()] == [*texts, f"{boilerplate}\n\nThat is all."]
    assert not any(name.startswith("edits.dedup") for name in more[0])
    small.recipe["dedup"] = {"paragraphs": {"most": 5}}
    on = small.build()
    assert on.code == 0, on.stderr
    afresh = {"dedup.units": (3, 0), "dedup.repeats": (1, 0), "dedup.cuts": (3, 0), "tokenize": (3, 0)}
    assert on.done == {"prepare": (3, 3), **dict.fromkeys(STAGES, (1, 1)), **afresh, "join": on.done["join"]}
    assert "dedup.paragraphs 20 in 20 documents" in on.stdout
    english_rows = texts_of("en")
    assert [row["text"] for row in english_rows] == [pages[0], texts[1], *pages[2:]]
    assert [row["edits.dedup.paragraphs"] for row in english_rows] == [0, 0, *[0, 1] * 19]
    assert all(row["tokens"] < more[row["record"]]["tokens"] for row in english_rows[3::2])
    assert texts_of("more")[-1]["text"] == english(1, seed=8)[0]
    assert before > tokens() == sum(row["tokens"] for source in ("en", "zh", "more") for row in texts_of(source))
    dropped = pq.read_table(small.out / "dropped/en/00000.paragraphs.parquet").to_pylist()
    assert [(row["reason"], row["text"]) for row in dropped] == [("dedup.paragraphs", f"{boilerplate}\n\nThat is all.")]
    english_tally, chinese_tally, more_tally = read(small.out)
    assert english_tally.reasons == {"dedup.paragraphs": 1}
    assert (english_tally.kept, chinese_tally.reasons, more_tally.reasons) == (40, {}, {})
    edits = [tally.edits["dedup.paragraphs"] for tally in (english_tally, chinese_tally, more_tally)]
    assert [(each.edits, each.documents) for each in edits] == [(19, 19), (0, 0), (1, 1)]
    receipt = json.loads((small.out / "run/receipts/tokenize/en/00000.json").read_text())
    size = 19 * (len(boilerplate) + 2)
    assert receipt["counts"]["edits"] == {"dedup.paragraphs": {"edits": 19, "documents": 19, "bytes": size}}
    assert mixer("verify", small.out).code == 0
    shown = mixer("inspect", small.out, "--rule", "dedup.paragraphs")
    assert shown.code == 0
    assert "That is all." in shown.stdout
    assert all(tasks == skipped for tasks, skipped in small.build().done.values())
