import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.documents import ParquetSink
from mixer.engine.disk import check_free, full_disk
from mixer.engine.outputs import Outputs
from mixer.errors import DiskError

full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def test_enough_space(tmp_path):
    check_free(tmp_path / "not" / "there" / "yet", 1, "the stage prepare")


def test_both_numbers_are_named(tmp_path):
    with pytest.raises(DiskError, match=r"the stage prepare needs 1,000,000\.00 GB but only [\d,.]+ GB are free at"):
        check_free(tmp_path, 10**15, "the stage prepare")


def test_small_numbers_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=20_480))
    with pytest.raises(DiskError, match=r"needs 0\.05 MB but only 0\.02 MB are free"):
        check_free(tmp_path, 51_200, "the stage join")


def test_other_errors_pass(tmp_path):
    with pytest.raises(FileNotFoundError), full_disk(tmp_path):
        (tmp_path / "missing").read_bytes()


def on_full_device(tmp_path, name):
    """Make what is written to ``name`` go to a device without space."""
    (tmp_path / (name + ".tmp")).symlink_to("/dev/full")
    return Outputs(tmp_path)


@full_device
def test_plain_writing(tmp_path):
    outputs = on_full_device(tmp_path, "a")
    with pytest.raises(DiskError, match="no space left on the disk while writing"), outputs.open("a") as file:
        file.write(b"x" * 100_000)
    assert not list(tmp_path.iterdir())
    assert outputs.files == {}


@full_device
@pytest.mark.parametrize("rows", [10, 1_000_000])
def test_writing_parquet(tmp_path, rows):
    batch = pa.RecordBatch.from_pydict({"text": list(map(str, range(rows)))})
    with pytest.raises(DiskError), on_full_device(tmp_path, "a").open("a") as file:
        sink = ParquetSink(file)
        sink.write(batch)
        sink.close()
    assert not list(tmp_path.iterdir())


@full_device
def test_writing_numpy(tmp_path):
    import numpy as np

    with pytest.raises(DiskError), on_full_device(tmp_path, "a").open("a") as file:
        np.lib.format.write_array(file, np.arange(100_000))


FILL = """
import sys
from pathlib import Path
import pyarrow as pa
from mixer.documents import ParquetSink
from mixer.engine.outputs import Outputs
from mixer.errors import DiskError
root = Path(sys.argv[1])
try:
    with Outputs(root).open("documents/a.parquet") as file:
        sink = ParquetSink(file)
        for start in range(0, 2_000_000, 100_000):
            numbers = [i * 2654435761 % 2**32 for i in range(start, start + 100_000)]
            sink.write(pa.RecordBatch.from_pydict({"text": list(map(str, numbers))}))
        sink.close()
except DiskError as error:
    print(error.message)
    assert not list(root.rglob("*.tmp"))
    sys.exit(7)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small disk, which root may")
def test_a_small_disk_that_fills_up(tmp_path):
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec {sys.executable} -c '{FILL}' {tmp_path}"
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount], capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare is missing")
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 7, done.stderr
    assert "no space left on the disk while writing" in done.stdout


def test_pyarrow_keeps_the_errno_of_a_python_file():
    import errno
    import io

    class Full(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        def tell(self):
            return 0

    with pytest.raises(OSError) as caught:  # noqa: PT011, RUF100 (the errno is looked at)
        pq.write_table(pa.table({"a": [1]}), Full())
    assert caught.value.errno == errno.ENOSPC
