"""Decides, when a vocabulary is loaded, which encoder may be trusted with it: the fast one, if it proves right.

The fast encoder reimplements the pre-tokenizers it recognises. On a fixed mixed text, and on the spelling of every
special token, its ids must equal a reference's; else the reference itself encodes, slowly but rightly.
"""

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import gigatoken
import tokenizers

Engine: TypeAlias = Literal["gigatoken", "tokenizers"]
Reference: TypeAlias = Callable[[str], list[int]]

SAMPLES = (
    "The quick brown fox doesn't jump; it's WE'LL, they'VE, I'm: \"over\" the lazy dog's 3rd tail...",
    "  leading, trailing  ",
    "\ttab\n\n\nlines \r\n\r\n   indented\n        more\n",
    "1 22 333 4444 55555 1,234,567.89 0x1F 3.14e-10 ½ ² Ⅷ ١٢٣ １２３",
    "def f(x: int) -> str:\n    return f'{x!r:>10}'  # ok\n\n\nclass A(B):\n\tpass\n",
    '$\\frac{a_1}{b^{2}} \\le \\sum_{i=1}^{n} \\alpha_i$ <div class="x">&nbsp;</div> https://a.example/b?c=d&e=f#g',
    "人民日报讯：今天，北京天气晴朗。「你好」，他說；龍馬精神、①②③……——《水浒传》",
    "㐀㐁㔾䶵𠀀𪚥龘靐齉爩 〇々 ㈠",
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。",
    "日本語のテキスト。カタカナ ｶﾀｶﾅ ー 한국어 문장입니다. ภาษาไทย हिन्दी नमस्ते العربية עברית Ελληνικά Русский",
    "naïve café ﬁne Å Å é é ñ ñ ö́ İstanbul ß ſ K",
    "😀👍🏽👩‍👩‍👧‍👦🇨🇳❤️ ☃ ♥ © ™ → ∀∃∈ ░▒▓",
    "\x00\x01\x7f\u200b\ufeff\u00a0\u3000\u2028\ufffd",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 4,
    "哈" * 100 + "!" * 50 + " " * 70 + "\n" * 30 + "-" * 80,
    "QmFzZTY0IGlzIG5vdCB0ZXh0IGJ1dCBpdCBpcyBldmVyeXdoZXJl" * 3,
    "getElementById snake_case_name kebab-case-name HTTPServer2 v1.2.3-rc.4",
    "'s 't 're 'S 'T 'RE ’s don’t '\n' 'x",
    "",
    " ",
)


def choose(tokenizer: bytes, reference: Reference, eod: int, specials: Iterable[str]) -> tuple[Engine, list[str]]:
    """Choose the encoder for a ``tokenizer.json`` without special tokens.

    Returns
    -------
    The encoder, and what the user should be warned of.

    Raises
    ------
    ValueError
        A text can produce the end of a document.
    """
    texts = [*SAMPLES, *specials]
    expected = [reference(text) for text in texts]
    for text, ids in zip(texts, expected, strict=True):
        if eod in ids:
            raise ValueError(f"the text {text!r} would become the token that ends a document ({eod})")
    try:
        fast = gigatoken.Tokenizer.from_json(tokenizer)
        got = [fast.encode(text).tolist() for text in texts]
    except BaseException as error:
        if not (isinstance(error, Exception) or is_panic(error)):
            raise
        return "tokenizers", [f"gigatoken cannot load it ({error}); the slower `tokenizers` encodes instead"]
    for text, ids, right in zip(texts, got, expected, strict=True):
        if ids != right:
            return "tokenizers", [
                f"gigatoken disagrees with `tokenizers` on {text[:40]!r}; the slower `tokenizers` encodes instead"
            ]
    return "gigatoken", []


def reference_of(tokenizer: bytes) -> Reference:
    """Return ``tokenizers`` as reference.

    Raises
    ------
    ValueError
        It cannot load the file.
    """
    try:
        loaded = tokenizers.Tokenizer.from_str(tokenizer.decode())
    except Exception as error:  # the package raises the bare class
        raise ValueError(f"`tokenizers` cannot load it: {error}") from error
    return lambda text: list(loaded.encode(text, add_special_tokens=False).ids)


def is_panic(error: BaseException) -> bool:
    """Whether an exception is a panic of Rust code, which derives from ``BaseException`` and cannot be imported."""
    return type(error).__name__ == "PanicException"
