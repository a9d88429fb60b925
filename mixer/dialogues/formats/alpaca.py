"""Instruction, input and output: Stanford Alpaca, and most of what came after it.

Seen in tatsu-lab/stanford_alpaca (``alpaca_data.json``), LLaMA-Factory (data/README.md, "Alpaca Format": ``history``
and ``system`` too, and that answers of the history are learned), gururise/AlpacaDataCleaned. MathInstruct has no input
(TIGER-Lab/MathInstruct: source, instruction, output); COIG-CQIA (m-a-p/COIG-CQIA) and stem-zh (hfl/stem_zh_instruction,
which others read as Alpaca's) carry metadata along, which is not looked at.
"""

from mixer.dialogues.formats import tigerbot
from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import has, needed, opening, prompt
from mixer.dialogues.turns import Dialogue, Record, Turn

_REQUIRED, _OPTIONAL = ("instruction", "output"), ("input", "system", "history")


def convert(record: Record, _: str) -> Dialogue:
    """Make a dialogue of a record: the history, then the prompt and its answer."""
    turns = opening(record)
    return Dialogue((*turns, Turn("user", prompt(record), learned=False), Turn("assistant", needed(record, "output"))))


def matches(record: Record) -> bool:
    """Whether this is an instruction without what is left of TigerBot's template, and not a pair of answers."""
    return has(record, *_REQUIRED) and not has(record, "chosen") and not tigerbot.matches(record)


FORMATS = (
    Format(
        "alpaca", "dialogue", "instruction, input, output; also history, system", _REQUIRED, _OPTIONAL, convert, matches
    ),
    Format("math_instruct", "dialogue", "MathInstruct: instruction, output", _REQUIRED, _OPTIONAL, convert),
    Format("stem_zh", "dialogue", "stem-zh: instruction, input, output", _REQUIRED, _OPTIONAL, convert),
    Format("coig_cqia", "dialogue", "COIG-CQIA: instruction, input, output, metadata", _REQUIRED, _OPTIONAL, convert),
)
