"""Which checks a batch of documents met: written into the schema beside them, so that each file explains itself.

A build may be made of parts that were judged under other settings, moved, or cleaned; what its documents say of
themselves stays true. ``prepare`` writes the record, ``inspection`` reads it.
"""

import json
from dataclasses import dataclass

import pyarrow as pa

from mixer.documents import Batch
from mixer.errors import MixerError, RecipeError
from mixer.filters.check import Rule
from mixer.filters.settings import Checkbook, Ruling
from mixer.filters.table import check_named

_KEY = b"mixer.checks"


@dataclass(frozen=True)
class Recorded:
    """What documents were judged by: their domain, and the rules in force by language, in the order they were asked."""

    domain: str
    rules: dict[str, list[Ruling]]


def record(batch: Batch, domain: str, checks: Checkbook) -> Batch:
    """Return the batch with a record of the checks that it met."""
    written = {language: {check.name: value for check, value in found} for language, found in checks.items()}
    text = json.dumps({"domain": domain, "checks": written})
    return batch.replace_schema_metadata({**(batch.schema.metadata or {}), _KEY: text.encode()})


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
            rules[language] = [
                (check, tuple(value) if isinstance(value, list) else value)
                for check, value in found
                if isinstance(check, Rule)
            ]
    except RecipeError as error:
        raise MixerError(f"{where}: {error.message}", remedy) from error
    return Recorded(said["domain"], rules)
