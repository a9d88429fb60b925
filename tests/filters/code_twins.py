"""Slow, readable twins of the kernels for source code: regular expressions and plain Python, from the definitions."""

import math
import re

from mixer.filters.kernels.code import MARKERS
from mixer.filters.syntax import INDEX, SYNTAXES

BLANK = r"[\t-\r ]"
TAG = rf"""(?:={BLANK}*"[^"]*(?:"|\Z)|={BLANK}*'[^']*(?:'|\Z)|[^>])*(?:>|\Z)"""
MARKUP = re.compile(
    rf"<!--[\s\S]*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)"
    rf"|<(?=(script|style)(?![a-z])){TAG}[\s\S]*?(?:</\1{TAG}|\Z)|</?(?=[a-z]){TAG}",
    re.IGNORECASE | re.ASCII,
)
ENTITY = re.compile(r"&(?:#[A-Za-z0-9]*|[A-Za-z0-9]+);")
# StarCoder2's expressions, as the paper prints them.
ENCODED = (
    r"[a-zA-Z0-9+/\n=]{64,}",
    r"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}",
    r"(?:\\u[0-9a-fA-F]{4}){8,}",
)


def is_yaml(body):
    def fits(line):
        item = line[:1] in ("-", ".") and (len(line) == 1 or re.match(rf"{BLANK}|{re.escape(line[0])}", line[1]))
        return not line or item or line[0] in "\t\v\f\r #%" or re.search(rf":({BLANK}|\Z)", line)

    return body.lower().startswith(("---", "%yaml")) and all(fits(line) for line in body.split("\n"))


def is_text(body):
    def letter(char):
        return char > "\x7f" or (char.isascii() and char.isalpha())

    blanks = 0
    for place in range(1, len(body) - 1):
        before = place - 1
        if body[before] in ",.:;?!" and before > 0:
            before -= 1
        blanks += body[place] == " " and letter(body[before]) and letter(body[place + 1])
    return 16 * blanks + 4 * sum(char > "\x7f" for char in body) >= len(body)


def recognise(text):
    body = text.removeprefix("\ufeff").lstrip("\t\n\v\f\r ")
    start = body[:20].lower()
    if not body:
        return "unknown"
    if start.startswith("<?xml"):
        return "xml"
    if start.startswith("<?php"):
        return "php"
    if start.startswith(("<!doctype html", "<html")):
        return "html"
    if start.startswith("#!"):
        line = body.split("\n")[0].lower()
        return "python" if "python" in line else "javascript" if "node" in line else "hash"
    brackets = rf"""\{{{BLANK}*(?=["}}])[\s\S]*\}}{BLANK}*|\[{BLANK}*(?=["\]\[{{\-0-9])[\s\S]*\]{BLANK}*"""
    if re.fullmatch(brackets, body):
        return "json"
    if is_yaml(body):
        return "yaml"
    return "text" if is_text(body) else "unknown"


def code_statistics(text, syntax):
    lines = text.splitlines()
    longest = max(map(len, lines), default=0)
    visible = len(visible_text(text))
    head = "\n".join(text.split("\n")[:5]).encode().lower()
    markers = sum(head.count(marker.encode()) for marker in MARKERS)
    mean = sum(map(len, lines)) / len(lines) if lines else 0
    return {
        "code_lines": len(lines),
        "code_maximum_line_length": math.nan if syntax.long_lines else longest,
        "code_mean_line_length": math.nan if syntax.long_lines else mean,
        "text_maximum_line_length": longest if syntax.long_lines else math.nan,
        "xml_declarations": b"<?xml version=" in text[:100].encode().lower(),
        "generated_markers": math.nan if syntax.name == "text" else markers,
        "html_visible_characters": visible if syntax.html and text else math.nan,
        "html_visible_share": visible / len(text) if syntax.html and text else math.nan,
        "data_characters": len(text) if syntax.data else math.nan,
        "data_lines": len(lines) if syntax.data else math.nan,
    }


def visible_text(text):
    out, place = "", 0
    while place < len(text):
        hidden = MARKUP.match(text, place)
        entity = ENTITY.match(text, place)
        if hidden:
            place = hidden.end()
        else:
            out += text[place]
            place = entity.end() if entity else place + 1
    return out


def encoded_statistics(text):
    found = [match.group() for one in ENCODED for match in re.finditer(one, text, re.ASCII)]
    return {
        "longest_encoded": max(map(len, found), default=0),
        "encoded_share": min(1, sum(map(len, found)) / len(text)) if text else 0,
    }


def comment_parts(text, syntax):
    """Yield what is a comment or a docstring, one construct after the other."""
    begins = {re.escape(mark) + r"[^\n]*" for mark in syntax.lines}
    line = re.compile("|".join(begins) or r"(?!)")
    blocks = [rf"{re.escape(opens)}[\s\S]*?(?:{re.escape(closes)}|\Z)" for opens, closes in syntax.blocks]
    block = re.compile("|".join(blocks) or r"(?!)")
    strings = [rf"{q}(?:\\[^\n]|[^{q}\\\n])*{q}" for q in syntax.quotes]
    strings += [rf"{q}(?:\\(?:[\s\S]|\Z)|[^{q}\\])*(?:{q}|\Z)" for q in syntax.long_quotes]
    triples = [rf"{q * 3}(?:\\(?:[\s\S]|\Z)|[^\\])*?(?:{q * 3}|\Z)" for q in syntax.quotes if syntax.docstrings]
    string = re.compile("|".join((*triples, *strings)) or r"(?!)")
    regex = re.compile(r"/(?![/*])(?:\\[^\n]|[^/\\\n])*/")
    place = depth = 0
    while place < len(text):
        found = block.match(text, place)
        if not found and (not syntax.spaced or place == 0 or text[place - 1] <= " "):
            found = line.match(text, place)
        if found:
            yield found.group()
            place = found.end()
            continue
        if text[place] == "\\":
            place += 2
            continue
        if found := string.match(text, place):
            if syntax.docstrings and not depth and begins_statement(text[:place]):
                yield found.group()
        elif syntax.regexes and re.search(r"(?:[(,=:[!&|?+]|return)[\t ]*\Z", text[:place]):
            found = regex.match(text, place)
        elif syntax.docstrings:
            depth = max(0, depth + (text[place] in "([{") - (text[place] in ")]}"))
        place = found.end() if found else place + 1


def begins_statement(before):
    rest, _, line = before.rpartition("\n")
    line = line[:-1] if line[-1:] in ("r", "R", "u", "U") else line
    return not line.strip("\t ") and not rest.removesuffix("\r").endswith("\\")


def comment_statistics(text, syntax):
    share = sum(map(len, comment_parts(text, syntax))) / len(text) if syntax.comments and text else math.nan
    return {"comment_share": share}


def statistics(text, name="unknown"):
    """Every statistic of one text in a syntax, which its first characters tell where it is unknown."""
    syntax = SYNTAXES[INDEX[recognise(text) if name == "unknown" else name]]
    return {**code_statistics(text, syntax), **encoded_statistics(text), **comment_statistics(text, syntax)}
