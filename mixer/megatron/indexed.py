r"""Megatron's dataset files, written, joined and checked: ``.bin`` holds token ids, ``.idx`` where each document lies.

Tokenizing leaves shards (ids and document lengths); ``join`` makes one prefix of many, and ``read_index`` is how a
build is proved later. The ``.idx``, little endian and without padding, for ``n`` documents of one sequence each:

======  ==========  ======================================================
offset  bytes       content
======  ==========  ======================================================
0       9           ``MMIDIDX\0\0``
9       8           uint64 version, 1
17      1           uint8 code of the ids' type: 4 = int32, 8 = uint16
18      8           uint64 number of sequences, n
26      8           uint64 number of document indices, n + 1
34      4 n         int32 tokens of each document, its EOD included
34+4n   8 n         int64 byte at which each document begins in the .bin
34+12n  8 (n + 1)   int64 document indices, 0 to n
======  ==========  ======================================================

Every array is written and read in pieces, so memory does not grow with the number of documents.
"""

import io
import mmap
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

import numpy as np
import xxhash
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from mixer import storage
from mixer.errors import BrokenPromiseError
from mixer.storage import Root

MAGIC: Final = b"MMIDIDX\x00\x00"
VERSION: Final = 1
HEADER: Final = struct.Struct("<9sQBQQ")
TYPE_CODES: Final[dict[str, int]] = {"int32": 4, "uint16": 8}
UINT16_BELOW: Final = 65_500
"""Megatron-core keeps ids in uint16 for vocabularies smaller than this (``DType.optimal_dtype``)."""
MAX_DOCUMENTS: Final = 2**31 - 1
"""Megatron numbers the documents of a prefix in int32."""
MAX_DOCUMENT_TOKENS: Final = 2**31 - 1
"""An ``.idx`` says the tokens of a document in int32."""
PIECE_DOCUMENTS: Final = 1 << 20
"""Documents whose numbers are in memory at once: 8 MB an array."""
PIECE_BYTES: Final = 16 << 20
"""Bytes of a ``.bin`` that are copied at once."""
_NPY_HEADER_BYTES: Final = 128


class Writable(Protocol):
    """A file open for writing; it need not seek."""

    def write(self, data: memoryview, /) -> int:
        """Write all of ``data``."""


