"""The libraries of the extra ``html``, imported where a source needs them and nowhere else.

Serves ``charset``, ``page`` and ``warc``. ``require`` is asked while planning, so that a missing extra is known before
anything is read.
"""

import importlib
import importlib.util
import logging
from functools import cache
from types import ModuleType

from mixer.errors import UsageError

NEEDED = ("trafilatura", "warcio", "brotli")
_TALKATIVE = ("trafilatura", "justext", "htmldate", "courlan", "charset_normalizer", "readability")


def require(source: str) -> None:
    """Make sure that the extra is installed, without paying for its import.

    Raises
    ------
    UsageError
        It is not; the message says how to install it.
    """
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        raise UsageError(
            f"source {source!r}: reading HTML and web archives needs the extra html ({', '.join(missing)} not "
            "installed)",
            "pip install 'mixer[html]'",
        )


@cache
def library(name: str) -> ModuleType:
    """Import a module of the extra; what its parts would log of single pages is told by rejections instead."""
    for talkative in _TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.CRITICAL + 1)
    return importlib.import_module(name)
