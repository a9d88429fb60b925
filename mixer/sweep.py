"""Trial runs over additional-language ratio and learning rate: the grid of Xi et al. 2024 (Figure 1) over one build.

Stands above ``remix``, which makes one mixture for each ratio, of hard links to the datasets of the build. Runs that
differ only in their learning rate share a mixture, and so Megatron's indices. What comes out:

    sweep.json                      what every point has in common; a directory holds one sweep
    runs.csv                        a line a run, for its results; ``mixer frontier`` reads it
    mixtures/almr-0.3/              a mixture, as ``mixer mix`` makes it
    runs/almr-0.3-lr-1e-08-1f2e3d4c/
        run.json                    the point, its run id and its mixture
        blend.json, args.txt        what Megatron is handed: the mixture's blend and flags, and ``--lr``

The same command does what is missing and changes nothing else; one with more points adds them. Results in ``runs.csv``
stay where they are.
"""

import csv
import io
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from mixer.engine.keys import key_of
from mixer.engine.outputs import Outputs
from mixer.errors import InfeasibleError, UsageError
from mixer.manifest import Manifest, read
from mixer.mixture.export import BLEND, DATA_FLAGS, read_flags
from mixer.mixture.settings import TOKENS_LIMIT, parse_tokens
from mixer.remix import remix

SWEEP: Final = "sweep.json"
RUNS: Final = "runs.csv"
COLUMNS: Final = ("run", "almr", "lr", "tokens", "loss")
"""The columns that an empty ``runs.csv`` has; a user may add metrics."""
MOST_POINTS: Final = 10_000
_FORMAT: Final = 1


@dataclass(frozen=True)
class Run:
    """A point of the grid: its run id, which is also its directory below ``runs/``, and its mixture's directory."""

    id: str
    almr: float
    lr: float
    samples: int
    mixture: str


@dataclass(frozen=True)
class Infeasible:
    """A ratio that no mixture of this size has: why, and what would be possible."""

    almr: float
    cause: str
    remedy: str


@dataclass(frozen=True)
class Swept:
    """A sweep: where it stands, its runs and the ratios that were left out.

    ``copied`` are the bytes of datasets that could not be linked.
    """

    out: Path
    runs: tuple[Run, ...]
    infeasible: tuple[Infeasible, ...]
    copied: int


def grid(text: str, what: str) -> list[float]:
    """Read the values of one axis: ``0.1,0.33,0.5``, or ``first:last:step`` with the last one in it.

    Values are read as decimals, so that 0.1:0.9:0.1 is nine round numbers; they come back in rising order.

    Parameters
    ----------
    text
        As the user typed it.
    what
        The option, for messages.

    Raises
    ------
    UsageError
        It is neither, a value stands there twice, or there are too many.
    """
    example = "such as 0.1:0.9:0.1 or 0.1,0.33" if what == "--almr" else "such as 1e-7,5e-8,1e-8"
    try:
        values = _range(text) if ":" in text else [_decimal(part) for part in text.split(",")]
    except (InvalidOperation, ValueError):
        raise UsageError(
            f"{what} {text!r} is no list of numbers and no first:last:step", f"write it {example}"
        ) from None
    if len(set(values)) < len(values):
        raise UsageError(f"{what} {text!r} holds a value twice", "leave one of them")
    return sorted(map(float, values))


def _decimal(text: str) -> Decimal:
    """Read one finite number."""
    value = Decimal(text.strip())
    if not value.is_finite():
        raise ValueError
    return value


def _range(text: str) -> list[Decimal]:
    """Read ``first:last:step``."""
    first, last, step = map(_decimal, text.split(":"))
    if step <= 0 or last < first or (last - first) / step > MOST_POINTS:
        raise ValueError
    return [first + step * number for number in range(int((last - first) / step) + 1)]


def sweep(
    build_dir: Path,
    almrs: Sequence[float],
    rates: Sequence[float],
    out: Path,
    tokens: str | None = None,
    sequence_length: int | None = None,
) -> Swept:
    """Make the trial runs of a grid.

    Parameters
    ----------
    build_dir
        A finished build.
    almrs, rates
        Ratios and learning rates, rising.
    out
        Where the sweep shall stand.
    tokens, sequence_length
        Of every run; default: the build's.

    Raises
    ------
    UsageError
        There is no finished build, ``out`` holds something else or another sweep, or a value is impossible.
    InfeasibleError
        No ratio is feasible.
    BrokenPromiseError
        A file of the build is missing.
    """
    for almr in almrs:
        if not 0 <= almr <= 1:
            hint = f"; for {almr:g} % write {almr / 100:g}" if 1 < almr <= 100 else ""
            raise UsageError(f"--almr {almr:g} is not between 0 and 1", f"a ratio is a share of training tokens{hint}")
    for rate in rates:
        if rate <= 0:
            raise UsageError(f"--lr {rate:g} is not above 0", "write it such as 1e-8")
    if len(almrs) * len(rates) > MOST_POINTS:
        raise UsageError(f"{len(almrs) * len(rates):,} runs are more than {MOST_POINTS:,}", "use a coarser grid")
    before = read(build_dir)
    changes = _changes(before, tokens, sequence_length)
    _claim(out, before, changes)
    runs, infeasible, copied = [], [], 0
    for almr in almrs:
        mixture = f"mixtures/almr-{_name(almr)}"
        try:
            result = remix(build_dir, {**changes, "almr": almr}, out / mixture)
        except InfeasibleError as error:
            infeasible.append(Infeasible(almr, error.message, error.remedy))
            continue
        copied += result.copied
        runs += [_run(result.manifest, almr, rate, mixture) for rate in rates]
    if not runs:
        nearest = infeasible[0]
        raise InfeasibleError(f"no ratio of the grid is feasible; {nearest.cause}", nearest.remedy)
    outputs = Outputs(out)
    for run in runs:
        _write_run(outputs, run)
    _write_results(out, outputs, runs, changes["tokens"])
    return Swept(out, tuple(runs), tuple(infeasible), copied)


