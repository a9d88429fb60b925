import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.documents import drop, make_batch, set_column
from mixer.filters.edits import edit


def doubling(texts, values):
    """Doubles the letter that each edit is about, and counts how often."""
    counts = {}
    for name, letter in values.items():
        counts[name] = pc.count_substring(texts, letter).to_numpy().astype(np.int32)
        texts = pc.replace_substring(texts, letter, letter * 2)
    return texts, counts


EDITORS = ((("double.a", "double.b"), doubling), (("double.c",), doubling))
BOOK = {"en": {"double.a": "a", "double.c": "c"}, "zh": {"double.b": "b"}}


def batch_of(documents):
    batch = make_batch(["f"] * len(documents), range(len(documents)), [text for _, text in documents])
    return set_column(batch, "language", pa.array([language for language, _ in documents], pa.string()))


def edited(documents, book=BOOK, editors=EDITORS):
    batch = edit(batch_of(documents), book, editors)
    names = [name for name in batch.schema.names if name.startswith("edits.")]
    return batch["text"].to_pylist(), {name: batch[name].to_pylist() for name in names}


def test_each_document_is_edited_as_its_language_asks():
    texts, counts = edited([("en", "abc"), ("zh", "abb"), ("de", "abc"), ("en", "x"), (None, "a")])
    assert texts == ["aabcc", "abbbb", "abc", "x", "a"]
    assert counts == {
        "edits.double.a": [1, None, None, 0, None],
        "edits.double.b": [None, 2, None, None, None],
        "edits.double.c": [1, None, None, 0, None],
    }


def test_a_dropped_document_is_left_as_it_is():
    batch = drop(batch_of([("en", "a"), ("en", "a")]), np.array([True, False]), "before")
    assert edit(batch, BOOK, EDITORS)["text"].to_pylist() == ["a", "aa"]


def test_edits_of_other_editors_are_left_out():
    assert edited([("en", "abc")], editors=EDITORS[1:]) == (["abcc"], {"edits.double.c": [1]})
    assert edited([("en", "abc")], book={"en": {}}) == (["abc"], {})


documents = st.lists(st.tuples(st.sampled_from(["en", "zh", "de"]), st.text("abcd字", max_size=5)), max_size=8)


@settings(deadline=None)
@given(documents, st.integers(0, 8))
def test_batches_do_not_matter(documents, cut):
    whole = edit(batch_of(documents), BOOK, EDITORS)
    parts = pa.Table.from_batches([edit(batch_of(part), BOOK, EDITORS) for part in (documents[:cut], documents[cut:])])
    assert whole.schema.equals(parts.schema)
    for name in (name for name in whole.schema.names if name != "record"):
        assert whole[name].to_pylist() == parts[name].to_pylist()
