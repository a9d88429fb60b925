"""Checkpoints from and to Hugging Face's folders: ``mixer train import`` and ``mixer train export``.

Both run in one process without a GPU and hold the whole model in memory once. Between the two, any layout can train on
the checkpoint: megatron-core's format is that of the whole model.
"""

import shutil
from pathlib import Path

import click
import torch
from megatron.core.models.gpt import GPTModel

from mixer.errors import UsageError
from mixer.tokenize.vocabulary import NAMES
from mixer.train import checkpoint, huggingface
from mixer.train.model import build_model, transformer_config
from mixer.train.presets import ModelShape
from mixer.train.processes import processes
from mixer.train.tokenizer import copy_tokenizer, write_tokenizer


def import_folder(folder: Path, out: Path) -> None:
    """Make a checkpoint to begin from of a model in Hugging Face's format.

    Raises
    ------
    UsageError
        ``folder`` holds no Llama, or ``out`` is there already.
    InputError
        Tensors are missing.
    """
    shape, dtype = huggingface.read_shape(folder)
    _check_free(out)
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with processes(1, 1, 0, gpu=False):
        model = _empty(shape, dtype)
        huggingface.load(folder, model, shape)
        checkpoint.save_weights(part, model, {"shape": shape.model_dump(mode="json"), "dtype": str(dtype)})
    copy_tokenizer(folder, part)
    part.rename(out)
    click.echo(
        f"{out}: {sum(p.numel() for p in model.parameters()):,} parameters, {dtype}; train on it with --init {out}"
    )


def export_checkpoint(source: Path, out: Path, tokenizer: str | None) -> None:
    """Write a checkpoint, or the newest one of a run, as a folder that Hugging Face's tools read.

    Raises
    ------
    UsageError
        There is no checkpoint or no tokenizer for it, or ``out`` is there already.
    """
    source = checkpoint.latest(source) or source
    record = checkpoint.read_record(source)
    shape = ModelShape.model_validate(record["shape"])
    _check_free(out)
    tokenizer = tokenizer or _named_tokenizer(source, record)
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    dtype = record.get("dtype") or record["settings"]["dtype"]
    with processes(1, 1, 0, gpu=False):
        model = _empty(shape, getattr(torch, str(dtype).removeprefix("torch.")))
        checkpoint.load_weights(source, model)
        huggingface.save(part, model, shape)
    if tokenizer is None:
        copy_tokenizer(source, part)
    else:
        write_tokenizer(part, tokenizer, shape, record.get("data", {}).get("template", ""))
    part.rename(out)
    click.echo(f"{out}: {source} for Hugging Face's tools, with the tokenizer {tokenizer or 'beside it'}")


def _empty(shape: ModelShape, dtype: torch.dtype) -> GPTModel:
    """Return a model whose weights are not filled yet; nothing is drawn at random."""
    with torch.device("meta") as meta:
        model = build_model(shape, transformer_config(shape, 1, 1, dtype, meta), meta)
    return model.to_empty(device="cpu")


def _check_free(out: Path) -> None:
    if out.exists():
        raise UsageError(f"{out} is there already", "choose another directory, or remove it")


def _named_tokenizer(source: Path, record: checkpoint.Record) -> str | None:
    """Return the tokenizer that a checkpoint's data name; None where its files lie beside the checkpoint."""
    if (source / "tokenizer.json").is_file():
        return None
    name: str = (record.get("mixture") or record.get("data") or {}).get("tokenizer_name", "")
    if name not in NAMES:
        raise UsageError(
            f"{source} does not say where its tokenizer lies",
            "name it as in the recipe: --tokenizer with a directory or a tokenizer.json",
        )
    return name
