"""Write docs/scale.md: what 1.7T tokens take on 10, 100 and 1,000 nodes, stage by stage, and what breaks first.

python scripts/scale.py           # write it
python scripts/scale.py --check   # only say whether it is as the code has it

Documents, tokens, core-hours and disk are those of ``mixer plan llama3-zh``; this adds tasks, memory, objects, traffic
and time on a cluster. What is not in ``mixer.planning`` was measured by the programs in ``benchmarks/`` that each
constant names.
"""

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mixer.dedup.corpus import TASK_BYTES
from mixer.loading import load_recipe, recipe_path
from mixer.planning.counts import beside, read_counts
from mixer.planning.forecast import Forecast, forecast
from mixer.prepare import WRITES as PREPARED
from mixer.sources.plan import EXPANSION, TARGET_BYTES
from mixer.tokenize.parts import PREFIX_TOKENS

PAGE: Final = Path(__file__).parent.parent / "docs/scale.md"
RECIPE: Final = "llama3-zh"
WIDTH: Final = 120
NODES: Final = (10, 100, 1000)
CORES: Final = 64
MEMORY: Final = 256e9
NODE_BYTES: Final = 2.5e9
"""A second: a network interface of 25 Gbit/s, with something to spare."""
STREAM_BYTES: Final = 0.6e9
"""A second that one task reads and writes as much of, files on a network: ``join`` is a single stream each way."""
STORE_BYTES: Final = 100e9
"""A second of all together, from and to a parallel file system or an object store of a middling cluster."""

FINGERPRINT: Final = 464
"""Bytes of a document's fingerprint: 112 hashes and the exact key."""
KEYS_OF_A_DOCUMENT: Final = 15
"""Of deduplication, 14 bands and the exact key, at 24 bytes each in a task."""
SHARING: Final = 0.4
"""Documents that share a key with another one, as in the run that the next table is of."""
DEDUP: Final = {
    # microseconds of CPU, bytes read and written for a document
    "dedup.keys": (0.62, FINGERPRINT, 180),
    "dedup.buckets": (0.43, 180, 44),
    "dedup.components": (0.11, 44, 2.2),
    "dedup.candidates": (0.68, SHARING * FINGERPRINT + 2.2, 189),
    "dedup.survivors": (0.85, 189, 17.6),
    "dedup.fates": (0.22, 17.6, 3.2),
}
"""benchmarks/dedup.py: 20 million made-up fingerprints on two cores."""
SCAN: Final = 150e6
"""Bytes of text a second: docs/contamination.md, the lower end."""
PEAK: Final = {
    "prepare": 0.52e9,
    "scan": 0.5e9,
    "dedup.keys": 0.5e9,
    "dedup.buckets": 0.7e9,
    "dedup.candidates": 0.7e9,
    "dedup.survivors": 0.7e9,
    "dedup.fates": 0.3e9,
    "tokenize": 0.44e9,
    "join": 0.3e9,
}
"""Bytes of the worst process: benchmarks/pipeline.py, dedup.py and joining.py, rounded up."""
VERIFY_MEMORY: Final = 0.2e9
DRIVER: Final[dict[str, float]] = {
    # seconds of one core for 100,000 tasks
    "plan `prepare`, `tokenize`, `join`": 3.0,
    "plan the steps of deduplication (16,700 groups)": 0.9,
    "start the tasks of one stage, on this machine": 100.0,
    "find out what is done of `prepare`, when started again": 9.3,
    "the same of `tokenize`": 13.6,
    "remove documents that nobody lists": 8.0,
    "checks, notes, sums": 1.4,
}
"""benchmarks/driver.py."""
DRIVER_TASKS: Final = 100_000
REPLAY_SECONDS: Final = 3.0e-9
"""benchmarks/blend.py: for a sample."""
LISTED: Final = (1_000_000, 21.6)
"""benchmarks/driver.py: files, and seconds to list them and plan their tasks."""
DRIVER_MEMORY: Final = 1.4e9


