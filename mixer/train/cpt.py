"""Continual pre-training on a finished mixture, from top to bottom.

Reads ``megatron/blend.json`` through megatron-core's datasets, trains with its distributed data parallel, optimizer and
schedules, and says at every step what was read: the loss by language and by dataset, and the realised ratio of the
additional language so far. At intervals it measures the loss on every validation set and how far that has moved since
the first step: where it grows, something is being forgotten.

Started as ``mixer train cpt``, or on many GPUs as ``torchrun -m mixer.train.cpt`` with the same arguments. The same
command goes on where an interrupted run stopped, with the losses that it would have had.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from pydantic import ValidationError

from mixer.errors import UsageError
from mixer.manifest import read
from mixer.train import checkpoint, huggingface
from mixer.train.data import Samples, batches, build_datasets
from mixer.train.journal import Journal
from mixer.train.losses import run_step
from mixer.train.model import build_model, transformer_config, wrap
from mixer.train.optimizer import build_optimizer
from mixer.train.presets import CPT, ModelShape, shape_of
from mixer.train.processes import is_first, on_first, processes, world_size
from mixer.train.promise import Mixture, Tally, check_length, load_mixture, names_of
from mixer.train.settings import CptSettings

_SHOWN = 10
"""Of the steps after the first few, one in so many is printed; all are logged."""


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes, beside its settings."""

    build_dir: Path
    out: Path
    init: Path | None = None
    stop_at: int | None = None
    sequence_length: int | None = None
    rehash: bool = False


