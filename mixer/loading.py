"""Recipes as files: a packaged name or a YAML file, and any ``--set`` overrides, become a checked ``Recipe``.

Every key is known and every value possible afterwards; whatever is not ends in a ``RecipeError`` that names the key and
the nearest valid spelling. Nothing is parsed and ignored.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mixer.errors import RecipeError, did_you_mean
from mixer.mixture.weightfile import read_weights
from mixer.recipe import Recipe
from mixer.written import StrictLoader, read_keys, worded

DEFAULT_RECIPE = "quickstart"


@dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe and the folder that its relative paths start from."""

    recipe: Recipe
    root: Path


def packaged_recipes() -> dict[str, str]:
    """Return the packaged recipes' names, each with the first comment line of its file."""
    folder = Path(str(resources.files("mixer") / "recipes"))
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        first = path.read_text("utf-8").split("\n", 1)[0]
        found[path.stem] = first.lstrip("# ").strip() if first.startswith("#") else ""
    return found


def recipe_path(name_or_path: str) -> Path:
    """Find a recipe file: a packaged name, or a path.

    Raises
    ------
    RecipeError
        There is neither a packaged recipe nor a file of that name.
    """
    folder = Path(str(resources.files("mixer") / "recipes"))
    packaged = folder / f"{name_or_path}.yaml"
    if re.fullmatch(r"[\w.-]+", name_or_path) and packaged.exists():
        return packaged
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = packaged_recipes()
    raise RecipeError(
        f"no recipe {name_or_path!r}: it is no file, and no packaged recipe{did_you_mean(name_or_path, names)}",
        f"packaged recipes: {', '.join(names)}; `mixer recipe show {DEFAULT_RECIPE}` prints one to start from",
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read, override and check a recipe.

    Parameters
    ----------
    name_or_path
        A packaged name or the path of a YAML file.
    overrides
        ``key=value`` texts as given to ``--set``: dotted keys, YAML values; a source is addressed by its name
        (``sources.dolma.max_epochs=2``).

    Raises
    ------
    RecipeError
        Anything in it is unknown or impossible; all faults are listed together.
    """
    path = recipe_path(name_or_path)
    tree = read_keys(path, "recipe", f"see `mixer recipe show {DEFAULT_RECIPE}`")
    for override in overrides:
        _override(tree, override)
    _read_weights(tree, path.parent)
    return LoadedRecipe(check(tree, str(path)), path.parent)


def check(tree: Mapping[str, Any], where: str) -> Recipe:
    """Turn a parsed recipe into a checked one; ``where`` names it in errors.

    Raises
    ------
    RecipeError
        Anything in it is unknown or impossible; all faults are listed together.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise worded(error, tree, Recipe, where, "`mixer recipe schema` lists every key and its meaning") from error


def _read_weights(tree: dict[str, Any], root: Path) -> None:
    """Put the weights in the place of the file that holds them; a relative path starts from ``root``."""
    mixture = tree.get("mixture")
    if isinstance(mixture, dict) and isinstance(file := mixture.get("weights"), str):
        mixture["weights"] = read_weights(root / file)


def _override(tree: dict[str, Any], override: str) -> None:
    """Set one dotted key of the parsed recipe."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise RecipeError(f"--set {override!r} is not of the form key=value", "for example --set mixture.seed=7")
    try:
        value = yaml.load(text, Loader=StrictLoader)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"--set {override!r}: the value is not valid YAML", "quote it, for example 'key=\"a: b\"'"
        ) from error
    node: Any = tree
    *parents, last = _address(tree, dotted)
    for part in parents:
        node = node[part] if isinstance(part, int) else node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise RecipeError(
                f"--set {override!r}: {part} holds a value, not keys", "`mixer recipe schema` lists every key"
            )
    node[last] = value


def _address(tree: Mapping[str, Any], dotted: str) -> list[str | int]:
    """Split a dotted key; the name of a source (which may hold dots itself) becomes its position."""
    if dotted.startswith("sources."):
        names = [source.get("name") for source in tree.get("sources") or [] if isinstance(source, dict)]
        rest = dotted.removeprefix("sources.")
        for position, name in enumerate(names):
            if rest.startswith(f"{name}."):
                return ["sources", position, *_keys(rest.removeprefix(f"{name}."))]
        wanted = rest.split(".")[0]
        raise RecipeError(
            f"--set {dotted}: the recipe has no source {wanted!r}{did_you_mean(wanted, [n for n in names if n])}",
            f"its sources: {', '.join(str(name) for name in names)}",
        )
    return list(_keys(dotted))


def _keys(dotted: str) -> list[str]:
    """Split a dotted key, but not the name of a rule, which holds a dot of its own."""
    head, found, rule = dotted.partition("filters.")
    if found and (not head or head.endswith(".")):
        outer = [*head.split(".")[:-1], "filters"]
        group, slash, name = rule.partition(".")
        return [*outer, group, name] if "/" in group and slash else [*outer, rule]
    return dotted.split(".")
