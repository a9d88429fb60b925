"""`mixer train sft|dpo --emit llamafactory DIR` as a user calls it."""

import json

import pytest
import yaml

from tests.small import mixer

DIALOGUES = [{"instruction": f"Name number {n}.", "output": f"It is called {n}, of course."} for n in range(6)]
PAIRS = [{"prompt": f"Is {n} one?", "chosen": f"Yes, {n} is.", "rejected": "No."} for n in range(6)]


@pytest.fixture(scope="module", autouse=True)
def needed():
    pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)


@pytest.fixture
def emit(tmp_path):
    """Return what runs the command over records; it returns what ran and the arguments written."""

    def run(stage, *options, records=None, model="tiny", init="meta-llama/Meta-Llama-3-8B"):
        rows = records or (DIALOGUES if stage == "sft" else PAIRS)
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "data.yaml").write_text("sources: [{name: a, paths: [a.jsonl]}]\n")
        begin = ("--init", init) if init else ()
        out = tmp_path / "out"
        ran = mixer(
            *("train", stage, tmp_path / "data.yaml", "--model", model, "--lr", "1e-5", *begin),
            *("--emit", "llamafactory", out, *options),
        )
        written = out / "llamafactory.yaml"
        return ran, yaml.safe_load(written.read_text()) if written.exists() else None

    return run


@pytest.mark.parametrize(
    ("stage", "model", "expected"),
    [
        ("sft", "llama3-8b", (8, 4, 0.01)),
        ("sft", "llama3-70b", (2, 4, 0.01)),
        ("dpo", "llama3-8b", (2, 2, 0.0)),
        ("dpo", "llama3-70b", (1, 2, 0.0)),
    ],
)
def test_the_papers_table_comes_through(emit, stage, model, expected):
    ran, arguments = emit(stage, "--steps", 1, model=model)
    assert ran.code == 0, ran.stderr
    micro, accumulation, decay = expected
    assert arguments["per_device_train_batch_size"] == micro
    assert arguments["gradient_accumulation_steps"] == accumulation
    assert arguments["weight_decay"] == decay
    assert (arguments["lr_scheduler_type"], arguments["cutoff_len"], arguments["bf16"]) == ("cosine", 2048, True)
    assert arguments.get("pref_beta") == (0.1 if stage == "dpo" else None)


def test_what_is_given_comes_through(emit, tmp_path):
    options = (
        "--steps",
        3,
        "--global-batch",
        4,
        "--micro-batch",
        2,
        "--devices",
        2,
        "--warmup",
        1,
        "--dtype",
        "float32",
    )
    ran, arguments = emit("dpo", *options, "--beta", 0.3, "--min-lr", 1e-6)
    assert ran.code == 0, ran.stderr
    expected = {
        "model_name_or_path": "meta-llama/Meta-Llama-3-8B",
        "max_steps": 3,
        "gradient_accumulation_steps": 1,
        "warmup_steps": 1,
        "bf16": False,
        "pref_beta": 0.3,
        "lr_scheduler_type": "cosine_with_min_lr",
    }
    assert {key: arguments[key] for key in expected} == expected
    assert len((tmp_path / "out/train.jsonl").read_text().splitlines()) == 12
    assert f"for LLaMA-Factory on 2 GPUs: llamafactory-cli train {tmp_path}/out/llamafactory.yaml" in ran.stdout
    assert "all, as drawn" not in ran.stdout
    assert "answers" in ran.stdout


def test_what_is_left_out_is_told(emit):
    odd = {"messages": [{"role": "user", "content": "A?"}, {"role": "function_call", "content": "{}"}]}
    odd["messages"].append({"role": "assistant", "content": "a"})
    even = {"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "a"}]}
    ran, _ = emit("sft", "--steps", 1, records=[odd, even])
    assert "left out: 1 examples, not_by_turns: prompt and answer do not take turns" in ran.stderr


@pytest.mark.parametrize(
    ("options", "init", "message"),
    [
        (("--tp", "1"), "hub/name", "--tp means nothing to LLaMA-Factory"),
        (("--no-packing",), "hub/name", "--packing means nothing to LLaMA-Factory"),
        (("--stop-at", "1"), "hub/name", "--stop-at means nothing to LLaMA-Factory"),
        (("--steps", "1"), None, "needs a model to begin from"),
        (("--steps", "1", "--devices", "3"), "hub/name", "no multiple of the micro batch 1 times 3 GPUs"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(emit, options, init, message):
    ran, arguments = emit("sft", *options, init=init)
    assert (ran.code, arguments) == (2, None)
    assert message in ran.stderr


def test_a_checkpoint_must_be_exported_first(emit, tmp_path):
    (tmp_path / "run").mkdir()
    ran, _ = emit("sft", init=tmp_path / "run")
    assert ran.code == 2
    assert f"mixer train export {tmp_path}/run FOLDER" in ran.stderr
    (tmp_path / "run/config.json").write_text("{}")
    ran, arguments = emit("sft", "--steps", 1, init=tmp_path / "run")
    assert (ran.code, arguments["model_name_or_path"]) == (0, str(tmp_path / "run"))


def test_it_writes_where_the_run_would(emit, tmp_path):
    _, arguments = emit("sft", "--steps", 1)
    assert arguments["output_dir"] == str(tmp_path / "out/output")
    _, arguments = emit("sft", "--steps", 1, "--out", tmp_path / "run")
    assert arguments["output_dir"] == str(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_devices_go_with_the_hand_over(tmp_path):
    ran = mixer("train", "sft", tmp_path / "data.yaml", "--model", "tiny", "--lr", "1", "--devices", "2")
    assert ran.code == 2
    assert "--devices means nothing without --emit" in ran.stderr
