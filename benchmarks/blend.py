"""Megatron's order of samples, replayed by mixer and by megatron-core's own compiled helper.

    python benchmarks/blend.py              # 1e7 and 1e8 samples of 16 datasets, and `mixer verify` of 1.7T tokens
    python benchmarks/blend.py --samples 830078125 --datasets 20 --repeats 1     # 8.3 GB for the helper

Each measurement is a process of its own: CPU seconds of the call, the median of some, and by how much it made the peak
memory of the process grow. mixer's call is the one of ``mixer verify``: the order, two running sums held against their
lines after every sample, and once more for every global batch. The helper returns the order as arrays, which are
counted afterwards; that both draw the same numbers of samples from each dataset is checked.

``whole`` then is ``mixer verify --no-rehash`` as a command, imports included, over a build whose datasets are read over
and over until 1.7T tokens are reached: 830,078,125 samples of 2,048 tokens from 20 datasets.
"""

import argparse
import contextlib
import io
import json
import resource
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for the small builds of the tests

import numpy as np
from harness import MEGABYTE, machine, run, table

from mixer.megatron.blend import Replay, drawing_weights

BATCH = 256
ALMR = 0.33
WHOLE_SAMPLES, WHOLE_DATASETS, WHOLE_LENGTH = 830_078_125, 20, 2048


def counts_of(samples, datasets):
    """Return whole samples for each dataset: sizes of very different datasets, a third of them additional."""
    shares = np.random.default_rng(datasets).dirichlet(np.ones(datasets))
    counts = np.maximum(np.floor(shares * samples), 1).astype(np.int64)
    counts[np.argmax(counts)] += samples - counts.sum()
    return counts


def replay(counts):
    """Replay as ``mixer verify`` does, and return the draws of each dataset."""
    weights = counts / counts.sum()
    group = np.arange(len(counts)) % 3 == 0
    shares = np.where(group, 0.95, 0.01)
    lines = [weights[group].sum(), weights @ shares]
    replayed = Replay(weights, [group, shares], lines, BATCH)
    replayed.advance(int(counts.sum()))
    return replayed.counts


def helper(counts):
    """Have megatron-core make the order, and return the index of the dataset of each sample."""
    from megatron.core.datasets import helpers

    samples = int(counts.sum())
    weights = drawing_weights(counts / samples).tolist()
    order, places = np.zeros(samples, np.int16), np.zeros(samples, np.int64)
    helpers.build_blending_indices(order, places, weights, len(weights), samples, False)  # noqa: FBT003
    return order


def measure(who, samples, datasets):
    """Print the CPU seconds and the growth of peak memory of one call, after a short one that loads all code."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        {"mixer": replay, "megatron-core": helper}[who](counts_of(3_000_000 if who == "mixer" else 1000, datasets))
    counts = counts_of(samples, datasets)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    drawn = {"mixer": replay, "megatron-core": helper}[who](counts)
    seconds = time.process_time() - start
    unit = 1 if sys.platform == "darwin" else 1024
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    drawn = drawn if who == "mixer" else np.bincount(drawn, minlength=datasets)
    print(json.dumps({"seconds": seconds, "grown": grown, "drawn": drawn.tolist()}))


def compared(samples, datasets, repeats):
    """Return the row of the table for a size."""
    found = {}
    for who in ("mixer", "megatron-core"):
        command = [sys.executable, __file__, "--measure", who, "--samples", samples, "--datasets", datasets]
        runs = [json.loads(run([*map(str, command)]).printed) for _ in range(repeats)]
        assert all(one["drawn"] == counts_of(samples, datasets).tolist() for one in runs), f"{who} draws others"
        found[who] = [statistics.median(one[what] for one in runs) for what in ("seconds", "grown")]
    (ours, our_memory), (theirs, their_memory) = found.values()
    return [
        f"{samples:,}",
        str(datasets),
        f"{ours:.3f} s",
        f"{ours / samples * 1e9:.1f} ns",
        f"{theirs:.3f} s",
        f"{theirs / samples * 1e9:.1f} ns",
        f"{theirs / ours:.1f}",
        f"{our_memory / MEGABYTE:.1f} MB",
        f"{their_memory / MEGABYTE:,.0f} MB",
    ]


def whole():
    """Verify a build of 1.7T tokens as a user does."""
    from tests.builds import Made, make_build

    with tempfile.TemporaryDirectory() as folder:
        made = [
            Made(f"source{k:02}", "zh" if k % 3 == 0 else "en", 140_000 + 9_000 * k, 4_000, max_epochs=1e9)
            for k in range(WHOLE_DATASETS)
        ]
        build_dir = make_build(Path(folder), made, ALMR, WHOLE_SAMPLES, WHOLE_LENGTH)
        used = run([sys.executable, "-m", "mixer.cli", "verify", str(build_dir), "--no-rehash"], COLUMNS="150")
    print(f"`mixer verify --no-rehash`: {used.seconds:.1f} CPU seconds, peak {used.peak / MEGABYTE:.0f} MB\n")
    print(used.printed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000_000, 100_000_000])
    parser.add_argument("--datasets", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=["mixer", "megatron-core"], help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help="only the whole of 1.7T tokens")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.samples[0], given.datasets)
        sys.exit()
    print(f"{machine()}\n")
    if not given.whole:
        rows = [compared(samples, given.datasets, given.repeats) for samples in given.samples]
        head = [
            "samples",
            "datasets",
            "mixer",
            "a sample",
            "helper",
            "a sample",
            "times",
            "memory",
            "helper's",
            "times",
        ]
        table([head, *rows])
    whole()
