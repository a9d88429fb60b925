"""Continual pre-training of a tiny model, as a user starts it, on a mixture that the pipeline made."""

import shutil

import numpy as np
import pytest

from mixer.manifest import read
from mixer.megatron.blend import Replay
from tests.small import mixer
from tests.train.conftest import Trainer


def test_the_loss_falls_and_the_log_holds_the_ratio_that_the_replay_says(trainer):
    done = trainer.run("run", "--steps", 30, "--valid-every", 10)
    assert done.code == 0, done.stderr
    assert "training on the CPU: for trial runs" in done.stderr
    steps, manifest = trainer.steps("run"), read(trainer.mixture)
    assert [line["step"] for line in steps] == list(range(1, 31))
    assert steps[-1]["loss"] < steps[0]["loss"] - 1

    drawn = [entry for entry in manifest.datasets if entry.samples]
    additional = np.array([entry.role == "additional" for entry in drawn])
    replay = Replay([entry.weight for entry in drawn])
    for line in steps:
        replay.advance(8 * line["step"])
        assert line["almr"] == replay.counts[additional].sum() / replay.counts.sum()
        assert (line["samples"], line["tokens"]) == (8 * line["step"], 8 * 32 * line["step"])
        assert set(line["datasets"]) <= {"en-en", "zh-zh"}
        assert line["languages"] == {name.split("-")[1]: loss for name, loss in line["datasets"].items()}
        assert min(line["languages"].values()) <= line["loss"] <= max(line["languages"].values())
    assert [steps[0]["lr"], steps[15]["lr"]] == pytest.approx([0.01, 0.005])

    valid = [line for line in trainer.log("run") if "valid" in line]
    assert [line["step"] for line in valid] == [0, 10, 20, 30]
    assert set(valid[0]["valid"]["datasets"]) == {"en-en", "zh-zh"}
    assert valid[0]["valid"]["change"] == {"en": 0.0, "zh": 0.0}
    for language in ("en", "zh"):
        now = valid[-1]["valid"]
        assert now["change"][language] == now["languages"][language] - valid[0]["valid"]["languages"][language] < 0


@pytest.mark.parametrize("optimizer", ["--distributed-optimizer", "--no-distributed-optimizer"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(trainer, optimizer, dtype):
    given = ("--steps", 9, "--valid-every", 4, optimizer, "--dtype", dtype)
    assert trainer.run("whole", *given).code == 0
    assert trainer.run("parts", *given, "--stop-at", 4).code == 0
    # A kill in the middle of a later step leaves this behind.
    (trainer.out("parts") / "checkpoints/step-00000005.part").mkdir()
    with (trainer.out("parts") / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    done = trainer.run("parts", *given)
    assert done.code == 0, done.stderr
    assert "going on from" in done.stdout
    assert trainer.log("parts") == trainer.log("whole")
    assert trainer.run("parts", *given).code == 0  # nothing is left to do
    assert trainer.log("parts") == trainer.log("whole")


def test_a_shorter_run_reads_the_beginning_of_a_longer_one(trainer):
    assert trainer.run("long", "--schedule", "constant", "--steps", 6, "--valid-samples", 0).code == 0
    assert trainer.run("short", "--schedule", "constant", "--steps", 3, "--valid-samples", 0).code == 0
    assert trainer.log("short") == trainer.log("long")[:3]


def test_resuming_with_another_mixture_or_other_settings_is_refused(trainer, tmp_path):
    assert trainer.run("run", "--steps", 4, "--stop-at", 2).code == 0
    done = trainer.run("run", "--steps", 5)
    assert done.code == 4
    assert "steps was 4, is 5" in done.stderr
    assert trainer.run("run", "--steps", 4, "--micro-batch", 2, "--stop-at", 3).code == 0  # how it is spread out may

    assert mixer("mix", trainer.mixture, "--almr", 0.4, "--out", tmp_path / "other").code == 0
    other = Trainer(tmp_path / "other", tmp_path)
    done = other.run("run", "--steps", 4)
    assert done.code == 4
    assert "the mixture has changed" in done.stderr
    assert "weights: en-en was" in done.stderr
    assert "begin a new run from its weights" in done.stderr
    # Which works, from the run's directory and from a checkpoint.
    assert other.run("new", "--steps", 1, "--init", trainer.out("run")).code == 0
    checkpoint = trainer.out("run") / "checkpoints/step-00000003"
    assert other.run("same", "--steps", 1, "--init", checkpoint).code == 0
    assert other.log("new") == other.log("same")
    assert other.steps("new")[0]["loss"] < trainer.steps("run")[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("layout", [(), ("--tp", 2), ("--pp", 2)], ids=["data", "tensor", "pipeline"])
def test_two_processes_have_the_losses_of_one(trainer, small_tokenizer, tmp_path, layout):
    assert trainer.run("first", "--steps", 2, "--valid-samples", 0).code == 0
    # From a published folder, of which each process reads its part.
    done = mixer("train", "export", trainer.out("first"), tmp_path / "folder", "--tokenizer", small_tokenizer)
    assert done.code == 0, done.stderr
    given = ["--steps", 4, "--valid-every", 2, "--micro-batch", 2, "--init", tmp_path / "folder"]
    assert trainer.run("one", *given, "--save-every", 2).code == 0
    if "--pp" not in layout:  # the others go on from where the single process was
        shutil.copytree(trainer.out("one"), trainer.out("two"))
        shutil.rmtree(trainer.out("two") / "checkpoints/step-00000004")
    trainer.spread(2, "two", *given, *layout)
    for one, two in zip(trainer.log("one"), trainer.log("two"), strict=True):
        assert one.keys() == two.keys()
        for name in ("loss", "grad_norm"):
            assert two.get(name, 0) == pytest.approx(one.get(name, 0), abs=1e-5)
        assert one.get("almr") == two.get("almr")
        for name in ("languages", "datasets", "valid"):
            assert _flat(two.get(name)) == pytest.approx(_flat(one.get(name)), abs=1e-5)


def _flat(values, prefix=""):
    if not isinstance(values, dict):
        return {prefix: values}
    return {key: value for name in values for key, value in _flat(values[name], f"{prefix}/{name}").items()}
