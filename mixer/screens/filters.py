"""What the user sees of rules and documents: the table of checks, a funnel, documents of a build, what would change.

Prints, and decides nothing; ``builds`` does the same for whole builds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from mixer.filters.check import Check, Value
from mixer.filters.page import condition, measured, number, places_by_value, written
from mixer.screens.tables import console, size, table
from mixer.storage import Root

if TYPE_CHECKING:  # `mixer rules` shows a table; it need not wait for what reads and measures documents
    from rich.console import Console

    from mixer.contamination.findings import Finding
    from mixer.funnel import Funnel, LanguageCount
    from mixer.inspection.specimens import Specimen
    from mixer.inspection.what_if import Change

_CAUSES = 5
"""Unreadable records shown."""


def show_checks(checks: Sequence[Check]) -> None:
    """Print checks with their defaults and sources."""
    rows = table("name", "what", "default", "source")
    for check in checks:
        defaults = "\n".join(f"{value}: {' '.join(places)}" for value, places in places_by_value(check).items())
        rows.add_row(check.name, escape(condition(check)), defaults or "off", escape(check.source))
    console().print(rows)


def show_in_force(checks: Sequence[tuple[Check, Value]]) -> None:
    """Print the checks that hold somewhere, with their values."""
    rows = table("name", ">value", "what")
    for check, value in checks:
        rows.add_row(check.name, written(value), escape(condition(check)))
    console().print(rows)


def show_funnel(found: "Funnel") -> None:
    """Print what became of the documents of each language, rule by rule."""
    screen = console()
    for language, counts in sorted(found.languages.items()):
        screen.print(
            f"[bold]{language}[/]: kept {counts.kept:,} of {counts.documents:,} documents "
            f"({counts.kept / counts.documents:.1%}), {size(counts.kept_bytes)} of {size(counts.bytes)}"
        )
        if counts.other:
            screen.print("  " + ", ".join(f"{reason} {count:,}" for reason, count in counts.other.most_common()))
        if any(counts.edits.values()):
            made = (f"{name} {count:,} in {counts.edited[name]:,}" for name, count in counts.edits.items() if count)
            screen.print(f"  edits: {', '.join(made)} documents")
        if counts.rules:
            screen.print(_rules(counts))
        screen.print()
    if found.rejected:
        screen.print(f"{len(found.rejected):,} records could not be read:")
        for file, position, cause in found.rejected[:_CAUSES]:
            screen.print(f"  {file}, {position}: {cause}", markup=False)


def _rules(counts: "LanguageCount") -> object:
    """Show for each rule what it objects to, and where its statistic lies."""
    rows = table("  rule", ">threshold", ">objects", ">alone", ">dropped", ">left", ">5 %", ">median", ">95 %")
    left = counts.documents - counts.other.total()
    for entry in counts.rules:
        rule, threshold = entry.rule
        left -= entry.first
        quantiles = (number(entry.quantile(share)) for share in (0.05, 0.5, 0.95))
        numbers = (f"{count:,}" for count in (entry.objects, entry.alone, entry.first, left))
        sign = {"at_least": "≥ ", "at_most": "≤ ", "between": ""}[rule.comparison]
        rows.add_row(f"  {rule.name}", sign + written(threshold), *numbers, *quantiles)
    return rows


def show_specimens(specimens: "Sequence[Specimen]", characters: int | None) -> None:
    """Print documents with what decided about them; the text up to so many characters."""
    screen = console()
    for place, found in enumerate(specimens, 1):
        title = f"{place}. {found.source}: {found.file} record {found.record}"
        screen.rule(f"[bold]{escape(title)}[/]", align="left")
        verdict = f"dropped: {found.reason}" if found.reason else "kept"
        screen.print(f"{verdict}   language {found.language} ({found.language_score:.2f})")
        if found.ruling and found.value is not None:
            screen.print(f"{found.ruling[0].name}: {measured(*found.ruling, found.value)}")
        for what, values in (("edits", found.edits), ("metadata", found.metadata)):
            if values:
                screen.print(f"{what}: {', '.join(f'{name} {value}' for name, value in values.items())}", markup=False)
        if found.contamination:
            screen.print(_side_by_side(found.contamination[0], characters))
            if len(found.contamination) > 1:
                screen.print(f"[dim]... and {len(found.contamination) - 1:,} items more[/]")
        _show_text(screen, found.text, characters)
        if found.twin:
            origin, where = found.twin.origin, f" of the build {found.twin.build}" if found.twin.build else ""
            screen.print(
                f"-- its twin that was kept: {origin.source}: {origin.file} record {origin.record}{where}; documents "
                f"in the cluster: {found.twin.documents:,}",
                markup=False,
            )
            if found.twin.text is not None:
                _show_text(screen, found.twin.text, characters)
    screen.print(f"{len(specimens)} documents")


def _show_text(screen: "Console", whole: str, characters: int | None) -> None:
    """Print a text up to so many characters."""
    text = whole if characters is None else whole[:characters]
    screen.print(text, markup=False, highlight=False)
    if len(text) < len(whole):
        screen.print(f"[dim]... {len(whole) - len(text):,} characters more (--full shows them)[/]")


def _side_by_side(found: "Finding", characters: int | None) -> Table:
    """Show an item of a benchmark beside the passage of the document that matches it."""
    rows = Table("in the document", escape(f"{found.benchmark}: {found.item}"), show_lines=True, expand=True)
    passage, text = (escape(each[:characters]) for each in (found.matched, found.text))
    rows.add_row(passage, text)
    rows.caption = f"{found.coverage:.0%} of the item is covered"
    return rows


def show_changes(changes: "Sequence[Change]", directory: Root) -> None:
    """Print what other thresholds would do to a build."""
    screen = console()
    rows = table("source", "language", ">documents", ">kept", ">would be", ">lost", ">back", "by rule")
    for change in changes:
        lost, back = change.lost.total(), change.back.total()
        by_rule = [f"-{count:,} {name}" for name, count in change.lost.most_common()]
        by_rule += [f"+{count:,} {name}" for name, count in change.back.most_common()]
        numbers = (f"{number:,}" for number in (change.documents, change.kept, change.kept - lost + back, lost, back))
        rows.add_row(change.source, change.language, *numbers, ", ".join(by_rule))
    screen.print(rows)
    screen.print(
        "documents that a rule could decide about; one that comes back may still be a duplicate of another", style="dim"
    )
    screen.print(
        f"[dim]nothing in {escape(str(directory))} was changed; put the thresholds into the recipe to keep them[/]"
    )
