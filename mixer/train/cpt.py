"""Continual pre-training on a finished mixture.

Reads ``megatron/blend.json`` through megatron-core's datasets and says at every step what was read: the loss by
language and by dataset, and the realised ratio of the additional language so far. At intervals it measures the loss on
every validation set and how far that has moved since the first step: where it grows, something is being forgotten.

Started as ``mixer train cpt``, or on many GPUs as ``torchrun -m mixer.train.cpt`` with the same arguments. The same
command goes on where an interrupted run stopped, with the losses that it would have had.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state

from mixer.errors import UsageError
from mixer.manifest import read
from mixer.train import checkpoint
from mixer.train.data import Samples, batches, build_datasets
from mixer.train.loop import Line, Measure, Run, train
from mixer.train.losses import NextToken, Totals, Work
from mixer.train.presets import CPT, shape_of
from mixer.train.processes import on_first
from mixer.train.promise import Mixture, Tally, check_length, load_mixture, names_of
from mixer.train.settings import CptSettings


def start(
    mixture: Path,
    *,
    model: str,
    init: Path | None,
    out: Path | None,
    stop_at: int | None,
    sequence_length: int | None,
    rehash: bool,
    **given: Any,
) -> None:
    """Train as the command line says (``options.cpt``).

    Raises
    ------
    BrokenPromiseError
        The build does not hold what it promises, or is not the one that the run began with.
    UsageError
        The layout does not fit the processes, or ``--init`` names no model of this shape.
    """
    settings = settings_of(mixture, model, given)

    def load() -> Stage:
        return Stage(
            on_first(lambda: load_mixture(mixture, settings.shape, sequence_length=sequence_length, rehash=rehash)),
            settings,
        )

    train(Run(out or Path(f"{mixture.resolve().name}-cpt"), init, stop_at), settings, load)


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
        "model": model,
        "shape": shape.model_copy(update=own),
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
    return CptSettings.of(values)


class Stage:
    """The mixture, sample by sample, and what is watched while it is read.

    Parameters
    ----------
    mixture
        A checked build.
    settings
        Of the run.
    """

    shown = ("almr",)

    def __init__(self, mixture: Mixture, settings: CptSettings) -> None:
        self.objective = NextToken()
        self.groups = len(mixture.datasets)
        self._mixture = mixture
        self._settings = settings
        self._tally = Tally(mixture)
        self._first: dict[str, list[float]] = {}
        self._train: Samples = None
        self._valid: list[Samples] = []

    @property
    def record(self) -> checkpoint.Record:
        """The build and its weights."""
        return {"mixture": self._mixture.record()}

    def title(self) -> str:
        """Say which mixture it is, and how much of it is read."""
        manifest, settings = self._mixture.manifest, self._settings
        return (
            f"{manifest.recipe}: {settings.steps:,} steps of {settings.global_batch:,} samples of "
            f"{manifest.sequence_length:,} tokens, ALMR {manifest.almr.target}"
        )

    def begin(self, measure: Measure) -> Iterator[Line]:
        """Open the datasets and measure the validation sets before the first step."""
        self._open()
        if self._valid and self._settings.valid_samples:
            self._first = self._validate(measure)
            yield {"step": 0, **_valid_line(self._first, self._first, self._mixture)}

    def go_on(self, state: checkpoint.Record) -> None:
        """Open the datasets and take over what was counted."""
        self._open()
        self._first = state["valid"]
        self._tally.drawn = np.array(state["drawn"])

    def state(self) -> checkpoint.Record:
        """Return the first losses on the validation sets, and the samples drawn from each dataset."""
        return {"valid": self._first, "drawn": self._tally.drawn.tolist()}

    def work(self, step: int) -> Work:
        """Return this process's samples of a step."""
        size = self._settings.global_batch
        return self._work(self._train, range((step - 1) * size, step * size))

    def line(self, step: int, totals: Totals) -> Line:
        """Return the loss by language and dataset, and the realised ratio so far."""
        datasets, batch = self._mixture.datasets, self._settings.global_batch
        self._tally.add(totals.sums("samples").round().astype(np.int64))
        return {
            "samples": step * batch,
            "tokens": step * batch * self._mixture.manifest.sequence_length,
            "loss": totals.mean("loss"),
            "languages": totals.by("loss", [entry.language for entry in datasets]),
            "datasets": totals.by("loss", names_of(datasets)),
            "almr": self._tally.almr,
        }

    def after(self, step: int, measure: Measure) -> Iterator[Line]:
        """Measure the validation sets at intervals."""
        if self._valid and self._settings.valid_samples and self._settings.is_valid_step(step):
            yield {"step": step, **_valid_line(self._validate(measure), self._first, self._mixture)}

    def _open(self) -> None:
        self._train, self._valid = build_datasets(self._mixture, self._settings.samples, self._settings.seed)

    def _work(self, dataset: Samples, indices: range | list[int]) -> Work:
        micro, length = self._settings.micro_batch, self._mixture.manifest.sequence_length
        count = len(indices) // (micro * parallel_state.get_data_parallel_world_size())
        return Work(batches(dataset, indices, micro), count, (micro, length), len(indices) * length)

    def _validate(self, measure: Measure) -> dict[str, list[float]]:
        """Return sum of the losses and number of tokens of each validation set, over the same samples every time."""
        found = {}
        stride = self._settings.micro_batch * parallel_state.get_data_parallel_world_size()
        for name, dataset in zip(names_of(self._mixture.valid), self._valid, strict=True):
            indices = list(range(min(len(dataset), self._settings.valid_samples)))
            indices += [-1] * (-len(indices) % stride)
            totals = measure(self._work(dataset, indices), self.objective, 1)
            found[name] = [float(totals.sums("loss")[0]), int(totals.sums("tokens")[0])]
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


if __name__ == "__main__":
    from mixer.train import options

    options.run_as_program(options.cpt(start))