def _changes(before: Manifest, tokens: str | None, sequence_length: int | None) -> dict[str, Any]:
    """Return what every mixture of the sweep has in common, the build's where nothing is given."""
    settings = before.settings or {}
    length = sequence_length if sequence_length is not None else before.sequence_length
    try:
        size = parse_tokens(tokens if tokens is not None else settings.get("tokens", "max"))
    except ValueError as error:
        raise UsageError(f"--tokens: {error}", "give --tokens such as 100B") from None
    if size == "max":
        raise UsageError(
            "every run of a sweep must have the same number of tokens, and `max` is another one at each ratio",
            "give --tokens such as 100B",
        )
    if not length <= size <= TOKENS_LIMIT:
        raise UsageError(
            f"--tokens {size:,} is less than one sequence of {length:,} tokens", "give --tokens such as 100B"
        )
    # Trial runs are of one phase, also where the build's own training has several.
    return {"tokens": size, "sequence_length": length, **({"phases": []} if settings.get("phases") else {})}


def _claim(out: Path, before: Manifest, changes: Mapping[str, Any]) -> None:
    """Make sure that ``out`` is free, or holds this sweep, and write down what it holds.

    Raises
    ------
    UsageError
        It holds something else.
    """
    identity = {"format": _FORMAT, "build": before.build, **changes}
    path = out / SWEEP
    if path.is_file():
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            found = None
        if found != identity:
            raise UsageError(
                f"{out} holds another sweep ({found})", "choose another directory with --out, or remove that one"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty and holds no sweep", "choose another directory with --out")
    with Outputs(out).open(SWEEP) as file:
        file.write(f"{json.dumps(identity, indent=2)}\n".encode())


def _run(manifest: Manifest, almr: float, rate: float, mixture: str) -> Run:
    """Name a run: by its point, and by what else decides what it reads."""
    decides = [manifest.build, manifest.samples, manifest.sequence_length, manifest.seed, manifest.settings, rate]
    digest = key_of(decides)[:8]
    return Run(f"almr-{_name(almr)}-lr-{_name(rate)}-{digest}", almr, rate, manifest.samples, mixture)


def _name(value: float) -> str:
    """Write a number for a file name: as short as it can be without meeting another one."""
    return repr(value).removesuffix(".0")


def _write_run(outputs: Outputs, run: Run) -> None:
    """Write the directory of a run."""
    folder, mixture = f"runs/{run.id}", outputs.root / run.mixture
    blend = f"{folder}/{Path(BLEND).name}"
    with outputs.open(blend) as file:
        file.write((mixture / BLEND).read_bytes())
    flags = read_flags(mixture)
    flags[DATA_FLAGS[0]] = [str(outputs.root.resolve() / blend)]
    lines = [[flag, *values] for flag, values in flags.items() if flag != "--lr"] + [["--lr", repr(run.lr)]]
    with outputs.open(f"{folder}/args.txt") as file:
        file.write("".join(f"{shlex.join(line)}\n" for line in lines).encode())
    point = {
        "run": run.id,
        "almr": run.almr,
        "lr": run.lr,
        "samples": run.samples,
        "mixture": f"../../{run.mixture}",
    }
    with outputs.open(f"{folder}/run.json") as file:
        file.write(f"{json.dumps(point, indent=2)}\n".encode())


def _write_results(out: Path, outputs: Outputs, runs: Iterable[Run], tokens: int) -> None:
    """Write ``runs.csv``: the lines that are there as they are, then one for each run that has none.

    Raises
    ------
    UsageError
        There is a ``runs.csv`` of some other form.
    """
    path = out / RUNS
    text = path.read_text("utf-8-sig") if path.exists() else ""
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    header = [cell.strip().lower() for cell in rows[0]] if rows else list(COLUMNS)
    if missing := [name for name in COLUMNS[:3] if name not in header]:
        raise UsageError(f"{path} has no column {', '.join(missing)}", "restore its first line, or remove the file")
    place = header.index("run")
    there = {row[place].strip() for row in rows[1:] if len(row) > place}
    added = []
    for run in runs:
        if run.id not in there:
            cells = {"run": run.id, "almr": repr(run.almr), "lr": repr(run.lr), "tokens": str(tokens)}
            added.append([cells.get(name, "") for name in header])
    if rows and not added:
        return
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([*([] if rows else [list(COLUMNS)]), *added])
    gap = "" if not text or text.endswith("\n") else "\n"
    with outputs.open(RUNS) as file:
        file.write(f"{text}{gap}{written.getvalue()}".encode())
