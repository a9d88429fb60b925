"""The hand-over to LLaMA-Factory, against what was read in its repository: arguments, and how it reads the files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from mixer.dialogues.checks import checked
from mixer.dialogues.draw import draw
from mixer.dialogues.encode import encode
from mixer.dialogues.llamafactory import HyperParameters, hand_over
from mixer.dialogues.prepare import prepare
from mixer.dialogues.template import template_of
from mixer.dialogues.turns import Dialogue, Preference, Turn
from mixer.errors import UsageError
from mixer.tokenize.encode import Encoder

ARGUMENTS = {
    "model_name_or_path",  # src/llamafactory/hparams/model_args.py
    "template", "dataset", "eval_dataset", "dataset_dir", "cutoff_len", "mask_history", "train_on_prompt", "streaming",
    "mix_strategy", "interleave_probs", "overwrite_cache", "val_size", "packing",  # data_args.py
    "stage", "finetuning_type", "pref_beta", "pref_ftx", "pref_loss", "ref_model", "disable_shuffling",
    "plot_loss",  # finetuning_args.py
}  # fmt: skip
"""Of LLaMA-Factory's own arguments those that a fine-tuning may want."""

INFO = {"file_name", "formatting", "ranking", "columns", "tags"}
COLUMNS = {"messages", "system", "tools", "images", "chosen", "rejected", "kto_tag"}
"""Keys of dataset_info.json for the format ShareGPT (data/README.md)."""

ROLES = {"human": "user", "gpt": "assistant", "function_call": "call", "observation": "tool", "system": "system"}

SFT = HyperParameters(
    stage="sft",
    model="/models/llama3",
    output=Path("/runs/llama3-sft"),
    devices=4,
    steps=6,
    global_batch=8,
    micro_batch=1,
    lr=1e-5,
    min_lr=0,
    schedule="cosine",
    warmup=2,
    weight_decay=0.01,
    betas=(0.9, 0.95),
    epsilon=1e-8,
    clip=1.0,
    beta=None,
    bf16=True,
    save_every=100,
    valid_every=10,
)
DPO = dataclasses.replace(SFT, stage="dpo", beta=0.1)


def one(number):
    return {"instruction": f"Name number {number}.", "output": f"It is called {number}, of course."}


ALPACA = [one(number) for number in range(30)]
CHAT = [
    {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": f"天气{number}?"},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {}}'},
            {"from": "observation", "value": "晴"},
            {"from": "gpt", "value": "晴天。"},
        ],
        "tools": '[{"name": "weather"}]',
    }
    for number in range(10)
]
PAIRS = [{"prompt": f"Is {number}?", "chosen": f"Yes, {number}.", "rejected": "No."} for number in range(12)]


@pytest.fixture
def handed(loaded, little, tmp_path):
    """Hand records over; return the data, the arguments, the descriptions, the lines by file, and what was left out."""

    def make(records, parameters, **keys):
        tuning = loaded(records, **keys)
        data = prepare(tuning, "preference" if parameters.stage == "dpo" else "dialogue", little)
        found = hand_over(tuning, data, parameters, tmp_path / "out")
        arguments = yaml.safe_load(found.arguments.read_text("utf-8"))
        info = json.loads((tmp_path / "out" / "dataset_info.json").read_text("utf-8"))
        lines = {}
        for name, entry in info.items():
            text = (tmp_path / "out" / entry["file_name"]).read_text("utf-8")
            lines[name] = [json.loads(line) for line in text.splitlines()]
        return data, arguments, info, lines, found.left_out

    return make


def read_back(line):
    """Read a line as LLaMA-Factory's converter does: who speaks must take turns, and a system message comes first."""
    messages = line["conversations"]
    turns = [
        Turn(ROLES[message["from"]], message["value"], message["from"] in ("gpt", "function_call"))
        for message in messages
    ]
    rest = turns[1:] if turns[0].role == "system" else turns
    for place, turn in enumerate(rest):
        assert turn.role in (("assistant", "call") if place % 2 else ("user", "tool"))
    if "chosen" in line:
        assert len(rest) % 2 == 1
        answers = [Turn(ROLES[line[side]["from"]], line[side]["value"]) for side in ("chosen", "rejected")]
        return Preference(tuple(turns), *answers, line["tools"])
    assert len(rest) % 2 == 0
    return Dialogue(tuple(turns), line["tools"])


def tokens(lines, vocabulary):
    encoder = Encoder(vocabulary)
    items = [checked(read_back(line))[0] for line in lines]
    found = encode(items, template_of(vocabulary, encoder), encoder, 2048, "cut")
    return [[each.tokens.tolist() for each in sides] for sides in found]


def test_the_files_hold_what_training_would_draw_in_that_order(handed, little):
    data, _, _, lines, left_out = handed({"a": ALPACA, "b": CHAT}, SFT)
    examples = data.examples
    rows = draw(data, SFT.steps * SFT.global_batch)
    assert [line["source"] for line in lines["mixer_train"]] == ["ab"[number] for number in data.source[rows]]
    for row, (found,) in zip(rows.tolist(), tokens(lines["mixer_train"], little), strict=True):
        assert found == examples.tokens[examples.offsets[row] : examples.offsets[row + 1]].tolist()
    assert not left_out


def test_preferences_are_ranked(handed, little):
    data, arguments, info, lines, _ = handed({"a": PAIRS}, DPO, valid_fraction=0.3)
    assert all(entry["ranking"] is True for entry in info.values())
    for name, rows in (("mixer_train", draw(data, 48)), ("mixer_valid", data.valid_rows)):
        for row, (chosen, rejected) in zip(rows.tolist(), tokens(lines[name], little), strict=True):
            for found, side in ((chosen, data.examples.chosen), (rejected, data.examples.rejected)):
                assert found == side.tokens[side.offsets[row] : side.offsets[row + 1]].tolist()
    assert (arguments["stage"], arguments["pref_beta"], arguments["pref_loss"]) == ("dpo", 0.1, "sigmoid")
    assert (arguments["eval_dataset"], arguments["eval_steps"]) == ("mixer_valid", 10)


