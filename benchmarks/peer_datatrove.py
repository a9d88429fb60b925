"""The peer: datatrove's own filters and MinHash signatures, timed in one process; prints one JSON object.

Runs inside ``benchmarks/.venv-datatrove`` (see requirements-datatrove.txt) and imports nothing of mixer, so that either
can be measured without the other:

    benchmarks/.venv-datatrove/bin/python benchmarks/peer_datatrove.py --language english pages.jsonl.zst ...

The files are JSON Lines (plain, .gz or .zst) with the document in ``text``. The chain is one pipeline as datatrove's
local executor would run it with one task: its reader, its filters, the signatures of the kept documents. After it each
step runs alone over all documents, already read. The JSON tells

``bytes``, ``documents``
    UTF-8 bytes of text and documents that entered.
``kept``, ``dropped``
    Documents that passed every filter, and how many each filter stopped.
``start_cpu_seconds``
    User and system seconds before the first document: interpreter, imports, and the word segmenter's tables.
``chain``, ``alone``
    User and system seconds of this process and its children, and MB (10^6 bytes) of text a second of them;
    ``mb_per_second_with_start`` counts ``start_cpu_seconds`` too.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.logging import logger
from datatrove.utils.text import split_into_sentences, split_into_words

# "zho" and "zh" would do for Chinese if both did not resolve to the white-space segmenter in datatrove 0.10.1: the flag
# that should prefer the Han script is read as a non-empty string, so the last row of its table, Latin script, wins.
ENGLISH = "eng"
CHINESE = "cmn_Hani"

# Thresholds for Mandarin as FineWeb-2 published them with its pipeline; the defaults, stop words among them, are for
# English and would keep nothing. That pipeline leaves C4 out for every language.
CHINESE_REPETITION = {
    "dup_line_frac": 0.287,
    "dup_para_frac": 0,
    "dup_line_char_frac": 0,
    "dup_para_char_frac": 0,
    "top_n_grams": ((2, 0.256), (3, 0.201), (4, 0.171)),
    "dup_n_grams": ((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127)),
}
CHINESE_QUALITY = {
    "min_avg_word_length": 1,
    "max_avg_word_length": 5,
    "max_non_alpha_words_ratio": 0.735,
    "min_stop_words": 2,
    "stop_words": list("的年在月是和日了於·為有被人中为他與後也而由"),
}
CHINESE_FINEWEB = {
    "line_punct_thr": 0.106,
    "short_line_thr": 999,
    "char_duplicates_ratio": 0.1,
    "new_line_ratio": 0.178,
}


def filters(language):
    """Name and make the filters of one language, in the order of the chain."""
    if language == "english":
        return {
            "gopher_repetition": GopherRepetitionFilter(language=ENGLISH),
            "gopher_quality": GopherQualityFilter(language=ENGLISH),
            "c4": C4QualityFilter(filter_no_terminal_punct=False, language=ENGLISH),
            "fineweb": FineWebQualityFilter(language=ENGLISH),
        }
    return {
        "gopher_repetition": GopherRepetitionFilter(language=CHINESE, **CHINESE_REPETITION),
        "gopher_quality": GopherQualityFilter(language=CHINESE, **CHINESE_QUALITY),
        "fineweb": FineWebQualityFilter(language=CHINESE, **CHINESE_FINEWEB),
    }


def signatures(language, folder):
    """Make the MinHash step; it writes 14 files under ``folder``."""
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    return MinhashDedupSignature(folder, config=config, language=ENGLISH if language == "english" else CHINESE)


def cpu_seconds():
    """User and system seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def exhaust(steps):
    """Run steps as one generator pipeline and return the CPU seconds it took."""
    before = cpu_seconds()
    data = None
    for step in steps:
        data = step.run(data)
    for _ in data or ():
        pass
    return cpu_seconds() - before


class Feed:
    """A first step that hands out copies of documents, since C4's filter edits the text it is given."""

    def __init__(self, documents):
        self.documents = documents

    def run(self, data):
        yield from (Document(text=document.text, id=document.id) for document in self.documents)


def total(step, stat):
    """Return one of datatrove's own counters of a step, 0 where it never counted."""
    stats = step.stats.stats
    return int(stats[stat].total) if stat in stats else 0


def speed(text_bytes, seconds):
    return round(text_bytes / seconds / 1e6, 4)


def measure(paths, language, *, alone, limit):
    code = ENGLISH if language == "english" else CHINESE
    warm = "Word tables load here. " if language == "english" else "词表在这里载入。"
    split_into_words(warm, code)
    split_into_sentences(warm, code)
    start = cpu_seconds()

    def readers():
        return [JsonlReader(str(path.parent), glob_pattern=path.name, recursive=False, limit=limit) for path in paths]

    documents = []
    for reader in readers():
        documents += reader.run()
    text_bytes = sum(len(document.text.encode()) for document in documents)
    if not text_bytes:
        sys.exit("no documents with text in the files given")

    chain = filters(language)
    with tempfile.TemporaryDirectory() as folder:
        minhash = signatures(language, folder)
        seconds = exhaust([*readers(), *chain.values(), minhash])
    result = {
        "peer": f"datatrove {version('datatrove')}",
        "python": platform.python_version(),
        "language": language,
        "files": [path.name for path in paths],
        "bytes": text_bytes,
        "documents": len(documents),
        "kept": total(minhash, "total"),
        "dropped": {name: total(step, "dropped") for name, step in chain.items()},
        "start_cpu_seconds": round(start, 3),
        "chain": {
            "steps": ["read", *chain, "minhash"],
            "cpu_seconds": round(seconds, 3),
            "mb_per_second": speed(text_bytes, seconds),
            "mb_per_second_with_start": speed(text_bytes, seconds + start),
        },
        "alone": {},
    }
    if alone:
        with tempfile.TemporaryDirectory() as folder:
            for name, step in {**filters(language), "minhash": signatures(language, folder)}.items():
                # datatrove keeps the words of the last five texts: a step must not find those of the step before it
                for number in range(5):
                    split_into_words(f"{warm}{number}", code)
                seconds = exhaust([Feed(documents), step])
                kept = total(step, "total") if name == "minhash" else total(step, "forwarded")
                result["alone"][name] = {
                    "cpu_seconds": round(seconds, 3),
                    "mb_per_second": speed(text_bytes, seconds),
                    "kept": kept,
                }
    return result


def main():
    parser = argparse.ArgumentParser(
        description="Time datatrove's filters and MinHash signatures over JSON Lines files."
    )
    parser.add_argument("files", nargs="+", type=Path, help="JSON Lines with a field text; plain, .gz or .zst")
    parser.add_argument("--language", choices=["english", "chinese"], default="english")
    parser.add_argument("--chain-only", action="store_true", help="do not time each step alone")
    parser.add_argument("--limit", type=int, default=-1, metavar="N", help="take N documents a file")
    arguments = parser.parse_args()
    for path in arguments.files:
        if not path.is_file():
            parser.error(f"{path} is not a file")
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    paths = [path.resolve() for path in arguments.files]
    result = measure(paths, arguments.language, alone=not arguments.chain_only, limit=arguments.limit)
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
