"""Units, n-grams and coverage against their slow twins, and properties that hold whatever the text."""

import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.contamination.coverage import common_grams, cover, decide, reachable
from mixer.contamination.index import IndexBuilder, load, load_lookup
from mixer.contamination.passages import Document
from mixer.contamination.passages import units as units_with_places
from mixer.contamination.records import Item
from mixer.contamination.settings import Benchmark, DecontaminateSettings
from mixer.contamination.units import find, hash_units
from mixer.engine.outputs import Outputs
from mixer.errors import TaskError
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers
from tests.contamination import twin

SMALL = DecontaminateSettings(ngram=4, ngram_characters=5, shortest=3, shortest_characters=3, common_documents=3)
LETTERS = st.text(st.sampled_from("ab 的是，。Éß́ー7"), max_size=40)
"""Few characters, so that n-grams repeat: words, Han, kana, marks, folding and punctuation."""


def column(texts):
    return normalise(*buffers(pa.array(texts, pa.large_string())))


def index_of(*benchmarks, limits=SMALL):
    builder = IndexBuilder(limits)
    for texts in benchmarks:
        builder.add([Item(str(number), text) for number, text in enumerate(texts)])
    return builder, builder.index()


def found(index, documents, limits=SMALL, cuts=1):
    """Take documents through the pass and coverage, in some batches; as ``{(document, item): coverage}``."""
    pairs = [np.empty((0, 2), np.int64)]
    bounds = np.linspace(0, len(documents), cuts + 1).astype(int)
    for first, last in itertools.pairwise(bounds):
        row, gram = find(*column(documents[first:last]), index.lookup())
        pairs.append(np.unique(np.stack([row + first, gram], axis=1), axis=0))
    row, gram = np.concatenate(pairs).T
    documents_of = np.bincount(gram, minlength=len(index.hashes))
    common = common_grams(documents_of, len(documents), limits.common_documents, limits.common_share)
    return cover(index, common, reachable(index, common), row, gram.astype(np.int32))


def as_dict(index, made):
    real = ~index.controls[made.item]
    return {
        (int(row), int(item)): float(share)
        for row, item, share in zip(made.row[real], made.item[real], made.coverage[real], strict=True)
    }


@settings(deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_units_are_those_of_the_twin(texts):
    hashes, bounds, singles = hash_units(*column(texts))
    names: dict[int, str] = {}
    for text, first, last, single in zip(texts, bounds[:-1], bounds[1:], singles, strict=True):
        own = twin.units(text)
        assert last - first == len(own)
        assert single == sum(map(twin.is_single, own))
        for unit, hashed in zip(own, hashes[first:last].tolist(), strict=True):
            assert names.setdefault(hashed, unit) == unit
    assert len(set(names.values())) == len(names)


@settings(deadline=None)
@given(st.text())
def test_units_with_places_spell_the_text(text):
    places = units_with_places(text)
    assert all(before[2] <= after[1] for before, after in itertools.pairwise(places))
    if text.isascii():
        assert [unit for unit, _, _ in places] == twin.units(text)
        assert [text[first:last].casefold() for _, first, last in places] == twin.units(text)


@settings(deadline=None)
@given(st.lists(LETTERS, max_size=12), st.lists(LETTERS, max_size=8), st.integers(1, 3))
def test_coverage_is_that_of_the_twin(items, documents, cuts):
    _, index = index_of(items)
    expected = twin.coverages(items, documents, SMALL)
    made = as_dict(index, found(index, documents, cuts=cuts))
    assert made.keys() == expected.keys()
    for pair, share in expected.items():
        assert made[pair] == pytest.approx(share)


@settings(deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=8), LETTERS, LETTERS)
def test_a_document_that_holds_an_item_covers_it(items, before, after):
    builder, index = index_of(items)
    for number, item in enumerate(builder.kept):
        shares = as_dict(index, found(index, [f"{before}。 {item.text} 。{after}"]))
        assert shares[0, number] == pytest.approx(1)


