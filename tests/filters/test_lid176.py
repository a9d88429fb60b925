import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.errors import MixerError
from mixer.filters.language import load_model, model_file
from mixer.filters.lid176 import read_model
from mixer.text.utf8 import buffers
from tests.filters import corpora


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def peer():
    return fasttext.load_model(str(model_file()))


def ours(model, texts):
    numbers, scores = model.best(*buffers(pa.array(texts, pa.large_string())))
    return [model.labels[number] for number in numbers], scores


def theirs(peer, texts):
    found = [peer.f.predict(text.encode().replace(b"\n", b" ") + b"\n", 1, 0.0, "strict") for text in texts]
    return [answer[0][1].removeprefix("__label__") for answer in found], [answer[0][0] for answer in found]


def agree(model, peer, texts):
    labels, scores = ours(model, texts)
    expected, probabilities = theirs(peer, texts)
    assert np.allclose(scores, probabilities, rtol=0, atol=1e-6)
    differing = [text for text, a, b in zip(texts, labels, expected, strict=True) if a != b]
    assert not differing


WORDS = [
    "the",
    "house",
    "el",
    "perro",
    "中文",
    "中",
    "かな",
    "한국",
    "é",
    "\u0301",
    "𠮷",
    "a",
    "z",
    "9",
    "'",
    "-",
    "<",
    ">",
]
SPACES = [" ", " ", " ", "\t", "\n", "\0", "\x0b", "\x0c", "\r", "\u3000", "\x85"]
PIECES = [*WORDS, *SPACES, "</s>", "__label__en", "__label__", "_", "-"]
texts = st.lists(
    st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    ),
    max_size=5,
)


@settings(deadline=None, max_examples=300)
@given(texts)
@example(["", " ", "</s>", "a </s> perro", "a</s> perro", "__label__en perro", "__label__", "x" * 3000])
def test_any_text_gets_the_label_and_score_of_the_library(model, peer, texts):
    agree(model, peer, texts)


@settings(deadline=None, max_examples=50)
@given(texts, st.integers(0, 5))
def test_batches_do_not_matter(model, texts, cut):
    numbers, scores = model.best(*buffers(pa.array(texts, pa.large_string())))
    parts = [model.best(*buffers(pa.array(part, pa.large_string()))) for part in (texts[:cut], texts[cut:])]
    assert np.array_equal(numbers, np.concatenate([found for found, _ in parts]))
    assert np.array_equal(scores, np.concatenate([found for _, found in parts]))


def test_the_labels_are_those_of_the_library(model, peer):
    known = peer.f.predict(b"\n", 1000, -1.0, "strict")
    assert set(model.labels) == {name.removeprefix("__label__") for _, name in known}


def test_offsets_need_not_begin_at_0(model):
    data, offsets = buffers(pa.array(["aaa", "the house is old", "el perro"], pa.large_string()))
    assert [model.labels[number] for number in model.best(data, offsets[1:])[0]] == ["en", "es"]


def test_another_kind_of_model_is_refused(tmp_path):
    whole = model_file().read_bytes()
    path = tmp_path / "other.bin"
    for begin in (0, 4, 32):  # magic number, version, loss
        path.write_bytes(whole[:begin] + b"\x07\0\0\0" + whole[begin + 4 :])
        with pytest.raises(MixerError, match="no fastText model of the kind"):
            read_model(path)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "en/wikitext2_lines.parquet",
        "en/dclm_majority.jsonl.zst",
        "zh/tldr_en_zh_zhtw.jsonl.gz",
        "zh/song_ci_simplified.json.gz",
        "math/ape210k_valid.jsonl.gz",
        "code/stack_exchange_qa.jsonl.gz",
    ],
)
def test_real_documents_get_the_label_of_the_library(name, model, peer):
    agree(model, peer, [text[:2000] for text in corpora.texts(name)[:3000]])
