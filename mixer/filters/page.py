"""The table of checks as a page of documentation, and how a value is written wherever people read it."""

import math

from mixer.filters.check import Check, Edit, Rule, Threshold, Value
from mixer.filters.table import PROFILES, TABLE


def markdown() -> str:
    """Return the page in Markdown: every check with its defaults, its values in published sets, and its source."""
    parts = [
        "# Rules and edits\n",
        "A document meets the checks of its domain and language, in this order. An edit changes its text and is "
        "counted in the column `edits.<name>`. A rule compares a statistic with a threshold; the first that objects is "
        "the reason the document is dropped for (`dropped/` keeps the document, the reason and the statistics). What "
        "has no default for a domain and language is off there, and a recipe can switch it on by name. "
        "`mixer rules` prints this table, `mixer filter FILE` tries it on a file, and `mixer inspect` shows what it "
        "did to the documents of a build.\n",
        "A recipe can start from a published set instead of the defaults: `filters: {web/en: {profile: fineweb}}`.\n",
        "| profile | what it is | checks |",
        "| --- | --- | --- |",
    ]
    for profile, what in PROFILES.items():
        count = sum(profile in check.profiles for check in TABLE)
        parts.append(f"| `{profile}` | {_escape(what)} | {count or ''} |")
    for family in dict.fromkeys(check.family for check in TABLE):
        parts.append(f"\n## {family}\n")
        parts.append("| name | what | defaults by `domain/language` | profiles | source |")
        parts.append("| --- | --- | --- | --- | --- |")
        for check in (check for check in TABLE if check.family == family):
            defaults = "; ".join(f"{value}: {', '.join(places)}" for value, places in places_by_value(check).items())
            profiles = "; ".join(f"{name}: {written(value)}" for name, value in check.profiles.items())
            what, source = _escape(condition(check)), _escape(check.source)
            parts.append(f"| `{check.name}` | {what} | {_escape(defaults) or 'off'} | {profiles} | {source} |")
    return "\n".join(parts) + "\n"


def condition(check: Check) -> str:
    """Say in words what a check does, its unit included."""
    if isinstance(check, Rule):
        unit = "" if check.unit == "share" else f" ({check.unit})"
        return f"{check.comparison.replace('_', ' ')}{unit}: {check.description}"
    values = f" ({check.unit})" if isinstance(check, Edit) and check.unit else ""
    values = f" ({', '.join(check.choices)})" if isinstance(check, Edit) and check.choices else values
    return f"edit{values}: {check.description}"


def places_by_value(check: Check) -> dict[str, list[str]]:
    """Group the places of the defaults by value, both written for people."""
    found: dict[str, list[str]] = {}
    for place, value in check.defaults.items():
        found.setdefault("off" if value is False else written(value), []).append(place)
    return found


def written(value: Value) -> str:
    """Write a threshold, or how an edit is switched, for people."""
    if isinstance(value, tuple):
        low, high = ("any" if math.isinf(end) else f"{end:g}" for end in value)
        return f"{low} to {high}"
    return "on" if value is True else value if isinstance(value, str) else f"{value:g}"


def measured(rule: Rule, threshold: Threshold, value: float) -> str:
    """Say what a rule looked at in a document, and its threshold."""
    unit = "" if rule.unit == "share" else f" {rule.unit}"
    bound = written(threshold).replace(" to ", " and ")
    return f"{rule.statistic} is {number(value)}{unit}, must be {rule.comparison.replace('_', ' ')} {bound}"


def number(value: float) -> str:
    """Write a statistic for people; nothing where a document has none."""
    return "" if math.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _escape(text: str) -> str:
    """Keep a text inside its cell, and an asterisk an asterisk."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n", "\\n")
