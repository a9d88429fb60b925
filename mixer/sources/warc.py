"""Web archives (WARC): the pages in them are the documents, every other record is skipped and counted.

A page is the successful response to a request (or a ``conversion``, as archives of extracted text hold, or a
``resource``) that is HTML or plain text. ``records`` frames, ``page`` extracts.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mixer.errors import RecipeError, did_you_mean
from mixer.sources.charset import decode
from mixer.sources.decompress import CorruptError, TruncatedError, decompressed
from mixer.sources.extra import library
from mixer.sources.fields import UnreadableError
from mixer.sources.page import LARGEST, NO_TEXT, Page, extract
from mixer.sources.records import Broken, Record, records
from mixer.sources.rows import Rejected, Rows, Skipped
from mixer.sources.settings import HtmlSettings, SourceSettings
from mixer.sources.streams import Stream

FIELDS = ("url", "date", "mime", "record_id", "language", "charset")
"""What ``metadata`` may name: where and when the page was fetched, its type, the record's id, the language that the
page declares, and the encoding it was read in."""
STRETCH = 64
"""Records handed on together, so that a limited build does not extract many pages in vain."""
HTML = ("text/html", "application/xhtml+xml")
_TEXT = "text/plain"
_TYPES = ("response", "resource", "conversion")
_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,50}")
_LOOKS_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_LARGEST_SENT = 4 * LARGEST
"""Bytes of a page in its own encoding, which is at most twice to four times what UTF-8 takes (UTF-16, UTF-32)."""


class _Skip(Exception):  # noqa: N818 - nothing is wrong
    """The record is no document; the message says what it is."""


@dataclass(frozen=True)
class _Document:
    text: str
    metadata: Mapping[str, str | None]


def check(source: SourceSettings, file: str, known: tuple[str, ...] = FIELDS) -> None:
    """Refuse settings that mean nothing to web pages, as archives and HTML files hold them.

    Raises
    ------
    RecipeError
        ``text`` names a field, or ``metadata`` one that pages do not have, or whole records are wanted.
    """
    if source.text_rule.is_whole:
        raise RecipeError(
            f"source {source.name!r}: {file} holds web pages, which are no records with fields",
            "name files of JSON Lines, JSON, Parquet, Arrow IPC, CSV or TSV",
        )
    if source.text != "text":
        raise RecipeError(
            f"source {source.name!r}: {file} holds web pages, which have no fields such as {source.text!r}",
            "leave out `text`: it is what is extracted of a page",
        )
    for name in source.metadata:
        if name not in known:
            raise RecipeError(
                f"source {source.name!r}: {file} holds web pages, which have no metadata {name!r}"
                f"{did_you_mean(name, known)}",
                f"they have {', '.join(known)}",
            )


def read(stream: Stream) -> Iterator[Rows]:
    """Read an archive; positions are where a record begins, in bytes of the file if one can point there.

    Raises
    ------
    InputError
        The archive ends in the middle, and the source does not allow that.
    """
    stretch = _Stretch(stream.source.metadata)
    for number, record in enumerate(records(stream)):
        stretch.add(number, record, stream.source.extraction)
        if stretch.size == STRETCH:
            yield stretch.rows()
            stretch = _Stretch(stream.source.metadata)
    yield stretch.rows()


class _Stretch:
    """Rows in the making."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._numbers: list[int] = []
        self._found: list[_Document] = []
        self._rejected: list[Rejected] = []
        self._skipped: list[Skipped] = []
        self.size = 0

    def add(self, number: int, record: Record | Broken, settings: HtmlSettings) -> None:
        """Take a record: its document, or why there is none."""
        self.size += 1
        try:
            if isinstance(record, Broken):
                raise UnreadableError(record.cause)
            self._found.append(_document(record, settings))
            self._numbers.append(number)
        except _Skip as skip:
            self._skipped.append(Skipped(number, str(skip)))
        except UnreadableError as error:
            self._rejected.append(Rejected(number, record.place, str(error)))

    def rows(self) -> Rows:
        """Return what was taken."""
        numbers = np.asarray(self._numbers, np.int64)
        texts = pa.array([document.text for document in self._found], pa.large_string())
        metadata = {
            name: pa.array([document.metadata[name] for document in self._found], pa.string()) for name in self._names
        }
        return Rows(numbers, texts, metadata, "record", numbers, self._rejected, self._skipped, is_utf8=True)


def _document(record: Record, settings: HtmlSettings) -> _Document:
    """Make a document of a record.

    Raises
    ------
    _Skip
        It is none by its kind.
    UnreadableError
        It is one, but cannot be read.
    """
    header: Callable[[str], str | None] = record.headers.get_header
    kind = (header("WARC-Type") or "a record without a type").lower()
    url = (header("WARC-Target-URI") or "").removeprefix("<").removesuffix(">")
    if kind not in _TYPES:
        raise _Skip(kind)
    if url and not url.lower().startswith(("http:", "https:")):
        raise _Skip(f"{kind} that is no web page")  # dns:, ftp:, and the logs of the crawler itself
    if kind == "response":
        http, body = _http(record)
        declared = http.get_header("Content-Type")
    else:
        http, body, declared = None, record.block, header("Content-Type")
    mime, charset = _content_type(declared)
    mime = mime or _content_type(header("WARC-Identified-Payload-Type"))[0]
    if mime and mime not in (*HTML, _TEXT):
        raise _Skip(f"{kind}: {mime}")
    if record.length > len(record.block):
        raise UnreadableError(f"a record of {record.length:,} bytes, more than are read of a page")
    if http is not None:
        body = _sent(body, http)
    if not mime:
        if not _LOOKS_HTML.match(body[:4096]):
            raise _Skip(f"{kind} without a type")
        mime = HTML[0]
    if len(body) > _LARGEST_SENT:
        raise UnreadableError(f"a page of more than the {LARGEST:,} bytes that are read")
    decoded = decode(body, charset)
    page = extract(decoded.text, settings) if mime in HTML else _plain(decoded.text)
    language = page.language or (http.get_header("Content-Language") if http else None)
    values = (url or None, header("WARC-Date"), mime, header("WARC-Record-ID"), language, decoded.charset)
    return _Document(page.text, dict(zip(FIELDS, values, strict=True)))


