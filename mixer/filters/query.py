"""Checks asked for from the command line, by name, place or ``NAME=VALUE``; every mistake ends in a clear error."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import yaml
from pydantic import ValidationError

from mixer.errors import RecipeError, did_you_mean
from mixer.filters.check import Check, Rule, Threshold, Value
from mixer.filters.settings import Domain, FilterSettings, Overrides, resolve
from mixer.filters.table import TABLE, check_named


def checks_named(names: Sequence[str]) -> list[Check]:
    """Return the checks of these names or families, in the order of the table; all of them without names.

    Raises
    ------
    RecipeError
        A name is neither a check nor a family.
    """
    families = {check.family for check in TABLE}
    for name in names:
        if "." not in name and name not in families:
            raise RecipeError(
                f"no family of rules {name!r}{did_you_mean(name, families)}", f"there are {', '.join(sorted(families))}"
            )
        if "." in name:
            check_named(name)
    return [check for check in TABLE if not names or check.name in names or check.family in names]


def checks_at(place: str, profiles: Sequence[str]) -> list[tuple[Check, Value]]:
    """Return what holds for a ``domain/language``, by the defaults or by published sets.

    Raises
    ------
    RecipeError
        There is no such place or profile.
    """
    filters = _checked({place: {"profile": list(profiles)} if profiles else {}})
    domain, _, language = place.partition("/")
    return resolve(filters, Overrides(), cast(Domain, domain), language)


def values(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts, values as YAML; neither is checked.

    Raises
    ------
    RecipeError
        One is not of that form.
    """
    found = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        try:
            found[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            equals = ""
        if not equals or not name:
            raise RecipeError(
                f"{assignment!r} is not of the form NAME=VALUE", "for example gopher.words='[30, 1000]' or ...=false"
            )
    return found


def thresholds(assignments: Iterable[str]) -> dict[str, Threshold | bool]:
    """Read and check ``NAME=VALUE`` texts about rules.

    Raises
    ------
    RecipeError
        A rule is unknown, no rule, or cannot have the value.
    """
    given = values(assignments)
    _checked({"*/*": given})
    found: dict[str, Threshold | bool] = {}
    for name, value in given.items():
        check = check_named(name)
        if not isinstance(check, Rule):
            raise RecipeError(
                f"{name} is an edit: what it would change cannot be told from stored statistics",
                "try it with `mixer filter FILE --rule ...`",
            )
        found[name] = False if value is False else check.read(value)
    return found


def _checked(places: dict[str, dict[str, Any]]) -> FilterSettings:
    try:
        return FilterSettings.model_validate(places)
    except ValidationError as error:
        faults = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
        raise RecipeError(faults, "`mixer rules` explains every rule") from error
