"""mixer's whole pipeline beside datatrove's chain, one kind of text after the other, in one run.

    MIXER_DATA=... .venv/bin/python benchmarks/pipeline.py [--megabytes 64] [--repeats 3] [--kinds poetry code]

Prints Markdown tables: the speed of whole builds and of their stages, the peer's on the same documents, and peak
memory at one and at eight times the input. Speed is MB (10^6 bytes) of UTF-8 text entering ``prepare`` a second of
user and system time of all processes; README.md says what is measured how. ``inputs.py`` makes the input, ``steps.py``
times what happens inside a stage, ``peer_datatrove.py`` is the peer.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import inputs
from harness import MEGABYTE, machine, run, table, write_recipe

HERE = Path(__file__).resolve().parent
PEER = HERE / ".venv-datatrove" / "bin" / "python"
STAGES = ("prepare", "dedup", "tokenize", "join")
"""Of the engine; those that have a first name in common, dedup.keys and so on, as one."""
STEPS = ("read", "language", "edits", "script", "rules", "privacy", "fingerprint", "write")
GROWTH = 8
MEMORY_KINDS = ("English books and docs", "Chinese books")


def build(recipe, out, workers, cache):
    """Run ``mixer build`` from nothing; return its CPU seconds, its peak memory and its receipts by stage."""
    shutil.rmtree(out, ignore_errors=True)
    mixer = Path(sys.executable).with_name("mixer")
    command = [mixer, "build", recipe, "--out", out, "--workers", str(workers)]
    used = run(command, NUMBA_CACHE_DIR=str(cache))
    receipts = {
        stage: [json.loads(path.read_text()) for path in (out / "run" / "receipts").glob(f"{stage}*/**/*.json")]
        for stage in STAGES
    }
    return used.seconds, used.peak, receipts


def measure(kind, texts, work, options):
    """Measure one kind of text: whole builds, their stages, the steps of prepare, the peer."""
    file, recipe, out = work / f"{kind.slug}.jsonl", work / f"{kind.slug}.yaml", work / kind.slug
    documents, size = inputs.write(texts, file, options.megabytes * MEGABYTE)
    write_recipe(recipe, kind.almr, {file: kind.domain})
    cache = work / f"numba-{kind.slug}"
    cold, _, _ = build(recipe, out, options.workers, cache)
    builds = [build(recipe, out, options.workers, cache) for _ in range(options.repeats)]
    receipts = builds[0][2]
    stages = {
        stage: statistics.median(sum(receipt["cpu_seconds"] for receipt in made[stage]) for _, _, made in builds)
        for stage in STAGES
    }
    whole = statistics.median(seconds for seconds, _, _ in builds)
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
    stages |= json.loads(run([sys.executable, HERE / "steps.py", recipe, out, str(options.repeats)]).printed)
    fixed = whole - sum(stages[stage] for stage in (*STAGES, "verify"))
    tokens = sum(counts["tokens"] for receipt in receipts["tokenize"] for counts in receipt["counts"]["datasets"])
    result = {
        "documents": documents,
        "bytes": size,
        "distinct_bytes": min(size, sum(len(text.encode()) for text in texts)),
        "kept": sum(receipt["kept"] for receipt in receipts["prepare"]) / documents,
        "unique": sum(receipt["kept"] for receipt in receipts["tokenize"]) / documents,
        "tokens": tokens,
        "peak_bytes": max(peak for _, peak, _ in builds),
        "seconds": {**stages, "fixed": fixed, "build": whole, "cold": cold},
    }
    if not options.no_peer:
        result["peer"] = run_peer(kind, texts, work, options)
    for path in (file, cache, out):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return result


def run_peer(kind, texts, work, options):
    """Run datatrove's chain on the first of the same documents."""
    file = work / f"{kind.slug}-peer.jsonl"
    inputs.write(texts, file, options.peer_megabytes * MEGABYTE)
    script = HERE / "peer_datatrove.py"
    command = [PEER, script, "--chain-only", "--language", kind.peer, file]
    runs = [json.loads(run(command).printed) for _ in range(options.peer_repeats)]
    file.unlink()
    median = statistics.median_low(each["chain"]["cpu_seconds"] for each in runs)
    return next(each for each in runs if each["chain"]["cpu_seconds"] == median)


def memory(kind, texts, work, options):
    """Measure peak memory at one and at eight times the input: one task that grows, and more tasks of one size."""
    size = options.memory_megabytes * MEGABYTE
    plans = {
        "one task": {1: [(size, 0)], GROWTH: [(GROWTH * size, 0)]},
        "more tasks": {1: [(size, 0)], GROWTH: [(size, copy) for copy in range(GROWTH)]},
    }
    found = {}
    for name, plan in plans.items():
        found[name] = {}
        for times, files in plan.items():
            paths = []
            for number, (wanted, skip) in enumerate(files):
                paths.append(work / f"part{number}.jsonl")
                inputs.write(texts, paths[-1], wanted, seed=number + 1, skip=skip)
            recipe = write_recipe(work / "memory.yaml", kind.almr, dict.fromkeys(paths, kind.domain))
            cache = work / f"numba-memory-{kind.slug}"
            if not cache.exists():  # compiling takes memory of its own
                build(recipe, work / "memory", options.workers, cache)
            _, peak, receipts = build(recipe, work / "memory", options.workers, cache)
            by_stage = {stage: max(receipt["peak_bytes"] for receipt in receipts[stage]) for stage in STAGES}
            found[name][times] = {**by_stage, "worst": peak}
            for path in paths:
                path.unlink()
    shutil.rmtree(work / "memory")
    return found


