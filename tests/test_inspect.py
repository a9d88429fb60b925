"""`mixer inspect`, `mixer filter` and `mixer rules`, as a user gives them."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.documents import STATISTICS, make_batch, set_column
from mixer.errors import UsageError
from mixer.filters.page import markdown
from mixer.filters.recorded import record, recorded
from mixer.filters.settings import FilterSettings, Overrides, checkbook, rulebook
from mixer.filters.table import TABLE
from mixer.inspection.finished import Wanted
from mixer.inspection.specimens import inspect
from mixer.inspection.twins import Origin, Twin
from mixer.inspection.what_if import what_if
from tests.small import Small, chinese, english, lines, mixer

SHORT = [" ".join(text.split()[:40]) + "." for text in english(2, seed=9)]
REPEATED = "the small green table of that quiet garden under the open light " * 12


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_tokenizer, kept_server):
    """A build of 40 documents a source, of which three English ones are dropped by a rule and one as a duplicate."""
    small = Small(tmp_path_factory.mktemp("inspected"), small_tokenizer)
    texts = [*english(40), *SHORT, REPEATED, english(1)[0]]
    small.write("en.jsonl", lines(texts))
    assert small.build().code == 0
    return small


def dropped(specimens):
    return sorted((found.file, found.record, found.reason) for found in specimens)


def test_dropped_documents_come_with_what_decided(built):
    found = inspect(built.out, Wanted(rule="gopher.words"), 10, 0)
    assert dropped(found) == [("en.jsonl", 40, "gopher.words"), ("en.jsonl", 41, "gopher.words")]
    for each in found:
        rule, threshold = each.ruling
        assert (rule.name, threshold) == ("gopher.words", (50, 100_000))
        assert each.value == len(each.text.split()) < 50
        assert each.text in SHORT
    assert {each.reason for each in inspect(built.out, Wanted(rule="gopher"), 10, 0)} > {"gopher.words"}
    assert [each.reason for each in inspect(built.out, Wanted(rule="dedup.exact"), 10, 0)] == ["dedup.exact"]
    assert len(inspect(built.out, Wanted(kept=False), 10, 0)) == 4


def test_a_duplicate_comes_with_the_document_that_was_kept_in_its_place(built):
    (found,) = inspect(built.out, Wanted(rule="dedup"), 10, 0)
    assert found.record == 43
    assert found.twin == Twin(Origin("en", "en.jsonl", 0), None, 2, english(1)[0])
    shown = mixer("inspect", built.out, "--rule", "dedup.exact").stdout
    assert "twin that was kept: en: en.jsonl record 0; documents in the cluster: 2" in " ".join(shown.split())
    assert shown.count(english(1)[0].split()[0]) >= 2
    assert all(each.twin is None for each in inspect(built.out, Wanted(rule="gopher"), 10, 0))


def test_kept_documents_nearest_to_a_threshold_come_first(built):
    found = inspect(built.out, Wanted(rule="gopher.top_2gram", kept=True), 40, 0)
    assert {each.source for each in found} == {"en"} and len(found) == 40
    values = [each.value for each in found]
    assert values == sorted(values, reverse=True) and values[0] <= 0.2
    assert all(each.reason is None for each in found)


def test_a_seed_draws_the_same_documents_again(built):
    wanted = Wanted(language="zh")
    first = [each.record for each in inspect(built.out, wanted, 8, 3)]
    assert first == [each.record for each in inspect(built.out, wanted, 8, 3)]
    assert first != [each.record for each in inspect(built.out, wanted, 8, 4)]
    assert first == [each.record for each in inspect(built.out, wanted, 20, 3)][:8]
    everything = inspect(built.out, Wanted(source="zh"), 1000, 3)
    assert sorted(each.record for each in everything) == list(range(40))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "eng"], "did you mean 'en'"),
        (["--rule", "gopher.word"], "did you mean 'gopher.words'"),
        (["--rule", "gopher.word", "--kept"], "did you mean 'gopher.words'"),
        (["--language", "zg"], "did you mean 'zh'"),
        (["--what-if", "gopher.word=3"], "did you mean 'gopher.words'"),
        (["--what-if", "gopher.hashes=7,"], "takes one number"),
        (["--what-if", "gopher.hashes"], "NAME=VALUE"),
        (["--what-if", "gopher.hashes=1", "--rule", "gopher"], "--rule cannot choose some"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(built, arguments, message):
    ran = mixer("inspect", built.out, *arguments)
    assert ran.code == 2
    assert message in ran.stderr


def test_a_source_of_which_nothing_was_kept_is_a_source(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "dropped/gone").mkdir(parents=True)
    batch = set_column(make_batch(["f"], [0], ["text"]), "language", pa.array(["en"]))
    pq.write_table(pa.Table.from_batches([record(batch, "web", None, {"en": []})]), tmp_path / "dropped/gone/0.parquet")
    assert inspect(tmp_path, Wanted("gone", kept=True), 5, 0) == []
    assert what_if(tmp_path, Wanted("gone"), {})[0].documents == 1
    with pytest.raises(UsageError, match="did you mean 'gone'"):
        inspect(tmp_path, Wanted("gon", kept=True), 5, 0)


def test_a_directory_without_a_build_is_refused(tmp_path):
    ran = mixer("inspect", tmp_path)
    assert ran.code == 2
    assert "no finished build" in ran.stderr


def test_inspect_shows_text_statistic_and_threshold(built):
    ran = mixer("inspect", built.out, "--rule", "gopher.words", "-n", "1")
    assert ran.code == 0
    assert "must be between 50 and 100000" in ran.stdout
    assert any(text in " ".join(ran.stdout.split()) for text in SHORT)
    assert "1 documents" in ran.stdout
    cut = mixer("inspect", built.out, "--kept", "--source", "en", "-n", "1").stdout
    assert "characters more" not in mixer("inspect", built.out, "--kept", "-n", "1", "--full").stdout
    assert ("characters more" in cut) == (len(english(1)[0]) > 600)


def changes(built, **thresholds):
    wanted = {name.replace("__", "."): value for name, value in thresholds.items()}
    found = what_if(built.out, Wanted(), wanted)
    assert all(each.kept <= each.documents for each in found)
    return {(each.source, each.language): (dict(each.lost), dict(each.back)) for each in found}


def test_what_if_tells_what_comes_back_and_what_is_lost(built):
    assert changes(built, gopher__words=(45.0, 1000.0)) == {("en", "en"): ({}, {}), ("zh", "zh"): ({}, {})}
    assert changes(built, gopher__words=(5.0, 1000.0))["en", "en"] == ({}, {"gopher.words": 2})
    lost, back = changes(built, gopher__words=(81.0, 1000.0))["en", "en"]
    assert lost == {"gopher.words": 40} and back == {}


def test_what_if_agrees_with_a_build_of_these_thresholds(built, small_tokenizer, tmp_path, kept_server):
    thresholds = {"gopher.top_2gram": 0.066, "gopher.words": False, "gopher.alphabetic_words": 0.97}
    change = next(each for each in what_if(built.out, Wanted("en"), thresholds) if each.language == "en")
    other = Small(tmp_path, small_tokenizer)
    other.write("en.jsonl", (built.folder / "en.jsonl").read_bytes())
    other.source("en", filters=thresholds)
    assert other.build().code == 0
    kept = sum(pq.read_metadata(path).num_rows for path in (other.out / "documents").rglob("en-en/*.parquet"))
    assert kept == change.kept - change.lost.total() + change.back.total()
    assert change.lost["gopher.top_2gram"] and change.back


def test_what_if_computes_what_no_rule_looked_at(built):
    path = next((built.out / "documents/train/zh-zh").glob("*.parquet"))
    assert STATISTICS + "terminal_lines" not in pq.read_schema(path).names
    assert changes(built, chinese__terminal_lines=0.5)["zh", "zh"] == ({"chinese.terminal_lines": 40}, {})


def test_what_if_knows_what_a_document_is_written_in(tmp_path):
    batch = make_batch(["f"] * 2, range(2), ["key: value\n" * 600] * 2, {"kind": ["yaml", "ruby"]})
    batch = set_column(batch, "language", pa.array(["code"] * 2))
    (tmp_path / "documents/train/s-code").mkdir(parents=True)
    path = tmp_path / "documents/train/s-code/0.parquet"
    pq.write_table(pa.Table.from_batches([record(batch, "code", "kind", {"code": []})]), path)
    (change,) = what_if(tmp_path, Wanted(), {"code.data_lines": 512.0})
    assert (change.documents, change.lost) == (2, {"code.data_lines": 1})


def test_a_record_of_checks_is_json_and_comes_back():
    checks = checkbook(FilterSettings(), Overrides(), "book", ["en", "zh"])
    batch = record(make_batch([], [], []), "book", None, checks)
    json.loads(batch.schema.metadata[b"mixer.checks"], parse_constant=pytest.fail)
    assert recorded(batch.schema, "f").rules == rulebook(checks)


def test_the_funnel_counts_at_every_rule(built):
    ran = mixer("filter", built.folder / "en.jsonl", "--language", "en")
    assert ran.code == 0
    assert "kept 41 of 44 documents" in ran.stdout
    rows = {row.split()[0]: row.split() for row in ran.stdout.splitlines() if row.startswith("  ")}
    words = rows["gopher.words"]
    assert words[1:8] == ["50", "to", "100000", "2", "2", "2", "42"]
    repeated = [name for name, row in rows.items() if name.startswith("gopher.") and row[-7:-6] != ["0"]]
    assert "gopher.duplicate_10grams" in repeated


def test_the_funnel_takes_thresholds_profiles_and_recipes(built, tmp_path):
    file = built.folder / "en.jsonl"
    looser = mixer("filter", file, "--language", "en", "--rule", "gopher.words=[3, 1000]").stdout
    assert "kept 43 of 44" in looser
    code = mixer("filter", file, "--language", "en", "--profile", "starcoder").stdout
    assert "code.mean_line_length" in code and "gopher" not in code
    built.source("en", filters={"gopher.words": [3, None]})
    assert "kept 43 of 44" in mixer("filter", file, "--recipe", built.file(), "--source", "en").stdout
    limited = mixer("filter", file, "--language", "en", "--limit", "7").stdout
    assert "of 7 documents" in limited


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--domain", "wbe"], "web"),
        (["--rule", "gopher.word=3"], "did you mean 'gopher.words'"),
        (["--profile", "goper"], "did you mean 'gopher'"),
        (["--recipe", "quickstart"], "--source go together"),
        (["--recipe", "quickstart", "--source", "poety"], "did you mean 'poetry'"),
        (["--text", "body"], "body"),
    ],
)
def test_what_a_funnel_cannot_do_is_refused(built, arguments, message):
    ran = mixer("filter", built.folder / "en.jsonl", *arguments)
    assert ran.code in (1, 2)
    assert message in ran.stderr


def test_unreadable_records_are_shown(tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_bytes(lines(chinese(3)) + b'{"text": "\xff"}\n')
    out = mixer("filter", path, "--language", "zh").stdout
    assert "1 records could not be read" in out
    assert re.search(r"broken\.jsonl, line 4: ", out)


def test_rules_prints_the_table_and_its_page():
    everything = mixer("rules").stdout
    assert all(check.name in everything for check in TABLE)
    assert mixer("rules", "--markdown").stdout == markdown()
    assert "gopher" not in mixer("rules", "chinese").stdout
    web = mixer("rules", "--for", "web/en").stdout
    assert re.search(r"gopher\.alphabetic_words +0\.5", web) and "chinese." not in web
    assert re.search(r"gopher\.alphabetic_words +0\.8", mixer("rules", "--profile", "gopher").stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gofer"], "did you mean 'gopher'"),
        (["gopher.word"], "did you mean 'gopher.words'"),
        (["--for", "wbe/en"], "did you mean 'web'"),
        (["--profile", "finweb"], "did you mean 'fineweb'"),
    ],
)
def test_unknown_names_have_a_nearest_spelling(arguments, message):
    ran = mixer("rules", *arguments)
    assert ran.code == 2
    assert message in ran.stderr
