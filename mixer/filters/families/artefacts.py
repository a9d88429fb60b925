"""Rules about what extraction and wrong encodings leave behind, in any language."""

from mixer.filters.check import Check, Rule, places

PROSE = ("web/*", "book/*", "qa/*", "poetry/*", "math/*")

CHECKS: tuple[Check, ...] = (
    Rule(
        "artefacts.replacement_characters",
        "calibrated: no page that people called good has more than 0.005",
        "Characters that stand where a byte could not be read (U+FFFD).",
        statistic="replacement_share",
        comparison="at_most",
        unit="share",
        defaults=places(PROSE, 0.01),
    ),
    Rule(
        "artefacts.control_characters",
        "calibrated: one of 1,255 source files has 0.04, all other real texts none",
        "Control characters that no edit removed.",
        statistic="control_share",
        comparison="at_most",
        unit="share",
        defaults={"*/*": 0.01, "code/*": 0.05},
    ),
    Rule(
        "artefacts.mojibake",
        "calibrated: real texts have at most 0.004, text that was read wrongly 0.1 and more",
        "Characters that spell another one in the bytes of Windows-1252, and 锟斤拷, 烫烫, 屯屯.",
        statistic="mojibake_share",
        comparison="at_most",
        unit="share",
        defaults=places(PROSE, 0.05),
    ),
    Rule(
        "artefacts.markup",
        "calibrated: novels with line breaks as tags have up to 0.16, documentation and questions that show "
        "HTML up to 0.495",
        "Characters of HTML tags, comments and entities.",
        statistic="markup_share",
        comparison="at_most",
        unit="share",
        defaults={**places(("web/*", "qa/*", "book/*"), 0.5), "poetry/*": 0.3},
    ),
)
