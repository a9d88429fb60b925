"""Decontamination beside datatrove's, on the same benchmark items and documents, in one run; prints two tables.

    MIXER_DATA=/path/to/corpora .venv/bin/python benchmarks/decontamination.py [--repeats 3]

mixer's side is what a task of the stage ``scan`` does (normal forms, units, n-grams, lookup), then coverage and the
decision; datatrove's is its filter (``peer_decontamination.py``). Both have n-grams of 13 units. datatrove drops a
document for one n-gram; so mixer is also asked which documents hold any ("one n-gram"), which is what can be compared.
The second table is the scan of the real corpora for one benchmark and for all that there are.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from mixer.engine.worker import ONE_THREAD

os.environ.update(ONE_THREAD)

import numpy as np
import pyarrow as pa

from mixer.contamination.coverage import common_grams, cover, decide, reachable
from mixer.contamination.index import IndexBuilder
from mixer.contamination.records import Item, find_files, read_items
from mixer.contamination.settings import Benchmark, DecontaminateSettings
from mixer.contamination.units import find
from mixer.documents import BATCH_BYTES
from mixer.loading import load_recipe
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers

HERE = Path(__file__).parent
PEER = HERE / ".venv-datatrove" / "bin" / "python"
BENCHMARKS = "${MIXER_DATA}/benchmarks/"
CASES = (
    ("mathematics", ("gsm8k_test.jsonl", "math_test.jsonl.zst", "svamp.json"), ("gsm8k-solutions", "gsm8k-train")),
    ("English web", ("mmlu_test.parquet", "arc_challenge.json"), ("web-pages", "wikipedia")),
    ("English docs", ("mmlu_test.parquet", "mbpp.jsonl", "HumanEval.jsonl.gz"), ("rust-book",)),
    ("Chinese statutes", ("cmmlu_test.parquet", "cmath_test.jsonl"), ("laws",)),
    ("Chinese mathematics", ("cmmlu_test.parquet", "cmath_test.jsonl"), ("ape210k",)),
)
LIMIT = 4_000_000
"""Bytes of text that the peer is given of each case."""


def documents(names):
    """Read sources of the trial corpora."""
    loaded = load_recipe(str(HERE / "trial.yaml"))
    texts = []
    for name in names:
        source = loaded.recipe.source(name)
        for task in plan_source(source, loaded.root):
            for batch in read(task, source, lambda *_: None):
                texts += batch["text"].to_pylist()
    return texts


def some(texts):
    """Take the first texts up to the limit, in an order of no meaning but the same each time."""
    order = np.random.default_rng(1).permutation(len(texts))
    sizes = np.cumsum([len(texts[place].encode()) for place in order])
    return [texts[place] for place in order[: int(np.searchsorted(sizes, LIMIT)) + 1]]


def columns(texts):
    """Cut texts into columns as large as batches are."""
    bounds = np.searchsorted(np.cumsum([len(text.encode()) for text in texts]) // BATCH_BYTES, np.arange(10_000))
    bounds = np.unique([*bounds, len(texts)])
    return [pa.array(texts[a:b], pa.large_string()) for a, b in pairwise(bounds)]


def items(names):
    """Read the items of benchmark files."""
    found = []
    for name in names:
        benchmark = Benchmark(name="items", paths=[BENCHMARKS + name])
        found += [Item(item.name, item.text) for item in read_items(benchmark, find_files(benchmark, HERE))]
    return found


def indexed(found, settings):
    """Make an index, and time it."""
    before = time.process_time()
    builder = IndexBuilder(settings)
    builder.add(found)
    index = builder.index()
    return index, time.process_time() - before


def scan(index, texts, settings, repeats):
    """Take texts through scan and decision; return both decisions, and MB a CPU second (the median)."""
    parts, lookup = columns(texts), index.lookup()
    size, speeds = sum(len(text.encode()) for text in texts), []
    find(*normalise(*buffers(parts[0][:1])), lookup)
    for _ in range(repeats):
        before, pairs, start = time.process_time(), [], 0
        for part in parts:
            row, gram = find(*normalise(*buffers(part)), lookup)
            pairs.append(np.unique((start + row.astype(np.int64)) * len(index.hashes) + gram))
            start += len(part)
        scanned = time.process_time()
        row, gram = np.divmod(np.concatenate(pairs), len(index.hashes))
        holders = np.bincount(gram, minlength=len(index.hashes))
        common = common_grams(holders, len(texts), settings.common_documents, settings.common_share)
        found = cover(index, common, reachable(index, common), row, gram.astype(np.int32))
        flagged, _ = decide(index, found, settings.coverage)
        speeds.append(size / 1e6 / (scanned - before))
    real = ~index.controls[found.item]
    return set(flagged.row.tolist()), set(found.row[real].tolist()), statistics.median(speeds)


def beside(folder, case, repeats):
    """Run both over one case; return a row."""
    name, benchmarks, sources = case
    found, texts = items(benchmarks), some(documents(sources))
    settings = DecontaminateSettings()
    index, seconds = indexed(found, settings)
    covered, _, speed = scan(index, texts, settings, repeats)
    # As the peer: no item as a whole, every n-gram counts. (Chinese: the peer's units are words, found by jieba.)
    bare = DecontaminateSettings(shortest=13, shortest_characters=19, common_share=1)
    _, any_gram, _ = scan(indexed(found, bare)[0], texts, bare, 1)
    row = [name, f"{len(found):,}", f"{len(texts):,}", f"{sum(len(text.encode()) for text in texts) / 1e6:.1f}"]
    if not PEER.exists():
        return [*row, f"{len(covered):,}", f"{len(any_gram):,}", "", "", "", f"{speed:.0f}", "", ""]
    for file, lines in (("items", [item.text for item in found]), ("texts", texts)):
        path = folder / f"{file}.jsonl"
        path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), "utf-8")
    command = [PEER, HERE / "peer_decontamination.py", folder / "items.jsonl", folder / "texts.jsonl"]
    chinese = ["--chinese"] if name.startswith("Chinese") else []
    ran = subprocess.run([*map(str, command), *chinese], capture_output=True, text=True, check=True)
    peer = json.loads(ran.stdout.strip().splitlines()[-1])
    dropped, their_speed = set(peer["dropped"]), peer["scan"]["mb_per_second"]
    sys.stderr.write(
        f"{name}: only mixer {sorted(any_gram - dropped)[:10]}, only the peer {sorted(dropped - any_gram)[:10]}; "
        f"index {seconds:.2f} s, peer {peer['index_seconds']} s\n"
    )
    return [
        *row,
        *(f"{len(each):,}" for each in (covered, any_gram, dropped, any_gram & dropped, covered - dropped)),
        f"{speed:.0f}",
        f"{their_speed:.2f}",
        f"{speed / their_speed:,.0f}",
    ]


def by_index(repeats):
    """Scan real corpora for one benchmark and for all; yield rows."""
    settings = DecontaminateSettings()
    one = items(["gsm8k_test.jsonl"])
    folder = Path(os.environ["MIXER_DATA"]) / "benchmarks"
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    every = items([name for name in names if "csl_" not in name])
    made = [(title, indexed(found, settings)[0]) for title, found in (("GSM8K", one), ("all files", every))]
    for sources in (("peps",), ("gutenberg",), ("laws",), ("novels",), ("gsm8k-train",), ("packages",)):
        texts = documents(sources)
        size = sum(len(text.encode()) for text in texts)
        yield [
            ", ".join(sources),
            f"{size / 1e6:.1f}",
            *(f"{scan(index, texts, settings, repeats)[2]:.0f}" for _, index in made),
        ]


def table(header, rows):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    header = ["text", "items", "documents", "MB", "mixer drops", "mixer, one n-gram", "datatrove drops", "both"]
    header += ["mixer drops, datatrove not", "mixer MB/s", "datatrove MB/s", "ratio"]
    with tempfile.TemporaryDirectory() as folder:
        print(table(header, [beside(Path(folder), case, given.repeats) for case in CASES]), flush=True)
    print()
    print(table(["source", "MB", "GSM8K", "all files"], by_index(given.repeats)))


if __name__ == "__main__":
    main()
