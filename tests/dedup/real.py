"""A few hundred documents of the real corpora that hold many near duplicates: versions, editions, translations."""

import io
import json
import os
from pathlib import Path

import pytest
import zstandard

CHOSEN = (  # file, field, documents taken, evenly spread
    ("en/rust_book_versions.jsonl.zst", "content", 140),
    ("en/gutenberg_editions.jsonl.zst", "text", 21),
    ("en/dclm_agreement.jsonl.zst", "text", 40),
    ("zh/laws_versions.jsonl.zst", "正文", 100),
    ("zh/go_web_book_en_zh_zhtw.jsonl.zst", "text", 100),
)
LONGEST = 30_000


def documents():
    """Return the documents, long ones cut; skips the test if there are no corpora."""
    root = os.environ.get("MIXER_DATA")
    if not root:
        pytest.skip("MIXER_DATA does not say where the real corpora are")
    texts = []
    for name, field, count in CHOSEN:
        with zstandard.open(Path(root) / name, "rt", encoding="utf-8") as file:
            found = [json.loads(line)[field][:LONGEST] for line in io.StringIO(file.read()) if line.strip()]
        texts += found[:: max(1, len(found) // count)][:count]
    return texts
