"""What supervised fine-tuning and preference optimisation share: examples in the order in which a run reads them.

The examples come from ``mixer.dialogues``: every process makes them of the same files, and draws the same order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from mixer.dialogues.draw import draw
from mixer.dialogues.examples import Pairs
from mixer.dialogues.formats.format import Kind
from mixer.dialogues.prepare import Prepared, prepare
from mixer.dialogues.settings import LoadedTuning, load_tuning
from mixer.errors import BrokenPromiseError
from mixer.screens.dialogues import show_prepared
from mixer.tokenize.vocabulary import Vocabulary, load_vocabulary
from mixer.train import checkpoint
from mixer.train.loop import Line
from mixer.train.losses import Batch, Totals, Work
from mixer.train.packing import Ids, Units, rows_of
from mixer.train.presets import Recipe, shape_of
from mixer.train.processes import is_first
from mixer.train.settings import SftSettings

S = TypeVar("S", bound=SftSettings)


@dataclass(frozen=True)
class Data:
    """A DATA.yaml, and the examples made of it."""

    loaded: LoadedTuning
    vocabulary: Vocabulary
    prepared: Prepared


def settings_of(
    kind: type[S],
    presets: Mapping[str, Recipe],
    model: str,
    given: Mapping[str, Any],
    data: Data,
) -> S:
    """Return the settings of a run: what is given, the rest from the paper's table and the data.

    Raises
    ------
    UsageError
        There is no such model, or the settings cannot be.
    BrokenPromiseError
        The data are in another vocabulary than the model's.
    """
    shape, vocabulary, prepared = shape_of(model), data.vocabulary, data.prepared
    if shape.vocab_size not in (None, vocabulary.vocab_size):
        raise BrokenPromiseError(
            f"the tokenizer of the data, {vocabulary.name}, differs from the model's: it has {vocabulary.vocab_size:,} "
            f"ids, the model {shape.vocab_size:,}",
            "name the model's tokenizer in DATA.yaml, or train another model",
        )
    values = {
        "model": model,
        "shape": shape.model_copy(
            update={"vocab_size": vocabulary.vocab_size, "eod": vocabulary.eod if shape.eod is None else shape.eod}
        ),
        "dtype": "bfloat16" if torch.cuda.is_available() else "float32",
        "seed": prepared.seed,
        "sequence_length": prepared.sequence_length,
        **presets[model].model_dump(),
        **{key: value for key, value in given.items() if value is not None},
    }
    train = int((~prepared.held_out).sum())
    values.setdefault("steps", max(1, train // values["global_batch"]))
    return kind.of(values)


def open_data(path: Path, kind: Kind) -> Data:
    """Make the examples of a DATA.yaml, and show what became of the records.

    Raises
    ------
    UsageError
        There is no such file, or nothing is left to train on.
    RecipeError, InputError
        It, or a file that it names, is not what it should be.
    """
    loaded = load_tuning(path)
    vocabulary = load_vocabulary(loaded.tokenizer)
    prepared = prepare(loaded, kind, vocabulary)
    if is_first():
        show_prepared(prepared)
    return Data(loaded, vocabulary, prepared)


@dataclass(frozen=True)
class Drawn:
    """Examples or pairs, and which of them comes at which place.

    Parameters
    ----------
    units
        All there are, n.
    order
        What the run reads: int64[samples].
    held_out
        What it is measured on: int64[m].
    groups
        The column of the totals for each: int64[n].
    sources, languages
        What the columns are about: source, and language of the answers.
    record
        What a checkpoint remembers of the data.
    """

    units: Units
    order: Ids
    held_out: Ids
    groups: Ids
    sources: list[str]
    languages: list[str]
    record: checkpoint.Record

    @classmethod
    def of(cls, data: Data, samples: int) -> "Drawn":
        """Draw so many samples."""
        prepared, pairs = data.prepared, data.prepared.examples
        parts = (pairs.chosen, pairs.rejected) if isinstance(pairs, Pairs) else (pairs,)
        codes = prepared.source.astype(np.int64) * len(prepared.languages) + prepared.answer_language
        columns, groups = np.unique(codes, return_inverse=True)
        found = [divmod(code, len(prepared.languages)) for code in columns.tolist()]
        return cls(
            Units(parts, prepared.sequence_length),
            draw(prepared, samples),
            prepared.valid_rows,
            groups.astype(np.int64),
            [prepared.sources[source] for source, _ in found],
            [prepared.languages[language] for _, language in found],
            {"data": {"key": prepared.key, "tokenizer_name": data.vocabulary.name, "template": prepared.template}},
        )

    def step(self, step: int, settings: SftSettings) -> Ids:
        """Return what a step reads."""
        return self.order[(step - 1) * settings.global_batch : step * settings.global_batch]

    def work(self, read: Ids, settings: SftSettings, complete: Callable[[Batch, Ids], None]) -> Work:
        """Return this process's rows of ``read`` (``packing.rows_of``)."""
        return rows_of(self.units, read, settings.micro_batch, complete, packing=settings.packing)

    def title(self, settings: SftSettings, samples: str) -> str:
        """Say what is read, and how much of it."""
        return (
            f"{', '.join(dict.fromkeys(self.sources))}: {settings.steps:,} steps of {settings.global_batch:,} "
            f"{samples} of up to {settings.sequence_length:,} tokens"
        )

    def line(self, step: int, settings: SftSettings, totals: Totals) -> Line:
        """Return what is logged of a step.

        Returns
        -------
        Line
            ``samples`` and ``tokens`` so far, ``shares``: how the response tokens so far are shared out over languages;
            ``loss``, and what it is made of by ``languages`` and ``sources``.
        """
        read = self.order[: step * settings.global_batch]
        responses = self.units.parts[0].learned_counts[read]
        learned = np.bincount(self.groups[read], responses, len(self.languages))
        shares = {
            language: float(learned[[other == language for other in self.languages]].sum() / learned.sum())
            for language in dict.fromkeys(self.languages)
        }
        return {
            "samples": len(read),
            "tokens": int(self.units.lengths[read].sum()),
            **self.losses(totals),
            "shares": {language: share for language, share in shares.items() if share},
        }

    def validation(self, step: int, totals: Totals, first: Line) -> Line:
        """Return what a validation finds, beside the ``losses`` of the first one."""
        now = self.losses(totals)
        change = {name: loss - first["languages"][name] for name, loss in now["languages"].items()}
        return {"step": step, "valid": {**now, "change": change}}

    def losses(self, totals: Totals) -> Line:
        """Return the loss, and what it is made of by language of the answer and by source."""
        return {
            "loss": totals.mean("loss"),
            "languages": totals.by("loss", self.languages),
            "sources": totals.by("loss", self.sources),
        }
