"""How tables and numbers are shown on the screen, or in the file or pipe that takes its place."""

import re
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{2,}): (?P<bound>.+)")
PLAIN_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""


def table(*columns: str, title: str | None = None) -> Table:
    """Make a table; a column that begins with ``>`` holds numbers."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    made.columns[0].no_wrap = True  # names are for copying
    return made


def console() -> Console:
    """Return where tables go: stdout, as wide as the terminal, or wide enough where there is none."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def bounds(binding: Iterable[str]) -> str:
    """List what binds a mixture; parts of a dataset that are bound alike, from the first on, are one entry."""
    found: list[str] = []
    first = last = ("", "", "")  # name, number and bound of the parts at hand
    for bound in binding:
        match = _PART.fullmatch(bound)
        part = (match["name"], match["number"], match["bound"]) if match else ("", "", "")
        follows = part[1] and part[::2] == last[::2] and int(part[1]) == int(last[1]) + 1
        if follows and not int(first[1]):
            found[-1] = f"{first[0]}-{first[1]} to -{part[1]}: {first[2]}"
        else:
            found.append(bound)
            first = part
        last = part
    return ", ".join(found)


def size(count: int) -> str:
    """Write a number of bytes with the unit that suits it."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
