import re
from itertools import pairwise

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.documents import make_batch
from mixer.filters import language as lid
from mixer.filters.settings import LanguageSettings
from mixer.text import characters as c
from mixer.text.characters import CLASSES
from mixer.text.utf8 import buffers
from tests.filters import corpora, twins

WANTED = {"en", "zh"}
ENGLISH = "The committee meets on Tuesday to talk about the new library and what it should cost."
SPANISH = "¿Cómo puedo convertir una fecha en formato de texto a un número? Gracias por la ayuda."


@pytest.fixture(scope="module")
def model():
    return lid.load_model()


def labels(texts, model, language="auto", domain="web", accepted=WANTED, **values):
    batch = make_batch(["f"] * len(texts), range(len(texts)), texts)
    batch = lid.label(batch, language, domain, accepted, LanguageSettings(**values), model)
    return list(zip(batch["language"].to_pylist(), batch["reason"].to_pylist(), strict=True))


def test_script_decides_chinese_however_short_or_traditional(model):
    texts = [
        "春眠不覺曉，處處聞啼鳥。",
        "體驗2D巔峰 倚天屠龍記",
        "左傳",
        "蜡屐径来堂上，倚杖け然长啸，万里看云涛。逸兴浩无际，安得驾灵鳌。",
    ]
    assert labels(texts, model) == [("zh", None)] * 4


def test_other_languages_are_named_and_dropped(model):
    texts = [
        ENGLISH,
        SPANISH,
        "日本語の文章は漢字とかなを混ぜて書かれます。とても便利です。",
        "한국어 문장은 한글로 씁니다. 아주 쉽습니다.",
    ]
    assert labels(texts, model) == [
        ("en", None), ("es", lid.OTHER), ("ja", lid.OTHER), ("ko", lid.OTHER),
    ]  # fmt: skip
    assert labels(texts[:2], model, accepted={"es"}) == [("en", lid.OTHER), ("es", None)]


def test_a_chinese_name_does_not_make_an_english_page_chinese(model):
    assert labels([f"{ENGLISH} Its chairman is Wang Xiaoming (王小明)."], model) == [("en", None)]


def test_chinese_prose_between_code_is_chinese(model):
    text = (
        "本文介绍如何创建索引。\n```sql\nCREATE TABLE t_order (id BIGINT PRIMARY KEY, name VARCHAR(64));\n```\n"
        "执行上面的语句之后，再查询一次。\n```\nmysql> SELECT name FROM t_order;\nEmpty set (0.01 sec)\n```\n"
    )
    assert labels([text], model) == [("zh", None)]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("著作権", "ja"),
        ("東京都千代田区\n神奈川県横浜市西区", "ja"),
        ("春眠不覚暁処処聞啼鳥", "ja"),
        ("iPhone 3GS性能 iPod touch热卖2070元", "zh"),  # Japanese with 0.9, says fastText
        ("消息称Facebook接近收购Foursquare", "zh"),
        ("还行。。。\nPositive", "zh"),
    ],
)
def test_japanese_and_chinese_without_kana_are_told_apart_by_their_characters(text, label, model):
    assert labels([text], model, accepted={"zh", "ja"}) == [(label, None)]


class Scripted:
    """A model that knows some texts by heart, or says the same of all."""

    def __init__(self, answers):
        self.labels = sorted({label for _, label in (answers.values() if isinstance(answers, dict) else [answers])})
        self._answers = answers

    def best(self, data, offsets):
        lines = [data[begin:end].tobytes().decode().strip(" \n") for begin, end in pairwise(offsets)]
        found = [self._answers[line] if isinstance(self._answers, dict) else self._answers for line in lines]
        numbers = [self.labels.index(label) for _, label in found]
        return np.array(numbers, np.int32), np.array([score for score, _ in found], np.float32)


@pytest.mark.parametrize(
    ("sampled", "whole", "label", "score"),
    [
        ((0.9, "en"), (0.95, "fr"), "en", 0.9),  # sure, so the whole is not asked
        ((0.3, "en"), (0.5, "en"), "en", 0.5),
        ((0.5, "en"), (0.3, "en"), "en", 0.5),
        ((0.3, "fr"), (0.6, "en"), "fr", 0.3),
        ((0.3, "fr"), (0.7, "en"), "en", 0.7),
        ((0.3, "zh"), (0.7, "en"), "zh", 0.3),  # code hides Chinese
    ],
)
def test_short_documents_are_also_looked_at_as_they_stand(sampled, whole, label, score):
    model = Scripted({"a word": sampled, "a word,\n\0\x01 1.": whole})
    found, scores = lid.detect(pa.array(["a word,\n\0\x01 1."], pa.large_string()), LanguageSettings(), model)
    assert found == [label]
    assert scores.tolist() == [np.float32(score)]


