import base64
import hashlib
import json
import pickle

import numpy as np
import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from mixer.errors import RecipeError
from mixer.tokenize import ranks, selfcheck, vocabulary
from mixer.tokenize.vocabulary import Vocabulary, load_vocabulary
from tests.tokenize.conftest import train


def edited(path, **changes):
    """Change top-level entries of a tokenizer.json."""
    content = json.loads(path.read_text("utf-8"))
    content.update(changes)
    path.write_text(json.dumps(content), "utf-8")
    return path


class TestLlama3:
    def test_facts(self, llama3, llama3_file):
        assert (llama3.name, llama3.vocab_size, llama3.eod, llama3.bos) == ("llama3", 128256, 128001, False)
        assert llama3.sha256 == hashlib.sha256(llama3_file.read_bytes()).hexdigest() == vocabulary.LLAMA3_SHA256
        assert (llama3.engine, llama3.byte_exact, llama3.warnings) == ("gigatoken", True, ())
        assert llama3.specials["<|begin_of_text|>"] == 128000
        assert llama3.specials["<|eot_id|>"] == 128009
        assert sorted(llama3.specials.values()) == list(range(128000, 128256))

    def test_bytes_of_every_token(self, llama3, reference):
        assert llama3.token_bytes.dtype == np.int32
        expected = [len(reference.decode_single_token_bytes(token)) for token in range(128000)]
        assert llama3.token_bytes.tolist() == expected + [0] * 256

    def test_specials_are_those_of_the_package(self, llama3):
        tokenizer = pytest.importorskip("llama_models.llama3.tokenizer")
        assert llama3.specials == tokenizer.Tokenizer.get_instance().special_tokens

    def test_every_split_is_a_merge(self, llama3):
        model = json.loads(llama3.tokenizer)["model"]
        assert len(model["merges"]) == 280_147
        assert json.loads(llama3.tokenizer)["added_tokens"] == []

    def test_path_gives_the_same(self, llama3, llama3_file):
        assert load_vocabulary(str(llama3_file)).key == llama3.key

    def test_pickles(self, llama3):
        copy = pickle.loads(pickle.dumps(llama3))
        assert isinstance(copy, Vocabulary)
        assert copy.key == llama3.key

    def test_not_installed(self, monkeypatch):
        monkeypatch.setattr(vocabulary.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(RecipeError, match="pip install llama-models"):
            load_vocabulary("llama3")


class TestMerges:
    def test_slow_twin(self):
        tokens = [bytes([byte]) for byte in range(256)] + [b"ab", b"bc", b"abc", b"abcd", b"cd"]
        twin = [
            (tokens.index(left), tokens.index(right))
            for token in tokens
            for left, right in sorted(
                ((token[:cut], token[cut:]) for cut in range(1, len(token))),
                key=lambda pair: [tokens.index(part) if part in tokens else -1 for part in pair],
            )
            if left in tokens and right in tokens
        ]
        assert ranks.merges(tokens) == twin
        assert (tokens.index(b"a"), tokens.index(b"bc")) in twin
        assert (tokens.index(b"ab"), tokens.index(b"cd")) in twin

    def test_byte_letters_are_those_of_byte_level(self):
        assert sorted(ranks.byte_letters().values()) == sorted(pre_tokenizers.ByteLevel.alphabet())
        piece = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("é \n")
        letters = ranks.byte_letters()
        assert piece[0][0] == "".join(letters[byte] for byte in "é \n".encode())


class TestRanks:
    def write(self, path, tokens):
        lines = (base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens))
        path.write_bytes(b"\n".join(lines) + b"\n")
        return str(path)

    def test_another_vocabulary(self, tmp_path):
        tokens = [bytes([byte]) for byte in range(256)] + [b"he", b"ll", b"hell", b" w", b"or"]
        loaded = load_vocabulary(self.write(tmp_path / "tiny.tiktoken", tokens))
        assert (loaded.name, loaded.vocab_size, loaded.eod) == ("tiny", 261 + 256, 262)

    @pytest.mark.parametrize(
        "tokens",
        [[b"a", b"b"], [bytes([byte]) for byte in range(256)] + [b"a"], [bytes([byte]) for byte in range(256)] + [b""]],
        ids=["bytes missing", "twice", "empty"],
    )
    def test_broken(self, tmp_path, tokens):
        with pytest.raises(RecipeError, match=r"tiny\.tiktoken cannot be used"):
            load_vocabulary(self.write(tmp_path / "tiny.tiktoken", tokens))

    def test_of_another_pattern(self, tmp_path):
        path = self.write(tmp_path / "cl100k_base.tiktoken", [bytes([byte]) for byte in range(256)])
        with pytest.raises(RecipeError, match="cuts text in another way"):
            load_vocabulary(path)

    def test_sentencepiece(self, tmp_path):
        (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02\n")
        with pytest.raises(RecipeError, match=r"SentencePiece model(.|\n)*tokenizer.json beside it"):
            load_vocabulary(str(tmp_path / "tokenizer.model"))


class TestTokenizerJson:
    def test_facts(self, saved):
        tokenizer = train()
        path = saved(tokenizer)
        loaded = load_vocabulary(str(path))
        assert loaded.name == "tiny"
        assert loaded.vocab_size == tokenizer.get_vocab_size()
        assert loaded.eod == tokenizer.token_to_id("<|endoftext|>")
        assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (loaded.engine, loaded.byte_exact, loaded.warnings) == ("gigatoken", True, ())
        assert loaded.specials == {"<|endoftext|>": 0, "<|pad|>": 1}
        for text, token in tokenizer.get_vocab().items():
            expected = 0 if token < 2 else len(tokenizer.decode([token]).encode()) if text.isascii() else None
            assert expected is None or loaded.token_bytes[token] == expected

    def test_directory_and_end_beside_it(self, saved):
        path = saved(train(specials=["<stop>", "<pad>"]))
        with pytest.raises(RecipeError, match="none of its tokens is known to end a document"):
            load_vocabulary(str(path.parent))
        for named in ("<stop>", {"content": "<stop>"}):
            (path.parent / "tokenizer_config.json").write_text(json.dumps({"eos_token": named}))
            assert load_vocabulary(str(path.parent)).eod == 0

    def test_end_of_turn_does_not_end_a_document(self, saved):
        path = saved(train(specials=["<|im_end|>", "</s>", "<|endoftext|>"]))
        (path.parent / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
        assert load_vocabulary(str(path)).eod == 2

    def test_runs_of_space_stay(self, saved):
        tokenizer = train()
        tokenizer.add_tokens([tokenizers.AddedToken("      ", normalized=False), tokenizers.AddedToken("<tool>")])
        tokenizer.add_special_tokens(["<|im_start|>"])
        loaded = load_vocabulary(str(saved(tokenizer)))
        assert sorted(loaded.specials) == ["<tool>", "<|endoftext|>", "<|im_start|>", "<|pad|>"]
        space = tokenizer.token_to_id("      ")
        assert loaded.token_bytes[space] == 6
        assert space in selfcheck.reference_of(loaded.tokenizer)("a      b")

    def test_normalising_is_not_byte_exact(self, saved):
        assert not load_vocabulary(str(saved(train(normalizer=normalizers.NFC())))).byte_exact
        assert not load_vocabulary(str(saved(train(prefix_space=True), "prefix"))).byte_exact

    def test_dropout_is_switched_off(self, saved):
        path = saved(train())
        model = json.loads(path.read_text("utf-8"))["model"]
        loaded = load_vocabulary(str(edited(path, model={**model, "dropout": 0.5})))
        assert json.loads(loaded.tokenizer)["model"]["dropout"] is None

    def test_sentencepiece_style(self, saved):
        vocab = {"<unk>": 0, "</s>": 1, "▁": 2, "a": 3, "▁a": 4, "人": 5}
        vocab.update({f"<0x{byte:02X}>": 6 + byte for byte in range(256)})
        tokenizer = tokenizers.Tokenizer(
            models.BPE(vocab, [("▁", "a")], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
        )
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.add_special_tokens(["<unk>", "</s>"])
        loaded = load_vocabulary(str(saved(tokenizer)))
        assert loaded.eod == 1
        assert not loaded.byte_exact
        assert loaded.token_bytes[:7].tolist() == [0, 0, 1, 1, 2, 3, 1]

    def test_falls_back(self, saved):
        """A pre-tokenizer that the fast encoder does not know: the reference encodes, and the user is told."""
        tokenizer = train()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex("[aeiou]+"), "merged_with_previous"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        loaded = load_vocabulary(str(saved(tokenizer)))
        assert loaded.engine == "tokenizers"
        assert loaded.byte_exact
        assert "tokenizer tiny: gigatoken" in loaded.warnings[0]

    def test_text_must_not_end_a_document(self, saved):
        """A unigram model finds its special pieces in text even when they are no added tokens."""
        pieces = [("<unk>", -20.0), ("</s>", 0.0), *((letter, -3.0) for letter in "<>/s▁abcdefgh")]
        tokenizer = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
        tokenizer.add_special_tokens(["</s>"])
        with pytest.raises(RecipeError, match="would become the token that ends a document"):
            load_vocabulary(str(saved(tokenizer)))

    @pytest.mark.parametrize(
        "content",
        ["{", "{}", '{"model": {}}', '{"model": {"vocab": {}}}', '{"model": {"vocab": 3}}', '{"a": "\\ud800"}'],
    )
    def test_broken(self, tmp_path, content):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(RecipeError, match=r"tokenizer\.json cannot be used"):
            load_vocabulary(str(tmp_path))


class TestNames:
    def test_unknown_name(self):
        with pytest.raises(RecipeError, match=r"did you mean 'llama3'(.|\n)*known names: llama3"):
            load_vocabulary("lama3")

    def test_directory_without_a_tokenizer(self, tmp_path):
        with pytest.raises(RecipeError, match=r"holds no tokenizer\.json"):
            load_vocabulary(str(tmp_path))

    def test_key_tells_vocabularies_apart(self, llama3, saved):
        first = load_vocabulary(str(saved(train())))
        second = load_vocabulary(str(saved(train(specials=["</s>", "<|pad|>"]), "other")))
        assert len({llama3.key, first.key, second.key}) == 3
