"""A small recipe over corpora made on the spot, and commands as a user gives them.

Two sources, English and Chinese, with a tokenizer of 600 tokens and sequences of 32: a build of them takes less than a
second once the engine's server runs (fixture ``kept_server``).
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from click.testing import CliRunner

from mixer.cli import main

_WORDS = """the of and to that with house river small green table quiet morning window paper garden letter mountain
open light answer bread winter street simple carry under voice water animal"""
WORDS = _WORDS.split()


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def done(self) -> dict[str, tuple[int, int]]:
        """For each finished stage its tasks, and how many of them an earlier run had done."""
        lines = re.findall(r"^([\w.]+): done in \S+: (\d+) tasks?(?: \((\d+) already done\))?", self.stderr, re.M)
        return {stage: (int(tasks), int(skipped or 0)) for stage, tasks, skipped in lines}


def mixer(*arguments: object) -> Ran:
    """Run a command in this process; a traceback fails the test."""
    given = [str(argument) for argument in arguments]
    result = CliRunner().invoke(main, given, prog_name="mixer", catch_exceptions=False)
    return Ran(result.exit_code, result.stdout, result.stderr)


def english(count: int, seed: int = 1) -> list[str]:
    """Make documents of one sentence of 80 words; no two are alike."""
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(80)) + "." for _ in range(count)]


def chinese(count: int, seed: int = 2) -> list[str]:
    """Make documents of 100 Han characters with a comma amid them; no two are alike."""
    rng = random.Random(seed)
    halves = ("".join(chr(0x4E00 + rng.randrange(600)) for _ in range(50)) for _ in range(2 * count))
    return [f"{half}，{next(halves)}" for half in halves]


def lines(texts: list[str], field: str = "text") -> bytes:
    """Write documents as JSON Lines."""
    return "".join(json.dumps({field: text}, ensure_ascii=False) + "\n" for text in texts).encode()


class Small:
    """The recipe ``small`` and its corpora in one folder: sources ``en`` and ``zh``, 40 documents each."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.recipe = {
            "name": "small",
            "tokenizer": str(tokenizer),
            "mixture": {"almr": 0.33, "sequence_length": 32, "global_batch": 8, "valid_fraction": 0.05},
            "sources": [
                {"name": "en", "paths": ["en.jsonl"], "domain": "web", "language": "en"},
                {"name": "zh", "paths": ["zh.jsonl"], "domain": "web", "language": "zh"},
            ],
        }
        self.write("en.jsonl", lines(english(40)))
        self.write("zh.jsonl", lines(chinese(40)))

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file of the corpora."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def source(self, name: str, **changes: object) -> None:
        """Change keys of a source, or add one of that name at the end."""
        for source in self.recipe["sources"]:
            if source["name"] == name:
                source.update(changes)
                return
        self.recipe["sources"].append({"name": name, "paths": [f"{name}.jsonl"], "domain": "web", **changes})

    def file(self) -> Path:
        """Write the recipe and return its path."""
        return self.write("small.yaml", yaml.safe_dump(self.recipe, allow_unicode=True, sort_keys=False))

    def build(self, *arguments: object, out: Path | None = None) -> Ran:
        """Build it."""
        return mixer("build", self.file(), "--out", out or self.out, "--workers", 2, *arguments)
