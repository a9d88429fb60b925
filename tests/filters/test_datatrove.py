"""English rules as datatrove decides them: its own filters, over our words and sentences, keep and drop the same texts.

What is replaced in datatrove is how a text is cut into words and sentences, and what counts as punctuation. Each of its
filters is compared on its own: the first reason, and the text that is left. docs/datatrove.md lists what differs.
"""

import numpy as np
import pyarrow as pa
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import (
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.filters.edits import EDITORS
from mixer.filters.kernels.c4 import JAVASCRIPT, POLICY
from mixer.filters.kernels.words import segment
from mixer.filters.settings import FilterSettings, Overrides, checkbook, editbook, rulebook
from mixer.filters.statistics import compute
from mixer.filters.table import PROFILES, RULES, TABLE
from mixer.text import characters as c
from mixer.text.characters import CLASSES
from mixer.text.utf8 import buffers
from tests.filters import corpora, twins

LOREM, BRACKET = "c4.lorem_ipsum", "c4.curly_brackets"
C4_REASONS = {"lorem_ipsum": LOREM, "curly_bracket": BRACKET, "too_few_sentences": "c4.sentences"}
FILTERS = {
    "gopher quality": (
        gopher_quality_filter.GopherQualityFilter,
        {},
        {
            "gopher_short_doc": "gopher.words",
            "gopher_long_doc": "gopher.words",
            "gopher_below_avg_threshold": "gopher.mean_word_length",
            "gopher_above_avg_threshold": "gopher.mean_word_length",
            "gopher_too_many_hashes": "gopher.hashes",
            "gopher_too_many_ellipsis": "gopher.ellipses",
            "gopher_too_many_bullets": "gopher.bullet_lines",
            "gopher_too_many_end_ellipsis": "gopher.ellipsis_lines",
            "gopher_below_alpha_threshold": "gopher.alphabetic_words",
            "gopher_enough_stop_words": "gopher.stop_words",
        },
    ),
    "gopher repetition": (
        gopher_repetition_filter.GopherRepetitionFilter,
        {},
        {
            "dup_para_frac": "gopher.duplicate_paragraphs",
            "dup_para_char_frac": "gopher.duplicate_paragraph_characters",
            "dup_line_frac": "gopher.duplicate_lines",
            "dup_line_char_frac": "gopher.duplicate_line_characters",
            **{f"top_{n}_gram": f"gopher.top_{n}gram" for n in (2, 3, 4)},
            **{f"duplicated_{n}_n_grams": f"gopher.duplicate_{n}grams" for n in range(5, 11)},
        },
    ),
    "c4": (c4_filters.C4QualityFilter, {}, C4_REASONS),
    "c4 for fineweb": (c4_filters.C4QualityFilter, {"filter_no_terminal_punct": False}, C4_REASONS),
    "mc4 paragraphs": (c4_filters.C4ParagraphFilter, {}, {"< 3 paragraphs": "c4.paragraphs"}),
    "fineweb": (
        fineweb_quality_filter.FineWebQualityFilter,
        {},
        {
            "line_punct_ratio": "fineweb.stopped_lines",
            "short_line_ratio": "fineweb.short_lines",
            "char_dup_ratio": "fineweb.repeated_line_characters",
            "list_ratio": "fineweb.newlines",
        },
    ),
}
"""datatrove's filters with their arguments, and our names for their reasons."""


class Insubstantial:
    """What datatrove takes for punctuation: here, whatever is no letter, number or mark, as in our words."""

    def __contains__(self, char):
        return not twins.has(char, c.LETTER | c.NUMBER | c.MARK)


def our_words(text, _language):
    """Our segmentation as strings: the kernel's lengths, laid over the text without its white space."""
    data, offsets = buffers(pa.array([text], pa.large_string()))
    size = len(data) + 1
    lengths = np.empty(size, np.int32)
    count = segment(data, 0, offsets[-1], CLASSES, np.empty(size, np.uint64), lengths, np.empty(size, np.uint8))
    solid = "".join(text.split())
    ends = np.cumsum(lengths[:count]).tolist()
    return [solid[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


@pytest.fixture(autouse=True)
def over_our_words(monkeypatch):
    cached = {}

    def words(text, language):
        if text not in cached:
            cached.clear()
            cached[text] = our_words(text, language)
        return cached[text]

    for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
        monkeypatch.setattr(module, "split_into_words", words)
    monkeypatch.setattr(gopher_quality_filter, "PUNCTUATION_SET", Insubstantial())
    monkeypatch.setattr(c4_filters, "split_into_sentences", lambda line, _language: twins.split_sentences(line))


def theirs(name, texts):
    """For each text the first reason, in our words, and the text that is left; a dropped text is None."""
    make, arguments, reasons = FILTERS[name]
    each = make(**arguments)
    found = []
    for text in texts:
        document = Document(text=text, id="")
        answer = each.filter(document)
        found.append((None, document.text) if answer is True else (reasons[answer[1]], None))
    return found


def ours(name, texts):
    """The same, by the checks of the profile that are datatrove's filter of this name."""
    _, arguments, reasons = FILTERS[name]
    profile = "fineweb" if arguments or name == "fineweb" else name.partition(" ")[0]
    values = {"c4.paragraphs": 3} if name == "mc4 paragraphs" else {"profile": profile}
    found = checkbook(FilterSettings.model_validate({"web/en": values}), Overrides(), "web", ["en"])
    column = pa.array(texts, pa.large_string())
    if reasons is C4_REASONS:
        for names, editor in EDITORS:
            own = {edit: value for edit, value in editbook(found)["en"].items() if edit in names}
            column = editor(column, own)[0] if own else column
    rulings = [(rule, threshold) for rule, threshold in rulebook(found)["en"] if rule.name in reasons.values()]
    assert {rule.name for rule, _ in rulings} == set(reasons.values())
    values = compute(column, np.arange(len(texts)), {rule.statistic for rule, _ in rulings})
    first = [None] * len(texts)
    for rule, threshold in reversed(rulings):
        for row in np.flatnonzero(rule.objects(values[rule.statistic], threshold)):
            first[row] = rule.name
    return [(reason, None if reason else text) for reason, text in zip(first, column.to_pylist(), strict=True)]


def without_removed_lines(text):
    """A text without the lines that C4 removes for what they speak of, as our rules see it."""
    lines = [line for line in text.splitlines() if not any(words in line.lower() for words in (*JAVASCRIPT, *POLICY))]
    return "\n".join(lines)


def differences(name, texts):
    """Texts on which the decisions differ, as (text, theirs, ours); those of docs/datatrove.md are left out."""
    found = []
    for text, their, our in zip(texts, theirs(name, texts), ours(name, texts), strict=True):
        if their == our or {their[0], our[0]} == {LOREM, BRACKET}:
            continue
        if their[0] in (LOREM, BRACKET) and theirs(name, [without_removed_lines(text)])[0] == our:
            continue
        found.append((text, their, our))
    return found


def test_every_rule_has_its_counterpart():
    compared = {rule for _, _, reasons in FILTERS.values() for rule in reasons.values()}
    assert compared == {rule.name for rule in RULES if rule.family in ("gopher", "c4", "fineweb")}


def test_profiles_are_the_published_sets():
    prose = [check for check in TABLE if check.family in ("gopher", "c4", "fineweb")]
    of = {name: {check.name for check in prose if name in check.profiles} for name in PROFILES}
    c4 = {check.name for check in TABLE if check.family == "c4"} - {"c4.paragraphs"}
    assert of["c4"] == c4
    assert of["fineweb"] == {check.name for check in TABLE if check.family in ("gopher", "fineweb")} | c4 - {
        "c4.unpunctuated_lines"
    }


phrases = st.sampled_from(
    ["the cat sat on the mat, ", "to be or not to be ", "we have 42 of them with that. ", "### ", "a b c d e f g h ",
     "\n", "\n\n", "- item\n", "• x\n", "wait...\n", "so … ", "internationalization of institutions ", "1 2 3 ", "— ",
     "A sentence ends. ", "Does it?\n", "He said so.\" ", "\r\n", "\u2028", " [1]", "[edit]\n", "See Dr. J. Smith. "]
)  # fmt: skip
rare = st.sampled_from(
    ["{", "lorem ipsum", "javascript ", "privacy policy ", "x" * 1001, "use cookies", " \n", "[2] [3] [4]\n"]
)
documents = st.tuples(st.lists(phrases, max_size=60), st.lists(rare, max_size=2), st.integers(0, 60)).map(
    lambda parts: "".join([*parts[0][: parts[2]], *parts[1], *parts[0][parts[2] :]])
)


@pytest.mark.parametrize("name", FILTERS)
@settings(deadline=None, max_examples=100)
@given(st.lists(documents.filter(str.strip), min_size=1, max_size=4), st.integers(1, 3))
@example(["javascript is here { and there.\n" + "One is here. " * 6, "lorem ipsum is here. " * 6 + "{\n{ x y."], 1)
def test_decisions_on_invented_text(name, texts, repeats):
    assert differences(name, [text * repeats for text in texts]) == []


QUICK = [
    "c4_demo.jsonl.gz",
    "dclm_agreement.jsonl.zst",
    "dclm_majority.jsonl.zst",
    "redpajama_c4.jsonl",
    "redpajama_cc_2023_06.jsonl",
    "redpajama_stackexchange.jsonl",
    "pile_uspto.jsonl",
    "data_juicer_dedup_demo.jsonl",
]
LONG = [
    "go_blog_docs.parquet",
    "gutenberg_editions.jsonl.zst",
    "python_peps.jsonl.gz",
    "rust_book_versions.jsonl.zst",
    "wiki_demo.txt",
    "wikitext2_lines.parquet",
]


@pytest.mark.real_data
@pytest.mark.parametrize("file", [*QUICK, *(pytest.param(file, marks=pytest.mark.slow) for file in LONG)])
@pytest.mark.parametrize("name", FILTERS)
def test_decisions_on_real_text(name, file):
    texts = [text for text in corpora.texts(f"en/{file}") if text.strip()]
    assert texts
    assert differences(name, texts) == []
