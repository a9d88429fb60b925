import io
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.dedup.fingerprint import FingerprintWriter, fingerprint, load
from mixer.dedup.minhash import functions
from mixer.dedup.settings import MinhashSettings
from mixer.engine.outputs import Outputs
from mixer.errors import InputError
from tests.dedup import twin

SMALL = MinhashSettings(shingle=2, bands=3, rows=2)
words = st.lists(st.sampled_from(["a", "b", "B", "the", "中", "文", "あ", "ー", "，", "한국어", "é", "e\u0301", "\n"]))
texts = st.lists(words.map(" ".join) | words.map("".join) | st.text(max_size=20), max_size=8)


def column(texts):
    return pa.array(texts, pa.large_string())


@given(texts, st.integers(1, 6), st.integers(0, 2**64 - 1))
@example(["", " ", "a", "a b c d", "a b c d e", "a b c d e f"], 5, 1)
@settings(deadline=None)
def test_fingerprints_are_the_twins(texts, shingle, seed):
    minhash = MinhashSettings(shingle=shingle, bands=3, rows=2, seed=seed)
    made = fingerprint(column(texts), minhash)
    assert made.exact.tolist() == [twin.exact_key(text) for text in texts]
    assert made.signatures.tolist() == [twin.signature(text, minhash) for text in texts]


@pytest.mark.parametrize("units", [2046, 2047, 2048, 2049, 2052, 2053, 4096, 5000])
@pytest.mark.parametrize("shingle", [1, 2, 5, 64])
def test_documents_longer_than_a_block(units, shingle):
    rng = np.random.default_rng(units)
    text = " ".join(map(str, rng.integers(0, 10_000, units)))
    minhash = MinhashSettings(shingle=shingle, bands=2, rows=2)
    assert fingerprint(column([text]), minhash).signatures[0].tolist() == twin.signature(text, minhash)


def test_units_as_the_design_has_them():
    assert twin.units("abc中文，hello") == ["abc", "中", "文", "，hello"]
    assert twin.units("Ｘ=カナ, don't  stop.") == ["ｘ=", "カ", "ナ", ",", "don't", "stop."]


def test_order_and_bounds_of_units_count():
    made = fingerprint(column(["a b", "b a", "ab", "a b c", "aa", "a a"]), MinhashSettings(shingle=2)).signatures
    assert len(np.unique(made[:, 0])) == 6
    apart = fingerprint(column(["中文", "中 文"]), MinhashSettings())
    assert (apart.signatures[0] == apart.signatures[1]).all()
    assert (apart.exact[0] != apart.exact[1]).any()


def test_a_short_document_equals_only_its_like():
    """Texts with fewer units than a shingle, and those with none, share nothing with others: no empty signatures."""
    texts = ["", "  \n", "a", "a b", "a b c d", "a b c d e", "a b c d e f", "b", "0"]
    signatures = fingerprint(column(texts), MinhashSettings()).signatures
    agreeing = (signatures[:, None] == signatures[None]).mean(axis=2)
    assert agreeing[0, 1] == 1
    assert 0.3 < agreeing[5, 6] < 0.7  # one shingle of two in common
    agreeing[0, 1] = agreeing[1, 0] = agreeing[5, 6] = agreeing[6, 5] = 0
    assert agreeing.sum() == len(texts)


@given(texts, st.data())
@settings(deadline=None)
def test_any_batch_boundaries_give_the_same_file(texts, data):
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(texts))))), len(texts)]
    whole, parts = io.BytesIO(), io.BytesIO()
    FingerprintWriter(whole, SMALL).write(column(texts))
    writer = FingerprintWriter(parts, SMALL)
    for first, last in pairwise(cuts):
        writer.write(column(texts).slice(first, last - first))
    assert whole.getvalue() == parts.getvalue()


@pytest.mark.parametrize("minhash", [MinhashSettings(), SMALL, None])
@pytest.mark.parametrize("documents", [0, 1, 1000])
def test_what_is_written_is_loaded(tmp_path, minhash, documents):
    texts = column([f"document {number}" for number in range(documents)])
    outputs = Outputs(tmp_path)
    with outputs.open("run/f.bin") as file:
        FingerprintWriter(file, minhash).write(texts)
    loaded, made = load(tmp_path / "run/f.bin", minhash.hashes if minhash else 0), fingerprint(texts, minhash)
    assert len(loaded) == documents
    assert (loaded.exact == made.exact).all()
    assert (loaded.signatures == made.signatures).all()
    assert loaded.exact.dtype == np.uint64
    assert loaded.signatures.dtype == np.uint32
    assert loaded.signatures.shape == (documents, minhash.hashes if minhash else 0)


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / "f.bin"
    file = io.BytesIO()
    FingerprintWriter(file, SMALL).write(column(["a", "b"]))
    for content, hashes in ((file.getvalue()[:-1], 6), (b"", 6), (b"x" * 200, 6), (file.getvalue(), 7)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"f\.bin") as raised:
            load(path, hashes)
        assert raised.value.remedy


def test_bytes_are_what_they_were():
    """Receipts outlive versions of this package; a change of the format needs a new mark in the head."""
    file = io.BytesIO()
    FingerprintWriter(file, SMALL).write(column(["Hello, 世界"]))
    assert file.getvalue() == bytes.fromhex(
        "66696e6765727031 0600000000000000"
        "ee3b664b60c9299c 9bf344484ae133c0"
        "4fec1e6c daee8605 07eea11c 3cb55d30 84463b0e c478112f"
    )


def test_functions_are_permutations_and_differ():
    a, b = functions(MinhashSettings())
    assert (a % 2 == 1).all()
    assert len(np.unique(a)) == len(np.unique(b)) == 112
    assert (functions(MinhashSettings(seed=2))[0] != a).any()
