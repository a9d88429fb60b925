"""Commands that build a mixture and keep it: build, plan, verify, relocate, clean."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixer.commands import BUILD, EXIT_CODES
from mixer.errors import UsageError
from mixer.storage import Root

if TYPE_CHECKING:
    from mixer.recipe import Recipe


@click.command(epilog=EXIT_CODES)
@click.argument("recipe", default="quickstart")
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON or CSV of source and weight: the preferred shares, in place of sizes.",
)
@click.option("--out", type=BUILD, help="Build directory, or s3://BUCKET/PREFIX. [default: ./NAME]")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at once. [default: the cores there are]")
@click.option("--tokenizer", help="`llama3`, or a path to a tokenizer.json or a tiktoken vocabulary.")
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N documents of each source.")
@click.option(
    "--engine",
    type=click.Choice(["local", "slurm", "ray"]),
    help="Where tasks run: this machine, or a cluster. [default: `engine.kind` of the recipe, local]",
)
@click.option(
    "--here", is_flag=True, help="With Slurm: drive the build from this process, not from a job; it must stay."
)
@click.option("--dry-run", is_flag=True, help="Show sources, files, sizes, tasks and disk needed; write nothing.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe.")
@click.pass_context
def build(
    context: click.Context,
    recipe: str,
    *,
    almr: float | None,
    tokens: str | None,
    weights: Path | None,
    out: Root | None,
    workers: int | None,
    tokenizer: str | None,
    limit: int | None,
    engine: str | None,
    here: bool,
    dry_run: bool,
    overrides: tuple[str, ...],
) -> None:
    """Build RECIPE (a packaged name or a YAML file): raw corpora in, a Megatron mixture out.

    Run again after any interruption, the same command goes on where it stopped; with another --almr, --tokens or
    sequence length only the mixture is made anew. With --limit it is a trial: mixed in shorter sequences if the few
    documents fill no others.

    On a cluster (docs/cluster.md) tasks are jobs of Slurm or tasks of Ray. With Slurm the build drives itself from a
    job, too: Ctrl-C only leaves it, `mixer status DIR` says how far it is, `mixer stop DIR` stops it, and the same
    command follows it again.

    \b
    mixer build --almr 0.33
    mixer build my.yaml --almr 0.33 --tokens 1.7T --out /data/mix
    mixer build my.yaml --engine slurm --set engine.slurm.partition=cpu
    mixer build my.yaml --limit 1000 --set mixture.seed=7 --set sources.dolma.max_epochs=2
    """  # noqa: D301 (click wants the character itself)
    import json

    from mixer.build import build as build_mixture
    from mixer.engine.display import make_display
    from mixer.loading import load_recipe
    from mixer.plan import plan
    from mixer.screens import builds

    shorthands = {"mixture.almr": almr, "mixture.tokens": tokens, "tokenizer": tokenizer, "engine.kind": engine}
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
        builds.show_plan(planned, out)
        return
    if loaded.recipe.engine.kind == "slurm" and not here:
        context.exit(_drive(loaded.recipe, out, recipe, limit, [*given, *overrides]))
    result = build_mixture(planned, out, workers or len(os.sched_getaffinity(0)), make_display())
    builds.show_result(result)


def _drive(recipe: "Recipe", out: Root, name: str, limit: int | None, overrides: list[str]) -> int:
    """Have a job of Slurm's run this command, and follow it; return its exit code."""
    from mixer.directory import claim
    from mixer.engine.driver import drive
    from mixer.engine.slurm import SlurmSite

    claim(out, recipe.name)
    SlurmSite(out.absolute(), recipe.engine).check()
    command = ["-m", "mixer.cli", "build", name, "--here", "--out", str(out.absolute())]
    if limit:
        command += ["--limit", str(limit)]
    command += [word for override in overrides for word in ("--set", override)]

    def results(text: str) -> None:
        click.echo(text, nl=False)

    def messages(text: str) -> None:
        click.echo(text, nl=False, err=True)

    return drive(out, recipe.engine.slurm, command, results, messages)


@click.command("plan", epilog=EXIT_CODES)
@click.argument("recipe")
@click.option(
    "--counts",
    type=BUILD,
    help="JSON of what there is of each source, or a finished build. [default: NAME.counts.json beside the recipe]",
)
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
@click.option("--sequence-length", type=int, help="Tokens in one training sample.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe.")
def plan_mixture(
    recipe: str,
    *,
    counts: Root | None,
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
    from mixer.loading import load_recipe, recipe_path
    from mixer.planning.counts import beside, read_counts
    from mixer.planning.forecast import forecast
    from mixer.screens.plans import show_forecast

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


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=BUILD)
@click.option("--rehash/--no-rehash", default=True, help="Read every file again and compare its hash.")
@click.option("--workers", type=click.IntRange(min=1), help="Files hashed at once. [default: the cores there are]")
def verify(directory: Root, *, rehash: bool, workers: int | None) -> None:
    """Prove that the build in DIRECTORY holds what its mixture.json says.

    Hashes every file, reads every index, and replays Megatron's blending for the whole run. Exit code 4 and a list
    of what is broken otherwise.
    """
    from mixer.cli.extensions import spare_extensions
    from mixer.mixture.verify import verify as verify_build
    from mixer.screens.proofs import show_verification

    spare_extensions()
    report = verify_build(directory, rehash=rehash, workers=workers or len(os.sched_getaffinity(0)))
    show_verification(report)


@click.command()
@click.argument("directory", type=BUILD)
@click.option(
    "--root", type=BUILD, help="Where the build will stand, or s3://BUCKET/PREFIX. [default: where it stands]"
)
def relocate(directory: Root, *, root: Root | None) -> None:
    """Rewrite the absolute paths in megatron/ after the build in DIRECTORY was moved."""
    from mixer.mixture.export import relocate as relocate_build

    click.echo(f"paths now start from {relocate_build(directory, root)}")


@click.command()
@click.argument("directory", type=BUILD)
def clean(directory: Root) -> None:
    """Remove scratch files (run/, and shards of earlier mixtures) from the finished build in DIRECTORY."""
    from mixer.directory import clean as clean_build
    from mixer.screens.tables import size

    click.echo(f"freed {size(clean_build(directory))}")
