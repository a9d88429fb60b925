import numpy as np
import pyarrow as pa
from datatrove.utils.text import TERMINAL_PUNCTUATION
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.filters.kernels.prose import PROSE_STATISTICS, STOPS
from mixer.filters.statistics import compute
from tests.filters import twins

PIECES = [
    "One. ",
    "two? ",
    "no!",
    ".)",
    "”",
    "’ ",
    "» ",
    "Mr. ",
    "Dr.",
    "Prof. ",
    "U.S. ",
    "J. ",
    "it's. ",
    "3. ",
    "éa. ",
    "a ",
    "B",
    " ",
    "\n",
    "\n\n",
    "\r\n",
    "\u2028",
    "\x85",
    "\x1c",
    "\t",
    "。",
    "¡",
    "字",
    "lorem ipsum",
    "Lorem IPSUM ",
    "lorem\nipsum",
    "{",
    "}",
    "[",
    "a b c d e f g h i j k l m n o",
    "é" * 29,
    "x" * 199,
    "Words go on. " * 25 + "é" * 700,
    "x" * 590 + ". Y",
    "\u3000",
    "၊",
    "፧",
    "…",
    "p",
    "P",
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


def measured(batch):
    return compute(pa.array(batch, pa.large_string()), np.arange(len(batch)), PROSE_STATISTICS)


@settings(max_examples=500, deadline=None)
@given(st.lists(texts, max_size=5))
@example(["", "\n", " \n ", "x" * 200, "x" * 199 + "\n" + "é" * 200, "a. \n  b", "a. B.\x85c"])
@example(
    [
        "Lorem ipsum",
        "orem ipsum",
        "lorem ipsu",
        "p",
        "{{",
        ".",
        ". a",
        "a.. B",
        "Profs. A",
        "aDr. A",
        ".A. B",
        "“Mr. B",
        "é\u0301J. B",
    ]
)
def test_statistics_equal_their_slow_twin(batch):
    found = measured(batch)
    for row, text in enumerate(batch):
        for name, value in twins.prose_statistics(text).items():
            assert found[name][row] == np.float32(value), (name, text)


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), st.integers(0, 6))
def test_statistics_do_not_depend_on_the_batch(batch, cut):
    whole, *parts = measured(batch), measured(batch[:cut]), measured(batch[cut:])
    for name in PROSE_STATISTICS:
        assert np.array_equal(whole[name], np.concatenate([part[name] for part in parts]))


def test_an_article_without_line_breaks_is_prose_and_a_row_of_labels_is_not():
    article, labels = "Albedo is the share of light that a body throws back. " * 40, "Albedo. Light, bodies, stars, "
    found = measured([article + "Radiation Optics", labels + "Radiation Optics " * 60, article[:800] + "Optics"])
    assert found["ended_lines"].tolist() == [1, 0, 0]


def test_line_ends_are_those_of_the_published_set():
    assert set(map(chr, STOPS)) == TERMINAL_PUNCTUATION
    assert np.all(np.diff(STOPS) > 0)
