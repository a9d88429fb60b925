"""The parts of training that stand alone: presets, the tally, the log, the layers."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mixer
from mixer.dialogues.prepare import prepare
from mixer.dialogues.settings import load_tuning
from mixer.errors import BrokenPromiseError
from mixer.manifest import read
from mixer.tokenize.vocabulary import load_vocabulary
from mixer.train.presets import CPT, MODELS, RotaryScaling
from mixer.train.promise import Mixture, Tally
from tests.builds import make_build


@pytest.fixture(scope="module")
def core():
    return pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)


def test_presets_are_those_of_the_paper():
    # Table 2 and section 3.2: micro batch 4, global batch 256, linear, 0.01; TP 2 PP 1 for 8B, TP 8 PP 2 for 70B.
    for name, layout in (("llama3-8b", (2, 1)), ("llama3-70b", (8, 2))):
        found = CPT[name]
        assert (found.micro_batch, found.global_batch, found.schedule, found.weight_decay) == (4, 256, "linear", 0.01)
        assert (found.tp, found.pp) == layout
    assert MODELS.keys() == CPT.keys()


@pytest.mark.parametrize(("name", "parameters"), [("llama3-8b", 8_030_261_248), ("llama3-70b", 70_553_706_496)])
def test_shapes_have_the_published_number_of_parameters(name, parameters):
    shape = MODELS[name]
    attention = 2 * shape.hidden * shape.head_dim * (shape.heads + shape.groups)
    layer = attention + 3 * shape.hidden * shape.ffn + 2 * shape.hidden
    assert shape.layers * layer + 2 * shape.vocab_size * shape.hidden + shape.hidden == parameters


def test_the_tally_stops_a_run_that_leaves_the_bound(tmp_path):
    build = make_build(tmp_path)
    manifest = read(build)
    tally = Tally(Mixture(build, manifest, manifest.datasets, (), (), ()))
    step = np.array([entry.samples for entry in manifest.datasets])
    tally.add(step)
    assert tally.almr == manifest.almr.realised
    with pytest.raises(BrokenPromiseError, match=r"\+\d+\.\d samples of the additional language"):
        tally.add(np.array([5 * (entry.role == "additional") for entry in manifest.datasets]))


def test_the_log_is_cut_at_the_step_that_a_run_goes_on_from(core, tmp_path):
    from mixer.train.journal import Journal

    for first, last, loss in ((0, 5, 1.0), (3, 4, 2.0)):
        with Journal(tmp_path, first, writes=True) as journal:
            for step in range(first + 1, last + 1):
                journal.write({"step": step, "loss": loss})
    lines = [json.loads(line) for line in Path(tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [1.0, 1.0, 1.0, 2.0]
    with Journal(tmp_path / "other", 0, writes=False) as journal:
        journal.write({"step": 1})
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("scaling", [None, RotaryScaling(), RotaryScaling(factor=32.0)])
def test_rotary_frequencies_equal_megatron_cores(core, scaling):
    import torch
    from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding

    from mixer.train.layers import frequencies

    factor = scaling.factor if scaling else 8.0
    theirs = RotaryEmbedding(
        128,
        1.0,
        rotary_base=500_000,
        rope_scaling=scaling is not None,
        rope_scaling_factor=factor,
        use_cpu_initialization=True,
    )
    ours = frequencies(MODELS["llama3-8b"].model_copy(update={"rotary_scaling": scaling}))
    torch.testing.assert_close(ours, theirs.inv_freq, rtol=1e-6, atol=0)


def test_attention_equals_softmax_written_out(core):
    import torch

    from mixer.train.layers import Attention

    torch.manual_seed(0)
    query, key, value = torch.randn(6, 2, 4, 8), torch.randn(6, 2, 2, 8), torch.randn(6, 2, 2, 8)
    found = Attention.forward(None, query, key, value)
    for batch in range(2):
        for head in range(4):
            q, k, v = query[:, batch, head], key[:, batch, head // 2], value[:, batch, head // 2]
            scores = (q @ k.T / 8**0.5).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)
            torch.testing.assert_close(found[:, batch, 8 * head : 8 * head + 8], scores.softmax(-1) @ v)


@pytest.mark.parametrize("kind", ["dialogue", "preference"])
def test_packaged_answers_are_made_of_the_packaged_corpora_and_all_are_kept(kind, tmp_path):
    folder = Path(mixer.__file__).parent / "recipes" / "tuning"
    script = Path(__file__).parents[2] / "scripts" / "tuning_answers.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True)
    for name in ("sums.jsonl.gz", "poems.jsonl.gz"):
        assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress((folder / name).read_bytes())
    loaded = load_tuning(folder / ("quickstart-sft.yaml" if kind == "dialogue" else "quickstart-dpo.yaml"))
    prepared = prepare(loaded, kind, load_vocabulary(loaded.tokenizer))
    assert [tally.kept for tally in prepared.tallies] == [200, 150]
    assert all(not tally.aside and not tally.notes for tally in prepared.tallies)
    assert set(prepared.languages) == {"en", "zh"}
