"""What every document must have, whatever its kind."""

from mixer.filters.check import Check, Rule, places

CHECKS: tuple[Check, ...] = (
    Rule(
        "document.characters",
        "web and book calibrated near FineWeb2's 50 words (85 characters of Chinese), the rest calibrated",
        "Characters that are not white space.",
        statistic="characters",
        comparison="at_least",
        unit="characters",
        defaults={"*/*": 1, "web/zh": 50, "book/zh": 50, **places(("poetry/*", "qa/*", "math/*"), 10)},
        profiles={"chinese": 50, "fineweb2-zh": 85, "openwebmath": 100},
    ),
)
