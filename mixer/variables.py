"""Variables of the environment in what a recipe says: ``${NAME}`` in paths."""

import os
import re
from collections.abc import Mapping

from mixer.errors import RecipeError, did_you_mean

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")


def expand(value: str, where: str, environment: Mapping[str, str] | None = None) -> str:
    """Replace each ``${VAR}`` by its value in the environment; ``where`` names the key in errors.

    Raises
    ------
    RecipeError
        A variable is not set; the message names the key and the variable.
    """
    variables = os.environ if environment is None else environment

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        if name not in variables:
            raise RecipeError(
                f"{where} uses ${{{name}}}, which is not set in the environment{did_you_mean(name, variables)}",
                f"set it, for example: export {name}=/path/to/data",
            )
        return variables[name]

    return _VARIABLE.sub(replacement, value)
