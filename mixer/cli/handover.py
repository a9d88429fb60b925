"""Commands for what comes after a build: report, attribution, export."""

from pathlib import Path

import click

from mixer import storage
from mixer.commands import BUILD, EXIT_CODES, LOCAL_BUILD
from mixer.storage import Root, is_local


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=BUILD)
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
def report(directory: Root, *, out: Path | None, samples: int, seed: int, frontier: Path | None) -> None:
    """Write the page about the finished build in DIRECTORY: one HTML file that needs nothing else.

    `mixer build` leaves it as report.html. Pictures need the extra `report`; without it there are tables alone.
    """
    from mixer.report import NAME
    from mixer.report.page import report as page

    where = out or directory / NAME
    _write(page(directory, samples, seed, frontier), where)
    click.echo(f"written: {where}")


@click.command(epilog=EXIT_CODES)
@click.argument("directory", type=BUILD)
@click.option("--documents", type=BUILD, help="The build that holds the documents of a mixture made of it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write. [default: the screen]")
def attribution(directory: Root, *, documents: Root | None, out: Path | None) -> None:
    """Write a page for the model card: sources, licences and token shares of the mixture in DIRECTORY, in Markdown.

    Licences are what documents carry in a column such as `licence`: name it in `metadata` of a source.
    """
    from mixer.attribution import attribution as page

    _write(page(directory, documents), out)


@click.command("export", epilog=EXIT_CODES)
@click.argument("directory", type=LOCAL_BUILD)
@click.option("--to", "target", required=True, help="nemo, torchtitan, nanotron or llamafactory.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Where to. [default: export/TARGET in DIRECTORY]"
)
@click.option("--documents", type=LOCAL_BUILD, help="The build that holds the documents of a mixture made of it.")
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


def _write(text: str, out: Root | None) -> None:
    """Write a text to a file, or to the screen."""
    if out is None:
        click.echo(text, nl=False)
        return
    if not is_local(out):
        storage.write(out, text.encode())
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8", newline="\n")
