"""Conversion between the writings of Chinese, for recipes that ask for it."""

from functools import cache
from typing import Any

from mixer.errors import RecipeError
from mixer.filters.check import Check, Edit, Value

CONVERT = "chinese.convert"
CONFIGURATIONS = (
    *("t2s", "tw2s", "tw2sp", "hk2s", "hk2sp"),
    *("s2t", "s2tw", "s2twp", "s2hk", "s2hkp"),
    *("t2tw", "tw2t", "t2hk", "hk2t"),
)
"""OpenCC's configurations for Chinese; those with ``p`` change words too."""


@cache
def load(configuration: str) -> Any:
    """Load a converter of OpenCC; it does not pickle, and is kept for the next batch.

    Raises
    ------
    RecipeError
        The extra ``opencc`` is not installed, or has no such configuration.
    """
    try:
        import opencc
    except ImportError as error:
        raise RecipeError(f"{CONVERT} needs OpenCC, which is not installed", "pip install 'mixer[opencc]'") from error
    if f"{configuration}.json" not in opencc.CONFIGS:
        raise RecipeError(f"OpenCC {opencc.__version__} has no configuration {configuration!r}", "choose another")
    return opencc.OpenCC(configuration)


class Conversion(Edit):
    """An edit that a recipe may only ask for where the library is installed, so that no task has to find out."""

    def read(self, given: Any) -> Value:
        """Read a configuration, and look whether it is there."""
        value = super().read(given)
        try:
            load(str(value))
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return value


CHECKS: tuple[Check, ...] = (
    Conversion(
        CONVERT,
        "OpenCC, through its package; never by default",
        "Converts to simplified (`t2s`) or traditional characters (`s2t`; `s2twp` with the words of Taiwan).",
        counted="characters",
        choices=CONFIGURATIONS,
    ),
)
