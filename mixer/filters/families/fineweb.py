"""FineWeb's own rules, which it asks after Gopher's and C4's (Penedo et al. 2024, arXiv:2406.17557, section 3.6).

Definitions and thresholds are those of datatrove's ``FineWebQualityFilter``, with which FineWeb was made. Lines lie
between newlines, and those that hold only white space are no lines. Which of them are defaults follows from pages that
people judged, and from what else they drop (docs/agreement.md).
"""

from mixer.filters.check import Check, Comparison, Rule, Value


def _fineweb(
    name: str,
    statistic: str,
    comparison: Comparison,
    published: float,
    unit: str,
    description: str,
    note: str = "",
    defaults: dict[str, Value] | None = None,
    chinese: float | None = None,
) -> Rule:
    source = "FineWeb, and FineWeb2 for Chinese" if chinese else "FineWeb"
    return Rule(
        f"fineweb.{name}",
        f"{source}; {note}" if note else source,
        description,
        statistic=statistic,
        comparison=comparison,
        unit=unit,
        defaults=defaults or {},
        profiles={"fineweb": published, **({"fineweb2-zh": chinese} if chinese else {})},
    )


CHECKS: tuple[Check, ...] = (
    _fineweb(
        "stopped_lines",
        "stopped_lines",
        "at_least",
        0.12,
        "share",
        "Lines whose last character ends a sentence in some script, of the lines that are not blank.",
        "off: it drops books with wrapped lines, and lines that end in white space",
        chinese=0.106,
    ),
    _fineweb(
        "short_lines",
        "short_lines",
        "at_most",
        0.67,
        "share",
        "Lines of at most 30 characters, of the lines that are not blank.",
        defaults={"web/en": 0.67},
    ),
    _fineweb(
        "repeated_line_characters",
        "repeated_line_characters",
        "at_most",
        0.01,
        "share",
        "Characters in lines that occurred before, of all characters but newlines.",
        "off: it drops a third of technical prose, where lines of code return",
        chinese=0.1,
    ),
    _fineweb(
        "newlines",
        "newlines_per_word",
        "at_most",
        0.3,
        "per word",
        "Newlines, per word or punctuation mark.",
        "off: the other rules leave nothing to it",
    ),
)
