"""Supervised fine-tuning: the model learns the responses of dialogues, and reads the rest of them.

The loss is that of the response tokens, divided by their number over the global batch (Equation 2 of the paper),
however examples share rows and processes. Every step logs it by source and by language of the answer.

Started as ``mixer train sft``, or as ``torchrun -m mixer.train.sft`` with the same arguments. The same command goes on
where an interrupted run stopped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixer.dialogues.shares import report
from mixer.train import checkpoint
from mixer.train.finetuning import Drawn, open_data, settings_of
from mixer.train.handover import hand_over, target
from mixer.train.loop import Line, Measure, Run, train
from mixer.train.losses import NextToken, Totals, Work
from mixer.train.packing import Ids, by_column
from mixer.train.presets import SFT
from mixer.train.settings import SftSettings


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
    """Train, or hand over to another trainer, as the command line says (``options.sft``).

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
    opened = open_data(data, "dialogue")
    settings = settings_of(SftSettings, SFT, model, given, opened)
    if folder is not None:
        hand_over(folder, devices, opened, settings, init, out, {"stop_at": stop_at, **given})
        return
    drawn = Drawn.of(opened, settings.samples)
    run = Run(out or Path(f"{data.stem}-sft"), init, stop_at, report(opened.prepared))
    train(run, settings, lambda: Stage(drawn, settings))


class Stage:
    """The examples of each step.

    Parameters
    ----------
    drawn
        Examples in their order.
    settings
        Of the run.
    """

    shown = ()

    def __init__(self, drawn: Drawn, settings: SftSettings) -> None:
        self.objective = NextToken()
        self.groups = len(drawn.sources)
        self.record = drawn.record
        self._drawn = drawn
        self._settings = settings
        self._first: Line = {}

    def title(self) -> str:
        """Say what is read."""
        return self._drawn.title(self._settings, "examples")

    def begin(self, measure: Measure) -> Iterator[Line]:
        """Measure what is held out before the first step."""
        yield from self._validate(0, measure)

    def go_on(self, state: checkpoint.Record) -> None:
        """Take over the first losses on what is held out."""
        self._first = state["valid"]

    def state(self) -> checkpoint.Record:
        """Return the first losses on what is held out."""
        return {"valid": self._first}

    def work(self, step: int) -> Work:
        """Return this process's rows of a step."""
        return self._work(self._drawn.step(step, self._settings))

    def line(self, step: int, totals: Totals) -> Line:
        """Return the loss by source and language."""
        return self._drawn.line(step, self._settings, totals)

    def after(self, step: int, measure: Measure) -> Iterator[Line]:
        """Measure what is held out at intervals."""
        if self._settings.is_valid_step(step):
            yield from self._validate(step, measure)

    def _work(self, read: Ids) -> Work:
        return self._drawn.work(read, self._settings, by_column(self._drawn.groups[read]))

    def _validate(self, step: int, measure: Measure) -> Iterator[Line]:
        if len(self._drawn.held_out):
            totals = measure(self._work(self._drawn.held_out), self.objective, self.groups)
            self._first = self._first or self._drawn.losses(totals)
            yield self._drawn.validation(step, totals, self._first)


if __name__ == "__main__":
    from mixer.train import options

    options.run_as_program(options.sft(start))
