"""Benchmark files of every shape: nested, tabular, compressed, conversations; which field is the question."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.contamination.records import find_files, read_items
from mixer.contamination.settings import Benchmark
from mixer.errors import InputError, RecipeError

SQUAD = {
    "version": "1.0",
    "data": [
        {
            "title": "A page",
            "paragraphs": [
                {"context": "All of it.", "qas": [{"id": "q1", "question": "What?"}, {"id": "q2", "question": "Who?"}]},
                {"context": "More of it.", "qas": [{"id": "q3", "question": "Why?", "answers": [{"text": "so"}]}]},
            ],
        }
    ],
}


def items(folder, name, content, **given):
    """Read a file of some bytes, or of a value as JSON, as a benchmark."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    benchmark = Benchmark(name="bench", paths=[name], **given)
    return [
        (item.name.removeprefix(f"{name} "), item.text) for item in read_items(benchmark, find_files(benchmark, folder))
    ]


def texts(*arguments, **given):
    return [text for _, text in items(*arguments, **given)]


def test_questions_are_found_however_deep_they_nest(tmp_path):
    assert items(tmp_path, "squad.json", SQUAD) == [
        ("record 0 (q1)", "What?"),
        ("record 1 (q2)", "Who?"),
        ("record 2 (q3)", "Why?"),
    ]
    assert texts(tmp_path, "by_id.json", {"a": {"question": "What?"}, "b": {"question": "Who?"}}) == ["What?", "Who?"]


def test_fields_may_come_from_around_a_record(tmp_path):
    assert (
        texts(tmp_path, "squad.json", SQUAD, fields=["{title}: {context} {question}"])[1] == "A page: All of it. Who?"
    )
    assert set(texts(tmp_path, "squad.json", SQUAD, fields=["context", "question"])) == {
        "All of it.",
        "More of it.",
        "What?",
        "Who?",
        "Why?",
    }


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"Body": "He has two.", "Question": "How many?", "id": 3}, "He has two.\nHow many?"),
        ({"passage": None, "question": "How many?"}, "How many?"),
        ({"instruction": "Sum up.", "input": "A text.", "output": "A"}, "Sum up.\nA text."),
        ({"turns": ["First?", "Second?"]}, "First?\nSecond?"),
        ({"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}, "Why?"),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}, "Why?"),
        ({"sentence1": "One.", "sentence2": "Two.", "label": 1}, "One.\nTwo."),
        ({"prompt": "def f():", "text": "no"}, "def f():"),
        ({"answer": "4", "question": 2}, "2"),
    ],
)
def test_the_question_is_told_by_its_usual_names(tmp_path, record, text):
    assert texts(tmp_path, "one.json", [record]) == [text]


def test_formats_are_told_by_content(tmp_path):
    table = pa.table({"Question": ["What?", None], "A": ["1", "2"]})
    pq.write_table(table, tmp_path / "table.parquet")
    assert texts(tmp_path, "table.parquet", (tmp_path / "table.parquet").read_bytes()) == ["What?", ""]
    rows = b'{"question": "What?"}\n\n{"question": "Who?"}\n'
    assert texts(tmp_path, "lines.json", rows) == ["What?", "Who?"]
    assert texts(tmp_path, "lines.json.gz", gzip.compress(rows)) == ["What?", "Who?"]
    assert texts(tmp_path, "table.csv", b'id,question\n1,"What, \nwhere?"\n') == ["What, \nwhere?"]
    assert texts(tmp_path, "table.tsv", "question\tid\n哪里\t1\n".encode("gb18030"), encoding="gb18030") == ["哪里"]
    assert texts(tmp_path, "empty.json", b"") == []


@pytest.mark.parametrize(
    ("name", "content", "given", "error", "message"),
    [
        ("bad.json", b'[{"question": "a"}, ]', {}, InputError, "benchmark 'bench': bad.json: line 1 is no valid JSON"),
        ("none.json", [{"answer": "a"}], {}, RecipeError, "there are answer"),
        ("none.json", [{"question": "a"}], {"fields": ["questions"]}, RecipeError, "did you mean 'question'"),
        ("none.json", [1, 2], {}, InputError, "holds no records"),
        ("page.txt", b"just text\n", {}, InputError, "holds text, no records"),
        ("bytes.json", b'[{"question": "\xff"}]', {}, InputError, "name its `encoding`"),
        ("cut.parquet", b"PAR1 and no more", {}, InputError, "benchmark 'bench'"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_file_and_remedy(tmp_path, name, content, given, error, message):
    with pytest.raises(error) as raised:
        items(tmp_path, name, content, **given)
    assert message in str(raised.value)
    assert raised.value.remedy


def test_files_that_are_not_there_name_the_benchmark(tmp_path):
    with pytest.raises(RecipeError, match="benchmark 'bench': `paths` names"):
        find_files(Benchmark(name="bench", paths=["*.json"]), tmp_path)
