"""Builds that are killed, signalled, changed half-way or damaged between runs: the same command always ends with the
bytes of an undisturbed build, or says what to do.

``benchmarks/kill_trial.py`` does the same at length, over any recipe.
"""

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.kill_trial import EXPECTED, Running, differences, left_running, tree
from mixer.errors import BrokenPromiseError
from mixer.mixture.verify import verify
from tests.small import Small, chinese, english, lines, mixer

REPOSITORY = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("kept_server")
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


class Corpus(Small):
    """The small recipe with enough text that every stage takes a moment, and a finished build of it in ``done``."""

    def __init__(self, folder, tokenizer):
        super().__init__(folder, tokenizer)
        self.write("en.jsonl", lines(english(1500)))
        self.write("zh.jsonl", lines([*chinese(1500), *chinese(20)]))
        self.write("more.jsonl", lines(english(60, seed=3)))
        self.done = folder / "done"
        self.reference = self.fresh(self.done)

    def fresh(self, keep, *arguments):
        """Build from nothing, move the directory to ``keep`` and return its tree."""
        ran = self.build(*arguments)
        assert ran.code == 0, ran.stderr
        found = tree(self.out)
        self.out.rename(keep)
        return found

    def start_from(self, state):
        """Put a copy of ``state`` where builds stand; None: nothing."""
        shutil.rmtree(self.out, ignore_errors=True)
        if state:
            shutil.copytree(state, self.out)

    def command(self):
        return [sys.executable, "-m", "mixer.cli", "build", str(self.file()), "--out", str(self.out), "--workers", "2"]

    def completes(self, *arguments):
        """Run the command until it is through: the same bytes."""
        ran = self.build(*arguments)
        assert ran.code == 0, ran.stderr
        assert differences(tree(self.out), self.reference) == []
        return ran


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, small_tokenizer, kept_server):
    return Corpus(tmp_path_factory.mktemp("corpus"), small_tokenizer)


@pytest.fixture(scope="module")
def other(corpus):
    """Return a finished build under other settings: a source more, another seed, ratio and language."""
    corpus.source("more", language="en")
    corpus.fresh(corpus.folder / "other", "--almr", 0.5, "--set", "seed=7")
    corpus.recipe["sources"].pop()
    return corpus.folder / "other"


