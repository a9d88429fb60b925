"""HTML that is not in a web archive: files that are a page each, and pages in a field of any other format."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mixer.sources.charset import decode
from mixer.sources.fields import UnreadableError
from mixer.sources.page import LARGEST, extract
from mixer.sources.rows import Rejected, Rows, Screened
from mixer.sources.settings import HtmlSettings
from mixer.sources.streams import Stream

FIELDS = ("language", "charset")
"""What ``metadata`` may name of an HTML file: the language that it declares, and the encoding it was read in."""
AT_ONCE = 64
"""Pages extracted before they are handed on, so that a limited build does not extract many in vain."""
_LARGEST_FILE = 4 * LARGEST


def read(stream: Stream) -> Iterator[Rows]:
    """Read a file as one page; its position is line 1."""
    source = stream.source
    data = bytearray()
    for piece in stream.pieces():
        data += piece
        if len(data) > _LARGEST_FILE:
            break
    if stream.truncated:
        return  # half a page is none
    texts: list[str] = []
    metadata: dict[str, list[str | None]] = {name: [] for name in source.metadata}
    rejected = []
    try:
        if len(data) > _LARGEST_FILE:
            raise UnreadableError(f"a page of more than the {LARGEST:,} bytes that are read")
        decoded = decode(bytes(data), source.encoding if source.is_set("encoding") else None)
        page = extract(decoded.text, source.extraction)
        texts.append(page.text)
        for name, value in zip(FIELDS, (page.language, decoded.charset), strict=True):
            if name in metadata:
                metadata[name].append(value)
    except UnreadableError as error:
        rejected.append(Rejected(0, "line 1", str(error)))
    numbers = np.arange(len(texts), dtype=np.int64)
    columns = {name: pa.array(values, pa.string()) for name, values in metadata.items()}
    yield Rows(numbers, pa.array(texts, pa.large_string()), columns, "line", numbers + 1, rejected, is_utf8=True)


def extracted(screened: Screened, settings: HtmlSettings) -> Iterator[Screened]:
    """Replace documents that are HTML by their main text; pages that cannot be read are rejected where they stand."""
    for start in range(0, max(1, len(screened.texts)), AT_ONCE):
        stop = min(start + AT_ONCE, len(screened.texts))
        texts: list[str | None] = []
        causes: list[Rejected] = []
        for row in range(start, stop):
            try:
                texts.append(extract(screened.texts[row].as_py(), settings).text)
            except UnreadableError as error:
                texts.append(None)
                place = f"{screened.unit} {screened.positions[row]}"
                causes.append(Rejected(int(screened.records[row]), place, str(error)))
        column = pa.array(texts, pa.large_string())
        kept = column.is_valid()
        first = int(screened.records[start]) if start else -1
        last = int(screened.records[stop]) if stop < len(screened.texts) else np.inf
        rejected = [*causes, *(entry for entry in screened.rejected if first <= entry.record < last)]
        chosen = np.asarray(kept)
        yield Screened(
            screened.records[start:stop][chosen],
            column.filter(kept),
            {name: values.slice(start, stop - start).filter(kept) for name, values in screened.metadata.items()},
            screened.unit,
            screened.positions[start:stop][chosen],
            sorted(rejected, key=lambda entry: entry.record),
            [entry for entry in screened.skipped if first <= entry.record < last],
        )
