"""Which format a file has, by its content; the suffix is asked only where content cannot tell.

Every format but plain text, CSV and TSV is recognised by its first bytes, whatever the file is called (HTML without its
usual beginning by its name). What a recipe
declares is believed within one family: ``jsonl`` and ``json`` are told apart by content, and a declared text format
that turns out to be a binary one is an error.
"""

import re
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from mixer.errors import InputError, RecipeError
from mixer.sources.settings import SourceSettings
from mixer.sources.streams import Stream

Kind = Literal["empty", "jsonl", "json", "parquet", "arrow", "arrow_stream", "text", "csv", "tsv", "html", "warc"]

_BINARY: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1\x00\x00", "arrow"),
    (b"\xff\xff\xff\xff", "arrow_stream"),
    (b"WARC/", "warc"),
)
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive", "name its members: zip://*.jsonl::{file}"),
    (b"filedesc://", "an ARC file, the forerunner of WARC", "convert it: warcio recompress {file} {file}.warc.gz"),
    (b"PARE", "encrypted Parquet", "decrypt it first"),
    (b"FEA1", "the old Feather format", "write it again as Parquet or Arrow IPC"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"\x04\x22\x4d\x18", "lz4 data", "unpack it, or compress it with zstd or gzip"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy data", "unpack it, or compress it with zstd or gzip"),
)
_HTML = re.compile(r"\s*(<\?xml\b[^>]*>\s*|<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")
_SUFFIXES: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}


def sniffed(stream: Stream) -> Kind:
    """Tell the format of an open file, and refuse what its source says in vain.

    Raises
    ------
    InputError, RecipeError
        As ``sniff`` and ``check``; also for a format that is read from its end and is compressed as a whole.
    """
    kind = sniff(stream.head(), stream.file.path, stream.source)
    check(kind, stream.file.path, stream.source)
    if stream.compression and kind in ("parquet", "arrow"):
        raise stream.error(
            f"it is a {kind.capitalize()} file compressed with {stream.compression}",
            "decompress it: the format compresses inside",
        )
    return kind


def sniff(head: bytes, path: str, source: SourceSettings) -> Kind:
    """Tell a file's format.

    Parameters
    ----------
    head
        The first decompressed bytes of the file, all of them if it is short.
    path
        Its name, for the suffix and for messages.
    source
        Says what is declared.

    Raises
    ------
    InputError
        The content is of a format that is not read, or not what the source declares.
    RecipeError
        Nothing tells the format.
    """
    if not head:
        return "empty"
    kind = _by_magic(head, path, source)
    family = "arrow" if kind == "arrow_stream" else kind
    if source.format == "auto":
        found = kind or _by_text(_decoded(head, source.encoding), path)
    elif kind or source.format in ("parquet", "arrow", "warc"):
        if family != source.format:
            raise InputError(
                f"source {source.name!r}: {path} is declared {source.format}, but its content is "
                f"{family or 'neither Parquet nor Arrow IPC nor WARC'}",
                "leave out `format`, which finds out by itself, or make such files a source of their own",
            )
        found = kind
    elif source.format in ("jsonl", "json"):
        found = _json(_decoded(head, source.encoding)) or "jsonl"
    else:
        found = source.format
    if found is None:
        raise RecipeError(
            f"source {source.name!r}: neither content nor name tells the format of {path}",
            "name it: `format: text`, csv, tsv, html or jsonl; or leave such files out with a narrower glob",
        )
    return found


def check(kind: Kind, path: str, source: SourceSettings) -> None:
    """Refuse settings that would be ignored for a file of this format.

    Raises
    ------
    RecipeError
        ``encoding``, ``records`` or ``columns`` is set and means nothing to the format.
    """
    meaningless = {
        "encoding": kind in ("parquet", "arrow", "arrow_stream", "warc"),
        "records": kind not in ("text", "empty"),
        "columns": kind not in ("csv", "tsv", "empty"),
    }
    for key, ignored in meaningless.items():
        if ignored and source.is_set(key):
            raise RecipeError(
                f"source {source.name!r}: `{key}` means nothing to {path}, whose content is {kind.replace('_', ' ')}",
                f"leave out `{key}`, or make such files a source of their own",
            )


def _by_magic(head: bytes, path: str, source: SourceSettings) -> Kind | None:
    for magic, kind in _BINARY:
        if head.startswith(magic):
            return kind
    for magic, name, remedy in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"source {source.name!r}: {path} is {name}", remedy.format(file=path))
    html = source.format == "html" or (source.format == "auto" and _hint(path) == "html")  # which tells its encoding
    if head.startswith(_UTF16) and not source.encoding.startswith("utf-16") and not html:
        raise InputError(f"source {source.name!r}: {path} is UTF-16 text", "say `encoding: utf-16` for this source")
    return None


def _decoded(head: bytes, encoding: str) -> str:
    return head.decode(encoding, "replace").lstrip("\ufeff \t\r\n")


def _by_text(text: str, path: str) -> Kind | None:
    if _HTML.match(text):
        return "html"
    found = _json(text)
    hint = _hint(path)
    if found == "json" and hint in ("text", "csv", "tsv") and not _is_array_of_objects(text):
        found = None  # prose may well begin with a bracket
    if found or not text:
        return found or "empty"
    if hint is None and any(_is_object(line) for line in text.split("\n", 100)[:100]):
        return "jsonl"  # only its first line is broken
    return hint


def _json(text: str) -> Kind | None:
    """Recognise JSON: lines of objects, or an array, or objects spread over lines."""
    if text.startswith("["):
        return "json"
    if not text.startswith("{") or text[1:].lstrip()[:1] not in ('"', "}", ""):
        return None
    first, _, rest = text.partition("\n")
    if not first.rstrip().endswith(("{", "[", ",", ":")):
        return "jsonl"
    broken = first.rstrip().endswith(("{", ",")) and rest.lstrip().startswith("{")  # a key would follow, not an object
    return "jsonl" if broken or not rest.strip() else "json"


def _is_array_of_objects(text: str) -> bool:
    return text[1:].lstrip()[:1] in ("{", "]")


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _hint(path: str) -> Kind | None:
    name = PurePosixPath(path.lower())
    while name.suffix in _COMPRESSED:
        name = name.with_suffix("")
    return _SUFFIXES.get(name.suffix)
