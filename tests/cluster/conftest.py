"""Real clusters of one machine: Slurm of two nodes, Ray of two nodes. Where they cannot be had, tests skip and say so.

With ``MIXER_CLUSTER=1`` a skip is a failure, and Slurm may be installed (scripts/cluster_up.sh).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
REQUIRED = os.environ.get("MIXER_CLUSTER") == "1"
IMPORTS = {"PYTHONPATH": str(REPOSITORY)}
"""The stages of these tests are found in the repository by whoever runs a task; mixer itself is installed."""
DAEMONS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


def absent(what):
    if REQUIRED:
        pytest.fail(f"{what}, and MIXER_CLUSTER=1 asks for it", pytrace=False)
    pytest.skip(what)


def free_ports(count):
    """Return the first of some ports in a row that nobody has."""
    for first in range(20_000 + os.getpid() % 2_500 * 4, 60_000, count):  # apart from those of the next process
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("0.0.0.0", port))
            return first
    raise AssertionError("no free ports")


class Slurm:
    """The running cluster: its nodes can be killed and started again."""

    def __init__(self, base):
        self.base = base
        self.port = free_ports(3)
        self.environment = {"SLURM_CONF": str(base / "slurm.conf"), **IMPORTS}

    def up(self):
        environment = {**os.environ, "BASE": str(self.base), "PORT": str(self.port), "SLURMD_TIMEOUT": "8"}
        return subprocess.run(
            [REPOSITORY / "scripts" / "cluster_up.sh"], env=environment, stdin=subprocess.DEVNULL, check=False
        ).returncode

    def down(self):
        subprocess.run(
            [REPOSITORY / "scripts" / "cluster_down.sh"], env={**os.environ, "BASE": str(self.base)}, check=True
        )

    def kill_node(self, name):
        os.kill(int((self.base / f"slurmd-{name}.pid").read_text()), signal.SIGKILL)

    def lose(self, name):
        """Have Slurm take a node for lost, as it does by itself when it has not heard of it for long."""
        command = ["scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=lost"]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True)

    def kill_job(self, number):
        """Kill a job as a machine that is out of memory does."""
        command = ["scancel", "--signal=KILL", "--full", number.partition("_")[0]]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True)

    def jobs(self):
        """Every job that is not over."""
        command = ["squeue", "--noheader", "--array", "--format=%F_%K %j %T %N"]
        answer = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True
        )
        return [line.split() for line in answer.stdout.splitlines()]


@pytest.fixture(scope="session")
def slurm():
    present = all(shutil.which(name, path=DAEMONS) for name in ("slurmctld", "slurmd", "munged", "sbatch"))
    if not present and not REQUIRED:
        absent("Slurm is not installed")
    base = Path(tempfile.mkdtemp(prefix="mixer-slurm-"))
    base.chmod(0o755)
    cluster = Slurm(base)
    try:
        if cluster.up():
            absent("Slurm could not be started")
        yield cluster
    finally:
        cluster.down()
        shutil.rmtree(base, ignore_errors=True)


class Ray:
    """The running cluster."""

    def __init__(self, address):
        self.address = address
        self.environment = IMPORTS


@pytest.fixture(scope="session")
def ray():
    try:
        import ray as package  # noqa: F401
    except ImportError:
        absent("Ray is not installed")
    # In a process of its own, which holds both nodes: Ray's client library is not one to have in this one.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.ray_nodes"],
        cwd=REPOSITORY,
        env={**os.environ, **IMPORTS, "RAY_USAGE_STATS_ENABLED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    address = process.stdout.readline().strip()
    try:
        if not address:
            absent("Ray could not be started")
        yield Ray(address)
    finally:
        process.communicate("\n", timeout=60)
