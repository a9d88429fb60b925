import pytest

from mixer import storage
from mixer.errors import UsageError
from mixer.uploads import part_bytes
from tests.stores import memory


@pytest.fixture(params=["local", "store"])
def root(request, tmp_path):
    return tmp_path / "mix" if request.param == "local" else memory()


def test_a_file_appears_when_it_is_complete(root):
    with storage.create(root / "a/b.bin") as file:
        file.write(b"one")
        file.write(memoryview(b"two"))
        assert not (root / "a/b.bin").exists()
    assert (root / "a/b.bin").read_bytes() == b"onetwo"
    assert storage.files(root) == {"a/b.bin": 6}


def test_a_file_that_fails_leaves_what_was_there(root):
    storage.write(root / "a", b"before")
    with pytest.raises(KeyError), storage.create(root / "a") as file:
        file.write(b"after")
        raise KeyError
    assert storage.files(root) == {"a": 6}
    assert (root / "a").read_bytes() == b"before"


def test_files_are_listed_below_a_folder_alone(root):
    for name in ("x/1", "x/y/2", "xx/3"):
        storage.write(root / name, name.encode())
    assert storage.files(root / "x") == {"1": 3, "y/2": 5}
    assert storage.files(root / "nothing") == {}


def test_many_files_are_read_and_removed(root):
    paths = [root / f"f/{number}" for number in range(5)]
    for number, path in enumerate(paths):
        storage.write(path, b"x" * number)
    assert [content for _, content in storage.read_all(paths)] == [b"x" * number for number in range(5)]
    storage.remove([*paths[:3], root / "f/none"])
    assert storage.files(root) == {"f/3": 3, "f/4": 4}


def test_reads_in_every_way(root, tmp_path):
    storage.write(root / "a", bytes(range(100)))
    assert storage.piece(root / "a", 10, 20) == bytes(range(10, 20))
    with storage.stream(root / "a") as file:
        buffer = bytearray(64)
        assert storage.fill(file, buffer) == 64
        assert storage.fill(file, buffer) == 36
        assert storage.fill(file, buffer) == 0
    assert storage.fetch(root / "a", tmp_path / "copies").read_bytes() == bytes(range(100))
    with storage.borrow(root / "a") as path:
        assert path.read_bytes() == bytes(range(100))


def test_where_a_root_is():
    assert storage.is_local(storage.at("/data/mix"))
    assert storage.is_local(storage.at("file:///data/mix"))
    assert str(storage.at("memory://bucket/mix/")) == "memory://bucket/mix"


@pytest.mark.parametrize("place", ["s3://", "s3://a/b*", "gopher://a/b"])
def test_a_url_that_leads_nowhere_is_refused(place):
    with pytest.raises(UsageError):
        storage.at(place)


def test_what_needs_a_disk_refuses_a_store_and_says_what_to_do():
    with pytest.raises(UsageError, match="`mixer sweep` reads and writes a directory on this machine"):
        storage.local_only(memory(), "`mixer sweep`")


def test_each_store_has_a_folder_of_its_own_here(monkeypatch, tmp_path):
    monkeypatch.setenv(storage.SCRATCH, str(tmp_path))
    one, other = memory(), memory()
    assert storage.workplace(one) == storage.workplace(one)
    assert storage.workplace(one) != storage.workplace(other)
    assert storage.workplace(tmp_path) == tmp_path / "run"


def test_copies_of_a_process_that_is_gone_are_removed(monkeypatch, tmp_path):
    monkeypatch.setenv(storage.SCRATCH, str(tmp_path))
    root = memory()
    mine = storage.scratch(root)
    left = mine.with_name("999999999-x")
    left.mkdir()
    assert storage.scratch(root) != mine
    assert mine.is_dir()
    assert not left.exists()


@pytest.mark.parametrize("size", [0, 1, 10**8, 10**10, 10**11, 5 * 10**12])
def test_an_upload_has_few_enough_parts_and_no_larger_ones_than_it_must(size):
    part = part_bytes(size)
    assert size <= 10_000 * part
    assert part <= max(64 << 20, size // 8_900)


def test_what_a_client_library_raises_is_worded():
    botocore = pytest.importorskip("botocore.exceptions")
    refused = botocore.ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
    wrapped = PermissionError("no")
    wrapped.__cause__ = refused
    for error in (refused, wrapped, botocore.NoCredentialsError()):
        assert "credentials" in storage.trouble(error).remedy
    assert storage.trouble(PermissionError("no")) is None
    assert storage.trouble(KeyError("no")) is None
