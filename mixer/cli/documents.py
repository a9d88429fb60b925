"""Commands about documents and rules: rules, filter, inspect, locate."""

from pathlib import Path

import click

from mixer.commands import BUILD, EXIT_CODES
from mixer.errors import UsageError
from mixer.storage import Root

EXCERPT = 600
"""Characters of a document that ``inspect`` shows."""


@click.command()
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
    from mixer.filters.page import markdown as page
    from mixer.filters.query import checks_at, checks_named
    from mixer.screens import filters

    if markdown:
        click.echo(page(), nl=False)
    elif place or profiles:
        wanted = {check.name for check in checks_named(names)}
        filters.show_in_force([found for found in checks_at(place or "*/*", profiles) if found[0].name in wanted])
    else:
        filters.show_checks(checks_named(names))


@click.command("filter", epilog=EXIT_CODES)
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
    from mixer.filters.query import values
    from mixer.funnel import funnel, source_of
    from mixer.loading import load_recipe
    from mixer.screens import filters

    if (recipe is None) != (source is None):
        raise UsageError("--recipe and --source go together", "name the recipe and one of its sources, or neither")
    options = {"domain": domain, "language": language, "text": text}
    given = {key: value for key, value in options.items() if value is not None}
    asked = {**({"profile": list(profiles)} if profiles else {}), **values(rules)}
    paths = [str(Path(file).absolute()) for file in files]
    loaded = load_recipe(recipe) if recipe else None
    like = (loaded.recipe, loaded.recipe.source(source)) if loaded and source else (None, None)
    made, chosen = source_of(paths, given, asked, *like)
    filters.show_funnel(funnel(made, chosen, loaded.root if loaded else Path.cwd(), limit))


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=BUILD)
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
    directory: Root,
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
    from mixer.filters.query import thresholds
    from mixer.inspection.finished import Wanted
    from mixer.inspection.specimens import inspect as draw
    from mixer.inspection.what_if import what_if
    from mixer.screens import filters

    wanted = Wanted(source, language, rule, kept)
    if changes and rule is not None:
        raise UsageError("--what-if decides about all documents again, so --rule cannot choose some", "leave one out")
    if changes:
        filters.show_changes(what_if(directory, wanted, thresholds(changes)), directory)
        return
    filters.show_specimens(draw(directory, wanted, count, seed), None if full else EXCERPT)


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=BUILD)
@click.option("--step", type=click.IntRange(min=1), required=True, help="The iteration, as Megatron's log counts.")
@click.option(
    "--sample", type=click.IntRange(min=0), help="Only this sample of its batch, from 0, with whole documents."
)
@click.option("--seed", type=click.IntRange(min=0), help="Megatron's --seed. [default: of args.txt, else 1234]")
@click.option("--documents", type=BUILD, help="The build that holds the documents of a mixture made of it.")
@click.option("--full", is_flag=True, help="Show whole texts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: a line for each document that a sample reads.")
def locate(
    directory: Root,
    *,
    step: int,
    sample: int | None,
    seed: int | None,
    documents: Root | None,
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
    from mixer.locate import locate as locate_step
    from mixer.screens import locating

    found = locate_step(directory, step, sample, seed, documents)
    if as_json:
        click.echo(locating.lines(found), nl=False)
    else:
        locating.show_located(found, None if full else EXCERPT, whole=full or sample is not None)
