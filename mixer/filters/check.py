"""What one entry of the table is: a ``Rule`` drops documents, an ``Edit`` changes their text; neither runs anything.

Entries give their defaults for ``domain/language``, either of which may be ``*``; of several that match, the most
specific holds, and where none does the check is off. ``profiles`` gives what published pipelines use. ``families``
declares the entries, ``table`` puts them in order, ``settings`` lets recipes change them by name.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Threshold: TypeAlias = float | tuple[float, float]
"""A bound, or the lowest and the highest value of a rule that holds ``between`` two (infinite: open)."""
Value: TypeAlias = Threshold | bool | str
"""What switches a check on: a rule's threshold; for an edit ``True``, a number or one of its choices. False: off."""
Comparison: TypeAlias = Literal["at_least", "at_most", "between"]


_LARGEST = float(np.finfo(np.float32).max)


def keys(domain: str, language: str) -> tuple[str, str, str, str]:
    """Return the keys that cover a domain and language, the most specific first."""
    return f"{domain}/{language}", f"{domain}/*", f"*/{language}", "*/*"


def places(where: Iterable[str], value: Value) -> dict[str, Value]:
    """Return defaults that are the same for several ``domain/language``."""
    return dict.fromkeys(where, value)


@dataclass(frozen=True)
class Check:
    """What rules and edits have in common.

    ``source`` says where definition and thresholds come from; ``description`` is one sentence. ``defaults`` maps
    ``domain/language`` to values, ``profiles`` the name of a published set to the value it uses.
    """

    name: str
    source: str = field(repr=False)
    description: str = field(repr=False)
    defaults: Mapping[str, Value] = field(default_factory=dict, repr=False, kw_only=True)
    profiles: Mapping[str, Value] = field(default_factory=dict, repr=False, kw_only=True)

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    def default(self, domain: str, language: str) -> Value | None:
        """Return the value for documents of a domain and language; ``None``: the check is off there."""
        return next((self.defaults[key] for key in keys(domain, language) if key in self.defaults), None)

    def read(self, given: Any) -> Value:
        """Turn what a recipe gives into a value of this check.

        Raises
        ------
        ValueError
            This check cannot have it; the message says what it takes.
        """
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the values that ``read`` takes, ``false`` aside."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rule(Check):
    """One named check: a document passes while its ``statistic`` is at least, at most or between the threshold.

    ``unit`` is ``share`` for statistics of 0 to 1. A document without the statistic (NaN) always passes.
    """

    statistic: str = field(kw_only=True)
    comparison: Comparison = field(kw_only=True)
    unit: str = field(kw_only=True)

    def objects(self, values: NDArray[np.float32], threshold: Threshold) -> NDArray[np.bool_]:
        """Return for which values of the statistic the rule drops the document: bool[documents].

        Thresholds are rounded like the statistics, so that a share of exactly a tenth is not above 0.1, and what is
        stored beside a document decides the same again.
        """
        if isinstance(threshold, tuple):
            low, high = map(np.float32, threshold)
            return (values < low) | (values > high)
        return values < np.float32(threshold) if self.comparison == "at_least" else values > np.float32(threshold)

    def read(self, given: Any) -> Threshold:
        """Read a number, or two bounds of which ``None`` is open."""
        if self.comparison != "between":
            if not _is_number(given):
                raise ValueError(f"{self.name} takes one number, or false; {given!r} is none")
            if not 0 <= given <= (1 if self.unit == "share" else math.inf):
                raise ValueError(f"{self.name}: {given} is impossible for a {self.statistic} ({self.unit})")
            return float(given)
        if not isinstance(given, list | tuple) or len(given) != 2:
            raise ValueError(f"{self.name} takes two bounds, [lowest, highest], or false; {given!r} is neither")
        ends = (-math.inf, math.inf)
        low, high = (end if bound is None else bound for bound, end in zip(given, ends, strict=True))
        if not (low in ends or _is_number(low)) or not (high in ends or _is_number(high)) or not low <= high:
            raise ValueError(f"{self.name}: {list(given)} is no range")
        return float(low), float(high)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a threshold."""
        if self.comparison == "between":
            return {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2}
        return {"type": "number", "minimum": 0, **({"maximum": 1} if self.unit == "share" else {})}


@dataclass(frozen=True)
class Edit(Check):
    """One named change of the text, made before the rules look at it (``privacy`` last of all), and counted.

    It takes a number if ``unit`` says of what, one of ``choices`` if it has any, and is switched by ``true`` otherwise.
    ``counted`` names what is counted: lines, characters, ...
    """

    counted: str = field(kw_only=True)
    unit: str = field(default="", kw_only=True)
    choices: tuple[str, ...] = field(default=(), kw_only=True)

    def read(self, given: Any) -> Value:
        """Read true, a number or a choice, whichever the edit takes."""
        if self.unit:
            if not _is_number(given) or given < 0:
                raise ValueError(f"{self.name} takes a number ({self.unit}), or false; {given!r} is none")
            return float(given)
        if self.choices:
            if given not in self.choices:
                raise ValueError(f"{self.name} takes one of {', '.join(self.choices)}, or false; {given!r} is none")
            return str(given)
        if given is not True:
            raise ValueError(f"{self.name} takes true or false; {given!r} is neither")
        return True

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a value."""
        if self.unit:
            return {"type": "number", "minimum": 0}
        return {"enum": list(self.choices)} if self.choices else {"const": True}


def _is_number(given: Any) -> bool:
    """Whether it is a finite number; what single precision cannot hold, as statistics do, counts as infinite."""
    return isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= _LARGEST
