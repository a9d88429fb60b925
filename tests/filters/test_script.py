import importlib.util
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.documents import make_batch, set_column
from mixer.filters import script as s
from mixer.filters.families import conversion
from mixer.filters.language import count_scripts
from mixer.text.characters import CLASSES
from mixer.text.utf8 import buffers
from tests.filters import corpora

HANS = "我们认为这个国家的经济发展很快。"
HANT = "我們認為這個國家的經濟發展很快。"


def counts(texts):
    data, offsets = buffers(pa.array(texts, pa.large_string()))
    return s.count_writings(data, offsets, np.arange(len(texts)), s.WRITINGS)


def scripts(texts):
    return [s.SCRIPTS[code] for code in s.scripts(counts(texts))]


def batch_of(documents):
    batch = make_batch(["f"] * len(documents), range(len(documents)), [text for _, text in documents])
    return set_column(batch, "language", pa.array([language for language, _ in documents], pa.string()))


def test_each_writing_is_named():
    assert scripts([HANS, HANT, HANS + HANT, "山中不知年，白日依山盡", "花", ""]) == [
        "Hans", "Hant", "mixed", "Hant", "Hani", "Hani",
    ]  # fmt: skip


def test_what_both_writings_use_tells_nothing():
    # 后, 里, 只, 台, 云 are words of traditional text too, 于 and 万 stand in Big5, 温 and 户 are printed in Hong Kong
    assert (
        scripts(["皇后", "公里", "只有台北", "人云亦云", "千万", "温泉", "户外", "却", "於", "乾坤"]) == ["Hani"] * 10
    )


def test_a_quotation_in_the_other_writing_does_not_make_a_text_mixed():
    assert scripts([HANS * 9 + HANT, HANT * 9 + HANS, HANS * 3 + HANT]) == ["Hans", "Hant", "mixed"]


def test_only_chinese_documents_have_a_script():
    batch = s.add_script(batch_of([("zh", HANS), ("en", "a 国"), ("zh", "花"), ("ja", HANS), (None, HANS)]))
    assert batch["script"].to_pylist() == ["Hans", None, "Hani", None, None]
    for documents in ([], [("en", "a")], [("zh", HANT)]):
        assert s.add_script(batch_of(documents)).schema.field("script").type == pa.string()


JAPANESE = [
    "神奈川県横浜市西区",  # addresses
    "愛知県名古屋市中村区",
    "東京都千代田区",
    "岩見沢市",
    "帯広市",
    "新聞記事横断検索",  # headings and menus
    "年会費無料",
    "購読一覧",
    "著作権",
    "営業時間",
    "東京大学",  # names
    "早稲田大学国際教養学部",
    "国立国会図書館",
    "日本経済新聞",
    "現代日本文学大系",
    "国破山河在城春草木深感時花濺涙恨別鳥驚心",  # poems as Japan prints them
    "春眠不覚暁処処聞啼鳥夜来風雨声花落知多少",
    "少年老易学難成一寸光陰不可軽未覚池塘春草夢階前梧葉已秋声",
]
UNDECIDED = [
    "朝日新聞",  # could be traditional Chinese
    "株式会社",  # could be simplified
    "京都大学大学院文学研究科",
    "北海道札幌市中央区",
    "四季",
    "富貴利名豈可羨悠悠官路仕浮沈此身更有苦辛在飽食暖衣非我心",
]
CHINESE = [
    HANS,
    HANT,
    HANS + HANT,
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "款塞旋征騎，和戎委廟賢。傾心方倚注，叶力共安邊。",  # 叶 for 協, long before Japan and the mainland simplified
    "城邊路，今人犂田昔人墓。岸上沙，昔時江水今人家。",
    "这个範例展示了葛飾北斎的俳句，他的名字是日本人的写法，别的都是中文。",
]


def is_japanese(texts):
    han = count_scripts(*buffers(pa.array(texts, pa.large_string())), CLASSES)[:, 1]
    return s.japanese(counts(texts), han).tolist()


def test_japanese_without_kana_shows_in_characters_that_chinese_has_not_together():
    assert dict(zip(JAPANESE, is_japanese(JAPANESE), strict=True)) == dict.fromkeys(JAPANESE, True)


