"""What a user writes: the recipe, composed of the settings that each room defines for itself.

``load_recipe`` turns a packaged name or a YAML file, and any ``--set`` overrides, into a checked ``Recipe``. Every key
is known and every value possible afterwards; whatever is not ends in a ``RecipeError`` that names the key and the
nearest valid spelling. Nothing is parsed and ignored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from mixer.dedup.settings import DedupSettings
from mixer.documents import METADATA
from mixer.errors import RecipeError, did_you_mean
from mixer.filters.blocklists import BlockList
from mixer.filters.custom import CustomFilter
from mixer.filters.language import CODE
from mixer.filters.settings import CheckOverrides, Domain, FilterSettings, LanguageSettings, Overrides, PrivacySettings
from mixer.mixture.settings import MixtureSettings, ShareSettings, contradiction, weights_fault
from mixer.mixture.weightfile import read_weights
from mixer.sources.settings import SourceSettings

DEFAULT_RECIPE = "quickstart"


class Source(ShareSettings, SourceSettings):
    """One named corpus: how to read it, what it is, how often training may read it, and what part it shall have."""

    domain: Domain = Field(description="Kind of text; decides which rules apply and which domain share it counts to.")
    language: str = Field(
        "auto",
        description=(
            "A declared language such as `zh` always wins over detection; `detect` detects it for code too; `auto` "
            "detects it, except that the code domain is labelled `code`."
        ),
    )
    programming_language: str | None = Field(
        None,
        description=(
            "For rules on code: the field, of `metadata`, that says what a document is written in, by a language "
            "(`C++`), an extension or a path. Default: those of `metadata` named programming_language, lang, language, "
            "ext, extension, max_stars_repo_path, path, file_path, filename, file_name or file, the first that "
            "knows; else the suffix of the source's own file, else the document's first characters."
        ),
    )
    max_epochs: float | None = Field(
        None, gt=0, description="Cap on how often training reads this source; default: mixture.max_epochs."
    )
    filters: CheckOverrides = Field(
        default_factory=Overrides,
        description="Rules and edits for this source alone, by name; `false` switches one off, `profile` names a set.",
    )

    @model_validator(mode="after")
    def _programming_language_is_carried(self) -> Self:
        if self.programming_language is not None and self.programming_language not in self.metadata:
            raise ValueError(
                f"`programming_language` of source {self.name!r} names {self.programming_language!r}, which is not "
                f"among its `metadata`{did_you_mean(self.programming_language, self.metadata)}"
            )
        return self

    def carries(self, blocklist: BlockList) -> bool:
        """Whether documents have what a block list compares."""
        return blocklist.column == "text" or blocklist.column.removeprefix(METADATA) in self.metadata


class Recipe(BaseModel):
    """A whole recipe: the sources, what is kept of them, and the mixture they shall make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the recipe and of its build.")
    tokenizer: str = Field(
        "llama3",
        description="A known name, or a path to a tokenizer.json or a tiktoken vocabulary; tokens are counted in it.",
    )
    seed: int = Field(1234, ge=0, lt=2**32, description="Seed of everything that is drawn.")
    mixture: MixtureSettings = Field(default_factory=MixtureSettings, description="What training shall see.")
    sources: list[Source] = Field(min_length=1, description="The corpora; their order is priority among duplicates.")
    language: LanguageSettings = Field(default_factory=LanguageSettings, description="Language identification.")
    filters: FilterSettings = Field(
        default_factory=FilterSettings, description="Rules and edits by `domain/language` (`*` for any), then by name."
    )
    blocklists: list[BlockList] = Field(
        default_factory=list, description="Lists of URLs, domains, ids or texts that must go."
    )
    custom: list[CustomFilter] = Field(default_factory=list, description="Filters of your own, asked after the rules.")
    privacy: PrivacySettings = Field(
        default_factory=PrivacySettings, description="What stands in the place of personal data and secrets."
    )
    dedup: DedupSettings = Field(default_factory=DedupSettings, description="Which duplicates are removed.")

    @field_validator("sources", "custom")
    @classmethod
    def _names_differ(cls, named: list[Any], info: ValidationInfo) -> list[Any]:
        names = [each.name for each in named]
        for name in names:
            if names.count(name) > 1:
                what = "sources" if info.field_name == "sources" else "custom filters"
                raise ValueError(f"two {what} are named {name!r}; names must differ")
        return named

    @model_validator(mode="after")
    def _domains_exist(self) -> Self:
        given = [("mixture.domains", self.mixture.domains)]
        given += [(f"mixture.phases[{k}].domains", part.domains or {}) for k, part in enumerate(self.mixture.phases)]
        for key, domains in given:
            for domain in domains:
                if domain not in get_args(Domain):
                    raise ValueError(f"{key}: unknown domain {domain!r}{did_you_mean(domain, get_args(Domain))}")
        return self

    @model_validator(mode="after")
    def _lists_can_be_asked(self) -> Self:
        for each in self.blocklists:
            if not any(source.carries(each) for source in self.sources):
                field = each.column.removeprefix(METADATA)
                raise ValueError(
                    f"blocklists: {each.file} compares {field!r}, which no source carries; add it to `metadata` of the "
                    "sources it is meant for, or name another `field`"
                )
        return self

    @model_validator(mode="after")
    def _languages_are_wanted(self) -> Self:
        wanted = {self.mixture.additional_language, *self.mixture.base_languages}
        for source in self.sources:
            if source.language not in {"auto", "detect", *wanted}:
                raise ValueError(
                    f"source {source.name!r} declares language {source.language!r}, which is neither the additional "
                    f"language nor a base language ({', '.join(sorted(wanted))}){did_you_mean(source.language, wanted)}"
                )
        return self

    @model_validator(mode="after")
    def _languages_of_places_are_kept(self) -> Self:
        kept = {self.mixture.additional_language, *self.mixture.base_languages, CODE}
        places = [("filters", place) for place in self.filters.root]
        places += [(f"custom filter {own.name!r}", place) for own in self.custom for place in own.where]
        for where, place in places:
            language = place.partition("/")[2]
            if language not in {"*", *kept}:
                raise ValueError(
                    f"{where}: {place!r} is about documents in {language!r}, of which none are kept; the languages are "
                    f"{', '.join(sorted(kept))}{did_you_mean(language, kept)}"
                )
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if found := weights_fault(self.mixture.weights, self.share_bounds):
            raise ValueError(f"mixture.{found}")
        domain = {source.name: source.domain for source in self.sources}
        for number, part in enumerate(self.mixture.by_phase, 1):
            if found := contradiction(self.share_bounds, domain, part.domains):
                where = f" in phase {number}" if self.mixture.phases else ""
                raise ValueError(f"share, min_share and max_share of sources{where}: {found}")
        return self

    def source(self, name: str) -> Source:
        """Return the source of that name.

        Raises
        ------
        RecipeError
            There is none.
        """
        for source in self.sources:
            if source.name == name:
                return source
        names = [source.name for source in self.sources]
        raise RecipeError(
            f"the recipe has no source {name!r}{did_you_mean(name, names)}", f"its sources: {', '.join(names)}"
        )

    @property
    def split_seed(self) -> int:
        """Seed of the split into train and valid."""
        return self.seed if self.mixture.seed is None else self.mixture.seed

    @property
    def share_bounds(self) -> dict[str, tuple[float, float]]:
        """The smallest and the largest share of each source, 0 and 1 where it sets none."""
        return {source.name: source.share_bounds for source in self.sources}

    def max_epochs(self, source: str) -> float:
        """Return the cap on epochs that holds for a source."""
        own = self.source(source).max_epochs
        return self.mixture.max_epochs if own is None else own


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
    try:
        tree = yaml.load(path.read_text("utf-8"), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}", "correct the file at the position named") from error
    if not isinstance(tree, dict):
        raise RecipeError(
            f"{path} is no recipe: it must be a mapping of keys", f"see `mixer recipe show {DEFAULT_RECIPE}`"
        )
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
        faults = "\n".join(f"  - {fault}" for fault in _faults(error, tree))
        raise RecipeError(f"{where}:\n{faults}", "`mixer recipe schema` lists every key and its meaning") from error


