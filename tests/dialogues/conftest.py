"""The Llama-3 vocabulary with its template, and DATA.yaml over files written on the spot."""

import json
from pathlib import Path

import pytest
import tokenizers

from mixer.dialogues.prepare import prepare
from mixer.dialogues.settings import LoadedTuning, check
from mixer.dialogues.template import template_of
from mixer.tokenize.encode import Encoder
from mixer.tokenize.vocabulary import load_vocabulary
from tests.tokenize.conftest import train


@pytest.fixture(scope="session")
def vocabulary():
    return load_vocabulary("llama3")


@pytest.fixture(scope="session")
def encoder(vocabulary):
    return Encoder(vocabulary)


@pytest.fixture(scope="session")
def template(vocabulary, encoder):
    return template_of(vocabulary, encoder)


@pytest.fixture(scope="session")
def decode():
    """Turn ids back into text with Meta's own tokenizer; special tokens by name."""
    from llama_models.llama3.tokenizer import Tokenizer

    return Tokenizer.get_instance().decode


@pytest.fixture(scope="session")
def little_path(tmp_path_factory):
    """A small tokenizer.json with the special tokens of Llama 3, which loads in no time."""
    path = tmp_path_factory.mktemp("little") / "tokenizer.json"
    names = ("<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    train(names).save(str(path))
    return path


@pytest.fixture(scope="session")
def little(little_path):
    return load_vocabulary(str(little_path))


@pytest.fixture(scope="session")
def spell(little_path):
    """Turn ids of the little vocabulary back into text, special tokens by name."""
    tokenizer = tokenizers.Tokenizer.from_file(str(little_path))
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=False)


@pytest.fixture
def loaded(tmp_path):
    """Return what makes a checked DATA.yaml of records by source, with further keys."""

    def make(records, sources=None, **keys):
        given = []
        for name, rows in records.items():
            path = tmp_path / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
            given.append({"name": name, "paths": [str(path)], **(sources or {}).get(name, {})})
        return LoadedTuning(check({"sources": given, **keys}, "DATA.yaml"), Path(tmp_path))

    return make


@pytest.fixture
def made(loaded, little):
    """Return what prepares records by source."""

    def make(records, sources=None, kind="dialogue", **keys):
        return prepare(loaded(records, sources, **keys), kind, little)

    return make
