"""Kills real builds at random moments, runs the same command again, and compares every byte with an undisturbed build.

python benchmarks/kill_trial.py --recipe quickstart --kills 30 --out /tmp/kills
python benchmarks/kill_trial.py --recipe benchmarks/trial.yaml --kills 15 --out /tmp/kills -- --almr 0.5
python benchmarks/kill_trial.py --variant "--almr 0.5" --variant "--set seed=7" --without gsm8k --out /tmp/kills

A trial begins in an empty directory, or, where variants are given, with the finished build of another variant; waits
until a stage has begun and then for a random part of the time that this stage took undisturbed; strikes; makes sure
that nothing of the build is left running; runs the same command until it is through (some trials strike again on the
way), and holds the directory against the reference: each file and folder but ``run/`` and datasets of earlier
mixtures, both of which are documented to stay. ``mixer verify`` has the last word. Stages and strikes take turns by
the number of a trial's seed, and the moment is drawn from it, so ``--kills 1 --seed N`` does the trial N again.

One line a trial on stdout; exit code 1 if any build came out different, left a process behind or ended in an
unexpected way. Needs Linux (/proc).
"""

import argparse
import contextlib
import itertools
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xxhash
import yaml

from mixer.dedup.stage import PARAGRAPHS
from mixer.dedup.stage import STAGES as DEDUP
from mixer.loading import recipe_path
from mixer.manifest import NAME
from mixer.manifest import read as read_manifest
from mixer.mixture.export import BLEND

CONTAMINATION = ("scan", "common", "decontaminate")
RUN_STAGES = ("benchmarks", "prepare", *CONTAMINATION, *DEDUP, *PARAGRAPHS, "tokenize", "join")
STAGES = ("plan", *RUN_STAGES, "finalize", "mix", "export", "verify")
"""Where a build can stand: before its first stage, in a stage of the engine, in a step that it does itself. Not every
recipe has every stage."""
STRIKES = ("KILL group", "TERM parent", "KILL worker", "INT group", "KILL parent", "TERM group", "KILL server")
"""What happens to a build. None of a worker or fork server ends it: then the task is tried again."""
EXPECTED = {"KILL": (-signal.SIGKILL,), "TERM": (128 + signal.SIGTERM, -signal.SIGTERM), "INT": (130, -signal.SIGINT)}
AGAIN = 0.3
"""Share of trials in which the second run is struck, too."""
HANG_SECONDS = 900.0
GONE_SECONDS = 10.0
POLL_SECONDS = 0.001
SHORT_SECONDS = 0.05
"""A stage that takes less is struck when it is seen."""


@dataclass
class Running:
    """A build that runs, and where it stands.

    Parameters
    ----------
    command
        What to start; its messages on stderr say which stage of the engine runs.
    root
        The build directory, whose files say how far the steps after those are.
    """

    command: Sequence[str]
    root: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = self._marks()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        # What a shell starts in the background ignores Ctrl-C, and what that starts inherits it.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            self.command,
            cwd=self.root.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, handler)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._at = 0

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    def _marks(self) -> tuple[object, ...]:
        """What finalize, mix and export leave: folders of datasets, then two files that are written anew."""
        folders = {path.name for path in (self.root / "megatron").glob("[!.]*") if path.is_dir()}
        return frozenset(folders), _identity(self.root / BLEND), _identity(self.root / NAME)

    def stage(self) -> str:
        """Say which of ``STAGES`` runs; one whose end leaves no trace here counts to the one before."""
        lines = list(self.lines)
        begun = [name for name in RUN_STAGES if any(line.startswith(f"{name}: ") for line in lines)]
        at = STAGES.index(begun[-1]) if begun else 0
        if any(line.startswith("join: done") for line in lines):
            at += 1
            changed = [mark != before for mark, before in zip(self._marks(), self._before, strict=True)]
            at += max((number + 1 for number, differs in enumerate(changed) if differs), default=0)
        self._at = max(self._at, at)
        return STAGES[self._at]

    def wait_for(self, stage: str) -> None:
        """Wait until a stage has begun, the build is over, or it seems to hang."""
        deadline = time.monotonic() + HANG_SECONDS
        while STAGES.index(self.stage()) < STAGES.index(stage) and not self.over() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        code = self.process.wait(HANG_SECONDS)
        self._reader.join(GONE_SECONDS)
        return code

    def strike(self, how: str) -> str:
        """Send a signal to whom it is meant, or to the parent where there is no such process; return what was sent."""
        name, whom = how.split()
        number = signal.Signals[f"SIG{name}"]
        if whom == "group":
            os.killpg(self.process.pid, number)
            return how
        found = []
        if whom != "parent":
            found = [pid for pid, command in children(self.process.pid) if "forkserver" in command]
        if whom == "worker":
            found = [pid for server in found for pid, _ in children(server)]
        with contextlib.suppress(ProcessLookupError):  # a worker may be through by now
            os.kill(max(found, default=self.process.pid), number)
        return how if found else f"{name} parent"


