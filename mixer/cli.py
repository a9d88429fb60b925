"""The command line: parse, call, print. ``commands`` shows the errors, with their exit codes."""

import atexit
import gc
import os
from pathlib import Path
from typing import Any

import click

from mixer import __version__
from mixer.commands import EXIT_CODES, ShownGroup
from mixer.errors import UsageError
from mixer.train.command import train

EXCERPT = 600  # characters of a document that `inspect` shows


def _spare_extensions() -> None:
    """Keep Numba from loading what other packages add to it, of which nothing is used: half a second, and 45 MB."""
    from numba.core import entrypoints

    entrypoints._already_initialized = True


@click.group(
    cls=ShownGroup,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mixer")
def main() -> None:
    """Prepare corpora for continual pre-training and mix them by an exact additional-language ratio."""
    # On its way out Python would look at every imported object once more, for 0.3 s.
    atexit.register(gc.freeze)


main.add_command(train)


@main.command(epilog=EXIT_CODES)
@click.argument("recipe", default="quickstart")
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON or CSV of source and weight: the preferred shares, in place of sizes.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Build directory. [default: ./NAME]")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at once. [default: the cores there are]")
@click.option("--tokenizer", help="`llama3`, or a path to a tokenizer.json or a tiktoken vocabulary.")
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N documents of each source.")
@click.option("--dry-run", is_flag=True, help="Show sources, files, sizes, tasks and disk needed; write nothing.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe.")
def build(
    recipe: str,
    *,
    almr: float | None,
    tokens: str | None,
    weights: Path | None,
    out: Path | None,
    workers: int | None,
    tokenizer: str | None,
    limit: int | None,
    dry_run: bool,
    overrides: tuple[str, ...],
) -> None:
    """Build RECIPE (a packaged name or a YAML file): raw corpora in, a Megatron mixture out.

    Run again after any interruption, the same command goes on where it stopped; with another --almr, --tokens or
    sequence length only the mixture is made anew. With --limit it is a trial: mixed in shorter sequences if the few
    documents fill no others.

    \b
    mixer build --almr 0.33
    mixer build my.yaml --almr 0.33 --tokens 1.7T --out /data/mix
    mixer build my.yaml --limit 1000 --set mixture.seed=7 --set sources.dolma.max_epochs=2
    """  # noqa: D301 (click wants the character itself)
    import json

    from mixer import summary
    from mixer.build import build as build_mixture
    from mixer.engine.display import make_display
    from mixer.plan import plan
    from mixer.recipe import load_recipe

    shorthands = {"mixture.almr": almr, "mixture.tokens": tokens, "tokenizer": tokenizer}
    given = [f"{key}={value}" for key, value in shorthands.items() if value is not None]
    if weights is not None:
        given += [
            "mixture.strategy=weights",
            "mixture.temperature=null",
            f"mixture.weights={json.dumps(str(weights.resolve()))}",
        ]
    loaded = load_recipe(recipe, [*given, *overrides])
    planned = plan(loaded, limit)
    out = out or Path(loaded.recipe.name)
    if dry_run:
        summary.show_plan(planned, out)
        return
    result = build_mixture(planned, out, workers or len(os.sched_getaffinity(0)), make_display())
    summary.show_result(result)


