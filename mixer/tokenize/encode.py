"""Encodes a batch of documents at once: a column of text in, flat token ids and offsets out.

An ``Encoder`` is made inside the task (it does not pickle) from a ``Vocabulary``. Text goes from Arrow's buffers to the
encoder and ids come back as NumPy arrays, without a Python object per document.
"""

import ctypes
import mmap
from pathlib import Path
from typing import Any, TypeAlias

import awkward as ak
import gigatoken
import numpy as np
import pyarrow as pa
import tokenizers
from numpy.typing import NDArray

from mixer.errors import MixerError
from mixer.text.utf8 import Offsets, buffers
from mixer.tokenize.selfcheck import is_panic
from mixer.tokenize.vocabulary import Vocabulary

Ids: TypeAlias = NDArray[np.uint32]

CACHE_BYTES = 40 << 20
"""Growth after which the encoder is made anew. It remembers every word it has met, for good: 100 MB of Chinese, whose
words are whole clauses, cost 350 MB (measured), English next to nothing. A renewal takes 0.3 s: a tenth of the time of
the stage on Chinese, which keeps a task's memory the same for 16 MB and for 128 MB of it."""
BLIND_BYTES = 64 << 20
"""Text after which it is made anew where the system does not tell how large the process is."""


class Encoder:
    """Turns text into ids with one vocabulary; single-threaded. No BOS, no EOD, no special token ever comes out.

    Parameters
    ----------
    vocabulary
        What to encode with.
    cache_bytes
        Bound on memory, see ``CACHE_BYTES``; it does not change the ids.
    """

    def __init__(self, vocabulary: Vocabulary, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.vocabulary = vocabulary
        self._encoder: Any = _take(vocabulary) or _load(vocabulary)
        self._grown = 0
        self.renewals = 0
        self._cache_bytes = cache_bytes

    def encode(self, texts: pa.Array, where: str = "a batch") -> tuple[Ids, Offsets]:
        """Encode a column of text without nulls.

        Parameters
        ----------
        texts
            A ``large_string`` column of ``n`` documents.
        where
            Names the documents in errors.

        Returns
        -------
        ids
            uint32[tokens], all documents' ids back to back.
        offsets
            int64[n + 1]; document ``i`` has ``ids[offsets[i]:offsets[i + 1]]``.

        Raises
        ------
        MixerError
            The encoder gave up, or gave an id that no text may have.
        """
        data, text_offsets = buffers(texts)
        if not len(texts):
            return np.empty(0, np.uint32), np.zeros(1, np.int64)
        if self._grown >= self._cache_bytes:
            self._renew()
        before = _resident_bytes()
        try:
            ids, offsets = self._run(data, text_offsets, texts)
        except BaseException as error:
            if isinstance(error, MixerError) or not (isinstance(error, Exception) or is_panic(error)):
                raise
            raise MixerError(
                f"{where}: the tokenizer {self.vocabulary.name} failed: {error}",
                "leave out the file or the record, or use the model's other tokenizer file, and run again",
            ) from error
        # The rest of the process grows too, so only what happened in here is counted.
        size = int(text_offsets[-1] - text_offsets[0])
        self._grown += _resident_bytes() - before if before else size * self._cache_bytes // BLIND_BYTES
        if len(offsets) != len(texts) + 1 or offsets[0] or offsets[-1] != len(ids):
            raise MixerError(f"{where}: the tokenizer lost documents", "report this with the file")
        if len(ids) and (ids.max() >= self.vocabulary.vocab_size or (ids == self.vocabulary.eod).any()):
            raise MixerError(
                f"{where}: the tokenizer {self.vocabulary.name} gave an id that no text may have (the end of a "
                f"document is {self.vocabulary.eod}, the vocabulary has {self.vocabulary.vocab_size} ids)",
                "use the model's other tokenizer file, and report this with the file",
            )
        return ids, offsets

    def _run(self, data: NDArray[np.uint8], text_offsets: Offsets, texts: pa.Array) -> tuple[Ids, Offsets]:
        if self.vocabulary.engine == "tokenizers":
            # One call a document: its batch call would start threads and keep every encoding at once.
            rows = [self._encoder.encode(text.as_py(), add_special_tokens=False).ids for text in texts]
            offsets = np.zeros(len(rows) + 1, np.int64)
            np.cumsum([len(row) for row in rows], out=offsets[1:])
            return np.fromiter((token for row in rows for token in row), np.uint32, int(offsets[-1])), offsets
        contents = ak.contents.ListOffsetArray(
            ak.index.Index64(text_offsets),
            ak.contents.NumpyArray(data, parameters={"__array__": "byte"}),
            parameters={"__array__": "bytestring"},
        )
        layout = self._encoder.encode_batch(ak.Array(contents), parallel=False).layout
        return np.asarray(layout.content.data, np.uint32), np.asarray(layout.offsets.data, np.int64)

    def _renew(self) -> None:
        """Make the encoder anew, without what it remembers."""
        self._encoder = None  # before the new one is loaded: never two at a time
        _return_memory()
        self._encoder = _load(self.vocabulary)
        self._grown = 0
        self.renewals += 1


_warmed: list[Encoder] = []
"""What ``warm`` has made and no other ``Encoder`` has taken over yet."""


def warm(vocabulary: Vocabulary) -> None:
    """Load what the next ``Encoder`` of this vocabulary needs, in this process or in each one forked from it.

    Loading takes 0.3 s, more than all else that a task with little text has to do. It survives a fork, since it has no
    threads.
    """
    encoder = Encoder(vocabulary)
    encoder.encode(pa.array(["a"], pa.large_string()))  # some tables are made at the first call
    _warmed[:] = [encoder]
    _return_memory()


def _take(vocabulary: Vocabulary) -> Any:
    """Return what ``warm`` has loaded, once; None if there is nothing for this vocabulary."""
    found = [encoder.vocabulary for encoder in _warmed]
    if [(other.engine, other.tokenizer) for other in found] != [(vocabulary.engine, vocabulary.tokenizer)]:
        return None
    return _warmed.pop()._encoder


def _load(vocabulary: Vocabulary) -> Any:
    if vocabulary.engine == "tokenizers":
        return tokenizers.Tokenizer.from_str(vocabulary.tokenizer.decode())
    return gigatoken.Tokenizer.from_json(vocabulary.tokenizer)


def _return_memory() -> None:
    """Ask the allocator to give back what is free, where it can be asked (glibc); else it keeps a third of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident_bytes() -> int:
    """Return the memory this process occupies now, or 0 where the system has no ``/proc``."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):
        return 0
