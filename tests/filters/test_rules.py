import json
import math
from typing import get_args

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from mixer.errors import RecipeError
from mixer.filters import privacy
from mixer.filters.edits import EDITORS
from mixer.filters.query import checks_at
from mixer.filters.settings import (
    CheckOverrides,
    Domain,
    FilterSettings,
    LanguageSettings,
    Overrides,
    PrivacySettings,
    checkbook,
    resolve,
)
from mixer.filters.statistics import STATISTICS
from mixer.filters.table import EDITS, PROFILES, RULES, TABLE, check_named


class Source(BaseModel):
    filters: CheckOverrides


def in_force(domain, language, filters=None, source=None):
    settings = FilterSettings.model_validate(filters or {})
    overrides = Source.model_validate({"filters": source or {}}).filters
    found = resolve(settings, overrides, domain, language)
    return {check.name: value for check, value in found if check.family != "privacy"}


def test_the_table_is_sound():
    assert len({check.name for check in TABLE}) == len(TABLE)
    for check in TABLE:
        assert check.source and check.description.endswith(".")
        for place, value in check.defaults.items():
            domain, language = place.split("/")
            assert domain in (*get_args(Domain), "*")
            assert language in ("en", "zh", "*")
            assert check.read(value) == value
        for profile, value in check.profiles.items():
            assert profile in PROFILES and profile != "default"
            assert check.read(value) == value
    assert all(rule.statistic in STATISTICS and rule.unit for rule in RULES)
    editors = (*EDITORS, *privacy.editors(PrivacySettings()))
    assert sorted(name for names, _ in editors for name in names) == sorted(edit.name for edit in EDITS)
    assert {profile for check in TABLE for profile in check.profiles} == set(PROFILES) - {"default"}


def test_each_domain_and_language_has_its_own_rules():
    assert in_force("code", "code") == {
        "document.characters": 1,
        "artefacts.control_characters": 0.05,
        "code.maximum_line_length": 1000,
        "code.mean_line_length": 100,
        "code.maximum_text_line_length": 100_000,
        "code.lines": 100_000,
        "code.alphanumeric_share": 0.25,
        "code.generated_markers": 0,
        "code.longest_encoded": 1024,
        "code.encoded_share": 0.5,
        "code.xml": 0,
        "code.html_visible_share": 0.2,
        "code.html_visible_characters": 100,
        "code.data_lines": 512,
        "code.comment_share": (0, 0.9),
    }
    math_rules = in_force("math", "en")
    assert math_rules == in_force("math", "zh")
    assert {name.partition(".")[0] for name in math_rules} == {"document", "artefacts", "math"}
    poetry = {name for name in in_force("poetry", "zh") if "artefacts" not in name}
    assert poetry == {"document.characters", "chinese.han_share", "chinese.distinct"}
    chinese = in_force("web", "zh")
    assert chinese["document.characters"] == 50
    assert chinese["chinese.repeated_13grams"] == 0.55
    assert not any(name.startswith(("gopher.", "code.")) for name in chinese)
    assert in_force("web", "en")["gopher.words"] == (50, 100_000)
    assert in_force("book", "en")["gopher.words"] == (30, math.inf)
    lengths = [in_force(domain, "zh")["document.characters"] for domain in ("poetry", "qa", "math", "book")]
    assert lengths == [6, 6, 10, 50]
    assert not any(name.startswith(("gopher.", "chinese.")) for name in in_force("web", "de"))


def test_gopher_keeps_its_published_thresholds_on_web_text():
    web = in_force("web", "en")
    published = {
        "mean_word_length": (3, 10), "hashes": 0.1, "ellipses": 0.1, "bullet_lines": 0.9, "ellipsis_lines": 0.3,
        "stop_words": 2, "duplicate_lines": 0.3, "duplicate_paragraphs": 0.3, "duplicate_line_characters": 0.2,
        "duplicate_paragraph_characters": 0.2, "top_2gram": 0.2, "top_3gram": 0.18, "top_4gram": 0.16,
        "duplicate_5grams": 0.15, "duplicate_6grams": 0.14, "duplicate_7grams": 0.13, "duplicate_8grams": 0.12,
        "duplicate_9grams": 0.11, "duplicate_10grams": 0.1,
    }  # fmt: skip
    assert {name: web[f"gopher.{name}"] for name in published} == published


def test_the_more_specific_setting_wins_and_the_source_over_all():
    name = "chinese.repeated_13grams"
    layers = {"*/*": {name: 0.1}, "*/zh": {name: 0.2}, "web/*": {name: 0.3}, "web/zh": {name: 0.4}}
    for place, threshold in [("web/zh", 0.4), ("web/*", 0.3), ("*/zh", 0.2), ("*/*", 0.1)]:
        assert in_force("web", "zh", layers)[name] == threshold
        del layers[place]
    assert in_force("web", "zh", {"*/*": {name: 0.1}}, {name: 0.9})[name] == 0.9
    assert name not in in_force("web", "zh", {"*/*": {name: 0.1}}, {name: False})
    assert name not in in_force("web", "zh", {"*/zh": {name: False}})


def test_a_rule_that_is_off_can_be_switched_on():
    assert in_force("web", "zh", {"web/zh": {"chinese.terminal_lines": 0.106}})["chinese.terminal_lines"] == 0.106
    assert "gopher.words" in in_force("web", "de", {"web/de": {"gopher.words": [50, None]}})


