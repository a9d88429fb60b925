"""Print docs/language.md's tables: what the language step makes of real documents, beside fastText and OpenCC.

    MIXER_DATA=/path/to/corpora python scripts/language_report.py labels    # labels against fastText on whole documents
    MIXER_DATA=/path/to/corpora python scripts/language_report.py scripts   # the writing of Chinese, against OpenCC
    ... FOLDER/FILE                                                         # with differing documents, to read by eye

Every record of a file counts as a document of the field that holds its text; a source's own rules play no part.
"""

import gzip
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from mixer.engine.worker import ONE_THREAD

os.environ.update(ONE_THREAD)

from mixer.filters import language as lid
from mixer.filters.script import SCRIPTS, WRITINGS, count_writings, scripts
from mixer.filters.settings import LanguageSettings
from mixer.text.utf8 import buffers

FIELDS = ("raw_content", "content", "正文", "text", "html", "markdown", "original_text", "context", "title")
SURE = 0.65
"""FineWeb's threshold for whole documents: above it fastText's label is worth agreeing with."""
ACCEPTED = ("en", "zh")
BATCH = 2048
HEADS = {
    "labels": ("file", "documents", "equal", "whole >= 0.65", "of these equal", "whole → ours of these", "uncertain",
               "other", "MB/s ours", "whole"),
    "scripts": ("file", "zh", *SCRIPTS, "OpenCC agrees", "OpenCC → ours"),
}  # fmt: skip


def records(path):
    """Yield the records of a file, whatever it is: dictionaries."""
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    text = data.decode("gb18030" if "gb18030" in path.name else "utf-8")
    kind = re.search(r"\.(jsonl|json|csv|tsv|txt)", path.name)[1]
    if kind in ("csv", "tsv") or "titles" in path.name:
        yield from ({"text": line} for line in text.split("\n"))
    elif kind == "txt":
        yield {"text": text}
    elif kind == "jsonl" or (text.count("\n{") > 1 and text.startswith("{")):
        yield from (json.loads(line) for line in text.split("\n") if line.strip())
    else:
        whole = json.loads(text)
        if isinstance(whole, dict):
            whole = [p for entry in whole["data"] for p in entry["paragraphs"]] if "data" in whole else whole.values()
        yield from whole


def text_of(record):
    """The text of a record: its first text field, or all its strings."""
    if not isinstance(record, dict):
        return "\n".join(strings(record))
    if isinstance(record.get("paragraphs"), list):
        return "\n".join(record["paragraphs"])
    for field in FIELDS:
        if isinstance(record.get(field), str):
            return record[field]
    return "\n".join(strings(record))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def documents(root, pattern):
    """Yield (file, variant, texts): records with ``lang`` are told apart by it."""
    for path in sorted(root.glob(pattern)):
        if not path.is_file() or not re.search(r"\.(jsonl?|csv|tsv|txt|parquet)(\.gz|\.zst)?$", path.name):
            continue
        by_language = {}
        for record in records(path):
            text = text_of(record)
            if text.strip():
                by_language.setdefault(record.get("lang", "") if isinstance(record, dict) else "", []).append(text)
        for variant, texts in sorted(by_language.items()):
            yield str(path.relative_to(root)), variant, texts


def whole_labels(model, texts):
    """Label and score that fastText itself gives each whole document, newlines and NULs as spaces."""
    found = [model.f.predict(re.sub("[\n\0]", " ", text).encode() + b"\n", 1, 0.0, "strict")[0] for text in texts]
    return [(lid._COUNTED_AS.get(name[9:], name[9:]), score) for score, name in found]


