"""What a record is about, as plain text: a dialogue to learn the answers of, or a preference between two answers.

Made by ``formats``, put into one form by ``checks``, and taken by ``template`` and ``llamafactory``.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "call", "tool"]
"""Who speaks. ``call`` is the assistant asking for a tool instead of answering, ``tool`` what the tool gave back."""

ANSWERING: Final = ("assistant", "call")
"""Roles whose turns the model writes."""

Record: TypeAlias = dict[str, Any]
"""A record of a file, decoded."""

REASONS: Final = {
    "format": "the record is not what its format says",
    "not_wanted": "a field has another value than `only` asks for",
    "not_text": "a turn holds something else than text, such as an image",
    "nul_character": "a turn holds a NUL character",
    "no_answer": "nobody answers, or there is only one answer where two are compared",
    "empty_response": "an answer is empty",
    "empty_prompt": "a turn that is answered is empty",
    "tie": "neither answer is preferred",
    "equal_answers": "both answers are the same",
    "bad_answer": "the record says that its answer is a bad one",
    "partial_weight": "a loss weight is neither 0 nor 1, or a turn that is no answer has one",
    "prompt_too_long": "the prompt leaves no room for an answer",
    "too_long": "it is longer than `sequence_length`, and `too_long` says `set_aside`",
}
"""Why a record is set aside."""


class SetAsideError(Exception):
    """A record that must not be trained on; ``reason`` is one of ``REASONS``, ``cause`` says what was found."""

    def __init__(self, reason: str, cause: str = "") -> None:
        super().__init__(cause or REASONS[reason])
        self.reason = reason


@dataclass(frozen=True)
class Turn:
    """What one side says at once; ``learned`` is false for an answer that is context only."""

    role: Role
    content: str
    learned: bool = True


@dataclass(frozen=True)
class Dialogue:
    """Turns in order.

    Attributes
    ----------
    turns
        A system message is a turn like the others.
    tools
        Descriptions of the functions that may be called, as JSON; empty: none.
    repairs
        How often something that is no part of the text was taken out of it, such as what is left of a template.
    """

    turns: tuple[Turn, ...]
    tools: str = ""
    repairs: int = 0


@dataclass(frozen=True)
class Preference:
    """Turns that end with what is to be answered, and two answers to it of which the first is better."""

    prompt: tuple[Turn, ...]
    chosen: Turn
    rejected: Turn
    tools: str = ""
    repairs: int = 0


Item: TypeAlias = Dialogue | Preference
