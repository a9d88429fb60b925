"""Rules for source code, as StarCoder has them (Li et al. 2023, arXiv:2305.06161, section 3.1)."""

from mixer.filters.check import Check, Rule

CHECKS: tuple[Check, ...] = (
    Rule(
        "code.maximum_line_length",
        "StarCoder",
        "Characters of the longest line.",
        statistic="maximum_line_length",
        comparison="at_most",
        unit="characters",
        defaults={"code/*": 1000},
        profiles={"starcoder": 1000},
    ),
    Rule(
        "code.mean_line_length",
        "StarCoder",
        "Mean characters of a line.",
        statistic="mean_line_length",
        comparison="at_most",
        unit="characters",
        defaults={"code/*": 100},
        profiles={"starcoder": 100},
    ),
    Rule(
        "code.alphanumeric_share",
        "StarCoder",
        "Letters and digits among all characters.",
        statistic="alphanumeric_share",
        comparison="at_least",
        unit="share",
        defaults={"code/*": 0.25},
        profiles={"starcoder": 0.25},
    ),
)
