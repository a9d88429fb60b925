"""What the commands of ``mixer train`` take. No torch: each command is given what it calls.

``command`` gives them functions that import the training once it begins; ``torchrun -m mixer.train.cpt`` (or ``sft`` or
``dpo``) gives the one command its own (``run_as_program``).
"""

import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from mixer.commands import EXIT_CODES, LOCAL_BUILD, ShownGroup
from mixer.errors import UsageError

Start = Callable[..., None]
F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=ShownGroup, epilog=EXIT_CODES)
def train() -> None:
    """Train on a finished mixture, through megatron-core (needs the extra `train`)."""
    for package in ("torch", "megatron", "psutil", "safetensors"):  # without psutil megatron-core hangs as it saves
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"training needs the package {package}, which is missing", "pip install 'mixer[train]'")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep other packages' warnings to themselves: a page of what may be missing, or will be renamed one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run_as_program(command: click.Command) -> None:
    """Run the command of a module that was started by its name, with the arguments that it was given."""
    # megatron-core starts a process to save, which would import the module, and so all of it, once more.
    main = sys.modules["__main__"]
    main.__spec__ = None
    del main.__file__
    train.add_command(command)
    with quietly():
        train([str(command.name), *sys.argv[1:]], prog_name="mixer train")


def _run_options(*, lr: str, out: str, steps: str, micro: str, weight_decay: str) -> Callable[[F], F]:
    """Return the options that every kind of training has, with what differs in their help."""
    options = [
        click.option(
            "--model",
            required=True,
            metavar="NAME",
            help="`llama3-8b`, `llama3-70b`, `llama3.1-8b`, `llama3.1-70b`, or `tiny`, which runs anywhere.",
        ),
        click.option("--lr", required=True, type=float, help=f"Highest learning rate{lr}."),
        click.option(
            "--init",
            type=click.Path(path_type=Path),
            help="Weights to begin from: a checkpoint, a run's directory, or a Hugging Face folder.",
        ),
        click.option(
            "--out", type=click.Path(path_type=Path, file_okay=False), help=f"Directory of the run. [default: {out}]"
        ),
        click.option("--steps", type=click.IntRange(min=1), help=f"Length of the run. [default: {steps}]"),
        click.option(
            "--stop-at", type=click.IntRange(min=1), help="Save and stop after this step; the same command goes on."
        ),
        click.option("--tp", type=click.IntRange(min=1), help="Tensor parallel size."),
        click.option("--pp", type=click.IntRange(min=1), help="Pipeline parallel size."),
        click.option("--micro-batch", type=click.IntRange(min=1), help=f"{micro} that a process takes at once."),
        click.option("--global-batch", type=click.IntRange(min=1), help="Samples of a step."),
        click.option(
            "--schedule", type=click.Choice(["linear", "cosine", "constant"]), help="How the learning rate falls."
        ),
        click.option("--min-lr", type=float, help="Learning rate at the end. [default: 0]"),
        click.option("--warmup", type=click.IntRange(min=0), help="Steps over which it rises first. [default: 0]"),
        click.option("--weight-decay", type=float, help=f"Of AdamW. [default: {weight_decay}]"),
        click.option("--clip", type=float, help="Longest gradient; 0: any. [default: 1]"),
        click.option(
            "--dtype", type=click.Choice(["float32", "bfloat16"]), help="[default: bfloat16; float32 on a CPU]"
        ),
        click.option(
            "--distributed-optimizer/--no-distributed-optimizer",
            default=None,
            help="Share its state out. [default: yes]",
        ),
        click.option("--save-every", type=click.IntRange(min=1), help="Steps between checkpoints. [default: 1000]"),
        click.option("--valid-every", type=click.IntRange(min=1), help="Steps between validations. [default: 100]"),
    ]

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def cpt(start: Start) -> click.Command:
    """Return the command ``cpt``, which calls ``start``."""

    @click.command("cpt", epilog=EXIT_CODES)
    @click.argument("mixture", type=LOCAL_BUILD)
    @_run_options(
        lr="; the paper's is 1e-9 for 8B, 1e-10 for 70B",
        out="MIXTURE-cpt",
        steps="the whole mixture",
        micro="Samples",
        weight_decay="0.01",
    )
    @click.option("--seed", type=click.IntRange(min=0), help="Of the order in each dataset. [default: the mixture's]")
    @click.option(
        "--valid-samples", type=click.IntRange(min=0), help="Samples of each validation set. [default: 64; 4 on a CPU]"
    )
    @click.option("--sequence-length", type=int, help="Refuse a mixture of another one.")
    @click.option("--rehash", is_flag=True, help="Read every token file and compare its hash before training.")
    def command(**given: Any) -> None:
        """Continue pre-training on the build in MIXTURE, by exactly its weights.

        The same command goes on where an interrupted run stopped. It refuses (exit code 4) a build whose files,
        weights, tokenizer or sequence length are not what mixture.json and the model say, and a run longer than the
        caps on epochs.

        \b
        mixer train cpt quickstart --model tiny --lr 1e-3 --steps 20
        torchrun --nproc-per-node 8 -m mixer.train.cpt /data/mix --model llama3-8b --lr 1e-9 --init /data/llama3-8b
        """  # noqa: D301
        start(**given)

    return command


