"""Direct preference optimisation: chosen responses become likelier than rejected ones, beside a frozen reference.

The loss is -log sigmoid(beta log pi(w)/ref(w) - beta log pi(l)/ref(l)), the mean over the pairs of the global batch
(Rafailov et al. 2023, arXiv:2305.18290; Equation 3 of the paper). The reference is the model with the weights that the
run begins with, so that the first loss is ln 2. Its log-probabilities are worked out once, before the first step, for
the pairs that the run reads, by the same forward pass as the policy's; checkpoints carry them. No second model is held.

Started as ``mixer train dpo``, or as ``torchrun -m mixer.train.dpo`` with the same arguments. The same command goes on
where an interrupted run stopped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from mixer.dialogues.shares import report
from mixer.train import checkpoint
from mixer.train.finetuning import Drawn, open_data, settings_of
from mixer.train.handover import hand_over, target
from mixer.train.loop import Line, Measure, Run, train
from mixer.train.losses import Batch, NextToken, Preference, Totals, Work
from mixer.train.packing import Ids, by_column
from mixer.train.presets import DPO
from mixer.train.processes import is_first
from mixer.train.settings import DpoSettings


def start(
    data: Path,
    *,
    model: str,
    init: Path | None,
    out: Path | None,
    stop_at: int | None,
    emit: tuple[str, Path] | None,
    devices: int | None,
    **given: Any,
) -> None:
    """Train, or hand over to another trainer, as the command line says (``options.dpo``).

    Raises
    ------
    RecipeError
        DATA.yaml, or a file that it names, is not what it should be.
    BrokenPromiseError
        The data or settings are not those that the run began with.
    UsageError
        The layout does not fit the processes, or ``--init`` names no model of this shape.
    """
    folder = target(emit, devices)
    opened = open_data(data, "preference")
    settings = settings_of(DpoSettings, DPO, model, given, opened)
    if folder is not None:
        hand_over(folder, devices, opened, settings, init, out, {"stop_at": stop_at, **given})
        return
    drawn = Drawn.of(opened, settings.samples)
    run = Run(out or Path(f"{data.stem}-dpo"), init, stop_at, report(opened.prepared))
    train(run, settings, lambda: Stage(drawn, settings))


class Stage:
    """The pairs of each step, and what the reference says of them.

    Parameters
    ----------
    drawn
        Pairs in their order.
    settings
        Of the run.
    """

    shown = ("margin", "accuracy")

    def __init__(self, drawn: Drawn, settings: DpoSettings) -> None:
        self.objective = Preference(settings.beta)
        self.groups = len(drawn.sources)
        self.record = drawn.record
        self._drawn = drawn
        self._settings = settings
        self._reference = torch.empty(0)
        self._first: Line = {}

    def title(self) -> str:
        """Say what is read."""
        return f"{self._drawn.title(self._settings, 'pairs')}, beta {self._settings.beta:g}"

    def begin(self, measure: Measure) -> Iterator[Line]:
        """Ask the reference, which the model still is, for every pair that the run reads."""
        read = np.array(list(dict.fromkeys([*self._drawn.order.tolist(), *self._drawn.held_out.tolist()])), np.int64)
        if is_first():
            click.echo(f"the reference reads {len(read):,} pairs")
        found = np.full((len(self._drawn.groups), 2), np.inf)
        for first in range(0, len(read), self._settings.global_batch):
            taken = read[first : first + self._settings.global_batch]
            columns = np.arange(2 * len(taken)).reshape(-1, 2)
            work = self._drawn.work(taken, self._settings, by_column(columns))
            found[taken] = -measure(work, NextToken(), columns.size).sums("loss").reshape(-1, 2)
        self._reference = torch.from_numpy(found)
        yield from self._validate(0, measure)

    def go_on(self, state: checkpoint.Record) -> None:
        """Take over what the reference said."""
        self._reference, self._first = state["reference"], state["valid"]

    def state(self) -> checkpoint.Record:
        """Return what the reference said: float64[n, 2], infinite for pairs that the run never reads."""
        return {"reference": self._reference, "valid": self._first}

    def work(self, step: int) -> Work:
        """Return this process's rows of a step."""
        return self._work(self._drawn.step(step, self._settings))

    def line(self, step: int, totals: Totals) -> Line:
        """Return the loss by source and language, margin and accuracy, and the rewards of both responses."""
        line = self._drawn.line(step, self._settings, totals)
        rewards = {name: totals.mean(name) for name in ("chosen", "rejected")}
        return {**line, "margin": totals.mean("margin"), "accuracy": totals.mean("accuracy"), "rewards": rewards}

    def after(self, step: int, measure: Measure) -> Iterator[Line]:
        """Measure what is held out at intervals."""
        if self._settings.is_valid_step(step):
            yield from self._validate(step, measure)

    def _work(self, read: Ids) -> Work:
        def complete(batch: Batch, taken: Ids) -> None:
            batch["group"] = torch.from_numpy(self._drawn.groups[read[taken]])
            batch["reference"] = self._reference[torch.from_numpy(read[taken])]

        return self._drawn.work(read, self._settings, complete)

    def _validate(self, step: int, measure: Measure) -> Iterator[Line]:
        if len(self._drawn.held_out):
            totals = measure(self._work(self._drawn.held_out), self.objective, self.groups)
            self._first = self._first or self._drawn.losses(totals)
            yield self._drawn.validation(step, totals, self._first)


if __name__ == "__main__":
    from mixer.train import options

    options.run_as_program(options.dpo(start))
