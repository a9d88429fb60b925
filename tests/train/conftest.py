"""A small mixture made by the pipeline, and runs over it as a user starts them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import Ran, Small, chinese, english, lines, mixer

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


class Trainer:
    """Trains ``tiny`` on a mixture, in batches of 8."""

    def __init__(self, mixture: Path, folder: Path) -> None:
        self.mixture = mixture
        self.folder = folder

    def arguments(self, name: str, *given: object, model: str = "tiny") -> list[str]:
        batches = [] if "--micro-batch" in given else ["--micro-batch", 4]
        parts = [self.mixture, "--model", model, "--lr", 0.01, "--global-batch", 8, *batches, "--out", self.out(name)]
        return [str(part) for part in [*parts, *given]]

    def out(self, name: str) -> Path:
        return self.folder / name

    def run(self, name: str, *given: object, model: str = "tiny") -> Ran:
        return mixer("train", "cpt", *self.arguments(name, *given, model=model))

    def spread(self, processes: int, name: str, *given: object) -> None:
        """Train in several processes."""
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [*start, "-m", "mixer.train.cpt", *self.arguments(name, *given)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def log(self, name: str) -> list[dict]:
        """Return the lines of the log, without times."""
        read = [json.loads(line) for line in (self.out(name) / "log.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key not in TIMES} for line in read]

    def steps(self, name: str) -> list[dict]:
        return [line for line in self.log(name) if "loss" in line]


@pytest.fixture
def trainer(mixture, tmp_path):
    return Trainer(mixture, tmp_path)
