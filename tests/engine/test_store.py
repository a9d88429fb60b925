"""The engine's files where the build directory is in an object store; in test_s3.py with a real server."""

import msgspec
import pytest

from mixer import storage
from mixer.engine import lease
from mixer.engine.lock import lock
from mixer.engine.outputs import Outputs, place, remove_temporaries
from mixer.engine.receipts import discard, finished, prune, receipt_path, take_stock, write_receipt
from mixer.engine.stage import Receipt, Task
from mixer.errors import UsageError
from tests.stores import memory


@pytest.fixture
def root(monkeypatch, tmp_path):
    monkeypatch.setenv(storage.SCRATCH, str(tmp_path))
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.0)
    return memory()


def done(root, task, key="key"):
    outputs = Outputs(root)
    with outputs.open(f"documents/train/{task}.parquet") as file:
        file.write(task.encode())
    receipt = Receipt("tokenize", task, key, outputs.files, {})
    write_receipt(root, receipt)
    return receipt


def tasks(*names, key="key"):
    return [Task(name, key, 1, payload=[]) for name in names]


def test_a_task_reads_a_copy_that_goes_with_it(root):
    with Outputs(root) as outputs:
        with outputs.open("run/a") as file:
            file.write(b"abc")
        path = outputs.fetch("run/a")
        assert path.read_bytes() == b"abc"
        assert outputs.fetch("run/a") == path
    assert not path.exists()
    assert outputs.files["run/a"].bytes == 3


def test_stock_is_taken_of_what_is_there(root):
    a, b, c = (done(root, name) for name in ("x/a", "x/b", "x/c"))
    done(root, "x/d", key="other")
    storage.remove([root / "documents/train/x/b.parquet"])
    storage.write(root / "documents/train/x/c.parquet", b"longer than it was")
    storage.write(receipt_path(root, "tokenize", "x/e"), b"{ cut off")
    stock = take_stock(root, "tokenize", tasks("x/a", "x/b", "x/c", "x/d", "x/e", "x/f"))
    assert stock.done == {"x/a": a}
    assert stock.stale == {"x/b", "x/c", "x/d", "x/e"}
    assert b.outputs and c.outputs
    assert finished(root, "tokenize", tasks("x/a")[0]) == a


def test_what_is_discarded_is_gone_with_its_outputs(root):
    for name in ("a", "b"):
        done(root, name)
    discard(root, "tokenize", "a")
    assert storage.files(root / "documents") == {"train/b.parquet": 1}
    prune(root, "tokenize", tasks("c"))
    assert storage.files(root) == {}


def test_an_unfinished_file_is_removed(root):
    storage.write(root / "documents/x.parquet.tmp", b"half")
    storage.write(root / "documents/y.parquet", b"whole")
    remove_temporaries(root)
    assert storage.files(root) == {"documents/y.parquet": 5}


def test_a_file_is_placed_across_stores(root, tmp_path):
    storage.write(root / "a", b"abc")
    assert place(root / "a", root / "b", root) == 3
    assert place(root / "a", tmp_path / "c", tmp_path) == 3
    assert place(tmp_path / "c", root / "d", root) == 3
    assert (root / "b").read_bytes() == (tmp_path / "c").read_bytes() == (root / "d").read_bytes() == b"abc"


def test_a_store_is_locked_once(root):
    with lock(root):
        assert (root / lease.LOCK).exists()
        with pytest.raises(UsageError, match="another build is writing"), lock(root):
            pass
    assert not (root / lease.LOCK).exists()


def test_a_lock_left_by_a_killed_build_of_this_machine_is_taken_over_at_once(root, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1e6)
    with lock(root):
        left = (root / lease.LOCK).read_bytes()
    storage.write(root / lease.LOCK, left)
    with lock(root):
        assert (root / lease.LOCK).read_bytes() != left


class TestAnotherMachine:
    @pytest.fixture(autouse=True)
    def found(self, root):
        found = lease.Lock(holder="someone", place="elsewhere", process=7, host="node-3")
        storage.write(root / lease.LOCK, msgspec.json.encode(found))
        return found

    def test_is_left_alone_while_it_renews_its_lock(self, root, found, monkeypatch):
        def renew(_):
            storage.write(root / lease.LOCK, msgspec.json.encode(msgspec.structs.replace(found, renewed=1)))

        monkeypatch.setattr(lease.time, "sleep", renew)
        with pytest.raises(UsageError, match="process 7 on node-3"), lock(root):
            pass
        assert b"someone" in (root / lease.LOCK).read_bytes()

    def test_is_taken_to_be_dead_if_it_does_not(self, root, monkeypatch):
        monkeypatch.setattr(lease, "LEASE_SECONDS", 0.01)
        with lock(root):
            assert b"someone" not in (root / lease.LOCK).read_bytes()


def test_a_build_that_lost_its_lock_ends_itself(root, monkeypatch, tmp_path):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    killed = []
    monkeypatch.setattr(lease.os, "kill", lambda *call: killed.append(call))
    local = tmp_path / "lock"
    local.touch()
    with lease.hold(root, local):
        other = lease.Lock(holder="someone", place="elsewhere", process=7, host="node-3")
        storage.write(root / lease.LOCK, msgspec.json.encode(other))
        for _ in range(1000):
            if killed:
                break
            lease.time.sleep(0.01)
    assert len(killed) == 1
    assert b"someone" in (root / lease.LOCK).read_bytes()  # it is not ours to remove
