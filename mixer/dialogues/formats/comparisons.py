"""Preferences with fields of their own: PKU-SafeRLHF, CValues-Comparison, huozi-rlhf and HC3.

PKU-SafeRLHF: ``prompt``, ``response_0``, ``response_1``, and the number of the more helpful (``better_response_id``)
and of the safer one (``safer_response_id``); seen in code that reads PKU-Alignment/PKU-SafeRLHF.

CValues-Comparison: ``prompt``, ``pos_resp``, ``neg_resp`` and their types; seen in the example of MindFormers' tutorial
for reward models and in OpenRLHF's reader of damo/CValues-Comparison. Its prompts alone (X-PLUG/CValues,
dataset/cvalues_responsibility_prompts.jsonl) have no answers and are all set aside.

huozi-rlhf: ``prompt``, ``chosen``, ``reject``; seen in readers of HIT-SCIR/huozi (data/huozi-rlhf/huozi_rlhf_data.csv)
and of its JSON copy.

HC3: ``question``, ``human_answers``, ``chatgpt_answers``, both lists; seen in readers of Hello-SimpleAI/HC3. The first
answers of both sides make a pair, the second ones another, and so on; those without a partner are set aside.
"""

from itertools import zip_longest
from typing import Any

from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import has, needed, text, text_of
from mixer.dialogues.turns import Preference, Record, SetAsideError, Turn


def _pair(asked: str, better: str, worse: str) -> Preference:
    return Preference((Turn("user", asked, learned=False),), Turn("assistant", better), Turn("assistant", worse))


def safe_rlhf(record: Record, prefer: str) -> Preference:
    """Make a preference of a record whose answers are numbered, by what is preferred."""
    field = f"{prefer}_response_id"
    number = record.get(field)
    if number not in (0, 1) or isinstance(number, bool):
        raise SetAsideError("tie", f"`{field}` is {number!r}")
    answers = [needed(record, "response_0"), needed(record, "response_1")]
    return _pair(needed(record, "prompt"), answers[int(number)], answers[1 - int(number)])


def cvalues(record: Record, _: str) -> Preference:
    """Make a preference of a positive and a negative response."""
    if not has(record, "pos_resp", "neg_resp"):
        raise SetAsideError("no_answer", "no fields `pos_resp` and `neg_resp`")
    return _pair(needed(record, "prompt"), text(record, "pos_resp"), text(record, "neg_resp"))


def huozi(record: Record, _: str) -> Preference:
    """Make a preference of a chosen and a rejected response."""
    return _pair(needed(record, "prompt"), needed(record, "chosen"), needed(record, "reject"))


def hc3(record: Record, prefer: str) -> Preference:
    """Make a preference of one human and one model answer."""
    found = {side: record.get(f"{side}_answers") for side in ("human", "chatgpt")}
    if any(answer is None for answer in found.values()):
        raise SetAsideError("no_answer", "a human or a model answer has no partner")
    other = "human" if prefer == "chatgpt" else "chatgpt"
    better, worse = (text_of(found[side], f"{side}_answers") for side in (prefer, other))
    return _pair(needed(record, "question"), better, worse)


def _answers(record: Record) -> list[Record]:
    """Return a record for each pair of answers."""
    sides = [_list(record.get(f"{side}_answers")) for side in ("human", "chatgpt")]
    return [{**record, "human_answers": human, "chatgpt_answers": model} for human, model in zip_longest(*sides)] or [
        {**record, "human_answers": None, "chatgpt_answers": None}
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _has(*fields: str) -> Any:
    return lambda record: has(record, *fields)


FORMATS = (
    Format(
        "safe_rlhf",
        "preference",
        "PKU-SafeRLHF: prompt, response_0, response_1, better_response_id, safer_response_id",
        ("prompt", "response_0", "response_1"),
        ("better_response_id", "safer_response_id"),
        safe_rlhf,
        _has("prompt", "response_0", "response_1"),
        prefer=("better", "safer"),
    ),
    Format(
        "cvalues",
        "preference",
        "CValues-Comparison: prompt, pos_resp, neg_resp",
        ("prompt", "pos_resp", "neg_resp"),
        (),
        cvalues,
        _has("prompt", "pos_resp", "neg_resp"),
    ),
    Format(
        "huozi",
        "preference",
        "huozi-rlhf: prompt, chosen, reject",
        ("prompt", "chosen", "reject"),
        (),
        huozi,
        _has("prompt", "chosen", "reject"),
    ),
    Format(
        "hc3",
        "preference",
        "HC3: question, human_answers, chatgpt_answers",
        ("question", "human_answers", "chatgpt_answers"),
        (),
        hc3,
        _has("question", "human_answers", "chatgpt_answers"),
        _answers,
        ("human", "chatgpt"),
    ),
)
