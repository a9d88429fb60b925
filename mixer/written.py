"""What users write as YAML: read strictly, and every fault of it said as key, cause and nearest spelling.

Serves ``loading`` and ``dialogues.settings``. Nothing is known here of what the keys mean.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from mixer.errors import RecipeError, did_you_mean


class StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which plain YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """Build a mapping whose keys all differ."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_keys(path: Path, what: str, remedy: str) -> dict[str, Any]:
    """Read a YAML file that must be a mapping.

    Parameters
    ----------
    path
        The file.
    what, remedy
        What it should be ("recipe"), and where to see one, for the error.

    Raises
    ------
    RecipeError
        It is no valid YAML, a key is given twice, or it is no mapping.
    """
    try:
        tree = yaml.load(path.read_text("utf-8"), Loader=StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}", "correct the file at the position named") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path} is no {what}: it must be a mapping of keys", remedy)
    return tree


def worded(error: ValidationError, tree: Any, model: type[BaseModel], where: str, remedy: str) -> RecipeError:
    """Word all of pydantic's complaints about ``tree``, of which ``model`` was to be made; ``where`` names the file."""
    faults = "\n".join(f"  - {fault}" for fault in _faults(error, tree, model))
    return RecipeError(f"{where}:\n{faults}", remedy)


def _faults(error: ValidationError, tree: Any, model: type[BaseModel]) -> Iterable[str]:
    """Say each of pydantic's complaints as key, cause and nearest spelling."""
    for fault in error.errors():
        location = _spell(fault["loc"], tree)
        if fault["type"] == "extra_forbidden":
            unknown = str(fault["loc"][-1])
            yield f"{location}: unknown key{did_you_mean(unknown, _siblings(fault['loc'], model))}"
        elif fault["type"] == "missing":
            yield f"{location}: is missing"
        else:
            message = fault["msg"].removeprefix("Value error, ")
            yield f"{location}: {message}" if location else message


def _spell(location: Sequence[int | str], tree: Any) -> str:
    """Write a location as the user would type it, sources by name."""
    parts: list[str] = []
    for part in location:
        name = (
            tree[part].get("name")
            if isinstance(part, int) and _has(tree, part) and isinstance(tree[part], dict)
            else None
        )
        parts.append(str(name or part))
        tree = tree[part] if _has(tree, part) else None
    return ".".join(parts)


def _has(tree: Any, part: int | str) -> bool:
    return (isinstance(tree, dict) and part in tree) or (
        isinstance(tree, list) and isinstance(part, int) and part < len(tree)
    )


def _siblings(location: Sequence[int | str], model: Any) -> list[str]:
    """List the keys that are known where an unknown one was found."""
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue
        nested = [kind for kind in (field.annotation, *get_args(field.annotation)) if hasattr(kind, "model_fields")]
        model = nested[0] if nested else None
    return list(getattr(model, "model_fields", {}))
