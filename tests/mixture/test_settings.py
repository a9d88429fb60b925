"""What a recipe's ``mixture`` may hold, and what a user is told when it may not."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mixer.mixture.settings import TOKENS_LIMIT, MixtureSettings, ShareSettings, contradiction, parse_tokens


def test_defaults_are_those_of_the_design():
    settings = MixtureSettings()
    assert settings.model_dump() == {
        "additional_language": "zh",
        "base_languages": ("en",),
        "almr": 0.33,
        "almr_basis": "label",
        "tokens": "max",
        "sequence_length": 2048,
        "global_batch": 256,
        "max_epochs": 4.0,
        "domains": {},
        "phases": (),
        "strategy": "proportional",
        "temperature": None,
        "weights": None,
        "valid_fraction": 0.001,
        "seed": None,
        "small_datasets": "refuse",
    }


@pytest.mark.parametrize(
    ("written", "tokens"),
    [
        ("1.7T", 1_700_000_000_000),
        ("100B", 100_000_000_000),
        ("5M", 5_000_000),
        ("300K", 300_000),
        (" 1.7 t ", 1_700_000_000_000),
        ("0.003K", 3),
        ("1_000_000", 1_000_000),
        ("1e9", 1_000_000_000),
        ("1.5e3", 1500),
        (1.7e12, 1_700_000_000_000),
        (2048, 2048),
        ("max", "max"),
        ("MAX", "max"),
    ],
)
def test_tokens_are_read_exactly(written, tokens):
    assert parse_tokens(written) == tokens


@given(st.integers(1, 999_999), st.integers(0, 3), st.sampled_from("KMBT"))
def test_short_forms_never_pass_through_a_float(digits, places, unit):
    number = Decimal(digits).scaleb(-places)
    exact = number * {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}[unit]
    if exact <= TOKENS_LIMIT:
        assert parse_tokens(f"{number:f}{unit}") == int(exact)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("1.7X", "write a number, 300K, 5M, 100B, 1.7T or max"),
        ("", "no amount of tokens"),
        ("-5M", "no amount of tokens"),
        ("1.0001K", "not a whole number"),
        (2.5, "not a whole number"),
        (float("nan"), "no amount of tokens"),
        (float("inf"), "no amount of tokens"),
        (True, "no amount of tokens"),
        (None, "no amount of tokens"),
        ([1], "no amount of tokens"),
        (0, "outside 1 to"),
        (-1, "outside 1 to"),
        ("2000T", "outside 1 to"),
        (10**30, "outside 1 to"),
        ("1e99", "outside 1 to"),
    ],
)
def test_what_is_no_amount_of_tokens(written, message):
    with pytest.raises(ValueError, match=message):
        parse_tokens(written)


@pytest.mark.parametrize("almr", [0, 1, 0.0, 1.0, 0.33, "0.33"])
def test_almr_may_be_zero_one_and_between(almr):
    assert MixtureSettings(almr=almr).almr == float(almr)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("almr", 1.01, "ratio between 0 and 1"),
        ("almr", -0.1, "greater than or equal to 0"),
        ("almr", 33, "for 33 % write 0.33"),
        ("almr", 330, "less than or equal to 1"),
        ("almr", float("nan"), "almr"),
        ("almr", True, "a number is expected, not true"),
        ("almr", "a third", "valid number"),
        ("almr_basis", "labels", "'label' or 'measured'"),
        ("tokens", "1.7X", "100B"),
        ("tokens", 2047, "less than one sequence"),
        ("sequence_length", 0, "greater than or equal to 1"),
        ("sequence_length", 2048.5, "integer"),
        ("sequence_length", True, "a number is expected"),
        ("global_batch", 0, "greater than or equal to 1"),
        ("max_epochs", 0, "greater than 0"),
        ("max_epochs", float("inf"), "finite"),
        ("domains", {"math": 0.6, "code": 0.5}, "sum to 1.1"),
        ("domains", {"math": 8}, "for 8 % write 0.08"),
        ("domains", {"math": -0.1}, "greater than or equal to 0"),
        ("strategy", "tempered", "'proportional'"),
        ("strategy", "temperature", "strategy: temperature needs the key temperature"),
        ("strategy", "weights", "strategy: weights needs the key weights"),
        ("temperature", 3, "temperature is only read with strategy: temperature"),
        ("temperature", 0, "greater than or equal to 0.1"),
        ("temperature", True, "a number is expected"),
        ("weights", {"a": 1}, "weights is only read with strategy: weights"),
        ("weights", {"a": -1}, "greater than or equal to 0"),
        ("weights", {"a": float("inf")}, "finite"),
        ("weights", {"a": float("nan")}, "greater than or equal to 0"),
        ("valid_fraction", 0.5, "less than 0.5"),
        ("valid_fraction", -0.1, "greater than or equal to 0"),
        ("small_datasets", "merge", "'refuse' or 'drop'"),
        ("additional_language", "Chinese", "lower-case ISO 639 code such as zh"),
        ("additional_language", "code", "code is always base"),
        ("additional_language", "en", "both additional_language and in base_languages"),
        ("base_languages", ["en", "zh"], "both additional_language and in base_languages"),
        ("base_languages", ["en", "en"], "en is listed twice"),
        ("base_languages", [False], "quotes around 'no'"),
        ("seed", -7, "greater than or equal to 0"),
    ],
)
def test_impossible_values_are_refused_with_help(key, value, message):
    with pytest.raises(ValidationError, match=message) as refusal:
        MixtureSettings.model_validate({key: value})
    assert refusal.value.errors()[0]["loc"][:1] in {(key,), ()}


def test_all_weights_may_not_be_zero():
    with pytest.raises(ValidationError, match="every weight is 0"):
        MixtureSettings(strategy="weights", weights={"a": 0, "b": 0})


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({}, (0.0, 1.0)),
        ({"share": 0.1}, (0.1, 0.1)),
        ({"share": 0}, (0.0, 0.0)),
        ({"min_share": 0.1}, (0.1, 1.0)),
        ({"max_share": 0.2}, (0.0, 0.2)),
        ({"min_share": 0.1, "max_share": 0.2}, (0.1, 0.2)),
    ],
)
def test_a_source_has_a_smallest_and_a_largest_share(given, bounds):
    assert ShareSettings(**given).share_bounds == bounds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 0.1, "max_share": 0.2}, "share fixes the source's part"),
        ({"share": 0.1, "min_share": 0.1}, "share fixes the source's part"),
        ({"min_share": 0.3, "max_share": 0.2}, r"min_share \(0.3\) is above max_share \(0.2\)"),
        ({"share": 10}, "for 10 % write 0.1"),
        ({"min_share": -0.1}, "greater than or equal to 0"),
        ({"max_share": True}, "a number is expected"),
    ],
)
def test_shares_of_a_source_that_contradict_each_other(given, message):
    with pytest.raises(ValidationError, match=message):
        ShareSettings(**given)


FREE = dict.fromkeys("abc", (0.0, 1.0))
DOMAIN = {"a": "web", "b": "web", "c": "math"}


@pytest.mark.parametrize(
    ("shares", "domains", "message"),
    [
        ({"a": (0.6, 0.6), "c": (0.5, 1.0)}, {}, "the sources of all of training must have 1.1 together"),
        ({"c": (0.1, 0.1)}, {"math": 0.08}, "the sources of domain math must have 0.1 together, but .* is 0.08"),
        ({"c": (0.0, 0.05)}, {"math": 0.08}, "the sources of domain math may have 0.05 together, but .* is 0.08"),
        ({"c": (0.5, 1.0)}, {"web": 0.6}, "the sources of the domains without a share must have 0.5 together"),
        ({"a": (0.2, 0.2), "b": (0, 0.1), "c": (0, 0.3)}, {}, "the sources of all of training may have 0.6 together"),
    ],
)
def test_shares_that_cannot_be_had_together(shares, domains, message):
    assert re.match(message, contradiction({**FREE, **shares}, DOMAIN, domains))


@pytest.mark.parametrize(
    ("shares", "domains"),
    [
        ({}, {}),
        ({"a": (1 / 3, 1 / 3), "b": (1 / 3, 1 / 3), "c": (1 / 3, 1 / 3)}, {}),
        ({"c": (0.08, 0.08)}, {"math": 0.08}),
        ({"a": (0.1, 1.0), "c": (0.0, 0.1)}, {"math": 0.1}),
        ({"c": (0.0, 0.1)}, {"math": 0.1, "code": 0.2}),
    ],
)
def test_shares_that_can(shares, domains):
    assert contradiction({**FREE, **shares}, DOMAIN, domains) is None


def test_domain_shares_may_sum_to_one_in_rounded_decimals():
    assert MixtureSettings(domains={"web": 0.7, "math": 0.1, "code": 0.2})
    assert MixtureSettings(domains={"web": 1 / 3, "math": 1 / 3, "code": 1 / 3 + 1e-16})


def test_settings_are_frozen_and_survive_json():
    settings = MixtureSettings(tokens="1.7T", base_languages=["en", "code"], domains={"math": 0.08})
    assert MixtureSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.almr = 0.5


def test_every_key_is_described_in_the_json_schema():
    schema = MixtureSettings.model_json_schema()
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["additionalProperties"] is False
    assert {option["type"] for option in schema["properties"]["tokens"]["anyOf"]} == {"integer", "string"}
