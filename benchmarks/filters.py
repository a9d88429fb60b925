"""The filters of mixer beside those of its peers: each family of checks and the whole first stage, kind by kind.

    MIXER_DATA=... .venv/bin/python benchmarks/filters.py [--kinds web code] [--peers datatrove] [--markdown FILE]

Prints Markdown tables. Speed is MB (10^6 bytes) of UTF-8 text a second of user and system time; README.md says what is
measured how. ``inputs.py`` makes the documents, ``families.py`` runs mixer's side, ``peer_*.py`` each peer, in an
environment of its own, on the first of the same documents.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import inputs
from harness import MEGABYTE, machine, run, table, write_recipe

from mixer.filters.language import model_file
from mixer.filters.table import PROFILES, TABLE

HERE = Path(__file__).resolve().parent
NAMES = {"datatrove": "datatrove", "datajuicer": "data-juicer", "dolma": "dolma"}
PEERS = tuple(NAMES)
SLOW = 40
"""MB/s below which a family is named as slow."""
TITLES = {
    "gopher_quality": "Gopher quality",
    "gopher_repetition": "Gopher repetition",
    "gopher": "Gopher, both",
    "c4": "C4",
    "fineweb": "FineWeb",
    "fineweb2-zh": "FineWeb2 for Chinese",
    "fineweb2": "FineWeb2",
    "starcoder": "StarCoder",
    "starcoder2": "StarCoder2",
    "openwebmath": "OpenWebMath",
    "text": "repair of text",
    "math": "mathematics",
}
ENGLISH = ("gopher_quality", "gopher_repetition", "gopher", "c4", "fineweb")
EVERYWHERE = ("language", "privacy", "text")


def language_of(kind):
    """Return the label that mixer gives to documents of a kind."""
    return "code" if kind.domain == "code" else "zh" if kind.peer == "chinese" else "en"


def shared(kind):
    """Return the families that are run beside the peers: those that are made for a kind of text."""
    if kind.domain in ("code", "math"):
        return (*(("starcoder",) if kind.domain == "code" else ()), *EVERYWHERE)
    return ("fineweb2-zh", *EVERYWHERE) if kind.peer == "chinese" else (*ENGLISH, *EVERYWHERE)


def like_peer(kind):
    """Return what a recipe says to ask what datatrove's chain asks; ``None`` where it has no chain."""
    profile = {"english": "fineweb", "chinese": "fineweb2-zh"}[kind.peer]
    if kind.domain in ("code", "math") or profile not in PROFILES:
        return None
    addresses = {
        check.name: check.profiles["fineweb"]
        for check in TABLE
        if check.family == "privacy" and "fineweb" in check.profiles
    }
    filters = {f"{kind.domain}/{language_of(kind)}": {"profile": profile, **addresses}}
    return {"filters": filters, "language": {"threshold": 0.65}}


def python_of(peer):
    return HERE / f".venv-{peer}" / "bin" / "python"


def median(runs, *keys):
    """Return the median of one figure of several runs."""

    def figure(found):
        for key in keys:
            found = found[key]
        return found

    return statistics.median(figure(each) for each in runs)


def time_prepare(recipe, work, repeats):
    """Run the first stage in fresh processes; return what a median one took, and the first one.

    The first one compiles the kernels that no process before it has needed.
    """
    out, used = work / "prepared", []
    for _ in range(max(repeats, 2)):
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, HERE / "families.py", "prepare", recipe, out]
        used.append(run(command))
    shutil.rmtree(out)
    first, used = used[0], used if repeats > 2 else used[1:]
    told = [json.loads(each.printed) for each in used]
    return {
        **{key: told[0][key] for key in ("documents", "kept", "bytes")},
        "cpu": statistics.median(each.seconds for each in used),
        "wall": statistics.median(each.wall for each in used),
        "start": median(told, "start"),
        "without_start": median(told, "seconds"),
        "first_cpu": first.seconds,
        "first_wall": first.wall,
    }


def time_start(kinds, texts, work, repeats):
    """Prepare one document of each kind."""
    domains = {}
    for kind in kinds:
        file = work / f"start-{kind.slug}.jsonl"
        inputs.write(texts[kind.name], file, 1)
        domains[file] = kind.domain
    return time_prepare(write_recipe(work / "start.yaml", 0.5, domains), work, repeats)


