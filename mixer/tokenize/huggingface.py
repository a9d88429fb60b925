"""Reads a ``tokenizer.json``: which token ends a document, how long tokens are, and the file without special tokens.

Encoders know special tokens by the file's ``added_tokens`` and find them inside text. A corpus must not be able to end
its own documents, so these entries are taken out, and a text that spells one becomes ordinary tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mixer.tokenize.ranks import byte_letters

END_OF_DOCUMENT = (
    "<|end_of_text|>",
    "<|endoftext|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
    "<EOS>",
    "[EOS]",
    "<|eos|>",
)
"""Names of the token that ends a document in pre-training, as published models spell it; the first that exists wins.
An end of turn (``<|eot_id|>``, ``<|im_end|>``) is none: it ends what one speaker of a dialogue says."""

_LOSSLESS = {"ByteLevel", "Digits", "Punctuation", "Split", "UnicodeScripts"}
"""Pre-tokenizers that only cut (see ``_only_cuts`` for the settings with which some of them do more)."""


@dataclass(frozen=True)
class Description:
    """What a ``tokenizer.json`` says, as far as it concerns us; the fields are those of ``Vocabulary``."""

    vocab_size: int
    eod: int
    specials: dict[str, int]
    token_bytes: NDArray[np.int32]
    byte_exact: bool
    tokenizer: bytes


def describe(content: bytes, end_of_document: str | None) -> Description:
    """Read a ``tokenizer.json``.

    Parameters
    ----------
    content
        The file.
    end_of_document
        A name for the end of a document to fall back on, from the ``tokenizer_config.json`` beside the file.

    Raises
    ------
    ValueError
        It is no ``tokenizer.json``, or no token of it is known to end a document.
    """
    try:
        tokenizer = msgspec.json.decode(content)
        model = tokenizer["model"]
        vocab = _vocab(model)
        added = {str(token["content"]): token for token in tokenizer.get("added_tokens") or []}
        ids = {**vocab, **{text: int(token["id"]) for text, token in added.items()}}
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"it is no tokenizer.json: {error}") from error
    if not ids:
        raise ValueError("it has no tokens")
    names = (*END_OF_DOCUMENT, *([end_of_document] if end_of_document else []))
    eod = next((ids[name] for name in names if name in ids), None)
    if eod is None:
        raise ValueError(f"none of its tokens is known to end a document ({' '.join(END_OF_DOCUMENT)})")

    kept = {text for text, token in added.items() if text.isspace() and not token.get("special")}
    tokenizer["added_tokens"] = [token for text, token in added.items() if text in kept]
    tokenizer["post_processor"] = tokenizer["truncation"] = tokenizer["padding"] = None
    if "dropout" in model:
        model["dropout"] = None  # a training trick: the same text would be cut another way each time
    byte_level = any(part["type"] == "ByteLevel" for part in _pre_tokenizers(tokenizer))
    token_bytes = np.zeros(max(ids.values()) + 1, np.int32)
    letters = set(byte_letters().values())
    for text, token_id in vocab.items():
        token_bytes[token_id] = _length(text, letters) if byte_level else _piece_length(text)
    for text in added:
        token_bytes[ids[text]] = len(text.encode()) if text in kept else 0
    return Description(
        vocab_size=len(token_bytes),
        eod=eod,
        specials={text: ids[text] for text in added if text not in kept},
        token_bytes=token_bytes,
        byte_exact=byte_level and not kept and _only_cuts(tokenizer),
        tokenizer=msgspec.json.encode(tokenizer),
    )


def _vocab(model: dict[str, Any]) -> dict[str, int]:
    """Return the model's own tokens and their ids."""
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        return {str(text): int(token_id) for text, token_id in vocab.items()}
    return {str(text): token_id for token_id, (text, _) in enumerate(vocab)}


def _pre_tokenizers(tokenizer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pre-tokenizers, those of sequences one by one."""
    part = tokenizer.get("pre_tokenizer")
    pending = [part] if part else []
    while pending:
        part = pending.pop(0)
        if part["type"] == "Sequence":
            pending = [*part["pretokenizers"], *pending]
        else:
            yield part


def _only_cuts(tokenizer: dict[str, Any]) -> bool:
    """Whether the tokens of a text always spell exactly its bytes: nothing is normalised, added or removed."""
    normalizer = tokenizer.get("normalizer")
    if normalizer and (normalizer["type"] != "Sequence" or normalizer["normalizers"]):
        return False
    return all(
        part["type"] in _LOSSLESS and not part.get("add_prefix_space") and part.get("behavior") != "Removed"
        for part in _pre_tokenizers(tokenizer)
    )


def _length(text: str, letters: set[str]) -> int:
    """Return the bytes that a byte-level token stands for: one a character of the byte alphabet."""
    return len(text) if letters.issuperset(text) else len(text.encode())


def _piece_length(text: str) -> int:
    """Return the bytes that a SentencePiece token stands for: ``<0xE4>`` is a byte, ``▁`` a space."""
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return 1
    return len(text.replace("▁", " ").encode())
