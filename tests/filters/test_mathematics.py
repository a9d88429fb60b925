import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.filters.kernels.mathematics import MATH_STATISTICS, measure
from mixer.filters.settings import FilterSettings, Overrides, resolve
from mixer.text.utf8 import buffers
from tests.filters import corpora

ENVIRONMENT = "align|alignat|displaymath|eqnarray|equation|flalign|gather|math|multline"
FORMULA = re.compile(
    r"\$\$(?:[^$\\]|\\.)+?\$\$"
    r"|\$(?![\x00-\x20$])(?:[^$\\\n]|\\.|\n(?!\n))*?(?<![\x00-\x20])\$(?![0-9])"
    r"|\\\((?:[^\\]|\\(?!\)).)*?\\\)|\\\[(?:[^\\]|\\(?!\]).)*?\\\]"
    rf"|\\begin\{{((?:{ENVIRONMENT})\*?)\}}.*?\\end\{{\1\}}",
    re.DOTALL,
)


def measured(*texts):
    values = measure(*buffers(pa.array(texts, pa.large_string())), np.arange(len(texts)))
    return [dict(zip(MATH_STATISTICS, row, strict=True)) for row in values.tolist()]


def formula(text):
    """Return the characters of a text that are inside formulas."""
    return round(measured(text)[0]["formula_share"] * len(text))


@pytest.mark.parametrize(
    "text",
    [
        "$x$", "$$x + y$$", r"\(a\)", r"\[ a_{1} \]", "$中文$", r"$a \$ b$", "$$a\n\nb$$", r"\[ \text{\(x\)} \]",
        r"\begin{equation}a\end{equation}", r"\begin{align*} a &= b \\ c &= d \end{align*}",
        r"\begin{align}\begin{cases} 1 \end{cases}\end{align}",
    ],
)  # fmt: skip
def test_what_is_a_formula(text):
    assert formula(text) == len(text)
    assert formula(f"so {text}, as 说") == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "it costs $5 and then $6", "$ x $", "$x", "\\$x\\$", "a $$ b", "$a\n\nb$", r"\begin{itemize} x \end{itemize}",
        r"\begin{equation} x", r"\( x", r"\\(x\\)", "x" * 10 + "$" + "y" * 5000 + "$",
        r"\begin{equations}\end{equations}",
    ],
)  # fmt: skip
def test_what_is_none(text):
    assert formula(text) == 0


def test_two_formulas_are_counted_apart():
    assert formula("$a$ or $bc$") == 7
    assert formula("$a$$b$") == 6


def test_commands_are_backslashes_with_two_letters():
    text = r"\alpha \a \frac12 \\ \{ x\in \中文"
    found = measured(text)[0]
    assert found["latex_commands"] == len(re.findall(r"\\[A-Za-z]{2,}", text)) == 3
    assert found["command_share"] == pytest.approx(sum(map(len, re.findall(r"\\[A-Za-z]{2,}", text))) / len(text))


PIECES = st.sampled_from(
    ["$", "$$", "\\", "\\(", "\\)", "\\[", "\\]", "a", "1", " ", "\n", "中", "\\frac", "\\$", "{", "}"]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(PIECES, max_size=20).map("".join), max_size=4), st.integers(0, 4))
def test_shares_are_shares_however_batches_are_cut(texts, cut):
    whole = measured(*texts)
    assert whole == measured(*texts[:cut]) + measured(*texts[cut:])
    for text, found in zip(texts, whole, strict=True):
        assert 0 <= found["formula_share"] <= 1 and 0 <= found["command_share"] <= 1
        # An escaped backslash hides the letters after it, which a regular expression does not know.
        if "\\\\" not in text:
            assert found["latex_commands"] == len(re.findall(r"\\[A-Za-z]{2,}", text))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["math/textbooks_latex.jsonl.zst", "zh/oi_wiki.jsonl.zst", "math/arxiv_latex.jsonl"])
def test_formulas_of_real_texts_are_those_of_a_regular_expression(name):
    texts = [text for text in corpora.texts(name) if text and len(text) < 30_000]
    found = [values["formula_share"] for values in measured(*texts)]
    expected = [sum(len(match[0]) for match in FORMULA.finditer(text)) / len(text) for text in texts]
    differing = [text for text, ours, theirs in zip(texts, found, expected, strict=True) if abs(ours - theirs) > 0.02]
    assert len(differing) <= 0.03 * len(texts)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["gsm8k_train.jsonl.zst", "ape210k_valid.jsonl.gz", "textbooks_latex.jsonl.zst"])
def test_word_problems_and_textbooks_survive(name):
    texts = [text for text in corpora.texts(f"math/{name}") if len(text) > 50]
    values = measured(*texts)
    for check, threshold in resolve(FilterSettings(), Overrides(), "math", "en"):
        if check.name.startswith("math."):
            column = np.array([value[check.statistic] for value in values], np.float32)
            assert not check.objects(column, threshold).any()