def time_kind(kind, texts, work, options, model):
    """Measure one kind of text: each family, the whole stage, the peers."""
    file, sample = work / f"{kind.slug}.jsonl", work / f"{kind.slug}-sample.jsonl"
    _, size = inputs.write(texts, file, options.megabytes * MEGABYTE)
    documents, _ = inputs.write(texts, sample, options.peer_megabytes * MEGABYTE)
    recipe = write_recipe(file.with_suffix(".yaml"), kind.almr, {file: kind.domain})
    prepared = time_prepare(recipe, work, options.repeats)
    alike = None
    if (more := like_peer(kind)) and "datatrove" in options.peers:
        asks_alike = write_recipe(work / "alike.yaml", kind.almr, {file: kind.domain}, **more)
        alike = time_prepare(asks_alike, work, options.repeats)
    numbers = (options.family_megabytes, options.repeats, documents)
    command = [sys.executable, HERE / "families.py", "time", recipe, language_of(kind), *map(str, numbers)]
    result = {
        "distinct_bytes": min(size, sum(len(text.encode()) for text in texts)),
        "mixer": json.loads(run(command).printed),
        "prepare": prepared,
        "prepare_like_peer": alike,
        "peers": {peer: run_peer(peer, kind, sample, options, model) for peer in options.peers},
    }
    file.unlink()
    return result