def speed(result, step):
    seconds = result["seconds"][step]
    value = result["bytes"] / MEGABYTE / seconds if seconds > 0.005 else 0.0
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value else "-"


def show(kinds):
    """Print the speeds of all kinds."""
    whole = [["text", "MB", "distinct", "documents", "kept", "unique", "**build**", "cold", "fixed s", "peak MB"]]
    stages = [["text", "prepare", *STEPS, "dedup", "tokenize", "join", "verify"]]
    peers = [["text", "peer MB", "peer kept", "peer chain", "prepare", "times", "build", "times"]]
    for name, result in kinds.items():
        whole.append(
            [name, f"{result['bytes'] / MEGABYTE:.0f}", f"{result['distinct_bytes'] / MEGABYTE:.0f}",
             f"{result['documents']:,}", f"{result['kept']:.0%}", f"{result['unique']:.0%}",
             f"**{speed(result, 'build')}**", speed(result, "cold"), f"{result['seconds']['fixed']:.1f}",
             f"{result['peak_bytes'] / MEGABYTE:.0f}"]
        )  # fmt: skip
        stages.append([name, *(speed(result, step) for step in stages[0][1:])])
        if peer := result.get("peer"):
            chain = peer["chain"]["mb_per_second"]
            ours = [result["bytes"] / MEGABYTE / result["seconds"][step] for step in ("prepare", "build")]
            peers.append(
                [name, f"{peer['bytes'] / MEGABYTE:.1f}", f"{peer['kept'] / peer['documents']:.0%}", f"{chain:.2f}",
                 *(text for value in ours for text in (f"{value:.1f}", f"{value / chain:.0f}"))]
            )  # fmt: skip
    print("\n### Whole builds: MB of text per CPU second\n")
    table(whole)
    worst = min(kinds, key=lambda name: kinds[name]["bytes"] / kinds[name]["seconds"]["build"])
    print(f"Worst kind of text: {worst}, {speed(kinds[worst], 'build')} MB/s per core.\n")
    print("### Stages, and the steps inside prepare: MB of text per CPU second\n")
    table(stages)
    if len(peers) > 1:
        print("### Beside datatrove's chain (read, filters, MinHash signatures)\n")
        table(peers)


def show_memory(found, megabytes):
    rows = [["text", "input", "stage", f"{megabytes} MB", f"{GROWTH * megabytes} MB", "growth"]]
    for kind, plans in found.items():
        for plan, peaks in plans.items():
            for stage in (*STAGES, "worst"):
                one, more = peaks[1][stage], peaks[GROWTH][stage]
                row = [f"{one / MEGABYTE:.0f}", f"{more / MEGABYTE:.0f}", f"{more / one - 1:+.0%}"]
                rows.append([kind, plan, "worst process" if stage == "worst" else stage, *row])
    print(f"### Peak memory of a process, in MB, at one and at {GROWTH} times the input\n")
    table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--megabytes", type=int, default=64, help="text for each kind [default: 64]")
    parser.add_argument("--repeats", type=int, default=3, help="warm builds of which the median counts [default: 3]")
    parser.add_argument("--kinds", nargs="+", metavar="WORD", help="only kinds whose name holds one of these")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="[default: the cores]")
    parser.add_argument("--no-peer", action="store_true", help="leave out datatrove")
    parser.add_argument("--peer-megabytes", type=float, default=2, help="text for the peer [default: 2]")
    parser.add_argument("--peer-repeats", type=int, default=1, help="runs of the peer [default: 1]")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory")
    parser.add_argument("--memory-megabytes", type=int, default=16, help="the single input [default: 16]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    if "MIXER_DATA" not in os.environ:
        parser.error("set MIXER_DATA to the folder of the trial corpora")
    if not options.no_peer and not PEER.exists():
        parser.error(f"{PEER} is missing: README.md says how to make it, or give --no-peer")
    kinds = [kind for kind in inputs.KINDS if not options.kinds or any(word in kind.name for word in options.kinds)]
    if not kinds:
        parser.error(f"no such kind; there are: {', '.join(kind.name for kind in inputs.KINDS)}")
    result = {"machine": machine(), "megabytes": options.megabytes, "kinds": {}, "memory": {}}
    print(result["machine"], flush=True)
    with tempfile.TemporaryDirectory(prefix="mixer-benchmark-") as folder:
        work = Path(folder)
        for kind in kinds:
            texts = inputs.documents(kind, HERE / "trial.yaml")
            result["kinds"][kind.name] = measure(kind, texts, work, options)
            print(f"{kind.name}: {speed(result['kinds'][kind.name], 'build')} MB/s per core", flush=True)
            if kind.name in MEMORY_KINDS and not options.no_memory:
                result["memory"][kind.name] = memory(kind, texts, work, options)
    show(result["kinds"])
    if result["memory"]:
        show_memory(result["memory"], options.memory_megabytes)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
