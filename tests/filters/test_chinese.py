"""The Chinese rules: their statistics against restatements of what was published, their edits, what they are for."""

import os
import re
import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from datatrove.pipeline.formatters.symbol_lines_remover import SymbolLinesFormatter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.documents import make_batch, set_column
from mixer.filters.edits import EDITORS, edit
from mixer.filters.judge import judge
from mixer.filters.kernels.menus import (
    LONGEST_NOTICE,
    MENU_COMPANIONS,
    MENU_EDITS,
    MENU_LINES,
    MENU_PHRASES,
    NOTICES,
    PIPE_LINES,
    edit_menus,
)
from mixer.filters.settings import FilterSettings, Overrides, checkbook, editbook, rulebook
from mixer.filters.statistics import compute
from mixer.text import characters as c
from tests.filters import corpora
from tests.filters.twins import has

PROSE = (
    "春天到了，公园里的花都开了。孩子们在草地上奔跑，老人坐在长椅上聊天，远处传来阵阵笑声。\n"
    "一位老师带着学生走过石桥，告诉他们这座桥建于三百年前，至今仍然坚固。傍晚时分，人们慢慢回家。"
)
hanzi = st.text("天地人日月山水火风雷", max_size=120)


def measure(text, *names):
    """Return statistics of one text."""
    found = compute(pa.array([text], pa.large_string()), np.arange(1), names)
    return found[names[0]][0] if len(names) == 1 else [found[name][0] for name in names]


def grams(text, n):
    """The n-grams of a text, without white space, as ChineseWebText takes them (which forgets the last)."""
    solid = "".join(text.split())
    return [solid[place : place + n] for place in range(len(solid) - n + 1)]


def chinese_web_text(text):
    """ChineseWebText's repetition: the share of 13-grams that occur twice, the first occurrence included."""
    counts = Counter(grams(text, 13))
    return sum(count for count in counts.values() if count > 1) / max(1, counts.total())


def map_neo_duplicates(text, n):
    """MAP-NEO's characters of duplicate n-grams, as places instead of as different characters."""
    found, places = grams(text, n), set()
    for place, gram in enumerate(found):
        if gram in found[:place]:
            places.update(range(place, place + n))
    return len(places) / max(1, len("".join(text.split())))


def map_neo_top(text, n):
    """MAP-NEO's and Gopher's share of the most frequent n-gram: its characters times its count."""
    counts = Counter(grams(text, n))
    return n * max(counts.values(), default=0) / max(1, len("".join(text.split())))


@settings(max_examples=150, deadline=None)
@given(hanzi)
def test_repetition_is_as_map_neo_defines_it_done_right(text):
    for n in (5, 6, 7, 8, 9, 10):
        assert measure(text, f"han_repeated_{n}grams") == np.float32(map_neo_duplicates(text, n))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["天地人日月", "山水", "火", "风雷天"]), min_size=150, max_size=200).map("".join))
def test_the_top_gram_covers_what_it_counts_less_its_overlaps(text):
    for n in (2, 3, 4):
        share = measure(text, f"han_top_{n}gram")
        assert share <= np.float32(map_neo_top(text, n))
        if n == 2 and not re.search(r"(.)\1", text):  # no overlaps: the two are equal
            assert share == np.float32(map_neo_top(text, n))


@pytest.mark.real_data
def test_decisions_on_repetition_are_nearly_those_of_chinese_web_text():
    texts = [text for text in corpora.texts("zh/oi_wiki.jsonl.zst") if len(text) > 200][:150]
    texts += [text[:2000] * copies for text in texts[:30] for copies in (2, 3)]
    ours = compute(pa.array(texts, pa.large_string()), np.arange(len(texts)), ["han_repeated_13grams"])
    # Counting the first occurrence too, theirs is twice ours where all is said twice: 0.5 of theirs is 0.25 of ours.
    same = (ours["han_repeated_13grams"] > 0.25) == [chinese_web_text(text) > 0.5 for text in texts]
    assert same.mean() > 0.9


@pytest.mark.parametrize(
    ("statistic", "text", "value"),
    [
        ("bracketed_share", "【天地】玄黄", 4 / 6),
        ("bracketed_share", "【天地\n玄黄】", 0),
        ("bracketed_share", "【天【地】玄】黄", 5 / 8),
        ("hash_runs_per_character", "### 天 #地", 2 / 6),
        ("ellipsis_runs_per_character", "天……地...玄。。。黄..", 3 / 14),
        ("digit_share", "电话：12345", 5 / 7),
        ("digit_share", "１２ 五六", 2 / 4),
        ("punctuation_share", "天，地。", 0.5),
        ("chinese_sentences", "天。地！玄\n黄", 4),
        ("chinese_sentences", "example.com 有 3.14 种. 好", 2),
        ("chinese_sentences", "。。。！？", 0),
        ("mean_filled_line", "天地\n\n  玄\n黄", 4 / 3),
        ("newlines_per_character", "天\n地\n\n", 1.5),
        ("teaser_lines", "标题一 [阅读全文>>]\n標題二 展開\n正文。\n", 2 / 3),
        ("teaser_lines", "Read More »\n更多精彩", 0.5),
        ("chinese_bullet_lines", "● 天\n· 地\n一、玄\n- 黄", 0.75),
        ("stop_characters", "我和他的", 3),
        ("han_distinct", "天地" * 100, 0.01),
        ("han_distinct", "", 1),
    ],
)
def test_what_marks_and_lines_count(statistic, text, value):
    assert measure(text, statistic) == np.float32(value)