def test_long_documents_are_no_different_where_blocks_meet():
    words = [f"w{number}" for number in range(9000)]
    rng = random.Random(3)
    item = " ".join(rng.choices(words, k=30))
    _, index = index_of([item], limits=(limits := DecontaminateSettings()))
    for before in (*range(4055, 4135), 8190):
        text = " ".join([*words[:before], item, *words[before:]])
        assert as_dict(index, found(index, [text], limits)) == {(0, 0): 1}


def test_shorter_items_are_compared_as_a_whole_and_the_shortest_left_out():
    limits = DecontaminateSettings()
    texts = [
        "one two three four five six seven",
        "one two three four five six seven eight",
        "一二三四五六七八九十甲乙",
        "",
    ]
    builder, index = index_of(texts, limits=limits)
    (counts,) = builder.counted
    assert (counts.texts, counts.items, counts.whole, counts.short, counts.empty) == (4, 2, 2, 1, 1)
    documents = [
        "So: one, two, three four FIVE six seven eight!",
        "two three four five six seven eight",
        "「一二三四五六七八九十甲乙」",
    ]
    assert as_dict(index, found(index, documents, limits)) == {(0, 0): 1, (2, 1): 1}


def test_equal_items_are_one_and_openings_tell_nothing():
    opening = "which of the following statements is true of the system of equations"
    texts = [f"{opening}: {chr(97 + n)}1 {n} {n}x" for n in range(25)]
    _, index = index_of([*texts, texts[0].upper()], limits=DecontaminateSettings(ngram=8))
    alone = found(index, [opening * 2], DecontaminateSettings(ngram=8))
    assert not len(alone.row)
    assert as_dict(index, found(index, [texts[3]], DecontaminateSettings(ngram=8))) == {(0, 3): 1}


def test_controls_are_halves_of_items_and_count_only_where_neither_is_found():
    items = [" ".join(f"{letter}{n}" for n in range(40)) for letter in "abcd"]
    _, index = index_of(items, limits=(limits := DecontaminateSettings()))
    halves = [
        f"{own[: len(own) // 2]} {other[len(other) // 2 :]}"
        for own, other in zip(items, items[2:] + items[:2], strict=False)
    ]
    assert index.controls.tolist() == [False] * 4 + [True] * 4
    assert index.donors[4:].tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]
    made, controls = decide(index, found(index, [halves[1], items[0] + " " + halves[0]], limits), 0.8)
    assert (made.row.tolist(), made.item.tolist()) == ([1], [0])
    assert (controls.row.tolist(), controls.item.tolist()) == ([0], [5])


def test_an_index_is_read_as_written(tmp_path):
    _, index = index_of(["one two three four five", "一二三四五六"], ["six seven eight nine"])
    outputs = Outputs(tmp_path)
    with outputs.open("index.npz") as file:
        index.save(file)
    again = load(tmp_path / "index.npz")
    assert all(np.array_equal(getattr(index, name), getattr(again, name)) for name in vars(index))
    assert all(map(np.array_equal, load_lookup(tmp_path / "index.npz"), index.lookup()))
    (tmp_path / "other.npz").write_bytes(b"PK")
    with pytest.raises(TaskError, match="no index of benchmarks"):
        load(tmp_path / "other.npz")


def test_nothing_is_found_with_nothing_to_look_for():
    _, index = index_of(["too short"], limits=(limits := DecontaminateSettings()))
    assert not len(index.hashes)
    assert not len(found(index, ["too short", ""], limits).row)


def test_the_passage_that_shows_an_item_is_the_longest():
    item = "the quick brown fox jumps over the lazy dog and runs away from here"
    text = f"The QUICK brown fox. {'Then again: ' * 10}«{item.replace(' ', ', ')}», he said."
    assert Document(text).matched(item, 4) == item.replace(" ", ", ")
    assert Document("quick brown foxes").matched(item, 4) == ""
    assert Document("我说：庭院深深，深几许？").matched("庭院深深深几许", 4) == "庭院深深，深几许"


def test_settings_that_fit_nothing_are_refused():
    with pytest.raises(ValueError, match="must not be above"):
        DecontaminateSettings(ngram=6, shortest=8)
    twice = [Benchmark(name="a", paths=["x"]), Benchmark(name="a", paths=["y"])]
    with pytest.raises(ValueError, match="two benchmarks"):
        DecontaminateSettings(benchmarks=twice)