@pytest.mark.parametrize(("score", "label"), [(0.3, "zh"), (0.5, "en")])
def test_a_reference_page_with_a_chinese_sentence_is_chinese_unless_fasttext_knows_better(score, label):
    model = Scripted((score, "en"))
    text = "`SLOW_QUERY` 表中提供了慢查询相关的信息。\n" + "| name | bigint unsigned | YES | NULL | default |\n" * 5
    assert labels([text], model) == [(label, None)]
    assert labels([text.replace("提供了慢查询相关的信息", "")], model)[0][0] == "en"  # a single word is not enough


def test_long_documents_are_only_sampled():
    text = "word, " * 300
    sample = [line for parts, size in lid._ROUNDS for line in sampled([text], parts, size)]
    model = Scripted({line.strip(): (0.3, "en") for line in sample})
    assert lid.detect(pa.array([text], pa.large_string()), LanguageSettings(), model)[0] == ["en"]


def test_cantonese_and_wu_count_as_chinese():
    assert labels(["佢 ok la"], Scripted({"佢 ok la": (1.2, "yue")}), han_share=1.0) == [("zh", None)]


def test_what_can_be_detected_is_known_beforehand(model):
    languages = lid.detectable(model)
    assert {"zh", "en", "ja", "ko", "bo"} <= languages
    assert not {"yue", "wuu", "eng", "und"} & languages  # counted as zh, misspelt, no language


def test_capitals_are_read_as_words(model):
    shouted = (
        "BEAUTIFUL HOUSE WITH SPACIOUS FAMILY ROOM, HARDWOOD FLOORS AND AN OPEN KITCHEN THAT LOOKS OVER THE GARDEN."
    )
    assert labels([shouted], model) == [("en", None)]


@pytest.mark.parametrize("text", ["", " \n", "3600-(96*29+96)\n720", "\x00\x01", "{}();", "https://example.com/a1/b2"])
def test_a_document_without_plain_words_is_uncertain(text, model):
    assert labels([text], model) == [("und", lid.UNCERTAIN)]
    assert labels([text], model, threshold=0.0) == [("und", lid.UNCERTAIN)]


def test_thresholds_hold_for_their_language(model):
    assert labels([ENGLISH], model, thresholds={"en": 1.0}) == [("en", lid.UNCERTAIN)]
    assert labels([ENGLISH], model, thresholds={"zh": 1.0}) == [("en", None)]
    song = "蜡屐径来堂上，倚杖け然长啸，万里看云涛。逸兴浩无际，安得驾灵鳌。"  # one kana stands for a lost character
    assert labels([song], model, thresholds={"zh": 0.99}) == [("zh", lid.UNCERTAIN)]


def test_han_share_is_a_setting(model):
    text = "Facebook 收购 Foursquare 的消息"
    assert labels([text], model, han_share=0.2)[0] == ("zh", None)
    scores = lid.detect(pa.array([text], pa.large_string()), LanguageSettings(han_share=0.2), model)[1]
    assert scores.tolist() == [1.0]


def test_a_declared_language_and_code_need_no_model():
    texts = [ENGLISH, "春", ""]
    assert labels(texts, None, language="zh") == [("zh", None)] * 3
    assert labels(texts, None, domain="code") == [("code", None)] * 3
    assert labels(texts, None, language="en", domain="code") == [("en", None)] * 3
    assert labels(texts, None, language="zh", accepted={"en"}) == [("zh", lid.OTHER)] * 3


def test_code_is_detected_on_demand(model):
    assert labels(["# 计算两个数的和\nx = 1\n"], model, language="detect", domain="code") == [("zh", None)]


def test_columns_have_the_types_of_the_flow(model):
    for texts in ([], [ENGLISH]):
        batch = lid.label(
            make_batch(["f"] * len(texts), range(len(texts)), texts), "auto", "web", WANTED, LanguageSettings(), model
        )
        types = {field.name: field.type for field in batch.schema}
        assert types["language"] == types["reason"] == pa.string()
        assert types["language_score"] == pa.float32()


def count_scripts(text):
    return [sum(twins.has(char, flags) for char in text) for flags in (c.LETTER, c.HAN, c.KANA | c.HANGUL)]


def plain_words(text, loud):
    """The words of a text that fastText shall see."""

    def separates(char):
        return (
            twins.has(char, c.SPACE)
            or (ord(char) < 0xA0 and twins.has(char, c.CONTROL))
            or (ord(char) >= 0x80 and char != "’" and twins.has(char, c.PUNCTUATION | c.SYMBOL))
        )

    spaced = "".join(" " if separates(char) else char for char in text)
    # Han and kana make runs of their own, with the marks and invisible controls behind them.
    kinds = "".join(
        "H" if twins.has(ch, c.HAN | c.KANA) else "m" if twins.has(ch, c.MARK | c.CONTROL) else ch if ch == " " else "x"
        for ch in spaced
    )
    words = []
    for run in re.finditer("H[Hm]*|m*x[xm]*", kinds):
        word = spaced[run.start() : run.end()]
        letters = [here for here, char in enumerate(word) if twins.has(char, c.LETTER)]
        if not letters:
            continue
        first, last = letters[0], letters[-1] + 1
        while last < len(word) and twins.has(word[last], c.MARK | c.CONTROL):
            last += 1
        allowed = all(twins.has(char, c.LETTER | c.MARK | c.CONTROL) or char in ".,;:!?\"()[]*'-’" for char in word)
        inner = any(char in '.,;:!?"()[]*' for char in word[first:last])
        capitals = len(letters) > 1 and all("A" <= word[here] <= "Z" for here in letters)
        if allowed and not inner and (loud or not capitals):
            word = word[first:last]
            words.append(re.sub("[A-Z']", lambda char: chr(ord(char[0]) | 0x20), word) if capitals else word)
    return words


