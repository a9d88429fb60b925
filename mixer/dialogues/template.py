"""Chat templates as token ids: what stands before a turn, what ends it, and which special tokens these are.

Text never becomes a special token: the ids of a template come from the vocabulary's table of them, and turns are
encoded without it, so that a dialogue that spells ``<|eot_id|>`` holds the characters and no end of turn.

============  =========================================================================================================
``llama3``    ``<|begin_of_text|>``, then for each turn ``<|start_header_id|>`` role ``<|end_header_id|>``, two line
              breaks, the text, ``<|eot_id|>``. Seen in the package llama-models (llama3/chat_format.py) and as the
              chat template of Meta-Llama-3-8B-Instruct. Tools speak as ``ipython``.
``chatml``    for each turn ``<|im_start|>`` role, a line break, the text, ``<|im_end|>``, a line break; nothing at the
              beginning. Seen as the chat template of Qwen2.
``plain``     for any vocabulary: ``### role:`` and a line break as ordinary text, the text, the end of a document, a
              line break. Only by name.
============  =========================================================================================================

What is learned of an answer is its text and the token that ends it. Texts are encoded by themselves, as the text of a
model that answers is.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.dialogues.turns import Dialogue, Item, Preference, Role, Turn
from mixer.errors import RecipeError
from mixer.tokenize.encode import Encoder
from mixer.tokenize.vocabulary import Vocabulary

Ids: TypeAlias = NDArray[np.int32]
TemplateName: TypeAlias = Literal["auto", "llama3", "chatml", "plain"]

_NEEDED: Final = {
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
}
"""Special tokens that a template needs; where a vocabulary has those of both, the first is taken."""
_NAMES: Final[dict[Role, str]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "call": "assistant",
    "tool": "tool",
}
_TOOLS: Final = (
    "These functions can be called. To call one, answer with a JSON object that holds its `name` and `arguments`, and "
    "nothing else:\n{tools}"
)
"""Stands in the system message where a dialogue brings tools."""


@dataclass(frozen=True)
class Template:
    """A template for one vocabulary.

    Attributes
    ----------
    name
        Which one.
    begin
        int32 ids that open an example.
    headers
        int32 ids that open a turn, by role.
    end, after
        int32 ids that end a turn; the first are learned with an answer, the others are not.
    """

    name: str
    begin: Ids
    headers: dict[Role, Ids]
    end: Ids
    after: Ids


def template_of(vocabulary: Vocabulary, encoder: Encoder, name: TemplateName = "auto") -> Template:
    """Return the template of that name; ``auto`` is the one whose special tokens the vocabulary has.

    Raises
    ------
    RecipeError
        The vocabulary lacks a special token, or no template is known for it.
    """
    known = vocabulary.specials
    if name == "auto":
        fitting = [each for each, needed in _NEEDED.items() if all(token in known for token in needed)]
        if not fitting:
            raise RecipeError(
                f"no chat template is known for the tokenizer {vocabulary.name}: it has neither the special tokens of "
                f"Llama 3 ({' '.join(_NEEDED['llama3'])}) nor those of ChatML ({' '.join(_NEEDED['chatml'])})",
                "say `template: plain`, or name the tokenizer of the instruct model, which has them",
            )
        return template_of(vocabulary, encoder, "llama3" if "llama3" in fitting else "chatml")
    missing = [token for token in _NEEDED.get(name, ()) if token not in known]
    if missing:
        raise RecipeError(
            f"the template {name} needs {' '.join(missing)}, which the tokenizer {vocabulary.name} does not have",
            "say `template: auto`, or `template: plain`, which needs no special tokens",
        )
    if name == "llama3":
        named = {role: "ipython" if role == "tool" else said for role, said in _NAMES.items()}
        begin, start, stop, end = (known[token] for token in _NEEDED["llama3"])
        texts = _encoded(encoder, [*named.values(), "\n\n"])
        headers = {role: [start, *ids, stop, *texts[-1]] for role, ids in zip(named, texts[:-1], strict=True)}
        return _template(name, [begin], headers, [end], [])
    if name == "chatml":
        start, end = (known[token] for token in _NEEDED["chatml"])
        texts = _encoded(encoder, [*(f"{said}\n" for said in _NAMES.values()), "\n"])
        headers = {role: [start, *ids] for role, ids in zip(_NAMES, texts[:-1], strict=True)}
        return _template(name, [], headers, [end], texts[-1])
    texts = _encoded(encoder, [*(f"### {said}:\n" for said in _NAMES.values()), "\n"])
    return _template(name, [], dict(zip(_NAMES, texts[:-1], strict=True)), [vocabulary.eod], texts[-1])


def turns_of(item: Item) -> list[list[Turn]]:
    """Return the turns to encode: of a dialogue its own, of a preference the prompt, the better and the worse answer.

    Descriptions of tools go into the system message, which is added if there is none.
    """
    turns = list(item.prompt if isinstance(item, Preference) else item.turns)
    if item.tools:
        described = _TOOLS.format(tools=item.tools)
        if turns and turns[0].role == "system":
            turns[0] = Turn("system", f"{turns[0].content}\n\n{described}", learned=False)
        else:
            turns.insert(0, Turn("system", described, learned=False))
    if isinstance(item, Dialogue):
        return [turns]
    return [turns, [item.chosen], [item.rejected]]


def _template(
    name: str, begin: list[int], headers: dict[Role, list[int]], end: list[int], after: list[int]
) -> Template:
    made = {role: np.array(ids, np.int32) for role, ids in headers.items()}
    return Template(name, np.array(begin, np.int32), made, np.array(end, np.int32), np.array(after, np.int32))


def _encoded(encoder: Encoder, texts: list[str]) -> list[list[int]]:
    ids, offsets = encoder.encode(pa.array(texts, pa.large_string()), "the chat template")
    return [ids[a:b].tolist() for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
