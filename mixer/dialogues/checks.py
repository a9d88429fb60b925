"""One form for all dialogues and preferences, whatever they were published as; what must not be trained on is refused.

Stands between ``formats`` and ``template``. The form, in this order:

1. Texts lose the white space around them, as the published Llama-3 template trims it. A system message that is empty
then
   is left out.
2. Turns of the same side that follow one another are one turn, joined by a line break (``merged``).
3. What stands behind the last answer is left out, since nothing is learned from it (``unanswered``).
4. Answers before the first prompt are context and not learned (``openings``).
5. Somebody answers, no answer and no prompt is empty, and there is no NUL.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mixer.dialogues.turns import ANSWERING, Item, Preference, SetAsideError, Turn

NOTES: Final = {
    "repaired": "marks of a template were taken out",
    "merged": "turns of one side that follow one another were joined",
    "unanswered": "turns behind the last answer were left out",
    "openings": "answers before the first prompt are not learned",
    "cut": "tokens beyond `sequence_length` were cut off",
}
"""What is done to examples that are kept, counted in examples."""

_ASKING: Final = ("user", "tool")


def checked(item: Item) -> tuple[Item, Counter[str]]:
    """Put a dialogue or a preference into form.

    Returns
    -------
    The same in form, and which of ``NOTES`` apply to it.

    Raises
    ------
    SetAsideError
        It must not be trained on.
    """
    notes = Counter({"repaired": 1} if item.repairs else {})
    if isinstance(item, Preference):
        return _preference(item, notes), notes
    turns = _joined(item.turns, notes)
    last = max((place for place, turn in enumerate(turns) if turn.role in ANSWERING), default=-1)
    if last < 0:
        raise SetAsideError("no_answer", "nobody answers")
    if last + 1 < len(turns):
        notes["unanswered"] = 1
    turns = _opened(turns[: last + 1], notes)
    _whole(turns)
    if not any(turn.learned for turn in turns):
        raise SetAsideError("no_answer", "no answer follows a prompt and counts in the loss")
    return replace(item, turns=tuple(turns)), notes


def _preference(item: Preference, notes: Counter[str]) -> Preference:
    asked = [Turn(turn.role, turn.content, learned=False) for turn in _joined(item.prompt, notes)]
    answers = [Turn(turn.role, turn.content.strip()) for turn in (item.chosen, item.rejected)]
    if not asked or asked[-1].role not in _ASKING:
        raise SetAsideError("format", "the prompt does not end with something to answer")
    _whole([*asked, *answers])
    if answers[0] == answers[1]:
        raise SetAsideError("equal_answers")
    return replace(item, prompt=tuple(asked), chosen=answers[0], rejected=answers[1])


def _joined(turns: Sequence[Turn], notes: Counter[str]) -> list[Turn]:
    """Trim the turns, leave out empty system messages, and join neighbours of the same side."""
    made: list[Turn] = []
    for turn in turns:
        turn = Turn(turn.role, turn.content.strip(), turn.learned)
        if turn.role == "system" and not turn.content:
            continue
        before = made[-1] if made else None
        same = before is not None and (before.role, before.learned) == (turn.role, turn.learned)
        if before is not None and same and turn.role in ("user", "assistant"):
            made[-1] = Turn(turn.role, f"{before.content}\n{turn.content}".strip(), turn.learned)
            notes["merged"] = 1
        else:
            made.append(turn)
    return made


def _opened(turns: list[Turn], notes: Counter[str]) -> list[Turn]:
    """Take answers before the first prompt as context."""
    first = next((place for place, turn in enumerate(turns) if turn.role in _ASKING), len(turns))
    if any(turn.learned for turn in turns[:first]):
        notes["openings"] = 1
    return [Turn(turn.role, turn.content, turn.learned and place > first) for place, turn in enumerate(turns)]


def _whole(turns: Sequence[Turn]) -> None:
    """Refuse empty turns and NUL; a tool may well give nothing back."""
    for turn in turns:
        if "\x00" in turn.content:
            raise SetAsideError("nul_character", f"a turn of {turn.role} holds NUL")
        if not turn.content and turn.role != "tool":
            raise SetAsideError(
                "empty_response" if turn.role in ANSWERING else "empty_prompt", f"{turn.role} says nothing"
            )


def answers_of(item: Item) -> str:
    """Return what is learned, for the language of the answers: all learned answers, or the better one."""
    if isinstance(item, Preference):
        return item.chosen.content
    return "\n".join(turn.content for turn in item.turns if turn.learned)


def prompts_of(item: Item) -> str:
    """Return what the user says, for the language of the prompts."""
    turns = item.prompt if isinstance(item, Preference) else item.turns
    return "\n".join(turn.content for turn in turns if turn.role == "user")