CHARACTERS = "aB.,'’-([{*3_/ \n\x00天か한é\u0301\u200d，“½。"
short_texts = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=40), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)


def sampled(texts, parts, part_bytes):
    data, offsets = buffers(pa.array(texts, pa.large_string()))
    sample, ends = lid.samples(data, offsets, np.arange(len(texts)), CLASSES, lid._TRIMMED, parts, part_bytes)
    lines = [sample[begin:end].tobytes() for begin, end in pairwise(ends)]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 and b"\x00" not in line for line in lines)
    return [line[:-1].decode("utf-8") for line in lines]


@settings(deadline=None, max_examples=300)
@given(st.lists(short_texts, max_size=4))
@example(
    ["don't --stop-- (here)", "THIS IS LOUD", "This IS not VERY Loud at all", "a BC  DE", "天3a天", "a\u0301天\u0301b"]
)
def test_scripts_and_samples_equal_their_slow_twins(texts):
    counts = lid.count_scripts(*buffers(pa.array(texts, pa.large_string())), CLASSES)
    assert counts.tolist() == [count_scripts(text) for text in texts]
    for text, sample in zip(texts, sampled(texts, 4, 100), strict=True):
        words = plain_words(text, loud=False)
        if 4 * len("".join(f"{word} " for word in words).encode()) < len(text.encode()):
            words = plain_words(text, loud=True)
        assert sample.split(" ")[:-1] == words


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.text(st.sampled_from(CHARACTERS.replace("天", "").replace("か", "")), min_size=1, max_size=9),
        min_size=30,
        max_size=200,
    ),
    st.integers(1, 5),
)
def test_samples_of_long_texts_are_words_of_the_text_in_its_order(pieces, parts):
    text = " ".join(pieces)
    rest = iter(word.lower() for word in plain_words(text, loud=True))
    assert all(word.lower() in rest for word in sampled([text], parts, 10)[0].split())


def test_samples_are_bounded_and_come_from_everywhere():
    text = "".join(f"word{chr(97 + part)} " * 1000 for part in range(8))
    (sample,) = sampled([text], 8, 40)
    assert {word[-1] for word in sample.split()} >= set("abcdefgh")
    assert len(sample) < 8 * 60
    assert len(sampled(["a" * 100_000], 4, 40)[0]) < 4 * 300
    assert len(sampled(["天" * 100_000], 4, 40)[0]) < 4 * 300


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.sampled_from([ENGLISH, SPANISH, "春眠不覺曉", "", "x", ENGLISH * 30, f"{SPANISH} {ENGLISH}" * 20]),
        max_size=6,
    ),
    st.integers(0, 6),
)
def test_labels_do_not_depend_on_the_batch(model, texts, cut):
    assert labels(texts, model) == labels(texts[:cut], model) + labels(texts[cut:], model)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "en/c4_demo.jsonl.gz",
        "en/dclm_majority.jsonl.zst",
        "zh/tldr_en_zh_zhtw.jsonl.gz",
        "math/textbooks_latex.jsonl.zst",
    ],
)
def test_samples_give_the_label_of_the_whole_document(name, model):
    texts = corpora.texts(name)
    peer = fasttext.load_model(str(lid.model_file()))
    found, _ = lid.detect(pa.array(texts, pa.large_string()), LanguageSettings(), model)
    compared = differing = 0
    for text, label in zip(texts, found, strict=True):
        line = text.encode().replace(b"\n", b" ").replace(b"\x00", b" ") + b"\n"
        ((score, whole),) = peer.f.predict(line, 1, 0.0, "strict")
        letters, han, _ = count_scripts(text[:5000])
        if score >= 0.65 and han < 0.3 * letters:
            compared += 1
            differing += whole.removeprefix("__label__") != label
    assert compared > 100
    assert differing <= 0.005 * compared


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["zh/tang_poetry_traditional.jsonl.zst", "zh/laws_versions.jsonl.zst", "zh/oi_wiki.jsonl.zst"]
)
def test_chinese_texts_are_chinese(name, model):
    texts = [text for text in corpora.texts(name) if len(text) > 40]
    found, _ = lid.detect(pa.array(texts, pa.large_string()), LanguageSettings(), model)
    assert found.count("zh") == len(texts)
