"""What the process does by itself that starts a build's tasks, as their number grows.

    python benchmarks/driver.py                                  # 100,000 tasks; 1,000,000 files to list
    python benchmarks/driver.py --tasks 10000 --files 100000

The quickstart is built, and its receipts are copied under the names of that many tasks, with empty files of the right
size for what they list: a directory in which everything is done. Then each step of a build that looks at all tasks is
timed in this process. ``start`` is what it costs to have one task done that does nothing: a process and a receipt.
"""

import argparse
import itertools
import os
import pickle
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness import machine, table

from mixer.build import build
from mixer.dedup.buckets import Buckets
from mixer.dedup.candidates import CANDIDATES
from mixer.dedup.corpus import Corpus, group_id
from mixer.dedup.fates import Fates
from mixer.dedup.fingerprint import FINGERPRINTS
from mixer.dedup.keys import DRAWS, KEYS, Keys
from mixer.dedup.survivors import LOST, Survivors
from mixer.directory import sweep
from mixer.engine.display import SilentDisplay
from mixer.engine.local import LocalEngine
from mixer.engine.lock import lock
from mixer.engine.outputs import OutputFile
from mixer.engine.receipts import prune, read_receipt, take_stock, write_receipt
from mixer.engine.stage import Receipt, Task
from mixer.findings import check_sources, remarks
from mixer.loading import load_recipe
from mixer.plan import Plan, plan
from mixer.prepare import Prepare
from mixer.report.tallies import tallies
from mixer.sources.listing import InputFile
from mixer.sources.plan import FilePiece, SourceTask, plan_source
from mixer.tokenize.join import Join
from mixer.tokenize.stage import Tokenize

STARTED = 200
INPUT = 128 << 20
DOCUMENTS = 190_000
"""Of a task: 128 MiB of compressed web pages."""
NOTHING = OutputFile(0, "0" * 16)
FILES_A_FOLDER = 1000


class Clock:
    """Times steps, and prints a table of them."""

    def __init__(self):
        self.rows = [["step", "for", "seconds", "CPU seconds"]]

    def __call__(self, step, amount, work):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        taken = [f"{time.perf_counter() - wall:,.1f}", f"{time.process_time() - cpu:,.1f}"]
        self.rows.append([step, amount, *taken])
        print(*self.rows[-1], sep="\t", file=sys.stderr, flush=True)
        return result


@dataclass(frozen=True)
class Nothing:
    """A stage whose tasks do nothing."""

    count: int
    name: str = "nothing"

    def tasks(self):
        return [Task(f"{number:05d}", "key", 0) for number in range(self.count)]

    def run(self, task, outputs, progress):
        return {}


def listing(clock, files, folder):
    """List a source of many files."""
    for number in range(files):
        place = folder / f"{number // FILES_A_FOLDER:04d}"
        if number % FILES_A_FOLDER == 0:
            place.mkdir(parents=True)
        os.close(os.open(place / f"{number % FILES_A_FOLDER:03d}.jsonl", os.O_CREAT | os.O_WRONLY))
    (folder / "0000/000.jsonl").write_text('{"text": "a"}\n')
    source = load_recipe("quickstart").recipe.sources[0]
    source = source.model_copy(update={"paths": [f"{folder}/**/*.jsonl"], "format": "auto"})
    tasks = clock("list and plan", f"{files:,} files", lambda: plan_source(source, folder))
    assert sum(len(task.pieces) for task in tasks) == files


def resumed(clock, root, stage, tasks):
    """Find out what is done, as a build does that is started again."""

    def look():
        prune(root, stage, tasks)
        assert len(take_stock(root, stage, tasks).done) == len(tasks)

    clock(f"{stage}: read receipts, look at outputs", f"{len(tasks):,} tasks", look)


def copies(root, stage, templates, tasks):
    """Leave receipts of a stage for all tasks, with the outputs that they list."""
    found = []
    for task in tasks:
        source, number = task.id.rsplit("/", 1)
        like = templates[source]
        before = like.task.rsplit("/", 1)[1]
        outputs = {path.replace(f"/{before}", f"/{number}"): file for path, file in like.outputs.items()}
        if stage == "prepare":  # as many documents as a real task has: groups and partitions come from them
            outputs[FINGERPRINTS.format(task.id)] = OutputFile(464 * DOCUMENTS, "0" * 16)
        receipt = Receipt(stage, task.id, task.key, outputs, like.counts)
        for path, file in outputs.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, os.O_CREAT | os.O_WRONLY)
            os.ftruncate(handle, file.bytes)
            os.close(handle)
        write_receipt(root, receipt)
        found.append(receipt)
    return found


