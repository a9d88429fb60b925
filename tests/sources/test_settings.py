import pytest
from pydantic import ValidationError

from mixer.errors import RecipeError
from mixer.sources.fields import parse_text
from mixer.sources.settings import SourceSettings
from mixer.variables import expand


def source(**settings):
    return SourceSettings(**{"name": "wiki", "paths": ["a.jsonl"], **settings})


@pytest.mark.parametrize("name", ["wiki", "wiki-en", "c4_2023.06-a.b", "0"])
def test_names_that_make_file_names(name):
    assert source(name=name).name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", ".a", "a/b", "a b", "中", "../x", "a\n"])
def test_names_that_do_not(name):
    with pytest.raises(ValidationError):
        source(name=name)


def test_exactly_one_of_paths_and_datasets():
    with pytest.raises(ValidationError, match="exactly one"):
        SourceSettings(name="a")
    with pytest.raises(ValidationError, match="exactly one"):
        source(datasets={"path": "json"})
    with pytest.raises(ValidationError, match="empty"):
        source(paths=[])


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError, match="extra"):
        source(suffix=".json")
    with pytest.raises(ValidationError, match="extra"):
        SourceSettings(name="a", datasets={"path": "json", "streaming": True})


@pytest.mark.parametrize(
    "settings",
    [
        {"format": "parquet", "encoding": "gb18030"},
        {"format": "jsonl", "records": "line"},
        {"format": "text", "columns": ["a"]},
        {"paths": None, "datasets": {"path": "json"}, "format": "jsonl"},
        {"paths": None, "datasets": {"path": "json"}, "encoding": "gbk"},
        {"paths": None, "datasets": {"path": "json"}, "allow_truncated": True},
    ],
)
def test_nothing_is_parsed_and_ignored(settings):
    with pytest.raises(ValidationError, match="means nothing"):
        source(**settings)


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_max_rejected_is_a_share(value):
    with pytest.raises(ValidationError):
        source(max_rejected=value)


def test_unknown_encoding_gets_the_nearest_spelling():
    with pytest.raises(ValidationError, match="did you mean 'gb18030'"):
        source(encoding="gb18303")
    with pytest.raises(ValidationError, match="unknown encoding"):
        source(encoding="base64")
    assert source(encoding="UTF8").encoding == "utf-8"


def test_entries_are_names():
    with pytest.raises(ValidationError, match="empty"):
        source(metadata=["id", " "])
    with pytest.raises(ValidationError, match="twice"):
        source(columns=["id", "id"])


@pytest.mark.parametrize(
    ("text", "fields", "literals"),
    [
        ("text", ("text",), ("", "")),
        ("a.b.c", ("a.b.c",), ("", "")),
        ("{question}\n{answer}", ("question", "answer"), ("", "\n", "")),
        ("Q: {q.x} {{literal}} {q.x}!", ("q.x", "q.x"), ("Q: ", " {literal} ", "!")),
        ("{正文}", ("正文",), ("", "")),
        ("{6b_finetuning}", ("6b_finetuning",), ("", "")),
    ],
)
def test_text_rule(text, fields, literals):
    rule = parse_text(text)
    assert (rule.fields, rule.literals) == (fields, literals)
    values = [f"<{name}>" for name in fields]
    expected = literals[0] + "".join(value + literal for value, literal in zip(values, literals[1:], strict=True))
    assert rule.join(values) == expected


@pytest.mark.parametrize("text", ["", " ", "{question", "question}", "{}", "{a!r}", "{a:>3}", "{{a}}"])
def test_text_that_is_no_rule(text):
    with pytest.raises(ValidationError, match=r"text|template|field"):
        source(text=text)


def test_variables():
    assert expand("${A}/x/${B_2}", "source 'wiki': `paths`", {"A": "/data", "B_2": "y z"}) == "/data/x/y z"
    with pytest.raises(RecipeError, match=r"'wiki'.*`paths`.*\$\{MIXER_DAT\}.*did you mean 'MIXER_DATA'") as caught:
        expand("${MIXER_DAT}/x", "source 'wiki': `paths`", {"MIXER_DATA": "/data"})
    assert "export MIXER_DAT" in caught.value.remedy


def test_identity_holds_what_decides_the_documents_and_no_path():
    one = source(paths=["/somewhere/*.jsonl"], max_rejected=0.5)
    assert one.identity() == source().identity()
    assert source(text="body").identity() != source().identity()
