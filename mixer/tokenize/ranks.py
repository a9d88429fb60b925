"""Builds a byte-level BPE tokenizer from a file of ranks (tiktoken's format), as ``vocabulary`` needs it for Llama-3.

Such a file lists tokens by rank and no merges; which two neighbours merge first follows from the rank of the result.
A ``tokenizer.json`` wants merges, so every split of every token into two tokens becomes one: with a single merge a
token some strings would be cut otherwise than the ranks say.
"""

import base64
import binascii
from typing import Any

import msgspec

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama-3 cuts text before it merges: contractions, words with one leading sign, digits by three, signs, space."""

LLAMA3_SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|image|>",
    *(f"<|reserved_special_token_{index}|>" for index in range(2, 246)),
)
"""The 256 special tokens that follow the ranks, in the order of their ids."""


def read_ranks(content: bytes) -> list[bytes]:
    """Read a file of lines ``base64(token) rank`` into the list of tokens by rank.

    Raises
    ------
    ValueError
        The content is not of that form, ranks are missing, or a single byte is no token.
    """
    tokens: dict[int, bytes] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line:
            continue
        token, _, rank = line.partition(b" ")
        try:
            tokens[int(rank)] = base64.b64decode(token, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"line {number} is not of the form 'base64 rank'") from error
    ordered = [tokens.get(rank, b"") for rank in range(len(tokens))]
    if not all(ordered) or len(set(ordered)) < len(ordered):
        raise ValueError("the ranks do not run from 0 without a gap, or a token stands there twice")
    if len({token for token in ordered if len(token) == 1}) < 256:
        raise ValueError("not every single byte is a token")
    return ordered


def byte_letters() -> dict[int, str]:
    """Return the character that stands for each byte in a ``tokenizer.json``.

    Printable bytes of Latin-1 stand for themselves; the others follow from U+0100 on, in their own order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {byte: chr(byte if byte in printable else next(others)) for byte in range(256)}


def merges(tokens: list[bytes]) -> list[tuple[int, int]]:
    """Return every way to make a token out of two others, as pairs of ranks.

    They are in the order in which they apply: by the rank of the result, then of the left and the right part.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    found: list[tuple[int, int]] = []
    for token in tokens:
        splits = []
        for cut in range(1, len(token)):
            left = ranks.get(token[:cut])
            if left is not None:
                right = ranks.get(token[cut:])
                if right is not None:
                    splits.append((left, right))
        splits.sort()
        found.extend(splits)
    return found


def tokenizer_json(tokens: list[bytes], pattern: str) -> bytes:
    """Return the ``tokenizer.json`` of a list of tokens by rank, without special tokens."""
    letters = byte_letters()
    spelled = [token.decode("latin-1").translate(letters) for token in tokens]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                byte_level,
            ],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {token: rank for rank, token in enumerate(spelled)},
            "merges": [(spelled[left], spelled[right]) for left, right in merges(tokens)],
        },
    }
    return msgspec.json.encode(tokenizer)
