"""Ray as a site: a rank is a plain remote function that starts the rank's process and waits for it.

Datatrove's executor for Ray is not used. Its actors run each rank in a ``multiprocess.Pool`` of one process, which
replaces a process that was killed and waits for ever for its result, and it waits without a word for a placement group
that no node can hold; neither can be seen or ended from outside. Here the process is a child whose end is noticed, dies
with its parent, and gives its memory back.
"""

import contextlib
import fnmatch
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixer.engine.rank import journal_path
from mixer.engine.settings import EngineSettings
from mixer.engine.worker import ONE_THREAD
from mixer.errors import UsageError
from mixer.storage import Root, workplace

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is to be told to anybody
try:
    import ray
except ImportError as missing:
    raise UsageError("the engine `ray` needs the package ray", "pip install 'mixer[ray]'") from missing

GOING_SECONDS = 60.0
"""How long cancelled tasks may take to go."""
WAITING_SECONDS = 30.0
"""After so long without a running rank the user is told."""
LOOK_SECONDS = 5.0
"""Between two questions which nodes there are."""


def carry(module: str, folder: str, rank: int, log: str, variables: dict[str, str], where: str) -> int:
    """Run a rank as a child process, on whatever node this is called, and return its exit code."""
    command = [sys.executable, "-m", module, folder, str(rank), str(os.getpid())]
    with Path(log).open("ab") as output:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **variables},
            cwd=where if Path(where).is_dir() else None,
            check=False,
        ).returncode


class RaySite:
    """Starts ranks as tasks of the Ray cluster that the settings name; at most so many at once as they say.

    Raises
    ------
    UsageError
        There is no such cluster.
    """

    name = "Ray"
    most_ranks = 10_000

    def __init__(self, root: Root, settings: EngineSettings) -> None:
        self._settings = settings.ray
        self._at_once = settings.at_once
        self._folder = workplace(root)
        self._queue: deque[int] = deque()
        self._living: dict[Any, int] = {}
        self._ended: dict[int, str] = {}
        self._stage = ""
        self._moving = self._fitting = self._asked = 0.0
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=self._settings.address, log_to_driver=False, logging_level="WARNING")
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageError(
                    f"there is no Ray cluster at {self._settings.address!r}: {error}",
                    "start one with `ray start --head`, or set `engine.ray.address`",
                ) from error
        # By value: the nodes' Python is asked for mixer only by the process of the rank.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        memory = int(self._settings.memory_gb * 1e9)
        self._needs = {"CPU": self._settings.cpus, "memory": float(memory), **self._settings.resources}
        self._carry = ray.remote(
            num_cpus=self._settings.cpus,
            memory=memory,
            resources=self._settings.resources,
            max_retries=0,  # who tries again, and when, is decided by the engine alone
            scheduling_strategy="SPREAD",
        )(carry)

    def check(self) -> None:
        """Do nothing: nodes may come when something waits for them; ``ended`` says when none does."""

    def evict(self) -> None:
        """Do nothing: Ray ends the tasks of a command that has ended."""

    def start(self, stage: str, folder: Path, ranks: int) -> None:
        """Queue the ranks, and start the first."""
        (folder / "ray").mkdir(exist_ok=True)
        self._stage, self._folder = stage, folder
        self._queue, self._living, self._ended = deque(range(ranks)), {}, {}
        self._moving = self._fitting = time.monotonic()
        self._fill()

    def ended(self) -> Mapping[int, str]:
        """Collect the ranks that have ended, and start others in their place."""
        if self._living:
            ready, _ = ray.wait(list(self._living), num_returns=len(self._living), timeout=0)
            for reference in ready:
                self._ended[self._living.pop(reference)] = _cause(reference)
        self._fill()
        self._refuse_what_never_starts()
        return self._ended

    def waiting(self) -> str:
        """Say that there is no room, when no rank is running."""
        if time.monotonic() < self._moving + WAITING_SECONDS:
            return ""
        return f"nothing is running; Ray has no room for {_resources(self._needs)} now; there is: {self._offers()}"

    def stop(self) -> None:
        """Cancel what is running, by force, and wait until it is gone."""
        self._queue.clear()
        for reference in self._living:
            with contextlib.suppress(Exception):  # it has just ended
                ray.cancel(reference, force=True)
        if self._living:
            ray.wait(list(self._living), num_returns=len(self._living), timeout=GOING_SECONDS)
        self._living.clear()

    def log(self, rank: int) -> Path:
        """Say which file takes what a rank prints."""
        return self._folder / "ray" / f"{rank:05}.out"

    def close(self) -> None:
        """Leave the cluster, if it was joined here."""
        if self._ours:
            ray.shutdown()

    def _fill(self) -> None:
        given = {
            name: value
            for name, value in os.environ.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in self._settings.variables)
        }
        while self._queue and len(self._living) < self._at_once:
            rank = self._queue.popleft()
            reference = self._carry.options(name=f"mixer {self._stage} {rank}").remote(
                "mixer.engine.rank",
                str(self._folder),
                rank,
                str(self.log(rank)),
                {**given, **ONE_THREAD},
                str(Path.cwd()),
            )
            self._living[reference] = rank

    def _refuse_what_never_starts(self) -> None:
        now = time.monotonic()
        if not self._living or any(journal_path(self._folder, rank).exists() for rank in self._living.values()):
            self._moving = self._fitting = now
            return
        if now < self._asked + LOOK_SECONDS:
            return
        self._asked = now
        if any(_fits(self._needs, node) for node in self._nodes()):
            self._fitting = now
        elif now > self._fitting + self._settings.patience:
            raise UsageError(
                f"no node of the Ray cluster is large enough for a task of {_resources(self._needs)}; "
                f"there is: {self._offers()}",
                "ask for less in `engine.ray`, or raise `engine.ray.patience` if such nodes are still to come",
            )

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def _offers(self) -> str:
        return "; ".join(f"a node of {_resources(node)}" for node in self._nodes()) or "no node"


def _fits(needs: Mapping[str, float], node: Mapping[str, float]) -> bool:
    return all(node.get(name, 0.0) >= amount for name, amount in needs.items())


def _resources(amounts: Mapping[str, float]) -> str:
    parts = [f"{amounts.get('CPU', 0.0):g} cores", f"{amounts.get('memory', 0.0) / 1e9:.3g} GB"]
    own = [name for name in amounts if name not in ("CPU", "memory", "object_store_memory") and ":" not in name]
    return ", ".join([*parts, *(f"{amounts[name]:g} {name}" for name in own)])


def _cause(reference: Any) -> str:
    """Say how a task of Ray has ended."""
    try:
        code = ray.get(reference)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
