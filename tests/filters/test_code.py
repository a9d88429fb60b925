"""Source code: what a document is written in, kernels against slow twins and against Python's and Pygments' lexers."""

import argparse
import ast
import dataclasses
import io
import os
import random
import re
import textwrap
import tokenize
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pygments.lexers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pygments.token import Comment

from mixer.documents import make_batch, set_column
from mixer.filters.judge import judge
from mixer.filters.settings import FilterSettings, _overrides, checkbook, rulebook
from mixer.filters.statistics import compute
from mixer.filters.syntax import FIELDS, INDEX, SYNTAXES, syntaxes_of
from tests.filters import code_twins, corpora

NAMES = tuple(code_twins.statistics(""))
PIECES = [
    *"\"'`/*#-;%!<>{}()[]\\\n\r\t =:,.&ruR01aé天𠮷",
    *("//", "/*", "*/", "--[[", "]]", "<!--", "-->", "{-", "-}", "(*", "*)", "#|", "|#", "#=", "=#", "<#", "#>", "%{"),
    *('"""', "'''", '.\\"', "return /", "= /a/", "\\\n", "\r\n", "  ", "word other words, and "),
    *(
        "<script>",
        "</script>",
        '<a href=">">',
        "<b x= '",
        '"="',
        "<style ",
        "&amp;",
        "&#160;",
        "<?",
        "<!doctype html>",
        "<html",
        "#!",
    ),
    *("<?xml version=", "<?php", "python", "node", "---\n", "%YAML", "key: ", "- ", '{"', "[1", "]", "}", "\ufeff"),
    *("auto-generated", "DO NOT EDIT.", "This File is Generated", "@generated", "\x1c", "\x85", "\u2028"),
]
pieces = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
texts = pieces | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
UNITS = ["41", "\\x41", "0x41", "41,", "0x41,", "\\u00e9", "\\u00E", "aZ09+/=", "\n", " ", ",", "é", "x", "_", "\\"]
encoded = st.lists(
    st.tuples(st.sampled_from(UNITS), st.sampled_from(["", ",", " ", "\n"]), st.integers(1, 12)), max_size=8
).map(lambda runs: "".join((unit + glue) * times for unit, glue, times in runs))


def measured(batch, syntaxes=None, names=NAMES):
    return compute(pa.array(batch, pa.large_string()), np.arange(len(batch)), names, syntaxes)


def assert_twins(batch, names):
    found = measured(batch, np.array([INDEX[name] for name in names], np.uint8))
    for row, (text, name) in enumerate(zip(batch, names, strict=True)):
        for statistic, value in code_twins.statistics(text, name).items():
            assert np.array_equal(found[statistic][row], np.float32(value), equal_nan=True), (statistic, name, text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(texts, st.sampled_from(SYNTAXES).map(lambda syntax: syntax.name)), max_size=6))
@example([("a = 1 // 'x\n\"//\" /* \" */ /[/]/ = /'/ //'\\", "javascript")])
@example([("r'doc'\nx = ('a',\n'b')\n'c' \\\n'd'\n\"\"\"e\n# f\"\"\"#g", "python")])
@example([("\\% x % y\\\n%{\nz", "matlab"), ("'\"", "basic"), ("\\", "tex"), ('"\\', "lisp"), ("'''\\", "python")])
def test_statistics_equal_their_slow_twins_in_every_syntax(documents):
    assert_twins([text for text, _ in documents], [name for _, name in documents])


