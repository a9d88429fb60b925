"""From files to columns: what is learned, what is set aside, languages, and what a resumed training finds again."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.dialogues.draw import draw
from mixer.dialogues.examples import Pairs
from mixer.dialogues.prepare import prepare
from mixer.dialogues.settings import LoadedTuning, check
from mixer.dialogues.shares import ALL, report, shares
from mixer.errors import InputError, RecipeError

ENGLISH = [{"instruction": f"Name number {n}.", "output": f"The number is called {n}, of course."} for n in range(20)]
CHINESE = [{"instruction": f"数字{n}叫什么？", "output": f"这个数字当然叫做{n}。"} for n in range(10)]
CROSSED = [{"instruction": f"数字{n}叫什么？", "output": f"The number is called {n}, of course."} for n in range(10)]
PAIRS = [{"prompt": f"Is {n} a number?", "chosen": f"Yes, {n} is a number.", "rejected": "No idea."} for n in range(8)]


def learned(prepared, spell, rows=None):
    """Return what is learned of each example, without the ends of turns."""
    examples = prepared.examples
    found = []
    for row in range(len(examples)) if rows is None else rows:
        part = slice(examples.offsets[row], examples.offsets[row + 1])
        found.append(spell(examples.tokens[part][examples.learned[part]].tolist()).removesuffix("<|eot_id|>"))
    return found


def test_sources_follow_one_another(made, spell):
    data = made({"en": ENGLISH, "zh": CHINESE})
    assert learned(data, spell) == [row["output"] for row in (*ENGLISH, *CHINESE)]
    assert data.source.tolist() == [0] * 20 + [1] * 10
    assert data.places.tolist() == [*range(20), *range(10)]
    assert data.weights.tolist() == [20 / 30, 10 / 30]
    assert data.template == "llama3"
    assert not data.held_out.any()


def test_weights_count_examples(made):
    data = made({"en": ENGLISH, "zh": CHINESE}, {"en": {"weight": 1}, "zh": {"weight": 3}})
    assert np.bincount(data.source[draw(data, 40)]).tolist() == [10, 30]


def test_what_is_set_aside_is_counted_with_its_place(made):
    rows = [*ENGLISH[:3], {"instruction": "A?", "output": ""}, {"instruction": "Q " * 200, "output": "a"}]
    data = made({"en": [*rows, {"instruction": "A?", "output": [1]}]}, sequence_length=150)
    (tally,) = data.tallies
    assert (tally.kept, tally.read) == (3, 6)
    assert dict(tally.aside) == {"empty_response": 1, "prompt_too_long": 1, "format": 1}
    assert tally.first["empty_response"] == "en.jsonl, record 3: assistant says nothing"
    assert tally.first["prompt_too_long"].startswith("en.jsonl, record 4: the prompt has ")


def test_a_source_that_leaves_nothing_is_an_error(made):
    with pytest.raises(InputError, match=r"'en' has nothing to train on: 2 empty_response \(en.jsonl, record 0"):
        made({"en": [{"instruction": "A?", "output": ""}] * 2})


def test_unreadable_records_are_counted_up_to_a_share(loaded, little):
    tuning = loaded({"en": ENGLISH})
    path = tuning.root / "en.jsonl"
    path.write_text(path.read_text() + '{"instruction": \n')
    with pytest.raises(InputError, match=r"1 of 21 records cannot be read, first en.jsonl, line 21"):
        prepare(tuning, "dialogue", little)
    allowed = loaded({"en": ENGLISH}, {"en": {"max_rejected": 0.1}})
    path.write_text(path.read_text() + '{"instruction": \n')
    (tally,) = prepare(allowed, "dialogue", little).tallies
    assert (tally.kept, tally.unreadable) == (20, 1)


def test_limit_takes_the_first_that_are_kept(made, spell):
    rows = [{"instruction": "A?", "output": ""}, *ENGLISH]
    data = made({"en": rows}, {"en": {"limit": 4}})
    assert learned(data, spell) == [row["output"] for row in ENGLISH[:4]]
    (tally,) = data.tallies
    assert (tally.kept, tally.read) == (4, 5)


def test_only_keeps_what_a_field_says(made, spell):
    rows = [{**row, "label": n % 2 == 0} for n, row in enumerate(ENGLISH)]
    data = made({"en": rows}, {"en": {"only": {"label": True}}})
    assert len(data) == 10
    assert dict(data.tallies[0].aside) == {"not_wanted": 10}
    assert dict(made({"en": rows}).tallies[0].aside) == {"bad_answer": 10}


def test_fields_can_have_other_names(made, spell):
    rows = [{"q": row["instruction"], "a": {"text": row["output"]}} for row in ENGLISH]
    data = made({"en": rows}, {"en": {"format": "alpaca", "fields": {"instruction": "q", "output": "a.text"}}})
    assert learned(data, spell) == [row["output"] for row in ENGLISH]


def test_preferences_are_pairs(made, spell):
    data = made({"en": PAIRS}, kind="preference")
    assert isinstance(data.examples, Pairs)
    chosen, rejected = data.examples.chosen, data.examples.rejected
    assert len(chosen) == len(rejected) == len(data) == 8
    for row in range(8):
        sides = [slice(side.offsets[row], side.offsets[row + 1]) for side in (chosen, rejected)]
        prompts = [int(side.learned[part].argmax()) for side, part in zip((chosen, rejected), sides, strict=True)]
        assert prompts[0] == prompts[1]
        better, worse = chosen.tokens[sides[0]], rejected.tokens[sides[1]]
        assert better[: prompts[0]].tolist() == worse[: prompts[0]].tolist()
        assert spell(better[prompts[0] :].tolist()) == PAIRS[row]["chosen"] + "<|eot_id|>"
        assert spell(worse[prompts[0] :].tolist()) == PAIRS[row]["rejected"] + "<|eot_id|>"


def test_the_two_kinds_do_not_mix(made):
    with pytest.raises(RecipeError, match="'en' holds preferences, but dialogues are wanted"):
        made({"zh": CHINESE, "en": PAIRS})
    with pytest.raises(RecipeError, match="'en' holds dialogues, but preferences are wanted"):
        made({"en": ENGLISH}, kind="preference")


def test_held_out_examples_go_by_their_prompts(made):
    rows = [{**row, "output": f"{row['output']} {n}"} for n in range(4) for row in ENGLISH]
    data = made({"en": rows}, valid_fraction=0.3)
    assert 0 < data.held_out.sum() < 80
    assert (data.held_out.reshape(4, 20) == data.held_out[:20]).all()
    assert not np.intersect1d(draw(data, 200), data.valid_rows).size
    other = made({"en": rows}, valid_fraction=0.3, seed=5)
    assert (other.held_out != data.held_out).any()
    with pytest.raises(InputError, match="all of its 1 examples are held out"):
        made({"en": ENGLISH[:1]}, valid_fraction=0.999999)


def test_languages_of_answers_and_of_prompts(made):
    data = made({"en": ENGLISH, "crossed": CROSSED})
    of = {(share.source, share.side, share.language): share for share in shares(data)}
    assert of["crossed", "answers", "en"].examples == 1
    assert of["crossed", "prompts", "zh"].examples == 1
    assert of[ALL, "answers", "en"].examples == 1
    assert of[ALL, "prompts", "zh"].examples == pytest.approx(1 / 3)
    tokens = data.examples.lengths
    assert of[ALL, "prompts", "zh"].tokens == pytest.approx(tokens[20:].sum() / tokens.sum())


def test_shares_in_all_are_of_what_is_drawn(made):
    data = made({"en": ENGLISH, "zh": CHINESE}, {"en": {"weight": 1}, "zh": {"weight": 3}})
    of = {(share.source, share.side, share.language): share for share in shares(data)}
    assert of[ALL, "answers", "zh"].examples == pytest.approx(0.75)
    counts = data.examples.learned_counts
    chinese, english = 3 * counts[20:].mean(), counts[:20].mean()
    assert of[ALL, "answers", "zh"].answer_tokens == pytest.approx(chinese / (chinese + english))


def test_what_cannot_be_told_has_no_language(made):
    rows = [{"instruction": "What is the capital of this country?", "output": output} for output in ("42", "mi lo sa")]
    found = {share.language: share.examples for share in shares(made({"en": rows})) if share.side == "answers"}
    assert found == {"und": pytest.approx(1)}


def test_a_declared_language_wins(made):
    data = made({"en": ENGLISH}, {"en": {"language": "de"}})
    assert {(share.side, share.language) for share in shares(data)} == {("answers", "de"), ("prompts", "de")}


def test_the_report_is_json_and_adds_up(made):
    data = made({"en": [*ENGLISH, {"instruction": "A?", "output": ""}], "zh": CHINESE}, valid_fraction=0.2)
    told = json.loads(json.dumps(report(data), allow_nan=False))
    assert told["examples"] == told["train"] + told["valid"] == 30
    first = told["sources"][0]
    assert first["read"] == first["kept"] + sum(entry["count"] for entry in first["set_aside"].values()) == 21
    assert sum(source["tokens"] for source in told["sources"]) == data.examples.lengths[~data.held_out].sum()
    for source in ("en", "zh", None):
        for side in ("answers", "prompts"):
            of = [entry for entry in told["languages"] if (entry["source"], entry["side"]) == (source, side)]
            for amount in ("examples", "tokens", "answer_tokens"):
                assert sum(entry[amount] for entry in of) == pytest.approx(1)


def test_the_key_changes_with_whatever_decides_the_data(made):
    records = {"en": ENGLISH, "zh": CHINESE}
    key = made(records).key
    assert made(records).key == key
    changed = [
        made({**records, "zh": CHINESE[:9]}),
        made(records, seed=2),
        made(records, valid_fraction=0.3),
        made(records, sequence_length=60),
        made(records, {"en": {"weight": 1}, "zh": {"weight": 1}}),
    ]
    assert len({key, *(data.key for data in changed)}) == 6


def test_the_same_whatever_the_file_format(loaded, little, tmp_path, spell):
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"问 {n}\n\x1f"},
                {"role": "assistant", "content": f'Answer "{n}", \u2028 done'},
            ],
            "n": n,
        }
        for n in range(50)
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), "utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "c.parquet")
    with pa.OSFile(str(tmp_path / "d.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    (tmp_path / "e.json").write_bytes(json.dumps(rows, ensure_ascii=False).encode("gb18030"))
    keys = set()
    for name in ("a.json", "b.jsonl.gz", "c.parquet", "d.arrow", "e.json"):
        encoding = {"encoding": "gb18030"} if name == "e.json" else {}
        settings = check({"sources": [{"name": "x", "paths": [name], **encoding}]}, "DATA.yaml")
        data = prepare(LoadedTuning(settings, tmp_path), "dialogue", little)
        assert learned(data, spell, [3]) == ['Answer "3", \u2028 done']
        keys.add(data.key)
    assert len(keys) == 1


def test_csv_records_have_their_columns(little, tmp_path, spell):
    (tmp_path / "a.csv").write_text('instruction,output\n"Say ""hi"", now",hi\nA?,"b\nc"\n')
    settings = check({"sources": [{"name": "x", "paths": ["a.csv"]}]}, "DATA.yaml")
    data = prepare(LoadedTuning(settings, tmp_path), "dialogue", little)
    assert learned(data, spell) == ["hi", "b\nc"]
    (tmp_path / "b.tsv").write_text("A?\tb\n")
    settings = check(
        {"sources": [{"name": "x", "paths": ["b.tsv"], "columns": ["instruction", "output"]}]}, "DATA.yaml"
    )
    assert learned(prepare(LoadedTuning(settings, tmp_path), "dialogue", little), spell) == ["b"]


@pytest.mark.parametrize(("name", "content"), [("a.txt", "Hello there."), ("a.html", "<html><p>Hello</p></html>")])
def test_files_without_records_are_refused(little, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    settings = check({"sources": [{"name": "x", "paths": [name], "format": "alpaca"}]}, "DATA.yaml")
    with pytest.raises(RecipeError, match="no records with fields"):
        prepare(LoadedTuning(settings, tmp_path), "dialogue", little)
    (tmp_path / "0.jsonl").write_text(json.dumps(ENGLISH[0]))
    settings = check({"sources": [{"name": "x", "paths": ["0.jsonl", name]}]}, "DATA.yaml")
    with pytest.raises(RecipeError, match="no records with fields"):
        prepare(LoadedTuning(settings, tmp_path), "dialogue", little)


def test_a_hugging_face_dataset_is_read_as_its_files_are(loaded, little, spell, tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": f"问{n}"}, {"from": "gpt", "value": f"答{n}"}]} for n in range(9)
    ]
    files = loaded({"a": rows})
    source = {"name": "a", "datasets": {"path": "json", "data_files": ["a.jsonl"]}}
    dataset = LoadedTuning(check({"sources": [source]}, "DATA.yaml"), tmp_path)
    found = [prepare(tuning, "dialogue", little) for tuning in (files, dataset)]
    assert found[0].key == found[1].key
    assert learned(found[1], spell) == [f"答{n}" for n in range(9)]


def test_odd_json_is_kept_or_rejected_as_everywhere(little, tmp_path, spell):
    lines = [
        '{"instruction": "A?", "output": "b", "score": NaN}',
        '{"instruction": "A?", "output": "half \\ud83d"}',
        '{"instruction": "A?", "output": "nul \\u0000"}',
        '["A?", "b"]',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    settings = check({"sources": [{"name": "x", "paths": ["a.jsonl"], "max_rejected": 1}]}, "DATA.yaml")
    data = prepare(LoadedTuning(settings, tmp_path), "dialogue", little)
    assert learned(data, spell) == ["b"]
    (tally,) = data.tallies
    assert tally.unreadable == 2
    assert tally.unreadable_first == "a.jsonl, line 2: a field holds half a surrogate pair (character 5)"
    assert dict(tally.aside) == {"nul_character": 1}


def test_examples_do_not_depend_on_batches(made, monkeypatch):
    key = made({"en": ENGLISH, "zh": CHINESE}).key
    monkeypatch.setattr("mixer.dialogues.prepare.BATCH", 3)
    assert made({"en": ENGLISH, "zh": CHINESE}).key == key
