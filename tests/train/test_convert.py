"""Weights in Hugging Face's format, in and out, against transformers' own Llama."""

import json
import shutil

import pytest

from mixer.manifest import read
from tests.small import mixer

VOCAB = 600
SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)
    pytest.importorskip("transformers", reason="compares with transformers")
    import torch

    return torch


@pytest.fixture(scope="module")
def make(torch, tmp_path_factory):
    """Make a random Llama with transformers, saved as a folder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    def made(heads=(4, 2, 16), scaling=None, dtype=torch.float32, **changes):
        count, groups, width = heads
        torch.manual_seed(count + groups)
        theta = {"rope_type": "default", "rope_theta": 500_000.0}
        config = LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=64,
            intermediate_size=176,
            num_hidden_layers=3,
            num_attention_heads=count,
            num_key_value_heads=groups,
            head_dim=width,
            max_position_embeddings=256,
            rope_parameters={**theta, **(scaling or {})},
            rms_norm_eps=1e-5,
            eos_token_id=599,
            **changes,
        )
        model = LlamaForCausalLM(config).to(dtype).eval()
        for name, weight in model.named_parameters():  # as random as the rest: initially norms are all 1
            if "norm" in name:
                torch.nn.init.normal_(weight, 1.0, 0.2)
        folder = tmp_path_factory.mktemp("llama") / "model"
        model.save_pretrained(folder)
        return LlamaForCausalLM.from_pretrained(folder, dtype="auto").eval(), folder

    return made


def logits_of(torch, folder, ids):
    """Return Megatron's logits for a folder's weights."""
    from mixer.train import huggingface
    from mixer.train.model import build_model, transformer_config
    from mixer.train.processes import processes

    shape, dtype = huggingface.read_shape(folder)
    with processes(1, 1, 0) as device, torch.no_grad():
        model = build_model(shape, transformer_config(shape, 1, 1, dtype, device), device)
        huggingface.load(folder, model, shape)
        return model(ids, torch.arange(ids.shape[1]).expand_as(ids), None)[..., :VOCAB]


@pytest.mark.parametrize(
    ("heads", "scaling"), [((4, 2, 16), None), ((8, 2, 16), None), ((4, 1, 32), None), ((4, 2, 16), SCALING)]
)
def test_logits_equal_transformers(torch, make, heads, scaling):
    model, folder = make(heads, scaling)
    ids = torch.randint(0, VOCAB, (2, 200))
    with torch.no_grad():
        theirs = model(ids).logits
    found = logits_of(torch, folder, ids)
    assert (found - theirs).abs().max() < 1e-4

    # Whatever is read wrongly must show.
    def wrong(change):
        other = folder.with_name("wrong")
        shutil.copytree(folder, other, dirs_exist_ok=True)
        change(other)
        return (logits_of(torch, other, ids) - theirs).abs().max()

    def config(key, value):
        def change(other):
            content = json.loads((other / "config.json").read_text())
            (content if key in content else content["rope_parameters"])[key] = value
            (other / "config.json").write_text(json.dumps(content))

        return change

    def swapped(other):
        from safetensors.torch import load_file, save_file

        tensors = load_file(other / "model.safetensors")
        gate, up = (f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up"))
        tensors[gate], tensors[up] = tensors[up], tensors[gate]
        save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})

    assert wrong(config("rope_theta", 10_000.0)) > 1e-3
    assert wrong(config("rms_norm_eps", 1e-2)) > 1e-3
    if scaling:
        assert wrong(config("factor", 2.0)) > 1e-3
    assert wrong(swapped) > 1e-3


@pytest.mark.parametrize("scaling", [None, SCALING])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_importing_and_exporting_changes_no_bit(torch, make, small_tokenizer, tmp_path, scaling, kind):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, folder = make((8, 2, 16), scaling, getattr(torch, kind))
    shutil.copyfile(small_tokenizer, folder / "tokenizer.json")
    done = mixer("train", "import", folder, tmp_path / "checkpoint")
    assert done.code == 0, done.stderr
    done = mixer("train", "export", tmp_path / "checkpoint", tmp_path / "out")
    assert done.code == 0, done.stderr
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").eval()
    theirs, ours = model.state_dict(), back.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in theirs)
    ids = torch.randint(0, VOCAB, (1, 150))
    with torch.no_grad():
        assert torch.equal(back(ids).logits, model(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").encode("river") is not None


def test_a_trained_model_is_exported_and_begun_from_again(torch, trainer, small_tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM

    assert trainer.run("run", "--steps", 3, "--valid-samples", 4).code == 0
    done = mixer("train", "export", trainer.out("run"), tmp_path / "hf")
    assert done.code == 2
    assert "--tokenizer" in done.stderr
    done = mixer("train", "export", trainer.out("run"), tmp_path / "hf", "--tokenizer", small_tokenizer)
    assert done.code == 0, done.stderr
    published = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert published.config.vocab_size == read(trainer.data).tokenizer.vocab_size

    assert mixer("train", "import", tmp_path / "hf", tmp_path / "imported").code == 0
    for name, init in (("folder", tmp_path / "hf"), ("imported", tmp_path / "imported"), ("run", trainer.out("run"))):
        done = trainer.run(f"from-{name}", "--steps", 1, "--valid-samples", 4, "--init", init)
        assert done.code == 0, done.stderr
    # Rows that fill the vocabulary up are not exported, so the losses differ by what little they weigh.
    loss = {name: trainer.steps(f"from-{name}")[0]["loss"] for name in ("folder", "imported", "run")}
    assert loss["folder"] == loss["imported"]
    assert loss["run"] == pytest.approx(loss["folder"], rel=0.05)


@pytest.mark.parametrize("kind", ["qkv", "gate_up", "rows", "columns", "whole"])
def test_the_parts_of_a_tensor_parallel_group_make_the_whole(torch, kind):
    from mixer.train.huggingface import _joined, _split, _taken_apart
    from mixer.train.presets import MODELS

    shape = MODELS["tiny"]
    rows = {"qkv": (64, 32, 32), "gate_up": (176, 176)}.get(kind, (128,))
    parts = [torch.randn(count, shape.hidden) for count in rows]
    joined = _joined(parts, kind, shape)
    whole = _split(joined, kind, 1, 0)
    for part, back in zip(parts, _taken_apart(whole, kind, shape), strict=True):
        assert torch.equal(part, back)
    first, second = (_split(joined, kind, 2, rank) for rank in (0, 1))
    if kind == "whole":
        assert torch.equal(first, second)
    elif kind == "gate_up":  # each process has its half of both
        assert torch.equal(torch.cat([first.chunk(2)[0], second.chunk(2)[0]]), parts[0])
        assert torch.equal(torch.cat([first.chunk(2)[1], second.chunk(2)[1]]), parts[1])
    else:
        assert torch.equal(torch.cat([first, second], dim=1 if kind == "columns" else 0), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tie_word_embeddings": True}, "tie_word_embeddings True, which is not supported"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"model_type": "qwen3"}, "model_type 'qwen3'"),
        ({"intermediate_size": 128}, "the model has (256, 64)"),
        ({"num_hidden_layers": 4}, "holds no tensor model.layers.3"),
    ],
)
def test_what_is_no_plain_llama_is_refused(torch, make, tmp_path, change, message):
    _, folder = make()
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **change}))
    done = mixer("train", "import", folder, tmp_path / "out")
    assert done.code in (1, 2)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_tokenizer_of_a_vocabulary_that_is_no_file_is_written(torch, tmp_path):
    from transformers import AutoTokenizer

    from mixer.tokenize.vocabulary import load_vocabulary
    from mixer.train.presets import MODELS
    from mixer.train.tokenizer import write_tokenizer

    write_tokenizer(tmp_path, "llama3", MODELS["llama3-8b"])
    written, vocabulary = AutoTokenizer.from_pretrained(tmp_path), load_vocabulary("llama3")
    assert written.eos_token_id == vocabulary.eod == 128_001
    assert written.encode("<|end_of_text|>") == [128_001]
    text = "The river 河流 runs."
    assert written.decode(written.encode(text)) == text
    assert len(written) == 128_256
    assert written.chat_template is None


@pytest.mark.parametrize("name", ["llama3", "chatml"])
def test_an_exported_template_writes_dialogues_as_they_were_learned(torch, tmp_path, name, small_tokenizer):
    import numpy as np
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, GenerationConfig

    from mixer.dialogues.encode import encode
    from mixer.dialogues.template import template_of
    from mixer.dialogues.turns import Dialogue, Turn
    from mixer.tokenize.encode import Encoder
    from mixer.tokenize.vocabulary import load_vocabulary
    from mixer.train.presets import MODELS
    from mixer.train.tokenizer import CHAT, write_tokenizer

    path = "llama3"
    if name == "chatml":  # a file of one's own, as Qwen's
        own = Tokenizer.from_file(str(small_tokenizer))
        own.add_special_tokens(["<|im_start|>", "<|im_end|>"])
        own.save(str(tmp_path / "tokenizer.json"))
        path = str(tmp_path / "tokenizer.json")
    vocabulary = load_vocabulary(path)
    shape = MODELS["tiny"].model_copy(update={"vocab_size": vocabulary.vocab_size, "eod": vocabulary.eod})
    (tmp_path / "out").mkdir()
    write_tokenizer(tmp_path / "out", path, shape, name)
    written = AutoTokenizer.from_pretrained(tmp_path / "out")

    said = [
        ("system", "Be short."),
        ("user", "河流？\n\nRivers, please."),
        ("assistant", "Two:\n 1. 河"),
        ("user", "1+1"),
    ]
    turns = [{"role": role, "content": content} for role, content in said]
    turns.append({"role": "assistant", "content": "2"})
    encoder = Encoder(vocabulary)
    dialogue = Dialogue(tuple(Turn(turn["role"], turn["content"]) for turn in turns))
    [(ours,)] = encode([dialogue], template_of(vocabulary, encoder, name), encoder, 500, "cut")
    theirs = written.apply_chat_template(turns, return_dict=False)
    assert theirs[: len(ours.tokens)] == ours.tokens.tolist()
    assert written.decode(theirs[len(ours.tokens) :]).strip() == ""
    asked = written.apply_chat_template(turns[:-1], add_generation_prompt=True, return_dict=False)
    assert asked == ours.tokens[: int(np.flatnonzero(ours.learned)[-2])].tolist()
    ends = GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id
    assert ends == [vocabulary.specials[CHAT[name][0]], vocabulary.eod]
    assert ours.tokens[-1] == ends[0] == written.eos_token_id
