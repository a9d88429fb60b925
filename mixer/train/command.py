"""The commands of ``mixer train``: parse and call. torch is imported only once a command runs."""

from pathlib import Path
from typing import Any

import click

from mixer.commands import EXIT_CODES
from mixer.train import options
from mixer.train.options import quietly

train = options.train


@quietly()
def _cpt(**given: Any) -> None:
    from mixer.train import cpt

    cpt.start(**given)


@quietly()
def _sft(**given: Any) -> None:
    from mixer.train import sft

    sft.start(**given)


@quietly()
def _dpo(**given: Any) -> None:
    from mixer.train import dpo

    dpo.start(**given)


train.add_command(options.cpt(_cpt))
train.add_command(options.sft(_sft))
train.add_command(options.dpo(_dpo))


@train.command("import", epilog=EXIT_CODES)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@quietly()
def import_folder(folder: Path, out: Path) -> None:
    """Make a checkpoint OUT, for any parallel layout, of the Llama in Hugging Face's format in FOLDER."""
    from mixer.train import convert

    convert.import_folder(folder, out)


@train.command("export", epilog=EXIT_CODES)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--tokenizer", help="As in a recipe: `llama3`, or a path. [default: that of the checkpoint]")
@quietly()
def export_checkpoint(checkpoint: Path, out: Path, tokenizer: str | None) -> None:
    """Write CHECKPOINT, or the newest of a run's directory, to OUT in Hugging Face's format, with its tokenizer."""
    from mixer.train import convert

    convert.export_checkpoint(checkpoint, out, tokenizer)
