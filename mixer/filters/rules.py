"""The table of rules: each rule is declared here, once, and everything else about it is derived.

A rule compares one statistic with a threshold. ``RULES`` stands in the order in which rules are asked: the first that
objects names the reason a document is dropped for. Defaults are given for ``domain/language``, either of which may be
``*``; of several that match, the most specific holds, and where none does the rule is off. Recipes change thresholds
by the name of the rule (``settings``); ``judge`` compares; documentation prints the table.

Sources: Gopher is Rae et al. 2021 (arXiv:2112.11446, tables A1 and section A.1.1) with datatrove's values where the
paper leaves room; StarCoder is Li et al. 2023 (arXiv:2305.06161, section 3.1); FineWeb2 its published settings for
``cmn_Hani``; ChineseWebText is Chen et al. 2023 (arXiv:2311.01149). "Calibrated" means set on real corpora so that
statutes, classical prose, technical documentation full of code, and questions with their answers survive.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixer.errors import RecipeError, did_you_mean

Threshold: TypeAlias = float | tuple[float, float]
"""A bound, or the lowest and the highest value of a rule that holds ``between`` two (infinite: open)."""
Comparison: TypeAlias = Literal["at_least", "at_most", "between"]
Ruling: TypeAlias = tuple["Rule", Threshold]
"""A rule with the threshold in force."""

PROSE_EN = ("web/en", "book/en")
PROSE_ZH = ("web/zh", "book/zh", "qa/zh")


@dataclass(frozen=True)
class Rule:
    """One named check: a document passes while its ``statistic`` is at least, at most or between the threshold.

    ``defaults`` maps ``domain/language`` to thresholds. ``unit`` is ``share`` for statistics of 0 to 1. A document
    without the statistic (NaN) always passes.
    """

    name: str
    statistic: str
    comparison: Comparison
    defaults: Mapping[str, Threshold]
    unit: str
    source: str
    description: str = field(repr=False)

    def default(self, domain: str, language: str) -> Threshold | None:
        """Return the threshold for documents of a domain and language; ``None``: the rule is off there."""
        return next((self.defaults[key] for key in keys(domain, language) if key in self.defaults), None)

    def objects(self, values: NDArray[np.float32], threshold: Threshold) -> NDArray[np.bool_]:
        """Return for which values of the statistic the rule drops the document: bool[documents].

        Thresholds are rounded like the statistics, so that a share of exactly a tenth is not above 0.1, and what is
        stored beside a document decides the same again.
        """
        if isinstance(threshold, tuple):
            low, high = map(np.float32, threshold)
            return (values < low) | (values > high)
        return values < np.float32(threshold) if self.comparison == "at_least" else values > np.float32(threshold)

    def check(self, threshold: Threshold) -> None:
        """Refuse a threshold that this rule cannot have.

        Raises
        ------
        ValueError
            It has the wrong form, lies outside what the statistic can be, or its bounds are crossed.
        """
        if (self.comparison == "between") != isinstance(threshold, tuple):
            form = "two bounds, [lowest, highest]" if self.comparison == "between" else "one number"
            raise ValueError(f"{self.name} takes {form}, or false")
        bounds = threshold if isinstance(threshold, tuple) else (threshold,)
        if any(math.isnan(bound) for bound in bounds) or bounds[0] > bounds[-1]:
            raise ValueError(f"{self.name}: {list(bounds)} is no range")
        if not isinstance(threshold, tuple) and not 0 <= threshold <= (1 if self.unit == "share" else math.inf):
            raise ValueError(f"{self.name}: {threshold} is impossible for a {self.statistic} ({self.unit})")


def keys(domain: str, language: str) -> tuple[str, str, str, str]:
    """Return the keys that cover a domain and language, the most specific first."""
    return f"{domain}/{language}", f"{domain}/*", f"*/{language}", "*/*"


def _for(places: Iterable[str], threshold: Threshold) -> dict[str, Threshold]:
    return dict.fromkeys(places, threshold)


RULES: Sequence[Rule] = (
    Rule(
        "document.characters",
        "characters",
        "at_least",
        {"*/*": 1, "web/zh": 50, "book/zh": 50, **_for(("poetry/*", "qa/*", "math/*"), 10)},
        "characters",
        "web and book as FineWeb2's 50 words, the rest calibrated",
        "Characters that are not white space.",
    ),
    Rule(
        "gopher.words",
        "words",
        "between",
        {"web/en": (50, 100_000), "book/en": (50, math.inf)},
        "words",
        "Gopher; whole books may be longer",
        "Words that are not only punctuation.",
    ),
    Rule(
        "gopher.mean_word_length",
        "mean_word_length",
        "between",
        _for(PROSE_EN, (3, 10)),
        "characters",
        "Gopher",
        "Mean characters of the words that are not only punctuation.",
    ),
    Rule(
        "gopher.hashes",
        "hashes_per_word",
        "at_most",
        _for(PROSE_EN, 0.1),
        "per word",
        "Gopher",
        "Hash signs, per word.",
    ),
    Rule(
        "gopher.ellipses",
        "ellipses_per_word",
        "at_most",
        _for(PROSE_EN, 0.1),
        "per word",
        "Gopher",
        "Ellipses, per word.",
    ),
    Rule(
        "gopher.bullet_lines",
        "bullet_lines",
        "at_most",
        _for(PROSE_EN, 0.9),
        "share",
        "Gopher",
        "Lines that begin with a bullet or hyphen, of all lines.",
    ),
    Rule(
        "gopher.ellipsis_lines",
        "ellipsis_lines",
        "at_most",
        _for(PROSE_EN, 0.3),
        "share",
        "Gopher",
        "Lines that end in an ellipsis, of all lines.",
    ),
    Rule(
        "gopher.alphabetic_words",
        "alphabetic_words",
        "at_least",
        {"web/en": 0.65, "book/en": 0.4},
        "share",
        "calibrated: 0.8 is Gopher's for words alone; with punctuation it drops 10 to 15 % of pages people called good "
        "and most technical prose, 0.65 none of them and 5 to 7 % of the bad",
        "Words with a letter, of all words and punctuation marks.",
    ),
    Rule(
        "gopher.stop_words",
        "stop_words",
        "at_least",
        _for(PROSE_EN, 2),
        "words",
        "Gopher",
        "How many of the, be, to, of, and, that, have, with occur.",
    ),
    Rule(
        "gopher.duplicate_paragraphs",
        "duplicate_paragraphs",
        "at_most",
        {"web/en": 0.3},
        "share",
        "Gopher; off for books, where pieces of code return",
        "Paragraphs that occurred before, of all paragraphs.",
    ),
    Rule(
        "gopher.duplicate_paragraph_characters",
        "duplicate_paragraph_characters",
        "at_most",
        {"web/en": 0.2, "qa/en": 0.2, "book/en": 0.3},
        "share",
        "Gopher; books calibrated",
        "Characters in paragraphs that occurred before.",
    ),
    Rule(
        "gopher.duplicate_lines",
        "duplicate_lines",
        "at_most",
        {"web/en": 0.3},
        "share",
        "Gopher; off for books, where code and verse repeat short lines",
        "Lines that occurred before, of all lines.",
    ),
    Rule(
        "gopher.duplicate_line_characters",
        "duplicate_line_characters",
        "at_most",
        {"web/en": 0.2, "qa/en": 0.2, "book/en": 0.3},
        "share",
        "Gopher; books calibrated",
        "Characters in lines that occurred before.",
    ),
    *(
        Rule(
            f"gopher.top_{n}gram",
            f"top_{n}gram",
            "at_most",
            _for(PROSE_EN, share),
            "share",
            "Gopher",
            f"Characters of the most frequent {n} words in a row, all occurrences.",
        )
        for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(
            f"gopher.duplicate_{n}grams",
            f"duplicate_{n}grams",
            "at_most",
            {"web/en": share},
            "share",
            "Gopher; off for books: the longer a text, the more of its phrases return",
            f"Characters in {n} words in a row that occurred before.",
        )
        for n, share in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11))
    ),
    Rule(
        "gopher.duplicate_10grams",
        "duplicate_10grams",
        "at_most",
        {"web/en": 0.1, "book/en": 0.4},
        "share",
        "Gopher; books calibrated",
        "Characters in 10 words in a row that occurred before.",
    ),
    Rule(
        "chinese.han_share",
        "han_share",
        "at_least",
        _for((*PROSE_ZH, "poetry/zh"), 0.05),
        "share",
        "calibrated: ChineseWebText's 0.3 of all characters drops most documentation with code in it",
        "Han characters among letters; what is lower was declared Chinese and is not.",
    ),
    Rule(
        "chinese.duplicate_lines",
        "han_duplicate_lines",
        "at_most",
        _for(PROSE_ZH, 0.287),
        "share",
        "FineWeb2, of Han characters instead of lines",
        "Han characters in lines that occurred before.",
    ),
    Rule(
        "chinese.repeated_13grams",
        "han_repeated_13grams",
        "at_most",
        {"web/zh": 0.5, "qa/zh": 0.5, "book/zh": 0.6},
        "share",
        "ChineseWebText, of places covered; books calibrated on statutes",
        "Han characters in 13 of them in a row that occurred before.",
    ),
    Rule(
        "chinese.terminal_lines",
        "terminal_lines",
        "at_least",
        {},
        "share",
        "off: FineWeb2's 0.106 drops tables, release notes and unbroken novels",
        "Lines that end like a sentence or quotation, of the lines that are not blank.",
    ),
    Rule(
        "code.maximum_line_length",
        "maximum_line_length",
        "at_most",
        {"code/*": 1000},
        "characters",
        "StarCoder",
        "Characters of the longest line.",
    ),
    Rule(
        "code.mean_line_length",
        "mean_line_length",
        "at_most",
        {"code/*": 100},
        "characters",
        "StarCoder",
        "Mean characters of a line.",
    ),
    Rule(
        "code.alphanumeric_share",
        "alphanumeric_share",
        "at_least",
        {"code/*": 0.25},
        "share",
        "StarCoder",
        "Letters and digits among all characters.",
    ),
)

_BY_NAME = {rule.name: rule for rule in RULES}


def rule_named(name: str) -> Rule:
    """Return the rule of that name.

    Raises
    ------
    RecipeError
        There is none; the message has the nearest spelling.
    """
    if name not in _BY_NAME:
        raise RecipeError(
            f"unknown rule {name!r}{did_you_mean(name, _BY_NAME)}", f"the rules are {', '.join(_BY_NAME)}"
        )
    return _BY_NAME[name]
