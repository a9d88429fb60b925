"""What a user writes under the recipe's key ``mixture``: the ratio, the size, the caps, the preferred shares.

Stands at the edge of the room: the recipe composes ``MixtureSettings`` (and ``ShareSettings``, what a source may ask
for itself), the solver (``weights.py``) gets their values.
Nothing is ignored and nothing guessed: an unknown key, a percentage where a ratio belongs or an amount that is no whole
number of tokens is refused with the spelling that would do.
"""

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from mixer.errors import did_you_mean

CODE_LANGUAGE: Final = "code"
"""The label of documents of the code domain; they always count as base."""
SHARES_TOLERANCE: Final = Fraction(1, 10**9)
"""How far sums of shares may be from what they must be: three rounded thirds are one."""
TOKENS_LIMIT: Final = 10**15
"""The largest amount of tokens. Any count of samples below it is exact in a float64; no training comes near it."""

PHASES_LIMIT: Final = 99
"""The most phases of a training."""

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_AMOUNT: Final = re.compile(r"(\d+(?:_\d+)*(?:\.\d+)?)(?:[eE]\+?(\d{1,2}))?\s*([KMBT]?)", re.IGNORECASE)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}|code")


def parse_tokens(value: object) -> int | Literal["max"]:
    """Read an amount of tokens: a whole number, a short form such as ``1.7T``, ``100B``, ``5M``, ``300K``, or ``max``.

    The short form is read exactly (``1.7T`` is 1,700,000,000,000), never through a float. YAML gives ``1.7e+12`` as a
    float; it is taken when it is a whole number.

    Raises
    ------
    ValueError
        The value is none of these, not a whole number of tokens, or outside 1 to ``TOKENS_LIMIT``.
    """
    if isinstance(value, str) and value.strip().lower() == "max":
        return "max"
    amount: Fraction | None = None
    if isinstance(value, str) and (match := _AMOUNT.fullmatch(value.strip())):
        number, exponent, unit = match.groups()
        amount = Fraction(number.replace("_", "")) * 10 ** int(exponent or 0) * _UNITS[unit.upper()]
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        amount = Fraction(value)
    if amount is None:
        raise ValueError(f"{value!r} is no amount of tokens; write a number, 300K, 5M, 100B, 1.7T or max")
    if amount.denominator != 1:
        raise ValueError(f"{value!r} is not a whole number of tokens")
    if not 1 <= amount <= TOKENS_LIMIT:
        raise ValueError(f"{value!r} is outside 1 to {TOKENS_LIMIT:,} tokens")
    return int(amount)


def _no_boolean(value: Any) -> Any:
    """Refuse ``true`` and ``false`` where a number belongs, which would otherwise pass for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"a number is expected, not {str(value).lower()}")
    return value


def _ratio(value: Any) -> Any:
    """Give a percentage its own message, since 33 for 0.33 is the likeliest slip."""
    _no_boolean(value)
    if isinstance(value, int | float) and 1 < value <= 100:
        raise ValueError(f"a ratio between 0 and 1 is expected, not {value:g}; for {value:g} % write {value / 100:g}")
    return value


def _language(value: Any) -> Any:
    """Check the spelling of a language label."""
    if isinstance(value, bool):  # YAML reads the bare word no as false
        raise ValueError(f"a language code is expected, not {str(value).lower()}; YAML needs quotes around 'no'")
    if isinstance(value, str) and not _LANGUAGE.fullmatch(value):
        raise ValueError(f"{value!r} is no language code; write a lower-case ISO 639 code such as zh")
    return value


Ratio: TypeAlias = Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=1, allow_inf_nan=False)]
Weight: TypeAlias = Annotated[float, BeforeValidator(_no_boolean), Field(ge=0, allow_inf_nan=False)]
Strategy: TypeAlias = Literal["proportional", "temperature", "unimax", "weights"]
Count: TypeAlias = Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=2**31 - 1)]
Language: TypeAlias = Annotated[str, BeforeValidator(_language)]
Tokens: TypeAlias = Annotated[
    int | Literal["max"],
    BeforeValidator(parse_tokens),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": TOKENS_LIMIT},
                {"type": "string", "pattern": r"^([0-9_]+(\.[0-9]+)?([eE]\+?[0-9]+)?\s*[KMBTkmbt]?|max)$"},
            ]
        }
    ),
]


def decimal(value: float) -> Fraction:
    """Return the decimal that a user wrote for a float, exactly, so that 0.1 + 0.23 is 0.33."""
    return Fraction(repr(float(value)))


class ShareSettings(BaseModel):
    """What part of training a source shall have: of all training tokens, its datasets in every language together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: Ratio | None = Field(
        None,
        description="Share of all training tokens that this source shall have, its languages together; exact to half "
        "a sample.",
    )
    min_share: Ratio | None = Field(None, description="The smallest such share; default: none.")
    max_share: Ratio | None = Field(None, description="The largest such share; default: none.")

    @model_validator(mode="after")
    def _one_or_between(self) -> Self:
        if self.share is not None and (self.min_share is not None or self.max_share is not None):
            raise ValueError("share fixes the source's part; leave min_share and max_share out, or share")
        if self.min_share is not None and self.max_share is not None and self.min_share > self.max_share:
            raise ValueError(f"min_share ({self.min_share:g}) is above max_share ({self.max_share:g})")
        return self

    @property
    def share_bounds(self) -> tuple[float, float]:
        """The smallest and the largest share, the same where it is fixed."""
        if self.share is not None:
            return self.share, self.share
        return self.min_share or 0.0, 1.0 if self.max_share is None else self.max_share


