"""What the benchmarks share: running commands and counting their CPU seconds, recipes for one kind of text, tables."""

import json
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
    """What a command took: user and system seconds, seconds on the wall, peak memory of its worst process."""

    seconds: float
    wall: float
    peak: int


def run(command, **environment):
    """Run a command and return what it took, its descendants included."""
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{log.read().decode()}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Used(usage.ru_utime + usage.ru_stime, wall, peak)


def output(command, **environment):
    """Run a command that prints JSON and return it; what it says beside that is shown if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def write_recipe(path, kind, files):
    """Write the recipe of some files of one kind, a source each."""
    mixture = {"additional_language": "zh", "base_languages": ["en"], "almr": kind.almr, "valid_fraction": 0}
    sources = [{"name": file.stem, "paths": [str(file)], "domain": kind.domain} for file in files]
    recipe = {"name": path.stem, "tokenizer": "llama3", "mixture": mixture, "sources": sources}
    path.write_text(yaml.safe_dump({**recipe, "mixture": {**mixture, "small_datasets": "drop"}}))
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
