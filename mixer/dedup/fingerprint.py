"""What deduplication remembers of a document: a key of its whole text and a MinHash signature of its shingles.

Made in the stage ``prepare``, batch by batch, from the normal form of ``text.normalise``; stored beside the prepared
documents, a row each; read by the stages of ``dedup``, which compare nothing else, and by later builds that shall not
hold what this one does (``earlier``).

A file of fingerprints is 16 bytes of head (a mark, then the number of hashes in a signature) and rows of one length:
the exact key (two uint64) and the signature (uint32 each), little endian. It can be written to a pipe and mapped into
memory, and its bytes do not depend on how the documents came in batches.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from mixer.dedup.minhash import Signatures, sign
from mixer.dedup.settings import MinhashSettings
from mixer.errors import InputError
from mixer.text.hashing import Hashes, hash128
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers

FINGERPRINTS = "fingerprints/{}.bin"
"""Where the fingerprints of a task of ``prepare`` are, by its id; rows as in its prepared file."""
_MARK = b"fingerp1"
_HEAD = 16
_EXACT = 4
"""The exact key's share of a row, counted in uint32."""


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of some documents, one row each.

    Attributes
    ----------
    exact
        128 bits of hash of the normal form, the *exact key*: uint64[n, 2].
    signatures
        MinHash signatures: uint32[n, hashes]; ``hashes`` is 0 where MinHash is off.
    """

    exact: Hashes
    signatures: Signatures

    def __len__(self) -> int:
        return len(self.exact)


def fingerprint(texts: pa.Array, settings: MinhashSettings | None) -> Fingerprints:
    """Compute the fingerprints of a column of texts (``large_string``, no nulls); ``None`` leaves MinHash out."""
    data, offsets = normalise(*buffers(texts))
    exact = hash128(data, offsets)
    if settings is None:
        return Fingerprints(exact, np.empty((len(exact), 0), np.uint32))
    return Fingerprints(exact, sign(data, offsets, settings))


class Writable(Protocol):
    """A binary file that takes bytes; it need not seek."""

    def write(self, data: bytes, /) -> int | None:
        """Write all of ``data``."""


class FingerprintWriter:
    """Write a file of fingerprints, batch by batch.

    Parameters
    ----------
    file
        Open for writing; the caller closes it.
    settings
        What the signatures are; ``None`` leaves MinHash out.
    """

    def __init__(self, file: Writable, settings: MinhashSettings | None) -> None:
        self._file = file
        self._settings = settings
        file.write(_MARK + (settings.hashes if settings else 0).to_bytes(8, "little"))

    def write(self, texts: pa.Array) -> None:
        """Append the fingerprints of a column of texts (``large_string``, no nulls)."""
        made = fingerprint(texts, self._settings)
        rows = np.concatenate([made.exact.astype("<u8").view("<u4"), made.signatures.astype("<u4")], axis=1)
        self._file.write(rows.tobytes())


def load(path: Path, hashes: int) -> Fingerprints:
    """Map a file of fingerprints into memory: the exact keys are a copy, the signatures stay on the disk until read.

    Parameters
    ----------
    path
        What a ``FingerprintWriter`` wrote.
    hashes
        How long the signatures must be.

    Raises
    ------
    InputError
        The file is something else, is cut off, or its signatures have another length.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = int.from_bytes(head[len(_MARK) :], "little")
    if len(head) < _HEAD or not head.startswith(_MARK) or found != hashes or (size - _HEAD) % _width(hashes):
        raise InputError(
            f"{path} does not hold whole fingerprints with {hashes} hashes each",
            "remove the folder fingerprints/ of the build and run the same command again",
        )
    if size == _HEAD:
        return Fingerprints(np.empty((0, 2), np.uint64), np.empty((0, hashes), np.uint32))
    rows = np.asarray(np.memmap(path, "<u4", "r", _HEAD)).reshape(-1, _EXACT + hashes)
    return Fingerprints(np.ascontiguousarray(rows[:, :_EXACT]).view(np.uint64), rows[:, _EXACT:])


def rows_in(size: int, hashes: int) -> int:
    """Count the rows of a file of fingerprints of ``size`` bytes."""
    return (size - _HEAD) // _width(hashes)


def _width(hashes: int) -> int:
    """Return the bytes of a row."""
    return 4 * (_EXACT + hashes)
