"""Records read whole: nested values, odd types and broken text, whatever the container."""

import datetime
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.sources.settings import RecordSettings

RECORDS = [
    {"messages": [{"role": "user", "content": '你好 "x"\n'}], "n": 1, "deep": {"a": [1.5, None], "b": {}}},
    {"messages": [], "n": None, "deep": None},
]


@pytest.fixture
def whole(tmp_path):
    """Return what reads a file's records, and what is rejected."""

    def run(name, **keys):
        source = RecordSettings(name="s", paths=[name], **keys)
        rejected = []
        batches = [b for t in plan_source(source, tmp_path) for b in read(t, source, lambda *r: rejected.append(r))]
        texts = [text for batch in batches for text in batch["text"].to_pylist()]
        numbers = [number for batch in batches for number in batch["record"].to_pylist()]
        return [json.loads(text) for text in texts], numbers, rejected

    return run


def write(path, records):
    if path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1), "utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        table = pa.Table.from_pylist(records)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
            out.write_table(table)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.parquet", "a.arrow"])
def test_nested_values_are_kept(name, whole, tmp_path):
    if name in ("a.json", "a.jsonl"):
        records = RECORDS
    else:  # Arrow has one type a column
        records = [{**record, "deep": {"a": [1.5, None], "b": "x"}} for record in RECORDS]
    write(tmp_path / name, records)
    assert whole(name) == (records, [0, 1], [])


def test_an_object_of_objects_is_one_record(whole, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"1": RECORDS[0], "2": RECORDS[1]}, indent=2))
    assert whole("a.json") == ([{"1": RECORDS[0], "2": RECORDS[1]}], [0], [])


def test_rows_of_csv_have_their_columns(whole, tmp_path):
    (tmp_path / "a.csv").write_text('q,a,\n"x, ""y""",2,\n1\n')
    found, numbers, rejected = whole("a.csv")
    assert (found, numbers) == ([{"q": 'x, "y"', "a": "2", "": ""}], [0])
    assert rejected == [("a.csv", "line 3", "1 fields instead of 3")]
    (tmp_path / "b.tsv").write_text("x\ty\n")
    assert whole("b.tsv", columns=["q", "a"])[0] == [{"q": "x", "a": "y"}]


def test_what_json_cannot_spell(whole, tmp_path):
    table = pa.table(
        {
            "day": [datetime.date(2024, 9, 10)],
            "price": [decimal.Decimal("1.50")],
            "nan": [float("nan")],
            "bytes": [b"\xe4\xbd\xa0"],
            "kind": pa.array(["x"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert whole("a.parquet")[0] == [{"day": "2024-09-10", "price": "1.50", "nan": None, "bytes": "你", "kind": "x"}]


def test_broken_text_costs_its_record_only(whole, tmp_path):
    good, bad = b'{"a": "x"}', b'{"a": "\xff"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([good, bad, b'{"a": "\\ud800"}', good]))
    found, numbers, rejected = whole("a.jsonl")
    assert (found, numbers) == ([{"a": "x"}] * 2, [0, 3])
    assert [position for _, position, _ in rejected] == ["line 2", "line 3"]
    broken = pa.array([b"x", b"\xff", b"y"], pa.binary())
    pq.write_table(pa.table({"a": broken, "n": [1, 2, 3]}), tmp_path / "b.parquet")
    expected = [("b.parquet", "row 1", "invalid UTF-8 (invalid start byte)")]
    assert whole("b.parquet") == ([{"a": "x", "n": 1}, {"a": "y", "n": 3}], [0, 2], expected)


def test_encodings_and_truncation_are_as_for_documents(whole, tmp_path):
    (tmp_path / "a.json").write_bytes('[{"a": "你"}, {"a": "好"}'.encode("gb18030"))
    found, _, rejected = whole("a.json", encoding="gb18030", allow_truncated=True)
    assert found == [{"a": "你"}, {"a": "好"}]
    assert "truncated" in rejected[0][2]
