"""Times the steps inside ``prepare``, and ``verify``, in this one process; prints one JSON object.

    python benchmarks/steps.py RECIPE BUILD REPEATS

``pipeline.py`` runs it: RECIPE is the recipe of one kind of text, BUILD its finished build. The figures are user and
system seconds of each step over all documents, the median of REPEATS passes; imports, and a first batch that loads the
kernels, come before. ``write`` is what it costs to compress and hash the documents.
"""

import json
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from mixer.engine.worker import ONE_THREAD

os.environ.update(ONE_THREAD)

from mixer.dedup.fingerprint import FingerprintWriter
from mixer.documents import ParquetSink, split
from mixer.engine.outputs import HashingFile
from mixer.loading import load_recipe
from mixer.mixture.verify import verify
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.steps import Steps


class Clock:
    """Adds up CPU seconds by step: each call books what passed since the one before."""

    def __init__(self):
        self.seconds = Counter()
        self._last = time.process_time()

    def __call__(self, step):
        now = time.process_time()
        self.seconds[step] += now - self._last
        self._last = now


def one_pass(loaded, null, documents=None):
    """Run the steps of ``prepare`` over all sources, or their first documents, into ``null``; return the seconds."""
    recipe = loaded.recipe
    fingerprints = FingerprintWriter(null, recipe.dedup.minhash or None)
    clock = Clock()
    for source in recipe.sources:
        steps = Steps(recipe, source, {}).in_order
        for task in plan_source(source, loaded.root, documents):
            kept_sink, dropped_sink = ParquetSink(null), ParquetSink(null)
            batches = read(task, source, lambda *_: None)
            clock("plan")
            while (batch := next(batches, None)) is not None:
                clock("read")
                for name, step in steps.items():
                    batch = step(batch)
                    clock(name)
                kept, dropped = split(batch)
                if len(kept):
                    fingerprints.write(kept["text"])
                clock("fingerprint")
                kept_sink.write(kept)
                dropped_sink.write(dropped)
                clock("write")
            clock("read")
            kept_sink.close()
            dropped_sink.close()
            clock("write")
    return clock.seconds


def main():
    recipe, build, repeats = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    loaded = load_recipe(recipe)
    with Path(os.devnull).open("wb") as null, HashingFile(null) as hashed:
        one_pass(loaded, hashed, 200)
        passes = [one_pass(loaded, hashed) for _ in range(repeats)]
    seconds = {step: statistics.median(each[step] for each in passes) for step in passes[0]}
    verified = []
    verify(build, workers=1)
    for _ in range(repeats):
        before = time.process_time()
        verify(build, workers=1)
        verified.append(time.process_time() - before)
    json.dump({**seconds, "verify": statistics.median(verified)}, sys.stdout)


if __name__ == "__main__":
    main()
