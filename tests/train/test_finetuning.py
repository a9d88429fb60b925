"""Fine-tuning by hand-made examples: packing, and both losses against plain torch over transformers' own Llama."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.train.presets import DPO, SFT
from tests.train.conftest import Trainer

VOCAB = 128
WINDOW = 24


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)
    import torch

    return torch


def examples(lengths, seed=0):
    """Make examples of random tokens, of which about the second half is learned."""
    from mixer.dialogues.examples import Examples

    rng = np.random.default_rng(seed)
    learned = [np.arange(length) >= length // 2 for length in lengths]
    return Examples(
        rng.integers(0, VOCAB, sum(lengths)).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate(learned),
        np.zeros(len(lengths), np.int16),
    )


LENGTHS = [(9, 24, 5, 12, 25, 4, 7, 18), (7, 11, 20, 25, 6, 3, 9, 14)]


class Bench:
    """A model of two layers with random weights, in the way that training holds it, and in transformers' way."""

    def __init__(self, torch, folder):
        from transformers import AutoModelForCausalLM

        from mixer.train import huggingface
        from mixer.train.model import build_model, transformer_config, wrap
        from mixer.train.presets import MODELS

        self.torch = torch
        self.shape = MODELS["tiny"].model_copy(update={"vocab_size": VOCAB})
        device = torch.device("cpu")
        config = transformer_config(self.shape, 1, 1, torch.float32, device)
        self.bare = build_model(self.shape, config, device)
        with torch.no_grad():
            for parameter in self.bare.parameters():  # far from the small weights of the first step
                parameter.add_(0.1 * torch.randn_like(parameter))
        self.model = wrap(self.bare, config, distributed_optimizer=False)
        huggingface.save(folder, self.bare, self.shape)
        self.twin = AutoModelForCausalLM.from_pretrained(folder)

    def train(self, work, objective, groups=1):
        """Take a step; returns its totals and the gradients by transformers' names."""
        from mixer.train.huggingface import _place, _taken_apart
        from mixer.train.losses import run_step

        self.model.zero_grad_buffer()
        totals = run_step(self.model, work, objective, groups, train=True)
        gradients = {}
        for name, parameter in self.bare.named_parameters():
            place = _place(self.bare, name)
            parts = _taken_apart(parameter.main_grad.clone(), place.kind, self.shape)
            gradients.update(zip(place.sources, parts, strict=True))
        return totals, gradients

    def log_probability(self, part, number):
        """Sum up what plain torch says of an example's response, alone."""
        torch = self.torch
        here = slice(part.offsets[number], part.offsets[number + 1])
        ids, learned = torch.tensor(part.tokens[here]).long(), torch.tensor(part.learned[here])
        logits = self.twin(ids[None, :-1]).logits[0].log_softmax(-1)
        return logits.gather(1, ids[1:, None])[:, 0][learned[1:]].sum()

    def check(self, gradients, loss):
        """Compare gradients with those of the twin's loss."""
        self.twin.zero_grad()
        loss.backward()
        theirs = {name: parameter.grad for name, parameter in self.twin.named_parameters()}
        assert gradients.keys() == theirs.keys()
        for name, gradient in gradients.items():
            assert gradient.abs().max() > 1e-6
            self.torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-6)


@pytest.fixture
def bench(torch, tmp_path):
    from mixer.train.processes import processes

    with processes(1, 1, 3):
        yield Bench(torch, tmp_path / "twin")


def grouped(torch, groups):
    """Return what gives tokens their columns."""

    def complete(batch, taken):
        columns = torch.from_numpy(np.append(np.asarray(groups)[taken], 0))
        batch["group"] = columns[batch["example"]]

    return complete


@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_of_responses_equals_plain_torch(torch, bench, packing):
    from mixer.train.losses import NextToken
    from mixer.train.packing import Units, rows_of

    part = examples(LENGTHS[0])
    read = np.array([4, 0, 7, 2, 1, 0])  # one twice, two not at all
    work = rows_of(Units((part,), WINDOW), read, 2, grouped(torch, [0, 1, 0, 1, 0, 1]), packing=packing)
    assert work.shape == (1, 2 * WINDOW)
    totals, gradients = bench.train(work, NextToken(), 2)

    sums = torch.stack([-bench.log_probability(part, number) for number in read])
    counts = np.array([part.learned[part.offsets[n] + 1 : part.offsets[n + 1]].sum() for n in read])
    assert totals.mean("loss") == pytest.approx(sums.sum().item() / counts.sum(), rel=1e-6)
    for group, name in ((0, "a"), (1, "b")):
        assert totals.by("loss", ["a", "b"])[name] == pytest.approx(
            sums[group::2].sum().item() / counts[group::2].sum()
        )
    assert totals.sums("tokens").tolist() == [counts[0::2].sum(), counts[1::2].sum()]
    assert totals.sums("samples").tolist() == [3, 3]
    bench.check(gradients, sums.sum() / counts.sum())


