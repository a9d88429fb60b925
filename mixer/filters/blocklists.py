"""Block lists: documents that must go whatever they are like, by URL, domain, id or the hash of their text.

First of all steps, so that a text is compared as it was read. A list is a text file (gzip or not) with one entry a
line, blank lines and lines that begin with ``#`` aside. Entries and columns are compared by a 64-bit hash, so that a
list of millions is one sorted array (8 bytes an entry), searched a batch at a time.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mixer.documents import METADATA, Batch, drop, undecided
from mixer.errors import InputError
from mixer.filters.attached import Attachment
from mixer.text.hashing import hash_texts
from mixer.text.utf8 import buffers

Keys: TypeAlias = NDArray[np.uint64]
Kind = Literal["url", "domain", "id", "text"]

_SEED = np.uint64(0)
_HASHES = {64: hashlib.sha256, 40: hashlib.sha1, 32: hashlib.md5}
"""What the hash of a text may be, by its hexadecimal digits."""
_URL = r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?(?:[^/@?#]*@)?(?P<host>[^/:?#]*)(?::[0-9]*)?(?P<rest>[^#]*)"


_LONGEST_HOST = 253
"""Characters of a domain name at most (RFC 1035, section 3.1, without the length bytes)."""
_LABELS = (_LONGEST_HOST + 1) // 2


class BlockList(BaseModel):
    """A file of entries; documents that match one are dropped for ``blocklist.<kind>``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field(
        description=(
            "`url`: whole URLs, without scheme, user, port, fragment and trailing slash, the host in small letters; "
            "`domain`: domains and everything below them, `*.site.org` being the same as `site.org`; `id`: exact "
            "values; `text`: SHA-256, SHA-1 or MD5 (64, 40 or 32 hexadecimal digits) of the UTF-8 text as read. Names "
            "in other letters and their ASCII form (`xn--`) are the same."
        )
    )
    file: str = Field(
        min_length=1, description="Text file, one entry a line; a line that begins with `#` is a comment. `.gz` works."
    )
    field: str | None = Field(
        None,
        description="Metadata field that is compared; default `url` for url and domain, `id` for id. Sources without "
        "it are not asked.",
    )

    @model_validator(mode="after")
    def _text_has_no_field(self) -> Self:
        if self.kind == "text" and self.field is not None:
            raise ValueError("a list of kind text takes no field")
        return self

    @property
    def column(self) -> str:
        """The column of the batch that is compared."""
        if self.kind == "text":
            return "text"
        return METADATA + (self.field or ("id" if self.kind == "id" else "url"))


class LoadedList:
    """One block list, ready to be asked."""

    def __init__(self, settings: BlockList, attachment: Attachment) -> None:
        self.settings = settings
        self._keys, self._digits = _load(attachment.path, attachment.digest, settings.kind)

    def matches(self, column: pa.Array) -> NDArray[np.bool_]:
        """Return which values are on the list; a null never is."""
        if not len(self._keys):
            return np.zeros(len(column), np.bool_)
        if self.settings.kind == "text":
            digest = _HASHES[self._digits]
            column = pa.array([digest(value.as_buffer()).hexdigest() for value in column], pa.large_string())
        texts = _normalised(column.cast(pa.large_string()), self.settings.kind)
        found = self._has(texts)
        for _ in range(_LABELS if self.settings.kind == "domain" else 0):  # a.b.c, then b.c, then c
            texts = pc.replace_substring_regex(texts, r"^[^.]*\.?", "")
            if not pc.any(pc.not_equal(texts, "")).as_py():
                break
            found |= self._has(texts)
        return found & pc.is_valid(column).to_numpy(zero_copy_only=False)

    def _has(self, texts: pa.Array) -> NDArray[np.bool_]:
        keys = _hash(texts)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return (self._keys[places] == keys) & (pc.binary_length(texts).to_numpy(zero_copy_only=False) > 0)


