import builtins
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.documents import make_batch, set_column
from mixer.errors import RecipeError
from mixer.filters.conversion import convert, count_new
from mixer.filters.edits import EDITORS, edit
from mixer.filters.families import conversion
from mixer.filters.script import add_script
from mixer.filters.table import check_named
from mixer.text.utf8 import buffers

opencc = pytest.importorskip("opencc", reason="needs the extra `opencc`")


def column(texts):
    return pa.array(texts, pa.large_string())


def converted(texts, configuration):
    found, counts = convert(column(texts), configuration)
    assert found.type == pa.large_string()
    assert counts.dtype == np.int32
    return found.to_pylist(), counts.tolist()


def test_words_are_converted_not_characters():
    assert converted(["理发后发展内存", "English", ""], "s2t") == (["理髮後發展內存", "English", ""], [4, 0, 0])
    assert converted(["内存和软件"], "s2twp") == (["記憶體和軟體"], [5])
    assert converted(["著名的乾隆，乾淨", "a\0\n國"], "t2s") == (["著名的乾隆，干净", "a\0\n国"], [2, 1])
    assert converted([], "t2s") == ([], [])


def test_it_is_an_edit_that_only_recipes_ask_for():
    check = check_named(conversion.CONVERT)
    assert check.default("web", "zh") is None
    assert not check.profiles
    batch = make_batch(["f"] * 3, range(3), ["國語", "国语", "國 a"])
    batch = set_column(batch, "language", pa.array(["zh", "zh", "en"], pa.string()))
    batch = add_script(edit(batch, {"zh": {conversion.CONVERT: "t2s"}}, EDITORS))
    assert batch["text"].to_pylist() == ["国语", "国语", "國 a"]
    assert batch["edits.chinese.convert"].to_pylist() == [2, 0, None]
    assert batch["script"].to_pylist() == ["Hans", "Hans", None]  # of the text as it is now


def test_every_choice_is_a_configuration_and_others_are_refused():
    check = check_named(conversion.CONVERT)
    for configuration in conversion.CONFIGURATIONS:
        assert check.read(configuration) == configuration
    for other in ("t2jp", "jp2t", "t2x", True, 1, None):
        with pytest.raises(ValueError, match="takes one of t2s, "):
            check.read(other)


@pytest.fixture
def without_opencc(monkeypatch):
    installed = builtins.__import__

    def absent(name, *rest):
        if name == "opencc":
            raise ImportError(name)
        return installed(name, *rest)

    conversion.load.cache_clear()
    monkeypatch.setattr(builtins, "__import__", absent)
    yield
    conversion.load.cache_clear()


@pytest.mark.usefixtures("without_opencc")
def test_a_recipe_that_asks_for_it_without_the_library_is_refused():
    with pytest.raises(ValueError, match=r"not installed\n  remedy: pip install 'mixer\[opencc\]'"):
        check_named(conversion.CONVERT).read("t2s")
    with pytest.raises(RecipeError, match="needs OpenCC"):
        convert(column(["國"]), "t2s")


def test_a_configuration_that_the_installed_version_lacks_is_refused():
    with pytest.raises(RecipeError, match="has no configuration 's2xx'"):
        conversion.load("s2xx")


texts = st.lists(st.tuples(st.text("國国語语aé𠮷", max_size=9), st.text("國国語语aé𠮷", max_size=9)), max_size=5)


@settings(deadline=None)
@given(texts)
def test_counts_equal_their_slow_twin(pairs):
    before, after = column([a for a, _ in pairs]), column([b for _, b in pairs])
    expected = [(Counter(b) - Counter(a)).total() for a, b in pairs]
    assert count_new(*buffers(before), *buffers(after)).tolist() == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4), st.integers(0, 4))
def test_batches_do_not_matter(texts, cut):
    whole = converted(texts, "t2s")
    first, second = converted(texts[:cut], "t2s"), converted(texts[cut:], "t2s")
    assert whole == (first[0] + second[0], first[1] + second[1])