@settings(max_examples=300, deadline=None)
@given(encoded)
@example("41 " * 8)
@example("\\x41" * 9)
@example("0x41," * 8 + "z")
@example("0x41, " * 20)
@example("a" * 64 + "\\u0041" * 8)
def test_encoded_strings_are_those_of_the_published_expressions(text):
    found = measured([text], names=["longest_encoded", "encoded_share"])
    assert {name: values[0] for name, values in found.items()} == {
        name: np.float32(value) for name, value in code_twins.encoded_statistics(text).items()
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(texts, st.integers(0, len(SYNTAXES) - 1)), min_size=1, max_size=5), st.data())
def test_statistics_do_not_depend_on_the_batch(documents, data):
    batch = [text for text, _ in documents]
    syntaxes = np.array([syntax for _, syntax in documents], np.uint8)
    cut = data.draw(st.integers(0, len(batch)))
    whole = measured(batch, syntaxes)
    parts = [measured(batch[:cut], syntaxes[:cut]), measured(batch[cut:], syntaxes[cut:])]
    rows = np.array(data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=4)), np.int64)
    chosen = compute(pa.array(["#", *batch], pa.large_string()).slice(1), rows, list(whole), syntaxes)
    for name, values in whole.items():
        assert np.array_equal(values, np.concatenate([part[name] for part in parts]), equal_nan=True)
        assert np.array_equal(chosen[name], values[rows], equal_nan=True)


@pytest.mark.parametrize(
    "unit", ['\\"', "\"'", "(/[", "/*", '"""', '\\"""', "<a '", "&a", "[", "\\u", "41 ", "<script"]
)
def test_hostile_repetition_takes_linear_time(unit):
    text = unit * (400_000 // len(unit))
    for name in ("javascript", "python", "html", "lisp"):
        measured([text], np.array([INDEX[name]], np.uint8))


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("max_stars_repo_path", "lib2to3/fixes/fix.py", "python"),
        ("path", "a\\b.min.JS.gz", "javascript"),
        ("path", "Makefile", "hash"),
        ("path", "src/CMakeLists.txt", "hash"),
        ("path", "docs/README.md", "text"),
        ("path", "README", "text"),
        ("path", "x.unheard", "unknown"),
        ("ext", "h", "c"),
        ("ext", None, "unknown"),
        ("lang", "C++", "c"),
        ("lang", "Emacs Lisp", "lisp"),
        ("lang", "pl", "unknown"),  # Polish, for all we know
        ("meta.language", "Python", "python"),
        ("url", "x.py", "unknown"),  # no field that is looked at
    ],
)
def test_metadata_say_what_a_document_is_written_in(field, value, name):
    batch = make_batch(["part-0.jsonl"], [0], ["x"], {field: [value]})
    assert SYNTAXES[syntaxes_of(batch)[0]].name == name


def test_the_first_field_that_knows_holds_and_the_file_comes_last():
    metadata = {"path": ["a.py", "a.py", None, None], "lang": ["sql", "zh", None, None]}
    batch = make_batch(["x.js", "x.js", "x.js", "x.json"], range(4), ["x"] * 4, metadata)
    assert [SYNTAXES[index].name for index in syntaxes_of(batch)] == ["sql", "python", "javascript", "unknown"]
    named = make_batch(["x"], [0], ["x"], {"lang": ["css"], "what": ["pl"]})
    assert SYNTAXES[syntaxes_of(named, "what")[0]].name == "hash"
    assert syntaxes_of(make_batch([], [], [], {})).shape == (0,)
    assert FIELDS[0] == "programming_language"


def test_no_language_or_extension_is_claimed_twice():
    for kind in ("languages", "extensions"):
        claimed = [name for syntax in SYNTAXES for name in getattr(syntax, kind).split()]
        assert len(claimed) == len(set(claimed))


def comments_of_python(text):
    """Count comments, and strings that are statements, by Python's own tokenizer."""
    count, before = 0, tokenize.NEWLINE
    for kind, token, *_ in tokenize.generate_tokens(io.StringIO(text).readline):
        bare = token.lstrip("rRuU")
        if kind == tokenize.COMMENT:
            count += len(token)
        elif kind == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            count += len(bare) if bare[0] in "\"'" else 0
        if kind not in (tokenize.COMMENT, tokenize.NL):
            before = kind
    return count / len(text)


def bigcode_ratio(text):
    """BigCode's ratio for Python: cleaned docstrings and comments without their sign."""
    nodes = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )
    docstrings = "\n".join(filter(None, map(ast.get_docstring, nodes)))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = " ".join(token for kind, token, *_ in tokens if kind == tokenize.COMMENT).replace("#", "")
    return len(f"{docstrings}\n{comments}".strip()) / len(text)


