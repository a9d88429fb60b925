"""DATA.yaml: what is refused, and that the message says what would be right."""

from pathlib import Path

import pytest

from mixer.dialogues.settings import TuningSettings, check, load_tuning
from mixer.errors import RecipeError, UsageError

SOURCE = {"name": "a", "paths": ["a.jsonl"]}


def test_defaults_are_the_papers():
    settings = check({"sources": [SOURCE]}, "DATA.yaml")
    assert (settings.sequence_length, settings.tokenizer, settings.template) == (2048, "llama3", "auto")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "sources: is missing"),
        ({"sources": []}, "sources: "),
        ({"sources": [SOURCE], "sed": 1}, r"sed: unknown key \(did you mean 'seed'\?\)"),
        ({"sources": [{**SOURCE, "wieght": 1}]}, r"sources.a.wieght: unknown key \(did you mean 'weight'\?\)"),
        ({"sources": [{**SOURCE, "format": "alpacca"}]}, r"no format 'alpacca' \(did you mean 'alpaca'\?\)"),
        ({"sources": [{**SOURCE, "weight": 0}]}, "sources.a.weight"),
        ({"sources": [SOURCE, SOURCE]}, "two sources are named 'a'"),
        ({"sources": [{**SOURCE, "weight": 1}, {**SOURCE, "name": "b"}]}, "'b' has no `weight`"),
        ({"sources": [{**SOURCE, "fields": {"output": "x"}}]}, "`fields` of source 'a' needs its `format` named"),
        (
            {"sources": [{**SOURCE, "format": "alpaca", "fields": {"outptu": "x"}}]},
            r"alpaca has no field 'outptu' \(did you mean 'output'\?\)",
        ),
        ({"sources": [{**SOURCE, "format": "hc3", "prefer": "better"}]}, "it knows human and chatgpt"),
        ({"sources": [{**SOURCE, "format": "alpaca", "prefer": "better"}]}, "it knows no such choice"),
        ({"sources": [{"name": "a"}]}, "exactly one of `paths` and `datasets`"),
        ({"sources": [{**SOURCE, "encoding": "gb1803"}]}, "did you mean 'gb18030'"),
        ({"sources": [{**SOURCE, "file_format": "parquet", "encoding": "gbk"}]}, "`encoding` means nothing"),
        ({"sources": [SOURCE], "valid_fraction": 1}, "valid_fraction"),
        ({"sources": [SOURCE], "template": "llama-3"}, "template"),
    ],
)
def test_faults_are_named(tree, message):
    with pytest.raises(RecipeError, match=message) as error:
        check(tree, "DATA.yaml")
    assert error.value.exit_code == 2


def test_all_faults_are_listed_together():
    with pytest.raises(RecipeError) as error:
        check({"sources": [{**SOURCE, "x": 1}], "y": 2}, "DATA.yaml")
    assert error.value.message.count("unknown key") == 2


def test_a_file_is_read_strictly(tmp_path):
    path = tmp_path / "DATA.yaml"
    with pytest.raises(UsageError, match="there is no file"):
        load_tuning(path)
    path.write_text("seed: 1\nseed: 2\n")
    with pytest.raises(RecipeError, match="given twice"):
        load_tuning(path)
    path.write_text("- a\n")
    with pytest.raises(RecipeError, match="no list of sources"):
        load_tuning(path)


def test_a_tokenizer_beside_the_file_is_found_from_anywhere(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    path = tmp_path / "DATA.yaml"
    path.write_text("tokenizer: tokenizer.json\nsources: [{name: a, paths: [a.jsonl]}]\n")
    assert Path(load_tuning(path).tokenizer) == tmp_path / "tokenizer.json"
    path.write_text("sources: [{name: a, paths: [a.jsonl]}]\n")
    assert load_tuning(path).tokenizer == "llama3"


def test_every_key_says_what_it_means():
    for model in (TuningSettings, TuningSettings.model_fields["sources"].annotation.__args__[0]):
        assert all(field.description for field in model.model_fields.values())
