"""Commands that choose a ratio and mix again: mix, sweep, frontier."""

from pathlib import Path
from typing import Any

import click

from mixer.commands import BUILD, EXIT_CODES, LOCAL_BUILD
from mixer.errors import UsageError
from mixer.storage import Root


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=BUILD)
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
@click.option("--sequence-length", type=int, help="Tokens in one training sample.")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    metavar="TOKENS[:ALMR]",
    help="A phase of the training, such as 100B:0.1; once for each, in their order. In place of --tokens.",
)
@click.option("--no-phases", is_flag=True, help="One mixture in place of the build's phases.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON or CSV of source and weight: the preferred shares.",
)
@click.option(
    "--out",
    type=BUILD,
    help="Where the new mixture shall stand, with links to the datasets. [default: in place of the old one]",
)
def mix(
    directory: Root,
    *,
    almr: float | None,
    tokens: str | None,
    sequence_length: int | None,
    phases: tuple[str, ...],
    no_phases: bool,
    weights: Path | None,
    out: Root | None,
) -> None:
    """Mix the datasets of the build in DIRECTORY anew: other weights in about a second, no text touched.

    What is not given stays as it is in the build's mixture.json.

    \b
    mixer mix /data/mix --almr 0.40 --out /data/mix-40
    mixer mix /data/mix --sequence-length 8192 --tokens 100B --out /data/mix-8k
    mixer mix /data/mix --phase 100B:0.1 --phase 1.5T:0.33 --phase 100B:0.5 --out /data/mix-phases
    """  # noqa: D301 (click wants the character itself)
    from mixer.mixture.weightfile import read_weights
    from mixer.remix import remix
    from mixer.screens.mixtures import show_mixed

    given: dict[str, Any] = {"almr": almr, "tokens": tokens, "sequence_length": sequence_length}
    changes = {key: value for key, value in given.items() if value is not None}
    if weights is not None:
        changes |= {"strategy": "weights", "temperature": None, "weights": read_weights(weights)}
    if phases and no_phases:
        raise UsageError("--phase and --no-phases exclude each other", "give one of them")
    if phases or no_phases:
        parts = [phase.partition(":") for phase in phases]
        changes["phases"] = [{"tokens": amount, **({"almr": ratio} if colon else {})} for amount, colon, ratio in parts]
    show_mixed(remix(directory, changes, out))


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=LOCAL_BUILD)
@click.option("--almr", required=True, metavar="VALUES", help="Ratios: first:last:step, or a list such as 0.1,0.33.")
@click.option("--lr", required=True, metavar="VALUES", help="Learning rates: a list such as 1e-7,5e-8.")
@click.option("--tokens", help="Training tokens of every run, such as 100B. [default: the build's]")
@click.option(
    "--sequence-length", type=click.IntRange(min=1), help="Tokens in one training sample. [default: the build's]"
)
@click.option(
    "--out",
    type=LOCAL_BUILD,
    help="Where the sweep shall stand. [default: DIRECTORY-sweep]",
)
def sweep(
    directory: Path, *, almr: str, lr: str, tokens: str | None, sequence_length: int | None, out: Path | None
) -> None:
    """Make trial runs over ratio and learning rate of the build in DIRECTORY: a directory each, and a table of results.

    Ratios that are infeasible are left out, and listed. The same command goes on where it stopped; with more values it
    adds runs.

    \b
    mixer sweep /data/mix --almr 0.1:0.9:0.1 --lr 1e-7,5e-8,1e-8,5e-9 --tokens 100B
    """  # noqa: D301
    from mixer.screens.sweeps import show_sweep
    from mixer.sweep import grid
    from mixer.sweep import sweep as make_sweep

    where = out or directory.resolve().with_name(f"{directory.resolve().name}-sweep")
    show_sweep(make_sweep(directory, grid(almr, "--almr"), grid(lr, "--lr"), where, tokens, sequence_length))


@click.command(epilog=EXIT_CODES)
@click.argument("runs", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--metric", "metrics", multiple=True, help="Use only this metric. [default: every column not known]")
@click.option("--lower", multiple=True, metavar="METRIC", help="A metric of which a lower value is better.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="For pictures. [default: RUNS-frontier]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the resamples.")
@click.option("--tokens", type=click.FloatRange(min=0, min_open=True), help="Ask the laws about this many tokens.")
@click.option("--parameters", type=click.FloatRange(min=0, min_open=True), help="Ask the laws about this model size.")
@click.option("--base-loss", type=click.FloatRange(min=0, min_open=True), help="General loss before training.")
@click.option("--paper", is_flag=True, help="Show the published frontiers of Llama-3 8B and where they cross.")
def frontier(
    runs: Path | None,
    *,
    metrics: tuple[str, ...],
    lower: tuple[str, ...],
    out: Path | None,
    seed: int,
    tokens: float | None,
    parameters: float | None,
    base_loss: float | None,
    paper: bool,
) -> None:
    """Recommend an ALMR and a learning rate from the results of trial runs in the CSV file RUNS.

    Its columns are almr, lr, loss and any number of metrics. With tokens, general_loss and domain_loss (and parameters,
    if they differ) the D-CPT and CMR laws say what they recommend.

    \b
    mixer frontier runs.csv --lower perplexity
    mixer frontier runs.csv --tokens 1.7e12 --parameters 8e9 --base-loss 1.92
    mixer frontier --paper
    """  # noqa: D301
    from mixer.screens import frontiers

    if paper == (runs is not None):
        raise UsageError("give either a CSV file of runs or --paper", "mixer frontier --help shows both")
    if runs is None:
        frontiers.show_paper()
        return
    from mixer.mixture.frontier.choice import choose, collect
    from mixer.mixture.frontier.laws import Target, ask
    from mixer.mixture.frontier.record import write_record
    from mixer.mixture.frontier.runs import read_runs
    from mixer.report import can_draw
    from mixer.report.contours import draw_contours

    results = read_runs(runs, metrics, lower)
    found = choose(collect(results), seed)
    asked = ask(results, Target(tokens, parameters, base_loss))
    folder = out or runs.with_name(f"{runs.stem}-frontier")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "frontier.json"]
    write_record(files[0], results, found, asked)
    note = "" if can_draw() else "pictures need matplotlib: pip install 'mixer[report]'"
    files += [] if note else draw_contours(found, folder)
    frontiers.show_frontier(results, found, asked, files, note)