@pytest.mark.parametrize("module", [argparse, ast, dataclasses, io, random, re, textwrap, tokenize])
def test_comments_of_python_are_those_of_its_tokenizer(module):
    text = Path(module.__file__).read_text("utf-8")
    (share,) = measured([text], np.array([INDEX["python"]], np.uint8), ["comment_share"])["comment_share"]
    assert share == np.float32(comments_of_python(text))
    assert (0.01 < bigcode_ratio(text) < 0.8) == (0.01 <= share <= 0.8)


def code_files():
    name = "code/local_packages_starcoder_schema.parquet"
    texts = corpora.texts(name)
    table = pq.read_table(Path(os.environ["MIXER_DATA"]) / name, columns=["max_stars_repo_path"])
    return make_batch([name] * len(texts), range(len(texts)), texts, table.to_pydict())


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "lexer", "allowed"), [("javascript", "javascript", 1), ("c", "cpp", 0)])
def test_comments_are_those_of_pygments(name, lexer, allowed):
    """A template within a template, with a link in the inner one, is the one known difference."""
    batch = code_files()
    rows = np.flatnonzero((syntaxes_of(batch) == INDEX[name]) & (np.arange(len(batch)) % 12 == 7))
    texts = [text for text in batch["text"].take(pa.array(rows)).to_pylist() if len(text) < 20_000]
    shares = measured(texts, np.full(len(texts), INDEX[name], np.uint8), ["comment_share"])["comment_share"]
    lexed = pygments.lexers.get_lexer_by_name(lexer, stripnl=False, ensurenl=False)
    different = 0
    for text, share in zip(texts, shares, strict=True):
        tokens = lexed.get_tokens(text)
        count = sum(len(token.rstrip("\n")) for kind, token in tokens if kind in (Comment.Multiline, Comment.Single))
        different += abs(count / len(text) - share) > 0.002
    assert len(texts) > 15
    assert different <= allowed


@pytest.mark.real_data
def test_comments_of_real_python_are_those_of_its_tokenizer():
    batch = code_files()
    rows = np.flatnonzero((syntaxes_of(batch) == INDEX["python"]) & (np.arange(len(batch)) % 5 == 0))
    texts = batch["text"].take(pa.array(rows)).to_pylist()
    shares = measured(texts, np.full(len(texts), INDEX["python"], np.uint8), ["comment_share"])["comment_share"]
    assert [np.float32(comments_of_python(text)) for text in texts] == shares.tolist()


class Visible(HTMLParser):
    """Python's parser, of which BigCode asks the visible text."""

    def __init__(self):
        super().__init__()
        self.characters, self.hidden = 0, None

    def handle_starttag(self, tag, _):
        self.hidden = tag if tag in ("script", "style") else self.hidden

    def handle_endtag(self, tag):
        self.hidden = None if tag == self.hidden else self.hidden

    def handle_data(self, data):
        self.characters += 0 if self.hidden else len(data)


def visible_characters(page):
    parser = Visible()
    parser.feed(page)
    parser.close()
    return parser.characters


def test_visible_characters_of_html_are_those_of_its_parser():
    page = """<!DOCTYPE html><html><head><style>p {color: red}</style><SCRIPT src='a>b'>if (a < b) "</p>"</SCRIPT>
    </head><body class = "a > b" data-x=c><!-- a > b --><p "="">5 < 6 &amp; 7 &#62; 天<br/>&zzz </body>"""
    (count,) = measured([page])["html_visible_characters"]
    assert count == visible_characters(page)


@pytest.mark.real_data
def test_visible_characters_of_real_pages_are_those_of_the_parser():
    pages = corpora.texts("html/readability_pages.jsonl.zst")
    found = measured(pages, np.full(len(pages), INDEX["html"], np.uint8))["html_visible_characters"]
    same = [visible_characters(page) == count for page, count in zip(pages, found, strict=True)]
    assert sum(same) >= len(pages) - 2  # parsers of other Pythons differ in broken pages


