"""Rules for Chinese prose, of characters and lines alone: nothing here needs a segmenter.

FineWeb2's settings for ``cmn_Hani`` (Penedo et al. 2025, arXiv:2506.20920) are those of FineWeb's rules with values of
their own; ``fineweb2`` has what is measured differently here, since it must not depend on the words of a segmenter.
``chinese`` has the rules of MAP-NEO (Zhang et al. 2024, arXiv:2405.19327) and of ChineseWebText (Chen et al. 2023,
arXiv:2311.01149): the profile has their values, the defaults those that keep good text. docs/chinese.md tells for each
which good text the published value would lose.
"""

from collections.abc import Mapping

from mixer.filters.check import Check, Comparison, Edit, Rule, Value, places

PROSE = ("web/zh", "book/zh", "qa/zh")
PAGES = ("web/zh", "qa/zh")


def _chinese(
    name: str,
    statistic: str,
    comparison: Comparison,
    published: float,
    unit: str,
    source: str,
    description: str,
    defaults: Mapping[str, Value],
) -> Rule:
    return Rule(
        f"chinese.{name}",
        source,
        description,
        statistic=statistic,
        comparison=comparison,
        unit=unit,
        defaults=defaults,
        profiles={"chinese": published},
    )


_TOP_GRAMS = (
    *((2, 0.2, {"web/zh": 0.25, "book/zh": 0.25, "qa/zh": 0.25}),),
    *((3, 0.18, {"web/zh": 0.3, "book/zh": 0.3, "qa/zh": 0.3}),),
    *((4, 0.16, {"web/zh": 0.4, "book/zh": 0.4, "qa/zh": 0.4}),),
)
"""n, MAP-NEO's threshold, and the defaults."""
_REPEATED_GRAMS = ((10, 0.6, 0.6), (9, 0.65, 0.65), (8, 0.7, 0.7), (7, 0.7, 0.75), (6, 0.75, 0.8), (5, 0.8, 0.85))
"""n, the default, and that of books, which may be long; MAP-NEO's is 0.6 for all."""

