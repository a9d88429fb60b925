"""What the formats share: the text of a field, and lists of messages with their many names for who speaks."""

import json
from typing import Any, Final

from mixer.dialogues.turns import ANSWERING, Record, Role, SetAsideError, Turn
from mixer.sources.fields import kind_of

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "usr": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "sys": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "observation": "tool",
    "tool": "tool",
    "tool_response": "tool",
    "function": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
"""Names of speakers as published data have them. ``usr`` and ``sys`` are CrossWOZ's; ``human``, ``gpt``,
``function_call`` and ``observation`` ShareGPT's, as LLaMA-Factory documents it (data/README.md, tags)."""

_NAMES: Final = (("from", "value"), ("role", "content"), ("role", "value"))
"""Keys of a message for who speaks and what is said."""
_WEIGHTS: Final = ("loss_weight", "weight")
"""``loss_weight`` in LLaMA-Factory's v1 data (data/v1_sft_demo.jsonl), ``weight`` in OpenAI's fine-tuning files."""


def text(record: Record, field: str) -> str:
    """Return the text of a field; missing and null are empty.

    Raises
    ------
    SetAsideError
        It is no text.
    """
    return text_of(record.get(field), field)


def needed(record: Record, field: str) -> str:
    """Return the text of a field that must be there; null is empty.

    Raises
    ------
    SetAsideError
        It is missing, or no text.
    """
    if field not in record:
        raise SetAsideError("format", f"no field `{field}`")
    return text(record, field)


def text_of(value: Any, name: str) -> str:
    """Return a value as text: strings and numbers as they are, parts of type text joined, null as nothing.

    Raises
    ------
    SetAsideError
        It is of another kind, or one of its parts is no text.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "".join(_part(part, name) for part in value)
    raise SetAsideError("format", f"`{name}` is {kind_of(value)}, not text")


def _part(part: Any, name: str) -> str:
    """Return the text of a part of a message: ``text`` in OpenAI's, ``value`` in LLaMA-Factory's v1 data."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise SetAsideError("format", f"a part of `{name}` is {kind_of(part)}, not text")
    if part.get("type", "text") != "text":
        raise SetAsideError("not_text", f"a part of `{name}` is of type {part['type']!r}")
    return text_of(part.get("text", part.get("value")), name)


def prompt(record: Record) -> str:
    """Return ``instruction`` and, below it, ``input`` if there is one, as LLaMA-Factory joins them (data/README.md)."""
    parts = (needed(record, "instruction"), text(record, "input"))
    return "\n".join(part for part in parts if part.strip())


def messages(value: Any, name: str) -> list[Turn]:
    """Read a list of messages.

    Raises
    ------
    SetAsideError
        It is no such list, a speaker is unknown, a message holds no text, or a weight cannot be kept.
    """
    if not isinstance(value, list):
        raise SetAsideError("format", f"`{name}` is {kind_of(value)}, not a list of messages")
    return [turn for message in value for turn in turns_of(message, name)]


def turns_of(message: Any, name: str) -> list[Turn]:
    """Read one message: a turn, or two if an answer both says something and calls a function.

    Raises
    ------
    SetAsideError
        As ``messages``.
    """
    if not isinstance(message, dict):
        raise SetAsideError("format", f"a message of `{name}` is {kind_of(message)}, not an object")
    keys = next((pair for pair in _NAMES if pair[0] in message and pair[1] in message), None)
    if keys is None:
        raise SetAsideError("format", f"a message of `{name}` has neither `from` and `value` nor `role` and `content`")
    speaker = message[keys[0]]
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise SetAsideError("format", f"`{name}` has the unknown speaker {speaker!r}")
    content = text_of(message[keys[1]], f"{name}.{keys[1]}")
    learned = _learned(message, role)
    calls = message.get("tool_calls") or []
    if not calls:
        return [Turn(role, content, learned)]
    call = Turn("call", _calls(calls, name), learned)
    return [Turn(role, content, learned), call] if content.strip() else [call]


def _learned(message: Record, role: Role) -> bool:
    """Whether the loss counts this turn: answers do, unless they have a weight of 0."""
    weight = next((message[key] for key in _WEIGHTS if message.get(key) is not None), None)
    if weight is None:
        return role in ANSWERING
    if weight not in (0, 1) or (weight == 1 and role not in ANSWERING):
        raise SetAsideError("partial_weight", f"a turn of {role} has the loss weight {weight}")
    return bool(weight)


def _calls(calls: Any, name: str) -> str:
    """Write OpenAI's ``tool_calls`` as ShareGPT's ``function_call`` has them: JSON of name and arguments, or a list."""
    found = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or "name" not in function:
            raise SetAsideError("format", f"a call in `{name}` names no function")
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                raise SetAsideError("format", f"the arguments of a call in `{name}` are no JSON") from None
        found.append({"name": function["name"], "arguments": arguments})
    return json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False)


def tools(record: Record) -> str:
    """Return the descriptions of tools as JSON: a string as it is, everything else written."""
    value = record.get("tools")
    if value is None or value == [] or value == {}:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def with_system(turns: list[Turn], record: Record) -> list[Turn]:
    """Put the field ``system`` before the turns, unless they begin with a system message, which wins."""
    if turns and turns[0].role == "system":
        return turns
    return [Turn("system", text(record, "system"), learned=False), *turns]


def opening(record: Record) -> list[Turn]:
    """Return what stands before the last prompt of an instruction record: ``system`` and ``history``.

    Raises
    ------
    SetAsideError
        The history is no list of prompts and answers.
    """
    turns = with_system([], record)
    history = record.get("history")
    for pair in history if isinstance(history, list) else []:
        if not isinstance(pair, list) or len(pair) != 2:
            raise SetAsideError("format", "`history` is no list of pairs of prompt and answer")
        turns += [
            Turn("user", text_of(pair[0], "history"), learned=False),
            Turn("assistant", text_of(pair[1], "history")),
        ]
    return turns


def has(record: Record, *fields: str) -> bool:
    """Whether a record has all these fields."""
    return all(field in record for field in fields)
