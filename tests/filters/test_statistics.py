import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.filters.kernels.words import segment
from mixer.filters.statistics import STATISTICS, compute
from mixer.text.characters import CLASSES
from mixer.text.utf8 import buffers
from tests.filters import twins

# Few different characters, so that words, lines and n-grams repeat; every character that a definition names is there.
CHARACTERS = "ab1.,_'’-#…• \n\n\r\t\u2028\x0b天か한é\u0301\u200b。！\"\u3000𠮷〇"
PHRASES = [
    "the be to of ",
    "that’s 1,000 x.y\n",
    "好好学习天天向上，每天都要学习",
    "- a b\n",
    "\n\n",
    "...",
    "e\u0301 か\u3099",
    "# ",
    "【天か】",
    "阅读全文 >>\n",
    "。。。",
    "……",
    "read more\n· 的年 12.5 也",
]
texts = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=60),
    st.lists(st.sampled_from(PHRASES), max_size=30).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


def measured(batch, names=STATISTICS):
    column = pa.array(batch, pa.large_string())
    return compute(column, np.arange(len(batch)), names)


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
@example([""])
@example(["\n", "\r\n\r\n", "a\n\n", ". . .", "a.b.", "1,2,c", "天.b", "か\u3099a", "'s it's", "a_b_"])
@example(["天地人" * 80 + "的年的" * 20, "天" * 250, "".join(map(chr, range(0x4E00, 0x4F00)))])
@example(["【【1】】\n【\n】", "。。。。...", "更多>\u3000\n>>", "1. 2.3！\n\n的", "##\u3000# #", "-\n*a"])
@example(["天\u0301a", "\u0301", "\u0301a", "\u200ba\u200b", "-\u0301-", "a\r", "\x85", "a b " * 40, "80's 3’a"])
def test_every_statistic_equals_its_slow_twin(batch):
    found = measured(batch)
    assert set(found) == STATISTICS
    for row, text in enumerate(batch):
        for name, value in twins.statistics(text).items():
            assert np.array_equal(found[name][row], np.float32(value), equal_nan=True), (name, text)


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), st.data())
def test_statistics_do_not_depend_on_the_batch(batch, data):
    whole = measured(batch)
    cut = data.draw(st.integers(0, len(batch)))
    parts = [measured(batch[:cut]), measured(batch[cut:])]
    column = pa.array(["padding", *batch], pa.large_string()).slice(1)
    rows = np.array(data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=4)), np.int64)
    chosen = compute(column, rows, STATISTICS)
    for name in STATISTICS:
        assert np.array_equal(whole[name], np.concatenate([part[name] for part in parts]), equal_nan=True)
        assert np.array_equal(chosen[name], whole[name][rows], equal_nan=True)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_words_equal_their_slow_twin(text):
    data, offsets = buffers(pa.array([text], pa.large_string()))
    size = len(data) + 1
    lengths, kinds = np.empty(size, np.int32), np.empty(size, np.uint8)
    count = segment(data, 0, offsets[1], CLASSES, np.empty(size, np.uint64), lengths, kinds)
    words = twins.split_words(text)
    assert [len(word) for word in words] == lengths[:count].tolist()
    assert [twins.alphabetic(word) + 2 * twins.substance(word) for word in words] == kinds[:count].tolist()
    assert "".join(words) == "".join(char for char in text if not char.isspace())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("that's it, isn’t it?", "that 's it , isn ’t it ?"),
        ("See example.com... now.", "See example.com ... now ."),
        ("3.14 and 1,000,000; f(a,b)", "3.14 and 1,000,000 ; f ( a , b )"),
        ("well-known snake_case -- 'quoted'", "well - known snake_case -- ' quoted '"),
        ("用TiDB存储か\u3099x", "用 TiDB 存 储 か\u3099 x"),
        ("naïve cafe\u0301 100%", "naïve cafe\u0301 100 %"),
    ],
)
def test_words_are_cut_as_defined(text, words):
    assert twins.split_words(text) == words.split(" ")


def test_only_wanted_statistics_are_returned_in_the_order_asked():
    assert list(measured(["one two"], ["words", "characters"])) == ["words", "characters"]
    assert measured([], ["words"])["words"].shape == (0,)
    assert measured(["one two"], []) == {}


def test_repeated_13grams_are_of_han_characters_and_count_what_came_before():
    def share(text):
        return measured([text], ["han_repeated_13grams"])["han_repeated_13grams"][0]

    sentence = "甲乙丙丁戊己庚辛壬癸子丑寅卯"  # 14 different characters
    assert share(sentence * 2) == np.float32(0.5)
    assert share(sentence * 4) == np.float32(0.75)
    assert share("哈" * 100) == np.float32(0.99)
    assert share(f"{sentence}。SELECT * FROM t;\n{sentence[:7]} 42 {sentence[7:]}") == np.float32(0.5)
    assert share("SELECT * FROM t WHERE x = 1;\n" * 9 + sentence) == 0
    assert share("".join(chr(0x4E00 + i) for i in range(2999))) == 0
