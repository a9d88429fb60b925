"""The Llama-3 vocabulary, its reference encoder, and a small tokenizer trained on the spot."""

import base64
from pathlib import Path

import llama_models
import pytest
import tiktoken
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from mixer.tokenize.encode import Encoder
from mixer.tokenize.ranks import LLAMA3_PATTERN
from mixer.tokenize.vocabulary import load_vocabulary

TEXTS = [
    "The quick brown fox jumps over the lazy dog, doesn't it? It's 42.\n",
    "def main(argv):\n    return [int(x) for x in argv]\n\n",
    "人民日报：今天天气很好，我们去公园散步。你好，世界！\n",
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。",
    "naïve café 😀👍🏽 $x^2 + y_1$ <p>hello</p>",
] * 3


@pytest.fixture(scope="session")
def llama3():
    return load_vocabulary("llama3")


@pytest.fixture(scope="session")
def llama3_encoder(llama3):
    return Encoder(llama3)


@pytest.fixture(scope="session")
def llama3_file():
    return Path(llama_models.__file__).parent / "llama3" / "tokenizer.model"


@pytest.fixture(scope="session")
def reference(llama3_file):
    """Return ``tiktoken`` over the Llama-3 ranks."""
    lines = (line.split() for line in llama3_file.read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding("reference", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens={})


def train(specials=("<|endoftext|>", "<|pad|>"), normalizer=None, *, prefix_space=False):
    """Train a small byte-level BPE tokenizer as GPT-2's are made."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@pytest.fixture
def saved(tmp_path):
    """Return a function that writes a trained tokenizer to a file and returns the path."""

    def save(tokenizer, name="tiny"):
        path = tmp_path / name / "tokenizer.json"
        path.parent.mkdir(parents=True)
        tokenizer.save(str(path))
        return path

    return save