@pytest.mark.real_data
def test_lines_and_shares_are_those_of_bigcode():
    texts = code_files()["text"].to_pylist()[::10]
    names = ["code_maximum_line_length", "code_mean_line_length", "alphanumeric_share", "alphabetic_share"]
    found = measured(texts, names=names)
    for row, text in enumerate(texts):
        lengths = [len(line) for line in text.splitlines()]
        counts = sum(map(str.isalnum, text)), sum(map(str.isalpha, text))
        expected = max(lengths), sum(lengths) / len(lengths), counts[0] / len(text), counts[1] / len(text)
        assert all(np.isnan(found[name][row]) for name in names[:2]) or [found[name][row] for name in names] == [
            np.float32(value) for value in expected
        ]


def reasons(documents, profile=None, **metadata):
    batch = make_batch(["x.jsonl"] * len(documents), range(len(documents)), documents, metadata)
    batch = set_column(batch, "language", pa.array(["code"] * len(documents)))
    book = rulebook(checkbook(FilterSettings(), _overrides({"profile": profile} if profile else {}), "code", ["code"]))
    return judge(batch, book)["reason"].to_pylist()


PAGE = "<!DOCTYPE html><p>" + "words of a page " * 9 + "</p>"


@pytest.mark.parametrize(
    ("text", "path", "default", "starcoder", "starcoder2"),
    [
        ("value = 1\n", "a.py", None, "comment_share", None),
        ("x = 1  # one of the few\n", "a.py", None, None, None),
        ("value = 1\n", None, None, None, None),
        ("# only a comment, a longer one, and nothing else\nx=1\n", "a.sh", "comment_share", "comment_share", None),
        (
            "a;" * 600 + " // one line, minified\n",
            "a.js",
            "maximum_line_length",
            "maximum_line_length",
            "maximum_line_length",
        ),
        ("a long line of text " * 60, "a.md", None, None, None),
        ("a long line of text " * 60, None, None, None, None),
        ("a" * 100_001, "a.txt", "maximum_text_line_length", None, "maximum_text_line_length"),
        ('<?xml version="1.0"?><a>text of it</a>', None, "xml", "xml", None),
        (PAGE, None, None, None, None),
        (PAGE.replace("words", "w") + "<script>" + "f(x); " * 300, None, *["html_visible_share"] * 3),
        ("<html><p>a short page", None, *["html_visible_characters"] * 3),
        ('{"a": "few"}', None, None, "data_characters", None),
        ('{"a": [\n' + '"item",\n' * 700 + "]}", "a.json", "data_lines", "data_characters", "data_lines"),
        (
            "# Code generated by protoc. DO NOT EDIT.\n" + "x = 1\n" * 30,
            "a.py",
            "generated_markers",
            None,
            "generated_markers",
        ),
        ("# Do not edit without a benchmark.\n" + "x = 1\n" * 30, "a.py", None, None, None),
        ("Q: why is this file auto-generated, and how do I stop the tool from doing so?", None, None, None, None),
        ("x = 1\n" * 6 + "# auto-generated\n", "a.py", None, None, None),
        (
            "# key\n" + '"' + "QUJDREVG" * 129 + '"',
            "a.py",
            "maximum_line_length",
            "maximum_line_length",
            "maximum_line_length",
        ),
        ("# the key of the door\n" + "QUJDREVG\n" * 115, "a.py", "longest_encoded", None, "longest_encoded"),
        ("# key\n" + "QUJDREVG" * 9, "a.py", "encoded_share", None, "encoded_share"),
        ("# nine digits\n" + "x = 123456789\n" * 9, "a.py", None, None, "alphabetic_share"),
        ("x\n" * 100_001, None, "lines", None, "lines"),
    ],
)
def test_rules_of_the_family(text, path, default, starcoder, starcoder2):
    for profile, expected in ((None, default), ("starcoder", starcoder), ("starcoder2", starcoder2)):
        (reason,) = reasons([text], profile, path=[path])
        assert reason == (expected and f"code.{expected}"), profile