def test_published_sets_replace_the_personal_data_that_they_were_published_with():
    def replaced(profile):
        found = {check.name for check, _ in checks_at("*/*", [profile])}
        return {name.removeprefix("privacy.") for name in found if name.startswith("privacy.")}

    addresses = {"email", "ipv4"}
    assert replaced("fineweb") == replaced("fineweb2-zh") == addresses
    assert replaced("starcoder") == replaced("starcoder2") == {*addresses, "ipv6", "secrets"}
    assert not any(map(replaced, ("gopher", "c4", "chinese", "openwebmath")))


def test_a_profile_replaces_the_defaults_and_own_values_win():
    published = in_force("web", "en", {"web/en": {"profile": "gopher"}})
    assert published["gopher.alphabetic_words"] == 0.8
    assert "document.characters" not in published
    both = in_force("web", "en", {"web/en": {"profile": ["gopher", "default"], "gopher.words": False}})
    assert both["document.characters"] == 1 and both["gopher.alphabetic_words"] == 0.8 and "gopher.words" not in both
    starcoder = {"*/*": {"profile": "starcoder"}}
    assert in_force("web", "en", starcoder)["code.mean_line_length"] == 100
    assert "code.mean_line_length" not in in_force(
        "web", "en", {"*/*": {"profile": "starcoder"}}, {"profile": "gopher"}
    )


def test_rules_stand_in_the_order_of_the_table():
    for domain in get_args(Domain):
        names = [check.name for check, _ in resolve(FilterSettings(), Overrides(), domain, "en")]
        assert names == [check.name for check in TABLE if check.name in names]


def test_a_rulebook_has_the_rules_of_each_language():
    book = checkbook(FilterSettings(), Overrides(), "web", ["zh", "en", "zh"])
    assert list(book) == ["en", "zh"]
    assert book["zh"] == resolve(FilterSettings(), Overrides(), "web", "zh")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"web/zh": {"chinese.repeated_13gram": 0.5}}, "did you mean 'chinese.repeated_13grams'"),
        ({"wbe/zh": {}}, "did you mean 'web'"),
        ({"web": {}}, "domain/language"),
        ({"web/Chinese": {}}, "domain/language"),
        ({"web/zh": {"chinese.repeated_13grams": 1.5}}, "impossible"),
        ({"web/zh": {"chinese.repeated_13grams": -0.1}}, "impossible"),
        ({"web/zh": {"chinese.repeated_13grams": math.nan}}, "takes one number"),
        ({"web/zh": {"chinese.repeated_13grams": [0, 1]}}, "takes one number"),
        ({"web/zh": {"chinese.repeated_13grams": True}}, "takes one number"),
        ({"web/zh": {"chinese.repeated_13grams": "0.5"}}, "takes one number"),
        ({"web/en": {"gopher.words": 50}}, "takes two bounds"),
        ({"web/en": {"gopher.words": [100, 50]}}, "no range"),
        ({"web/en": {"profile": "goper"}}, "did you mean 'gopher'"),
        ({"web/en": {"profile": []}}, "neither a name nor a list"),
        ({"web/en": {"gopher.words": [1, 2, 3]}}, "takes two bounds"),
        ({"web/en": {"gopher.words": [True, 3]}}, "no range"),
        ({"web/en": {"gopher.hashes": 10**400}}, "takes one number"),
        ({"web/en": {"gopher.hashes": math.inf}}, "takes one number"),
        ({"web/en": {"gopher.words": [5, 1e300]}}, "no range"),
        ({"web/en": {"c4.short_lines": math.inf}}, "takes a number"),
        ({"web/en": {"profile": [{}]}}, "unknown profile"),
    ],
)
def test_what_a_rule_cannot_have_is_refused(filters, message):
    with pytest.raises(ValidationError, match=message):
        FilterSettings.model_validate(filters)


def test_an_edit_whose_library_is_missing_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ValidationError, match=r"text\.encoding needs ftfy.*mixer\[repair\]"):
        FilterSettings.model_validate({"web/en": {"text.encoding": True}})


def test_an_unknown_rule_has_a_remedy():
    with pytest.raises(RecipeError, match=r"did you mean 'gopher\.words'") as caught:
        check_named("gopher.word")
    assert "code.mean_line_length" in caught.value.remedy


def test_open_bounds_are_read_as_infinite():
    assert in_force("web", "en", {"web/en": {"gopher.words": [None, 9]}})["gopher.words"] == (-math.inf, 9)


def test_thresholds_are_exact_at_the_rounding_of_statistics():
    rule = check_named("gopher.hashes")
    values = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1)), np.nan], np.float32)
    assert rule.objects(values, 0.1).tolist() == [False, True, False]
    share = check_named("code.alphanumeric_share")
    assert share.objects(np.array([0.25, 0.2499, np.nan], np.float32), 0.25).tolist() == [False, True, False]
    words = check_named("gopher.words")
    values = np.array([49, 50, 9e9, np.nan], np.float32)
    assert words.objects(values, (50, math.inf)).tolist() == [True, False, False, False]


def test_the_schema_lists_every_rule_and_refuses_others():
    schema = json.dumps(FilterSettings.model_json_schema(), ensure_ascii=False)
    assert all(
        json.dumps(check.name) in schema and json.dumps(check.description, ensure_ascii=False) in schema
        for check in TABLE
    )
    assert '"additionalProperties": false' in schema


def test_language_thresholds_fall_back_to_the_common_one():
    settings = LanguageSettings(threshold=0.3, thresholds={"en": 0.65})
    assert (settings.threshold_of("en"), settings.threshold_of("zh")) == (0.65, 0.3)
    with pytest.raises(ValidationError):
        LanguageSettings(thresholds={"en": 65})
    with pytest.raises(ValidationError):
        LanguageSettings(treshold=0.5)