def labels(root, pattern, examples):
    """Our label against fastText's of the whole document."""
    model, settings = lid.load_model(), LanguageSettings()
    peer = fasttext.load_model(str(lid.model_file()))
    lid.detect(pa.array(["warm up", "这是中文"], pa.large_string()), settings, model)
    for name, variant, texts in documents(root, pattern):
        size = sum(len(text.encode()) for text in texts) / 1e6
        start = time.process_time()
        ours, scores = [], []
        for here in range(0, len(texts), BATCH):
            part = pa.array(texts[here : here + BATCH], pa.large_string())
            found, sure = lid.detect(part, settings, model)
            ours += found
            scores += sure.tolist()
        middle = time.process_time()
        whole = whole_labels(peer, texts)
        end = time.process_time()
        equal = [a == b for a, (b, _) in zip(ours, whole, strict=True)]
        sure = [score >= SURE for _, score in whole]
        differing = Counter(f"{b} → {a}" for a, (b, s) in zip(ours, whole, strict=True) if a != b and s >= SURE)
        low = [b < settings.threshold_of(a) or a == "und" for a, b in zip(ours, scores, strict=True)]
        other = sum(a not in ACCEPTED and not b for a, b in zip(ours, low, strict=True))
        told = ", ".join(f"{pair} {count}" for pair, count in differing.most_common(4))
        agreeing = sum(a and b for a, b in zip(equal, sure, strict=True))
        row(f"{name} {variant}", len(texts), sum(equal) / len(texts), sum(sure), agreeing / max(sum(sure), 1), told,
            sum(low) / len(texts), other / len(texts), f"{size / max(middle - start, 1e-3):.0f}",
            f"{size / max(end - middle, 1e-3):.0f}")  # fmt: skip
        if examples:
            for text, a, score, (b, s) in zip(texts, ours, scores, whole, strict=True):
                low = score < settings.threshold_of(a) or a == "und"
                if (a != b and s >= SURE) or low:
                    print(f"    {'uncertain' if low else 'differs'} {b} {s:.2f} -> {a} {score:.2f}: {text[:160]!r}")


def writings(root, pattern, examples):
    """Our ``script`` of the documents that are labelled zh, against what OpenCC would change in them."""
    import opencc

    to_simplified, to_traditional = opencc.OpenCC("t2s"), opencc.OpenCC("s2t")
    model, settings = lid.load_model(), LanguageSettings()
    for name, variant, texts in documents(root, pattern):
        found, _ = lid.detect(pa.array(texts, pa.large_string()), settings, model)
        texts = [text for text, label in zip(texts, found, strict=True) if label == "zh"]
        if not texts:
            continue
        codes = scripts(count_writings(*buffers(pa.array(texts, pa.large_string())), np.arange(len(texts)), WRITINGS))
        pairs = Counter()
        for text, code in zip(texts, codes, strict=True):
            peer = opencc_script(text, to_simplified, to_traditional)
            pairs[peer, SCRIPTS[code]] += 1
            if examples and peer != SCRIPTS[code]:
                print(f"    {peer} -> {SCRIPTS[code]}: {text[:100]!r}")
        ours = Counter(SCRIPTS[code] for code in codes)
        told = ", ".join(f"{a} → {b} {n}" for (a, b), n in pairs.most_common() if a != b)
        agreed = sum(n for (a, b), n in pairs.items() if a == b)
        row(f"{name} {variant}", len(texts), *(ours[key] for key in SCRIPTS), agreed / len(texts), told)


def row(*cells):
    """Print a row of the table: shares in percent, counts with commas."""
    written = (f"{cell:.2%}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell.strip()
               for cell in cells)  # fmt: skip
    print(f"| {' | '.join(written)} |", flush=True)


def opencc_script(text, to_simplified, to_traditional):
    """The writing of a text by how much OpenCC changes: the same measure as ours, from its dictionaries of phrases."""
    simple, full = to_simplified.convert(text), to_traditional.convert(text)
    if len(simple) != len(text) or len(full) != len(text):
        return "?"
    traditional = sum(a != b for a, b in zip(text, simple, strict=True))
    simplified = sum(a != b for a, b in zip(text, full, strict=True))
    telling = traditional + simplified
    if not telling:
        return "Hani"
    return "mixed" if min(traditional, simplified) >= 0.2 * telling else "Hans" if simplified > traditional else "Hant"


def main():
    which, *rest = sys.argv[1:]
    root = Path(os.environ["MIXER_DATA"])
    row(*HEADS[which])
    row(*("---" if head.startswith(("file", "whole →", "OpenCC →")) else "---:" for head in HEADS[which]))
    for pattern in rest or ("en/*", "zh/*", "math/*", "sft/*", "code/*", "dpo/*", "benchmarks/**/*"):
        {"labels": labels, "scripts": writings}[which](root, pattern, bool(rest))


if __name__ == "__main__":
    main()
