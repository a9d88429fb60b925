"""Write the tables of docs/contamination.md: what of every benchmark file real corpora hold, by file and by benchmark.

    MIXER_DATA=/path/to/corpora python scripts/contamination.py             # writes the tables
    MIXER_DATA=/path/to/corpora python scripts/contamination.py --look 3    # prints findings, the passage and the item

Documents are those of benchmarks/trial.yaml, main texts of pages, fine-tuning data, and MGSM's Chinese file, as they
are read; all are one corpus, as far as common phrases go. Only the tables are written; what the page says of single
findings was found by reading them.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from mixer.contamination.coverage import common_grams, cover, decide, reachable, unreachable
from mixer.contamination.index import IndexBuilder
from mixer.contamination.passages import Document
from mixer.contamination.records import find_files, read_items
from mixer.contamination.settings import Benchmark, DecontaminateSettings
from mixer.contamination.units import find
from mixer.documents import large_strings
from mixer.loading import check, load_recipe
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers
from mixer.variables import expand

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "contamination.md"
TRIAL = ROOT / "benchmarks" / "trial.yaml"
FOLDER = "${MIXER_DATA}/benchmarks"
FIELDS = {"csl_test_public": ["abst"]}
"""Where the question is not called as usual."""
ALPACA = "{instruction}\\n{input}\\n{output}"
TEMPLATES = {
    "alpaca_data_en_0_3252.json.gz": ALPACA,
    "alpaca_data_zh_0_3252.json.gz": ALPACA,
    "alpaca_data_zh_12345_15323.json.gz": ALPACA,
    "gpteacher_roleplay.json.gz": ALPACA,
    "lf_alpaca_en_demo.json.gz": ALPACA,
    "lf_alpaca_zh_demo.json.gz": ALPACA,
    "mutual_train.jsonl.zst": "{article}\\n{options}",
    "tigerbot_medical_qa_6000.jsonl.gz": "{instruction}\\n{output}",
    "alpaca_seed_tasks.jsonl": "instruction",
    "belle_zh_seed_tasks.jsonl": "instruction",
}
"""Fine-tuning data whose text is in fields of its own."""
MORE = {
    "name": "more",
    "sources": [
        {"name": "archives", "domain": "web", "max_rejected": 1, "paths": ["${MIXER_DATA}/html/*.warc.gz"]},
        {
            "name": "readability",
            "domain": "web",
            "text": "html",
            "html": True,
            "max_rejected": 1,
            "paths": ["${MIXER_DATA}/html/readability_pages.jsonl.zst"],
        },
        *(
            {"name": name.split(".")[0], "domain": "web", "text": text, "paths": [f"${{MIXER_DATA}}/sft/{name}"]}
            for name, text in ((name, text.replace("\\n", "\n")) for name, text in TEMPLATES.items())
        ),
    ],
}
CONVERSATIONS = ("sft/lf_v1_sft_demo.jsonl.gz", "sft/sharegpt_zh_1K.jsonl.gz", "benchmarks/mgsm_zh.jsonl")
"""Files whose documents are what the user says in them."""
BEGIN, END = "<!-- scripts/contamination.py writes these tables -->\n\n", "\n\n<!-- end of the tables -->"


def benchmarks():
    """Return a benchmark for each file."""
    folder = Path(expand(FOLDER, "scripts/contamination.py"))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = [(path.name.split(".")[0], path) for path in files]
    return [Benchmark(name=name, paths=[str(path)], fields=FIELDS.get(name, [])) for name, path in named]


def corpus():
    """Yield every file of the corpora with its documents, as lists of texts."""
    trial = load_recipe(str(TRIAL))
    for recipe in (trial.recipe, check(MORE, "scripts/contamination.py")):
        for source in recipe.sources:
            for path in source.paths:
                one = source.model_copy(update={"paths": [path]})
                tasks = plan_source(one, trial.root)
                batches = (batch for task in tasks for batch in read(task, one, lambda *_: None))
                yield path.removeprefix("${MIXER_DATA}/"), [batch["text"] for batch in batches]
    for path in CONVERSATIONS:
        said = Benchmark(name="said", paths=[f"${{MIXER_DATA}}/{path}"])
        texts = [item.text for item in read_items(said, find_files(said, ROOT))]
        yield path, [large_strings(texts)]


class Scanned:
    """Everything that was found.

    Attributes
    ----------
    files
        Name of each file, and where its documents begin among all of them; the last entry is the end.
    items, controls
        What was found, ``mixer.contamination.coverage.Found``.
    """

    def __init__(self, settings):
        self.names = [benchmark.name for benchmark in settings.benchmarks]
        builder = IndexBuilder(settings)
        for benchmark in settings.benchmarks:
            builder.add(read_items(benchmark, find_files(benchmark, ROOT)))
        self.kept, self.counted, self.index = builder.kept, builder.counted, builder.index()
        lookup, pairs, self.files, self.texts = self.index.lookup(), [], [], []
        for name, columns in corpus():
            self.files.append((name, len(self.texts)))
            for column in columns:
                row, gram = find(*normalise(*buffers(column)), lookup)
                pairs.append(np.unique(np.stack([len(self.texts) + row.astype(np.int64), gram]), axis=1))
                self.texts += column.to_pylist()
        self.files.append(("", len(self.texts)))
        row, gram = np.concatenate(pairs, axis=1)
        holders = np.bincount(gram, minlength=len(self.index.hashes))
        self.common = common_grams(holders, len(self.texts), settings.common_documents, settings.common_share)
        possible = reachable(self.index, self.common)
        lost = unreachable(self.index, possible, settings.coverage) & ~self.index.controls
        self.lost = np.bincount(self.index.benchmark[lost], minlength=len(self.names))
        found = cover(self.index, self.common, possible, row, gram.astype(np.int32))
        self.items, self.controls = decide(self.index, found, settings.coverage)

    def file_of(self, rows):
        """Return the number of the file that each document is in."""
        return np.searchsorted([first for _, first in self.files], rows, "right") - 1


def by_file(scanned):
    """Yield for each file documents, flagged ones and what they hold."""
    where = scanned.file_of(scanned.items.row)
    for number, ((name, first), (_, last)) in enumerate(zip(scanned.files, scanned.files[1:], strict=False)):
        own = scanned.items.select(where == number)
        flagged = len(np.unique(own.row))
        held = []
        for benchmark, title in enumerate(scanned.names):
            some = own.select(scanned.index.benchmark[own.item] == benchmark)
            if len(some.row):
                held.append(f"{title}: {len(np.unique(some.item)):,} items in {len(np.unique(some.row)):,}")
        yield name, f"{last - first:,}", f"{flagged:,}", f"{flagged / max(1, last - first):.2%}", "; ".join(held)


def by_benchmark(scanned):
    """Yield for each benchmark what was looked for, and what of it was found."""
    for number, (name, counts) in enumerate(zip(scanned.names, scanned.counted, strict=True)):
        own = scanned.items.select(scanned.index.benchmark[scanned.items.item] == number)
        chance = scanned.controls.select(scanned.index.benchmark[scanned.controls.item] == number)
        numbers = (
            counts.texts,
            counts.items,
            counts.whole,
            counts.short + counts.empty,
            counts.repeated,
            int(scanned.lost[number]),
            len(np.unique(own.item)),
            len(np.unique(own.row)),
        )
        by_chance = f"{len(np.unique(chance.item)):,}" if counts.items > 1 else ""
        yield name, *(f"{count:,}" for count in numbers), by_chance


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def look(scanned, count):
    """Print some findings of each file and benchmark, the passage above the item."""
    shown = defaultdict(int)
    where = scanned.file_of(scanned.items.row)
    for both in (scanned.items, scanned.controls):
        for row, item, coverage in zip(both.row, both.item, both.coverage, strict=True):
            benchmark = scanned.names[scanned.index.benchmark[item]]
            control = item >= len(scanned.kept)
            key = (scanned.files[int(scanned.file_of(row))][0], benchmark, control)
            shown[key] += 1
            if shown[key] <= count:
                parts = scanned.index.donors[item].tolist() if control else [int(item)]
                print(f"{key[0]}, {'control of ' if control else ''}{benchmark}: {coverage:.2f} of an item")
                for part in parts:
                    text = scanned.kept[part].text
                    print(f"  document {Document(scanned.texts[row]).matched(text, int(scanned.index.ngrams[part]))!r}")
                    print(f"  item     {text!r}\n")
    print(f"{len(where):,} findings, {len(scanned.common):,} common n-grams")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--look", type=int, metavar="N", help="print so many findings of each file and benchmark instead"
    )
    parser.add_argument("--coverage", type=float, default=DecontaminateSettings().coverage)
    given = parser.parse_args()
    scanned = Scanned(DecontaminateSettings(benchmarks=benchmarks(), coverage=given.coverage))
    files = table(("file", "documents", "flagged", "share", "what they hold"), by_file(scanned))
    columns = (
        "benchmark",
        "texts",
        "items",
        "whole",
        "too short",
        "repeated",
        "common",
        "found",
        "documents",
        "by chance",
    )
    tables = f"{files}\n\n{table(columns, by_benchmark(scanned))}"
    if given.look is not None:
        print(tables)
        look(scanned, given.look)
        return
    before, _, after = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + tables + END + after.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
