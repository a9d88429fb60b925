import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.filters.kernels.c4 import LINE_EDITS, edit_lines
from mixer.filters.statistics import compute
from tests.filters import corpora, twins

VALUES = {"c4.long_word_lines": 20.0, "c4.short_lines": 3.0}
PIECES = [
    "One two three.",
    "what? ",
    "No... ",
    "four ",
    ". ",
    '"',
    "'",
    "...",
    "[1]",
    "[]",
    "[",
    "]",
    "[edit]",
    "[citation needed]",
    "[٣]",
    "[12",
    "[edi]",
    "javascript ",
    "JavaScript",
    "java[2]script",
    "Privacy Policy ",
    "privacy\npolicy ",
    "terms of use",
    "Coo\u212aie policy",
    "uses cookies",
    "use of coo[3]kies",
    "use cookies",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\u2028",
    "\x85",
    "\x1f",
    "\x1c",
    "\u3000",
    "字",
    "é",
    "\u1680",
    "verylongwordthatislongerthan20",
    "ééééééééééééééééééé",
    "kv",
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
edits_in_force = st.sets(st.sampled_from(LINE_EDITS)).map(
    lambda names: {name: VALUES.get(name, True) for name in LINE_EDITS if name in names}
)
ALL = {name: VALUES.get(name, True) for name in LINE_EDITS}


def edited(batch, values):
    column, counts = edit_lines(pa.array(batch, pa.large_string()), values)
    return column.to_pylist(), {name: found.tolist() for name, found in counts.items()}


@settings(max_examples=500, deadline=None)
@given(st.lists(texts, max_size=5), edits_in_force)
@example(["a b c.\n", "", "a b. [1]\n[2] a b.", " [1] [2] [3]\na b c."], ALL)
@example([" [1] [2] [3]\na b c.\n[] [] []", "\n[1]a b[2] c d\r\n"], {"c4.citations": True, "c4.line_spaces": True})
@example([" [1] x\n\n[2]\t", "\ta b\r"], {"c4.citations": True, "c4.short_lines": 2.0})
def test_edits_equal_their_slow_twin(batch, values):
    found, counts = edited(batch, values)
    slow = [twins.edit_lines(text, values) for text in batch]
    assert found == [text for text, _ in slow]
    assert counts == {name: [count[name] for _, count in slow] for name in values}
    assert all(sum(count.values()) > 0 for text, (after, count) in zip(batch, slow, strict=True) if after != text)


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), edits_in_force, st.integers(0, 6))
def test_edits_do_not_depend_on_the_batch(batch, values, cut):
    whole, counts = edited(batch, values)
    parts = [edited(part, values) for part in (batch[:cut], batch[cut:])]
    assert whole == parts[0][0] + parts[1][0]
    assert counts == {name: parts[0][1][name] + parts[1][1][name] for name in values}
    sliced, _ = edit_lines(pa.array(["padding [1]", *batch], pa.large_string()).slice(1), values)
    assert sliced.to_pylist() == whole


def test_a_column_in_which_nothing_changes_is_returned_as_it_is():
    column = pa.array(["Nothing is wrong here.\nNor here, is it?", "", "A [b] c."], pa.large_string())
    found, counts = edit_lines(column, ALL)
    assert found is column
    assert all(not count.any() for count in counts.values())


def test_without_line_spaces_what_stays_is_left_byte_for_byte():
    text = "  def f(x):\r\n\treturn x[0]  \n\nPlease enable JavaScript.\n\n  - an item [1]\n"
    after, counts = edited([text], {"c4.javascript_lines": True, "c4.citations": True})
    assert after == ["  def f(x):\r\n\treturn x  \n\n\n  - an item \n"]
    assert counts == {"c4.javascript_lines": [1], "c4.citations": [2]}


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("One. Two! Three? Four", 4),
        ("It cost 3.50 dollars. See example.com. then go", 2),
        ('He said "No." She left. (Or so.) Did she?!', 4),
        ("Dr. J. R. Watson met Mrs. Hudson in the U.S. Army. It was vitamin.", 2),
        ("1. First item 2. Second", 2),
        ("... *** 1. 2. 3.", 0),
        ("It's. A so-called X. Wait… no. Élan. Écrit.", 4),
        ("One line\nand another\u2028and a third", 3),
    ],
)
def test_sentences(line, sentences):
    assert compute(pa.array([line], pa.large_string()), np.arange(1), ["sentences"])["sentences"][0] == sentences
    assert sum(len(twins.split_sentences(part)) for part in line.splitlines()) == sentences


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["en/dclm_agreement.jsonl.zst", "en/redpajama_cc_2023_06.jsonl"])
def test_edits_of_real_pages_equal_their_slow_twin(name):
    batch = corpora.texts(name)
    values = {**ALL, "c4.long_word_lines": 1000.0}
    found, counts = edited(batch, values)
    slow = [twins.edit_lines(text, values) for text in batch]
    assert found == [text for text, _ in slow]
    assert counts == {name: [count[name] for _, count in slow] for name in values}
