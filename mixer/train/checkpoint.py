"""Checkpoints in megatron-core's distributed format, for any parallel layout, and when a run may go on from one.

A run keeps them in ``checkpoints/step-<number>``. Each is written under another name and renamed when it is whole, so
that a killed run finds whole ones only. ``run.json`` beside the tensors says what the run was made with; a run goes on
only with the same (``check_same``).
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from megatron.core import dist_checkpointing
from megatron.core.distributed import DistributedDataParallel
from megatron.core.models.gpt import GPTModel
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

from mixer.errors import BrokenPromiseError, UsageError
from mixer.train.optimizer import create_state, load_state
from mixer.train.processes import on_first

FOLDER: Final = "checkpoints"
RUN: Final = "run.json"
Record = dict[str, Any]
_EXTRA: Final = "_extra_state"
_FORMAT: Final = {"distrib_optim_sharding_type": "fully_reshardable"}
"""The form of the optimizer's state that every layout can read."""

_PARTS: Final = {
    "mixture": (
        "mixture has",
        "Megatron decides by the weights which sample comes from where; with others, what was read already would be "
        "read again or never, and the additional-language ratio would hold for neither part",
    ),
    "data": (
        "data has",
        "Which example comes when is drawn from all of them; with others, what was read already would be read again or "
        "never, and no share would hold",
    ),
    "settings": ("settings have", "Resumed, the run would be neither the old one nor a new one"),
}
"""What must be the same in a run that goes on, and why."""


def latest(out: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, if there is one."""
    found = sorted((out / FOLDER).glob("step-*[0-9]"))
    return found[-1] if found else None


def read_record(checkpoint: Path) -> Record:
    """Return what a checkpoint's run was made with.

    Raises
    ------
    UsageError
        There is no checkpoint.
    """
    try:
        record: Record = json.loads((checkpoint / RUN).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{checkpoint} holds no checkpoint: {RUN} cannot be read",
            "name a folder step-... below checkpoints/, or the output directory of a run",
        ) from error
    return record


def check_same(checkpoint: Path, now: Record) -> None:
    """Check that a run may go on from a checkpoint: same mixture, same settings.

    Raises
    ------
    BrokenPromiseError
        Something differs; the message says what and why that matters.
    """
    then = read_record(checkpoint)
    for name, (what, why) in _PARTS.items():
        changed = _differences(then.get(name, {}), now.get(name, {}))
        if changed:
            raise BrokenPromiseError(
                f"the {what} changed since {checkpoint} was written: {'; '.join(changed)}. {why}",
                f"go on with the {name} that the run began with; or begin a new run from its weights: --init with this "
                "checkpoint, and another --out",
            )


def _differences(then: Record, now: Record) -> list[str]:
    found = []
    for key in dict.fromkeys([*then, *now]):
        old, new = then.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{key}: {difference}" for difference in _differences(old, new)]
        elif old != new:
            found.append(f"{key} was {old}, is {new}")
    return found


def save(
    out: Path,
    step: int,
    model: DistributedDataParallel,
    optimizer: MegatronOptimizer,
    scheduler: OptimizerParamScheduler,
    progress: Record,
    record: Record,
) -> Path:
    """Write a checkpoint on all processes together and return its folder.

    Parameters
    ----------
    out, step
        Directory of the run, and how many steps it has taken.
    model, optimizer, scheduler
        What is saved.
    progress
        Plain values that the run goes on with.
    record
        What the run is made with.
    """
    folder = out / FOLDER / f"step-{step:08}"
    part = folder.with_name(f"{folder.name}.part")

    def begin() -> None:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)

    def finish() -> None:
        (part / RUN).write_text(json.dumps({**record, "step": step}, indent=2) + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)

    on_first(begin)
    sharded = _sharded(model, optimizer, loading=False)
    dist_checkpointing.save({**sharded, "scheduler": scheduler.state_dict(), "progress": progress}, str(part))
    on_first(finish)
    return folder


def load(
    checkpoint: Path, model: DistributedDataParallel, optimizer: MegatronOptimizer, scheduler: OptimizerParamScheduler
) -> Record:
    """Read a checkpoint into a model, its optimizer and schedule, and return the progress saved with it."""
    with torch.no_grad():
        state = dist_checkpointing.load(_sharded(model, optimizer, loading=True), str(checkpoint))
        _fill(_bare(model), state["model"])
        progress: Record = state["progress"]
        load_state(optimizer, state["optimizer"], progress["step"])
    scheduler.load_state_dict(state["scheduler"])
    return progress


def save_weights(folder: Path, model: GPTModel, record: Record) -> None:
    """Write a model's weights alone, as a checkpoint to begin from."""
    folder.mkdir(parents=True)
    dist_checkpointing.save({"model": _weights(model)}, str(folder))
    (folder / RUN).write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def load_weights(checkpoint: Path, model: GPTModel) -> None:
    """Read the weights of a checkpoint into a model, and nothing else."""
    with torch.no_grad():
        _fill(model, dist_checkpointing.load({"model": _weights(model)}, str(checkpoint))["model"])


def _weights(model: GPTModel) -> Record:
    """Return a model's sharded tensors, without the state of 8-bit kernels: not every kind of layer has one."""
    return {name: value for name, value in model.sharded_state_dict(prefix="").items() if _EXTRA not in name}


def _fill(model: GPTModel, weights: Record) -> None:
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if wrong := [name for name in missing if _EXTRA not in name] + unexpected:
        raise RuntimeError(f"weights that do not fit the model: {', '.join(wrong)}")


def _sharded(model: DistributedDataParallel, optimizer: MegatronOptimizer, *, loading: bool) -> Record:
    create_state(optimizer)
    weights = _weights(_bare(model))
    states = optimizer.sharded_state_dict(weights, is_loading=loading, metadata=_FORMAT)
    return {"model": weights, "optimizer": states}


def _bare(model: DistributedDataParallel) -> GPTModel:
    """Return the model inside its wrappers."""
    return getattr(model.module, "module", model.module)
