"""What ``mixer locate`` shows: the documents of a step, as text or as JSON Lines. Prints, and decides nothing."""

import json
from collections import Counter

from rich.cells import set_cell_size
from rich.markup import escape

from mixer.locate import Located, Piece, Sample
from mixer.screens.tables import console, table

_NARROW = 12
"""Characters that a name and a text have at least in a table."""
_KEYS = ("id", "url", "title", "licence", "license")
"""Carried columns shown in a table, in this order; others are shown with the whole documents."""


def show_located(found: Located, characters: int | None, *, whole: bool) -> None:
    """Print the samples of a step.

    Parameters
    ----------
    characters
        Of each text that are shown whole; None: all.
    whole
        Show each document with everything that is known of it, not as a line of a table.
    """
    screen = console()
    screen.print(
        f"step {found.step:,} of {found.steps:,}: global batch {found.global_batch:,}, seed {found.seed}", style="bold"
    )
    for note in found.notes:
        screen.print(f"[yellow]note:[/] {escape(note)}")
    screen.print(_datasets(found))
    screen.print()
    if whole:
        for sample in found.samples:
            for number, piece in enumerate(sample.pieces, 1):
                title = f"sample {sample.number:,}, {number} of {len(sample.pieces)}: {_name(sample)}"
                screen.rule(f"[bold]{escape(title)}[/]", align="left")
                _show(piece, characters)
        return
    cells = [
        [*_numbers(sample, piece), _key(piece), _text(piece)] for sample in found.samples for piece in sample.pieces
    ]
    titles = (">sample", "dataset", ">document", ">tokens", ">of", "known as", "text")
    room = screen.width - sum(max(len(row[k]) for row in [titles, *cells]) + 2 for k in range(len(titles) - 2))
    rows = table(*titles)
    for *numbers, key, text in cells:
        rows.add_row(*numbers, escape(_line(key, room // 3)), escape(_line(text, room - room // 3 - 2)))
    screen.print(rows)


def lines(found: Located) -> str:
    """Return the samples of a step as JSON Lines, one a document that a sample reads, with its text."""
    rows = []
    for sample in found.samples:
        for piece in sample.pieces:
            row = {
                "step": found.step,
                "sample": sample.number,
                "dataset": _name(sample),
                "drawn": sample.drawn,
                "document": piece.part.document,
                "first_token": piece.part.first,
                "last_token": piece.part.last,
                "tokens": piece.tokens,
            }
            if piece.document:
                row |= {"file": piece.document.file, "record": piece.document.record}
                row |= {"metadata": dict(piece.document.metadata), "text": _text(piece)}
            rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(rows)


def _datasets(found: Located) -> object:
    """Count the samples and documents of each dataset."""
    samples = Counter(_name(sample) for sample in found.samples)
    documents = Counter(_name(sample) for sample in found.samples for _ in sample.pieces)
    rows = table("dataset", ">samples", ">parts of documents")
    for name in sorted(samples):
        rows.add_row(name, f"{samples[name]:,}", f"{documents[name]:,}")
    return rows


def _show(piece: Piece, characters: int | None) -> None:
    screen, part = console(), piece.part
    screen.print(f"document {part.document:,}, tokens {part.first:,} to {part.last:,} of {piece.tokens:,}")
    if piece.document is None:
        return
    screen.print(f"{piece.document.file} record {piece.document.record}", markup=False, soft_wrap=True)
    for name, value in piece.document.metadata.items():
        screen.print(f"{name}: {value}", markup=False, soft_wrap=True)
    text = _text(piece)
    shown = text if characters is None else text[:characters]
    screen.print(shown, markup=False, highlight=False)
    if len(shown) < len(text):
        screen.print(f"[dim]... {len(text) - len(shown):,} characters more (--full shows them)[/]")


def _numbers(sample: Sample, piece: Piece) -> list[str]:
    part = piece.part
    span = f"{part.first:,}-{part.last:,}"
    return [f"{sample.number:,}", _name(sample), f"{part.document:,}", span, f"{piece.tokens:,}"]


def _line(text: str, width: int) -> str:
    """Return the beginning of a text on one line, so many characters of a terminal wide or somewhat less."""
    return set_cell_size(" ".join(text[: 2 * width].split()), max(width, _NARROW)).rstrip()


def _text(piece: Piece) -> str:
    """Return what the part spells, or the whole document where that cannot be told."""
    if piece.text is not None:
        return piece.text
    return piece.document.text if piece.document else ""


def _key(piece: Piece) -> str:
    """Name a document: by what was carried along, else by its file."""
    if piece.document is None:
        return ""
    known = [piece.document.metadata[name] for name in _KEYS if name in piece.document.metadata]
    return ", ".join(known) or f"{piece.document.file} record {piece.document.record}"


def _name(sample: Sample) -> str:
    return sample.dataset.name