def run_peer(peer, kind, sample, options, model):
    """Run a peer over the sample; with datatrove also its whole chain, where mixer has a like one."""
    command = [python_of(peer), HERE / f"peer_{peer}.py", "--language", kind.peer, "--model", model, sample]
    if peer == "datatrove" and not like_peer(kind):
        command.append("--no-chain")
    command += ["--families", ",".join(shared(kind))]
    environment = {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    runs = [json.loads(run(command, **environment).printed) for _ in range(options.peer_repeats)]
    found = runs[0]
    for name in found["alone"]:
        found["alone"][name]["cpu_seconds"] = median(runs, "alone", name, "cpu_seconds")
    if "chain" in found:
        found["chain"]["cpu_seconds"] = median(runs, "chain", "cpu_seconds")
    found["start_cpu_seconds"] = median(runs, "start_cpu_seconds")
    return found


def number(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def speed(size, seconds):
    return size / MEGABYTE / max(seconds, 1e-6)


def title(name):
    return TITLES.get(name, name.replace("_", " "))


def show_families(kinds):
    """Print mixer's speed for every family and kind; return the slow ones."""
    names = list(dict.fromkeys(name for result in kinds.values() for name in result["mixer"]["families"]))
    rows, slow = [["family", *kinds, "worst"]], []
    for name in names:
        row, own = [title(name)], {}
        for kind, result in kinds.items():
            found = result["mixer"]["families"][name]
            value = speed(result["mixer"]["bytes"], found["seconds"])
            row.append(f"**{number(value)}**" if found["in_force"] else number(value))
            if found["in_force"]:
                own[kind] = value
                slow += [(title(name), kind, value)] if value < SLOW else []
        worst = min(own, key=own.get) if own else "-"
        rows.append([*row, worst])
    print("\n### Each family alone: MB of text per CPU second\n")
    print("Bold: some of it is in force by default for this kind of text. The worst kind is among those.\n")
    table(rows)
    return slow


def show_kernels(kinds):
    names = list(dict.fromkeys(name for result in kinds.values() for name in result["mixer"]["kernels"]))
    rows = [["function", *kinds]]
    for name in names:
        speeds = [speed(result["mixer"]["bytes"], result["mixer"]["kernels"][name]) for result in kinds.values()]
        rows.append([name, *map(number, speeds)])
    print("### The functions behind them: MB of text per CPU second\n")
    table(rows)


def share(figures, documents):
    """Return what was kept, or for edits what was changed, of some documents."""
    if figures.get("kept") is not None and figures.get("changed") is None:
        return f"{figures['kept'] / documents:.0%}"
    return f"{figures['changed'] / documents:.1%} changed" if figures.get("changed") is not None else "-"


def show_peers(kinds, peers):
    """Print families beside the peers that have them."""
    named = [NAMES[peer] for peer in peers]
    head = [part for peer in named for part in (peer, "times")]
    rows = [["text", "family", "mixer", *head, "kept: mixer", *named]]
    for kind, result in kinds.items():
        for name, found in result["mixer"]["families"].items():
            theirs = {peer: result["peers"][peer]["alone"].get(name) for peer in peers}
            if not any(theirs.values()):
                continue
            mine = speed(result["mixer"]["bytes"], found["seconds"])
            cells, shares = [], []
            for peer, figures in theirs.items():
                size, documents = result["peers"][peer]["bytes"], result["peers"][peer]["documents"]
                value = speed(size, figures["cpu_seconds"]) if figures else 0.0
                cells += [number(value), number(mine / value)] if figures else ["-", "-"]
                shares.append(share(figures, documents) if figures else "-")
            own = (
                {**found, "changed": None}
                if any(each and each["kept"] is not None for each in theirs.values())
                else found
            )
            rows.append([kind, title(name), number(mine), *cells, share(own, result["mixer"]["sample"]), *shares])
    print("### Families beside the peers: MB of text per CPU second\n")
    table(rows)


def show_prepare(kinds, start):
    """Print the whole first stage: with the default rules, then with those of datatrove's chain beside it."""
    rows = [["text", "MB", "distinct", "kept", "**prepare**", "cold", "imports apart"]]
    alike = [["text", "kept", "datatrove's", "**prepare**", "datatrove", "**times**",
              "imports apart", "datatrove", "times"]]  # fmt: skip
    for kind, result in kinds.items():
        own = result["prepare"]
        sizes = [number(size / MEGABYTE) for size in (own["bytes"], result["distinct_bytes"])]
        whole, apart = (speed(own["bytes"], own[key]) for key in ("cpu", "without_start"))
        cold = speed(own["bytes"], own["cpu"] + start["first_cpu"] - start["cpu"])
        rows.append([kind, *sizes, kept(own), f"**{number(whole)}**", number(cold), number(apart)])
        if own := result["prepare_like_peer"]:
            peer = result["peers"]["datatrove"]
            seconds, loading = peer["chain"]["cpu_seconds"], peer["start_cpu_seconds"]
            mine = [speed(own["bytes"], own[key]) for key in ("cpu", "without_start")]
            theirs = [speed(peer["bytes"], seconds + loading), speed(peer["bytes"], seconds)]
            times = [number(one / other) for one, other in zip(mine, theirs, strict=True)]
            alike.append([kind, kept(own), kept(peer), f"**{number(mine[0])}**", number(theirs[0]), f"**{times[0]}**",
                          number(mine[1]), number(theirs[1]), times[1]])  # fmt: skip
    print("### The whole first stage with its default rules: MB of text per CPU second\n")
    table(rows)
    worst = min(kinds, key=lambda kind: kinds[kind]["prepare"]["bytes"] / kinds[kind]["prepare"]["cpu"])
    own = kinds[worst]["prepare"]
    print(f"Worst kind of text: {worst}, {number(speed(own['bytes'], own['cpu']))} MB/s per core.")
    if len(alike) > 1:
        print("\n### The whole first stage with the rules of datatrove's chain: MB of text per CPU second\n")
        table(alike)


def kept(counts):
    return f"{counts['kept'] / counts['documents']:.0%}"


def show(result):
    """Print everything."""
    kinds, start = result["kinds"], result["start"]
    print(f"{result['machine']}\n")
    print(
        f"A process that prepares one document of each kind takes {start['wall']:.2f} s, {start['cpu']:.2f} s of CPU,"
    )
    print(
        f"of which {start['start']:.2f} for imports; where it must compile every kernel, {start['first_wall']:.1f} s."
    )
    slow = show_families(kinds)
    for name, kind, value in slow:
        print(f"Under {SLOW} MB/s: {name} on {kind}, {number(value)} MB/s.")
    print()
    show_kernels(kinds)
    if result["peers"]:
        show_peers(kinds, result["peers"])
    show_prepare(kinds, start)
    for peer, why in result["missing"].items():
        print(f"\nWithout {peer}: {why}.")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kinds", nargs="+", metavar="WORD", help="only kinds whose name holds one of these")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="[default: all that are installed]")
    parser.add_argument("--megabytes", type=int, default=64, help="text for the whole stage [default: 64]")
    parser.add_argument("--family-megabytes", type=int, default=16, help="text for each family [default: 16]")
    parser.add_argument("--repeats", type=int, default=3, help="passes of which the median counts [default: 3]")
    parser.add_argument("--peer-megabytes", type=float, default=2, help="text for each peer [default: 2]")
    parser.add_argument("--peer-repeats", type=int, default=3, help="runs of each peer [default: 3]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there, after each kind")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables there")
    options = parser.parse_args()
    if "MIXER_DATA" not in os.environ:
        parser.error("set MIXER_DATA to the folder of the trial corpora")
    options.kinds = [
        kind for kind in inputs.KINDS if not options.kinds or any(word in kind.name for word in options.kinds)
    ]
    if not options.kinds:
        parser.error(f"no such kind; there are: {', '.join(kind.name for kind in inputs.KINDS)}")
    options.missing = {
        peer: f"{python_of(peer).parent.parent} is not there; README.md says how to make it"
        for peer in options.peers
        if not python_of(peer).exists()
    }
    options.peers = [peer for peer in options.peers if peer not in options.missing]
    return options


def main():
    options = parse()
    result = {"machine": machine(), "peers": options.peers, "missing": options.missing, "kinds": {}}
    with tempfile.TemporaryDirectory(prefix="mixer-benchmark-") as folder:
        work = Path(folder)
        os.environ["NUMBA_CACHE_DIR"] = str(work / "numba")
        texts = {kind.name: inputs.documents(kind, HERE / "trial.yaml") for kind in options.kinds}
        result["start"] = time_start(options.kinds, texts, work, options.repeats)
        for kind in options.kinds:
            print(f"{kind.name} ...", file=sys.stderr, flush=True)
            result["kinds"][kind.name] = time_kind(kind, texts[kind.name], work, options, model_file())
            if options.json:
                options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    show(result)
    if options.markdown:
        with options.markdown.open("w") as file, contextlib.redirect_stdout(file):
            show(result)


if __name__ == "__main__":
    main()
