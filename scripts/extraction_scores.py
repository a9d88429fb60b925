"""Score extractors of main text against reference extractions: the tables of docs/web.md.

MIXER_DATA=/path/to/corpora python scripts/extraction_scores.py

Wants ``html/readability_pages.jsonl.zst`` below MIXER_DATA, records with ``html`` and ``extracted`` (the reference, in
HTML), and for the other library ``pip install resiliparse``.
"""

import io
import json
import os
import re
import time
import unicodedata
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import lxml.html
import trafilatura
import zstandard
from resiliparse.extract.html2text import extract_plain_text

from mixer.sources.fields import UnreadableError
from mixer.sources.page import extract
from mixer.sources.settings import HtmlSettings

FILE = "html/readability_pages.jsonl.zst"
REAL = 20_000
"""Characters of HTML from which a page of this set is a real one; the shorter ones are made up to test one thing."""
ROUNDS = 3
HAN_OR_KANA = r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
TOKEN = re.compile(rf"{HAN_OR_KANA}|[^\W_]+")


def tokens(text: str) -> Counter:
    """Count words, Han and kana characters singly, in one normal form."""
    spaced = re.sub(f"({HAN_OR_KANA})", r" \1 ", unicodedata.normalize("NFKC", text).casefold())
    return Counter(TOKEN.findall(spaced))


def visible(html: str) -> str:
    return " ".join(lxml.html.fromstring(html).itertext())


def score(found: Counter, reference: Counter) -> tuple[float, float, float]:
    """Return precision, recall and F1 over tokens, each as often as it occurs."""
    common = (found & reference).total()
    precision = common / found.total() if found else 0.0
    recall = common / reference.total() if reference else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0


def kind(record: dict) -> str:
    """Tell a page's group by its length and the script of its reference."""
    text = visible(record["extracted"])
    if len(re.findall(r"[\u3040-\u30ff]", text)) > 0.05 * len(text):
        return "Japanese"
    if len(re.findall(r"[\u4e00-\u9fff]", text)) > 0.2 * len(text):
        return "Chinese"
    return "alphabetic, real" if len(record["html"]) >= REAL else "alphabetic, made up"


def ours(html: str, settings: HtmlSettings) -> str:
    try:
        return extract(html, settings).text
    except UnreadableError:
        return ""


def fast(html: str) -> str:
    return trafilatura.extract(html, include_comments=False, fast=True) or ""


def resiliparse(html: str) -> str:
    return extract_plain_text(html, main_content=True, alt_texts=False, links=False, comments=False)


EXTRACTORS = {
    "trafilatura, balanced (default)": partial(ours, settings=HtmlSettings()),
    "trafilatura, `focus: recall`": partial(ours, settings=HtmlSettings(focus="recall")),
    "trafilatura, `focus: precision`": partial(ours, settings=HtmlSettings(focus="precision")),
    "trafilatura, `tables: false`": partial(ours, settings=HtmlSettings(tables=False)),
    "trafilatura, `comments: true`": partial(ours, settings=HtmlSettings(comments=True)),
    "trafilatura, fast extractor alone": fast,
    "resiliparse, main content": resiliparse,
}


def main() -> None:
    with (Path(os.environ["MIXER_DATA"]) / FILE).open("rb") as handle:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(handle), "utf-8")
        records = [json.loads(line) for line in lines]
    references = [tokens(visible(record["extracted"])) for record in records]
    kinds = [kind(record) for record in records]
    counts = Counter(kinds)
    groups = ["alphabetic, real", "Chinese", "Japanese", "alphabetic, made up"]
    html_bytes = sum(len(record["html"].encode()) for record in records)
    heads = [f"{group} ({counts[group]})" for group in groups]
    print(f"| extractor | {' | '.join(heads)} | all ({len(records)}) | HTML, MB/s | text, MB/s |")
    print("| --- " * (len(heads) + 4) + "|")
    for name, extractor in EXTRACTORS.items():
        extractor(records[0]["html"])
        seconds = []
        for _ in range(ROUNDS):
            begin = time.process_time()
            texts = [extractor(record["html"]) for record in records]
            seconds.append(time.process_time() - begin)
        text_bytes = sum(len(text.encode()) for text in texts)
        by_group = defaultdict(list)
        for text, reference, group in zip(texts, references, kinds, strict=True):
            for where in (group, "all"):
                by_group[where].append(score(tokens(text), reference))
        cells = []
        for where in (*groups, "all"):
            precision, recall, f1 = (sum(column) / len(column) for column in zip(*by_group[where], strict=True))
            cells.append(f"**{f1:.3f}** ({precision:.3f}, {recall:.3f})")
        speeds = [f"{size / 1e6 / min(seconds):.2g}" for size in (html_bytes, text_bytes)]
        print(f"| {name} | {' | '.join([*cells, *speeds])} |")


if __name__ == "__main__":
    main()
