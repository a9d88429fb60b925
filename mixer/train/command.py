"""The commands of ``mixer train``: parse and call. torch is imported only once a command runs."""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import click

from mixer.commands import EXIT_CODES, ShownGroup
from mixer.errors import UsageError


@click.group(cls=ShownGroup, epilog=EXIT_CODES)
def train() -> None:
    """Train on a finished mixture, through megatron-core (needs the extra `train`)."""
    for package in ("torch", "megatron", "psutil", "safetensors"):  # without psutil megatron-core hangs as it saves
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"training needs the package {package}, which is missing", "pip install 'mixer[train]'")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep other packages' warnings to themselves: a page of what may be missing, or will be renamed one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@train.command(epilog=EXIT_CODES)
@click.argument("mixture", type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="`llama3-8b`, `llama3-70b`, `llama3.1-8b`, `llama3.1-70b`, or `tiny`, which runs anywhere.",
)
@click.option(
    "--lr", required=True, type=float, help="Highest learning rate; the paper's is 1e-9 for 8B, 1e-10 for 70B."
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Weights to begin from: a checkpoint, a run's directory, or a Hugging Face folder.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Directory of the run. [default: MIXTURE-cpt]"
)
@click.option("--steps", type=click.IntRange(min=1), help="Length of the run. [default: the whole mixture]")
@click.option("--stop-at", type=click.IntRange(min=1), help="Save and stop after this step; the same command goes on.")
@click.option("--tp", type=click.IntRange(min=1), help="Tensor parallel size.")
@click.option("--pp", type=click.IntRange(min=1), help="Pipeline parallel size.")
@click.option("--micro-batch", type=click.IntRange(min=1), help="Samples that a process takes at once.")
@click.option("--global-batch", type=click.IntRange(min=1), help="Samples of a step.")
@click.option("--schedule", type=click.Choice(["linear", "cosine", "constant"]), help="How the learning rate falls.")
@click.option("--min-lr", type=float, help="Learning rate at the end. [default: 0]")
@click.option("--warmup", type=click.IntRange(min=0), help="Steps over which it rises first. [default: 0]")
@click.option("--weight-decay", type=float, help="Of AdamW. [default: 0.01]")
@click.option("--clip", type=float, help="Longest gradient; 0: any. [default: 1]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), help="[default: bfloat16; float32 on a CPU]")
@click.option("--seed", type=click.IntRange(min=0), help="Of the order inside each dataset. [default: the mixture's]")
@click.option(
    "--distributed-optimizer/--no-distributed-optimizer", default=None, help="Share its state out. [default: yes]"
)
@click.option("--save-every", type=click.IntRange(min=1), help="Steps between checkpoints. [default: 1000]")
@click.option("--valid-every", type=click.IntRange(min=1), help="Steps between validations. [default: 100]")
@click.option(
    "--valid-samples", type=click.IntRange(min=0), help="Samples of each validation set. [default: 64; 4 on a CPU]"
)
@click.option("--sequence-length", type=int, help="Refuse a mixture of another one.")
@click.option("--rehash", is_flag=True, help="Read every token file and compare its hash before training.")
def cpt(
    mixture: Path,
    *,
    model: str,
    init: Path | None,
    out: Path | None,
    stop_at: int | None,
    sequence_length: int | None,
    rehash: bool,
    **given: object,
) -> None:
    """Continue pre-training on the build in MIXTURE, by exactly its weights.

    The same command goes on where an interrupted run stopped. It refuses (exit code 4) a build whose files, weights,
    tokenizer or sequence length are not what mixture.json and the model say, and a run longer than the caps on epochs.

    \b
    mixer train cpt quickstart --model tiny --lr 1e-3 --steps 20
    torchrun --nproc-per-node 8 -m mixer.train.cpt /data/mix --model llama3-8b --lr 1e-9 --init /data/llama3-8b
    """  # noqa: D301
    with _quietly():
        from mixer.train import cpt as training

        settings = training.settings_of(mixture, model, dict(given))
        out = out or Path(f"{mixture.resolve().name}-cpt")
        training.run(training.Run(mixture, out, init, stop_at, sequence_length, rehash), settings)


@train.command("import", epilog=EXIT_CODES)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def import_folder(folder: Path, out: Path) -> None:
    """Make a checkpoint OUT, for any parallel layout, of the Llama in Hugging Face's format in FOLDER."""
    with _quietly():
        from mixer.train import convert

        convert.import_folder(folder, out)


@train.command("export", epilog=EXIT_CODES)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--tokenizer", help="As in a recipe: `llama3`, or a path. [default: that of the checkpoint]")
def export_checkpoint(checkpoint: Path, out: Path, tokenizer: str | None) -> None:
    """Write CHECKPOINT, or the newest of a run's directory, to OUT in Hugging Face's format, with its tokenizer."""
    with _quietly():
        from mixer.train import convert

        convert.export_checkpoint(checkpoint, out, tokenizer)
