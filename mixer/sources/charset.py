"""The bytes of a web page to text: which character encoding they are in, and how sure that is.

Serves ``page``. What a page says of itself is often wrong, so each claim is held against the bytes, and bytes that no
claim fits are set aside rather than guessed at: text in the wrong encoding looks like text to every later stage.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mixer.sources.extra import library
from mixer.sources.fields import UnreadableError

TOLERANCE = 0.02
"""Share of a page's characters outside ASCII that may be undecodable (each becomes U+FFFD): one cut-off title in fifty
words is common, while the wrong encoding spoils a third or more."""
EVIDENCE = 16
"""Bytes outside ASCII without which nothing is concluded from their pattern."""
DECLARED_WITHIN = 1 << 16
"""Bytes at the start of a page in which its declaration is looked for; the HTML standard asks for the first 1024."""
SAMPLE = 1 << 16
"""Bytes of visible text that detection looks at."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_READ_AS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
    "shift_jis": "cp932",
    "euc_jp": "euc_jis_2004",
    "iso2022_jp": "iso2022_jp_ext",
    "euc_kr": "cp949",
    "utf-8-sig": "utf-8",
}
"""Labels that are read as a superset, as browsers do (WHATWG Encoding Standard, section 4.2): pages declared gb2312
hold characters that only GB18030 has."""
_SHIFTING = {"iso2022_jp_ext": b"\x1b", "iso2022_kr": b"\x1b", "hz": b"~{", "utf-16-le": b"\0", "utf-16-be": b"\0"}
"""Encodings whose bytes may pass as ASCII, each with a byte that it cannot do without."""
_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "cp1258", "iso8859-2", "iso8859-15", "mac-roman")
_OTHERS = ("gb18030", "big5hkscs", "cp932", "euc_jis_2004", "cp949", "cp1251", "koi8-r", "cp1253", "cp1255", "cp1256")
_ACCEPTED = {
    "utf-8",
    *_READ_AS.values(),
    *_SHIFTING,
    *_LATIN,
    *_OTHERS,
    *(f"iso8859-{part}" for part in range(3, 17)),
    "koi8-u",
    "cp866",
    "mac-cyrillic",
}
_LATIN_BY_LANGUAGE: dict[str, str] = {
    **dict.fromkeys(("cs", "hr", "hu", "pl", "ro", "sk", "sl", "bs", "sq"), "cp1250"),
    **dict.fromkeys(("tr", "az"), "cp1254"),
    **dict.fromkeys(("et", "lt", "lv"), "cp1257"),
    "vi": "cp1258",
}
"""Fallback encodings of browsers by language (HTML Standard, section 13.2.3.2); any other language: windows-1252."""

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML = re.compile(rb"\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)")
_LANGUAGE = re.compile(rb"<html\b[^>]*?\blang\s*=\s*[\"']?\s*([a-z]{2,3})\b", re.IGNORECASE)
_HIDDEN = re.compile(rb"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_DENSE = re.compile(rb"(?:[\x80-\xff][@-~]?){4,}")
"""Four characters in a row outside ASCII; the second byte of one in Big5 or Shift JIS may be an ASCII one."""
_ASCII = bytes(range(128))


@dataclass(frozen=True)
class Decoded:
    """A page's text and the encoding it was read in."""

    text: str
    charset: str


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Decode a page.

    In this order: a byte order mark; UTF-8 where the bytes are UTF-8, whatever is declared (bytes of another encoding
    practically never are); what the transport declares, then what the page declares, where the bytes fit; detection
    from the bytes of the visible text. A Latin encoding fits any bytes, so one is believed only of bytes that look
    like Latin text, and after a declared encoding that is not Latin.

    Parameters
    ----------
    data
        The page as sent, without transfer and content encoding.
    declared
        What the transport says, such as the ``charset`` of an HTTP header.

    Raises
    ------
    UnreadableError
        No encoding fits.
    """
    for mark, signed in _BOMS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], signed) or _refused([signed])
    named = [codec for label in (declared, _declared_in(data)) if (codec := known(label))]
    for codec in named:
        if codec in _SHIFTING and _SHIFTING[codec] in data and (found := _decoded(data, codec)):
            return found
    if found := _decoded(data, "utf-8"):
        return found
    latin = _looks_latin(data)
    for codec in sorted(named, key=_LATIN.__contains__):
        if codec not in _SHIFTING and (latin or codec not in _LATIN) and (found := _decoded(data, codec)):
            return found
    return next((found for codec in _detected(data, latin=latin) if (found := _decoded(data, codec))), None) or (
        _refused(named)
    )


def known(label: str | None) -> str | None:
    """Return the codec that a label is read with; None for no label, or one that no page can have."""
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip().lower().removeprefix("x-")).name
    except (LookupError, ValueError):
        return None
    name = _READ_AS.get(name, name)
    return name if name in _ACCEPTED else None


def _refused(named: list[str]) -> Decoded:
    claims = f"; it claims {', '.join(dict.fromkeys(named))}" if named else ""
    raise UnreadableError(f"the character encoding of the page cannot be told{claims}")


def _declared_in(data: bytes) -> str | None:
    """Return the label in the page's XML declaration or ``<meta>``; one of UTF-16 there can only mean UTF-8."""
    head = data[:DECLARED_WITHIN]
    found = _META.search(_COMMENT.sub(b"", head)) or _XML.search(head)
    label = found[1].decode() if found else None
    return "utf-8" if label and label.lower().startswith(("utf-16", "utf-32")) else label


def _decoded(data: bytes, codec: str) -> Decoded | None:
    """Decode, if all but a ``TOLERANCE`` of the characters outside ASCII can be; a cut-off last one is left out."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    text = decoder.decode(data)
    spoilt = text.count("\ufffd")
    if spoilt:
        spoilt -= data.count(b"\xef\xbf\xbd") if codec == "utf-8" else 0  # a replacement that the page itself holds
        outside = len(text) - len(text.encode("ascii", "ignore"))
        if spoilt > TOLERANCE * outside:
            return None
    return Decoded(text, codec)


def _looks_latin(data: bytes) -> bool:
    """Whether the bytes outside ASCII mostly stand alone among letters, as accents do, and not in a row."""
    outside = _outside(data)
    return outside < EVIDENCE or 2 * _outside(b"".join(_DENSE.findall(data))) < outside


def _outside(data: bytes) -> int:
    """Count the bytes outside ASCII."""
    return len(data.translate(None, _ASCII))


def _detected(data: bytes, *, latin: bool) -> Iterator[str]:
    """Name the encoding that the visible text looks like; too little text looks like nothing."""
    visible = _HIDDEN.sub(b" ", data)[:SAMPLE]
    if latin:
        language = _LANGUAGE.search(data[:DECLARED_WITHIN])
        if language:
            yield _LATIN_BY_LANGUAGE.get(language[1].decode().lower(), "cp1252")
    elif _outside(visible) >= EVIDENCE:
        best = library("charset_normalizer").from_bytes(visible, cp_isolation=list(_OTHERS)).best()
        if best is not None:
            yield codecs.lookup(best.encoding).name
