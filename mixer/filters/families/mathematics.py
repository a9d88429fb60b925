"""Rules about LaTeX: what OpenWebMath looks for that needs neither a language nor a model, and text that is all macros.

OpenWebMath is Paster et al. 2023 (arXiv:2310.06786) with its published code. Its language identification, classifier
and perplexity are of English web pages, and its limit on accented letters drops French names; they are left out.
"""

from mixer.filters.check import Check, Edit, Rule

CHECKS: tuple[Check, ...] = (
    Edit(
        "math.macro_lines",
        "OpenWebMath",
        "Removes lines that define more than one LaTeX macro.",
        counted="lines",
        profiles={"openwebmath": True},
    ),
    Rule(
        "math.latex_commands",
        "OpenWebMath looks for any; off, since word problems have none",
        "Backslashes followed by two Latin letters or more.",
        statistic="latex_commands",
        comparison="at_least",
        unit="commands",
        profiles={"openwebmath": 1},
    ),
    Rule(
        "math.formula_share",
        "off; for picking mathematics out of other text",
        "Characters inside formulas between dollar signs, \\( \\), \\[ \\], or in display environments.",
        statistic="formula_share",
        comparison="at_least",
        unit="share",
    ),
    Rule(
        "math.command_share",
        "calibrated: textbooks in LaTeX have up to 0.63",
        "Characters of LaTeX commands, backslashes included; what is nearly all commands is a style file.",
        statistic="command_share",
        comparison="at_most",
        unit="share",
        defaults={"math/*": 0.75},
    ),
)
