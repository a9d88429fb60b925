"""A task to batches of documents: every piece by its format, screened, cut into batches.

Last step of the room and the door to the next one. The batches of a task, taken together, are the documents of its
files in the order of their stable keys.
"""

from collections.abc import Iterator

from mixer.documents import Batch
from mixer.sources import arrow, huggingface, jsonarray, jsonl, parquet, plain, separated
from mixer.sources.huggingface import Shard
from mixer.sources.plan import Piece, SourceTask
from mixer.sources.rows import Batches, Rows, Screened, screen
from mixer.sources.settings import SourceSettings
from mixer.sources.sniff import sniffed
from mixer.sources.streams import Reject, Stream


def read(task: SourceTask, source: SourceSettings, reject: Reject) -> Iterator[Batch]:
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
        for rows in _rows(piece, source, reject):
            screened = screen(rows)
            if left is not None:
                screened = _first(screened, left)
                left -= len(screened.texts)
            for entry in screened.rejected:
                reject(name, entry.position, entry.cause)
            yield from batches.add(name, screened)
            if left == 0:
                yield from batches.flush()
                return
    yield from batches.flush()


def _rows(piece: Piece, source: SourceSettings, reject: Reject) -> Iterator[Rows]:
    if isinstance(piece, Shard):
        yield from huggingface.read(piece, source)
        return
    with Stream(piece.file, source, reject) as stream:
        kind = sniffed(stream)
        if kind == "empty":
            _drain(stream)
        elif kind == "jsonl":
            yield from jsonl.read(stream)
        elif kind == "json":
            yield from jsonarray.read(stream)
        elif kind in ("csv", "tsv"):
            yield from separated.read(stream, kind)
        elif kind == "text":
            plain.check(source, piece.file.path)
            yield from plain.read(stream)
        elif kind == "arrow_stream":
            yield from arrow.read_stream(stream)
    if kind in ("parquet", "arrow"):
        seekable = parquet if kind == "parquet" else arrow
        yield from seekable.read(piece.file, source, piece.first, piece.last)


def _drain(stream: Stream) -> None:
    """Make sure that a file that begins with nothing but white space holds nothing else."""
    for chunk in stream.chunks():
        if chunk.strip():
            raise stream.error("its first 64 kB are white space, which tells no format", "name its `format`")


def _first(screened: Screened, documents: int) -> Screened:
    """Keep the first documents of a stretch, and the rejected records before the last of them."""
    if len(screened.texts) < documents:
        return screened
    last = int(screened.records[documents - 1])
    return Screened(
        screened.records[:documents],
        screened.texts.slice(0, documents),
        {name: column.slice(0, documents) for name, column in screened.metadata.items()},
        [entry for entry in screened.rejected if entry.record < last],
    )
