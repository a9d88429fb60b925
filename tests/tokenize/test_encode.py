import itertools
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from mixer.errors import MixerError
from mixer.tokenize import encode, selfcheck
from mixer.tokenize.encode import Encoder
from mixer.tokenize.vocabulary import load_vocabulary
from tests.tokenize import real
from tests.tokenize.conftest import train

PIECES = st.sampled_from(
    [
        "<|end_of_text|>",
        "<|begin_of_text|>",
        "<|eot_id|>",
        "<|reserved_special_token_0|>",
        "<|endoftext|>",
        "</s>",
        "'LL",
        "'s",
        " the",
        "人民",
        "，",
        "。」",
        "龘𠮷㐂",
        "👩‍👩‍👧",
        "\r\n\r\n",
        "\n \n",
        "        ",
        "\u3000",
        "12345",
        "１２",
        "\x00",
        "ﬁ",
        "e\u0301",
        "==>",
    ]
)
TEXT = st.lists(st.one_of(PIECES, st.text(max_size=12), st.text("ab '\n 中文１,.", max_size=12))).map("".join)


def rows(ids, offsets):
    return [ids[start:end].tolist() for start, end in pairwise(offsets)]


def column(texts):
    return pa.array(texts, pa.large_string())


class TestLlama3:
    @settings(max_examples=400, deadline=None)
    @given(st.lists(TEXT, max_size=6))
    def test_equals_tiktoken(self, llama3_encoder, reference, texts):
        ids, offsets = llama3_encoder.encode(column(texts))
        assert (ids.dtype, offsets.dtype) == (np.uint32, np.int64)
        assert rows(ids, offsets) == [reference.encode_ordinary(text) for text in texts]

    def test_special_tokens_are_text(self, llama3, llama3_encoder):
        """Every special token's spelling, alone and inside text, becomes ordinary tokens."""
        texts = [
            f"{before}{special}{after}" for special in llama3.specials for before, after in (("", ""), ("a ", "\n"))
        ]
        ids, _ = llama3_encoder.encode(column(texts))
        assert ids.max() < 128_000

    def test_samples_of_the_selfcheck(self, llama3_encoder, reference):
        ids, offsets = llama3_encoder.encode(column(list(selfcheck.SAMPLES)))
        assert rows(ids, offsets) == [reference.encode_ordinary(text) for text in selfcheck.SAMPLES]

    def test_every_token_alone(self, llama3, llama3_encoder, reference):
        """Tokens of whole characters, each encoded on its own (all 128,000 were tried; every seventh will do)."""
        texts = [reference.decode([token]) for token in range(0, 128_000, 7)]
        texts = [text for text in texts if "\ufffd" not in text]
        assert len(texts) > 17_000
        ids, offsets = llama3_encoder.encode(column(texts))
        assert rows(ids, offsets) == reference.encode_ordinary_batch(texts, num_threads=1)

    def test_hostile(self, llama3_encoder, reference):
        random = np.random.default_rng(0)
        texts = [
            "a" * 3000,
            " " * 3000,
            "\n" * 3000,
            "\x00" * 3000,
            "".join(map(chr, random.integers(0x4E00, 0x9FFF, 3000))),
            "".join(map(chr, random.integers(0x20000, 0x2A6DF, 1000))),
            "".join(map(chr, random.integers(33, 127, 3000))),
        ]
        ids, offsets = llama3_encoder.encode(column(texts))
        assert rows(ids, offsets) == [reference.encode_ordinary(text) for text in texts]

    def test_slices_and_nothing(self, llama3_encoder):
        texts = column(["one", "", "三", "four"])
        whole = rows(*llama3_encoder.encode(texts))
        assert rows(*llama3_encoder.encode(texts.slice(1, 2))) == whole[1:3]
        assert rows(*llama3_encoder.encode(texts.slice(1, 1))) == [[]]
        assert rows(*llama3_encoder.encode(texts.slice(4))) == []

    @pytest.mark.real_data
    @pytest.mark.parametrize("path", real.paths(), ids=lambda path: path.name)
    def test_real_documents(self, llama3_encoder, reference, path):
        texts = real.sample(path)
        assert texts
        ids, offsets = llama3_encoder.encode(column(texts))
        assert rows(ids, offsets) == [reference.encode_ordinary(text) for text in texts]


