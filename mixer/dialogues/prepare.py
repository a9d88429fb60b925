"""All sources of a DATA.yaml to columns: the step from files to what training draws from."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from mixer.dialogues.checks import answers_of, prompts_of
from mixer.dialogues.encode import Encoded, encode
from mixer.dialogues.examples import Examples, Pairs, joined
from mixer.dialogues.formats.format import Format, Kind
from mixer.dialogues.records import Found, Tally, find_format, items
from mixer.dialogues.settings import DETECT, LoadedTuning, TuningSource, require_kind
from mixer.dialogues.template import Template, template_of
from mixer.dialogues.turns import SetAsideError
from mixer.errors import InputError
from mixer.filters.language import UNDETERMINED, detect, load_model
from mixer.filters.lid176 import LanguageModel
from mixer.filters.settings import LanguageSettings
from mixer.tokenize.encode import Encoder
from mixer.tokenize.vocabulary import Vocabulary

BATCH: Final = 2048
"""Dialogues encoded at once."""


@dataclass(frozen=True)
class Prepared:
    """The examples of all sources, and what is known of them; ``n`` is their number.

    Attributes
    ----------
    examples
        The examples, or pairs of them; source by source, in the order of the files.
    held_out
        bool[n], which are for validation.
    places
        int64[n], the number of each example among those that its source yields (``records.items``).
    answer_language, prompt_language
        int16[n], numbers into ``languages``.
    languages
        Codes of ISO 639-1; ``und`` where no language can be told.
    sources, weights
        Names, and float64 shares of the examples drawn; they sum to 1.
    tallies
        What became of the records of each source.
    template, sequence_length, seed
        What the examples were made with.
    key
        A hash of everything that decides what is drawn: a resumed training must find the same.
    """

    examples: Examples | Pairs
    held_out: NDArray[np.bool_]
    places: NDArray[np.int64]
    answer_language: NDArray[np.int16]
    prompt_language: NDArray[np.int16]
    languages: tuple[str, ...]
    sources: tuple[str, ...]
    weights: NDArray[np.float64]
    tallies: tuple[Tally, ...]
    template: str
    sequence_length: int
    seed: int
    key: str

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def source(self) -> NDArray[np.int16]:
        """Which source each example comes from: int16[n]."""
        return self.examples.chosen.source if isinstance(self.examples, Pairs) else self.examples.source

    def train_rows(self, source: int) -> NDArray[np.int64]:
        """Return the examples of a source that training draws from."""
        return np.flatnonzero((self.source == source) & ~self.held_out)

    @property
    def valid_rows(self) -> NDArray[np.int64]:
        """The examples held out for validation, in order."""
        return np.flatnonzero(self.held_out)


def prepare(loaded: LoadedTuning, kind: Kind, vocabulary: Vocabulary) -> Prepared:
    """Read, check and encode all sources.

    Parameters
    ----------
    loaded
        From ``load_tuning``.
    kind
        ``dialogue`` for supervised fine-tuning, ``preference`` for DPO; every source must hold that kind.
    vocabulary
        Of the model.

    Raises
    ------
    RecipeError
        The format of a source cannot be told or is of the other kind; a path matches nothing; no template is known.
    InputError
        A file cannot be read, or too many records cannot, or nothing of a source is left to train on.
    """
    settings = loaded.settings
    forms = [find_format(source, loaded.root) for source in settings.sources]
    for source, form in zip(settings.sources, forms, strict=True):
        require_kind(form.kind, kind, source.name)
    encoder = Encoder(vocabulary)
    template = template_of(vocabulary, encoder, settings.template)
    maker = _Maker(loaded, template, encoder, load_model())
    tallies = [maker.add(number, form) for number, form in enumerate(forms)]
    return maker.prepared(kind, tallies, vocabulary)


class _Maker:
    """Collects the examples of one source after the other."""

    def __init__(self, loaded: LoadedTuning, template: Template, encoder: Encoder, model: LanguageModel) -> None:
        self._settings = loaded.settings
        self._root = loaded.root
        self._template, self._encoder, self._model = template, encoder, model
        self._parts: list[tuple[Examples, ...]] = []
        self._held_out: list[bool] = []
        self._places: list[int] = []
        self._languages: dict[str, int] = {}
        self._answers: list[int] = []
        self._prompts: list[int] = []

    def add(self, number: int, form: Format) -> Tally:
        """Take a source, and say what became of it."""
        source = self._settings.sources[number]
        tally = Tally(source.name)
        found = enumerate(items(source, self._root, form, tally))
        while source.limit is None or tally.kept < source.limit:
            size = BATCH if source.limit is None else min(BATCH, source.limit - tally.kept)
            batch = list(islice(found, size))
            if not batch:
                break
            self._add(number, source, batch, tally)
        if not tally.kept:
            reasons = "; ".join(f"{count:,} {reason} ({tally.first[reason]})" for reason, count in tally.aside.items())
            raise InputError(
                f"source {source.name!r} has nothing to train on: {reasons or 'it has no records'}",
                "correct its `format` or its files, or leave it out",
            )
        return tally

    def _add(self, number: int, source: TuningSource, batch: Sequence[tuple[int, Found]], tally: Tally) -> None:
        settings = self._settings
        encoded = encode(
            [found.item for _, found in batch],
            self._template,
            self._encoder,
            settings.sequence_length,
            settings.too_long,
        )
        kept: list[tuple[Encoded, ...]] = []
        of: list[Found] = []
        for (place, found), made in zip(batch, encoded, strict=True):
            if isinstance(made, SetAsideError):
                tally.set_aside(made, found.place)
                continue
            kept.append(made)
            of.append(found)
            self._places.append(place)
            tally.notes.update(found.notes + Counter({"cut": 1} if any(each.cut for each in made) else {}))
        tally.kept += len(kept)
        self._parts.append(tuple(_columns(list(side), number) for side in zip(*kept, strict=True)))
        prompts = [prompts_of(found.item) for found in of]
        self._answers += self._found(source, [answers_of(found.item) for found in of])
        self._prompts += self._found(source, prompts)
        self._held_out += [_drawn_out(prompt, settings.seed, settings.valid_fraction) for prompt in prompts]

    def _found(self, source: TuningSource, texts: list[str]) -> Iterator[int]:
        """Yield the number of each text's language; below its threshold, no language is told."""
        if source.language != DETECT:
            codes = [source.language] * len(texts)
        else:
            limits = LanguageSettings()
            labels, scores = detect(pa.array(texts, pa.large_string()), limits, self._model)
            codes = [
                label if score >= limits.threshold_of(label) else UNDETERMINED
                for label, score in zip(labels, scores.tolist(), strict=True)
            ]
        return (self._languages.setdefault(code, len(self._languages)) for code in codes)

    def prepared(self, kind: Kind, tallies: Sequence[Tally], vocabulary: Vocabulary) -> Prepared:
        """Put everything together."""
        settings = self._settings
        sides = [joined(side) for side in zip(*(part for part in self._parts if part), strict=True)]
        held_out = np.array(self._held_out, np.bool_)
        sizes = np.bincount(sides[0].source[~held_out], minlength=len(tallies))
        for tally, size in zip(tallies, sizes.tolist(), strict=True):
            if not size:
                raise InputError(
                    f"source {tally.source!r}: all of its {tally.kept:,} examples are held out for validation",
                    "choose a smaller `valid_fraction`, or leave the source out",
                )
        given = [source.weight for source in settings.sources]
        weights = sizes.astype(np.float64) if None in given else np.array(given, np.float64)
        digest = xxhash.xxh3_128(json.dumps([vocabulary.sha256, settings.seed, weights.tolist()]).encode())
        for column in (
            *(c for side in sides for c in (side.tokens, side.offsets, side.learned)),
            sides[0].source,
            held_out,
        ):
            digest.update(column.data)
        examples = sides[0] if kind == "dialogue" else Pairs(*sides)
        return Prepared(
            examples=examples,
            held_out=held_out,
            places=np.array(self._places, np.int64),
            answer_language=np.array(self._answers, np.int16),
            prompt_language=np.array(self._prompts, np.int16),
            languages=tuple(self._languages),
            sources=tuple(tally.source for tally in tallies),
            weights=weights / weights.sum(),
            tallies=tuple(tallies),
            template=self._template.name,
            sequence_length=settings.sequence_length,
            seed=settings.seed,
            key=digest.hexdigest(),
        )


def _columns(examples: Sequence[Encoded], source: int) -> Examples:
    lengths = np.array([len(example.tokens) for example in examples], np.int64)
    return Examples(
        np.concatenate([example.tokens for example in examples]),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
        np.concatenate([example.learned for example in examples]),
        np.full(len(examples), source, np.int16),
    )


def _drawn_out(prompt: str, seed: int, fraction: float) -> bool:
    """Whether an example is held out: by a hash of its prompt, so that equal prompts go the same way."""
    return xxhash.xxh3_64_intdigest(prompt.encode(), seed) < fraction * 2.0**64
