"""One step through the pipeline, what is minimised in it, and the sums of it that are logged.

An objective gets the losses of the tokens of a micro-batch. It returns a sum and the number that the sum over all
micro-batches and processes is divided by, so that neither layout nor micro-batches matter; and it adds what is logged
to a table of totals, with a column for each group (dataset, or source and language). What is logged by group are parts
of the same sums, so they recombine to the whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from megatron.core import parallel_state
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.pipeline_parallel import get_forward_backward_func
from numpy.typing import NDArray
from torch.nn import functional

from mixer.train.processes import summed

Batch = dict[str, torch.Tensor]
"""``tokens``, ``labels``, ``positions``: int64[rows, length]; ``mask``: float32[rows, length], 0: read but not learned.
Where one long row holds examples that must not see one another, ``bounds``: int32[n + 1] says where they begin and end.
What else there is belongs to an objective."""


@dataclass(frozen=True)
class Work:
    """The micro-batches of a step that fall to this process.

    Parameters
    ----------
    batches
        The micro-batches.
    count
        How many there are.
    shape
        Rows and tokens of each, the same for all.
    tokens
        Tokens of the step, over all processes.
    """

    batches: Iterator[Batch]
    count: int
    shape: tuple[int, int]
    tokens: int


@dataclass(frozen=True)
class Totals:
    """Sums over a step by group: float64[R, K], a row for each of ``names``; the first divides the others."""

    values: NDArray[np.float64]
    names: tuple[str, ...]

    def sums(self, name: str) -> NDArray[np.float64]:
        """Return the sums of one row: float64[K]."""
        row: NDArray[np.float64] = self.values[self.names.index(name)]
        return row

    def mean(self, name: str) -> float:
        """Return the mean of a row over all groups."""
        return float(self.sums(name).sum() / self.values[0].sum())

    def by(self, name: str, groups: list[str]) -> dict[str, float]:
        """Return the mean of a row over the columns of the same name in ``groups``, where there is anything."""
        found = {}
        for group in dict.fromkeys(groups):
            inside = np.array([other == group for other in groups])
            number = self.values[0][inside].sum()
            if number:
                found[group] = float(self.sums(name)[inside].sum() / number)
        return found


class Objective(Protocol):
    """What a training minimises: a sum of ``losses`` and what it is divided by; it fills ``totals``, R rows of K."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the rows of the totals are."""
        ...

    def __call__(
        self, totals: torch.Tensor, batch: Batch, losses: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Return sum, number (int32) and nothing, as megatron-core's schedules want it."""
        ...


class NextToken:
    """The mean cross entropy of the tokens that are learned: Equations 1 and 2 of the paper.

    Reads ``group``: int64[rows, length], each token's column of the totals; ``begins``: float32[rows, length], 1 where
    a sample begins.
    """

    names = ("tokens", "loss", "samples")

    def __call__(
        self, totals: torch.Tensor, batch: Batch, losses: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Return the sum of the losses and the number of learned tokens."""
        masked = losses.float() * batch["mask"]
        with torch.no_grad():
            rows = torch.stack([batch["mask"], masked, batch["begins"]]).double()
            totals.index_add_(1, batch["group"].flatten(), rows.flatten(1))
        return masked.sum(), batch["mask"].sum().to(torch.int), {}


@dataclass(frozen=True)
class Preference:
    """-log sigmoid(beta log pi(w)/ref(w) - beta log pi(l)/ref(l)) of chosen w and rejected l: the paper's Equation 3.

    Reads ``example``: int64[rows, length], the example that each token belongs to, chosen and rejected of the first
    pair, then of the second, ..., and one more for what fills the rows up; ``reference``: float64[pairs, 2], the
    log-probabilities of the responses under the reference; ``group``: int64[pairs], columns of the totals.
    """

    beta: float
    names: ClassVar = ("pairs", "loss", "margin", "accuracy", "chosen", "rejected")

    def __call__(
        self, totals: torch.Tensor, batch: Batch, losses: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Return the sum of the losses and the number of pairs."""
        reference = batch["reference"]
        policy = torch.zeros(reference.numel() + 1, dtype=torch.float64, device=losses.device)
        policy = policy.index_add(0, batch["example"].flatten(), -(losses * batch["mask"]).double().flatten())
        rewards = self.beta * (policy[:-1].view_as(reference) - reference)
        margin = rewards[:, 0] - rewards[:, 1]
        loss = -functional.logsigmoid(margin)
        with torch.no_grad():
            rows = torch.stack(
                [torch.ones_like(loss), loss, margin, (margin > 0).double(), rewards[:, 0], rewards[:, 1]]
            )
            totals.index_add_(1, batch["group"], rows)
        number = torch.tensor(len(loss), dtype=torch.int, device=losses.device)
        return loss.sum().float(), number, {}


def run_step(model: Any, work: Work, objective: Objective, groups: int, *, train: bool) -> Totals:
    """Take micro-batches through the model, and their gradients back if it is trained.

    Parameters
    ----------
    model
        Wrapped for data parallel training.
    work
        Micro-batches of this process.
    objective
        What is worked out.
    groups
        Columns of the totals, K.
    train
        Whether to work gradients out.
    """
    device = next(model.parameters()).device
    totals = torch.zeros(len(objective.names), groups, dtype=torch.float64, device=device)
    with torch.set_grad_enabled(train):
        get_forward_backward_func()(
            forward_step_func=partial(_forward, objective, totals),
            data_iterator=work.batches,
            model=[model],
            num_microbatches=work.count,
            seq_length=work.shape[1],
            micro_batch_size=work.shape[0],
            forward_only=not train,
        )
    if parallel_state.get_tensor_model_parallel_rank():  # every one of the group has the same losses
        totals.zero_()
    return Totals(summed(totals).cpu().numpy(), objective.names)


def _forward(objective: Objective, totals: torch.Tensor, data: Iterator[Batch], model: Any) -> tuple[torch.Tensor, Any]:
    batch, packed = next(data), None
    longest = int(batch["bounds"].diff().max()) if "bounds" in batch else 0
    batch = {name: values.to(totals.device, non_blocking=True) for name, values in batch.items()}
    if longest:
        packed = PackedSeqParams("thd", batch["bounds"], batch["bounds"], max_seqlen_q=longest, max_seqlen_kv=longest)
    losses = model(batch["tokens"], batch["positions"], None, labels=batch["labels"], packed_seq_params=packed)
    return losses, partial(objective, totals, batch)
