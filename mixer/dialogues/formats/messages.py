"""Lists of messages: ShareGPT's ``conversations`` and OpenAI's ``messages``.

Seen in LLaMA-Factory (data/README.md, "Sharegpt Format" and "OpenAI Format"; data/glaive_toolcall_en_demo.json for
function calls; data/v1_sft_demo.jsonl for parts and loss weights; src/llamafactory/data/converter.py for
``tool_calls``) and shibing624/MedicalGPT (data/sft/sharegpt_zh_1K_format.jsonl). Puffin (LDJnr/Puffin) has
``conversations`` of human and gpt.
"""

from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import messages, tools, with_system
from mixer.dialogues.turns import Dialogue, Record, SetAsideError


def conversations(record: Record, _: str) -> Dialogue:
    """Make a dialogue of ShareGPT's record."""
    return _dialogue(record, "conversations")


def openai(record: Record, _: str) -> Dialogue:
    """Make a dialogue of OpenAI's record."""
    return _dialogue(record, "messages")


def _dialogue(record: Record, field: str) -> Dialogue:
    if field not in record:
        raise SetAsideError("format", f"no field `{field}`")
    return Dialogue(tuple(with_system(messages(record[field], field), record)), tools(record))


def _is_conversations(record: Record) -> bool:
    return isinstance(record.get("conversations"), list) and "chosen" not in record


def _is_openai(record: Record) -> bool:
    found = record.get("messages")
    if not isinstance(found, list) or not found or "chosen" in record:
        return False
    return all(isinstance(message, dict) and message.get("role") not in (None, "usr", "sys") for message in found)


_OPTIONAL = ("system", "tools")

FORMATS = (
    Format(
        "sharegpt",
        "dialogue",
        "ShareGPT: conversations of from and value; also system, tools",
        ("conversations",),
        _OPTIONAL,
        conversations,
        _is_conversations,
    ),
    Format(
        "puffin", "dialogue", "Puffin: conversations of from and value", ("conversations",), _OPTIONAL, conversations
    ),
    Format(
        "messages",
        "dialogue",
        "OpenAI: messages of role and content; also tools, tool_calls, weights",
        ("messages",),
        _OPTIONAL,
        openai,
        _is_openai,
    ),
)
