"""What fine-tuning shows of its data before it begins: what became of the records, and the languages it will see."""

from dataclasses import replace
from itertools import groupby

from rich.markup import escape

from mixer.dialogues.prepare import Prepared
from mixer.dialogues.shares import ALL, Share, shares
from mixer.screens.tables import console, table

SHOWN = 0.01
"""Share of a language in anything from which it has a row of its own."""


def show_prepared(prepared: Prepared) -> None:
    """Print the sources, what was set aside and done to the rest, and the languages of answers and prompts."""
    screen = console()
    rows = table("source", "format", ">weight", ">read", ">kept", ">held out", "set aside", "changed")
    for number, (tally, weight) in enumerate(zip(prepared.tallies, prepared.weights.tolist(), strict=True)):
        held_out = tally.kept - len(prepared.train_rows(number))
        aside = {**tally.aside, **({"unreadable": tally.unreadable} if tally.unreadable else {})}
        rows.add_row(
            tally.source,
            tally.format,
            f"{weight:.1%}",
            f"{tally.read:,}",
            f"{tally.kept:,}",
            f"{held_out:,}",
            _counts(aside),
            _counts(tally.notes),
        )
    screen.print(rows)
    first = [(tally, reason, where) for tally in prepared.tallies for reason, where in tally.first.items()]
    for tally, reason, where in first:
        screen.print(f"[yellow]{reason}:[/] {escape(f'{tally.source}: first {where}')}", soft_wrap=True)
    for tally in prepared.tallies:
        if tally.unreadable:
            place = escape(f"{tally.source}: first {tally.unreadable_first}")
            screen.print(f"[yellow]unreadable:[/] {place}", soft_wrap=True)
    screen.print()
    languages = table("source", "of", "language", ">examples", ">tokens", ">answer tokens")
    for share in _gathered(shares(prepared)):
        amounts = (f"{amount:.1%}" for amount in share.amounts)
        languages.add_row(share.source or "all, as drawn", share.side, share.language, *amounts)
    screen.print(languages)


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered) or "-"


def _gathered(found: list[Share]) -> list[Share]:
    """Put rare languages of a source and side together as ``other``; a single source stands for all."""
    if len({share.source for share in found}) == 2:
        found = [share for share in found if share.source != ALL]
    made: list[Share] = []
    for _, group in groupby(found, key=lambda share: (share.source, share.side)):
        each = list(group)
        rare = [share for share in each if max(share.amounts) < SHOWN]
        made += [share for share in each if share not in rare]
        if rare:
            examples, tokens, answer_tokens = map(sum, zip(*(share.amounts for share in rare), strict=True))
            other = replace(rare[0], language="other", examples=examples, tokens=tokens, answer_tokens=answer_tokens)
            made.append(other)
    return made
