"""AdamW as megatron-core shares it out, its schedule, and what its checkpoints need to go on exactly."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import torch
from megatron.core.distributed import DistributedDataParallel
from megatron.core.optimizer import MegatronOptimizer, OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

from mixer.train.settings import Settings


def build_optimizer(
    model: DistributedDataParallel, settings: Settings
) -> tuple[MegatronOptimizer, OptimizerParamScheduler]:
    """Return the optimizer, and the schedule, which counts samples."""
    optimizer = get_megatron_optimizer(
        OptimizerConfig(
            optimizer="adam",
            lr=settings.lr,
            min_lr=settings.min_lr,
            weight_decay=settings.weight_decay,
            adam_beta1=settings.betas[0],
            adam_beta2=settings.betas[1],
            adam_eps=settings.epsilon,
            clip_grad=settings.clip,
            bf16=settings.dtype == "bfloat16",
            params_dtype=getattr(torch, settings.dtype),
            use_distributed_optimizer=settings.distributed_optimizer,
        ),
        [model],
    )
    scheduler = OptimizerParamScheduler(
        optimizer,
        init_lr=0.0 if settings.warmup else settings.lr,
        max_lr=settings.lr,
        min_lr=settings.min_lr,
        lr_warmup_steps=settings.warmup * settings.global_batch,
        lr_decay_steps=settings.samples,
        lr_decay_style=settings.schedule,
        start_wd=settings.weight_decay,
        end_wd=settings.weight_decay,
        wd_incr_steps=settings.samples,
        wd_incr_style="constant",
    )
    return optimizer, scheduler


def create_state(optimizer: MegatronOptimizer) -> None:
    """Make the optimizer's moments, all zero: before its first step it has none, and a checkpoint cannot say so."""
    for part in _parts(optimizer):
        part.init_state_fn(part.optimizer, part.config)
        if isinstance(part.optimizer, torch.optim.AdamW):
            for state in part.optimizer.state.values():
                state.setdefault("step", torch.tensor(0.0))


def load_state(optimizer: MegatronOptimizer, state: dict[str, Any], step: int) -> None:
    """Read a checkpoint's state into the optimizer, so that it goes on exactly.

    PyTorch's AdamW counts its steps in a tensor for each parameter. megatron-core misses that count where it reads the
    moments, and then gives all parameters one tensor, which is counted up once for each of them: the run would go on
    with another bias correction, without a word. Fused optimizers count in their groups and are not touched.
    """
    with contextlib.ExitStack() as stack:
        for part in _parts(optimizer):
            if isinstance(part, DistributedOptimizer) and isinstance(part.optimizer, torch.optim.AdamW):
                set_states = partial(_set_with_step, part._set_main_param_and_optimizer_states, step)
                stack.enter_context(mock.patch.object(part, "_set_main_param_and_optimizer_states", set_states))
        optimizer.load_state_dict(state)
    for part in _parts(optimizer):
        if isinstance(part.optimizer, torch.optim.AdamW):
            for moments in part.optimizer.state.values():
                moments["step"] = torch.tensor(float(step))


def _set_with_step(set_states: Callable[..., None], step: int, parameter: Any, tensors: dict[str, Any]) -> None:
    set_states(parameter, {"step": torch.tensor(float(step)), **tensors})


def _parts(optimizer: MegatronOptimizer) -> list[Any]:
    """Return the optimizers that a chain holds, or the one that there is."""
    return list(getattr(optimizer, "chained_optimizers", [optimizer]))
