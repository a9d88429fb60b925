"""What a task and the engine do to a store, against a server."""

import os
import signal
import subprocess
import sys
import threading
import tracemalloc

import msgspec
import numpy as np
import pytest

from mixer import storage, uploads
from mixer.engine import lease
from mixer.engine.lock import lock
from mixer.engine.outputs import Outputs, remove_temporaries
from mixer.engine.receipts import take_stock, write_receipt
from mixer.engine.stage import Receipt, Task
from mixer.errors import UsageError
from mixer.megatron.indexed import Shard, join

PART = 8 << 20


def pieces(count, size=1 << 20):
    """Yield bytes that differ from piece to piece."""
    for number in range(count):
        yield np.full(size // 8, number, "<u8").tobytes()


def unfinished(root):
    bucket = root.path.split("/")[0]
    return root.fs.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", [])


def test_a_file_of_many_parts_is_whole_and_its_hash_known(root):
    outputs = Outputs(root)
    with outputs.open("run/large.bin") as file:
        for piece in pieces(30):
            file.write(piece)
        assert len(unfinished(root)) == 1
        assert storage.files(root) == {}
    assert storage.files(root) == {"run/large.bin": 30 << 20}
    assert outputs.files["run/large.bin"].bytes == 30 << 20
    assert (root / "run/large.bin").read_bytes() == b"".join(pieces(30))
    assert unfinished(root) == []


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1])
def test_a_file_of_any_size(root, size):
    with Outputs(root).open("run/a") as file:
        file.write(b"x" * size)
    assert storage.files(root) == {"run/a": size}


@pytest.mark.parametrize("size", [1, 3 * PART])
def test_a_file_that_fails_leaves_nothing(root, size):
    with pytest.raises(KeyError), Outputs(root).open("run/a") as file:
        file.write(b"x" * size)
        raise KeyError
    assert storage.files(root) == {}
    assert unfinished(root) == []


