import io

import pytest
import xxhash

from mixer.engine.outputs import Outputs, remove_temporaries


def test_a_file_appears_whole_with_its_hash(tmp_path):
    outputs = Outputs(tmp_path)
    with outputs.open("documents/a/b.bin") as file:
        file.write(b"one")
        file.write(memoryview(b"twothree").cast("B"))
        assert file.tell() == 11
        assert not (tmp_path / "documents/a/b.bin").exists()
    data = (tmp_path / "documents/a/b.bin").read_bytes()
    assert data == b"onetwothree"
    assert outputs.files["documents/a/b.bin"].bytes == 11
    assert outputs.files["documents/a/b.bin"].xxh64 == xxhash.xxh64_hexdigest(data)


def test_an_exception_leaves_nothing(tmp_path):
    outputs = Outputs(tmp_path)
    with pytest.raises(KeyError), outputs.open("a") as file:
        file.write(b"x")
        raise KeyError
    assert not list(tmp_path.iterdir())
    assert outputs.files == {}


def test_an_exception_keeps_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyError), Outputs(tmp_path).open("a"):
        raise KeyError
    assert (tmp_path / "a").read_bytes() == b"old"


def test_text_layers_can_be_put_on_top(tmp_path):
    with Outputs(tmp_path).open("a") as file, io.TextIOWrapper(file, "utf-8", write_through=True) as text:
        text.write("字")
    assert (tmp_path / "a").read_text("utf-8") == "字"


def test_only_temporaries_in_known_folders_are_removed(tmp_path):
    for name in ("run/a.tmp", "dropped/x/y.tmp", "documents/keep.parquet", "mine/b.tmp", "c.tmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["c.tmp", "documents/keep.parquet", "mine/b.tmp"]