@dataclass(frozen=True)
class Index:
    """What an ``.idx`` says: documents, tokens with every EOD, and the type of the ids."""

    documents: int
    tokens: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Shard:
    """A part of a dataset: ids in ``bin``, and ``lengths``, a ``.npy`` of int32[documents].

    ``xxh64`` is the hash that ``bin`` must have; None takes it as it is.
    """

    bin: Root
    lengths: Root
    xxh64: str | None = None


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Return the type that Megatron keeps the ids of such a vocabulary in: uint16 or int32."""
    return np.dtype("<u2" if vocab_size < UINT16_BELOW else "<i4")


def write_index(file: Writable, lengths: Iterable[NDArray[Any]], dtype: np.dtype[Any]) -> Index:
    """Write an ``.idx``.

    Parameters
    ----------
    file
        Where to; everything is written in order.
    lengths
        Tokens of each document in pieces, int[documents of the piece]; gone over three times, so no generator.
    dtype
        Of the ids in the ``.bin``.

    Raises
    ------
    ValueError
        There is no document, there are too many, or one is empty or longer than int32 can say.
    """
    if iter(lengths) is lengths:
        raise ValueError("lengths are gone over three times: give a list of arrays, or what can be iterated again")
    documents = tokens = 0
    for piece in lengths:
        if len(piece) and not (piece.min() > 0 and piece.max() <= MAX_DOCUMENT_TOKENS):
            raise ValueError("a document must have between 1 and 2**31 - 1 tokens")
        documents += len(piece)
        tokens += int(piece.sum(dtype=np.int64))
    if not 0 < documents <= MAX_DOCUMENTS:
        raise ValueError(f"a dataset must have between 1 and 2**31 - 1 documents, not {documents}")
    code = TYPE_CODES[dtype.name]
    file.write(memoryview(HEADER.pack(MAGIC, VERSION, code, documents, documents + 1)))
    for piece in lengths:
        write(file, np.ascontiguousarray(piece, "<i4"))
    begin = 0
    for piece in lengths:
        pointers, begin = _pointers(piece, begin, dtype.itemsize)
        write(file, pointers)
    for first in range(0, documents + 1, PIECE_DOCUMENTS):
        write(file, np.arange(first, min(first + PIECE_DOCUMENTS, documents + 1), dtype="<i8"))
    return Index(documents, tokens, dtype)


def write(file: Writable, array: NDArray[Any]) -> None:
    """Write the bytes of an array."""
    if len(array):  # a memoryview of nothing cannot be cast to bytes
        file.write(array.view(np.uint8).data)


def _pointers(lengths: NDArray[Any], begin: int, itemsize: int) -> tuple[NDArray[np.int64], int]:
    """Return the byte at which each document begins if the first does at ``begin``, and where the last ends."""
    ends = np.cumsum(lengths, dtype="<i8") * itemsize + begin
    pointers = np.empty_like(ends)
    pointers[:1] = begin
    pointers[1:] = ends[:-1]
    return pointers, int(ends[-1]) if len(ends) else begin


def join(shards: Sequence[Shard], bin_file: Writable, idx_file: Writable, dtype: np.dtype[Any]) -> Index:
    """Write shards as one prefix, in their order.

    Memory holds ``PIECE_DOCUMENTS`` of lengths and ``PIECE_BYTES`` of ids, whatever the number and size of the shards.

    Parameters
    ----------
    shards
        Those without documents add nothing; all together hold at least one.
    bin_file, idx_file
        Where to.
    dtype
        Of the ids in the shards.

    Raises
    ------
    BrokenPromiseError
        A shard's ``.bin`` has not the size that its lengths say, or not its hash; or the lengths are damaged.
    ValueError
        As ``write_index``.
    """
    buffer = bytearray(PIECE_BYTES)
    for shard in shards:
        tokens = sum(int(piece.sum(dtype=np.int64)) for piece in read_lengths(shard.lengths))
        copied, found = _copy(shard.bin, bin_file, buffer)
        if shard.xxh64 not in (None, found):
            raise BrokenPromiseError(
                f"{shard.bin} has been changed since it was written", "remove it and run the same command again"
            )
        if copied != tokens * dtype.itemsize:
            raise BrokenPromiseError(
                f"{shard.bin} has {copied:,} bytes, but its lengths say {tokens * dtype.itemsize:,}",
                "remove it and run the same command again",
            )
    return write_index(idx_file, _LengthFiles([shard.lengths for shard in shards]), dtype)


def _copy(path: Root, to: Writable, buffer: bytearray) -> tuple[int, str]:
    """Copy a file through ``buffer`` and return its size and xxh64."""
    copied, digest = 0, xxhash.xxh64()
    with storage.stream(path) as file:
        while size := storage.fill(file, buffer):
            to.write(memoryview(buffer)[:size])
            digest.update(memoryview(buffer)[:size])
            copied += size
    return copied, str(digest.hexdigest())


def read_lengths(path: Root) -> Iterator[NDArray[np.int32]]:
    """Read the lengths of a shard in pieces: int32[up to ``PIECE_DOCUMENTS``].

    Raises
    ------
    BrokenPromiseError
        The file is no ``.npy`` of int32[documents], or is cut off.
    """
    with storage.stream(path) as file:
        # The header comes with the first piece: in an object store every read is a request.
        piece = _read(file, _NPY_HEADER_BYTES + 4 * PIECE_DOCUMENTS)
        header = io.BytesIO(piece)
        try:
            numpy_format.read_magic(header)
            shape, _, dtype = numpy_format.read_array_header_1_0(header)
        except ValueError:
            shape, dtype = (), np.dtype(np.int32)
        remaining = shape[0] if len(shape) == 1 and dtype == np.dtype("<i4") else -1
        piece = piece[header.tell() :]
        while 0 < len(piece) // 4 <= remaining and not len(piece) % 4:
            remaining -= len(piece) // 4
            yield np.frombuffer(piece, "<i4")
            piece = _read(file, 4 * min(remaining, PIECE_DOCUMENTS))
    if remaining:
        raise BrokenPromiseError(
            f"{path} does not hold the lengths of a shard", "remove it and run the same command again"
        )


def _read(file: BinaryIO, size: int) -> bytes:
    """Read so many bytes, or what there is."""
    content = file.read(size)
    while 0 < len(content) < size and (more := file.read(size - len(content))):
        content += more
    return content


class _LengthFiles:
    """The lengths of many shards, read one after the other whenever they are gone over."""

    def __init__(self, paths: Sequence[Root]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        for path in self._paths:
            yield from read_lengths(path)


class IndexFile:
    """An ``.idx`` that has been checked from end to end, mapped into memory; of one in an object store, a copy is.

    ``lengths`` are int32[documents] in tokens, ``begins`` int64[documents], the byte at which each begins.
    """

    def __init__(self, prefix: Root) -> None:
        """Read and check; the parameters and errors are those of ``read_index``."""
        self._path = prefix.with_name(prefix.name + ".idx")
        self._file = self._open()
        self._map: NDArray[np.uint8] = np.frombuffer(self._file, np.uint8)
        documents, self.dtype = self._header()
        tail = HEADER.size + 4 * documents
        self.documents = documents
        self.lengths: NDArray[np.int32] = self._map[HEADER.size : tail].view("<i4")
        self.begins: NDArray[np.int64] = self._map[tail : tail + 8 * documents].view("<i8")
        self._numbers: NDArray[np.int64] = self._map[tail + 8 * documents :].view("<i8")
        self.tokens = self._check()

    def ends(self, first: int, last: int) -> NDArray[np.int64]:
        """Return where documents ``first`` to ``last`` (not included) end: the token after each one's last."""
        return self.begins[first:last] // self.dtype.itemsize + self.lengths[first:last]

    def _open(self) -> mmap.mmap:
        try:
            with storage.borrow(self._path) as path, path.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise self._broken("is missing") from error
        except ValueError as error:  # an empty file cannot be mapped
            raise self._broken("is empty") from error

    def _header(self) -> tuple[int, np.dtype[Any]]:
        if len(self._map) < HEADER.size:
            raise self._broken(f"has {len(self._map)} bytes, too few for a header")
        magic, version, code, sequences, indices = HEADER.unpack(self._map[: HEADER.size].tobytes())
        if magic != MAGIC or version != VERSION:
            raise self._broken("does not begin as a Megatron index of version 1")
        names = [name for name, known in TYPE_CODES.items() if known == code]
        if not names:
            raise self._broken(f"names the unknown type {code} of ids")
        if not 0 < sequences <= MAX_DOCUMENTS or indices != sequences + 1:
            raise self._broken(f"counts {sequences} documents and {indices} document indices")
        if len(self._map) != HEADER.size + 20 * sequences + 8:
            raise self._broken(f"has {len(self._map):,} bytes, but {sequences:,} documents take another number")
        return sequences, np.dtype(names[0])

    def _check(self) -> int:
        """Return the tokens, after the three arrays have been held against one another."""
        begin = 0
        for first in range(0, len(self.lengths), PIECE_DOCUMENTS):
            piece = slice(first, first + PIECE_DOCUMENTS)
            lengths = self.lengths[piece]
            pointers, begin = _pointers(lengths, begin, self.dtype.itemsize)
            self._expect(lengths > 0, first, "is empty")
            self._expect(self.begins[piece] == pointers, first, "does not begin where the one before it ends")
            self._expect_numbers(first, len(lengths))
            self._let_go()
        return begin // self.dtype.itemsize

    def _let_go(self) -> None:
        """Give back the memory of what has been read; it is read again from the file when it is looked at."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)

    def _expect_numbers(self, first: int, count: int) -> None:
        """Check the numbers of some documents, and the one after the last of all."""
        numbers = np.arange(first, first + count, dtype=np.int64)
        self._expect(self._numbers[first : first + count] == numbers, first, "is numbered wrongly")
        if first + count == len(self.lengths) and self._numbers[-1] != len(self.lengths):
            raise self._broken("does not end its documents where its sequences end")

    def _expect(self, holds: NDArray[np.bool_], first: int, what: str) -> None:
        if not holds.all():
            raise self._broken(f"is inconsistent: document {first + int(np.argmin(holds)):,} {what}")

    def _broken(self, what: str) -> BrokenPromiseError:
        return BrokenPromiseError(f"{self._path} {what}", "restore the file, or build again")


def read_index(prefix: Root) -> IndexFile:
    """Read an ``.idx``, check all of it, and hold the size of the ``.bin`` beside it against it.

    Parameters
    ----------
    prefix
        Path of the two files without suffix.

    Raises
    ------
    BrokenPromiseError
        A file is missing, or is not what Megatron would read; the message names the file and the fault.
    """
    index = IndexFile(prefix)
    path = prefix.with_name(prefix.name + ".bin")
    expected = index.tokens * index.dtype.itemsize
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise BrokenPromiseError(f"{path} is missing", "restore the file, or build again") from error
    if size != expected:
        raise BrokenPromiseError(
            f"{path} has {size:,} bytes, but its .idx says {expected:,}", "restore the file, or build again"
        )
    return index
