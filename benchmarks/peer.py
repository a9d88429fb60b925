"""What the scripts of all peers share: arguments, the clock, figures. It needs nothing but Python.

Each peer times *families* of checks, every family alone over all documents, already read. The names are those of
``families.py``, so that figures can be put side by side:

``gopher_quality``, ``gopher_repetition``, ``gopher`` (both), ``c4``, ``fineweb``, ``fineweb2-zh``, ``starcoder``
    Rules as published.
``language``
    fastText's lid.176 over whole documents.
``privacy``, ``text``
    Edits: addresses; repair of broken encodings, control characters and HTML.
"""

import argparse
import json
import platform
import resource
import sys
from pathlib import Path


def arguments(description):
    """Make the parser of what every peer is told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("files", nargs="+", type=Path, help="JSON Lines with a field text")
    parser.add_argument("--language", choices=["english", "chinese"], default="english")
    parser.add_argument("--families", metavar="NAMES", help="what to time alone, with commas [default: all]")
    parser.add_argument("--model", type=Path, metavar="FILE", help="fastText's lid.176; without it no language")
    parser.add_argument("--limit", type=int, default=-1, metavar="N", help="take N documents a file")
    return parser


def parse(parser, families):
    """Parse the arguments; ``families`` lists by language what this peer can do."""
    given = parser.parse_args()
    for path in given.files:
        if not path.is_file():
            parser.error(f"{path} is not a file")
    possible = [name for name in families[given.language] if name != "language" or given.model]
    given.families = (
        possible if given.families is None else [name for name in possible if name in given.families.split(",")]
    )
    given.files = [path.resolve() for path in given.files]
    return given


def texts(paths, limit):
    """Read the field ``text`` of plain JSON Lines."""
    found = []
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number == limit:
                    break
                found.append(json.loads(line)["text"])
    return found


def cpu_seconds():
    """User and system seconds of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def size(documents):
    """Count UTF-8 bytes; no bytes are an error."""
    total = sum(len(text.encode()) for text in documents)
    return total or sys.exit("no documents with text in the files given")


def figures(text_bytes, seconds, *, kept=None, changed=None):
    """Return the figures of one family: ``kept`` documents, or for edits how many were ``changed``."""
    return {
        "cpu_seconds": round(seconds, 3),
        "mb_per_second": speed(text_bytes, seconds),
        "kept": kept,
        "changed": changed,
    }


def speed(text_bytes, seconds):
    """Return MB (10^6 bytes) a second."""
    return round(text_bytes / max(seconds, 1e-9) / 1e6, 4)


def report(name, given, documents, text_bytes, **more):
    """Print the report as one JSON object."""
    head = {
        "peer": name,
        "python": platform.python_version(),
        "language": given.language,
        "files": [path.name for path in given.files],
        "bytes": text_bytes,
        "documents": documents,
    }
    json.dump({**head, **more}, sys.stdout, indent=2)
    print()
