"""A fine-tuning as its command describes it, handed over to LLaMA-Factory instead of begun (``--emit``)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from mixer.dialogues import llamafactory
from mixer.errors import UsageError
from mixer.train.finetuning import Data
from mixer.train.settings import DpoSettings, SftSettings

DEVICES: Final = {"llama3-8b": 32, "llama3.1-8b": 32, "llama3-70b": 128, "llama3.1-70b": 128, "tiny": 1}
"""GPUs by model, where none are named: those of the paper (section 3.2)."""
_HANDED_OVER: Final = {
    *("steps", "global_batch", "micro_batch", "lr", "min_lr", "schedule", "warmup"),
    *("weight_decay", "betas", "epsilon", "clip", "save_every", "valid_every"),
}
"""Settings that LLaMA-Factory has, too."""
_MEANINGLESS: Final = ("stop_at", "tp", "pp", "distributed_optimizer", "packing")
"""Options that it has nothing like."""


def target(emit: tuple[str, Path] | None, devices: int | None) -> Path | None:
    """Return the directory that ``--emit`` names, if it is given.

    Raises
    ------
    UsageError
        ``--devices`` is given without it.
    """
    if emit is None and devices is not None:
        raise UsageError("--devices means nothing without --emit", "start as many processes as there are GPUs")
    return emit[1] if emit is not None else None


def hand_over(
    folder: Path,
    devices: int | None,
    data: Data,
    settings: SftSettings,
    init: Path | None,
    out: Path | None,
    given: Mapping[str, Any],
) -> None:
    """Write what LLaMA-Factory reads instead of training, and say how to begin.

    Parameters
    ----------
    folder, devices
        Where to, and for how many GPUs; None: as many as in the paper.
    data, settings
        What would be trained on, and how.
    init, out
        The model to begin from, in Hugging Face's format, and where LLaMA-Factory shall write; None: below ``folder``.
    given
        Options of the command, None where they were left out.

    Raises
    ------
    UsageError
        There is no model to begin from that it reads, an option means nothing there, or it cannot do the same.
    """
    for name in _MEANINGLESS:
        if given.get(name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} means nothing to LLaMA-Factory", f"leave out {flag}")
    parameters = llamafactory.HyperParameters(
        stage="dpo" if isinstance(settings, DpoSettings) else "sft",
        model=_begin(init),
        output=(out or folder / "output").resolve(),
        devices=devices or DEVICES[settings.model],
        beta=getattr(settings, "beta", None),
        bf16=given.get("dtype") != "float32",  # it will not train on this machine, whose devices do not count
        **settings.model_dump(include=_HANDED_OVER),
    )
    done = llamafactory.hand_over(data.loaded, data.prepared, parameters, folder)
    for reason, count in done.left_out.most_common():
        click.echo(f"left out: {count:,} examples, {reason}: {llamafactory.LEFT_OUT[reason]}", err=True)
    click.echo(f"for LLaMA-Factory on {parameters.devices} GPUs: llamafactory-cli train {done.arguments}")


def _begin(init: Path | None) -> str:
    """Return the model to begin from: a folder in Hugging Face's format, or what may be a name on its hub."""
    if init is None:
        raise UsageError("LLaMA-Factory needs a model to begin from", "name its Hugging Face folder with --init")
    if not init.exists():
        return os.fspath(init)
    if not (init / "config.json").is_file():
        raise UsageError(
            f"{init} is no folder in Hugging Face's format, which LLaMA-Factory reads",
            f"make one of a checkpoint first: mixer train export {init} FOLDER",
        )
    return str(init.resolve())
