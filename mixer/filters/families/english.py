"""Rules for English prose that no published set has, set on pages that people judged (docs/agreement.md)."""

from mixer.filters.check import Check, Rule

CHECKS: tuple[Check, ...] = (
    Rule(
        "english.ended_lines",
        "calibrated; FineWeb's rule on line ends, made to spare wrapped lines, white space and quotations",
        "Lines that end a sentence, past white space, quotes and brackets, of the lines that are not blank.",
        statistic="ended_lines",
        comparison="at_least",
        unit="share",
        defaults={"web/en": 0.02},
    ),
)
