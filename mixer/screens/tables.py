"""How tables and numbers are shown on the screen, or in the file or pipe that takes its place."""

from rich.console import Console
from rich.table import Table

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


def size(count: int) -> str:
    """Write a number of bytes with the unit that suits it."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