def _read_weights(tree: dict[str, Any], root: Path) -> None:
    """Put the weights in the place of the file that holds them; a relative path starts from ``root``."""
    mixture = tree.get("mixture")
    if isinstance(mixture, dict) and isinstance(file := mixture.get("weights"), str):
        mixture["weights"] = read_weights(root / file)


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which plain YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
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


def _override(tree: dict[str, Any], override: str) -> None:
    """Set one dotted key of the parsed recipe."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise RecipeError(f"--set {override!r} is not of the form key=value", "for example --set mixture.seed=7")
    try:
        value = yaml.load(text, Loader=_StrictLoader)
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


def _faults(error: ValidationError, tree: Any) -> Iterable[str]:
    """Say each of pydantic's complaints as key, cause and nearest spelling."""
    for fault in error.errors():
        location = _spell(fault["loc"], tree)
        if fault["type"] == "extra_forbidden":
            unknown = str(fault["loc"][-1])
            yield f"{location}: unknown key{did_you_mean(unknown, _siblings(fault['loc']))}"
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


def _siblings(location: Sequence[int | str]) -> list[str]:
    """List the keys that are known where an unknown one was found."""
    model: Any = Recipe
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue
        nested = [kind for kind in (field.annotation, *get_args(field.annotation)) if hasattr(kind, "model_fields")]
        model = nested[0] if nested else None
    return list(getattr(model, "model_fields", {}))