def sft(start: Start) -> click.Command:
    """Return the command ``sft``, which calls ``start``."""

    @click.command("sft", epilog=EXIT_CODES)
    @_finetuning_options("sft", "examples", "0.01")
    def command(**given: Any) -> None:
        """Fine-tune on the dialogues that DATA.yaml names, learning their responses only.

        Examples share rows of the window, and none sees another; the loss is the mean over all response tokens of a
        step. The same command goes on where an interrupted run stopped; other data or settings are refused (exit code
        4).

        \b
        mixer train sft DATA.yaml --model tiny --lr 1e-3 --steps 20
        torchrun --nproc-per-node 8 -m mixer.train.sft DATA.yaml --model llama3-8b --lr 1e-5 --init /data/llama3-zh
        """  # noqa: D301
        start(**given)

    return command


def dpo(start: Start) -> click.Command:
    """Return the command ``dpo``, which calls ``start``."""

    @click.command("dpo", epilog=EXIT_CODES)
    @_finetuning_options("dpo", "pairs", "0")
    @click.option("--beta", type=float, help="How strongly the policy is held to its reference. [default: 0.1]")
    def command(**given: Any) -> None:
        """Make the chosen responses that DATA.yaml names likelier than the rejected ones (Rafailov et al. 2023).

        The reference is the model that the run begins with, frozen. The same command goes on where an interrupted run
        stopped; other data or settings are refused (exit code 4).

        \b
        mixer train dpo DATA.yaml --model tiny --lr 1e-4 --init DATA-sft --steps 20
        torchrun --nproc-per-node 8 -m mixer.train.dpo DATA.yaml --model llama3-8b --lr 1e-6 --init /data/llama3-sft
        """  # noqa: D301
        start(**given)

    return command


def _finetuning_options(kind: str, samples: str, weight_decay: str) -> Callable[[F], F]:
    """Return what both kinds of fine-tuning take; a sample is one of ``samples``."""
    decorators = [
        click.argument("data", type=click.Path(path_type=Path)),
        _run_options(
            lr="", out=f"DATA-{kind}", steps=f"as many {samples} as there are", micro="Rows", weight_decay=weight_decay
        ),
        click.option("--packing/--no-packing", default=None, help=f"Let several {samples} share a row. [default: yes]"),
        click.option(
            "--emit",
            type=(click.Choice(["llamafactory"]), click.Path(path_type=Path, file_okay=False)),
            metavar="llamafactory DIR",
            help=f"Train nothing: write the same {samples} and settings for LLaMA-Factory to DIR.",
        ),
        click.option(
            "--devices",
            type=click.IntRange(min=1),
            help="GPUs that will share a batch out there. [default: the paper's, 32 for 8B and 128 for 70B]",
        ),
    ]

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate
