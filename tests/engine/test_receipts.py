import json

import pytest

from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.receipts import discard, finished, prune, read_receipt, receipt_path, write_receipt
from mixer.engine.stage import Receipt, Task

TASK = Task("dolma/00003", "k", 1)


def leave(root, task=TASK, stage="prepare"):
    outputs = Outputs(root)
    with outputs.open(f"documents/{task.id}.parquet") as file:
        file.write(b"data")
    receipt = Receipt(stage, task.id, task.key, outputs.files, {"kept": 3, "rules": {"a.b": 1}}, 1.5, 10**9, 5, 6, 3)
    write_receipt(root, receipt)
    return receipt


def test_round_trip(tmp_path):
    receipt = leave(tmp_path)
    path = receipt_path(tmp_path, "prepare", "dolma/00003")
    assert path == tmp_path / "run/receipts/prepare/dolma/00003.json"
    assert read_receipt(path) == receipt == finished(tmp_path, "prepare", TASK)
    assert json.loads(path.read_text())["outputs"]["documents/dolma/00003.parquet"]["bytes"] == 4


@pytest.mark.parametrize("cut", range(0, 300, 17))
def test_a_truncated_receipt_is_none(tmp_path, cut):
    leave(tmp_path)
    path = receipt_path(tmp_path, "prepare", TASK.id)
    data = path.read_bytes().rstrip()
    path.write_bytes(data[: min(cut, len(data) - 1)])
    assert finished(tmp_path, "prepare", TASK) is None


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"stage": 1}', "\0\0\0"])
def test_something_else_is_none(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert read_receipt(path) is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "documents/../../x"])
def test_a_receipt_cannot_speak_of_files_elsewhere(tmp_path, path):
    write_receipt(tmp_path, Receipt("prepare", TASK.id, "k", {path: OutputFile(0, "0")}, {}))
    assert finished(tmp_path, "prepare", TASK) is None


def test_key_and_outputs_decide(tmp_path):
    leave(tmp_path)
    assert finished(tmp_path, "prepare", Task(TASK.id, "other", 1)) is None
    assert finished(tmp_path, "tokenize", TASK) is None
    output = tmp_path / "documents/dolma/00003.parquet"
    output.write_bytes(b"longer than before")
    assert finished(tmp_path, "prepare", TASK) is None
    output.unlink()
    output.mkdir()
    assert finished(tmp_path, "prepare", TASK) is None


def test_counts_must_be_json(tmp_path):
    with pytest.raises(TypeError):
        write_receipt(tmp_path, Receipt("prepare", "x", "k", {}, {"a": object()}))
    assert not list(tmp_path.rglob("*.*"))


def test_discard_takes_outputs_along(tmp_path):
    leave(tmp_path)
    discard(tmp_path, "prepare", TASK.id)
    discard(tmp_path, "prepare", TASK.id)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_prune_keeps_what_is_planned(tmp_path):
    gone = Task("wanjuan/00000", "k", 1)
    leave(tmp_path)
    leave(tmp_path, gone)
    leave(tmp_path, gone, stage="tokenize")
    prune(tmp_path, "prepare", [TASK])
    assert finished(tmp_path, "prepare", TASK)
    assert not receipt_path(tmp_path, "prepare", gone.id).exists()
    assert receipt_path(tmp_path, "tokenize", gone.id).exists()


def test_keys_are_equal_for_equal_values_only():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of("a", "b") != key_of("ab")
    assert len(key_of()) == 32
