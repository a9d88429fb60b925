"""A web page to its main text: what readers, navigation and advertisements aside, would read.

Serves ``html`` and ``warc``. The work is ``trafilatura``'s, chosen by its score on reference extractions (docs). What
is added are bounds: some of its steps take time with the square of a page's elements, so what a page may cost is
limited by counts, which are the same on every machine, and not by a clock.
"""

import re
from dataclasses import dataclass
from typing import Any

from mixer.sources.extra import library
from mixer.sources.fields import UnreadableError
from mixer.sources.settings import HtmlSettings

LARGEST = 8_000_000
"""Bytes of HTML in UTF-8 above which a page is rejected; libxml2 refuses single texts of 10 MB."""
THOROUGH_ELEMENTS = 10_000
"""Elements up to which all extractors are tried; the largest of 114 real pages has 4,300. What is worst for them,
sections in sections, takes 6 seconds with so many and minutes with 30,000."""
MOST_ELEMENTS = 100_000
"""Elements above which a page is rejected; with the fast extractor alone so many take up to 24 seconds and 250 MB."""
NO_TEXT = "no text found in the page"

_ELEMENT = re.compile(r"<[a-zA-Z]")
_CLOSED_ROOT = re.compile(r"(<html\b[^<>]*)/>", re.IGNORECASE)
"""A root that closes itself, behind which libxml2 sees nothing."""
_WHITE_LINE = re.compile(r"^[ \t\u00a0\u3000]+$", re.MULTILINE)
"""What indentation leaves behind where an element held nothing; rules would take such lines for repetition."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Page:
    """The main text of a page and the language that the page declares, if it does."""

    text: str
    language: str | None


def extract(html: str, settings: HtmlSettings) -> Page:
    """Extract the main text of a page.

    Raises
    ------
    UnreadableError
        The page is larger, deeper or more intricate than is read, or holds no text; the message says which.
    """
    data = _CLOSED_ROOT.sub(r"\1>", _CONTROL.sub("", html), count=1).encode()
    if len(data) > LARGEST:
        raise UnreadableError(f"a page of {len(data):,} bytes, more than the {LARGEST:,} that are read")
    elements = html.count("<")
    if elements > THOROUGH_ELEMENTS:
        elements = sum(1 for _ in _ELEMENT.finditer(html))
    if elements > MOST_ELEMENTS:
        raise UnreadableError(f"a page of {elements:,} elements, more than the {MOST_ELEMENTS:,} that are read")
    tree = _parsed(data)
    language = _language(tree)
    text = _text(tree, settings, fast=elements > THOROUGH_ELEMENTS)
    if len(text) > len(html):  # lists in lists come out once for each level
        text = _text(tree, settings, fast=True)
    if len(text) > len(html):
        raise UnreadableError("the extracted text is longer than the page: its nesting is repeated")
    if not text.strip():
        raise UnreadableError(NO_TEXT)
    return Page(text, language)


def _parsed(data: bytes) -> Any:
    """Parse a page; one that libxml2 stops reading before its end is rejected, since the rest would be lost."""
    html, etree = library("lxml.html"), library("lxml.etree")
    parser = html.HTMLParser(
        encoding="utf-8", collect_ids=False, default_doctype=False, remove_comments=True, remove_pis=True
    )
    try:
        tree = html.document_fromstring(data, parser=parser)
    except etree.ParserError:
        raise UnreadableError(NO_TEXT) from None
    except etree.LxmlError as error:
        raise UnreadableError(f"the page cannot be parsed: {error}") from None
    for entry in parser.error_log:
        if entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT or entry.level == etree.ErrorLevels.FATAL:
            raise UnreadableError(f"the page cannot be parsed: {entry.message}")
    return tree


def _text(tree: Any, settings: HtmlSettings, *, fast: bool) -> str:
    try:
        found = library("trafilatura").extract(
            tree,
            fast=fast,
            favor_precision=settings.focus == "precision",
            favor_recall=settings.focus == "recall",
            include_comments=settings.comments,
            include_tables=settings.tables,
        )
    except MemoryError:
        raise
    except Exception as error:  # whatever a library of heuristics trips over costs one page
        raise UnreadableError(f"extraction failed: {type(error).__name__}: {error}") from error
    return _WHITE_LINE.sub("", found or "")


def _language(tree: Any) -> str | None:
    """Return the language that a page declares, as it writes it: of ``<html>``, else of ``<meta>``."""
    declared = tree.get("lang") or tree.get("xml:lang")
    if not declared:
        for meta in tree.iter("meta"):
            if (meta.get("http-equiv") or "").lower() == "content-language":
                declared = meta.get("content")
                break
    return (declared or "").strip()[:35] or None  # BCP 47: 35 characters hold any sensible tag