def weights_fault(weights: Mapping[str, float] | None, shares: Mapping[str, tuple[float, float]]) -> str | None:
    """Say what is wrong with the weights of sources; None if nothing is, or there are none.

    Parameters
    ----------
    weights
        By source.
    shares
        The smallest and the largest share of every source.
    """
    if weights is None:
        return None
    for name in weights:
        if name not in shares:
            return f"weights: there is no source {name!r}{did_you_mean(name, shares)}"
    if missing := [name for name in shares if name not in weights]:
        return f"weights: no weight for {', '.join(missing)}; write 0 to leave a source out"
    for name, (low, _) in shares.items():
        if low and not weights[name]:
            return f"weights: source {name!r} must have a share of {low:g}, but its weight is 0"
    return None


def contradiction(
    shares: Mapping[str, tuple[float, float]], domain: Mapping[str, str], domains: Mapping[str, float]
) -> str | None:
    """Say which shares cannot be had together, whatever the sources hold; None if nothing stands against them.

    Parameters
    ----------
    shares
        The smallest and the largest share of every source.
    domain
        Its domain.
    domains
        The shares of domains.
    """
    free = 1 - sum(map(decimal, domains.values()), Fraction(0))
    parts = [(f"domain {name}", decimal(share), {name}) for name, share in domains.items()]
    if domains:
        parts.append(("the domains without a share", free, set(domain.values()) - set(domains)))
    for what, share, names in [("all of training", Fraction(1), set(domain.values())), *parts]:
        sources = [source for source in domain if domain[source] in names]
        least = sum((decimal(shares[source][0]) for source in sources), Fraction(0))
        if least > share + SHARES_TOLERANCE:
            return f"the sources of {what} must have {float(least):g} together, but {what} is {float(share):g}"
        most = sum((decimal(shares[source][1]) for source in sources), Fraction(0))
        if sources and most < share - SHARES_TOLERANCE:
            return f"the sources of {what} may have {float(most):g} together, but {what} is {float(share):g}"
    return None


def _at_most_all(value: dict[str, float]) -> dict[str, float]:
    """Refuse shares of domains that sum to more than everything."""
    total = sum(map(decimal, value.values()))
    if total > 1 + SHARES_TOLERANCE:
        raise ValueError(f"the shares sum to {float(total):g}; they must not exceed 1")
    return value


def _no_most(value: int | Literal["max"]) -> int | Literal["max"]:
    if value == "max":
        raise ValueError("a phase needs a number of tokens; max is only known for a training without phases")
    return value


Domains: TypeAlias = Annotated[dict[str, Ratio], AfterValidator(_at_most_all)]


class PhaseSettings(BaseModel):
    """One phase of a training: how much it reads, and what of the mixture is different in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Annotated[Tokens, AfterValidator(_no_most)] = Field(
        description="Training tokens of the phase (300K, 5M, 100B, 1.7T); rounded down to whole global batches."
    )
    almr: Ratio | None = Field(None, description="The ratio in this phase; default: `mixture.almr`.")
    domains: Domains | None = Field(
        None, description="Shares of domains in this phase, in place of `mixture.domains` (`{}`: none are given)."
    )

    @property
    def amount(self) -> int:
        """The tokens, as the number that they are."""
        return int(self.tokens)


def unread_with(phases: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the keys of a mixture that say nothing, because every one of these phases has its own."""
    own = {key for key in ("almr", "domains") if all(phase.get(key) is not None for phase in phases)}
    return {"tokens", *own} if phases else set()


