"""A task to batches of documents: every piece by its format, screened, cut into batches.

Last step of the room and the door to the next one. The batches of a task, taken together, are the documents of its
files in the order of their stable keys.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from mixer.documents import Batch
from mixer.sources import arrow, html, huggingface, jsonarray, jsonl, parquet, plain, separated, warc
from mixer.sources.huggingface import Shard
from mixer.sources.plan import Piece, SourceTask
from mixer.sources.rows import Batches, Rows, Screened, screen
from mixer.sources.settings import SourceSettings
from mixer.sources.sniff import Kind, sniffed
from mixer.sources.streams import Reject, Stream

Skip: TypeAlias = Callable[[str], None]
"""``skip(what)``: called once for each record that is no document by its kind, such as an image in a web archive."""


def read(task: SourceTask, source: SourceSettings, reject: Reject, skip: Skip = lambda _: None) -> Iterator[Batch]:
    """Read a task.

    Parameters
    ----------
    task
        What to read.
    source
        The settings it was planned with.
    reject
        Called with file, position and cause once for each record that cannot be read, and for a truncated file that the
        source allows; in order within a file. A position is "line 17" (counted from 1, as editors do), "record 3" or
        "row 12" (counted from 0, as the column ``record`` does), or "byte 1,234" of the file.
    skip
        Called with the kind of each record that is no document and is none that could be wanted.

    Yields
    ------
    Batch
        Columns ``file``, ``record``, ``text`` (never null, valid UTF-8, without NUL, perhaps empty) and
        ``metadata.<field>``. The same task gives the same batches, always.

    Raises
    ------
    InputError
        A file cannot be opened, is damaged or truncated, or is no format that is read.
    RecipeError
        A column is missing or holds no text, or a setting means nothing to a file's format.
    """
    batches = Batches(source.metadata)
    left = task.limit
    for piece in task.pieces:
        name = piece.path if isinstance(piece, Shard) else piece.file.path
        for screened in _screened(piece, source, reject):
            if left is not None:
                screened = _first(screened, left)
                left -= len(screened.texts)
            for entry in screened.rejected:
                reject(name, entry.position, entry.cause)
            for passed in screened.skipped:
                skip(passed.what)
            yield from batches.add(name, screened)
            if left == 0:
                yield from batches.flush()
                return
    yield from batches.flush()


def _screened(piece: Piece, source: SourceSettings, reject: Reject) -> Iterator[Screened]:
    if isinstance(piece, Shard):
        yield from _documents(huggingface.read(piece, source), source)
        return
    with Stream(piece.file, source, reject) as stream:
        kind = sniffed(stream)
        if kind in ("html", "warc"):
            warc.check(source, piece.file.path, html.FIELDS if kind == "html" else warc.FIELDS)
            yield from map(screen, html.read(stream) if kind == "html" else warc.read(stream))
        else:
            yield from _documents(_sequential(stream, kind), source)
    if kind in ("parquet", "arrow"):
        seekable = parquet if kind == "parquet" else arrow
        yield from _documents(seekable.read(piece.file, source, piece.first, piece.last), source)


def _documents(found: Iterator[Rows], source: SourceSettings) -> Iterator[Screened]:
    """Screen what a format yields; where its texts are pages, take the main text of each."""
    for rows in found:
        screened = screen(rows)
        if source.html:
            yield from html.extracted(screened, source.extraction)
        else:
            yield screened


def _sequential(stream: Stream, kind: Kind) -> Iterator[Rows]:
    if kind == "empty":
        _drain(stream)
    elif kind == "jsonl":
        yield from jsonl.read(stream)
    elif kind == "json":
        yield from jsonarray.read(stream)
    elif kind in ("csv", "tsv"):
        yield from separated.read(stream, "csv" if kind == "csv" else "tsv")
    elif kind == "text":
        plain.check(stream.source, stream.file.path)
        yield from plain.read(stream)
    elif kind == "arrow_stream":
        yield from arrow.read_stream(stream)


def _drain(stream: Stream) -> None:
    """Make sure that a file that begins with nothing but white space holds nothing else."""
    for chunk in stream.chunks():
        if chunk.strip():
            raise stream.error("its first 64 kB are white space, which tells no format", "name its `format`")


def _first(screened: Screened, documents: int) -> Screened:
    """Keep the first documents of a stretch, and the rejected and skipped records before the last of them."""
    if len(screened.texts) < documents:
        return screened
    last = int(screened.records[documents - 1])
    return Screened(
        screened.records[:documents],
        screened.texts.slice(0, documents),
        {name: column.slice(0, documents) for name, column in screened.metadata.items()},
        screened.unit,
        screened.positions[:documents],
        [entry for entry in screened.rejected if entry.record < last],
        [entry for entry in screened.skipped if entry.record < last],
    )