@main.command("plan", epilog=EXIT_CODES)
@click.argument("recipe")
@click.option(
    "--counts",
    type=click.Path(path_type=Path, exists=True),
    help="JSON of what there is of each source, or a finished build. [default: NAME.counts.json beside the recipe]",
)
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
@click.option("--sequence-length", type=int, help="Tokens in one training sample.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe.")
def plan_mixture(
    recipe: str,
    *,
    counts: Path | None,
    almr: float | None,
    tokens: str | None,
    sequence_length: int | None,
    overrides: tuple[str, ...],
) -> None:
    """Plan the whole mixture of RECIPE from token counts alone: weights, epochs, core-hours, disk, memory.

    No file of the recipe has to be there. The answer is that of a build with these counts, and so are the remedies
    where nothing will do.

    \b
    mixer plan llama3-zh
    mixer plan llama3-zh --almr 0.5 --tokens 3T
    mixer plan my.yaml --counts counts.json --set mixture.max_epochs=2
    """  # noqa: D301
    from mixer.planned import show_forecast
    from mixer.planning.counts import beside, read_counts
    from mixer.planning.forecast import forecast
    from mixer.recipe import load_recipe, recipe_path

    shorthands = {"mixture.almr": almr, "mixture.tokens": tokens, "mixture.sequence_length": sequence_length}
    given = [f"{key}={value}" for key, value in shorthands.items() if value is not None]
    loaded = load_recipe(recipe, [*given, *overrides])
    found = counts or beside(recipe_path(recipe))
    if found is None:
        raise UsageError(
            f"there are no counts beside the recipe {recipe}",
            "give --counts FILE; docs/plan.md explains the format, and `--counts DIR` takes them from a finished build",
        )
    show_forecast(forecast(loaded, found, read_counts(found, loaded.recipe)))


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
@click.option("--sequence-length", type=int, help="Tokens in one training sample.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON or CSV of source and weight: the preferred shares.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the new mixture shall stand, with links to the datasets. [default: in place of the old one]",
)
def mix(
    directory: Path,
    *,
    almr: float | None,
    tokens: str | None,
    sequence_length: int | None,
    weights: Path | None,
    out: Path | None,
) -> None:
    """Mix the datasets of the build in DIRECTORY anew: other weights in about a second, no text touched.

    What is not given stays as it is in the build's mixture.json.

    \b
    mixer mix /data/mix --almr 0.40 --out /data/mix-40
    mixer mix /data/mix --sequence-length 8192 --tokens 100B --out /data/mix-8k
    """  # noqa: D301 (click wants the character itself)
    from mixer.mixed import show_mixed
    from mixer.mixture.weightfile import read_weights
    from mixer.remix import remix

    given: dict[str, Any] = {"almr": almr, "tokens": tokens, "sequence_length": sequence_length}
    changes = {key: value for key, value in given.items() if value is not None}
    if weights is not None:
        changes |= {"strategy": "weights", "temperature": None, "weights": read_weights(weights)}
    show_mixed(remix(directory, changes, out))


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--almr", required=True, metavar="VALUES", help="Ratios: first:last:step, or a list such as 0.1,0.33.")
@click.option("--lr", required=True, metavar="VALUES", help="Learning rates: a list such as 1e-7,5e-8.")
@click.option("--tokens", help="Training tokens of every run, such as 100B. [default: the build's]")
@click.option(
    "--sequence-length", type=click.IntRange(min=1), help="Tokens in one training sample. [default: the build's]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
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
    from mixer.sweep import grid
    from mixer.sweep import sweep as make_sweep
    from mixer.swept import show_sweep

    where = out or directory.resolve().with_name(f"{directory.resolve().name}-sweep")
    show_sweep(make_sweep(directory, grid(almr, "--almr"), grid(lr, "--lr"), where, tokens, sequence_length))


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--rehash/--no-rehash", default=True, help="Read every file again and compare its hash.")
@click.option("--workers", type=click.IntRange(min=1), help="Files hashed at once. [default: the cores there are]")
def verify(directory: Path, *, rehash: bool, workers: int | None) -> None:
    """Prove that the build in DIRECTORY holds what its mixture.json says.

    Hashes every file, reads every index, and replays Megatron's blending for the whole run. Exit code 4 and a list
    of what is broken otherwise.
    """
    from mixer.mixture.verify import verify as verify_build
    from mixer.verified import show_verification

    _spare_extensions()
    report = verify_build(directory, rehash=rehash, workers=workers or len(os.sched_getaffinity(0)))
    show_verification(report)


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--step", type=click.IntRange(min=1), required=True, help="The iteration, as Megatron's log counts.")
@click.option(
    "--sample", type=click.IntRange(min=0), help="Only this sample of its batch, from 0, with whole documents."
)
@click.option("--seed", type=click.IntRange(min=0), help="Megatron's --seed. [default: of args.txt, else 1234]")
@click.option(
    "--documents", type=click.Path(path_type=Path), help="The build that holds the documents of a mixture made of it."
)
@click.option("--full", is_flag=True, help="Show whole texts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: a line for each document that a sample reads.")
def locate(
    directory: Path,
    *,
    step: int,
    sample: int | None,
    seed: int | None,
    documents: Path | None,
    full: bool,
    as_json: bool,
) -> None:
    """Show which documents a training step on the build in DIRECTORY reads: dataset, tokens, id, url, licence, text.

    Megatron's order is made again, so that nothing but the build is needed.

    \b
    mixer locate /data/mix --step 120000
    mixer locate /data/mix --step 120000 --sample 17 --full
    mixer locate /data/mix --step 120000 --json > step.jsonl
    """  # noqa: D301 (click wants the character itself)
    from mixer import located
    from mixer.locate import locate as locate_step

    found = locate_step(directory, step, sample, seed, documents)
    if as_json:
        click.echo(located.lines(found), nl=False)
    else:
        located.show_located(found, None if full else EXCERPT, whole=full or sample is not None)


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--documents", type=click.Path(path_type=Path), help="The build that holds the documents of a mixture made of it."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write. [default: the screen]")
def attribution(directory: Path, *, documents: Path | None, out: Path | None) -> None:
    """Write a page for the model card: sources, licences and token shares of the mixture in DIRECTORY, in Markdown.

    Licences are what documents carry in a column such as `licence`: name it in `metadata` of a source.
    """
    from mixer.attribution import attribution as page

    _write(page(directory, documents), out)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--root", type=click.Path(path_type=Path), help="Where the build will stand. [default: where it stands]")
