"""C4's edits of lines and its rules about pages, for English.

Raffel et al. 2020 (arXiv:1910.10683, section 2.2) and the code published with it; mC4 is Xue et al. 2021
(arXiv:2010.11934). The rules look at the text that the edits leave. FineWeb (Penedo et al. 2024, arXiv:2406.17557) has
all of it but ``unpunctuated_lines``. None of it is for Chinese, mathematics or code: a line of Chinese is one word
here, and a formula or a program is lost for its first brace.
"""

from mixer.filters.check import Check, Comparison, Edit, Rule

BOTH = ("c4", "fineweb")


def _edit(
    name: str,
    description: str,
    number: float = 0,
    unit: str = "",
    profiles: tuple[str, ...] = BOTH,
    source: str = "C4",
) -> Edit:
    return Edit(
        f"c4.{name}",
        source,
        description,
        counted="citations" if name == "citations" else "lines",
        unit=unit,
        profiles=dict.fromkeys(profiles, number or True),
    )


def _rule(
    name: str,
    statistic: str,
    comparison: Comparison,
    published: float,
    unit: str,
    description: str,
) -> Rule:
    return Rule(
        f"c4.{name}",
        "C4",
        description,
        statistic=statistic,
        comparison=comparison,
        unit=unit,
        profiles=dict.fromkeys(BOTH, published),
    )


CHECKS: tuple[Check, ...] = (
    _edit(
        "long_word_lines",
        "Removes lines with a longer word than this.",
        1000,
        "characters",
        source="the code published with C4",
    ),
    _edit("citations", "Cuts [1], [], [edit] and [citation needed].", source="the code published with C4"),
    _edit(
        "unpunctuated_lines",
        "Removes lines that do not end in . ? ! or a straight quotation mark, or end in an ellipsis.",
        profiles=("c4",),
    ),
    _edit("short_lines", "Removes lines of fewer words than this; blank lines are left.", 3, "words"),
    _edit("javascript_lines", "Removes lines that hold the word javascript, in any case."),
    _edit(
        "policy_lines",
        "Removes lines that speak of terms of use, of privacy or cookie policies, or of the use of cookies.",
        source="the code published with C4",
    ),
    _edit(
        "line_spaces",
        "Removes blank lines and the white space at the ends of lines, and makes every line end a newline.",
        source="the code published with C4, which writes pages like that; on its own so that other edits spare "
        "paragraphs and indented code",
    ),
    _rule("lorem_ipsum", "lorem_ipsum", "at_most", 0, "times", "How often the words lorem ipsum stand there."),
    _rule("curly_brackets", "curly_brackets", "at_most", 0, "times", "How many { there are."),
    _rule(
        "sentences",
        "sentences",
        "at_least",
        5,
        "sentences",
        "Sentences: ended by . ? ! and white space, or by the line; not at single letters and titles.",
    ),
    Rule(
        "c4.paragraphs",
        "mC4, which has at least 3 in place of C4's rule on line ends; in no profile",
        "Lines of at least 200 characters.",
        statistic="long_lines",
        comparison="at_least",
        unit="lines",
    ),
)
