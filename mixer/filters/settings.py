"""What a recipe may say about languages and rules, and the rules in force that follow from it.

The keys of rules come from the table in ``rules``: a name or threshold that is not there is refused with the nearest
spelling, and the JSON Schema of a recipe lists them all.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, RootModel, WithJsonSchema

from mixer.errors import RecipeError, did_you_mean
from mixer.filters.rules import RULES, Ruling, Threshold, keys, rule_named

Domain = Literal["web", "book", "poetry", "qa", "math", "code"]
"""Kinds of text; which rules apply depends on it."""

_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_BOUND = {"type": ["number", "null"]}


def _threshold(value: Any) -> Threshold | Literal[False]:
    """Read what a recipe gives a rule: a number, two bounds (null: open), or false."""
    if value is False:
        return False
    if isinstance(value, int | float) and value is not True:
        return float(value)
    if isinstance(value, list | tuple) and len(value) == 2:
        bounds = [open_end if end is None else end for end, open_end in zip(value, (-math.inf, math.inf), strict=True)]
        if all(isinstance(end, int | float) and not isinstance(end, bool) for end in bounds):
            return float(bounds[0]), float(bounds[1])
    raise ValueError(f"{value!r} is no threshold; give a number, two bounds [lowest, highest], or false")


def _rules_exist(overrides: dict[str, Threshold | Literal[False]]) -> dict[str, Threshold | Literal[False]]:
    """Refuse unknown rules, and thresholds that a rule cannot have."""
    for name, threshold in overrides.items():
        try:
            rule = rule_named(name)
        except RecipeError as error:
            raise ValueError(error.message) from error
        if threshold is not False:
            rule.check(threshold)
    return overrides


def _schema() -> dict[str, Any]:
    """Return the JSON Schema of a mapping from rules to thresholds."""
    forms = {
        "between": {"type": "array", "items": _BOUND, "minItems": 2, "maxItems": 2},
        "share": _SHARE,
        "number": {"type": "number", "minimum": 0},
    }
    rules = {}
    for rule in RULES:
        form = "between" if rule.comparison == "between" else "share" if rule.unit == "share" else "number"
        rules[rule.name] = {"description": rule.description, "anyOf": [forms[form], {"const": False}]}
    return {"type": "object", "properties": rules, "additionalProperties": False}


RuleOverrides: TypeAlias = Annotated[
    dict[str, Annotated[Threshold | Literal[False], PlainValidator(_threshold)]],
    AfterValidator(_rules_exist),
    WithJsonSchema(_schema()),
]
"""Thresholds by the name of the rule; ``False`` switches a rule off."""


def _places_exist(places: dict[str, Any]) -> dict[str, Any]:
    """Refuse keys that are not ``domain/language``."""
    for place in places:
        domain, slash, language = place.partition("/")
        if not slash or not re.fullmatch(r"\*|[a-z]{2,3}|code", language):
            raise ValueError(f"{place!r} is not of the form domain/language, such as web/zh, web/* or */zh")
        if domain not in (*get_args(Domain), "*"):
            raise ValueError(f"{place!r}: unknown domain{did_you_mean(domain, get_args(Domain))}")
    return places


Places: TypeAlias = Annotated[dict[str, RuleOverrides], AfterValidator(_places_exist)]


class FilterSettings(RootModel[Places]):
    """Thresholds by ``domain/language``, either of which may be ``*``, then by the name of the rule."""

    model_config = ConfigDict(frozen=True)

    root: Places = Field(default_factory=dict)


class LanguageSettings(BaseModel):
    """How the language of a document is found, and how sure that must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    han_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of Han characters among letters from which a document is Chinese, kana and hangul aside.",
    )
    threshold: float = Field(
        0.4,
        ge=0,
        le=1,
        description=(
            "Score below which a language is too uncertain (language.uncertain). Published are 0.4 (MAP-NEO), 0.5 "
            "(CCNet) and 0.65 (FineWeb, of whole pages); above 0.4 mostly command references and headings are lost."
        ),
    )
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="The same for single languages, by code, such as `{en: 0.65}`."
    )

    def threshold_of(self, language: str) -> float:
        """Return the score that a document labelled with a language must reach."""
        return self.thresholds.get(language, self.threshold)


def resolve(
    filters: FilterSettings,
    source_overrides: Mapping[str, Threshold | Literal[False]],
    domain: Domain,
    language: str,
) -> list[Ruling]:
    """Find the rules in force for the documents of a source in a language.

    Defaults of the table give way to the recipe's ``filters``, of which the more specific key wins, and these to the
    source's own.

    Returns
    -------
    Rules and their thresholds, in the order of the table.
    """
    layers: Sequence[Mapping[str, Threshold | Literal[False]]] = (
        source_overrides,
        *(filters.root.get(key, {}) for key in keys(domain, language)),
    )
    found = []
    for rule in RULES:
        given = next((layer[rule.name] for layer in layers if rule.name in layer), None)
        threshold = rule.default(domain, language) if given is None else given
        if threshold is not None and threshold is not False:
            found.append((rule, threshold))
    return found


def rulebook(
    filters: FilterSettings,
    source_overrides: Mapping[str, Threshold | Literal[False]],
    domain: Domain,
    languages: Iterable[str],
) -> dict[str, list[Ruling]]:
    """Find the rules in force for each language that documents of a source may have."""
    return {language: resolve(filters, source_overrides, domain, language) for language in sorted(set(languages))}
