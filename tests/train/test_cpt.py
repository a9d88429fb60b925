"""Continual pre-training of a tiny model, as a user starts it, on a mixture that the pipeline made."""

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
    steps, manifest = trainer.steps("run"), read(trainer.data)
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


def test_every_step_reads_what_the_replay_says(trainer):
    """The samples themselves, not only what the log says of them; and losses by language recombine to the total."""
    assert trainer.run("run", "--steps", 5, "--valid-samples", 0).code == 0
    from mixer.train.cpt import Stage, settings_of
    from mixer.train.processes import processes
    from mixer.train.promise import load_mixture

    given = {"lr": 0.01, "steps": 5, "global_batch": 8, "micro_batch": 2, "valid_samples": 0}
    settings = settings_of(trainer.data, "tiny", given)
    mixture = load_mixture(trainer.data, settings.shape, sequence_length=None, rehash=False)
    replay = Replay(mixture.weights)
    with processes(1, 1, 0):
        stage = Stage(mixture, settings)
        assert not list(stage.begin(lambda *_: pytest.fail("nothing is to be measured")))
        for line in trainer.steps("run"):
            batches = list(stage.work(line["step"]).batches)
            read = np.concatenate([batch["group"][:, 0].numpy() for batch in batches])
            assert read.tolist() == replay.order(8).tolist()
            tokens = np.zeros(len(mixture.datasets))
            for batch in batches:
                np.add.at(tokens, batch["group"].numpy(), batch["mask"].numpy())
            parts = zip(mixture.datasets, tokens, strict=True)
            whole = sum(line["languages"].get(entry.language, 0.0) * count for entry, count in parts)
            assert whole / tokens.sum() == pytest.approx(line["loss"], rel=1e-12)


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

    assert mixer("mix", trainer.data, "--almr", 0.4, "--out", tmp_path / "other").code == 0
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
