"""A small mixture made by the pipeline, and runs over it as a user starts them."""

import json
import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import WORDS, Ran, Small, chinese, english, lines, mixer

TIMES = ("seconds", "tokens_per_second")


def pytest_collection_modifyitems(items):
    """megatron-core and torch warn of much that is not ours."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="module")
def mixture(tmp_path_factory, small_tokenizer, kept_server):
    """Build two languages, some 1,000 samples of 32 tokens, with validation sets."""
    pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)
    small = Small(tmp_path_factory.mktemp("mixture"), small_tokenizer)
    small.write("en.jsonl", lines(english(120)))
    small.write("zh.jsonl", lines(chinese(80)))
    done = small.build()
    assert done.code == 0, done.stderr
    return small.out


@pytest.fixture
def copied(mixture, tmp_path):
    """Copy the mixture, for a test that damages it."""
    shutil.copytree(mixture, tmp_path / "mixture", symlinks=True)
    assert mixer("relocate", tmp_path / "mixture").code == 0
    return tmp_path / "mixture"


@pytest.fixture(scope="module")
def tuning(tmp_path_factory, small_tokenizer):
    """Write dialogues in two languages and preferences, and a DATA.yaml for each: ``sft.yaml`` and ``dpo.yaml``."""
    pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("tuning")
    rng = random.Random(4)

    def words(low, high):
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))

    def hanzi(low, high):
        return "".join(chr(0x4E00 + rng.randrange(200)) for _ in range(rng.randint(low, high)))

    def write(name, records):
        (folder / name).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "utf-8")

    for name, text in (("en", words), ("zh", hanzi)):
        made = [{"instruction": text(3, 6), "input": "", "output": text(3, 9)} for _ in range(30)]
        write(f"{name}.jsonl", made)
        write(
            f"{name}-pairs.jsonl",
            [{"prompt": r["instruction"], "chosen": r["output"], "rejected": text(3, 9)} for r in made],
        )
    for kind, suffix in (("sft", ""), ("dpo", "-pairs")):
        sources = [{"name": n, "paths": [f"{n}{suffix}.jsonl"], "language": n} for n in ("en", "zh")]
        content = {"tokenizer": str(small_tokenizer), "template": "plain", "sequence_length": 128}
        content |= {"valid_fraction": 0.1, "sources": sources}
        (folder / f"{kind}.yaml").write_text(json.dumps(content), "utf-8")
    return folder


class Trainer:
    """Trains ``tiny`` on a mixture or on a DATA.yaml, in batches of 8."""

    def __init__(self, data: Path, folder: Path, kind: str = "cpt") -> None:
        self.data = data
        self.folder = folder
        self.kind = kind

    def arguments(self, name: str, *given: object, model: str = "tiny") -> list[str]:
        batches = [] if "--micro-batch" in given else ["--micro-batch", 4 if self.kind == "cpt" else 1]
        rate = 0.001 if self.kind == "dpo" else 0.01
        parts = [self.data, "--model", model, "--lr", rate, "--global-batch", 8, *batches, "--out", self.out(name)]
        return [self.kind, *(str(part) for part in [*parts, *given])]

    def out(self, name: str) -> Path:
        return self.folder / f"{self.kind}-{name}"

    def run(self, name: str, *given: object, model: str = "tiny") -> Ran:
        return mixer("train", *self.arguments(name, *given, model=model))

    def log(self, name: str) -> list[dict]:
        """Return the lines of the log, without times."""
        read = [json.loads(line) for line in (self.out(name) / "log.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key not in TIMES} for line in read]

    def steps(self, name: str) -> list[dict]:
        return [line for line in self.log(name) if "loss" in line]


@pytest.fixture
def trainer(mixture, tmp_path):
    return Trainer(mixture, tmp_path)


class Forks:
    """Runs of one or more processes, each forked from one that has imported everything (``forks.py``)."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output"
        server = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("forks.py"))]
        self._server = subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: object, processes: int = 1, kill: str = "") -> list[int]:
        """Run a command of ``mixer train``; returns the exit codes. ``kill`` says where the whole group is killed."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._output.write_text("")
        request = {"arguments": [str(argument) for argument in arguments], "processes": processes, "port": port}
        self._server.stdin.write(json.dumps({**request, "output": str(self._output), "kill": kill}) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def check(self, *arguments: object, processes: int = 1) -> None:
        """Run a command, and fail if that does."""
        codes = self.run(*arguments, processes=processes)
        assert not any(codes), self.printed

    @property
    def printed(self) -> str:
        """What the processes of the last run printed."""
        return self._output.read_text()

    def stop(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    pytest.importorskip("megatron.core", reason="needs the extra `train`", exc_type=ImportError)
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.stop()