def settings_of(build_dir: Path, model: str, given: dict[str, Any]) -> CptSettings:
    """Return the settings of a run: what is given, the rest from the paper's table and the build.

    Raises
    ------
    UsageError
        There is no such model or build, or the mixture holds no step.
    BrokenPromiseError
        The run is longer than the caps on epochs allow.
    """
    manifest, shape = read(build_dir), shape_of(model)
    own = {
        "vocab_size": shape.vocab_size or manifest.tokenizer.vocab_size,
        "eod": manifest.tokenizer.eod if shape.eod is None else shape.eod,
    }
    cuda = torch.cuda.is_available()
    values = {
        "dtype": "bfloat16" if cuda else "float32",
        "valid_samples": 64 if cuda else 4,
        "seed": manifest.seed or 0,
        **CPT[model].model_dump(),
        **{key: value for key, value in given.items() if value is not None},
    }
    values.setdefault("steps", manifest.samples // values["global_batch"])
    if values["steps"] < 1:
        raise UsageError(
            f"the mixture holds {manifest.samples:,} samples, less than one batch of {values['global_batch']:,}",
            "choose a smaller --global-batch",
        )
    check_length(manifest, values["steps"], values["global_batch"])
    try:
        return CptSettings(model=model, shape=shape.model_copy(update=own), **values)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
        raise UsageError(f"these settings cannot be: {found}", "`mixer train cpt --help` explains each") from error


def run(run: Run, settings: CptSettings) -> None:
    """Train, from the newest checkpoint of ``run.out`` if there is one, until the last step or ``run.stop_at``.

    Raises
    ------
    BrokenPromiseError
        The build does not hold what it promises, or is not the one that the run began with.
    UsageError
        The layout does not fit the processes, or ``--init`` names no model of this shape.
    """
    ranks = settings.data_parallel(world_size())
    with processes(settings.tp, settings.pp, settings.seed) as device:
        mixture = on_first(
            lambda: load_mixture(run.build_dir, settings.shape, sequence_length=run.sequence_length, rehash=run.rehash)
        )
        record = {"settings": settings.promised, "mixture": mixture.record(), "shape": settings.shape.model_dump()}
        resumed = on_first(lambda: _resumable(run, record))
        _say_start(mixture, settings, device, ranks, resumed)

        train, valid = build_datasets(mixture, settings.samples, settings.seed)
        dtype = getattr(torch, settings.dtype)
        config = transformer_config(settings.shape, settings.tp, settings.pp, dtype, device)
        bare = build_model(settings.shape, config, device)
        if run.init is not None and resumed is None:
            _begin_from(run.init, bare, settings.shape)
        model = wrap(bare, config, distributed_optimizer=settings.distributed_optimizer)
        optimizer, scheduler = build_optimizer(model, settings)
        config.grad_scale_func = optimizer.scale_loss

        tally = Tally(mixture)
        progress: checkpoint.Record = {"step": 0, "valid": {}}
        if resumed is not None:
            progress = checkpoint.load(resumed, model, optimizer, scheduler)
            tally.drawn = np.array(progress["drawn"])
        names, languages = names_of(mixture.datasets), [entry.language for entry in mixture.datasets]
        micro_shape = (settings.micro_batch, mixture.manifest.sequence_length)
        last = min(settings.steps, run.stop_at or settings.steps)

        with Journal(run.out, progress["step"], writes=is_first()) as journal:
            if not progress["step"] and valid and settings.valid_samples:
                progress["valid"] = _validate(model, valid, mixture, settings, ranks)
                journal.write({"step": 0, **_valid_line(progress["valid"], progress["valid"], mixture)})
            for step in range(progress["step"] + 1, last + 1):
                began = time.perf_counter()
                lr = float(optimizer.param_groups[0]["lr"])
                model.zero_grad_buffer()
                optimizer.zero_grad()
                losses = run_step(
                    model,
                    batches(
                        train,
                        range((step - 1) * settings.global_batch, step * settings.global_batch),
                        settings.micro_batch,
                    ),
                    settings.global_batch // (settings.micro_batch * ranks),
                    micro_shape,
                    len(names),
                    train=True,
                )
                _, norm, _ = optimizer.step()
                scheduler.step(increment=settings.global_batch)
                tally.add(losses.samples)
                seconds = time.perf_counter() - began
                tokens = settings.global_batch * micro_shape[1]
                line = {
                    "step": step,
                    "samples": step * settings.global_batch,
                    "tokens": step * tokens,
                    "loss": losses.mean,
                    "languages": losses.by(languages),
                    "datasets": losses.by(names),
                    "almr": tally.almr,
                    "lr": lr,
                    "grad_norm": float(norm or 0.0),
                    "seconds": round(seconds, 4),
                    "tokens_per_second": round(tokens / seconds),
                }
                journal.write(line)
                _say_step(line, settings)
                if valid and settings.valid_samples and (step % settings.valid_every == 0 or step == settings.steps):
                    found = _validate(model, valid, mixture, settings, ranks)
                    line = {"step": step, **_valid_line(found, progress["valid"], mixture)}
                    journal.write(line)
                    _say_valid(line)
                if step % settings.save_every == 0 or step == last:
                    progress = {**progress, "step": step, "drawn": tally.drawn.tolist()}
                    checkpoint.save(run.out, step, model, optimizer, scheduler, progress, record)
    if is_first():
        click.echo(
            f"trained {last:,} of {settings.steps:,} steps: {run.out / 'log.jsonl'}, {checkpoint.latest(run.out)}"
        )


def _resumable(run: Run, record: checkpoint.Record) -> Path | None:
    found = checkpoint.latest(run.out)
    if found is not None:
        checkpoint.check_same(found, record)
    return found


def _begin_from(init: Path, model: Any, shape: ModelShape) -> None:
    """Load the weights that a run begins with."""
    source = checkpoint.latest(init) or init
    published = huggingface.is_folder(source) and not (source / checkpoint.RUN).exists()
    there = huggingface.read_shape(source)[0].model_dump() if published else checkpoint.read_record(source)["shape"]
    # The end of a document is a matter of data, and a published model may name that of a dialogue.
    wanted = shape.model_dump(exclude={"eod"})
    changed = {key: value for key, value in wanted.items() if there.get(key) != value}
    if changed:
        listed = ", ".join(f"{key} {there.get(key)} instead of {value}" for key, value in changed.items())
        raise UsageError(f"{source} holds another model: {listed}", "name its model with --model, or other weights")
    if published:
        huggingface.load(source, model, shape)
    else:
        checkpoint.load_weights(source, model)


def _validate(
    model: Any, valid: list[Samples], mixture: Mixture, settings: CptSettings, ranks: int
) -> dict[str, list[float]]:
    """Return sum of the losses and number of tokens of each validation set, over the same samples every time."""
    found = {}
    stride = settings.micro_batch * ranks
    with torch.no_grad():
        for name, dataset in zip(names_of(mixture.valid), valid, strict=True):
            indices = list(range(min(len(dataset), settings.valid_samples)))
            indices += [-1] * (-len(indices) % stride)
            losses = run_step(
                model,
                batches(dataset, indices, settings.micro_batch),
                len(indices) // stride,
                (settings.micro_batch, mixture.manifest.sequence_length),
                1,
                train=False,
            )
            found[name] = [float(losses.sums[0]), int(losses.tokens[0])]
    return found


def _valid_line(now: dict[str, list[float]], first: dict[str, list[float]], mixture: Mixture) -> dict[str, Any]:
    """Return validation losses by dataset and language, and how far they have moved since the first step."""
    language = {name: entry.language for name, entry in zip(names_of(mixture.valid), mixture.valid, strict=True)}

    def means(sums: dict[str, list[float]]) -> tuple[dict[str, float], dict[str, float]]:
        groups: dict[str, list[float]] = {}
        for name, (loss, tokens) in sums.items():
            group = groups.setdefault(language[name], [0.0, 0])
            group[0], group[1] = group[0] + loss, group[1] + tokens
        return {name: s / n for name, (s, n) in sums.items()}, {name: s / n for name, (s, n) in groups.items()}

    (datasets, languages), (_, before) = means(now), means(first)
    change = {name: languages[name] - before[name] for name in languages if name in before}
    return {"valid": {"languages": languages, "datasets": datasets, "change": change}}


def _say_start(mixture: Mixture, settings: CptSettings, device: torch.device, ranks: int, resumed: Path | None) -> None:
    if not is_first():
        return
    if device.type == "cpu":
        click.secho("training on the CPU: for trial runs and tests, not for training in earnest", fg="yellow", err=True)
    manifest = mixture.manifest
    click.echo(
        f"{settings.model} on {manifest.recipe}: {settings.steps:,} steps of {settings.global_batch:,} samples of "
        f"{manifest.sequence_length:,} tokens, ALMR {manifest.almr.target}; {settings.dtype}, data parallel {ranks}, "
        f"tensor {settings.tp}, pipeline {settings.pp}"
    )
    if resumed is not None:
        click.echo(f"going on from {resumed}")


def _say_step(line: dict[str, Any], settings: CptSettings) -> None:
    if is_first() and (line["step"] <= _SHOWN or line["step"] % _SHOWN == 0):
        languages = "  ".join(f"{name} {loss:.4f}" for name, loss in line["languages"].items())
        click.echo(
            f"step {line['step']:,}/{settings.steps:,}  loss {line['loss']:.4f}  {languages}  "
            f"ALMR {line['almr']:.4f}  lr {line['lr']:.3g}  {line['tokens_per_second']:,} tokens/s"
        )


def _say_valid(line: dict[str, Any]) -> None:
    if is_first():
        valid = line["valid"]
        told = (
            f"{name} {loss:.4f} ({valid['change'].get(name, 0.0):+.4f})" for name, loss in valid["languages"].items()
        )
        click.echo(f"  validation after {line['step']:,} steps (change since the first): {'  '.join(told)}")


if __name__ == "__main__":
    from mixer.train.command import train

    # megatron-core starts a process to save, which would import this module, and so all of it, once more.
    sys.modules["__main__"].__spec__ = None
    del sys.modules["__main__"].__file__
    train(["cpt", *sys.argv[1:]], prog_name="mixer train")
