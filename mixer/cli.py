"""The command line: parse, call, print. Every error a user can meet is shown here, with its exit code."""

import errno
import os
from pathlib import Path
from typing import Any

import click

from mixer import __version__
from mixer.errors import MixerError, UsageError

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage, recipe or directory; 3 the mixture is infeasible; 4 a promise is "
    "broken; 130 interrupted."
)


class _Group(click.Group):
    """Commands whose errors are shown without a traceback; anything else is a bug and keeps it."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MixerError as error:
            click.secho(f"error: {error.message}", fg="red", err=True)
            if error.remedy:
                click.echo(f"  remedy: {error.remedy}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno not in NOT_ALLOWED:
                raise
            click.secho(f"error: {error.filename}: {error.strerror}", fg="red", err=True)
            click.echo("  remedy: change the owner or mode of that file or folder, or use another directory", err=True)
            ctx.exit(UsageError.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted: the same command goes on where this one stopped", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=_Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="mixer")
def main() -> None:
    """Prepare corpora for continual pre-training and mix them by an exact additional-language ratio."""


@main.command(epilog=EXIT_CODES)
@click.argument("recipe", default="quickstart")
@click.option("--almr", type=float, help="Share of training tokens in the additional language, 0 to 1.")
@click.option("--tokens", help="Training tokens, such as 1.7T or 100B; `max`: all that the caps on epochs allow.")
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
    from mixer import summary
    from mixer.build import build as build_mixture
    from mixer.engine.display import make_display
    from mixer.plan import plan
    from mixer.recipe import load_recipe

    shorthands = {"mixture.almr": almr, "mixture.tokens": tokens, "tokenizer": tokenizer}
    given = [f"{key}={value}" for key, value in shorthands.items() if value is not None]
    loaded = load_recipe(recipe, [*given, *overrides])
    planned = plan(loaded, limit)
    out = out or Path(loaded.recipe.name)
    if dry_run:
        summary.show_plan(planned, out)
        return
    result = build_mixture(planned, out, workers or len(os.sched_getaffinity(0)), make_display())
    summary.show_result(result)


@main.command(epilog=EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--rehash/--no-rehash", default=True, help="Read every file again and compare its hash.")
@click.option("--workers", type=click.IntRange(min=1), help="Files hashed at once. [default: the cores there are]")
def verify(directory: Path, *, rehash: bool, workers: int | None) -> None:
    """Prove that the build in DIRECTORY holds what its mixture.json says.

    Hashes every file, reads every index, and replays Megatron's blending for the whole run. Exit code 4 and a list
    of what is broken otherwise.
    """
    from mixer import summary
    from mixer.mixture.verify import verify as verify_build

    report = verify_build(directory, rehash=rehash, workers=workers or len(os.sched_getaffinity(0)))
    summary.show_verification(report)


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
    from mixer.summary import size

    click.echo(f"freed {size(clean_build(directory))}")


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