@dataclass(frozen=True)
class Step:
    """A stage on paper.

    Attributes
    ----------
    seconds
        Of one core, all tasks together.
    memory
        Bytes of its worst task.
    read, written
        Bytes of all tasks; what a task writes and another of the same stage reads counts in both.
    objects
        Files that it leaves, receipts apart.
    longest
        Bytes that the largest task reads and writes by itself.
    cores
        That one task can use.
    """

    name: str
    tasks: int
    seconds: float
    memory: float
    read: float
    written: float
    objects: int
    longest: float = 0.0
    cores: int = 1

    def minutes(self, nodes: int) -> tuple[float, str]:
        """Return how long it takes on so many nodes, and what binds: the slowest of these, as if all overlapped."""
        slots = nodes * min(CORES, int(MEMORY // self.memory)) if self.tasks > 1 else 1
        waves = -(-self.tasks // slots)
        moved = self.read + self.written
        found = {
            "cores": max(self.seconds / min(slots, self.tasks), waves * self.seconds / self.tasks) / self.cores,
            "nodes' network": moved / (NODE_BYTES * min(nodes, self.tasks)),
            "storage": moved / STORE_BYTES,
            "one stream": self.longest / STREAM_BYTES,
        }
        binds = max(found, key=lambda name: found[name])
        return found[binds] / 60, binds


def steps(found: Forecast) -> list[Step]:
    """Return the stages of a build of what has been forecast, in order."""
    text = sum(dataset.text_bytes for dataset in found.datasets)
    documents = sum(dataset.documents for dataset in found.datasets)
    prefixes = sum(2 * dataset.prefixes for dataset in found.datasets if dataset.tokens)  # train and valid
    ids, index = found.disk.bin, found.disk.idx
    hours = {name: 3600 * value for name, value in found.hours.items()}
    inputs = text / EXPANSION
    tasks = round(inputs / TARGET_BYTES)
    prepared = PREPARED * text
    parts = -(-documents // (TASK_BYTES // (24 * KEYS_OF_A_DOCUMENT)))
    objects = {
        "dedup.keys": 2 * parts,
        "dedup.buckets": parts,
        "dedup.components": 1,
        "dedup.candidates": parts,
        "dedup.survivors": parts,
        "dedup.fates": 2 * tasks,
    }
    dedup = [
        Step(
            name,
            1 if name == "dedup.components" else parts,
            each * 1e-6 * documents,
            components_memory(documents) if name == "dedup.components" else PEAK[name],
            read * documents,
            written * documents,
            objects[name],
            longest=(read + written) * documents if name == "dedup.components" else 0.0,
        )
        for name, (each, read, written) in DEDUP.items()
    ]
    largest = (
        max(dataset.tokens / dataset.prefixes for dataset in found.datasets)
        * ids
        / sum(dataset.tokens for dataset in found.datasets)
    )
    kept = prepared - FINGERPRINT * documents
    return [
        Step("prepare", tasks, hours["prepare"], PEAK["prepare"], inputs, prepared, 3 * tasks),
        Step("scan", tasks, text / SCAN, PEAK["scan"], kept, 0.02 * kept, 2 * tasks),
        *dedup,
        Step("tokenize", tasks, hours["tokenize"], PEAK["tokenize"], kept, found.disk.documents + ids, 7 * tasks),
        Step("join", prefixes, hours["join"], PEAK["join"], ids, ids + index, 2 * prefixes, longest=largest),
        Step("verify", 1, hours["verify"], VERIFY_MEMORY, ids + index, 0, 0, cores=CORES),
    ]


def components_memory(documents: int) -> float:
    """Return the bytes that ``dedup.components`` takes (mixer/dedup/forest.py)."""
    return 0.3e9 + 0.19 * documents + 8 * SHARING * documents


def page() -> str:
    """Return the page."""
    path = recipe_path(RECIPE)
    loaded = load_recipe(RECIPE)
    counts = beside(path)
    assert counts is not None
    found = forecast(loaded, counts, read_counts(counts, loaded.recipe))
    every = steps(found)
    return "\n".join(
        [*_head(found, every), *_stages(every), *_time(every), *_driver(every), *_breaks(found, every), ""]
    )


def _head(found: Forecast, every: list[Step]) -> list[str]:
    text = sum(dataset.text_bytes for dataset in found.datasets)
    documents = sum(dataset.documents for dataset in found.datasets)
    tokens = sum(dataset.tokens for dataset in found.datasets)
    receipts = sum(step.tasks for step in every) - 1
    return [
        "<!-- written by scripts/scale.py; change what it reckons with instead -->",
        "# 1.7T tokens on a cluster",
        "",
        *_wrapped(
            f"What `mixer plan {RECIPE}` says, spread over nodes: {_bytes(text)} of text in {documents / 1e9:.1f} "
            "billion "
            f"documents, {tokens / 1e12:.1f}T tokens before anything is left out, of which training reads 1.7T. The "
            "counts "
            "are published estimates, and the speeds were measured on two cores of a shared machine "
            "([benchmarks](../benchmarks/README.md)): this tells what is large and what is small, not what a clock "
            "will say."
        ),
        *_wrapped(
            f"A node has {CORES} cores, {MEMORY / 1e9:.0f} GB of memory and a network of {NODE_BYTES / 1e9:g} GB/s; "
            "the storage "
            f"bears {STORE_BYTES / 1e9:.0f} GB/s in all, and a single stream {STREAM_BYTES / 1e9:g} GB/s. "
            "`scripts/scale.py` "
            "holds these numbers: change them to yours and run it."
        ),
        *_wrapped(
            f"In all: {sum(step.seconds for step in every) / 3600:,.0f} core-hours, {_bytes(found.disk.total)} of "
            "disk at most, "
            f"{sum(step.objects for step in every):,} files or objects, and {receipts:,} receipts of about 2 KB."
        ),
    ]


def _stages(every: list[Step]) -> list[str]:
    rows = [["stage", "tasks", "core-hours", "a task, seconds", "memory of a task", "reads", "writes", "objects"]]
    rows += [
        [
            f"`{step.name}`",
            f"{step.tasks:,}",
            _short(step.seconds / 3600),
            _short(step.seconds / step.tasks),
            _bytes(step.memory),
            _bytes(step.read),
            _bytes(step.written),
            f"{step.objects:,}",
        ]
        for step in every
    ]
    return [
        "## Stages",
        "",
        *_table(rows),
        "",
        *_wrapped(
            "Memory is that of the worst process in a benchmark. It does not grow with the number of tasks, but for "
            f"`dedup.components`: 0.19 bytes a document, and 8 for each that shares a key with another ({SHARING:.0%} "
            "here). "
            "`scan` is decontamination, where a recipe has it; its other steps are small. `verify` is no task: it runs "
            "in the process of `mixer build`, on all cores of its node."
        ),
    ]


def _time(every: list[Step]) -> list[str]:
    rows = [["stage", *(f"{nodes:,} nodes, minutes" for nodes in NODES), *(f"bound at {nodes:,}" for nodes in NODES)]]
    totals = dict.fromkeys(NODES, 0.0)
    for step in every:
        each = [step.minutes(nodes) for nodes in NODES]
        rows.append([f"`{step.name}`", *(_short(taken) for taken, _ in each), *(binds for _, binds in each)])
        for nodes, (taken, _) in zip(NODES, each, strict=True):
            totals[nodes] += taken
    rows.append(["all", *(_short(totals[nodes]) for nodes in NODES), *("" for _ in NODES)])
    needed = [
        [
            "stage",
            *(f"GB/s a node, {nodes:,} nodes" for nodes in NODES),
            *(f"GB/s in all, {nodes:,}" for nodes in NODES),
        ]
    ]
    for step in (step for step in every if step.tasks > 1):
        rates = []
        for nodes in NODES:
            slots = min(step.tasks, nodes * min(CORES, int(MEMORY // step.memory)))
            rates.append((step.read + step.written) / (step.seconds / slots) / 1e9)
        by_node = [_short(rate / nodes) for rate, nodes in zip(rates, NODES, strict=True)]
        needed.append([f"`{step.name}`", *by_node, *(_short(rate) for rate in rates)])
    return [
        "## Time",
        "",
        *_wrapped(
            "Stages follow one another. Each takes as long as the slowest of its cores, the network of its nodes, the "
            "storage, and its largest task as a single stream."
        ),
        *_table(rows),
        "",
        *_wrapped(
            "What would be read and written a second if only cores counted: so much must network and storage bear for "
            "the "
            "cores to be the limit."
        ),
        *_table(needed),
        "",
    ]


def _driver(every: list[Step]) -> list[str]:
    tasks = every[0].tasks
    rows = [["what `mixer build` does alone", f"{DRIVER_TASKS:,} tasks, seconds", f"{tasks:,} tasks"]]
    rows += [[name, _short(taken), _short(taken * tasks / DRIVER_TASKS)] for name, taken in DRIVER.items()]
    files, listed = LISTED
    return [
        "## The process that starts them",
        "",
        *_table(rows),
        "",
        *_wrapped(
            f"Listing {files:,} files of a local disk and planning their tasks takes {listed:.0f} seconds of CPU. The "
            "memory of "
            f"the process was {_bytes(DRIVER_MEMORY)}. A build that is started again reads all receipts and looks at "
            "the size "
            "of all their outputs; in an object store it lists folders instead, 1,000 objects a request."
        ),
    ]


def _breaks(found: Forecast, every: list[Step]) -> list[str]:
    by_name = {step.name: step for step in every}
    verify, join, keys = by_name["verify"], by_name["join"], by_name["dedup.keys"]
    documents = sum(dataset.documents for dataset in found.datasets)
    moved = sum(step.read + step.written for step in every)
    whole = max(dataset.tokens for dataset in found.datasets) * join.written / sum(d.tokens for d in found.datasets)
    all_but_verify = {
        nodes: sum(step.minutes(nodes)[0] for step in every) - verify.minutes(nodes)[0] for nodes in NODES
    }
    points = [
        f"**The end of the build.** `verify` reads {_bytes(verify.read)} on one node: {verify.minutes(10)[0]:.0f} "
        "minutes, "
        f"however many nodes there are, beside {all_but_verify[10]:.0f} for everything before it on 10 of them and "
        f"{all_but_verify[1000]:.0f} on 1,000. Then: start `mixer build` on the node with the fastest network; where "
        "nothing "
        "but the ratio changes, `mixer mix` makes another mixture without reading a dataset. The replay of Megatron's "
        "order "
        f"is small beside it: {found.mixture.samples * REPLAY_SECONDS:.1f} seconds for {found.mixture.samples:,} "
        "samples.",
        f"**Storage.** All stages together move {_bytes(moved)}. From about 100 nodes on, the cores want more than "
        f"{STORE_BYTES / 1e9:.0f} GB/s, and more nodes gain little. Then: fewer nodes; `dedup: {{minhash: false}}` "
        "where near "
        "duplicates were removed upstream, which spares fingerprints and keys.",
        f"**`join`.** A prefix is one stream. At {PREFIX_TOKENS / 1e9:.0f} billion tokens "
        f"({_bytes(4 * PREFIX_TOKENS)}) at most, "
        f"the largest here takes {join.longest / STREAM_BYTES / 60:.0f} minutes, on any number of nodes. Without that "
        f"limit the largest dataset of this mixture would take {whole / STREAM_BYTES / 3600:.1f} hours.",
        f"**Small reads.** Deduplication cuts the keys of {keys.tasks:,} groups into as many partitions, and each "
        "partition is "
        f"read from every group: {keys.tasks**2 / 1e6:.1f} million pieces of "
        f"{_bytes(180 * documents / keys.tasks**2)} in "
        "`dedup.buckets`, and as many again in `dedup.survivors`. A parallel file system takes that; in an object "
        "store each "
        f"is a request of some 20 ms, {keys.tasks * 0.02 / 60:.1f} minutes a task. The number grows with the square "
        "of the "
        f"corpora: ten times the documents are {100 * keys.tasks**2 / 1e6:.0f} million. Then: a lower "
        "`dedup.partitions`, and more "
        "memory a task.",
        f"**Files.** {sum(step.objects + step.tasks for step in every):,} of them are too many for many a home file "
        "system, not "
        "for a parallel one. Corpora of a few large files are better than of many small ones: each counts as 64 KiB "
        "at least, "
        "so that a task has 2,048 at most.",
        f"**Memory on one node.** `dedup.components` takes {_bytes(by_name['dedup.components'].memory)}, and "
        f"{_bytes(components_memory(10 * documents))} at ten times the documents: the one step that grows with the "
        "corpora.",
    ]
    lines = ["## What breaks first", ""]
    for number, point in enumerate(points, 1):
        lines += _lines(point, f"{number}. ")
    return [
        *lines,
        "",
        *_wrapped(
            "Megatron's own limits do not come first: it numbers the documents of a prefix in int32, and mixer begins "
            "another "
            f"prefix long before. Its blend takes {_bytes(found.indices.blend_bytes)} in every process that builds "
            "it, and "
            f"{found.indices.blend_seconds:.0f} seconds."
        )[:-1],
    ]


def _wrapped(text: str) -> list[str]:
    """Return a paragraph, and the empty line after it."""
    return [*_lines(text), ""]


def _lines(text: str, mark: str = "") -> list[str]:
    """Return the lines of a paragraph, or of a point of a list, which begins with a mark."""
    indent = " " * len(mark)
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: list[list[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in rows[0][1:])]
    return [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]


def _short(value: float) -> str:
    """Write a number with the digits that mean something."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _bytes(value: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} bytes"


def main() -> int:
    """Write the page, or with ``--check`` only compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text("utf-8") != text:
            print(f"{PAGE.name} is not what scripts/scale.py writes: run it")
            return 1
        return 0
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