def block(batch: Batch, lists: Sequence[LoadedList]) -> Batch:
    """Drop the documents of a batch that are on a list; a list is not asked about a source without its field."""
    for each in lists:
        if each.settings.column in batch.schema.names:
            matches = each.matches(batch[each.settings.column]) & undecided(batch)
            batch = drop(batch, matches, f"blocklist.{each.settings.kind}")
    return batch


@lru_cache(maxsize=16)
def _load(path: str, _digest: str, kind: Kind) -> tuple[Keys, int]:
    """Return what a list compares, sorted, and the digits of its hashes; each list is read once a process."""
    entries = _read(Path(path))
    column = pa.array(entries, pa.large_string())
    digits = _digits(entries, path) if kind == "text" else 0
    if kind == "text":
        column = pc.utf8_lower(column)
    elif kind == "domain":
        column = _domains(column, path)
    return np.unique(_hash(_normalised(column, kind))), digits


def _read(path: Path) -> list[str]:
    """Return the entries of a file.

    Raises
    ------
    InputError
        It is not UTF-8, or broken gzip.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"block list {path}: {error}", "give a UTF-8 text file, gzip or not") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _digits(entries: Sequence[str], path: str) -> int:
    """Return how many digits the hashes have; all must have the same.

    Raises
    ------
    InputError
        An entry is no such hash.
    """
    digits = len(entries[0]) if entries else 64
    for number, entry in enumerate(entries, 1):
        if len(entry) != digits or digits not in _HASHES or not re.fullmatch(r"[0-9A-Fa-f]+", entry):
            raise InputError(
                f"block list {path}: entry {number}, {entry[:80]!r}, is no hash like the others",
                "give one kind in a file: SHA-256 (64 hexadecimal digits), SHA-1 (40) or MD5 (32)",
            )
    return digits


def _domains(entries: pa.Array, path: str) -> pa.Array:
    """Return domains without what lists put before and behind them: ``*.site.org``, ``.site.org``, ``site.org # why``.

    Raises
    ------
    InputError
        An entry is no domain, and would match nothing.
    """
    found = pc.replace_substring_regex(entries, r"^(\*?\.)+|\s+#.*$", "")
    wrong = pc.index(pc.match_substring_regex(found, r"^$|[\s*|^]"), True).as_py()
    if wrong >= 0:
        raise InputError(
            f"block list {path}: entry {wrong + 1}, {entries[wrong].as_py()[:80]!r}, is no domain",
            "give one domain a line, such as site.org or a URL of it",
        )
    return found


def _normalised(column: pa.Array, kind: Kind) -> pa.Array:
    """Return values as they are compared; null becomes empty, which is on no list."""
    if kind in ("id", "text"):
        return pc.fill_null(column, "")
    parts = pc.extract_regex(pc.fill_null(column, ""), _URL)
    host = _in_ascii(pc.utf8_rtrim(pc.utf8_lower(pc.struct_field(parts, "host")), ". "))
    if kind == "domain":
        return pc.fill_null(host, "")
    rest = pc.utf8_rtrim(pc.utf8_trim_whitespace(pc.struct_field(parts, "rest")), "/")
    return pc.fill_null(pc.binary_join_element_wise(host, rest, pa.scalar("", pa.large_string())), "")


def _in_ascii(hosts: pa.Array) -> pa.Array:
    """Write hosts as name servers know them (RFC 3490): 例子.中国 is xn--fsqu00a.xn--fiqs8s."""
    if pc.all(pc.fill_null(pc.string_is_ascii(hosts), True)).as_py():  # noqa: FBT003
        return hosts
    return pa.array([host and _punycode(host) for host in hosts.to_pylist()], hosts.type)


def _punycode(host: str) -> str:
    try:
        return host if host.isascii() or len(host) > _LONGEST_HOST else host.encode("idna").decode()
    except UnicodeError:  # no name that could be asked for
        return host


def _hash(texts: pa.Array) -> Keys:
    return hash_texts(*buffers(texts.cast(pa.large_string())), _SEED)