@pytest.mark.parametrize(("parameters", "records"), [(SFT, {"a": ALPACA, "b": CHAT}), (DPO, {"a": PAIRS})])
def test_the_loader_that_it_uses_reads_the_files(handed, tmp_path, parameters, records):
    datasets = pytest.importorskip("datasets")
    _, _, info, lines, _ = handed(records, parameters, valid_fraction=0.2)
    for name, entry in info.items():
        path = str(tmp_path / "out" / entry["file_name"])
        found = datasets.load_dataset("json", data_files=[path], split="train", cache_dir=str(tmp_path / "cache"))
        assert found.to_list() == lines[name]
        assert set(entry["columns"].values()) <= set(found.column_names)


@pytest.mark.parametrize("parameters", [SFT, DPO, dataclasses.replace(SFT, min_lr=1e-6)])
def test_every_argument_is_known_there(handed, parameters):
    transformers = pytest.importorskip("transformers", reason="holds names against the Trainer's")
    trainers = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    records = {"a": PAIRS if parameters.stage == "dpo" else ALPACA}
    _, arguments, info, _, _ = handed(records, parameters, valid_fraction=0.2)
    assert set(arguments) <= ARGUMENTS | trainers
    assert arguments["lr_scheduler_type"] in {kind.value for kind in transformers.SchedulerType}
    for entry in info.values():
        assert set(entry) <= INFO
        assert set(entry["columns"]) <= COLUMNS


def test_the_papers_hyper_parameters_come_through(handed):
    _, arguments, _, _, _ = handed({"a": ALPACA}, SFT)
    assert arguments["gradient_accumulation_steps"] * arguments["per_device_train_batch_size"] * SFT.devices == 8
    expected = {
        "stage": "sft",
        "output_dir": "/runs/llama3-sft",
        "finetuning_type": "full",
        "template": "llama3",
        "cutoff_len": 2048,
        "disable_shuffling": True,
        "max_steps": 6,
        "lr_scheduler_type": "cosine",
        "learning_rate": 1e-5,
        "weight_decay": 0.01,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "warmup_steps": 2,
        "bf16": True,
    }
    assert {key: arguments[key] for key in expected} == expected
    assert "eval_dataset" not in arguments
    assert "pref_beta" not in arguments


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "linear"}, {"lr_scheduler_type": "linear"}),
        ({"schedule": "constant", "warmup": 0}, {"lr_scheduler_type": "constant"}),
        ({"schedule": "constant"}, {"lr_scheduler_type": "constant_with_warmup"}),
        ({"min_lr": 1e-6}, {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}}),
        (
            {"schedule": "linear", "min_lr": 1e-6},
            {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1e-6, "power": 1.0}},
        ),
    ],
)
def test_schedules_have_the_trainers_names(handed, changes, expected):
    _, arguments, _, _, _ = handed({"a": ALPACA}, dataclasses.replace(SFT, **changes))
    assert {key: arguments[key] for key in arguments if key.startswith("lr_")} == expected


def test_what_its_format_cannot_say_is_left_out_and_counted(handed):
    def chat(*turns):
        return {"messages": [{"role": role, "content": text, **more} for role, text, more in turns]}

    odd = [
        chat(("assistant", "Welcome.", {}), ("user", "A?", {}), ("assistant", "a", {})),
        chat(("user", "A?", {}), ("function_call", "{}", {}), ("assistant", "a", {})),
        chat(("user", "A?", {}), ("assistant", "a", {"weight": 0}), ("user", "B?", {}), ("assistant", "b", {})),
        chat(("user", "A?", {}), ("system", "Be brief.", {}), ("assistant", "b", {})),
    ]
    _, _, _, lines, left_out = handed({"a": odd}, SFT)
    assert dict(left_out) == {"openings": 1, "not_by_turns": 2, "answer_not_learned": 1}
    assert len(lines["mixer_train"]) == 48
    assert {message["value"] for line in lines["mixer_train"] for message in line["conversations"]} == {"A?", "a"}
    with pytest.raises(UsageError, match="none of the examples"):
        handed({"b": odd[1:]}, SFT)


def test_a_batch_that_cannot_be_shared_out_is_refused(handed):
    with pytest.raises(UsageError, match="a global batch of 8 is no multiple of the micro batch 1 times 3 GPUs"):
        handed({"a": ALPACA}, dataclasses.replace(SFT, devices=3))
    with pytest.raises(UsageError, match="no template like 'plain'"):
        handed({"a": ALPACA}, SFT, template="plain")


def test_the_same_files_again(handed, tmp_path):
    def contents():
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    handed({"a": ALPACA, "b": CHAT}, SFT, valid_fraction=0.1)
    first = contents()
    handed({"a": ALPACA, "b": CHAT}, SFT, valid_fraction=0.1)
    assert contents() == first
    assert sorted(first) == ["dataset_info.json", "llamafactory.yaml", "train.jsonl", "valid.jsonl"]


def test_the_ratio_holds_at_every_step_there_too(handed):
    sources = {"a": {"weight": 1}, "b": {"weight": 3}}
    data, _, _, lines, _ = handed({"a": ALPACA, "b": CHAT}, SFT, sources=sources)
    found = np.array([line["source"] == "b" for line in lines["mixer_train"]]).reshape(SFT.steps, -1).sum(axis=1)
    assert found.tolist() == [6] * SFT.steps
    assert data.weights.tolist() == [0.25, 0.75]
