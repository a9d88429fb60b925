"""Dialogues to token ids, a batch at once: turns through the vocabulary's encoder, the template's ids around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.dialogues.template import Ids, Template, turns_of
from mixer.dialogues.turns import ANSWERING, Item, SetAsideError, Turn
from mixer.tokenize.encode import Encoder

TooLong: TypeAlias = Literal["cut", "set_aside"]


@dataclass(frozen=True)
class Encoded:
    """An example: int32 ids, bool of which are learned, and whether it was cut."""

    tokens: Ids
    learned: NDArray[np.bool_]
    cut: bool = False


def encode(
    items: Sequence[Item], template: Template, encoder: Encoder, sequence_length: int, too_long: TooLong
) -> list[tuple[Encoded, ...] | SetAsideError]:
    """Encode some dialogues or preferences in form.

    Parameters
    ----------
    items
        From ``checks.checked``.
    template, encoder
        Of one vocabulary.
    sequence_length
        Tokens of an example at most.
    too_long
        What becomes of a longer one: its end is cut off, down to the last learned token that fits; or it is set aside.

    Returns
    -------
    For each item one example, or two of a preference: with the better and with the worse answer. Or why it is set
    aside: its prompt leaves no room for an answer, or it is too long and that is not wanted.
    """
    parts = [turns_of(item) for item in items]
    contents = [turn.content for each in parts for turns in each for turn in turns]
    ids, offsets = encoder.encode(pa.array(contents, pa.large_string()), "a batch of dialogues")
    spans = pairwise(offsets.tolist())
    found: list[tuple[Encoded, ...] | SetAsideError] = []
    for each in parts:
        first, *answers = [_pieces(turns, template, ids, spans) for turns in each]
        wholes = [[(template.begin, False), *first, *answer] for answer in answers or [[]]]
        try:
            found.append(tuple(_fitted(whole, sequence_length, too_long) for whole in wholes))
        except SetAsideError as error:
            found.append(error)
    return _still_differ(found)


def _pieces(
    turns: Sequence[Turn], template: Template, ids: NDArray[np.uint32], spans: Iterator[tuple[int, int]]
) -> list[tuple[Ids, bool]]:
    """Return what turns are made of, and which of it is learned."""
    made: list[tuple[Ids, bool]] = []
    for turn in turns:
        first, last = next(spans)
        counts = turn.learned and turn.role in ANSWERING
        text = ids[first:last].astype(np.int32)
        made += ((template.headers[turn.role], False), (text, counts), (template.end, counts), (template.after, False))
    return made


def _fitted(pieces: Sequence[tuple[Ids, bool]], sequence_length: int, too_long: TooLong) -> Encoded:
    """Put an example together; what comes behind its last learned token is not needed."""
    tokens = np.concatenate([piece for piece, _ in pieces])
    learned = np.repeat([counts for _, counts in pieces], [len(piece) for piece, _ in pieces])
    places = np.flatnonzero(learned)
    size = int(places[-1]) + 1
    if size <= sequence_length:
        return Encoded(tokens[:size], learned[:size])
    if places[0] >= sequence_length:
        raise SetAsideError("prompt_too_long", f"the prompt has {places[0]:,} tokens")
    if too_long == "set_aside":
        raise SetAsideError("too_long", f"it has {size:,} tokens")
    size = int(places[np.searchsorted(places, sequence_length) - 1]) + 1
    return Encoded(tokens[:size], learned[:size], cut=True)


def _still_differ(found: list[tuple[Encoded, ...] | SetAsideError]) -> list[tuple[Encoded, ...] | SetAsideError]:
    """Set aside preferences whose answers have become the same by cutting, or stand for the same tokens."""
    return [
        SetAsideError("equal_answers", "both answers have the same tokens")
        if isinstance(each, tuple) and len(each) == 2 and np.array_equal(each[0].tokens, each[1].tokens)
        else each
        for each in found
    ]
