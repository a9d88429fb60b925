"""Rules for Chinese prose, of characters and lines alone: nothing here needs a segmenter.

FineWeb2 is its published settings for ``cmn_Hani``; ChineseWebText is Chen et al. 2023 (arXiv:2311.01149).
"Calibrated" means set on real corpora so that statutes, classical prose, technical documentation full of code, and
questions with their answers survive.
"""

from mixer.filters.check import Check, Rule, places

PROSE = ("web/zh", "book/zh", "qa/zh")

CHECKS: tuple[Check, ...] = (
    Rule(
        "chinese.han_share",
        "calibrated: ChineseWebText's 0.3 of all characters drops most documentation with code in it",
        "Han characters among letters; what is lower was declared Chinese and is not.",
        statistic="han_share",
        comparison="at_least",
        unit="share",
        defaults=places((*PROSE, "poetry/zh"), 0.05),
    ),
    Rule(
        "chinese.duplicate_lines",
        "FineWeb2, of Han characters instead of lines",
        "Han characters in lines that occurred before.",
        statistic="han_duplicate_lines",
        comparison="at_most",
        unit="share",
        defaults=places(PROSE, 0.287),
    ),
    Rule(
        "chinese.repeated_13grams",
        "ChineseWebText, of places covered; books calibrated on statutes",
        "Han characters in 13 of them in a row that occurred before.",
        statistic="han_repeated_13grams",
        comparison="at_most",
        unit="share",
        defaults={"web/zh": 0.5, "qa/zh": 0.5, "book/zh": 0.6},
    ),
    Rule(
        "chinese.terminal_lines",
        "off: FineWeb2's 0.106 drops tables, release notes and unbroken novels",
        "Lines that end like a sentence or quotation, of the lines that are not blank.",
        statistic="terminal_lines",
        comparison="at_least",
        unit="share",
    ),
)
