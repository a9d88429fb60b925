"""Which checks a batch of documents met: written into the schema beside them, so that each file explains itself.

A build may be made of parts that were judged under other settings, moved, or cleaned; what its documents say of
themselves stays true. ``prepare`` writes the record, ``inspection`` reads it.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mixer.documents import Batch
from mixer.errors import MixerError, RecipeError
from mixer.filters.check import Rule, Value
from mixer.filters.settings import Checkbook, Ruling
from mixer.filters.table import check_named

_KEY = b"mixer.checks"


@dataclass(frozen=True)
class Recorded:
    """What documents were judged by: their domain, and the rules in force by language, in the order they were asked.

    ``programming_language`` is the metadata that says what they are written in, if the source names it.
    """

    domain: str
    programming_language: str | None
    rules: dict[str, list[Ruling]]


def record(batch: Batch, domain: str, programming_language: str | None, checks: Checkbook) -> Batch:
    """Return the batch with a record of the checks that it met, in which null is an open bound as in recipes."""
    written = {language: {check.name: _written(value) for check, value in found} for language, found in checks.items()}
    said = {"domain": domain, "programming_language": programming_language, "checks": written}
    text = json.dumps(said, allow_nan=False)
    return batch.replace_schema_metadata({**(batch.schema.metadata or {}), _KEY: text.encode()})


def _written(value: Value) -> Any:
    """Return a value as JSON has it."""
    return [None if math.isinf(bound) else bound for bound in value] if isinstance(value, tuple) else value


def recorded(schema: pa.Schema, where: str) -> Recorded:
    """Read the record; ``where`` names the file in errors.

    Raises
    ------
    MixerError
        There is none, or it has rules that this version does not know.
    """
    remedy = "run the build again with this version of mixer"
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise MixerError(f"{where} does not say which rules its documents met", remedy)
    said = json.loads(text)
    rules: dict[str, list[Ruling]] = {}
    try:
        for language, values in said["checks"].items():
            found = [(check_named(name), value) for name, value in values.items()]
            rules[language] = [(check, check.read(value)) for check, value in found if isinstance(check, Rule)]
    except (RecipeError, ValueError) as error:
        raise MixerError(f"{where}: {error}", remedy) from error
    return Recorded(said["domain"], said["programming_language"], rules)
