"""Task-oriented and knowledge-grounded dialogues: CrossWOZ and KdConv.

CrossWOZ, seen in thu-coai/CrossWOZ (data/crosswoz/val.json.zip): one JSON object for all dialogues by their numbers,
each with ``messages`` of ``role`` (``usr``, ``sys``) and ``content``; the acts and states beside them are not looked
at.

KdConv, seen in thu-coai/KdConv (data/*/dev.json): ``messages`` of ``message`` without a role; two people take turns.
The first is the user, the second, who answers from the knowledge in ``attrs``, the assistant.
"""

from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import messages, text_of
from mixer.dialogues.turns import Dialogue, Record, SetAsideError, Turn
from mixer.sources.fields import kind_of


def crosswoz(record: Record, _: str) -> Dialogue:
    """Make a dialogue of CrossWOZ's, by role."""
    return Dialogue(tuple(messages(record.get("messages"), "messages")))


def kdconv(record: Record, _: str) -> Dialogue:
    """Make a dialogue of KdConv's, by turns."""
    said = record.get("messages")
    if not isinstance(said, list) or not all(isinstance(message, dict) and "message" in message for message in said):
        raise SetAsideError("format", f"`messages` is {kind_of(said)} without `message` in each")
    texts = [text_of(message["message"], "message") for message in said]
    return Dialogue(
        tuple(
            Turn("assistant", content) if place % 2 else Turn("user", content, learned=False)
            for place, content in enumerate(texts)
        )
    )


def _dialogues(record: Record) -> list[Record]:
    """Return the dialogues of a record that holds them by their numbers."""
    if "messages" in record or not record:
        return [record]
    return [value if isinstance(value, dict) else {"messages": value} for value in record.values()]


def _is_crosswoz(record: Record) -> bool:
    found = _dialogues(record)[0].get("messages")
    return isinstance(found, list) and any(isinstance(m, dict) and m.get("role") in ("usr", "sys") for m in found)


def _is_kdconv(record: Record) -> bool:
    found = record.get("messages")
    return isinstance(found, list) and any(isinstance(m, dict) and "message" in m and "role" not in m for m in found)


FORMATS = (
    Format(
        "crosswoz",
        "dialogue",
        "CrossWOZ: messages of role usr or sys, all dialogues in one object or one by one",
        ("messages",),
        (),
        crosswoz,
        _is_crosswoz,
        _dialogues,
    ),
    Format("kdconv", "dialogue", "KdConv: messages of two who take turns", ("messages",), (), kdconv, _is_kdconv),
)