class MixtureSettings(BaseModel):
    """The mixture that a recipe asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    additional_language: Language = Field("zh", description="The language being added (ISO 639 code).")
    base_languages: tuple[Language, ...] = Field(
        ("en",),
        description="The languages that count as base; documents of any other are dropped (language.other). "
        "The label code is always base.",
    )
    almr: Ratio = Field(
        0.33,
        description="Additional-language mixture ratio: the share of training tokens in the additional language. "
        "0 and 1 are legal; that group is then absent.",
    )
    almr_basis: Literal["label", "measured"] = Field(
        "label",
        description="What the ratio counts: every token of a dataset labelled with the additional language (label), "
        "or the tokens found to be in it while tokenizing, wherever they are (measured).",
    )
    tokens: Tokens = Field(
        "max",
        description="Training tokens, as a number or short (300K, 5M, 100B, 1.7T); rounded down to whole samples. "
        "max takes the most that keeps every cap.",
    )
    sequence_length: Count = Field(2048, description="Tokens in one training sample.")
    global_batch: Count = Field(256, description="Samples in one training step, for Megatron's arguments.")
    max_epochs: Annotated[float, BeforeValidator(_no_boolean)] = Field(
        4.0,
        gt=0,
        allow_inf_nan=False,
        description="How often training may read a dataset, on average over its tokens; a source may set its own.",
    )
    domains: Domains = Field(
        default_factory=dict,
        description="Shares of training tokens by domain; domains not named share the rest.",
    )
    phases: tuple[PhaseSettings, ...] = Field(
        (),
        max_length=PHASES_LIMIT,
        description="Phases of the training, in their order, each with tokens and, if they are its own, almr and "
        "domains; no document is in two of them. Default: one mixture from the first token to the last.",
    )
    strategy: Strategy = Field(
        "proportional",
        description="The preferred shares of the sources, to which the mixture is as near as all else allows: "
        "proportional to their tokens; to the tokens to the power of 1 / temperature (temperature); uniform up to the "
        "caps on epochs (unimax); or as given (weights). Inside a source, its languages share in proportion to tokens.",
    )
    temperature: Annotated[float, BeforeValidator(_no_boolean)] | None = Field(
        None,
        ge=0.1,
        le=1e6,
        description="For the strategy temperature: 1 is proportional, larger is nearer to uniform.",
    )
    weights: Annotated[
        dict[str, Weight] | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
                    {"type": "string"},
                    {"type": "null"},
                ]
            }
        ),
    ] = Field(
        None,
        description="For the strategy weights: a weight for each source, in any unit, or the path of a JSON or CSV "
        "file that holds them; 0 leaves a source out.",
    )
    valid_fraction: Annotated[float, BeforeValidator(_no_boolean)] = Field(
        0.001, ge=0, lt=0.5, allow_inf_nan=False, description="Share of documents set aside for validation."
    )
    seed: Annotated[int, BeforeValidator(_no_boolean)] | None = Field(
        None, ge=0, lt=2**32, description="Seed of the split into train and valid; default: the recipe's seed."
    )
    small_datasets: Literal["refuse", "drop"] = Field(
        "refuse", description="What to do with a dataset shorter than 64 sequences, which training would repeat oddly."
    )

    @field_validator("additional_language")
    @classmethod
    def _not_code(cls, value: str) -> str:
        if value == CODE_LANGUAGE:
            raise ValueError("code is always base and cannot be the additional language")
        return value

    @field_validator("base_languages")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({language for language in value if value.count(language) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed twice")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.additional_language in self.base_languages:
            raise ValueError(f"{self.additional_language} is both additional_language and in base_languages")
        if self.tokens != "max" and self.tokens < self.sequence_length:
            raise ValueError(f"tokens ({self.tokens:,}) is less than one sequence ({self.sequence_length:,} tokens)")
        for key, value in (("temperature", self.temperature), ("weights", self.weights)):
            if (value is None) == (self.strategy == key):
                missing = f"strategy: {key} needs the key {key}"
                raise ValueError(missing if value is None else f"{key} is only read with strategy: {key}")
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("every weight is 0")
        batch = self.global_batch * self.sequence_length
        for number, phase in enumerate(self.phases, 1):
            if phase.amount < batch:
                raise ValueError(
                    f"phase {number}: {phase.amount:,} tokens are less than one global batch ({self.global_batch:,} "
                    f"samples of {self.sequence_length:,} tokens)"
                )
        for key in sorted(self.unread & self.model_fields_set):
            raise ValueError(
                "the phases say how much training reads; leave tokens out"
                if key == "tokens"
                else f"every phase has its own {key}; leave {key} out here, or in a phase that shall have this one"
            )
        return self

    @property
    def unread(self) -> set[str]:
        """The keys that say nothing, because every phase has its own."""
        return unread_with([dict(phase) for phase in self.phases])

    @property
    def record(self) -> dict[str, Any]:
        """What makes these settings again, every default written out."""
        return self.model_dump(mode="json", exclude=self.unread)

    @property
    def by_phase(self) -> "list[MixtureSettings]":
        """The settings of each phase as of a training of its own; the settings themselves where there are none."""
        return [
            self.model_copy(
                update={
                    "tokens": phase.amount,
                    "almr": self.almr if phase.almr is None else phase.almr,
                    "domains": self.domains if phase.domains is None else phase.domains,
                    "phases": (),
                }
            )
            for phase in self.phases
        ] or [self]
