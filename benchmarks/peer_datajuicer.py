"""The peer data-juicer: its operators, timed in one process; prints one JSON object (see ``peer``).

Runs inside ``benchmarks/.venv-datajuicer`` (see requirements-datajuicer.txt) and imports nothing of mixer:

    benchmarks/.venv-datajuicer/bin/python benchmarks/peer_datajuicer.py --language english pages.jsonl

It does not have the published rule families; timed are its operators that come nearest, with its default thresholds.
They run on batches of 1000 documents in memory, words shared between the operators that can share them; the Arrow files
that its executor writes between operators are left out, in its favour. Operators that download a word list or a
segmenter (stop words, flagged words, Chinese words) are left out.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DATA_JUICER_CACHE_HOME"] = tempfile.mkdtemp(prefix="peer-datajuicer-")
os.environ["DATA_JUICER_EXTERNAL_MODELS_HOME"] = os.environ["DATA_JUICER_CACHE_HOME"]

import peer

with contextlib.redirect_stdout(sys.stderr):
    from data_juicer.ops.filter.alphanumeric_filter import AlphanumericFilter
    from data_juicer.ops.filter.average_line_length_filter import AverageLineLengthFilter
    from data_juicer.ops.filter.character_repetition_filter import CharacterRepetitionFilter
    from data_juicer.ops.filter.language_id_score_filter import LanguageIDScoreFilter
    from data_juicer.ops.filter.maximum_line_length_filter import MaximumLineLengthFilter
    from data_juicer.ops.filter.special_characters_filter import SpecialCharactersFilter
    from data_juicer.ops.filter.text_length_filter import TextLengthFilter
    from data_juicer.ops.filter.word_repetition_filter import WordRepetitionFilter
    from data_juicer.ops.filter.words_num_filter import WordsNumFilter
    from data_juicer.ops.mapper.clean_email_mapper import CleanEmailMapper
    from data_juicer.ops.mapper.clean_html_mapper import CleanHtmlMapper
    from data_juicer.ops.mapper.clean_ip_mapper import CleanIpMapper
    from data_juicer.ops.mapper.fix_unicode_mapper import FixUnicodeMapper
    from data_juicer.utils.constant import Fields

BATCH = 1000
SHARING = (WordsNumFilter, WordRepetitionFilter)
"""Operators that share the words they find, by what data-juicer calls a context."""


def quality():
    return [WordsNumFilter(min_num=50, max_num=100_000), AlphanumericFilter(), SpecialCharactersFilter()]


def repetition():
    return [WordRepetitionFilter(), CharacterRepetitionFilter()]


OPERATORS = {
    "gopher_quality": quality,
    "gopher_repetition": repetition,
    "gopher": lambda: quality() + repetition(),
    "fineweb2-zh": lambda: [
        TextLengthFilter(min_len=50),
        AlphanumericFilter(),
        SpecialCharactersFilter(),
        CharacterRepetitionFilter(),
    ],
    "starcoder": lambda: [
        MaximumLineLengthFilter(max_len=1000),
        AverageLineLengthFilter(min_len=0, max_len=100),
        AlphanumericFilter(min_ratio=0.25),
    ],
    "privacy": lambda: [CleanEmailMapper(), CleanIpMapper()],
    "text": lambda: [FixUnicodeMapper(), CleanHtmlMapper()],
}
FAMILIES = {
    "english": ["gopher_quality", "gopher_repetition", "gopher", "starcoder", "privacy", "text", "language"],
    "chinese": ["fineweb2-zh", "privacy", "text", "language"],
}


def run(operators, texts):
    """Run operators one after the other over all texts, dropping nothing between; return seconds, kept and changed."""
    kept = changed = 0
    seconds = 0.0
    for first in range(0, len(texts), BATCH):
        own = texts[first : first + BATCH]
        batch = {"text": list(own), Fields.stats: [{} for _ in own], Fields.context: [{} for _ in own]}
        passed = [True] * len(own)
        before = peer.cpu_seconds()
        for operator in operators:
            if not hasattr(operator, "compute_stats"):
                batch = operator.process(batch)
                continue
            batch = operator.compute_stats(batch, **({"context": True} if isinstance(operator, SHARING) else {}))
            passed = [one and two for one, two in zip(passed, operator.process(batch), strict=True)]
        seconds += peer.cpu_seconds() - before
        kept += sum(passed)
        changed += sum(text != old for text, old in zip(batch["text"], own, strict=True))
    return seconds, kept, changed


def measure(name, texts, language, text_bytes):
    """Time the operators of a family over all documents."""
    if name == "language":
        operators = [LanguageIDScoreFilter(lang="en" if language == "english" else "zh", min_score=0.65)]
    else:
        operators = OPERATORS[name]()
    run(operators, texts[:1])
    seconds, kept, changed = run(operators, texts)
    edits = name in ("privacy", "text")
    return peer.figures(text_bytes, seconds, **({"changed": changed} if edits else {"kept": kept}))


def time_all(models):
    given = peer.parse(peer.arguments("Time data-juicer's operators over JSON Lines files."), FAMILIES)
    if given.model:
        (models / "lid.176.bin").symlink_to(given.model.resolve())
    start = peer.cpu_seconds()
    texts = peer.texts(given.files, given.limit)
    size = peer.size(texts)
    with contextlib.redirect_stdout(sys.stderr):
        alone = {name: measure(name, texts, given.language, size) for name in given.families}
    name = f"data-juicer {version('py-data-juicer')}"
    peer.report(name, given, len(texts), size, start_cpu_seconds=round(start, 3), alone=alone)


def main():
    models = Path(os.environ["DATA_JUICER_EXTERNAL_MODELS_HOME"])
    try:
        time_all(models)
    finally:
        shutil.rmtree(models)


if __name__ == "__main__":
    main()