@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_of_preferences_equals_plain_torch(torch, bench, packing):
    from mixer.train.losses import Preference
    from mixer.train.packing import Units, rows_of

    parts = examples(LENGTHS[0]), examples(LENGTHS[1], seed=1)
    read = np.array([4, 0, 7, 2, 1])
    reference = torch.linspace(-60, -20, 16, dtype=torch.float64).view(8, 2)

    def complete(batch, taken):
        batch["group"] = torch.from_numpy(read[taken] % 2)
        batch["reference"] = reference[read[taken]]

    work = rows_of(Units(parts, WINDOW), read, 2, complete, packing=packing)
    assert work.shape == (1, 4 * WINDOW)
    totals, gradients = bench.train(work, Preference(0.05), 2)

    losses, margins = [], []
    for pair in read:
        chosen, rejected = (
            0.05 * (bench.log_probability(part, pair) - reference[pair, side]) for side, part in enumerate(parts)
        )
        margins.append((chosen - rejected).item())
        losses.append((1 + (rejected - chosen).exp()).log())
    assert totals.mean("loss") == pytest.approx(torch.stack(losses).mean().item(), rel=1e-6)
    assert totals.mean("margin") == pytest.approx(np.mean(margins), rel=1e-5)
    assert totals.mean("margin") == pytest.approx(totals.mean("chosen") - totals.mean("rejected"))
    assert totals.mean("accuracy") == np.mean(np.array(margins) > 0)
    assert totals.sums("pairs").tolist() == [3, 2]
    odd = [margin for pair, margin in zip(read, margins, strict=True) if pair % 2]
    assert totals.by("margin", ["even", "odd"])["odd"] == pytest.approx(np.mean(odd), rel=1e-5)
    bench.check(gradients, torch.stack(losses).mean())


def test_examples_that_share_a_row_do_not_see_one_another(torch, bench):
    from megatron.core.packed_seq_params import PackedSeqParams

    from mixer.train.packing import Units, rows_of

    def losses(part, isolated):
        batch = next(rows_of(Units((part,), WINDOW), np.arange(3), 1, lambda *_: None, packing=True).batches)
        bounds = batch["bounds"]
        assert len(bounds) == 5  # three examples and what fills the row up
        assert batch["positions"][0].tolist() == [*range(8), *range(7), *range(6), 0, 0, 0]
        packed = PackedSeqParams("thd", bounds, bounds, max_seqlen_q=8, max_seqlen_kv=8) if isolated else None
        inputs = batch["tokens"], batch["positions"], None
        found = bench.model(*inputs, labels=batch["labels"], packed_seq_params=packed)[0]
        return [found[batch["example"][0] == number] for number in range(3)]

    part, changed = examples([8, 9, 7]), examples([8, 9, 7])
    changed.tokens[8:17] = (changed.tokens[8:17] + 1) % VOCAB  # the longest, which comes first in the row
    for isolated in (True, False):
        both = zip(losses(part, isolated), losses(changed, isolated), strict=True)
        assert [torch.equal(before, after) for before, after in both] == [False, isolated, isolated]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_packing_loses_nothing_and_wastes_little(lengths):
    from mixer.train.packing import fit

    rows = fit(np.array(lengths), 40)
    assert sorted(unit for row in rows for unit in row) == list(range(len(lengths)))
    filled = [sum(lengths[unit] for unit in row) for row in rows]
    assert max(filled) <= 40
    assert all(row for row in rows)
    # Whatever opens a row fits into none before it; so no two rows could be one.
    assert all(a + b > 40 for i, a in enumerate(filled) for b in filled[:i])
    assert len(rows) <= 2 * math.ceil(sum(lengths) / 40)


def test_presets_are_those_of_the_paper():
    # Table 2: SFT micro 8 and 2, global 1024, cosine, 0.01; DPO micro 2 and 1, global 128 and 256, cosine, 0.
    for name, sft, dpo in (("llama3-8b", (8, 1024), (2, 128)), ("llama3-70b", (2, 1024), (1, 256))):
        assert (SFT[name].micro_batch, SFT[name].global_batch) == sft
        assert (DPO[name].micro_batch, DPO[name].global_batch) == dpo
        assert (SFT[name].schedule, SFT[name].weight_decay) == ("cosine", 0.01)
        assert (DPO[name].schedule, DPO[name].weight_decay) == ("cosine", 0.0)


@pytest.fixture(params=["sft", "dpo"])
def tuned(request, tuning, tmp_path):
    return Trainer(tuning / f"{request.param}.yaml", tmp_path, request.param)


