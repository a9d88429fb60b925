"""Seed tasks of Self-Instruct: an instruction with one or more instances, each an input and its output.

Seen in tatsu-lab/stanford_alpaca (seed_tasks.jsonl) and LianjiaTech/BELLE (data/1.5M/zh_seed_tasks.json).
"""

from mixer.dialogues.formats import alpaca
from mixer.dialogues.formats.format import Format
from mixer.dialogues.turns import Record


def _instances(record: Record) -> list[Record]:
    """Return each instance with its instruction; a record without instances is one that has no output."""
    instances = record.get("instances")
    instruction = {"instruction": record["instruction"]} if "instruction" in record else {}
    if not isinstance(instances, list) or not instances:
        return [instruction]
    return [{**(instance if isinstance(instance, dict) else {}), **instruction} for instance in instances]


def matches(record: Record) -> bool:
    """Whether a record has an instruction and instances."""
    return "instruction" in record and isinstance(record.get("instances"), list)


FORMATS = (
    Format(
        "seed_tasks",
        "dialogue",
        "Self-Instruct: instruction, instances of input and output",
        ("instruction", "instances"),
        (),
        alpaca.convert,
        matches,
        _instances,
    ),
)