def relocate(directory: Path, *, root: Path | None) -> None:
    """Rewrite the absolute paths in megatron/ after the build in DIRECTORY was moved."""
    from mixer.mixture.export import relocate as relocate_build

    click.echo(f"paths now start from {relocate_build(directory, root)}")


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
def clean(directory: Path) -> None:
    """Remove scratch files (run/, and shards of earlier mixtures) from the finished build in DIRECTORY."""
    from mixer.directory import clean as clean_build
    from mixer.screen import size

    click.echo(f"freed {size(clean_build(directory))}")


@main.command()
@click.argument("names", nargs=-1)
@click.option(
    "--for", "place", metavar="DOMAIN/LANGUAGE", help="Only what holds there, such as web/en, with its value."
)
@click.option("--profile", "profiles", multiple=True, help="A published set in place of the defaults.")
@click.option("--markdown", is_flag=True, help="Print the page of documentation.")
def rules(names: tuple[str, ...], *, place: str | None, profiles: tuple[str, ...], markdown: bool) -> None:
    """Print the table of rules and edits: what each measures or changes, its thresholds and where they come from.

    NAMES are rules or families; all without any.

    \b
    mixer rules gopher chinese.han_share
    mixer rules --for web/zh
    mixer rules --for web/en --profile fineweb
    """  # noqa: D301
    from mixer import explain
    from mixer.filters.page import markdown as page
    from mixer.filters.query import checks_at, checks_named

    if markdown:
        click.echo(page(), nl=False)
    elif place or profiles:
        wanted = {check.name for check in checks_named(names)}
        explain.show_in_force([found for found in checks_at(place or "*/*", profiles) if found[0].name in wanted])
    else:
        explain.show_checks(checks_named(names))


@main.command("filter", epilog=EXIT_CODES)
@click.argument("files", nargs=-1, required=True)
@click.option("--domain", help="Kind of text. [default: web]")
@click.option("--language", help="A declared language, `auto` or `detect`. [default: auto]")
@click.option("--text", help="Field of the document, or a template. [default: text]")
@click.option("--profile", "profiles", multiple=True, help="A published set in place of the defaults.")
@click.option("--rule", "rules", multiple=True, metavar="NAME=VALUE", help="One rule or edit; `false` switches it off.")
@click.option("--recipe", help="Take everything else from a source of this recipe.")
@click.option("--source", help="The source of that recipe.")
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N documents.")
def filter_files(
    files: tuple[str, ...],
    *,
    domain: str | None,
    language: str | None,
    text: str | None,
    profiles: tuple[str, ...],
    rules: tuple[str, ...],
    recipe: str | None,
    source: str | None,
    limit: int | None,
) -> None:
    """Run the rules over FILES and print what each does: for tuning thresholds in seconds. Nothing is written.

    "objects" counts the documents that a rule objects to, "alone" those that no other rule objects to, "dropped"
    those for which it is the first; then quantiles of its statistic.

    \b
    mixer filter pages.jsonl.gz --domain web
    mixer filter *.parquet --text content --domain code --rule code.mean_line_length=120
    mixer filter crawl.jsonl --profile fineweb --limit 10000
    """  # noqa: D301
    from mixer import explain
    from mixer.filters.query import values
    from mixer.funnel import funnel, source_of
    from mixer.recipe import load_recipe

    if (recipe is None) != (source is None):
        raise UsageError("--recipe and --source go together", "name the recipe and one of its sources, or neither")
    options = {"domain": domain, "language": language, "text": text}
    given = {key: value for key, value in options.items() if value is not None}
    filters = {**({"profile": list(profiles)} if profiles else {}), **values(rules)}
    paths = [str(Path(file).absolute()) for file in files]
    loaded = load_recipe(recipe) if recipe else None
    like = (loaded.recipe, loaded.recipe.source(source)) if loaded and source else (None, None)
    made, chosen = source_of(paths, given, filters, *like)
    explain.show_funnel(funnel(made, chosen, loaded.root if loaded else Path.cwd(), limit))


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--source", help="Only documents of this source.")
@click.option("--language", help="Only documents labelled with this language.")
@click.option(
    "--rule", help="Only documents dropped for this rule, family or other reason; with --kept, nearest to it."
)
@click.option("--kept/--dropped", default=None, help="Only documents that were kept, or dropped.")
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(min=1), help="Documents shown.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Draws other documents.")
@click.option("--full", is_flag=True, help="Show whole texts.")
@click.option("--what-if", "changes", multiple=True, metavar="NAME=VALUE", help="Another threshold, or false.")
def inspect(
    directory: Path,
    *,
    source: str | None,
    language: str | None,
    rule: str | None,
    kept: bool | None,
    count: int,
    seed: int,
    full: bool,
    changes: tuple[str, ...],
) -> None:
    """Show documents of the finished build in DIRECTORY, with the statistic that decided and its threshold.

    With --what-if it shows instead what another threshold would change, from the stored statistics.

    \b
    mixer inspect quickstart --dropped -n 3
    mixer inspect quickstart --rule gopher.alphabetic_words --kept
    mixer inspect quickstart --what-if gopher.alphabetic_words=0.8 --what-if chinese.han_share=false
    """  # noqa: D301
    from mixer import explain
    from mixer.filters.query import thresholds
    from mixer.inspection.finished import Wanted
    from mixer.inspection.specimens import inspect as draw
    from mixer.inspection.what_if import what_if

    wanted = Wanted(source, language, rule, kept)
    if changes and rule is not None:
        raise UsageError("--what-if decides about all documents again, so --rule cannot choose some", "leave one out")
    if changes:
        explain.show_changes(what_if(directory, wanted, thresholds(changes)), directory)
        return
    explain.show_specimens(draw(directory, wanted, count, seed), None if full else EXCERPT)