def _identity(path: Path) -> tuple[int, int] | None:
    return (stat.st_ino, stat.st_mtime_ns) if path.exists() and (stat := path.stat()) else None


def processes() -> Iterator[tuple[int, int, int, str]]:
    """Yield every living process: its id, parent, session and command line. A zombie has ended."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state not in "ZX":
                yield int(entry.name), int(parent), int(session), command


def children(pid: int) -> list[tuple[int, str]]:
    """List the living children of a process with their command lines."""
    return [(child, command) for child, parent, _, command in processes() if parent == pid]


def belonging(running: Running) -> list[str]:
    """Describe every process that is of a build: of its session, or with its directory open or in its command."""
    place = str(running.root)
    return [
        f"{pid} {command[:100]}"
        for pid, _, session, command in processes()
        if pid != os.getpid()
        and (session == running.process.pid or place in command or any(place in path for path in open_paths(pid)))
    ]


def open_paths(pid: int) -> Iterator[str]:
    """Yield the paths that a process has open, its current folder among them."""
    with contextlib.suppress(OSError):
        for link in (Path(f"/proc/{pid}/cwd"), *Path(f"/proc/{pid}/fd").iterdir()):
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def left_running(running: Running) -> list[str]:
    """Return the processes of an ended build that are still there after ``GONE_SECONDS``."""
    deadline = time.monotonic() + GONE_SECONDS
    while (left := belonging(running)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def tree(root: Path) -> dict[str, str]:
    """Hash what a finished build holds: each file and folder but ``run/`` and what is left of earlier mixtures."""
    kept = read_manifest(root).folders - {"cache"}
    found = {}
    for path in sorted(root.rglob("*")):
        top, *below = path.relative_to(root).parts
        earlier = top == "megatron" and below and below[0] not in kept and (len(below) > 1 or path.is_dir())
        if top != "run" and not earlier:
            content = xxhash.xxh64_hexdigest(path.read_bytes()) if path.is_file() else "folder"
            found[path.relative_to(root).as_posix()] = content
    return found


def differences(found: dict[str, str], reference: dict[str, str]) -> list[str]:
    """Say how two trees differ."""
    return [
        *(f"{path} is missing" for path in reference if path not in found),
        *(f"{path} should not be there" for path in found if path not in reference),
        *(f"{path} differs" for path in found if path in reference and found[path] != reference[path]),
    ]


@dataclass
class Variant:
    """A way to build the recipe: its command, and what an undisturbed build of it came to."""

    label: str
    command: list[str]
    reference: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Trials:
    """Builds variants of a recipe in one directory, again and again (absolute paths are part of what is compared).

    Parameters
    ----------
    variants
        The first is the recipe as it is.
    out
        A folder for everything; builds stand in ``out/build``.
    stages
        Where to strike; empty: in every stage that the undisturbed builds were seen in.
    """

    def __init__(self, variants: Sequence[Variant], out: Path, stages: Sequence[str]) -> None:
        self.variants, self.stages, self.out = variants, stages, out
        self.root = out / "build"
        self.kills = self.failures = 0
        self.hits: Counter[tuple[str, str]] = Counter()

    def prepare(self) -> None:
        """Build every variant undisturbed, and note its bytes and how long it spends in each stage."""
        self._undisturbed(self.variants[0])  # compiles what is not compiled yet
        for number, variant in enumerate(self.variants):
            self._undisturbed(variant)
            variant.reference = tree(self.root)
            shown = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in variant.seconds.items())
            print(f"undisturbed{variant.label}: {len(variant.reference)} files, folders; seconds: {shown}", flush=True)
            if len(self.variants) > 1:
                self._copy(self.root, self.out / f"finished-{number}")
        self.stages = self.stages or [name for name in STAGES if any(name in each.seconds for each in self.variants)]

    def _undisturbed(self, variant: Variant) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        running = Running(variant.command, self.root)
        variant.seconds = {}
        at, since = STAGES[0], time.monotonic()
        while not running.over():
            if (stage := running.stage()) != at:
                variant.seconds[at] = time.monotonic() - since
                at, since = stage, time.monotonic()
            time.sleep(POLL_SECONDS)
        variant.seconds[at] = time.monotonic() - since
        if running.wait():
            raise SystemExit("\n".join(["the undisturbed build fails:", *running.lines]))

    def run(self, seed: int) -> None:
        """Do one trial and print its line."""
        draw = random.Random(seed)
        variant = draw.choice(self.variants)
        origin = ""
        shutil.rmtree(self.root, ignore_errors=True)
        if len(self.variants) > 1:
            before = draw.choice([number for number, other in enumerate(self.variants) if other is not variant])
            self._copy(self.out / f"finished-{before}", self.root)
            origin = f" over{self.variants[before].label or ' the recipe'}:{variant.label or ' the recipe'}"
        told, wrong = [], []
        stage, how = self.stages[seed % len(self.stages)], STRIKES[seed % len(STRIKES)]
        while True:
            note, faults, finished = self._strike(variant, stage, how, draw.random())
            told.append(note)
            wrong += faults
            if finished or draw.random() > AGAIN:
                break
            stage, how = draw.choice(self.stages), draw.choice(STRIKES)
        last = Running(variant.command, self.root)
        code = last.wait()
        if code:
            wrong.append(f"the last run ended with {code}: {' / '.join(last.lines[-3:])}")
        else:
            wrong += differences(tree(self.root), variant.reference)
            wrong += self._verify()
        wrong += [f"left running: {process}" for process in left_running(last)]
        result = "".join(["WRONG", *(f"\n    {fault}" for fault in wrong)]) if wrong else "same bytes"
        print(f"seed {seed}{origin}: {'; '.join(told)}: {result}", flush=True)
        if wrong:
            self.failures += 1
            self.root.rename(self.out / f"failed-{seed}-{int(time.time())}")

    def _strike(self, variant: Variant, stage: str, how: str, part: float) -> tuple[str, list[str], bool]:
        """Run, strike once, and return what to tell of it, what went wrong and whether the build was through."""
        running = Running(variant.command, self.root)
        running.wait_for(stage)
        if (seconds := variant.seconds.get(stage, 0.0)) > SHORT_SECONDS:
            time.sleep(part * seconds)
        hit = running.stage()
        if running.over():
            return f"ended before {part:.0%} of {stage}", self._ended(running, "", hit), True
        sent = running.strike(how)
        self.kills += 1
        self.hits[hit, sent] += 1
        wrong = self._ended(running, sent, hit)
        wrong += [f"left running after {sent}: {process}" for process in left_running(running)]
        code = running.process.returncode
        return f"{sent} at {part:.0%} of {stage}, hit {hit}, exit {code}", wrong, code == 0

    def _ended(self, running: Running, sent: str, hit: str) -> list[str]:
        """Wait for the end of a build that was struck, and say what is wrong about it."""
        try:
            code = running.wait()
        except subprocess.TimeoutExpired:
            hangs = f"hangs after {sent}: {belonging(running)}"
            os.killpg(running.process.pid, signal.SIGKILL)
            return [hangs, str(running.wait())]
        wrong = [f"shows a traceback: {line}" for line in running.lines if line.startswith("Traceback")]
        # A worker may be lost at any time, and a signal may come when everything is done but the exit.
        survives = not sent or sent.split()[1].startswith(("worker", "server")) or hit == STAGES[-1]
        if code not in (*(EXPECTED[sent.split()[0]] if sent else ()), *((0,) if survives else ())):
            wrong.append(f"exit code {code} after {sent}: {' / '.join(running.lines[-3:])}")
        if wrong:
            (self.out / f"stderr-{time.time_ns()}.log").write_text("\n".join(running.lines))
        return wrong

    def _verify(self) -> list[str]:
        command = [sys.executable, "-m", "mixer.cli", "verify", str(self.root)]
        done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, check=False)
        return [f"mixer verify: {done.stderr.strip()}"] if done.returncode else []

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # hard links stay hard links


def counted(hits: Counter[tuple[str, str]]) -> str:
    """Return a table of the strikes that arrived, by stage and kind."""
    kinds = [kind for kind in STRIKES if any(sent == kind for _, sent in hits)]
    rows = [["stage", *kinds, "all"]]
    rows += [
        [stage, *(str(hits[stage, kind]) for kind in kinds)]
        for stage in STAGES
        if any(hits[stage, kind] for kind in kinds)
    ]
    rows += [["all", *(str(sum(hits[stage, kind] for stage in STAGES)) for kind in kinds)]]
    rows = [rows[0], *([*row, str(sum(map(int, row[1:])))] for row in rows[1:])]
    rule = ["---", *["---:"] * (len(kinds) + 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def without(recipe: Path, source: str, target: Path) -> Path:
    """Write a recipe with one source less; relative paths of files still start from the recipe's own folder."""
    tree = yaml.safe_load(recipe.read_text("utf-8"))
    kept = [entry for entry in tree["sources"] if entry["name"] != source]
    if len(kept) == len(tree["sources"]):
        raise SystemExit(f"{recipe} has no source {source}")
    for entry in kept:
        if "paths" in entry:
            entry["paths"] = [path if "$" in path else str(recipe.parent.absolute() / path) for path in entry["paths"]]
    target.write_text(yaml.safe_dump({**tree, "sources": kept}, allow_unicode=True), "utf-8")
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--kills", type=int, default=20, help="stop when so many kills have been made")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next one has the next")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="folder for the builds; not the build itself")
    parser.add_argument("--variant", action="append", default=[], help="other arguments of `mixer build` to change to")
    parser.add_argument("--without", action="append", default=[], help="a source that another variant does not have")
    parser.add_argument("--stage", action="append", choices=STAGES, help="strike in this stage; default: in all")
    parser.add_argument("extra", nargs="*", help="arguments for `mixer build` (after --)")
    options = parser.parse_args()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    recipe = recipe_path(options.recipe).absolute()

    def command(path: Path, *more: str) -> list[str]:
        build = [sys.executable, "-m", "mixer.cli", "build", str(path), "--out", str(out / "build")]
        return [*build, "--workers", str(options.workers), *options.extra, *more]

    variants = [Variant("", command(recipe))]
    variants += [Variant(f" {text}", command(recipe, *shlex.split(text))) for text in options.variant]
    for source in options.without:
        path = without(recipe, source, out / f"without-{source}.yaml")
        variants.append(Variant(f" without {source}", command(path)))
    trials = Trials(variants, out, options.stage or [])
    trials.prepare()
    for seed in itertools.count(options.seed):
        if trials.kills >= options.kills:
            break
        trials.run(seed)
    print(f"{trials.kills} kills in {seed - options.seed} trials, {trials.failures} wrong", end="\n\n")
    print(counted(trials.hits))
    return 1 if trials.failures else 0


if __name__ == "__main__":
    sys.exit(main())