def _plain(text: str) -> Page:
    if not text.strip():
        raise UnreadableError(NO_TEXT)
    if "\0" in text:
        raise UnreadableError("the text holds a NUL character")
    return Page(text, None)


def _http(record: Record) -> tuple[Any, bytes]:
    """Return the HTTP headers of a response and the bytes behind them."""
    module = library("warcio.statusandheaders")
    block = io.BytesIO(record.block)
    try:
        headers = module.StatusAndHeadersParser([], verify=False).parse(block)
    except (module.StatusAndHeadersParserException, EOFError):
        raise UnreadableError("a response without HTTP headers") from None
    if not (headers.protocol or "").upper().startswith("HTTP/"):
        raise UnreadableError("a response that does not begin with an HTTP status")
    status = headers.get_statuscode() or ""
    if not re.fullmatch(r"\d{3}", status):
        raise UnreadableError("a response without a valid HTTP status")
    if status[0] != "2":
        raise _Skip(f"response with status {status}")
    return headers, block.read()


def _sent(body: bytes, http: Any) -> bytes:
    """Undo what HTTP does to a body on its way: chunks, then compression.

    Archives often hold the decoded body under the headers as they were, so each step is left out where the bytes show
    that it has been undone.
    """
    if (http.get_header("Transfer-Encoding") or "").strip().lower() == "chunked":
        readers = library("warcio.bufferedreaders")
        chunks = readers.ChunkedDataReader(io.BytesIO(body), raise_exceptions=True)
        try:
            body = _all_of(chunks)
        except readers.ChunkedDataException:
            if re.match(rb"[0-9a-fA-F]{1,8}[ \t]*(;[^\r\n]*)?\r\n", body):
                raise UnreadableError("HTTP chunks that are broken or cut off") from None
    for name in reversed((http.get_header("Content-Encoding") or "").lower().replace(" ", "").split(",")):
        body = _decompressed(body, name)
    return body


def _all_of(reader: Any) -> bytes:
    """Read a reader of ``warcio`` to its end; it hands out a chunk at a time."""
    parts = []
    while part := reader.read():
        parts.append(part)
    return b"".join(parts)


def _decompressed(body: bytes, name: str) -> bytes:
    """Undo one content encoding, up to one byte more than is read of a page."""
    if name in ("", "identity", "none", "utf-8") or not body:
        return body
    try:
        if name in ("gzip", "x-gzip"):
            return _bounded(decompressed([body], "gzip")) if body.startswith(b"\x1f\x8b") else body
        if name == "zstd":
            return _bounded(decompressed([body], "zstd")) if body.startswith(b"\x28\xb5\x2f\xfd") else body
        if name == "deflate":
            return _inflated(body)
        if name == "br":
            return _unbrotlied(body)
    except (TruncatedError, CorruptError, zlib.error) as error:
        raise UnreadableError(f"{name} content that is broken or cut off: {error}") from None
    raise UnreadableError(f"content encoded as {name[:40]!r}, which is not read")


def _bounded(pieces: Iterator[bytes]) -> bytes:
    """Join pieces, but no more than shows that there are too many."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size > _LARGEST_SENT:
            break
    return b"".join(parts)


def _inflated(body: bytes) -> bytes:
    """Undo ``deflate``, which is sent with (as the standard says) or without the header of zlib."""
    if _LOOKS_HTML.match(body[:4096]):
        return body
    codec = zlib.decompressobj()
    try:
        text = codec.decompress(body, _LARGEST_SENT + 1)
    except zlib.error:
        codec = zlib.decompressobj(-zlib.MAX_WBITS)
        text = codec.decompress(body, _LARGEST_SENT + 1)
    if not codec.eof and len(text) <= _LARGEST_SENT:
        raise zlib.error("it ends in the middle")
    return text


def _unbrotlied(body: bytes) -> bytes:
    """Undo Brotli, which has no mark at its beginning: what looks like HTML has been undone already."""
    if _LOOKS_HTML.match(body[:4096]):
        return body
    brotli = library("brotli")
    codec = brotli.Decompressor()
    try:
        text: bytes = codec.process(body, output_buffer_limit=_LARGEST_SENT + 1)
    except brotli.error as error:
        raise CorruptError(str(error)) from None
    if not codec.is_finished() and len(text) <= _LARGEST_SENT:
        raise TruncatedError("it ends in the middle")
    return text


def _content_type(value: str | None) -> tuple[str | None, str | None]:
    """Split a ``Content-Type`` into its type, None if it is none, and its charset."""
    if not value:
        return None, None
    mime, _, parameters = value.partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", parameters, re.IGNORECASE)
    mime = mime.split(",")[0].strip().lower()
    return (mime if _TYPE.fullmatch(mime) else None), (charset[1] if charset else None)