@main.command(epilog=EXIT_CODES)
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
    from mixer import advice

    if paper == (runs is not None):
        raise UsageError("give either a CSV file of runs or --paper", "mixer frontier --help shows both")
    if runs is None:
        advice.show_paper()
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
    advice.show_frontier(results, found, asked, files, note)


@main.command("export", epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--to", "target", required=True, help="nemo, torchtitan, nanotron or llamafactory.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Where to. [default: export/TARGET in DIRECTORY]"
)
@click.option(
    "--documents", type=click.Path(path_type=Path), help="The build that holds the documents of a mixture made of it."
)
def export_mixture(directory: Path, *, target: str, out: Path | None, documents: Path | None) -> None:
    """Hand the mixture in DIRECTORY to another trainer: its datasets and weights in the form that it reads.

    \b
    mixer export /data/mix --to nemo            # Megatron-Bridge, NeMo AutoModel
    mixer export /data/mix --to torchtitan
    mixer export /data/mix --to nanotron
    mixer export /data/mix --to llamafactory    # the documents, drawn so that tokens have their shares
    """  # noqa: D301
    from mixer.exports import export_to

    for path in export_to(target, directory, out, documents):
        click.echo(f"written: {path}")


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write. [default: report.html in DIRECTORY]"
)
@click.option(
    "--samples", default=2, show_default=True, type=click.IntRange(min=0), help="Documents for each reason and dataset."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Draws other documents.")
@click.option(
    "--frontier",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A picture of a fitted frontier (SVG or PNG) to show, too.",
)
def report(directory: Path, *, out: Path | None, samples: int, seed: int, frontier: Path | None) -> None:
    """Write the page about the finished build in DIRECTORY: one HTML file that needs nothing else.

    `mixer build` leaves it as report.html. Pictures need the extra `report`; without it there are tables alone.
    """
    from mixer.report import NAME
    from mixer.report.page import report as page

    out = out or directory / NAME
    _write(page(directory, samples, seed, frontier), out)
    click.echo(f"written: {out}")


def _write(text: str, out: Path | None) -> None:
    """Write a text to a file, or to the screen."""
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8", newline="\n")


@main.group()
def recipe() -> None:
    """List, show and check recipes."""


@recipe.command("list")
def list_recipes() -> None:
    """List the packaged recipes."""
    from mixer.recipe import packaged_recipes

    for name, title in packaged_recipes().items():
        click.echo(f"{name:12} {title}")


@recipe.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the recipe NAME as it is written, to start one's own from."""
    from mixer.recipe import recipe_path

    click.echo(recipe_path(name).read_text("utf-8"), nl=False)


@recipe.command()
@click.argument("file")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe.")
def check(file: str, *, overrides: tuple[str, ...]) -> None:
    """Check every key and value of the recipe FILE, and that its files are there."""
    from mixer import summary
    from mixer.plan import plan
    from mixer.recipe import load_recipe

    summary.show_plan(plan(load_recipe(file, overrides), limit=None), out=None)


@recipe.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors that complete and check YAML."""
    import json

    from mixer.recipe import Recipe

    click.echo(json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
