"""What there is of each source, in numbers: the counts that a mixture is planned from.

They come from a JSON file, or from a finished build, whose ``mixture.json`` counts the same things. In the file each
source has its tokens, or by language an object of

    tokens             training tokens of the recipe's tokenizer: a number, or short as 1.7T; or
    bytes              of UTF-8 text, from which tokens are then estimated
    documents          default: estimated from the bytes
    additional_share   the measured part of the tokens in the additional language, 0 to 1
    estimate           true for a number that nobody has counted
    comment            where the numbers come from

Keys of the file that begin with ``_`` are remarks. Everything else is checked against the recipe.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mixer.errors import RecipeError, UsageError, did_you_mean
from mixer.manifest import NAME, read
from mixer.mixture.settings import CODE_LANGUAGE, TOKENS_LIMIT, Ratio, parse_tokens
from mixer.recipe import Recipe, Source
from mixer.storage import Root

SUFFIX: Final = ".counts.json"
"""Of the counts that lie beside a recipe."""
_REMEDY: Final = 'write {"wanjuan": {"zh": {"tokens": "140B"}}, ...}; docs/plan.md explains the format'


def _amount(value: object) -> int:
    """Read an amount: as tokens in a recipe, or 0."""
    if value == 0 and not isinstance(value, bool):
        return 0
    amount = parse_tokens(value)
    if isinstance(amount, str):
        raise ValueError("`max` is no count")
    return amount


def _count(value: object) -> object:
    """Read a number of bytes or documents, which may be as short as one of tokens."""
    return _amount(value) if isinstance(value, str) else value


Tokens: TypeAlias = Annotated[int, BeforeValidator(_amount)]
Size: TypeAlias = Annotated[int, BeforeValidator(_count), Field(ge=0, le=TOKENS_LIMIT * 100)]


class Count(BaseModel):
    """What there is of a source in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Tokens | None = None
    bytes: Size | None = None
    documents: Size | None = None
    additional_share: Ratio | None = None
    estimate: bool = False
    comment: str | None = None

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if self.tokens is None and self.bytes is None:
            raise ValueError("give `tokens` or `bytes`")
        return self


Counts: TypeAlias = Mapping[str, Mapping[str, Count]]
"""By source, then by language."""


def beside(recipe_file: Path) -> Path | None:
    """Return the counts that lie beside a recipe, ``NAME.counts.json`` beside ``NAME.yaml``; None if there are none."""
    path = recipe_file.with_name(recipe_file.stem + SUFFIX)
    return path if path.is_file() else None


def read_counts(path: Root, recipe: Recipe) -> Counts:
    """Read the counts of every source of a recipe.

    Parameters
    ----------
    path
        A JSON file, a finished build, or its ``mixture.json``.
    recipe
        Whose sources are counted.

    Raises
    ------
    RecipeError
        The file cannot be read; a source or language in it is unknown, or an amount impossible; or a source of the
        recipe is not counted.
    UsageError
        A directory is named in which there is no finished build.
    """
    tree = _of_build(path) if path.is_dir() or path.name == NAME else _of_file(path)
    counts = {name: _of_source(path, recipe, name, given) for name, given in tree.items() if not name.startswith("_")}
    if missing := [source.name for source in recipe.sources if source.name not in counts]:
        raise RecipeError(
            f"{path} has no counts of {', '.join(missing)}",
            "add them (0 where there is nothing to count), or remove those sources from the recipe",
        )
    return counts


def labels(recipe: Recipe, source: Source) -> list[str]:
    """Return the languages that documents of a source can end up with."""
    if source.language not in ("auto", "detect"):
        return [source.language]
    if source.domain == "code" and source.language == "auto":
        return [CODE_LANGUAGE]
    return [recipe.mixture.additional_language, *recipe.mixture.base_languages]


def _of_build(path: Root) -> dict[str, Any]:
    """Return what a finished build counted, parts of a dataset together."""
    manifest = read(path if path.is_dir() else path.parent)
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in manifest.datasets:
        count = tree.setdefault(entry.source, {}).setdefault(
            entry.language, {"tokens": 0, "documents": 0, "additional_share": 0}
        )
        before = count["additional_share"] * count["tokens"]
        count["tokens"] += entry.tokens
        count["documents"] += entry.documents
        count["additional_share"] = (before + entry.additional_tokens) / count["tokens"]
    return tree


def _of_file(path: Root) -> dict[str, Any]:
    """Return the object in a JSON file."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise RecipeError(f"{path}: the key {twice!r} is given twice", "leave one of them")
        return found

    try:
        tree = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=once)
    except OSError as error:
        raise UsageError(
            f"the counts {path} cannot be read: {error.strerror or error}", "give the path of a JSON file"
        ) from error
    except ValueError as error:
        raise RecipeError(f"{path} is no JSON: {error}", "correct the file at the position named") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path} does not hold an object of source and counts", _REMEDY)
    return tree


def _of_source(path: Root, recipe: Recipe, name: str, given: object) -> dict[str, Count]:
    """Check the counts of one source."""
    names = [source.name for source in recipe.sources]
    if name not in names:
        raise RecipeError(
            f"{path}: the recipe has no source {name!r}{did_you_mean(name, names)}", f"its sources: {', '.join(names)}"
        )
    possible = labels(recipe, recipe.source(name))
    if not isinstance(given, dict):
        if len(possible) > 1:
            raise RecipeError(
                f"{path}: source {name!r} may hold {', '.join(possible)}; its counts must say how much of each",
                f'for example "{name}": {{"{possible[0]}": {{"tokens": {json.dumps(given)}}}}}',
            )
        given = {possible[0]: given}
    counts = {}
    for language, value in given.items():
        if language not in possible:
            raise RecipeError(
                f"{path}: source {name!r} cannot hold {language!r}{did_you_mean(language, possible)}",
                f"its documents are labelled {' or '.join(possible)}",
            )
        counts[language] = _checked(f"{path}: {name}.{language}", value)
    return counts


def _checked(where: str, value: object) -> Count:
    """Check the counts of one language of a source; ``where`` names them in errors."""
    try:
        return Count.model_validate(value if isinstance(value, dict) else {"tokens": value})
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            key = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                faults.append(f"unknown key {key!r}{did_you_mean(key, Count.model_fields)}")
            else:
                faults.append(f"{key}: {fault['msg'].removeprefix('Value error, ')}".lstrip(": "))
        raise RecipeError(f"{where}: {'; '.join(faults)}", _REMEDY) from None