class TestMemory:
    def test_renewal_changes_no_ids(self, llama3, monkeypatch):
        """A process that grows by a byte with each look at it passes the bound after every batch."""
        sizes = itertools.count(1)
        monkeypatch.setattr(encode, "_resident_bytes", lambda: next(sizes))
        encoder = Encoder(llama3, cache_bytes=1)
        texts = column(["春眠不覺曉，" * 40, "hello world " * 40])
        first = encoder.encode(texts)
        again = encoder.encode(texts)
        assert encoder.renewals == 1
        assert [part.tolist() for part in first] == [part.tolist() for part in again]

    def test_without_proc(self, llama3, monkeypatch):
        """Where the system does not tell the process's size, text is counted."""
        monkeypatch.setattr(encode, "_resident_bytes", lambda: 0)
        monkeypatch.setattr(encode, "BLIND_BYTES", 3000)
        encoder = Encoder(llama3)
        for _ in range(4):
            encoder.encode(column(["x" * 1001]))
        assert encoder.renewals == 1

    def test_resident_bytes(self):
        assert encode._resident_bytes() > 10 << 20 or not Path("/proc/self/statm").exists()


class TestFailures:
    def test_nulls(self, llama3_encoder):
        with pytest.raises(ValueError, match="nulls"):
            llama3_encoder.encode(pa.array(["a", None], pa.large_string()))

    def panicking(self, llama3):
        class PanicException(BaseException):
            """What the fast encoder raises, by name and base."""

        class Broken:
            def encode_batch(self, *_, **__):
                raise PanicException("index out of range")

        encoder = Encoder(llama3)
        encoder._encoder = Broken()
        return encoder

    def test_a_panic_names_the_documents(self, llama3):
        with pytest.raises(
            MixerError, match=r"a\.jsonl, record 3 to b\.jsonl, record 1: .* failed: index out of range"
        ):
            self.panicking(llama3).encode(column(["x"]), "a.jsonl, record 3 to b.jsonl, record 1")

    def test_an_interrupt_stays_one(self, llama3):
        class Interrupted:
            def encode_batch(self, *_, **__):
                raise KeyboardInterrupt

        encoder = Encoder(llama3)
        encoder._encoder = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            encoder.encode(column(["x"]))

    @pytest.mark.parametrize("field", ["eod", "vocab_size"])
    def test_ids_are_checked(self, llama3, field):
        """An id out of range, or the end of a document out of text, never reaches a shard."""

        token = int(Encoder(llama3).encode(column(["hello"]))[0][0])
        with pytest.raises(MixerError, match="gave an id that no text may have"):
            Encoder(replace(llama3, **{field: token})).encode(column(["hello"]), "a.jsonl, record 0")


class TestTokenizerJson:
    @pytest.mark.parametrize(
        ("normalizer", "pre_tokenizer"),
        [
            (None, None),
            (normalizers.NFC(), None),
            (
                None,
                pre_tokenizers.Sequence(
                    [
                        pre_tokenizers.Split(tokenizers.Regex("[aeiou]+"), "merged_with_previous"),
                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                    ]
                ),
            ),
        ],
        ids=["gpt2", "nfc", "fallback"],
    )
    def test_equals_tokenizers(self, saved, normalizer, pre_tokenizer):
        tokenizer = train(normalizer=normalizer)
        if pre_tokenizer:
            tokenizer.pre_tokenizer = pre_tokenizer
        loaded = load_vocabulary(str(saved(tokenizer)))
        encoder = Encoder(loaded)
        plain = selfcheck.reference_of(loaded.tokenizer)

        @settings(max_examples=100, deadline=None)
        @given(st.lists(TEXT, max_size=4))
        def check(texts):
            got = rows(*encoder.encode(column(texts)))
            assert got == [plain(text) for text in texts]
            for text, ids in zip(texts, got, strict=True):
                assert loaded.eod not in ids
                if not any(special in text for special in loaded.specials):
                    assert ids == tokenizer.encode(text, add_special_tokens=False).ids

        check()
