"""Preferences with ``chosen`` and ``rejected``, in the shapes that trainers read.

Seen in LLaMA-Factory (data/README.md, "Preference Dataset" of both formats; data/dpo_en_demo.json): ``conversations``,
or ``instruction`` and ``input``, with both answers beside them; and in TRL (docs/source/dataset_formats.md): a
``prompt`` of text or messages with answers of the same kind, or no prompt, but both dialogues whole, whose common
beginning it is.
"""

from typing import Any

from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import has, messages, opening, prompt, text_of, tools, turns_of, with_system
from mixer.dialogues.turns import ANSWERING, Preference, Record, SetAsideError, Turn

_PROMPTS = ("conversations", "messages", "prompt", "instruction", "question")
"""Where what is answered may stand, the first that a record has."""


def convert(record: Record, _: str) -> Preference:
    """Make a preference of a record."""
    for field in ("chosen", "rejected"):
        if record.get(field) is None:
            raise SetAsideError("no_answer", f"no `{field}`")
    asked = _asked(record)
    chosen, rejected = (_dialogue(record[field], field) for field in ("chosen", "rejected"))
    if not asked:
        common = 0
        while common < min(len(chosen), len(rejected)) - 1 and chosen[common] == rejected[common]:
            common += 1
        asked, chosen, rejected = chosen[:common], chosen[common:], rejected[common:]
    if not asked:
        raise SetAsideError("format", f"there is no prompt: none of {', '.join(_PROMPTS)}, nor a common beginning")
    return Preference(tuple(asked), _answer(chosen, "chosen"), _answer(rejected, "rejected"), tools(record))


def _asked(record: Record) -> list[Turn]:
    """Return the prompt, empty if the record has none of its own."""
    field = next((name for name in _PROMPTS if record.get(name) is not None), None)
    if field is None:
        return []
    if isinstance(record[field], list):
        return with_system(messages(record[field], field), record)
    asked = prompt(record) if field == "instruction" else text_of(record[field], field)
    return [*opening(record), Turn("user", asked, learned=False)]


def _dialogue(value: Any, field: str) -> list[Turn]:
    if isinstance(value, list):
        return messages(value, field)
    return turns_of(value, field) if isinstance(value, dict) else [Turn("assistant", text_of(value, field))]


def _answer(turns: list[Turn], field: str) -> Turn:
    if len(turns) != 1 or turns[0].role not in ANSWERING:
        raise SetAsideError("format", f"`{field}` is not one answer to the prompt")
    return turns[0]


FORMATS = (
    Format(
        "chosen",
        "preference",
        "chosen and rejected (text or messages) to prompt, conversations, messages, or instruction and input",
        ("chosen", "rejected"),
        (*_PROMPTS, "input", "history", "system", "tools"),
        convert,
        lambda record: has(record, "chosen", "rejected"),
    ),
)
