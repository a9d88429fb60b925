"""The table: every check there is, in the order in which they are asked, and the published sets among them.

The first rule of the table that objects is the reason a document is dropped for. Everything else about a check (keys of
a recipe, their JSON Schema, ``mixer rules``, the documentation) is derived from its entry here.
"""

from mixer.errors import RecipeError, did_you_mean
from mixer.filters.check import Check, Edit, Rule
from mixer.filters.families import (
    artefacts,
    c4,
    chinese,
    code,
    conversion,
    document,
    english,
    fineweb,
    gopher,
    mathematics,
    privacy,
    text,
)

TABLE: tuple[Check, ...] = (
    *text.CHECKS,
    *document.CHECKS,
    *artefacts.CHECKS,
    *gopher.CHECKS,
    *c4.CHECKS,
    *fineweb.CHECKS,
    *english.CHECKS,
    *chinese.CHECKS,
    *mathematics.CHECKS,
    *code.CHECKS,
    *conversion.CHECKS,
    *privacy.CHECKS,
)
RULES = tuple(check for check in TABLE if isinstance(check, Rule))
EDITS = tuple(check for check in TABLE if isinstance(check, Edit))
PROFILES = {
    "default": "the defaults of the domain and language, to combine with another",
    "gopher": "Gopher, quality and repetition (Rae et al. 2021)",
    "c4": "C4, its edits of lines and its rules (Raffel et al. 2020)",
    "fineweb": "FineWeb: Gopher, C4 without its rule on line ends, FineWeb's own (Penedo et al. 2024)",
    "fineweb2-zh": "FineWeb2 for Chinese, without what needs segmented words (Penedo et al. 2025)",
    "chinese": "MAP-NEO (Zhang et al. 2024) and ChineseWebText (Chen et al. 2023), of characters covered",
    "openwebmath": "OpenWebMath, what of it needs neither a language nor a model (Paster et al. 2023)",
    "starcoder": "StarCoder (Li et al. 2023)",
    "starcoder2": "StarCoder2 (Lozhkov et al. 2024)",
}
"""Published sets of checks with the values published, and ``default``."""

_BY_NAME = {check.name: check for check in TABLE}


def check_named(name: str) -> Check:
    """Return the check of that name.

    Raises
    ------
    RecipeError
        There is none; the message has the nearest spelling.
    """
    if name not in _BY_NAME:
        raise RecipeError(
            f"unknown rule {name!r}{did_you_mean(name, _BY_NAME)}",
            f"`mixer rules` explains them; there are {', '.join(_BY_NAME)}",
        )
    return _BY_NAME[name]
