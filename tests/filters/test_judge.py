import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.documents import drop, make_batch, set_column, split
from mixer.filters.judge import judge, statistics_of
from mixer.filters.settings import FilterSettings, Overrides, checkbook, rulebook

ENGLISH = (
    "The cat that sat on the mat was content to be there with its friends, and nobody had to move it. Later that day "
    "it went out of the house and looked at birds which have nests in the old apple tree nearby, until somebody "
    "called from an open kitchen window because supper was ready."
)
CHINESE = (
    "春天来了，小河边的柳树长出了嫩绿的叶子，孩子们跑到草地上放风筝，老人们坐在长椅上晒太阳，大家都觉得日子过得很舒服。"
)
CODE = "def add(first, second):\n    return first + second\n"


def rules(domain, languages, filters=None):
    """The rules in force for each language."""
    return rulebook(checkbook(FilterSettings.model_validate(filters or {}), Overrides(), domain, languages))


def batch_of(documents):
    """A labelled batch of (language, text) pairs."""
    batch = make_batch(["f"] * len(documents), range(len(documents)), [text for _, text in documents])
    return set_column(batch, "language", pa.array([language for language, _ in documents], pa.string()))


def reasons(documents, domain, filters=None, languages=("en", "zh", "code")):
    book = rules(domain, languages, filters)
    return judge(batch_of(documents), book)["reason"].to_pylist()


def test_documents_of_one_batch_meet_the_rules_of_their_own_language():
    documents = [("en", ENGLISH), ("zh", CHINESE), ("en", CHINESE), ("zh", ENGLISH), ("de", "kurz")]
    assert reasons(documents, "web") == [None, None, "gopher.mean_word_length", "chinese.han_share", None]


def test_the_first_rule_of_the_table_that_objects_is_the_reason():
    text = ("### \n" * 200) + "the cat and the dog"
    assert reasons([("en", text)], "web") == ["gopher.words"]
    assert reasons([("en", text)], "web", {"web/en": {"gopher.words": False}}) == ["gopher.hashes"]


def test_code_meets_the_rules_of_code_only():
    documents = [("code", CODE), ("code", "x" * 1001), ("code", "#" * 50), ("code", f"{'y' * 150}\n"), ("code", "")]
    assert reasons(documents, "code") == [
        None, "code.maximum_line_length", "code.alphanumeric_share", "code.mean_line_length", "document.characters",
    ]  # fmt: skip


def test_short_good_texts_survive_their_domain():
    poem = "春眠不覺曉，處處聞啼鳥。\n夜來風雨聲，花落知多少。"
    refrain = "如梦，如梦，残月落花烟重。\n" * 2
    assert reasons([("zh", poem), ("zh", refrain)], "poetry") == [None, None]
    assert reasons([("zh", poem)], "web") == ["document.characters"]
    formula = "What is $\\frac{1}{2} + \\frac{1}{3}$? $\\frac{5}{6}$"
    assert reasons([("en", formula), ("zh", "3600-(96×29+96)=720")], "math") == [None, None]
    assert reasons([("zh", "高血压患者能吃党参吗？\n可以。")], "qa") == [None]


def test_repetition_is_dropped():
    spam = "".join(f"免费领取大礼包，点击下方链接即可获得{digit}元红包\n" for digit in range(30))
    assert reasons([("zh", spam)], "web") == ["chinese.repeated_13grams"]
    assert reasons([("zh", f"{CHINESE}。".replace("，", "\n") * 3)], "web") == ["chinese.duplicate_lines"]
    assert reasons([("en", ENGLISH + ENGLISH)], "web") == ["gopher.duplicate_5grams"]


def test_statistics_are_kept_where_a_rule_looked_and_null_elsewhere():
    book = rules("web", ["en", "zh"])
    batch = drop(
        batch_of([("en", ENGLISH), ("zh", CHINESE), ("en", ENGLISH)]), np.array([False, False, True]), "before"
    )
    judged = judge(batch, book)
    assert judged["reason"].to_pylist() == [None, None, "before"]
    assert [name for name in judged.schema.names if name.startswith("statistics.")] == [
        f"statistics.{name}" for name in statistics_of(book)
    ]
    assert judged.schema.field("statistics.words").type == pa.float32()
    assert [value is None for value in judged["statistics.words"].to_pylist()] == [False, True, True]
    assert [value is None for value in judged["statistics.han_repeated_13grams"].to_pylist()] == [True, False, True]
    assert judged["statistics.characters"].to_pylist()[1] == len(CHINESE)


def test_only_statistics_of_rules_that_are_on_are_computed():
    everything_off = {"*/*": {rule.name: False for rule, _ in rules("web", ["zh"])["zh"]}}
    book = rules("web", ["zh"], everything_off)
    assert statistics_of(book) == []
    assert judge(batch_of([("zh", "短")]), book).schema.names == ["file", "record", "text", "language", "reason"]
    assert reasons([("zh", "短")], "web", everything_off) == [None]


def test_an_empty_batch_has_the_same_columns_as_a_full_one():
    book = rules("web", ["en", "zh"])
    assert judge(batch_of([]), book).schema == judge(batch_of([("en", ENGLISH)]), book).schema
    assert len(split(judge(batch_of([]), book))[0]) == 0


def test_a_document_without_a_language_meets_no_rule():
    assert reasons([(None, "x"), ("en", "x")], "web") == [None, "gopher.words"]


documents = st.lists(
    st.tuples(
        st.sampled_from(["en", "zh", "code", "de"]), st.sampled_from([ENGLISH, CHINESE, CODE, "", "x", ENGLISH * 2])
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=50)
@given(documents, st.integers(0, 8), st.sampled_from(["web", "book", "poetry", "qa", "math", "code"]))
def test_decisions_do_not_depend_on_the_batch(documents, cut, domain):
    book = rules(domain, ["en", "zh", "code"])
    whole = judge(batch_of(documents), book)
    parts = [judge(batch_of(part), book) for part in (documents[:cut], documents[cut:])]
    joined = pa.Table.from_batches(parts)
    for name in (name for name in whole.schema.names if name not in ("file", "record")):
        assert whole[name].to_pylist() == joined[name].to_pylist()
