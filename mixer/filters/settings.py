"""What a recipe may say about languages and checks, and the checks in force that follow from it.

The keys come from the ``table``: a name or value that is not there is refused with the nearest spelling, and the JSON
Schema of a recipe lists them all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, RootModel, WithJsonSchema

from mixer.errors import RecipeError, did_you_mean
from mixer.filters.check import Check, Edit, Rule, Threshold, Value, keys
from mixer.filters.table import PROFILES, TABLE, check_named

Domain = Literal["web", "book", "poetry", "qa", "math", "code"]
"""Kinds of text; which checks apply depends on it."""
Ruling: TypeAlias = tuple[Rule, Threshold]
"""A rule with the threshold in force."""

_PROFILE = "profile"


@dataclass(frozen=True)
class Overrides:
    """What a recipe says about checks in one place: values by name (False: off), and the sets to start from.

    Without ``profiles`` it changes what holds anyway; with them it starts from these sets instead.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()

    def value(self, check: Check, domain: Domain, language: str) -> Value | None:
        """Return what this says of a check; False: off, ``None``: nothing."""
        if check.name in self.values:
            return self.values[check.name]
        if not self.profiles:
            return None
        sets = ({**check.profiles, "default": check.default(domain, language)}.get(name) for name in self.profiles)
        return next((value for value in sets if value is not None), False)


def _overrides(given: Any) -> Overrides:
    """Read what a recipe says about checks; refuse unknown names, and values that a check cannot have."""
    if isinstance(given, Overrides):
        return given
    if not isinstance(given, Mapping):
        raise ValueError(f"{given!r} is no mapping from the names of rules to thresholds")
    values: dict[str, Value] = {}
    for name in (name for name in given if name != _PROFILE):
        try:
            check = check_named(name)
        except RecipeError as error:
            raise ValueError(error.message) from error
        values[name] = False if given[name] is False else check.read(given[name])
    return Overrides(values, _profiles(given[_PROFILE]) if _PROFILE in given else ())


def _profiles(given: Any) -> tuple[str, ...]:
    """Read one name of a profile or several."""
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"profile: {given!r} is neither a name nor a list of names")
    for name in names:
        if not isinstance(name, str) or name not in PROFILES:
            raise ValueError(f"unknown profile {name!r}{did_you_mean(str(name), PROFILES)}; {', '.join(PROFILES)}")
    return tuple(names)


def _schema() -> dict[str, Any]:
    """Return the JSON Schema of a mapping from checks to values."""
    names = {"enum": list(PROFILES)}
    profile = {"description": "Published sets that replace the defaults.", "anyOf": [names, {"items": names}]}
    checks = {
        check.name: {"description": check.description, "anyOf": [check.schema(), {"const": False}]} for check in TABLE
    }
    return {"type": "object", "properties": {_PROFILE: profile, **checks}, "additionalProperties": False}


CheckOverrides: TypeAlias = Annotated[Overrides, PlainValidator(_overrides), WithJsonSchema(_schema())]
"""``Overrides`` as a recipe writes them: one mapping, in which ``profile`` names a set or several."""


def places_exist(places: dict[str, Any]) -> dict[str, Any]:
    """Refuse keys that are not ``domain/language``."""
    for place in places:
        domain, slash, language = place.partition("/")
        if not slash or not re.fullmatch(r"\*|[a-z]{2,3}|code", language):
            raise ValueError(f"{place!r} is not of the form domain/language, such as web/zh, web/* or */zh")
        if domain not in (*get_args(Domain), "*"):
            raise ValueError(f"{place!r}: unknown domain{did_you_mean(domain, get_args(Domain))}")
    return places


Places: TypeAlias = Annotated[dict[str, CheckOverrides], AfterValidator(places_exist)]


class FilterSettings(RootModel[Places]):
    """Values by ``domain/language``, either of which may be ``*``, then by the name of the check."""

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


PLACEHOLDER = r"[<\[{(|【〔《〈]{1,2}[^\W\d]{1,19}[>\]})|】〕》〉]{1,2}"
"""A word of letters and underscores in brackets: nothing that is found can lie in it, or reach over its brackets."""


def _bracketed(given: str) -> str:
    """Refuse what a later search might take for personal data."""
    if not re.fullmatch(PLACEHOLDER, given):
        raise ValueError(f"{given!r} is no placeholder; give a word of letters in brackets, like <EMAIL> or 【邮箱】")
    return given


Placeholder: TypeAlias = Annotated[str, AfterValidator(_bracketed)]


class PrivacySettings(BaseModel):
    """What stands where personal data and secrets stood; which kinds are looked for, ``filters`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Placeholder = Field("<EMAIL>", description="Placeholder of e-mail addresses: a word in brackets.")
    ip_address: Placeholder = Field("<IP_ADDRESS>", description="The same for IPv4 and IPv6 addresses.")
    phone: Placeholder = Field("<PHONE>", description="The same for Chinese mobile numbers.")
    id_number: Placeholder = Field("<ID_NUMBER>", description="The same for Chinese identity numbers.")
    secret: Placeholder = Field("<SECRET>", description="The same for keys, tokens and private key blocks.")


def resolve(
    filters: FilterSettings, source_overrides: Overrides, domain: Domain, language: str
) -> list[tuple[Check, Value]]:
    """Find the checks in force for the documents of a source in a language.

    A source's own settings go before the recipe's ``filters``, of which the more specific key goes first, and these
    before the defaults of the table. Where one of them names a profile, what it does not set itself is as the profile
    has it, and nothing after it is asked.

    Returns
    -------
    Checks and their values, in the order of the table.
    """
    layers = (source_overrides, *(filters.root.get(key, Overrides()) for key in keys(domain, language)))
    found = []
    for check in TABLE:
        said = (layer.value(check, domain, language) for layer in layers)
        value = next((value for value in said if value is not None), check.default(domain, language))
        if value is not None and value is not False:
            found.append((check, value))
    return found


Checkbook: TypeAlias = dict[str, list[tuple[Check, Value]]]
"""The checks in force, by language."""


def checkbook(
    filters: FilterSettings, source_overrides: Overrides, domain: Domain, languages: Iterable[str]
) -> Checkbook:
    """Find the checks in force for each language that documents of a source may have."""
    return {language: resolve(filters, source_overrides, domain, language) for language in sorted(set(languages))}


def rulebook(checks: Checkbook) -> dict[str, list[Ruling]]:
    """Return the rules of a checkbook."""
    return {
        language: [(check, value) for check, value in found if isinstance(check, Rule)]  # type: ignore[misc]
        for language, found in checks.items()
    }


def editbook(checks: Checkbook) -> dict[str, dict[str, Value]]:
    """Return the edits of a checkbook, their values by name."""
    return {
        language: {check.name: value for check, value in found if isinstance(check, Edit)}
        for language, found in checks.items()
    }