@linux
@pytest.mark.parametrize(
    ("seed", "stage", "strike"),
    [
        (1, "plan", "TERM group"),
        (2, "prepare", "KILL group"),
        (3, "dedup.buckets", "TERM parent"),
        (4, "tokenize", "KILL worker"),
        (5, "join", "INT group"),
        (6, "finalize", "KILL parent"),
    ],
)
def test_whatever_ends_a_build_the_same_command_completes_it(corpus, other, seed, stage, strike):
    corpus.start_from(other if seed % 2 else None)
    running = Running(corpus.command(), corpus.out)
    running.wait_for(stage)
    time.sleep(random.Random(seed).random() * 0.1)
    sent = running.strike(strike)
    code = running.wait()
    assert code in (0, *EXPECTED[strike.split()[0]]), running.lines  # 0: a worker was lost, or everything done
    assert not [line for line in running.lines if line.startswith("Traceback")]
    assert left_running(running) == [], sent
    corpus.completes()
    assert not list(corpus.out.rglob("*.tmp"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_before_any_of_its_changes(small):
    """Every change to the directory is a moment to be killed at; here a few of them, to keep it short."""
    states = {name: small.folder / name for name in ("finished", "stopped", "changed")}
    for name, folder in states.items():
        ran = small.build("--almr", 0.5, *(["--set", "seed=7"] if name == "changed" else []), out=folder)
        assert ran.code == 0, ran.stderr
    shutil.rmtree(states["stopped"] / "megatron")  # all tasks are done, nothing is made of them
    (states["stopped"] / "mixture.json").unlink()
    command = [sys.executable, "-m", "tests.kill_each_step", small.file(), small.out, *states.values(), "--every", "21"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    counted = re.findall(r"^(\w+): (\d+) builds, 0 wrong$", ran.stdout, re.M)
    assert [name for name, builds in counted if int(builds) > 0] == list(states)


def flip(path):
    """Change a byte in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("damage", "paths"),
    [
        (remove, ["run/prepared/en/*"]),
        (remove, ["run/fates/en/*"]),
        (remove, ["run/shards/train/zh-zh/*.bin"]),
        (remove, ["run/datasets"]),
        (remove, ["run/receipts"]),
        (remove, ["run"]),
        (remove, ["documents/train/zh-zh/*"]),
        (remove, ["documents", "dropped"]),
        (remove, ["megatron/*/valid/en-en.idx"]),
        (remove, ["megatron/*/train"]),
        (remove, ["megatron", "run/datasets", "run/shards"]),
        (remove, ["mixture.json"]),
        (truncate, ["run/receipts/*/*/*.json"]),
        (empty, ["run/receipts/*/*.json", "run/receipts/*/*/*.json"]),
        (truncate, ["megatron/*/train/zh-zh.bin"]),
        (truncate, ["megatron/*/train/zh-zh.bin", "run/datasets/train/zh-zh.bin"]),
        (flip, ["megatron/*/train/zh-zh.bin"]),
        (flip, ["megatron/*/train/zh-zh.bin", "run/datasets/train/zh-zh.bin"]),
        (flip, ["megatron/*/train/en-en.idx", "run/datasets/train/en-en.idx"]),
        (truncate, ["mixture.json"]),
        (truncate, ["megatron/blend.json"]),
        (remove, ["megatron/args.txt"]),
    ],
)
def test_what_is_damaged_between_two_runs_is_made_anew(corpus, damage, paths):
    corpus.start_from(corpus.done)
    found = [path for pattern in paths for path in corpus.out.glob(pattern)]
    assert len(found) >= len(paths)
    for path in found:
        damage(path)
    corpus.completes()


def test_a_damaged_dataset_is_told(corpus):
    corpus.start_from(corpus.done)
    (path,) = corpus.out.glob("megatron/*/train/zh-zh.bin")
    flip(path)
    with pytest.raises(BrokenPromiseError, match=r"zh-zh\.bin has the xxh64"):
        verify(corpus.out)
    ran = corpus.completes()
    assert f"changed since they were written, so made anew: {path.relative_to(corpus.out)}\n" in ran.stderr


def test_a_shard_that_was_changed_makes_no_dataset(corpus):
    corpus.start_from(corpus.done)
    (path,) = corpus.out.glob("run/shards/train/zh-zh/*.bin")
    flip(path)
    (corpus.out / "run/datasets/train/zh-zh.bin").unlink()
    ran = corpus.build()
    assert ran.code == 4
    assert f"{path} has been changed since it was written\n  remedy: remove it" in ran.stderr
    path.unlink()
    corpus.completes()


def test_what_a_source_left_goes_with_it(corpus, other):
    """Not only its files: ``tree`` compares folders, too."""
    corpus.start_from(other)
    assert list(corpus.out.glob("documents/*/more-en/*"))
    corpus.completes()


def test_scratch_may_lie_on_another_disk(corpus, tmp_path):
    corpus.start_from(None)
    corpus.out.mkdir()
    (tmp_path / "scratch").mkdir()
    (corpus.out / "run").symlink_to(tmp_path / "scratch")
    corpus.completes()
    cleaned = mixer("clean", corpus.out)
    assert cleaned.code == 0, cleaned.stderr
    assert (corpus.out / "run").is_symlink()
    assert not list((tmp_path / "scratch").iterdir())
    corpus.completes()


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, 2), (errno.EROFS, 2)])
def test_what_may_not_be_written_to_is_named(corpus, monkeypatch, number, code):
    corpus.start_from(corpus.done)
    shutil.rmtree(corpus.out / "megatron")

    def refuse(self, target):
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    ran = corpus.build()
    assert ran.code == code
    assert f"{os.strerror(number)}\n  remedy: " in ran.stderr
    assert f"error: {corpus.out / 'megatron'}" in ran.stderr
    monkeypatch.undo()
    corpus.completes()
