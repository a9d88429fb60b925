"""An S3 server on this machine: HTTP for real, in a process of its own. What it keeps is in its memory."""

import os
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from mixer import storage

PROGRAM = "MIXER_S3_SERVER"
SECONDS = 60.0


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("s3")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    named = os.environ.get(PROGRAM)
    program = named or shutil.which("moto_server")
    if not program or not Path(program).exists():
        assert not named, f"{PROGRAM} is {named}, which is not there"
        pytest.skip(f"needs an S3 server: scripts/s3_server.sh FOLDER, then export {PROGRAM}=FOLDER/bin/moto_server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("s3")
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        storage.SCRATCH: str(folder / "scratch"),
    }
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
        try:
            answers(port, process)
            yield environment
        finally:
            process.kill()
            process.wait()


def answers(port, process):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the S3 server does not answer: exit code {process.poll()}")


@pytest.fixture
def root(server):
    """Return a place in a bucket of its own."""
    bucket = f"mix-{uuid.uuid4().hex[:12]}"
    made = storage.at(f"s3://{bucket}/corpora/mix")
    made.fs.mkdir(bucket)
    return made
