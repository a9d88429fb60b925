"""Keys: one short hash for everything that decides a task's outputs."""

import json
from typing import Any

import xxhash

from mixer import __version__


def key_of(*parts: Any) -> str:
    """Hash JSON-able values and the mixer version to 32 hex digits; equal values give equal keys everywhere."""
    text = json.dumps([__version__, *parts], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return str(xxhash.xxh3_128_hexdigest(text.encode()))
