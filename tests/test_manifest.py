"""mixture.json: its bytes, and what happens when it is not one."""

import json

import msgspec
import pytest
import xxhash

from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import Hashes, Manifest, content_id, encode, read
from tests.builds import make_build


@pytest.fixture
def build(tmp_path):
    return make_build(tmp_path)


def test_it_comes_back_as_it_was_written_and_ends_with_a_newline(build):
    content = (build / "mixture.json").read_bytes()
    assert encode(read(build)) == content
    assert content.endswith(b"}\n")


def test_keys_are_those_other_programs_rely_on(build):
    content = json.loads((build / "mixture.json").read_bytes())
    expected = ["format", "recipe", "build", "tokenizer", "sequence_length", "samples", "samples_max", "tokens", "almr"]
    assert list(content)[: len(expected)] == expected
    assert content["format"] == 1
    assert set(content["tokenizer"]) == {"name", "vocab_size", "eod", "bos", "sha256"}
    assert set(content["almr"]) == {"target", "basis", "realised", "measured"}
    keys = "prefix source language domain role documents tokens additional_tokens base_tokens neutral_tokens samples"
    assert set(content["datasets"][0]) == {*keys.split(), "weight", "epochs", "max_epochs", "xxh64"}
    assert set(content["valid"][0]) >= {"prefix", "source", "language", "documents", "tokens"}
    assert content["datasets"][0]["prefix"] == f"megatron/{content['build']}/train/wanjuan-zh"


def test_floats_are_written_as_python_reads_them(build):
    manifest = read(build)
    entry = msgspec.structs.replace(manifest.datasets[0], weight=1e-9, epochs=0.1 + 0.2)
    text = encode(msgspec.structs.replace(manifest, datasets=(entry,))).decode()
    assert '"weight": 1e-09,' in text
    assert '"epochs": 0.30000000000000004,' in text


def test_names_in_any_script_are_kept_readable(build):
    assert "维基" in encode(msgspec.structs.replace(read(build), recipe="维基")).decode()


def test_unknown_keys_are_passed_over(build):
    path = build / "mixture.json"
    content = json.loads(path.read_bytes()) | {"later": 1}
    path.write_text(json.dumps(content))
    assert isinstance(read(build), Manifest)


@pytest.mark.parametrize("there", [True, False])
def test_no_build_is_wrong_usage(tmp_path, there):
    directory = tmp_path / "some"
    if there:
        directory.mkdir()
    with pytest.raises(UsageError, match="no finished build") as caught:
        read(directory)
    assert caught.value.exit_code == 2


def test_a_file_in_place_of_the_build_is_wrong_usage(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        read(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text[:-50], "damaged"),
        (lambda text: "", "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "version 2"),
        (lambda text: text.replace('"format": 1,', ""), "format"),
        (lambda text: text.replace('"samples_max"', '"sample_max"'), "samples_max"),
        (lambda text: text.replace('"role": "base"', '"role": "other"'), r"datasets\[2\]\.role"),
        (lambda text: text.replace('"eod": 999', '"eod": -1'), "eod"),
        (lambda text: text.replace('"target": 0.33', '"target": 33'), "target"),
        (lambda text: text.replace('"basis": "label"', '"basis": 1'), "basis"),
    ],
)
def test_a_malformed_file_is_a_broken_promise_that_names_it(build, change, match):
    path = build / "mixture.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(BrokenPromiseError, match=match) as caught:
        read(build)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 4


def test_bytes_that_are_no_text_are_a_broken_promise(build):
    (build / "mixture.json").write_bytes(b'{"format": 1, "recipe": "\xff"}')
    with pytest.raises(BrokenPromiseError):
        read(build)


def test_content_id_depends_on_names_and_hashes_and_not_on_their_order():
    one = ("train/a-zh", Hashes(bin="1" * 16, idx="2" * 16))
    two = ("valid/a-zh", Hashes(bin="3" * 16, idx="4" * 16))
    text = f"train/a-zh\t{'1' * 16}\t{'2' * 16}\nvalid/a-zh\t{'3' * 16}\t{'4' * 16}\n"
    assert content_id([two, one]) == content_id([one, two]) == xxhash.xxh3_128_hexdigest(text.encode())
    swapped = ("train/a-zh", Hashes(bin="2" * 16, idx="1" * 16))
    assert len({content_id(files) for files in ([one, two], [one], [swapped, two])}) == 3
