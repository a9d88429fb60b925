"""What every document must have, whatever its kind."""

from mixer.filters.check import Check, Rule, places

CHECKS: tuple[Check, ...] = (
    Rule(
        "document.characters",
        "web and book calibrated near FineWeb2's 50 words (85 characters of Chinese), the rest calibrated; 6 in "
        "Chinese is a verse of five with its full stop, or a headline",
        "Characters that are not white space.",
        statistic="characters",
        comparison="at_least",
        unit="characters",
        defaults={
            "*/*": 1,
            **places(("web/zh", "book/zh"), 50),
            **places(("poetry/*", "qa/*", "math/*"), 10),
            **places(("poetry/zh", "qa/zh"), 6),
        },
        profiles={"chinese": 50, "fineweb2-zh": 85, "openwebmath": 100},
    ),
)
