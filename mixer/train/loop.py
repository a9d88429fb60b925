"""The loop that every kind of training shares: model, optimizer, steps, log, checkpoints, going on after a stop.

What differs between kinds - what is read, what is minimised, what is logged - a ``Stage`` brings along: ``cpt``,
``sft`` and ``dpo`` each hold one.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import click
import torch

from mixer.errors import UsageError
from mixer.train import checkpoint, huggingface
from mixer.train.journal import Journal
from mixer.train.losses import Objective, Totals, Work, run_step
from mixer.train.model import build_model, transformer_config, wrap
from mixer.train.optimizer import build_optimizer
from mixer.train.presets import ModelShape
from mixer.train.processes import is_first, on_first, processes, world_size
from mixer.train.settings import Settings

_SHOWN: Final = 10
"""Of the steps after the first few, one in so many is printed; all are logged."""

DATA: Final = "data.json"
"""What became of the records that a run reads, where it prepares them itself."""

Line = dict[str, Any]
"""A line of the log; ``step`` numbers it."""


@dataclass(frozen=True)
class Run:
    """Where a run writes, what it begins with, where it stops for now, and what is to be kept of its data, as JSON."""

    out: Path
    init: Path | None = None
    stop_at: int | None = None
    about: Mapping[str, Any] | None = None


class Measure(Protocol):
    """Takes micro-batches through the model as it is, without training it, and returns the totals of K groups."""

    def __call__(self, work: Work, objective: Objective, groups: int) -> Totals:
        """Call it on all processes."""
        ...


class Stage(Protocol):
    """What one kind of training brings to the loop. Every method is called on all processes."""

    @property
    def shown(self) -> tuple[str, ...]:
        """Values of a line that are printed beside the loss."""
        ...

    @property
    def record(self) -> checkpoint.Record:
        """What a checkpoint remembers of the data: resuming with other data is refused."""
        ...

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        ...

    @property
    def groups(self) -> int:
        """Groups that the totals are told apart by."""
        ...

    def title(self) -> str:
        """Say what is trained on."""
        ...

    def begin(self, measure: Measure) -> Iterator[Line]:
        """Get ready for the first step of a run; yields what the validation before it finds."""
        ...

    def go_on(self, state: checkpoint.Record) -> None:
        """Get ready for a later step, with what ``state`` returned when the checkpoint was written."""
        ...

    def state(self) -> checkpoint.Record:
        """Return plain values that a resumed run goes on with."""
        ...

    def work(self, step: int) -> Work:
        """Return what this process does in a step."""
        ...

    def line(self, step: int, totals: Totals) -> Line:
        """Return what is logged of a step, ``loss`` and ``languages`` among it."""
        ...

    def after(self, step: int, measure: Measure) -> Iterator[Line]:
        """Look at the model after a step; yields what a validation finds: ``valid``, with ``languages``, ``change``."""
        ...


def train(run: Run, settings: Settings, load: Callable[[], Stage]) -> None:
    """Train, from the newest checkpoint of ``run.out`` if there is one, until the last step or ``run.stop_at``.

    Parameters
    ----------
    run, settings
        Where, and with what.
    load
        Checks and opens the data; called on all processes once their groups are there.

    Raises
    ------
    BrokenPromiseError
        The data or the settings are not those that the run began with.
    UsageError
        The layout does not fit the processes, or ``--init`` names no model of this shape.
    """
    ranks = settings.data_parallel(world_size())
    with processes(settings.tp, settings.pp, settings.seed) as device:
        stage = load()
        record = {"settings": settings.promised, **stage.record, "shape": settings.shape.model_dump()}
        resumed = on_first(lambda: _resumable(run, record))
        _say_start(stage, settings, device, ranks, resumed)

        config = transformer_config(settings.shape, settings.tp, settings.pp, getattr(torch, settings.dtype), device)
        bare = build_model(settings.shape, config, device)
        if run.init is not None and resumed is None:
            _begin_from(run.init, bare, settings.shape)
        model = wrap(bare, config, distributed_optimizer=settings.distributed_optimizer)
        optimizer, scheduler = build_optimizer(model, settings)
        config.grad_scale_func = optimizer.scale_loss
        measure = partial(run_step, model, train=False)

        progress: checkpoint.Record = {"step": 0}
        if resumed is not None:
            progress = checkpoint.load(resumed, model, optimizer, scheduler)
        last = min(settings.steps, run.stop_at or settings.steps)
        with Journal(run.out, progress["step"], writes=is_first()) as journal:
            if is_first() and run.about is not None:
                (run.out / DATA).write_text(json.dumps(run.about, ensure_ascii=False, indent=2) + "\n", "utf-8")
            if resumed is not None:
                stage.go_on(progress)
            else:
                for line in stage.begin(measure):
                    journal.write(line)
                    _say_valid(line)
            for step in range(progress["step"] + 1, last + 1):
                began = time.perf_counter()
                lr = float(optimizer.param_groups[0]["lr"])
                work = stage.work(step)
                model.zero_grad_buffer()
                optimizer.zero_grad()
                totals = run_step(model, work, stage.objective, stage.groups, train=True)
                _, norm, _ = optimizer.step()
                scheduler.step(increment=settings.global_batch)
                line = {"step": step, **stage.line(step, totals), "lr": lr, "grad_norm": float(norm or 0.0)}
                seconds = time.perf_counter() - began
                line |= {"seconds": round(seconds, 4), "tokens_per_second": round(work.tokens / seconds)}
                journal.write(line)
                _say_step(line, stage.shown, settings)
                for line in stage.after(step, measure):
                    journal.write(line)
                    _say_valid(line)
                if step % settings.save_every == 0 or step == last:
                    state = {**stage.state(), "step": step}
                    checkpoint.save(run.out, step, model, optimizer, scheduler, state, record)
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


def _say_start(stage: Stage, settings: Settings, device: torch.device, ranks: int, resumed: Path | None) -> None:
    if not is_first():
        return
    if device.type == "cpu":
        click.secho("training on the CPU: for trial runs and tests, not for training in earnest", fg="yellow", err=True)
    click.echo(
        f"{settings.model} on {stage.title()}; {settings.dtype}, data parallel {ranks}, tensor {settings.tp}, pipeline "
        f"{settings.pp}"
    )
    if resumed is not None:
        click.echo(f"going on from {resumed}")


def _say_step(line: Line, shown: tuple[str, ...], settings: Settings) -> None:
    if is_first() and (line["step"] <= _SHOWN or line["step"] % _SHOWN == 0):
        languages = "  ".join(f"{name} {loss:.4f}" for name, loss in line["languages"].items())
        others = "".join(f"{name} {line[name]:.4f}  " for name in shown)
        click.echo(
            f"step {line['step']:,}/{settings.steps:,}  loss {line['loss']:.4f}  {languages}  {others}"
            f"lr {line['lr']:.3g}  {line['tokens_per_second']:,} tokens/s"
        )


def _say_valid(line: Line) -> None:
    if is_first():
        valid = line["valid"]
        told = (
            f"{name} {loss:.4f} ({valid['change'].get(name, 0.0):+.4f})" for name, loss in valid["languages"].items()
        )
        click.echo(f"  validation after {line['step']:,} steps (change since the first): {'  '.join(told)}")