def test_distinct_does_not_fall_with_length():
    generator = np.random.default_rng(1)
    letters = [chr(code) for code in generator.integers(0x4E00, 0x4E00 + 800, 100_000)]
    shares = [measure("".join(letters[:count]), "han_distinct") for count in (1000, 10_000, 100_000)]
    assert max(shares) - min(shares) < 0.02
    assert len(set(letters)) / len(letters) < 0.1  # the published rule would drop it


def test_short_documents_have_no_top_gram():
    assert np.isnan(measure("示例：" * 60, "han_top_2gram"))
    assert measure("示例：" * 100, "han_top_2gram") == 1


def reasons(texts, domain="web", filters=None):
    batch = set_column(
        make_batch(["f"] * len(texts), range(len(texts)), texts), "language", pa.array(["zh"] * len(texts))
    )
    book = checkbook(FilterSettings.model_validate(filters or {}), Overrides(), domain, ["zh"])
    return judge(batch, rulebook(book))["reason"].to_pylist()


def test_each_kind_of_spam_has_its_rule():
    titles = ["".join(chr(0x4E00 + 61 * i + 7 * place) for place in range(9)) for i in range(12)]
    spam = {
        "chinese.repeated_13grams": "低价代开发票，诚信经营，请联系电话一三八零零零，欢迎来电。" * 9,
        "chinese.duplicate_lines": "首页\n新闻中心\n联系我们\n" * 30,
        "chinese.distinct": "".join(np.random.default_rng(1).choice(list("棋牌游戏下载官网彩票"), 300)) + "。" * 5,
        "chinese.brackets": "\n".join(f"【{title}】" for title in titles),
        "chinese.digits": "\n".join(f"{i}，{i * 7919 + 1234567}。" for i in range(20)) + "号码",
        "chinese.punctuation": " ".join(titles),
        "chinese.teaser_lines": "\n".join(f"{title}：更多>>" for title in titles),
        "chinese.mean_line": "\n".join(
            "山，水，花；木；虫；鸟；鱼；兽；云；雨；风；雪；日；月；星；天；地；人；金；土；石；火；电；雷；霜；露"
        ),
    }
    assert reasons(list(spam.values())) == list(spam)
    assert reasons([PROSE]) == [None]


def test_the_profiles_hold_the_published_values():
    places = {"web/zh": {"profile": "chinese"}}
    checks = checkbook(FilterSettings.model_validate(places), Overrides(), "web", ["zh"])
    book = {rule.name: value for rule, value in rulebook(checks)["zh"]}
    assert book["chinese.repeated_13grams"] == 0.5 and book["chinese.repeated_5grams"] == 0.6
    assert book["chinese.top_2gram"] == 0.2 and book["chinese.sentences"] == 2 and book["chinese.mean_line"] == 10
    assert book["document.characters"] == 50 and "chinese.terminal_lines" not in book
    assert reasons(["的和" + "天地玄黄。\n" * 3 + PROSE], filters={"web/zh": {"profile": "fineweb2-zh"}}) == [None]
    assert reasons(["天地\n" * 60], filters={"web/zh": {"profile": "fineweb2-zh"}}) == ["gopher.duplicate_lines"]


@pytest.fixture(scope="module")
def real():
    """The corpora and the spam of scripts/calibrate_chinese.py."""
    folder = os.environ.get("MIXER_DATA")
    if not folder:
        pytest.skip("MIXER_DATA does not name the folder of real corpora")
    path = Path(__file__).parents[2] / "scripts" / "calibrate_chinese.py"
    return SimpleNamespace(**runpy.run_path(str(path))).load(Path(folder))


@pytest.mark.real_data
def test_the_defaults_keep_good_text_and_drop_spam(real):
    for name, (domain, texts) in real.items():
        kept = reasons(texts, domain).count(None) / len(texts)
        if name.startswith("spam"):
            assert kept <= 0.15, name
        else:
            assert kept >= 0.994, name  # of the TiDB pages two are HTML


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "parts"), [("novels", 200), ("laws", 200), ("trpl", 112), ("tang, Hant", 5000)])
def test_a_long_book_is_no_repetition(real, name, parts):
    assert reasons(["\n".join(real[name][1][:parts])], "book") == [None]


# Edits


def edited(texts, *names):
    found, counts = edit_menus(pa.array(texts, pa.large_string()), dict.fromkeys(names or MENU_EDITS, True))
    return found.to_pylist(), {name: counts[name].tolist() for name in counts}