def test_what_can_be_chinese_is_not_called_japanese():
    assert not any(is_japanese(UNDECIDED + CHINESE))


def twin(text):
    flags = [int(s.WRITINGS[ord(char)]) for char in text]
    return [sum(flag & bit > 0 for flag in flags) for bit in (s.SIMPLIFIED, s.TRADITIONAL, s.JAPANESE, s.UNJAPANESE)]


texts = st.lists(
    st.text(st.one_of(st.sampled_from("国國図气氣们い a，𠮷"), st.characters(exclude_categories=["Cs"])), max_size=30),
    max_size=5,
)


@settings(deadline=None)
@given(texts, st.integers(0, 5))
@example(["", HANS, HANT], 1)
def test_counts_equal_their_slow_twin_in_any_batches(texts, cut):
    assert counts(texts).tolist() == [twin(text) for text in texts]
    whole = s.add_script(batch_of([("zh", text) for text in texts]))["script"].to_pylist()
    parts = [s.add_script(batch_of([("zh", text) for text in part])) for part in (texts[:cut], texts[cut:])]
    assert whole == [value for part in parts for value in part["script"].to_pylist()]


@settings(deadline=None)
@given(texts)
def test_no_row_sees_another(texts):
    data, offsets = buffers(pa.array(texts, pa.large_string()))
    rows = np.arange(len(texts))[::2]
    assert s.count_writings(data, offsets, rows, s.WRITINGS).tolist() == counts(texts)[::2].tolist()


def load_script():
    path = Path(__file__).parents[2] / "scripts" / "han_tables.py"
    spec = importlib.util.spec_from_file_location("han_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_its_script_makes():
    opencc = pytest.importorskip("opencc", reason="needs the extra `opencc`")
    if opencc.__version__ != s.OPENCC_VERSION:
        pytest.skip(f"the table was made with OpenCC {s.OPENCC_VERSION}")
    starts, flags = load_script().table()
    assert np.array_equal(np.repeat(flags, np.diff(starts, append=0x110000)), s.WRITINGS)


def by_opencc(text):
    """The writing of a text by what OpenCC would change in it, with its dictionaries of phrases."""
    pytest.importorskip("opencc", reason="needs the extra `opencc`")
    traditional, simplified = (
        sum(a != b for a, b in zip(text, conversion.load(configuration).convert(text), strict=True))
        for configuration in ("t2s", "s2t")
    )
    if traditional + simplified == 0:
        return "Hani"
    if min(traditional, simplified) >= s.MIXED_SHARE * (traditional + simplified):
        return "mixed"
    return "Hans" if simplified > traditional else "Hant"


def test_opencc_sees_the_same_writings():
    examples = [HANS, HANT, HANS + HANT, "花", *CHINESE[3:5]]
    assert scripts(examples) == [by_opencc(text) for text in examples]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "writing", "share"),
    [
        ("zh/laws_versions.jsonl.zst", "Hans", 1.0),
        ("zh/oi_wiki.jsonl.zst", "Hans", 1.0),
        ("zh/tidb_docs_cn.jsonl.zst", "Hans", 1.0),
        ("zh/song_ci_simplified.json.gz", "Hans", 0.997),  # short songs of common characters are Hani
        ("zh/tang_poetry_traditional.jsonl.zst", "Hant", 0.999),
        ("zh/zuozhuan_traditional.txt.gz", "Hans", 1.0),  # in spite of its name
    ],
)
def test_real_corpora_are_in_one_writing(name, writing, share):
    texts = [text for text in corpora.texts(name) if re.search("[一-鿿]", text)]
    found = Counter(scripts(texts))
    assert found[writing] >= share * len(texts)
    assert not found[{"Hans": "Hant", "Hant": "Hans"}[writing]]
    assert not any(is_japanese(texts))


@pytest.mark.real_data
def test_opencc_agrees_on_real_documents():
    for name in ("zh/tang_poetry_traditional.jsonl.zst", "zh/song_ci_simplified.json.gz"):
        texts = corpora.texts(name)[::20]
        agreeing = sum(a == by_opencc(b) for a, b in zip(scripts(texts), texts, strict=True))
        assert agreeing >= 0.98 * len(texts)
