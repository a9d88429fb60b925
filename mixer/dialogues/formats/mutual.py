"""MuTual: an English dialogue of two speakers and four ways in which it may go on, of which one is right.

Seen in Nealcly/MuTual (data/mutual/train/*.txt, one JSON object a file: ``article`` with "m :" or "f :" before every
turn, ``options`` with the same before each, ``answers`` the letter of the right one).

The speaker of the right option is the assistant, the other one the user. The wrong options are left out. Turns of the
assistant before the first of the user are context and not learned, as in every dialogue.
"""

import re
from typing import Final

from mixer.dialogues.formats.format import Format
from mixer.dialogues.formats.values import has, needed
from mixer.dialogues.turns import Dialogue, Record, SetAsideError, Turn
from mixer.sources.fields import kind_of

_SPEAKER: Final = re.compile(r"(?:^|(?<=\s))([mf]) :\s*")
_LETTERS: Final = "ABCD"


def convert(record: Record, _: str) -> Dialogue:
    """Make a dialogue of an article and its right option."""
    options, letter = record.get("options"), needed(record, "answers").strip()
    if not isinstance(options, list):
        raise SetAsideError("format", f"`options` is {kind_of(options)}, not a list")
    if letter not in _LETTERS[: len(options)] or len(letter) != 1:
        raise SetAsideError("no_answer", f"`answers` is {letter!r}, which is none of the {len(options)} options")
    spoken = _turns(needed(record, "article"), "article")
    answer = _turns(needed({"options": options[_LETTERS.index(letter)]}, "options"), "options")
    assistant = answer[0][0]
    return Dialogue(
        tuple(
            Turn("assistant", said) if speaker == assistant else Turn("user", said, learned=False)
            for speaker, said in (*spoken, *answer)
        )
    )


def _turns(said: str, field: str) -> list[tuple[str, str]]:
    """Cut a text into turns: who speaks, and what."""
    found = list(_SPEAKER.finditer(said))
    if not found or said[: found[0].start()].strip():
        raise SetAsideError("format", f"`{field}` does not begin with `m :` or `f :`")
    ends = [*(match.start() for match in found[1:]), len(said)]
    return [(match[1], said[match.end() : end].strip()) for match, end in zip(found, ends, strict=True)]


def matches(record: Record) -> bool:
    """Whether a record has MuTual's fields."""
    return has(record, "article", "options", "answers")


FORMATS = (
    Format(
        "mutual",
        "dialogue",
        "MuTual: article, options, answers",
        ("article", "options", "answers"),
        (),
        convert,
        matches,
    ),
)
