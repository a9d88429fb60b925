"""What is shown before training, and the packaged files for the paper's data sets."""

import json
from importlib import resources
from pathlib import Path

import pytest

from mixer.dialogues.formats.table import BY_NAME, format_named
from mixer.dialogues.prepare import prepare
from mixer.dialogues.settings import load_tuning
from mixer.errors import RecipeError
from mixer.screens.dialogues import show_prepared
from tests.dialogues.test_formats import HC3, MUTUAL, SAFE, SHAREGPT, TIGER, WOZ

PACKAGED = Path(str(resources.files("mixer") / "recipes" / "tuning"))


def test_sources_reasons_and_languages_are_shown(made, capsys):
    chinese = [{"instruction": f"第{n}个问题是什么？", "output": f"这是第{n}个回答，谢谢。"} for n in range(200)]
    english = {
        "instruction": "What is the colour of the sky today?",
        "output": "The sky is blue today, as it often is.",
    }
    records = {"one": [*chinese, english, {"instruction": "A?", "output": ""}, TIGER], "two": [english] * 100}
    data = made(records, {"one": {"format": "tigerbot"}}, valid_fraction=0.02)
    show_prepared(data)
    shown = capsys.readouterr().out
    first = next(line for line in shown.splitlines() if line.startswith("one"))
    held_out = 202 - len(data.train_rows(0))
    assert first.split()[:6] == ["one", "tigerbot", f"{data.weights[0]:.1%}", "203", "202", str(held_out)]
    assert "1 empty_response" in first
    assert "1 repaired" in first
    assert "empty_response: one: first one.jsonl, record 201: assistant says nothing" in shown
    assert "all, as drawn" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith("one") and "answers" in line]
    assert [row[2] for row in rows] == ["zh", "other"]


def test_a_single_source_stands_for_all(made, capsys):
    show_prepared(made({"one": [{"instruction": "What is this thing?", "output": "It is a house, I think."}]}))
    assert "all, as drawn" not in capsys.readouterr().out


RECORDS = {
    "mutual": MUTUAL,
    "math_instruct": {"source": "s", "instruction": "1+1?", "output": "2"},
    "puffin": SHAREGPT,
    "crosswoz": {"1": WOZ},
    "tigerbot": TIGER,
    "stem_zh": {"instruction": "水？", "input": "", "output": "H2O"},
    "coig_cqia": {"instruction": "问", "input": "", "output": "答", "domain": []},
    "alpaca": {"instruction": "A?", "input": "", "output": "a"},
    "cvalues": {"prompt": "P", "pos_resp": "good", "neg_resp": "bad"},
    "huozi": {"prompt": "P", "chosen": "good", "reject": "bad"},
    "hc3": HC3,
    "safe_rlhf": SAFE,
}


@pytest.mark.parametrize(("name", "kind"), [("sft", "dialogue"), ("dpo", "preference")])
def test_packaged_files_read_every_data_set_of_the_paper(name, kind, tmp_path, monkeypatch, vocabulary):
    loaded = load_tuning(PACKAGED / f"llama3-zh-{name}.yaml")
    monkeypatch.setenv("DATA", str(tmp_path))
    for source in loaded.settings.sources:
        (pattern,) = source.paths
        path = Path(pattern.replace("${DATA}", str(tmp_path)).replace("**", "deep").replace("*", "x"))
        path.parent.mkdir(parents=True, exist_ok=True)
        record = RECORDS[source.format]
        if path.suffix == ".csv":
            path.write_text(f"{','.join(record)}\n{','.join(record.values())}\n", "utf-8")
        else:
            path.write_text(json.dumps([record] if path.suffix == ".json" and "1" not in record else record), "utf-8")
        assert format_named(source.format).kind == kind
    kept = loaded.settings.model_copy(update={"valid_fraction": 0.0})
    data = prepare(type(loaded)(kept, loaded.root), kind, vocabulary)
    assert [tally.kept for tally in data.tallies] == [
        len(BY_NAME[source.format].parts(RECORDS[source.format])) for source in kept.sources
    ]


def test_a_missing_data_set_is_named(monkeypatch, vocabulary, tmp_path):
    monkeypatch.setenv("DATA", str(tmp_path))
    with pytest.raises(RecipeError, match="source 'mutual'"):
        prepare(load_tuning(PACKAGED / "llama3-zh-sft.yaml"), "dialogue", vocabulary)