CHECKS: tuple[Check, ...] = (
    _chinese(
        "han_share",
        "han_share",
        "at_least",
        0.3,
        "share",
        "ChineseWebText, all of Unicode's Han, of letters instead of characters; defaults calibrated on documentation",
        "Han characters among letters; what is lower was declared Chinese and is not.",
        places((*PROSE, "poetry/zh"), 0.05),
    ),
    _chinese(
        "duplicate_lines",
        "han_duplicate_lines",
        "at_most",
        0.287,
        "share",
        "FineWeb2, of Han characters instead of lines; defaults calibrated on songs",
        "Han characters in lines that occurred before.",
        places(PROSE, 0.4),
    ),
    _chinese(
        "repeated_13grams",
        "han_repeated_13grams",
        "at_most",
        0.5,
        "share",
        "ChineseWebText, of places covered; defaults calibrated on statutes and command references",
        "Han characters in 13 of them in a row that occurred before.",
        {"web/zh": 0.55, "qa/zh": 0.55, "book/zh": 0.6},
    ),
    *(
        _chinese(
            f"repeated_{n}grams",
            f"han_repeated_{n}grams",
            "at_most",
            0.6,
            "share",
            "MAP-NEO, of places covered; defaults calibrated",
            f"Han characters in {n} of them in a row that occurred before.",
            {**places(PAGES, page), "book/zh": book},
        )
        for n, page, book in _REPEATED_GRAMS
    ),
    *(
        _chinese(
            f"top_{n}gram",
            f"han_top_{n}gram",
            "at_most",
            published,
            "share",
            "MAP-NEO, of characters covered; defaults calibrated",
            f"Han characters that the most frequent {n} in a row cover, in documents of at least 200.",
            defaults,
        )
        for n, published, defaults in _TOP_GRAMS
    ),
    _chinese(
        "distinct",
        "han_distinct",
        "at_least",
        0.15,
        "share",
        "calibrated, in place of MAP-NEO's entropy and share of different characters, which fall and rise with length",
        "Han characters that are none of the 99 before them.",
        {**places(PROSE, 0.15), "poetry/zh": 0.1},
    ),
    _chinese(
        "brackets",
        "bracketed_share",
        "at_most",
        0.1,
        "share",
        "MAP-NEO; defaults calibrated",
        "Characters between 【 and 】.",
        places(PAGES, 0.2),
    ),
    _chinese(
        "hashes",
        "hash_runs_per_character",
        "at_most",
        0.1,
        "per character",
        "MAP-NEO",
        "Hash signs, those in a row as one, per character.",
        places(PAGES, 0.1),
    ),
    _chinese(
        "ellipses",
        "ellipsis_runs_per_character",
        "at_most",
        0.1,
        "per character",
        "MAP-NEO",
        "Ellipses (……, ..., 。。。), per character.",
        places(PAGES, 0.1),
    ),
    _chinese(
        "digits",
        "digit_share",
        "at_most",
        0.3,
        "share",
        "MAP-NEO; defaults calibrated",
        "Digits among the characters that are no punctuation.",
        {"web/zh": 0.7, "book/zh": 0.7},
    ),
    _chinese(
        "punctuation",
        "punctuation_share",
        "at_least",
        0.0001,
        "share",
        "MAP-NEO, which asks for one mark; defaults calibrated",
        "Punctuation among all characters.",
        {"web/zh": 0.005},
    ),
    _chinese(
        "sentences",
        "chinese_sentences",
        "at_least",
        2,
        "sentences",
        "MAP-NEO; off: a paragraph may be one sentence",
        "Sentences, which end at 。！？…, a newline, or a full stop before white space.",
        {},
    ),
    _chinese(
        "mean_line",
        "mean_filled_line",
        "at_least",
        10,
        "characters",
        "ChineseWebText; defaults calibrated on lists and commands",
        "Mean characters of the lines that are not blank.",
        {"web/zh": 4},
    ),
    _chinese(
        "teaser_lines",
        "teaser_lines",
        "at_most",
        0.3,
        "share",
        "MAP-NEO, with traditional forms; defaults calibrated on questions that end in 。。。",
        "Lines that end in 展开, 更多, 阅读全文 and the like, of the lines that are not blank.",
        {"web/zh": 0.4},
    ),
    _chinese(
        "bullet_lines",
        "chinese_bullet_lines",
        "at_most",
        0.9,
        "share",
        "MAP-NEO, with Chinese bullets; off: tables of contents and release notes are lists",
        "Lines that begin with ·•●○■◆, - or *, of the lines that are not blank.",
        {},
    ),
    Rule(
        "chinese.terminal_lines",
        "off: FineWeb2's 0.106 drops tables, release notes and unbroken novels",
        "Lines that end like a sentence or quotation, of the lines that are not blank.",
        statistic="terminal_lines",
        comparison="at_least",
        unit="share",
    ),
    Rule(
        "fineweb2.newlines",
        "FineWeb2's 0.178 per word, at 1.7 characters a word",
        "Newlines, per character that is not white space.",
        statistic="newlines_per_character",
        comparison="at_most",
        unit="per character",
        profiles={"fineweb2-zh": 0.105},
    ),
    Rule(
        "fineweb2.stop_characters",
        "FineWeb2, whose stop words for Chinese are single characters",
        "How many of 的年在月是和日了於·為有被人中为他與後也而由 occur.",
        statistic="stop_characters",
        comparison="at_least",
        unit="characters",
        profiles={"fineweb2-zh": 2},
    ),
    Edit(
        "chinese.pipe_lines",
        "FineWeb2",
        "Lines of nothing but | and spaces, what is left of tables, become a blank line.",
        counted="lines",
        profiles={"fineweb2-zh": True},
    ),
    Edit(
        "chinese.menu_lines",
        "calibrated",
        "Lines of nothing but 展开, 上一页, 分享到 and the like, or that begin with 版权所有, are removed.",
        counted="lines",
    ),
)
