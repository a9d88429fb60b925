"""Gopher's rules of quality and repetition, for languages written in words.

Rae et al. 2021 (arXiv:2112.11446, table A1 and section A.1.1), with datatrove's values where the paper leaves room.
FineWeb (Penedo et al. 2024, arXiv:2406.17557) uses them as they are, FineWeb2 with values for each language.
"Calibrated" means set on real corpora so that technical documentation full of code, statutes, classical prose, and
questions with their answers survive.
"""

import math

from mixer.filters.check import Check, Comparison, Rule, Threshold, Value, places

PROSE = ("web/en", "book/en")


def _gopher(
    name: str,
    statistic: str,
    comparison: Comparison,
    published: Threshold,
    unit: str,
    description: str,
    defaults: dict[str, Value],
    note: str = "",
    chinese: float | None = None,
) -> Rule:
    return Rule(
        f"gopher.{name}",
        f"Gopher; {note}" if note else "Gopher",
        description,
        statistic=statistic,
        comparison=comparison,
        unit=unit,
        defaults=defaults,
        profiles={"gopher": published, "fineweb": published, **({"fineweb2-zh": chinese} if chinese else {})},
    )


CHECKS: tuple[Check, ...] = (
    _gopher(
        "words",
        "words",
        "between",
        (50, 100_000),
        "words",
        "Words that are not only punctuation.",
        {"web/en": (50, 100_000), "book/en": (30, math.inf)},
        "books calibrated: they may be long, and a page that opens a chapter, or tells how to set something up, has 37 "
        "to 48",
    ),
    _gopher(
        "mean_word_length",
        "mean_word_length",
        "between",
        (3, 10),
        "characters",
        "Mean characters of the words that are not only punctuation.",
        places(PROSE, (3, 10)),
    ),
    _gopher("hashes", "hashes_per_word", "at_most", 0.1, "per word", "Hash signs, per word.", places(PROSE, 0.1)),
    _gopher("ellipses", "ellipses_per_word", "at_most", 0.1, "per word", "Ellipses, per word.", places(PROSE, 0.1)),
    _gopher(
        "bullet_lines",
        "bullet_lines",
        "at_most",
        0.9,
        "share",
        "Lines that begin with a bullet or hyphen, of all lines.",
        places(PROSE, 0.9),
        chinese=0.9,
    ),
    _gopher(
        "ellipsis_lines",
        "ellipsis_lines",
        "at_most",
        0.3,
        "share",
        "Lines that end in an ellipsis, of all lines.",
        places(PROSE, 0.3),
        chinese=0.3,
    ),
    _gopher(
        "alphabetic_words",
        "alphabetic_words",
        "at_least",
        0.8,
        "share",
        "Words with a letter, of all words and punctuation marks.",
        {"web/en": 0.5, "book/en": 0.365},
        "defaults calibrated: 0.8 is Gopher's for words alone; with punctuation, as datatrove counts, it drops 15 % of "
        "the pages people called good and most technical prose; 0.65 still a quarter of that, 0.5 a fiftieth; "
        "in books 0.4 drops lists of operators and release schedules, while drawings in SVG lie below 0.362",
    ),
    _gopher(
        "stop_words",
        "stop_words",
        "at_least",
        2,
        "words",
        "How many of the, be, to, of, and, that, have, with occur.",
        places(PROSE, 2),
    ),
    _gopher(
        "duplicate_paragraphs",
        "duplicate_paragraphs",
        "at_most",
        0.3,
        "share",
        "Paragraphs that occurred before, of all paragraphs.",
        {"web/en": 0.3},
        "off for books, where pieces of code return",
    ),
    _gopher(
        "duplicate_paragraph_characters",
        "duplicate_paragraph_characters",
        "at_most",
        0.2,
        "share",
        "Characters in paragraphs that occurred before.",
        {"web/en": 0.2, "qa/en": 0.2, "book/en": 0.5},
        "books calibrated: a tutorial shows its code again and again, up to 0.44 of it",
    ),
    _gopher(
        "duplicate_lines",
        "duplicate_lines",
        "at_most",
        0.3,
        "share",
        "Lines that occurred before, of all lines.",
        {"web/en": 0.3},
        "off for books, where code and verse repeat short lines; FineWeb2's for Chinese",
        chinese=0.287,
    ),
    _gopher(
        "duplicate_line_characters",
        "duplicate_line_characters",
        "at_most",
        0.2,
        "share",
        "Characters in lines that occurred before.",
        {"web/en": 0.2, "qa/en": 0.2, "book/en": 0.7},
        "books calibrated: a tutorial shows its code again and again, up to 0.67 of it",
    ),
    *(
        _gopher(
            f"top_{n}gram",
            f"top_{n}gram",
            "at_most",
            share,
            "share",
            f"Characters of the most frequent {n} words in a row, all occurrences.",
            {"web/en": share, "book/en": book},
            "book for 4 calibrated on short pages that name one thing again and again" if book != share else "",
        )
        for n, share, book in ((2, 0.2, 0.2), (3, 0.18, 0.18), (4, 0.16, 0.2))
    ),
    *(
        _gopher(
            f"duplicate_{n}grams",
            f"duplicate_{n}grams",
            "at_most",
            share,
            "share",
            f"Characters in {n} words in a row that occurred before.",
            {"web/en": share},
            "off for books: the longer a text, the more of its phrases return",
        )
        for n, share in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11))
    ),
    _gopher(
        "duplicate_10grams",
        "duplicate_10grams",
        "at_most",
        0.1,
        "share",
        "Characters in 10 words in a row that occurred before.",
        {"web/en": 0.1, "book/en": 0.6},
        "books calibrated on references, whose entries are worded alike",
    ),
)
