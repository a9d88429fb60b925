"""Rules for English prose that no published set has, set on pages that people judged (docs/agreement.md)."""

from mixer.filters.check import Check, Rule

CHECKS: tuple[Check, ...] = (
    Rule(
        "english.ended_lines",
        "calibrated; FineWeb's rule on line ends, made to spare wrapped lines, white space, quotations, and articles "
        "without line breaks",
        "Lines that end a sentence, past white space, quotes and brackets, or that are long and full of sentences, of "
        "the lines that are not blank.",
        statistic="ended_lines",
        comparison="at_least",
        unit="share",
        defaults={"web/en": 0.02},
    ),
)
