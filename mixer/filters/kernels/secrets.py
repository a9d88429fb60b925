"""Secrets in text: keys and tokens that carry a published prefix, and blocks of private keys.

``FORMS`` declares each kind of key once. The kernel asks ``secret`` at every byte pair that may be inside a prefix;
matching needs no regular expression. A key is left alone if it is plainly an example: it repeats a few characters
(``ghp_xxxx``) or holds ``EXAMPLE``, as the keys in documentation of Amazon do.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mixer.filters.kernels import bytes as b
from mixer.filters.kernels.bytes import ByteClasses, byte_at, run_end
from mixer.text.ascii import stands
from mixer.text.utf8 import Bytes, Offsets

Shape: TypeAlias = Literal["token", "value", "around", "jwt", "pem"]
_SHAPES: Final[tuple[Shape, ...]] = ("token", "value", "around", "jwt", "pem")
_TOKEN: Final = 0
_VALUE: Final = 1
_AROUND: Final = 2
_JWT: Final = 3
_PEM: Final = 4
_HYPHENS: Final = tuple(b"-----")
_FIRST_LINE: Final = tuple(b"-----BEGIN ")
_LAST_LINE: Final = tuple(b"-----END ")
_PRIVATE_KEY: Final = tuple(b"PRIVATE KEY")
_EXAMPLE: Final = tuple(b"EXAMPLE")
FEWEST_DIFFERENT: Final = 8
"""Different characters that a key must have; an example such as ``sk-xxxx`` has fewer, a random one of 16 has not."""
PEM_LINE: Final = 40
"""Base64 characters in a row that make a line of a key; lines have 64, but for the last."""
PEM_GAP: Final = 200
"""Bytes between two such lines, or before the first, at most: headers, quotation marks, indentation, the last line."""


@dataclass(frozen=True)
class Form:
    """One kind of key: a literal, and the run of characters of one class that belongs to it.

    ``token``: the run follows and both are the secret. ``value``: the run follows after at most eight characters of
    ``FILL`` and is alone the secret (the literal is the name of a setting, or an address). ``around``: ``before``
    characters stand before the literal, the run after it. ``jwt`` and ``pem`` have rules of their own. The run ends
    where its class ends, and is between ``fewest`` and ``most`` bytes long.
    """

    literal: str
    kind: int
    fewest: int
    most: int
    source: str
    shape: Shape = "token"
    before: int = 0


_AWS = "Amazon, IAM identifiers"
_GITHUB = "GitHub, token formats"
_GITLAB = "GitLab, token prefixes"
_SLACK = "Slack, token types"
_STRIPE = "Stripe, API keys"
FORMS: Final = (
    *(Form(prefix, b.UPPER, 16, 16, _AWS) for prefix in ("AKIA", "ASIA", "ABIA", "ACCA")),
    *(
        Form(name, b.BASE64, 40, 40, "Amazon, after the name of the setting", "value")
        for name in ("secret_access_key", "SECRET_ACCESS_KEY", "ecretAccessKey")
    ),
    Form("AIza", b.URL64, 35, 35, "Google, API keys"),
    Form("GOCSPX-", b.URL64, 28, 28, "Google, OAuth client secrets"),
    Form("ya29.", b.URL64, 30, 2048, "Google, OAuth access tokens"),
    Form("AccountKey=", b.BASE64, 86, 86, "Azure, connection strings of storage and Cosmos DB", "value"),
    Form("8Q~", b.TILDE, 34, 34, "Azure, client secrets of Entra", "around", 3),
    Form("JQQJ9", b.ALNUM, 27, 27, "Azure, annotated keys", "around", 52),
    *(Form(f"gh{letter}_", b.ALNUM, 36, 255, _GITHUB) for letter in "pousr"),
    Form("github_pat_", b.WORD, 82, 82, _GITHUB),
    *(
        Form(prefix, b.DOTTED, 20, 300, _GITLAB)
        for prefix in ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glagent-", "gloas-")
    ),
    *(Form(f"xox{letter}-", b.URL64, 20, 300, _SLACK) for letter in "abeoprs"),
    Form("xapp-", b.URL64, 40, 300, _SLACK),
    Form("hooks.slack.com/services/", b.PATH, 40, 60, "Slack, incoming webhooks", "value"),
    *(Form(f"{who}_{mode}_", b.ALNUM, 16, 255, _STRIPE) for who in ("sk", "rk") for mode in ("live", "test")),
    Form("whsec_", b.BASE64, 32, 64, "Stripe, webhook secrets"),
    Form("sk-", b.ALNUM, 32, 64, "OpenAI, and services that took over its form"),
    *(
        Form(prefix, b.URL64, 40, 300, "OpenAI, Anthropic, OpenRouter")
        for prefix in ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-ant-", "sk-or-")
    ),
    Form("hf_", b.LETTER, 34, 34, "Hugging Face, access tokens"),
    Form("npm_", b.ALNUM, 36, 36, "npm, access tokens"),
    Form("pypi-AgEIcHlwaS5vcmc", b.URL64, 50, 1000, "PyPI, API tokens"),
    Form("SG.", b.DOTTED, 66, 66, "SendGrid, API keys"),
    Form("LTAI", b.ALNUM, 16, 20, "Alibaba Cloud, access key ids"),
    Form("AKID", b.ALNUM, 32, 32, "Tencent Cloud, secret ids"),
    *(Form(f"do{letter}_v1_", b.HEX, 64, 64, "DigitalOcean, tokens") for letter in "por"),
    *(Form(f"shp{what}_", b.HEX, 32, 32, "Shopify, access tokens") for what in ("at", "ca", "pa", "ss")),
    Form("eyJ", b.URL64, 8, 8192, "RFC 7519: signed JSON Web Tokens, whose first two parts are JSON objects", "jwt"),
    Form("-----BEGIN ", b.BASE64, PEM_LINE, PEM_GAP, "RFC 7468: private keys", "pem"),
)
"""Every kind of key that is found."""


class SecretTables(NamedTuple):
    """``FORMS`` as arrays: literals back to back, sorted so that those with one anchor pair stand together.

    ``pairs[first << 8 | second]`` is 1 + the first form whose literal has these two bytes at its anchor, or 0;
    ``anchors`` is where in the literal the second of them stands.
    """

    literals: Bytes
    offsets: Offsets
    anchors: NDArray[np.int64]
    kinds: NDArray[np.int64]
    fewest: NDArray[np.int64]
    most: NDArray[np.int64]
    shapes: NDArray[np.int64]
    before: NDArray[np.int64]
    pairs: NDArray[np.uint8]


def _anchor(literal: str) -> int:
    """Choose the byte of a literal at which it is looked for: a capital letter, else a sign; both are rare in text."""
    places = [i for i, char in enumerate(literal) if i and char.isupper()]
    return (places or [i for i, char in enumerate(literal) if i and char in "_-.~"])[0]


def secret_tables() -> SecretTables:
    """Make the tables of ``FORMS``."""

    def pair(form: Form) -> int:
        at = _anchor(form.literal)
        return ord(form.literal[at - 1]) << 8 | ord(form.literal[at])

    forms = sorted(FORMS, key=pair)
    pairs = np.zeros(1 << 16, np.uint8)
    for index in reversed(range(len(forms))):
        pairs[pair(forms[index])] = index + 1
    return SecretTables(
        np.frombuffer("".join(form.literal for form in forms).encode(), np.uint8),
        np.cumsum([0, *(len(form.literal) for form in forms)]),
        np.array([_anchor(form.literal) for form in forms]),
        np.array([form.kind for form in forms]),
        np.array([form.fewest for form in forms]),
        np.array([form.most for form in forms]),
        np.array([_SHAPES.index(form.shape) for form in forms]),
        np.array([form.before for form in forms]),
        pairs,
    )


def anchor_bytes() -> list[int]:
    """Return the bytes at which ``secret`` is to be asked."""
    return sorted({ord(form.literal[_anchor(form.literal)]) for form in FORMS})


@njit(cache=True, nogil=True)
def _real(data: Bytes, start: int, stop: int) -> bool:
    """Whether a key is none that was made up for documentation."""
    low = high = np.uint64(0)  # which of the 128 ASCII characters occur
    for i in range(start, stop):
        char = data[i]
        if char < 64:
            low |= np.uint64(1) << np.uint64(char)
        else:
            high |= np.uint64(1) << np.uint64(char - 64)
        if stands(data, i, stop, _EXAMPLE):
            return False
    different = 0
    while low:
        low &= low - np.uint64(1)
        different += 1
    while high:
        high &= high - np.uint64(1)
        different += 1
    return different >= FEWEST_DIFFERENT


@njit(cache=True, nogil=True)
def _jwt(data: Bytes, start: int, end: int, classes: ByteClasses, fewest: int) -> int:
    """Return the end of a JSON Web Token that begins at a position, or 0: two objects in base64, and a signature."""
    first = run_end(data, start, end, classes, b.URL64)
    if first - start < 3 + fewest or byte_at(data, first, start, end) != 0x2E:
        return 0
    second = run_end(data, first + 1, end, classes, b.URL64)
    if second - first < 4 + fewest or byte_at(data, second, start, end) != 0x2E:
        return 0
    if data[first + 1] != 0x65 or data[first + 2] != 0x79 or data[first + 3] != 0x4A:  # eyJ, which is {"
        return 0
    third = run_end(data, second + 1, end, classes, b.URL64)
    return third if third - second > 2 * fewest else 0


@njit(cache=True, nogil=True)
def _names_private_key(data: Bytes, position: int, end: int) -> int:
    """Read ``... PRIVATE KEY[ BLOCK]-----`` and return where it ends, or 0 if the label is another."""
    stop = position
    while stop < end and stop - position < 60 and (0x41 <= data[stop] <= 0x5A or data[stop] == 0x20):
        stop += 1
    if not stands(data, stop, end, _HYPHENS):
        return 0
    for i in range(position, stop):
        if stands(data, i, stop, _PRIVATE_KEY):
            return stop + 5
    return 0


@njit(cache=True, nogil=True)
def _pem(data: Bytes, start: int, end: int, classes: ByteClasses) -> int:
    """Return the end of a private key block whose first line begins at a position, or 0.

    The block goes on while its lines follow one another. Without a last line, as where a text was cut or where another
    block begins, it ends with the last of them; without any, as in a program that reads such blocks, there is no key.
    """
    position = lines = _names_private_key(data, start + 11, end)
    found = 0
    while position and position < end and position - lines < PEM_GAP:
        after = run_end(data, position, end, classes, b.BASE64)
        if after - position >= PEM_LINE:
            found = lines = after
        elif found and stands(data, position, end, _LAST_LINE):
            stop = _names_private_key(data, position + 9, end)
            return stop if stop else found
        elif stands(data, position, end, _FIRST_LINE):
            break
        position = max(after, position + 1)
    return found


@njit(cache=True, nogil=True)
def secret(
    data: Bytes, position: int, begin: int, end: int, classes: ByteClasses, tables: SecretTables
) -> tuple[int, int]:
    """Find a secret whose anchor, the second byte of a pair in ``tables.pairs``, stands at a position.

    Returns
    -------
    Its first byte and its end; ``(0, 0)`` if there is none.
    """
    if position == begin:
        return 0, 0
    pair = np.int64(data[position - 1]) << 8 | data[position]
    form = np.int64(tables.pairs[pair]) - 1
    if form < 0:
        return 0, 0
    while form < len(tables.kinds):
        literal = tables.literals[tables.offsets[form] : tables.offsets[form + 1]]
        at = tables.anchors[form]
        if literal[at - 1] != data[position - 1] or literal[at] != data[position]:
            break
        start = position - at
        if start >= begin and stands(data, start, end, literal):
            stop = start + len(literal)
            shape, kind, fewest, most = tables.shapes[form], tables.kinds[form], tables.fewest[form], tables.most[form]
            after = 0
            if shape == _PEM:
                after = _pem(data, start, end, classes)
                if after:
                    return start, after
            elif shape == _VALUE:
                start = stop
                while start < end and start < stop + 8 and classes[data[start]] & b.FILL:
                    start += 1
                stop = start
            elif shape == _AROUND:
                start -= tables.before[form]
                if start < begin or run_end(data, start, stop, classes, kind) < stop:
                    stop = end
            elif shape == _JWT:
                stop = start
            # No further than one byte beyond the longest key: in a run of prefixes every one would go to its end.
            limit = min(end, stop + most + 1)
            bounded = shape == _VALUE or (shape != _PEM and not classes[byte_at(data, start - 1, begin, end)] & b.WORD)
            if shape == _JWT and bounded:
                after = _jwt(data, start, limit, classes, fewest)
            elif bounded:
                after = run_end(data, stop, limit, classes, kind)
                after = min(after, stop + fewest) if shape == _AROUND else after
            bounded = bounded and not classes[byte_at(data, after, begin, end)] & b.WORD
            if bounded and fewest <= after - stop <= most and _real(data, start, after):
                return start, after
        form += 1
    return 0, 0
