"""What is told about prepared data: what became of the records, and the languages that training sees, by source.

The language of *answers* is counted beside that of prompts: a model learns to answer in the language of its answers.
Shares in all are those of what training draws, by the weights of the sources, and not of the files.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mixer.dialogues.examples import Examples, Pairs
from mixer.dialogues.prepare import Prepared

ALL: Final = ""
"""In the place of a source's name: all sources, by their weights."""
Side = Literal["answers", "prompts"]


@dataclass(frozen=True)
class Share:
    """The part of one language: of the answers or of the prompts, in a source or in all.

    ``examples``, ``tokens`` and ``answer_tokens`` are shares, 0 to 1: of examples, of all their tokens, and of their
    learned tokens. Of a preference, the tokens of both sides count.
    """

    source: str
    side: Side
    language: str
    examples: float
    tokens: float
    answer_tokens: float

    @property
    def amounts(self) -> tuple[float, float, float]:
        """The three shares."""
        return self.examples, self.tokens, self.answer_tokens


def shares(prepared: Prepared) -> list[Share]:
    """Return the shares of every language in what training draws, the largest first within a source and a side."""
    return [share for source in (*prepared.sources, ALL) for share in _of_source(prepared, source)]


def report(prepared: Prepared) -> dict[str, Any]:
    """Return all that is told, as JSON: for a file beside the run."""
    tokens, learned = _counts(prepared.examples)
    sources = []
    for number, (name, weight, tally) in enumerate(
        zip(prepared.sources, prepared.weights.tolist(), prepared.tallies, strict=True)
    ):
        rows = prepared.train_rows(number)
        sources.append(
            {
                "name": name,
                "format": tally.format,
                "weight": weight,
                "read": tally.read,
                "kept": tally.kept,
                "train": len(rows),
                "valid": tally.kept - len(rows),
                "tokens": int(tokens[rows].sum()),
                "answer_tokens": int(learned[rows].sum()),
                "set_aside": {
                    reason: {"count": count, "first": tally.first[reason]}
                    for reason, count in sorted(tally.aside.items())
                },
                "notes": dict(sorted(tally.notes.items())),
                "unreadable": {"count": tally.unreadable, "first": tally.unreadable_first},
            }
        )
    return {
        "kind": "preference" if isinstance(prepared.examples, Pairs) else "dialogue",
        "key": prepared.key,
        "template": prepared.template,
        "sequence_length": prepared.sequence_length,
        "seed": prepared.seed,
        "examples": len(prepared),
        "train": int((~prepared.held_out).sum()),
        "valid": int(prepared.held_out.sum()),
        "sources": sources,
        "languages": [{**asdict(share), "source": share.source or None} for share in shares(prepared)],
    }


def _of_source(prepared: Prepared, source: str) -> Iterator[Share]:
    weights = _example_weights(prepared, source)
    tokens, learned = _counts(prepared.examples)
    sides: tuple[tuple[Side, NDArray[np.int16]], ...] = (
        ("answers", prepared.answer_language),
        ("prompts", prepared.prompt_language),
    )
    for side, language in sides:
        columns = [
            _normalised(np.bincount(language, weights * amount, len(prepared.languages)).astype(np.float64))
            for amount in (np.ones(len(weights)), tokens, learned)
        ]
        for number in np.argsort(-columns[0], kind="stable").tolist():
            if columns[0][number] > 0:
                yield Share(source, side, prepared.languages[number], *(float(column[number]) for column in columns))


def _example_weights(prepared: Prepared, source: str) -> NDArray[np.float64]:
    """Return how much each example counts: as often as training draws it, on average."""
    each = np.zeros(len(prepared), np.float64)
    for number, name in enumerate(prepared.sources):
        if source in (ALL, name):
            rows = prepared.train_rows(number)
            each[rows] = prepared.weights[number] / len(rows)
    return each


def _counts(examples: Examples | Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tokens and the learned tokens of each example, of a pair those of both sides: int64[n] each."""
    if isinstance(examples, Examples):
        return examples.lengths, examples.learned_counts
    sides = (examples.chosen, examples.rejected)
    return sum(side.lengths for side in sides), sum(side.learned_counts for side in sides)  # type: ignore[return-value]


def _normalised(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    total = sums.sum()
    return sums / total if total else sums
