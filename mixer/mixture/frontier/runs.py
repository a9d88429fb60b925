"""Reads the results of trial runs from a CSV file. The first step of ``mixer frontier``.

One row is one run (or one checkpoint of it): ``almr``, ``lr``, ``loss`` and any number of metrics, one column each.
Known besides are ``run`` (a label, not read), ``tokens``, ``parameters``, ``general_loss`` and ``domain_loss``, which
the two laws use. Every other column is a metric, and must hold numbers. A cell that is empty, NaN or infinite (a run
that has not ended, or diverged) sets its row aside wherever that cell is needed; who uses the rows counts them.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mixer.errors import UsageError, did_you_mean
from mixer.mixture.settings import parse_tokens

REQUIRED: Final = ("almr", "lr", "loss")
SIZES: Final = ("tokens", "parameters")
LAW_LOSSES: Final = ("general_loss", "domain_loss")
LABEL: Final = "run"
Unit = Literal["percent", "fraction"]


@dataclass(frozen=True)
class Runs:
    """The rows of a CSV file of results.

    Attributes
    ----------
    path
        The file.
    columns
        Each column of numbers by its name: float64 of shape (rows,), NaN where a cell holds no finite number. ``almr``
        is a share.
    metrics
        The columns that are metrics, in the order of the file.
    lower
        Those metrics of which a lower value is better.
    unit
        How ``almr`` is written in the file.
    """

    path: Path
    columns: dict[str, NDArray[np.float64]]
    metrics: tuple[str, ...]
    lower: frozenset[str]
    unit: Unit

    def __len__(self) -> int:
        return len(self.columns["almr"])

    def complete(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which rows hold a finite number in every named column, of shape (rows,)."""
        return np.all([np.isfinite(self.columns[name]) for name in names], axis=0)


def read_runs(path: Path, metrics: Sequence[str] = (), lower: Sequence[str] = ()) -> Runs:
    """Read a CSV file of results.

    Parameters
    ----------
    path
        The file; comma-separated, with a header.
    metrics
        The columns to use as metrics; all that are not known otherwise if empty.
    lower
        Metrics of which a lower value is better.

    Raises
    ------
    UsageError
        The file cannot be read, lacks a column or names one twice, or a cell is no number or impossible; file and line
        are named.
    """
    header, rows = _rows(path)
    metrics = _metrics(path, header, metrics, lower)
    wanted = [name for name in header if name in {*REQUIRED, *SIZES, *LAW_LOSSES, *metrics} and name != "almr"]
    cells = {name: np.empty(len(rows)) for name in wanted}
    for number, (line, row) in enumerate(rows):
        for name, column in cells.items():
            column[number] = _number(path, line, name, row[header.index(name)])
    shares, unit = _shares(path, [(line, row[header.index("almr")]) for line, row in rows])
    return Runs(path, {"almr": shares, **cells}, tuple(metrics), frozenset(lower), unit)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and each row that holds anything with its line."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the results {path} cannot be read: {cause}", "give the path of a CSV file") from error
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}", "correct the quotes of that line") from error
    for name in REQUIRED:
        if name not in header:
            raise UsageError(
                f"{path}, line 1: there is no column {name!r}{did_you_mean(name, header)}",
                "name the columns in the first line: almr,lr,loss and one for each metric",
            )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UsageError(f"{path}, line 1: the column {twice[0]!r} stands there twice", "leave one of them")
    for line, row in rows:
        if len(row) != len(header):
            raise UsageError(
                f"{path}, line {line}: {len(row)} cells, not {len(header)} as in the first line",
                "leave a cell empty where a run has no result",
            )
    if not rows:
        raise UsageError(f"{path} holds no runs", "write one line for each run below the header")
    return header, rows


def _metrics(path: Path, header: Sequence[str], asked: Sequence[str], lower: Sequence[str]) -> list[str]:
    """Return the columns that are metrics, in the order of the file."""
    known = {*REQUIRED, *SIZES, *LAW_LOSSES, LABEL, ""}
    possible = [name for name in header if name not in known]
    for name in (*asked, *lower):
        if name not in possible:
            raise UsageError(
                f"{path} has no metric {name!r}{did_you_mean(name, possible)}",
                f"its metrics are: {', '.join(possible) or 'none'}",
            )
    chosen = [name for name in possible if name in asked] if asked else possible
    for name in lower:
        if name not in chosen:
            raise UsageError(f"{name!r} is not among the metrics asked for", f"add --metric {name}, or drop --lower")
    return chosen


def _number(path: Path, line: int, name: str, cell: str) -> float:
    """Read one cell; NaN where it holds no result."""
    if not cell:
        return math.nan
    try:
        value = float(parse_tokens(cell)) if name in SIZES and cell[-1].upper() in "KMBT" else float(cell)
    except ValueError as error:
        raise UsageError(
            f"{path}, line {line}: {name} is {cell!r}, not a number",
            f"write a number, leave the cell empty for a run without a result, or call a column of labels {LABEL!r}",
        ) from error
    if name in ("lr", *SIZES) and value <= 0:
        raise UsageError(f"{path}, line {line}: {name} is {cell!r}, and must be above 0", "correct the cell")
    return value if math.isfinite(value) else math.nan


def _shares(path: Path, cells: Sequence[tuple[int, str]]) -> tuple[NDArray[np.float64], Unit]:
    """Read the column of ratios as shares, whichever way it is written.

    A percent sign on every cell says percent. Without signs, a value above 1 says percent for the whole column; a value
    between 0 and 1 beside it could be either, and is refused.
    """
    values = np.array([_number(path, line, "almr", cell.removesuffix("%").rstrip()) for line, cell in cells])
    signed = [cell.endswith("%") for _, cell in cells if cell]
    if any(signed) and not all(signed):
        line = next(line for line, cell in cells if cell and not cell.endswith("%"))
        raise UsageError(
            f"{path}, line {line}: almr has no percent sign, and other lines have one",
            "write the whole column with the sign, or without",
        )
    unit: Unit = "percent" if any(signed) or np.nanmax(values, initial=0) > 1 else "fraction"
    largest = 100.0 if unit == "percent" else 1.0
    for (line, cell), value in zip(cells, values, strict=True):
        if value < 0 or value > largest:
            raise UsageError(
                f"{path}, line {line}: almr is {cell!r}, outside 0 to {largest:g}",
                "write a share or a percentage",
            )
        if unit == "percent" and not any(signed) and 0 < value < 1:
            raise UsageError(
                f"{path}, line {line}: almr is {cell!r}, a share or a percentage? Other lines are above 1",
                "write the column in one unit; for percentages below 1, with a percent sign on every line",
            )
    return values / largest, unit