@pytest.mark.parametrize(
    "line",
    [
        "展开", "更多 >>", "[閱讀全文]", "上一页 1 2 3 下一页", "上一篇：没有了", "分享到：微信 新浪微博 QQ空间 ",
        "  返回顶部 ↑",
        "版权所有 © 2010-2020 某某公司", "© 2019 某某网 版权所有", "Copyright 2020 Foo Inc. All Rights Reserved.",
        "共 12 页 到第 3 页 下一頁",
    ],
)  # fmt: skip
def test_lines_of_menus_and_notices_go(line):
    assert edited([f"正文。\n{line}\n结尾。"], MENU_LINES) == (["正文。\n结尾。"], {MENU_LINES: [1]})


@pytest.mark.parametrize(
    "line",
    [
        "", "首页", "微信", "## 更多", "1234",  "更多精彩内容请看下文", "- 转到下一页：",
        "上一篇：春天来了", "版权所有者应当说明来源",
        "本书由作者自行出版，其版权所有。", "All Rights Reserved by the author, who " + "x" * 60, "分享到朋友圈的图片",
        "| |",
    ],
)  # fmt: skip
def test_other_lines_stay(line):
    text = f"正文。\n{line}\n结尾。"
    assert edited([text], MENU_LINES) == ([text], {MENU_LINES: [0]})


def is_menu(line):
    """The twin: what the phrases leave, from left to right, has no letter."""
    phrases = "|".join(map(re.escape, sorted((*MENU_PHRASES, *MENU_COMPANIONS), key=lambda p: (-len(p), p))))
    found, rest, place = set(), "", 0
    while place < len(line):
        match = re.compile(phrases).match(line, place) if has(line[place], c.LETTER) else None
        found.add(match and match[0])
        rest += "" if match else line[place]
        place = match.end() if match else place + 1
    letters = any(has(char, c.LETTER) for char in rest)
    return not letters and bool(found & set(MENU_PHRASES)) and not line.strip().startswith("#")


def is_notice(line):
    if len("".join(line.split())) > LONGEST_NOTICE or line.rstrip().endswith("。"):
        return False
    return any(
        not has(line[place + len(notice) : place + len(notice) + 1], c.HAN)
        for notice in NOTICES
        for place in range(len(line))
        if line.startswith(notice, place)
    )


pieces = st.sampled_from([
    *("展开", "更多", "更多内容", "上一页", "第", "页", "共", "QQ", "QQ空间", "版权所有", "者", "天"),
    "All Rights Reserved",
    *("。", "#", " ", "\u3000", "1", "|", "\n", "\n", "\n", "\r\n", "a", "𠮷", ">>", "，", "x" * 59),
])  # fmt: skip
pages = st.lists(pieces, max_size=25).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(pages, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), max_size=5))
@example(
    ["更多\n更多", "\n更多\n", "\n\n", "更多", "a\n更多\n", "", "天\n", "版权所有" + "x" * 56, "版权所有" + "x" * 57]
)
def test_menu_lines_equal_their_slow_twin(batch):
    kept = [[line for line in text.split("\n") if not is_menu(line) and not is_notice(line)] for text in batch]
    counts = [text.count("\n") + 1 - len(lines) for text, lines in zip(batch, kept, strict=True)]
    assert edited(batch, MENU_LINES) == (["\n".join(lines) for lines in kept], {MENU_LINES: counts})


@settings(max_examples=200, deadline=None)
@given(st.text("|| \na天-", max_size=30))
def test_pipe_lines_are_those_of_datatrove(text):
    found, counts = edited([text], PIPE_LINES)
    # datatrove's lines are those of splitlines: it knows no empty line at the end.
    expected = SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\n").format(text + "x").removesuffix("x")
    lines = (text + "x").split("\n")
    if not re.fullmatch(r"[ |]*", lines[-1][:-1]) or lines[-1] == "x":
        assert found == [expected]
        assert counts == {PIPE_LINES: [sum("|" in line and not line.strip("| ") for line in lines[:-1])]}


@settings(max_examples=100, deadline=None)
@given(st.lists(pages, min_size=1, max_size=6), st.integers(0, 6))
def test_edits_do_not_depend_on_the_batch(batch, cut):
    whole = edited(["前", *batch])
    parts = [edited(part) for part in (["前"], batch[:cut], batch[cut:])]
    assert whole[0] == [text for part, _ in parts for text in part]
    for name in MENU_EDITS:
        assert whole[1][name] == [count for _, counts in parts for count in counts[name]]
    column = pa.array(["前", *batch], pa.large_string()).slice(1)
    assert edit_menus(column, dict.fromkeys(MENU_EDITS, True))[0].to_pylist() == whole[0][1:]


def test_edits_are_counted_beside_the_document():
    settings_ = FilterSettings.model_validate({"web/zh": {MENU_LINES: True, PIPE_LINES: True}})
    batch = set_column(make_batch(["f"], [0], [f"{PROSE}\n| |\n更多"]), "language", pa.array(["zh"]))
    batch = edit(batch, editbook(checkbook(settings_, Overrides(), "web", ["zh"])), EDITORS)
    assert batch["text"].to_pylist() == [f"{PROSE}\n\n"]
    assert [batch[f"edits.{name}"].to_pylist() for name in MENU_EDITS] == [[1], [1]]
