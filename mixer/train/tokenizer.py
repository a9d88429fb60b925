"""The tokenizer that goes with an exported model: copied as it is, or written for a vocabulary that is no such file."""

import json
import shutil
from pathlib import Path
from typing import Any, Final

from mixer.errors import UsageError
from mixer.tokenize.vocabulary import Vocabulary, load_vocabulary
from mixer.train.presets import ModelShape

FILES: Final = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
_LOOP: Final = "{{% for message in messages %}}{{{{ {turn} }}}}{{% endfor %}}"
_OPEN: Final = "{{% if add_generation_prompt %}}{{{{ '{opened}' }}}}{{% endif %}}"
CHAT: Final = {
    "llama3": (
        "<|eot_id|>",
        "{{ '<|begin_of_text|>' }}"
        + _LOOP.format(
            turn="'<|start_header_id|>' + ('ipython' if message['role'] == 'tool' else message['role']) "
            "+ '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>'"
        )
        + _OPEN.format(opened="<|start_header_id|>assistant<|end_header_id|>\\n\\n"),
    ),
    "chatml": (
        "<|im_end|>",
        _LOOP.format(turn="'<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n'")
        + _OPEN.format(opened="<|im_start|>assistant\\n"),
    ),
}
"""What ends an answer, and the template as transformers reads it (Jinja), for those of ``dialogues.template`` that are
made of special tokens; the ids are the same."""


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy what there is of a tokenizer from one folder to another."""
    for name in FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def write_tokenizer(folder: Path, name_or_path: str, shape: ModelShape, template: str = "") -> None:
    """Write the tokenizer that a recipe would name so into the folder of a model.

    With a chat ``template`` that the model has learned, the folder says so: how a dialogue is written, and what ends an
    answer.

    Raises
    ------
    RecipeError
        There is no such tokenizer.
    UsageError
        It has more ids than the model, or another end of document.
    """
    vocabulary = load_vocabulary(name_or_path)
    if (vocabulary.vocab_size, vocabulary.eod) != (shape.vocab_size, shape.eod or vocabulary.eod):
        raise UsageError(
            f"the tokenizer {vocabulary.name} has {vocabulary.vocab_size:,} ids and the end of document "
            f"{vocabulary.eod}, the model {shape.vocab_size:,} and {shape.eod}",
            "name the tokenizer that the model was trained with by --tokenizer",
        )
    path = Path(name_or_path)
    path = path.parent if path.name == "tokenizer.json" else path
    if (path / "tokenizer.json").is_file():
        copy_tokenizer(path, folder)
    else:
        _write(folder, vocabulary, shape)
    if template in CHAT:
        end, written = CHAT[template]
        config = folder / "tokenizer_config.json"
        known = json.loads(config.read_bytes()) if config.is_file() else {}
        config.write_text(json.dumps({**known, "eos_token": end, "chat_template": written}, indent=2) + "\n", "utf-8")
        ends = {"eos_token_id": [vocabulary.specials[end], vocabulary.eod]}
        (folder / "generation_config.json").write_text(json.dumps(ends, indent=2) + "\n", "utf-8")


def _write(folder: Path, vocabulary: Vocabulary, shape: ModelShape) -> None:
    """Write the files of a vocabulary that is in another format."""
    (folder / "tokenizer.json").write_text(json.dumps(_with_specials(vocabulary), ensure_ascii=False), "utf-8")
    end = next(name for name, number in vocabulary.specials.items() if number == vocabulary.eod)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "model_max_length": shape.context}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _with_specials(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the vocabulary's ``tokenizer.json`` with its special tokens, which encoding corpora leaves out."""
    content: dict[str, Any] = json.loads(vocabulary.tokenizer)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    specials = sorted(vocabulary.specials.items(), key=lambda pair: pair[1])
    content["added_tokens"] = [{"id": number, "content": name, **flags} for name, number in specials]
    return content
