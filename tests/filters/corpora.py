"""Real documents, file by file, from the folder that ``MIXER_DATA`` names; tests skip where it is not set."""

import gzip
import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

TEXT_FIELDS = ("raw_content", "content", "正文", "text", "html", "markdown", "title")


def text_of(record):
    if "paragraphs" in record:
        return "\n".join(record["paragraphs"])
    if "question" in record:
        return record["question"] + "\n" + record.get("answer", "")
    if "original_text" in record:
        return record["original_text"]
    return next(record[field] for field in TEXT_FIELDS if field in record) or ""


def texts(name):
    """Return the documents of one file, for example ``en/c4_demo.jsonl.gz``."""
    return [text_of(record) for record in records(name)]


def records(name):
    """Return the records of one file; a file of plain text is one."""
    folder = os.environ.get("MIXER_DATA")
    if not folder:
        pytest.skip("MIXER_DATA does not name the folder of real corpora")
    path = Path(folder) / name
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    if ".jsonl" in name:
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    if ".json" in name:
        return json.loads(data)
    return [{"text": data.decode("utf-8")}]
