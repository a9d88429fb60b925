"""What the benchmarks share: running commands and counting their CPU seconds, recipes for one kind of text, tables."""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

MEGABYTE = 1_000_000


class Used(NamedTuple):
    """What a command took: user and system seconds, seconds on the wall, peak memory of its worst process.

    ``printed`` is its standard output.
    """

    seconds: float
    wall: float
    peak: int
    printed: str


def run(command, **environment):
    """Run a command and return what it took, its descendants included; what it says is shown if it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=log, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed, said = (file.read().decode() for file in (out, log) if file.seek(0) == 0)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{printed}{said}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Used(usage.ru_utime + usage.ru_stime, wall, peak, printed)


def write_recipe(path, almr, domains, **more):
    """Write a recipe with a source for each file, and ``more``; ``domains`` has the domain of each."""
    mixture = {"additional_language": "zh", "base_languages": ["en"], "almr": almr, "valid_fraction": 0}
    sources = [{"name": file.stem, "paths": [str(file)], "domain": domain} for file, domain in domains.items()]
    recipe = {"name": path.stem, "tokenizer": "llama3", "mixture": mixture, "sources": sources}
    path.write_text(yaml.safe_dump({**recipe, **more, "mixture": {**mixture, "small_datasets": "drop"}}))
    return path


def table(rows):
    """Print rows of texts as a Markdown table; the first is the head."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" + "---:|" * (len(rows[0]) - 1))
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def machine():
    """Describe the machine without naming it."""
    model = platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", cpus.read_text(), re.MULTILINE)):
        model = found[1].strip()
    return f"{len(os.sched_getaffinity(0))} cores ({model}), Python {platform.python_version()}"
