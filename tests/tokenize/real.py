"""Documents of the real corpora, for tests marked ``real_data``; any string in a record is taken for one."""

import gzip
import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

FOLDERS = ("en", "zh", "math", "code", "html", "sft", "dpo")
SAMPLE_BYTES = 150_000


def paths():
    """Every file of the corpora, or one parameter that skips."""
    root = os.environ.get("MIXER_DATA")
    if not root:
        return [pytest.param(Path("none"), marks=pytest.mark.skip(reason="MIXER_DATA is not set"))]
    return sorted(path for folder in FOLDERS for path in (Path(root) / folder).iterdir() if ".warc" not in path.name)


def sample(path):
    """Texts of a file, spread evenly over it, about ``SAMPLE_BYTES`` of them; long ones are cut."""
    texts = [text for text in _texts(path) if text]
    step = max(1, sum(map(len, texts)) // SAMPLE_BYTES)
    chosen, size = [], 0
    for text in texts[::step] or texts[:1]:
        chosen.append(text[:40_000])
        size += len(chosen[-1])
        if size > 2 * SAMPLE_BYTES:
            break
    return chosen


def _texts(path):
    if path.suffix == ".parquet":
        yield from _strings(pq.read_table(path).to_pylist())
        return
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    elif content[:4] == b"\x28\xb5\x2f\xfd":
        content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    text = content.decode("gb18030" if "gb18030" in path.name else "utf-8")
    try:
        yield from _strings(json.loads(text))
    except ValueError:
        try:
            yield from _strings([json.loads(line) for line in text.split("\n") if line.strip()])
        except ValueError:
            yield from text.split("\n\n")


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
