"""TigerBot's instructions, in whose fields its prompt template was left: ``### Instruction:`` and ``### Response:``.

Seen in TigerResearch/TigerBot (train/data/medical_qa_6000.jsonl): every instruction begins with the first mark, every
output with the second, some outputs with two of it; ``input`` is null. The marks are taken out and counted as repairs.
"""

import re
from typing import Final

from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import has, needed, text
from mixer.dialogues.turns import Dialogue, Record, Turn

_MARKS: Final = {
    "instruction": re.compile(r"(?:\s*### Instruction:)+\s*"),
    "input": re.compile(r"(?:\s*### Input:)+\s*"),
    "output": re.compile(r"(?:\s*### Response:)+\s*"),
}
"""What may stand at the beginning of each field; amid a text the same words are text."""


def convert(record: Record, _: str) -> Dialogue:
    """Make a dialogue of a record, without the marks."""
    instruction, first = _cleaned("instruction", needed(record, "instruction"))
    given, second = _cleaned("input", text(record, "input"))
    output, third = _cleaned("output", needed(record, "output"))
    asked = "\n".join(part for part in (instruction, given) if part.strip())
    return Dialogue((Turn("user", asked, learned=False), Turn("assistant", output)), repairs=first + second + third)


def _cleaned(field: str, value: str) -> tuple[str, int]:
    """Return a field's text and how many marks stood before it."""
    found = _MARKS[field].match(value)
    return (value[found.end() :], found[0].count("###")) if found else (value, 0)


def matches(record: Record) -> bool:
    """Whether an instruction or its output begins with a mark."""
    if not has(record, "instruction", "output"):
        return False
    return any(isinstance(record[name], str) and _MARKS[name].match(record[name]) for name in ("instruction", "output"))


FORMATS = (
    Format(
        "tigerbot",
        "dialogue",
        "TigerBot: instruction, input, output with marks of a template",
        ("instruction", "output"),
        ("input",),
        convert,
        matches,
    ),
)