CUT_OFF = """
import os, signal, sys
from mixer import storage, uploads
from mixer.engine.outputs import Outputs
with Outputs(storage.at(sys.argv[1])).open("documents/a") as file:
    file.write(bytes(20 << 20))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_upload_that_is_killed_is_invisible_and_can_be_thrown_away(root):
    other = root.parent / "mix2"  # of another build, whose name begins alike
    with storage.create(other / "b") as file:
        file.write(bytes(9 << 20))
        ended = subprocess.run([sys.executable, "-c", CUT_OFF, str(root)], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert storage.files(root) == {}
        assert len(unfinished(root)) == 2
        remove_temporaries(root)
        assert [upload["Key"] for upload in unfinished(root)] == ["corpora/mix2/b"]
    assert storage.files(other) == {"b": 9 << 20}


def test_memory_does_not_grow_with_the_file(root):
    def peak(mebibytes):
        lengths = np.full(mebibytes << 10, 256, np.int32)
        tracemalloc.start()
        try:
            outputs = Outputs(root)
            with outputs.open("run/shards/0.bin") as file:
                for piece in pieces(mebibytes):
                    file.write(piece)
            with outputs.open("run/shards/0.lengths.npy") as file:
                np.save(file, lengths)
            shard = Shard(root / "run/shards/0.bin", root / "run/shards/0.lengths.npy")
            with outputs.open("run/all.bin", size=mebibytes << 20) as bin_file, outputs.open("run/all.idx") as idx_file:
                assert join([shard], bin_file, idx_file, np.dtype("<i4")).tokens == mebibytes << 18
            assert outputs.files["run/all.bin"] == outputs.files["run/shards/0.bin"]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # imports, and a connection
    assert peak(96) < 1.1 * peak(48)


@pytest.mark.parametrize("size", [11 << 20, 12 << 20])
def test_a_large_file_is_copied_in_pieces(root, monkeypatch, size):
    monkeypatch.setattr(uploads, "COPY_BYTES", 6 << 20)
    content = np.random.default_rng(1).bytes(size)
    storage.write(root / "a", content)
    uploads.copy(root / "a", root / "b")
    assert storage.read(root / "b") == content
    assert unfinished(root) == []


def test_a_copy_that_fails_leaves_nothing(root, monkeypatch):
    monkeypatch.setattr(uploads, "COPY_BYTES", 1 << 20)  # less than a part may have
    storage.write(root / "a", bytes(3 << 20))
    with pytest.raises(OSError, match="smaller"):
        uploads.copy(root / "a", root / "b")
    assert storage.files(root) == {"a": 3 << 20}
    assert unfinished(root) == []


def test_stock_is_taken_in_few_requests(root, monkeypatch):
    for number in range(20):
        with Outputs(root) as outputs:
            with outputs.open(f"documents/train/web/{number:05}.parquet") as file:
                file.write(b"x" * number)
            write_receipt(root, Receipt("prepare", f"web/{number:05}", "key", outputs.files, {}))
    storage.remove([root / "documents/train/web/00003.parquet"])
    calls = []
    call = root.fs._call_s3

    async def counted(method, *arguments, **options):
        calls.append(method)
        return await call(method, *arguments, **options)

    monkeypatch.setattr(root.fs, "_call_s3", counted)
    stock = take_stock(root, "prepare", [Task(f"web/{number:05}", "key", 1) for number in range(20)])
    assert len(stock.done) == 19
    assert stock.stale == {"web/00003"}
    assert "head_object" not in calls


class TestLock:
    @pytest.fixture
    def elsewhere(self, tmp_path, monkeypatch):
        """Be on another machine: one with another lock file."""
        return lambda: monkeypatch.setenv(storage.SCRATCH, str(tmp_path / "elsewhere"))

    def test_a_build_on_another_machine_is_refused_while_this_one_lives(self, root, elsewhere, monkeypatch):
        monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
        with lock(root):
            elsewhere()
            with pytest.raises(UsageError, match="another build is writing to s3://"), lock(root):
                pass
        with lock(root):
            pass
        assert storage.files(root) == {}

    def test_what_a_killed_build_left_is_taken_over(self, root, elsewhere, monkeypatch):
        with lock(root):
            left = storage.read(root / lease.LOCK)
        storage.write(root / lease.LOCK, left)
        with lock(root):  # at once: it was here
            left = storage.read(root / lease.LOCK)
        storage.write(root / lease.LOCK, left)
        elsewhere()
        monkeypatch.setattr(lease, "LEASE_SECONDS", 0.2)
        with lock(root):
            assert storage.read(root / lease.LOCK) != left

    def test_of_many_that_try_at_once_one_has_it(self, root):
        class Racing(lease._Lease):
            def __init__(self, number):
                super().__init__(root, f"place {number}")

        def write(racer):
            version = racer._read()[1]
            ready.wait()
            won.append(racer._write(racer._mine, version))

        for _ in range(2):  # where there is none, and over one that was left
            won, ready = [], threading.Barrier(8)
            threads = [threading.Thread(target=write, args=(Racing(number),)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(won) == [False] * 7 + [True]

    def test_the_lock_is_renewed(self, root, monkeypatch):
        monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
        with lock(root):
            for _ in range(1000):
                if msgspec.json.decode(storage.read(root / lease.LOCK), type=lease.Lock).renewed > 2:
                    return
        raise AssertionError


def test_megatron_reads_a_dataset_from_the_store(root, core, tmp_path):
    pytest.importorskip("boto3")
    lengths = np.array([3, 1, 4, 1, 5], np.int32)
    ids = np.arange(lengths.sum(), dtype="<i4")
    outputs = Outputs(root)
    with outputs.open("shard.bin") as file:
        file.write(ids.tobytes())
    with outputs.open("shard.npy") as file:
        np.save(file, lengths)
    with outputs.open("web-en.bin") as bin_file, outputs.open("web-en.idx") as idx_file:
        join([Shard(root / "shard.bin", root / "shard.npy")], bin_file, idx_file, np.dtype("<i4"))
    config = core.indexed.ObjectStorageConfig(path_to_idx_cache=str(tmp_path / "cache"))
    dataset = core.indexed.IndexedDataset(str(root / "web-en"), mmap=False, object_storage_config=config)
    assert len(dataset) == 5
    ends = np.cumsum(lengths)
    for number, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        np.testing.assert_array_equal(dataset[number], ids[end - length : end])


def test_a_store_that_does_not_answer_is_said(server):
    environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "mixer.cli", "verify", "s3://nothing/mix"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "cannot be used" in ran.stderr
    assert "AWS_ENDPOINT_URL" in ran.stderr


def test_a_bucket_that_is_not_there_is_said(server):
    with pytest.raises(UsageError, match="there is no such bucket"):
        storage.check_reachable(storage.at("s3://nobody-made-this/mix"))


def test_missing_credentials_are_said(server):
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    ran = subprocess.run(
        [sys.executable, "-m", "mixer.cli", "report", "s3://nothing/mix"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "credentials" in ran.stderr
