"""Reads weights of sources from a file, as tools that search for mixtures write them.

Called while a recipe is loaded; what comes out is the key ``mixture.weights``, and ``mixture.json`` keeps it, so that
the file is not needed again. Known are

- JSON: an object of source and weight, or one that holds it as ``train_domain_weights`` (DoReMi's own configuration);
- CSV with the header ``source,weight``.
"""

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from mixer.errors import RecipeError

_DOREMI: Final = "train_domain_weights"
_HEADER: Final = ["source", "weight"]
_REMEDY: Final = 'write JSON ({"dolma": 0.6, "wanjuan": 0.4}) or CSV with the header source,weight'


def read_weights(path: Path) -> dict[str, float]:
    """Return the weight of each source of a file.

    Raises
    ------
    RecipeError
        The file is missing or is neither kind, names a source twice, or a weight is no finite number of at least 0.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RecipeError(
            f"the weights {path} cannot be read: {cause}", "give the path of a JSON or CSV file"
        ) from error
    pairs = _json(path, text) if text.lstrip()[:1] in ("{", "[") else _csv(path, text)
    weights: dict[str, float] = {}
    for where, name, value in pairs:
        if name in weights:
            raise RecipeError(f"{path}{where}: the source {name!r} has two weights", "leave one of them")
        weights[name] = _weight(f"{path}{where}", name, value)
    if not weights:
        raise RecipeError(f"{path} holds no weights", _REMEDY)
    return weights


def _weight(where: str, name: str, value: object) -> float:
    """Check one weight."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise RecipeError(
            f"{where}: the weight of {name!r} is {value!r}, not a finite number of at least 0",
            "correct it; 0 leaves a source out",
        )
    return number


def _json(path: Path, text: str) -> Iterable[tuple[str, str, Any]]:
    """Yield position, source and weight of a JSON file."""
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except ValueError as error:
        raise RecipeError(f"{path} is no JSON: {error}", "correct the file at the position named") from error
    if isinstance(found, _Pairs):
        found = next((value for name, value in found if name == _DOREMI), found)
    if not isinstance(found, _Pairs):
        raise RecipeError(f"{path} does not hold an object of source and weight", _REMEDY)
    return [("", name, value) for name, value in found]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every key that is written, also one that is written twice."""


def _csv(path: Path, text: str) -> Iterable[tuple[str, str, Any]]:
    """Yield position, source and weight of a CSV file."""
    rows = csv.reader(text.splitlines())
    header = [cell.strip() for cell in next(rows, [])]
    if header != _HEADER:
        raise RecipeError(f"{path}, line 1: the header is {','.join(header)!r}, not {','.join(_HEADER)}", _REMEDY)
    for row in rows:
        if not row:
            continue
        if len(row) != 2:
            raise RecipeError(f"{path}, line {rows.line_num}: {len(row)} columns, not 2", _REMEDY)
        yield f", line {rows.line_num}", row[0].strip(), row[1].strip()
