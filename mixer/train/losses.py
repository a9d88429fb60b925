"""One step through the pipeline, and its loss by dataset.

The loss of a step is the sum over all its tokens divided by their number (Equation 1 of the paper), whatever the layout
and the micro-batches; the losses by dataset are parts of the same sums, so they recombine to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from numpy.typing import NDArray

from mixer.train.data import Batch
from mixer.train.processes import summed


@dataclass(frozen=True)
class Losses:
    """Sums over a step, for each of K datasets: of the loss (float64), of its tokens and of samples (int64)."""

    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]
    samples: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """The loss of the step in nats a token."""
        return float(self.sums.sum() / self.tokens.sum())

    def by(self, groups: list[str]) -> dict[str, float]:
        """Return the mean loss of each group of datasets that had tokens; ``groups`` names that of each dataset."""
        found = {}
        for name in dict.fromkeys(groups):
            inside = np.array([group == name for group in groups])
            tokens = self.tokens[inside].sum()
            if tokens:
                found[name] = float(self.sums[inside].sum() / tokens)
        return found


def run_step(
    model: Any, data: Iterator[Batch], count: int, shape: tuple[int, int], datasets: int, *, train: bool
) -> Losses:
    """Take micro-batches through the model, and their gradients back if it is trained.

    Parameters
    ----------
    model
        Wrapped for data parallel training.
    data
        Micro-batches of this process.
    count
        How many.
    shape
        Samples and tokens of one.
    datasets
        Datasets that losses are told apart for, K.
    train
        Whether to work gradients out.
    """
    device = next(model.parameters()).device
    totals = torch.zeros(3, datasets, dtype=torch.float64, device=device)
    get_forward_backward_func()(
        forward_step_func=partial(_forward, totals),
        data_iterator=data,
        model=[model],
        num_microbatches=count,
        seq_length=shape[1],
        micro_batch_size=shape[0],
        forward_only=not train,
    )
    if parallel_state.get_tensor_model_parallel_rank():  # every one of the group has the same losses
        totals.zero_()
    sums, tokens, samples = summed(totals).cpu().numpy()
    return Losses(sums, tokens.round().astype(np.int64), samples.round().astype(np.int64))


def _forward(totals: torch.Tensor, data: Iterator[Batch], model: Any) -> tuple[torch.Tensor, Any]:
    batch = {name: values.to(totals.device, non_blocking=True) for name, values in next(data).items()}
    losses = model(batch["tokens"], batch["positions"], None, labels=batch["labels"])
    return losses, partial(_reduce, totals, batch)


def _reduce(
    totals: torch.Tensor, batch: Batch, losses: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Return the sum of the losses and their number, and add both to the sums by dataset."""
    masked = losses.float() * batch["mask"]
    with torch.no_grad():
        rows = torch.stack(
            [
                masked.sum(1, dtype=torch.float64),
                batch["mask"].sum(1, dtype=torch.float64),
                batch["counted"].double(),
            ]
        )
        totals.index_add_(1, batch["dataset"], rows)
    return masked.sum(), batch["mask"].sum().to(torch.int), {}