def test_the_loss_falls_and_the_log_says_of_what(tuned):
    done = tuned.run("run", "--steps", 12, "--valid-every", 6)
    assert done.code == 0, done.stderr
    steps = tuned.steps("run")
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert [line["samples"] for line in steps] == list(range(8, 97, 8))
    assert steps[-1]["loss"] < steps[0]["loss"] - (0.1 if tuned.kind == "dpo" else 1)
    assert [steps[0]["lr"], steps[6]["lr"]] == pytest.approx([steps[0]["lr"], steps[0]["lr"] / 2])  # cosine

    prepared, drawn = read_data(tuned, 96)
    for line in steps:
        read = drawn[8 * (line["step"] - 1) : 8 * line["step"]]
        so_far = drawn[: 8 * line["step"]]
        part = prepared.examples.chosen if tuned.kind == "dpo" else prepared.examples
        counts = np.ones(len(part)) if tuned.kind == "dpo" else part.learned_counts
        for key, column, names in (
            ("languages", prepared.answer_language, prepared.languages),
            ("sources", prepared.source, prepared.sources),
        ):
            weight = {name: counts[read[column[read] == number]].sum() for number, name in enumerate(names)}
            assert set(line[key]) == {name for name in names if weight[name]}
            whole = sum(loss * weight[name] for name, loss in line[key].items()) / sum(weight.values())
            assert whole == pytest.approx(line["loss"], rel=1e-9)
        learned = [part.learned_counts[so_far[prepared.answer_language[so_far] == n]].sum() for n in range(2)]
        shares = dict(zip(prepared.languages, np.array(learned) / sum(learned), strict=True))
        assert line["shares"] == pytest.approx({name: share for name, share in shares.items() if share})
    valid = [line for line in tuned.log("run") if "valid" in line]
    assert [line["step"] for line in valid] == [0, 6, 12]
    assert set(valid[0]["valid"]["change"].values()) == {0.0}
    changes = valid[-1]["valid"]["change"].values()
    assert all(change < 0 for change in changes) or tuned.kind == "dpo"  # whose answers are equally good
    assert all(changes)


def read_data(trainer, count):
    from mixer.dialogues.draw import draw
    from mixer.train.finetuning import open_data

    prepared = open_data(trainer.data, "preference" if trainer.kind == "dpo" else "dialogue").prepared
    return prepared, draw(prepared, count)


def test_the_first_loss_of_preferences_is_ln_2(tuning, tmp_path):
    trainer = Trainer(tuning / "dpo.yaml", tmp_path, "dpo")
    assert trainer.run("run", "--steps", 1).code == 0
    first = trainer.steps("run")[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-9)
    assert first["margin"] == pytest.approx(0, abs=1e-6)
    assert list(first["rewards"].values()) == pytest.approx([0, 0], abs=1e-6)
    # Not of a reference that is asked anew: a run that goes on from trained weights has no such loss.
    assert trainer.run("longer", "--steps", 3, "--stop-at", 2).code == 0
    assert trainer.run("longer", "--steps", 3).code == 0
    assert trainer.steps("longer")[2]["loss"] < 0.69


def test_packing_changes_the_rows_and_not_the_losses(tuned):
    for name, more in (("packed", ()), ("one", ("--no-packing",)), ("wide", ("--micro-batch", 3))):
        assert tuned.run(name, "--steps", 3, *more).code == 0
    packed, one, wide = (tuned.steps(name) for name in ("packed", "one", "wide"))
    for line, *others in zip(packed, one, wide, strict=True):
        for other in others:
            assert other["loss"] == pytest.approx(line["loss"], abs=1e-5)
            assert other["grad_norm"] == pytest.approx(line["grad_norm"], rel=1e-4)
            assert other["tokens"] == line["tokens"]


def test_resuming_with_other_data_or_settings_is_refused(tuned, tuning):
    assert tuned.run("run", "--steps", 4, "--stop-at", 2).code == 0
    done = tuned.run("run", "--steps", 5)
    assert done.code == 4
    assert "the settings have changed" in done.stderr
    assert "steps was 4, is 5" in done.stderr
    if tuned.kind == "dpo":
        done = tuned.run("run", "--steps", 4, "--beta", 0.2)
        assert done.code == 4
        assert "beta was 0.1, is 0.2" in done.stderr
    other = json.loads(tuned.data.read_text())
    other["sources"][0]["limit"] = 20
    tuned.data = tuned.folder / "other.yaml"
    other["sources"] = [{**s, "paths": [str(tuning / path) for path in s["paths"]]} for s in other["sources"]]
    tuned.data.write_text(json.dumps(other))
    done = tuned.run("run", "--steps", 4)
    assert done.code == 4
    assert "the data has changed" in done.stderr
    assert "would be read again or never" in done.stderr
    assert "--init with this checkpoint" in done.stderr
    assert tuned.run("new", "--steps", 1, "--init", tuned.out("run")).code == 0


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (("--tp", 2), 2, "torchrun --nproc-per-node 2 -m mixer.train."),
        (("--model", "llama3-8b"), 4, "differs from the model's"),
        (("--init", "nothing"), 2, "holds no checkpoint"),
        (("--warmup", 5), 2, "--warmup 5 does not end before the run"),
    ],
)
def test_what_cannot_be_trained_is_refused(tuned, given, code, message):
    done = tuned.run("run", "--steps", 2, *given)
    assert done.code == code
    assert message in done.stderr
    assert not tuned.out("run").exists()


def test_the_other_kind_of_data_is_refused(tuned):
    tuned.data = tuned.data.with_name("sft.yaml" if tuned.kind == "dpo" else "dpo.yaml")
    done = tuned.run("run", "--steps", 1)
    assert done.code == 2
    assert "are wanted" in done.stderr
