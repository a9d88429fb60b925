"""From a list of files to tasks, decided from names and sizes alone; only headers and footers are opened.

Third step of the room. Consecutive small files share a task of about ``TARGET_BYTES``; a larger Parquet or Arrow file
is split between row groups or record batches; any other larger file is a task of its own, since its format can only be
read from the front. The plan does not depend on workers, machines or what other sources hold.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from mixer.sources import arrow, html, parquet, warc
from mixer.sources.columns import select
from mixer.sources.extra import require
from mixer.sources.huggingface import Shard, list_shards
from mixer.sources.listing import InputFile, list_files
from mixer.sources.plain import check as check_plain
from mixer.sources.separated import header
from mixer.sources.settings import SourceSettings
from mixer.sources.sniff import Kind, sniffed
from mixer.sources.streams import Stream

COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".parquet")
EXPANSION = 4
"""What compressed text grows by, roughly: 3 (Chinese) to 5 (code) with gzip or zstd."""
ARCHIVE_TEXT = 0.3
"""Text that a byte of a compressed web archive holds, roughly; nearly all of a page is markup."""
TARGET_BYTES = 128 << 20
"""Bytes on disk that a task reads: minutes of work, so that a lost one is cheap and hundreds keep a cluster busy."""

LIMITED_BYTES = 64 << 10
"""Text of a document at most, as far as disk space for a limited number of them goes: long pages, chapters of books."""

LOOKS_AT_ONCE = 16
"""Files in a store that are looked at at once while tasks are planned: what takes time is waiting for answers."""
OPENING = 64 << 10
"""Bytes that a file counts at least, since opening one far away takes as long as reading some; a task has at most
2048 files."""


@dataclass(frozen=True)
class FilePiece:
    """A file, or of it the row groups (Parquet) or record batches (Arrow) ``first`` to ``last``, itself excluded."""

    file: InputFile
    size: int
    first: int = 0
    last: int | None = None

    def identity(self) -> list[Any]:
        """Return what a task's key depends on: JSON values."""
        return [*self.file.identity(), self.first, self.last]


Piece: TypeAlias = FilePiece | Shard


@dataclass(frozen=True)
class SourceTask:
    """What one task reads: pieces in order, of all of which at most ``limit`` documents."""

    source: str
    number: int
    pieces: tuple[Piece, ...]
    limit: int | None = None

    @property
    def id(self) -> str:
        """The task's name, ``<source>/<number>``."""
        return f"{self.source}/{self.number:05d}"

    @property
    def size(self) -> int:
        """Bytes on disk to read; what a dataset does not tell counts 0."""
        return sum(piece.size for piece in self.pieces)

    @property
    def text_bytes(self) -> int:
        """A guess at the text in it, from the sizes and names of its files, or from the limit."""
        whole = sum(int(piece.size * _expansion(piece)) for piece in self.pieces)
        return whole if self.limit is None else min(whole, self.limit * LIMITED_BYTES)

    def identity(self) -> dict[str, Any]:
        """Return what decides the documents of this task beside the settings: JSON values for ``key_of``."""
        return {
            "source": self.source,
            "number": self.number,
            "pieces": [piece.identity() for piece in self.pieces],
            "limit": self.limit,
        }


def plan_source(
    source: SourceSettings, root: Path, limit: int | None = None, target_bytes: int = TARGET_BYTES
) -> list[SourceTask]:
    """Cut a source into tasks.

    Parameters
    ----------
    source
        What to read.
    root
        The recipe's folder, where relative paths start.
    limit
        Read so many documents only, in one task.
    target_bytes
        Bytes on disk of a task.

    Raises
    ------
    RecipeError
        A path matches nothing, a variable is not set, a column is missing, a format cannot be told.
    UsageError
        The source holds HTML, and the extra for it is not installed.
    InputError
        A file cannot be opened, or is damaged where it was looked at.
    """
    pieces: Sequence[Piece]
    if source.html:
        require(source.name)
    if source.datasets is not None:
        pieces = list_shards(source, root)
    else:
        files = list_files(source, root).files
        first = next((file for file in files if file.size), None)
        if first is not None:
            look_at(first, source)
        pieces = _all_pieces(files, source, target_bytes if limit is None else None)
    if limit is not None:
        return [SourceTask(source.name, 0, tuple(pieces), limit)]
    costs = [
        max(piece.size, OPENING) if isinstance(piece, FilePiece) else piece.size or target_bytes for piece in pieces
    ]
    groups = group(costs, target_bytes)
    return [SourceTask(source.name, n, tuple(pieces[a:b])) for n, (a, b) in enumerate(groups)]


def group(sizes: Sequence[int], target: int) -> list[tuple[int, int]]:
    """Group consecutive sizes to at most ``target``: ranges ``(first, last)``, the last one excluded.

    A size above the target stands alone.
    """
    groups: list[tuple[int, int]] = []
    first, total = 0, 0
    for position, size in enumerate(sizes):
        if position > first and total + size > target:
            groups.append((first, position))
            first, total = position, 0
        total += size
    if first < len(sizes):
        groups.append((first, len(sizes)))
    return groups


def look_at(file: InputFile, source: SourceSettings) -> Kind:
    """Tell a file's format from its head, and check what the source says against its header or footer.

    Raises
    ------
    RecipeError
        A column is missing or holds no text, a setting means nothing to the format, or the format cannot be told.
    InputError
        The file cannot be opened, or its content is not what is declared.
    UsageError
        It holds HTML, and the extra for it is not installed.
    """
    with Stream(file, source, _ignore) as stream:
        kind = sniffed(stream)
        if kind in ("csv", "tsv"):
            header(stream, kind)
        elif kind == "text":
            check_plain(source, file.path)
        elif kind in ("html", "warc"):
            require(source.name)
            warc.check(source, file.path, html.FIELDS if kind == "html" else warc.FIELDS)
    if kind in ("parquet", "arrow"):
        schema = parquet.schema if kind == "parquet" else arrow.schema
        select(schema(file, source), source, file.path)
    return kind


def _all_pieces(files: Sequence[InputFile], source: SourceSettings, target_bytes: int | None) -> list[FilePiece]:
    """Return the pieces of all files in order; large ones that are far away are looked at some at a time."""
    cut = partial(_pieces, source=source, target_bytes=target_bytes)
    if not any("://" in file.url for file in files):
        return list(chain.from_iterable(map(cut, files)))
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        return list(chain.from_iterable(pool.map(cut, files)))


def _pieces(file: InputFile, source: SourceSettings, target_bytes: int | None) -> list[FilePiece]:
    """Return a file whole, or in ranges if it is larger than a task and can be split."""
    if target_bytes is None or file.size <= target_bytes:
        return [FilePiece(file, file.size)]
    kind = look_at(file, source)
    weigh: dict[Kind, Callable[[InputFile, SourceSettings], list[int]]] = {
        "parquet": parquet.weights,
        "arrow": arrow.weights,
    }
    if kind not in weigh:
        return [FilePiece(file, file.size)]
    weights = weigh[kind](file, source)
    return [FilePiece(file, sum(weights[a:b]), a, b) for a, b in group(weights, target_bytes)]


def _expansion(piece: Piece) -> float:
    """Guess the bytes of text in a byte on disk, by the name of the file."""
    if not isinstance(piece, FilePiece):
        return 1
    if ".warc" in piece.file.path.rpartition("/")[2]:
        return ARCHIVE_TEXT
    return EXPANSION if piece.file.path.endswith(COMPRESSED) else 1


def _ignore(file: str, position: str, cause: str) -> None:
    """Reject nothing: planning reads no records."""
