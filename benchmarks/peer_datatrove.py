"""The peer datatrove: its own filters and MinHash signatures, timed in one process; prints one JSON object.

Runs inside ``benchmarks/.venv-datatrove`` (see requirements-datatrove.txt) and imports nothing of mixer, so that either
can be measured without the other:

    benchmarks/.venv-datatrove/bin/python benchmarks/peer_datatrove.py --language english pages.jsonl.zst ...

The files are JSON Lines (plain, .gz or .zst) with the document in ``text``. The chain is one pipeline as datatrove's
local executor would run it with one task: its reader, its filters, the signatures of the kept documents; given
fastText's model, its language filter comes first and its formatter of addresses before the signatures, as for FineWeb.
After it each step runs alone over all documents, already read. The JSON tells

``bytes``, ``documents``
    UTF-8 bytes of text and documents that entered.
``kept``, ``dropped``
    Documents that passed every filter of the chain, and how many each filter stopped.
``start_cpu_seconds``
    User and system seconds before the first document: interpreter, imports, and the word segmenter's tables.
``chain``, ``alone``
    User and system seconds of this process and its children, and MB (10^6 bytes) of text a second of them;
    ``mb_per_second_with_start`` counts ``start_cpu_seconds`` too. ``alone`` has the families of ``peer``, and
    ``minhash``.
"""

import os
import sys
import tempfile
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import peer
from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.logging import logger
from datatrove.utils.text import split_into_sentences, split_into_words
from fasttext.FastText import _FastText

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


def language_filter(language, model):
    """Make the language filter; the model is given, since datatrove would download it."""
    step = LanguageFilter(["en" if language == "english" else "zh"])
    step.model._model = _FastText(str(model))
    return step


def whole(language, model):
    """Name and make the steps between reader and signatures."""
    if not model:
        return filters(language)
    return {"language": language_filter(language, model), **filters(language), "privacy": PIIFormatter()}


EDITS = {"privacy": PIIFormatter, "text": FTFYFormatter}
FAMILIES = {
    "english": ["gopher_repetition", "gopher_quality", "gopher", "c4", "fineweb", "language", *EDITS, "minhash"],
    "chinese": ["gopher_repetition", "gopher_quality", "fineweb", "fineweb2-zh", "language", *EDITS, "minhash"],
}


def family(name, language, model, folder):
    """Make the steps of one family; where these are several filters, they share the words that they find."""
    if name == "minhash":
        return [signatures(language, folder)]
    if name == "language":
        return [language_filter(language, model)]
    if name in EDITS:
        return [EDITS[name]()]
    found = filters(language)
    return list(found.values()) if name == "fineweb2-zh" else [found[own] for own in found if own.startswith(name)]


def exhaust(steps):
    """Run steps as one generator pipeline; return the CPU seconds it took, and the texts that left it."""
    texts = []
    before = peer.cpu_seconds()
    data = None
    for step in steps:
        data = step.run(data)
    for document in data or ():
        texts.append(document.text)
    return peer.cpu_seconds() - before, texts


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


def warm(language, number=0):
    """Segment a text: the first time loads the tables, a fifth drops what datatrove keeps of the last five texts."""
    words = f"Word tables load here. {number}" if language == "english" else f"词表在这里载入。{number}"
    code = ENGLISH if language == "english" else CHINESE
    split_into_words(words, code)
    split_into_sentences(words, code)


def time_chain(readers, given, text_bytes, start):
    """Time everything as one pipeline."""
    steps = whole(given.language, given.model)
    with tempfile.TemporaryDirectory() as folder:
        minhash = signatures(given.language, folder)
        seconds, _ = exhaust([*readers, *steps.values(), minhash])
    return {
        "kept": total(minhash, "total"),
        "dropped": {name: total(step, "dropped") for name, step in steps.items()},
        "chain": {
            "steps": ["read", *steps, "minhash"],
            "cpu_seconds": round(seconds, 3),
            "mb_per_second": peer.speed(text_bytes, seconds),
            "mb_per_second_with_start": peer.speed(text_bytes, seconds + start),
        },
    }


def time_alone(name, documents, given, text_bytes):
    """Time one family over all documents."""
    with tempfile.TemporaryDirectory() as folder:
        # A family must not pay for loading what the next one uses too.
        exhaust([Feed(documents[:1]), *family(name, given.language, given.model, folder)])
        steps = family(name, given.language, given.model, folder)
        for number in range(5):
            warm(given.language, number)
        seconds, texts = exhaust([Feed(documents), *steps])
    if name in EDITS:
        changed = sum(text != document.text for text, document in zip(texts, documents, strict=True))
        return peer.figures(text_bytes, seconds, changed=changed)
    kept = total(steps[-1], "total") if name == "minhash" else len(texts)
    return peer.figures(text_bytes, seconds, kept=kept)


def main():
    parser = peer.arguments("Time datatrove's filters and MinHash signatures over JSON Lines files.")
    parser.add_argument("--no-chain", action="store_true", help="do not time the chain")
    parser.add_argument("--chain-only", action="store_true", help="do not time each family alone")
    given = peer.parse(parser, FAMILIES)
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    warm(given.language)
    start = peer.cpu_seconds()

    def readers():
        return [
            JsonlReader(str(path.parent), glob_pattern=path.name, recursive=False, limit=given.limit)
            for path in given.files
        ]

    documents = [document for reader in readers() for document in reader.run()]
    size = peer.size(document.text for document in documents)
    result = {"start_cpu_seconds": round(start, 3)}
    if not given.no_chain:
        result |= time_chain(readers(), given, size, start)
    if not given.chain_only:
        result["alone"] = {name: time_alone(name, documents, given, size) for name in given.families}
    peer.report(f"datatrove {version('datatrove')}", given, len(documents), size, **result)


if __name__ == "__main__":
    main()
