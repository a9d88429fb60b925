"""Loads the vocabulary that a recipe names: the tokens' ids and lengths, the end of a document, the way to encode.

A ``Vocabulary`` is plain data: it is made once a build and travels with a stage to its tasks, where an ``Encoder`` is
made of it. Three formats are known, told apart by content: Hugging Face's ``tokenizer.json``, tiktoken's ranks, and the
name ``llama3`` for the ranks that the package llama-models brings.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import tiktoken
from numpy.typing import NDArray

from mixer.engine.keys import key_of
from mixer.errors import RecipeError, did_you_mean
from mixer.tokenize import huggingface, ranks, selfcheck
from mixer.tokenize.selfcheck import Engine

FORMATS = "a tokenizer.json, a directory that holds one, or a vocabulary in tiktoken's format"
LLAMA3_SHA256 = "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55"
"""The published Llama-3 ranks; the tests hold what is built of them against tiktoken, other files are checked here."""
_OTHER_PATTERNS = {"cl100k_base", "o200k_base", "o200k_harmony", "p50k_base", "p50k_edit", "r50k_base", "gpt2", "qwen"}
"""Vocabularies in tiktoken's format, by file name, that do not cut text as Llama-3 does."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A vocabulary: plain data that pickles.

    Attributes
    ----------
    name
        What the recipe calls it, or what its file is called.
    vocab_size
        One more than the largest id, special tokens included.
    eod
        Id of the token that ends a document. No text can produce it.
    sha256
        Of the vocabulary file.
    token_bytes
        int32[vocab_size], the bytes of text that each id stands for; 0 for special tokens.
    tokenizer
        A ``tokenizer.json`` without special tokens, for the encoder.
    engine
        The package that encodes.
    byte_exact
        Whether the tokens of a text spell exactly its bytes; not so where a tokenizer normalises.
    specials
        The special tokens by name.
    bos
        Whether a token opens each document: never, the end of the one before is enough.
    warnings
        What the user should know.
    """

    name: str
    vocab_size: int
    eod: int
    sha256: str
    token_bytes: NDArray[np.int32] = field(repr=False)
    tokenizer: bytes = field(repr=False)
    engine: Engine = "gigatoken"
    byte_exact: bool = True
    specials: dict[str, int] = field(default_factory=dict, repr=False)
    bos: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A hash of everything that decides the ids and what is counted of them."""
        content = hashlib.sha256(self.tokenizer).hexdigest()
        lengths = hashlib.sha256(self.token_bytes.tobytes()).hexdigest()
        return key_of(content, lengths, self.vocab_size, self.eod, self.engine, self.byte_exact)


def load_vocabulary(name_or_path: str) -> Vocabulary:
    """Load a vocabulary by its name or path.

    Loading takes about half a second: for ``llama3``, 280,147 merges are derived.

    Parameters
    ----------
    name_or_path
        ``llama3``; or the path of a ``tokenizer.json`` or of a directory that holds one; or of a vocabulary in
        tiktoken's format (``tokenizer.model`` of Llama-3, ``*.tiktoken``), which is read in Llama-3's way: its pattern,
        and 256 special tokens after the ranks, of which the second ends a document.

    Raises
    ------
    RecipeError
        The name is unknown, or the file is of no known format or cannot be used.
    """
    if name_or_path in NAMES:
        return NAMES[name_or_path]()
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "tokenizer.json"
        if not path.is_file():
            raise RecipeError(f"the directory {name_or_path} holds no tokenizer.json", f"give {FORMATS}")
    if not path.is_file():
        raise RecipeError(
            f"tokenizer {name_or_path!r} is neither a known name nor a file{did_you_mean(name_or_path, NAMES)}",
            f"known names: {', '.join(NAMES)}; else give the path of {FORMATS}",
        )
    content = path.read_bytes()
    try:
        if content.lstrip()[:1] == b"{":
            return _of_tokenizer_json(path, content)
        if path.stem in _OTHER_PATTERNS:
            raise ValueError("it cuts text in another way than Llama-3, and such a file does not say how")
        if b"<unk>" in content[:100]:
            raise ValueError("it is a SentencePiece model")
        return _of_ranks(path.parent.name if path.stem == "tokenizer" else path.stem, content)
    except ValueError as error:
        raise RecipeError(
            f"the tokenizer {path} cannot be used: {error}",
            f"give {FORMATS} (a SentencePiece model is mostly published with a tokenizer.json beside it)",
        ) from error


def _llama3() -> Vocabulary:
    """Load the ranks that the package llama-models brings, without importing it."""
    package = importlib.util.find_spec("llama_models")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0]) / "llama3" / "tokenizer.model" if folders else None
    if path is None or not path.is_file():
        raise RecipeError("the vocabulary of llama3 is not installed", "pip install llama-models")
    return _of_ranks("llama3", path.read_bytes())


def _of_ranks(name: str, content: bytes) -> Vocabulary:
    tokens = ranks.read_ranks(content)
    specials = {special: len(tokens) + index for index, special in enumerate(ranks.LLAMA3_SPECIALS)}
    vocabulary = Vocabulary(
        name=name,
        vocab_size=len(tokens) + len(specials),
        eod=specials["<|end_of_text|>"],
        sha256=hashlib.sha256(content).hexdigest(),
        token_bytes=np.array([*map(len, tokens), *(0 for _ in specials)], np.int32),
        tokenizer=ranks.tokenizer_json(tokens, ranks.LLAMA3_PATTERN),
        specials=specials,
    )
    if vocabulary.sha256 != LLAMA3_SHA256:
        by_rank = {token: rank for rank, token in enumerate(tokens)}
        reference = tiktoken.Encoding(name, pat_str=ranks.LLAMA3_PATTERN, mergeable_ranks=by_rank, special_tokens={})
        engine, _ = selfcheck.choose(vocabulary.tokenizer, reference.encode_ordinary, vocabulary.eod, specials)
        if engine != "gigatoken":
            raise ValueError("the encoder does not reproduce tiktoken's ids with it")
    return vocabulary


def _of_tokenizer_json(path: Path, content: bytes) -> Vocabulary:
    described = huggingface.describe(content, _end_beside(path))
    reference = selfcheck.reference_of(described.tokenizer)
    engine, warnings = selfcheck.choose(described.tokenizer, reference, described.eod, described.specials)
    name = path.resolve().parent.name if path.stem == "tokenizer" else path.stem
    return Vocabulary(
        name=name,
        vocab_size=described.vocab_size,
        eod=described.eod,
        sha256=hashlib.sha256(content).hexdigest(),
        token_bytes=described.token_bytes,
        tokenizer=described.tokenizer,
        engine=engine,
        byte_exact=described.byte_exact,
        specials=described.specials,
        warnings=tuple(f"tokenizer {name}: {warning}" for warning in warnings),
    )


def _end_beside(path: Path) -> str | None:
    """Return the end-of-sequence token that the ``tokenizer_config.json`` beside a file names, if there is one."""
    try:
        named = msgspec.json.decode((path.parent / "tokenizer_config.json").read_bytes()).get("eos_token")
    except (OSError, msgspec.DecodeError, AttributeError):
        return None
    return named.get("content") if isinstance(named, dict) else named


NAMES: dict[str, Callable[[], Vocabulary]] = {"llama3": _llama3}
"""The vocabularies that need no file."""