def templates_of(root, stage):
    """Return a receipt of each source."""
    receipts = [read_receipt(path) for path in sorted((root / "run/receipts" / stage).rglob("*.json"))]
    return {receipt.task.rsplit("/", 1)[0]: receipt for receipt in receipts}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=1_000_000)
    given = parser.parse_args()
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        loaded = load_recipe("quickstart")
        made = plan(loaded)
        build(made, folder / "quickstart", 2, SilentDisplay())
        with lock(folder / "started"), LocalEngine(folder / "started", 2, SilentDisplay(), ["driver"]) as engine:
            engine.run(Nothing(2))
            clock("start", f"{STARTED:,} tasks, 2 at once", lambda: engine.run(Nothing(STARTED)))
        listing(clock, given.files, folder / "files")
        _after_planning(clock, given.tasks, made, folder)
    print(machine() + "\n")
    table(clock.rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"Peak memory of the process: {peak / 1e6:,.0f} MB")


def _after_planning(clock, count, made, folder):
    recipe, amount, root = made.recipe, f"{count:,} tasks", folder / "many"
    names = itertools.cycle(source.name for source in recipe.sources)
    files = [InputFile(f"/data/{n:06d}.jsonl.zst", f"{n:06d}.jsonl.zst", INPUT, "mtime=1") for n in range(count)]
    tasks = [SourceTask(next(names), n, (FilePiece(file, INPUT),)) for n, file in enumerate(files)]
    planned = Plan(recipe, made.vocabulary, made.tokenizer_file, tasks, made.attachments)
    todo = clock("prepare: plan", amount, Prepare(recipe, planned.tasks, planned.attachments).tasks)
    prepared = copies(root, "prepare", templates_of(folder / "quickstart", "prepare"), todo)
    resumed(clock, root, "prepare", todo)
    corpus = clock("dedup: plan groups and partitions", amount, lambda: Corpus.of(prepared, recipe.dedup))
    _partitioned(clock, corpus)
    fates = [
        Receipt("dedup.fates", group_id(n), "key", {f"run/fates/{file.task}.npz": NOTHING for file in group}, {})
        for n, group in enumerate(corpus.groups)
    ]
    stage = clock("tokenize: plan", amount, lambda: Tokenize.after([*prepared, *fates], made.vocabulary, "zh").tasks())
    tokenized = copies(root, "tokenize", templates_of(folder / "quickstart", "tokenize"), stage)
    resumed(clock, root, "tokenize", stage)
    clock("join: plan", amount, Join(tokenized, made.vocabulary.vocab_size).tasks)
    written = {path for receipt in (*prepared, *tokenized) for path in receipt.outputs}
    clock("sweep documents/ and dropped/", amount, lambda: sweep(root, written))
    domains = {source.name: source.domain for source in recipe.sources}
    clock(
        "checks, notes and tallies",
        amount,
        lambda: (
            check_sources(recipe, prepared),
            remarks(planned, prepared, []),
            tallies(domains, prepared, tokenized),
        ),
    )


def _partitioned(clock, corpus):
    """Plan the steps of deduplication whose keys look at all groups or partitions, and say what travels to a task."""
    amount = f"{len(corpus.groups):,} groups, {corpus.partitions:,} partitions"
    groups, partitions = range(len(corpus.groups)), range(corpus.partitions)
    files = {KEYS.format(group_id(group)): NOTHING for group in groups}
    files |= {DRAWS.format(group_id(group)): NOTHING for group in groups}
    files |= {LOST.format(group_id(part)): NOTHING for part in partitions}
    files |= {CANDIDATES.format(group_id(group)): NOTHING for group in groups}
    stages = [Keys(corpus, 1, 0.001), Buckets(corpus, files), Survivors(corpus, files), Fates(corpus, files)]
    for stage in stages:
        clock(f"{stage.name}: plan", amount, stage.tasks)
    pickled = clock("dedup: pickle a stage", amount, lambda: pickle.dumps(stages[1]))
    print(f"a pickled stage of deduplication has {len(pickled) / 1e6:,.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    # Workers import the stage that does nothing from here.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    from driver import main as imported

    imported()
