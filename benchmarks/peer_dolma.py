"""The peer dolma: its taggers, timed in one process; prints one JSON object (see ``peer``).

Runs inside ``benchmarks/.venv-dolma`` (see requirements-dolma.txt) and imports nothing of mixer:

    benchmarks/.venv-dolma/bin/python benchmarks/peer_dolma.py --language english pages.jsonl

A tagger describes a document and drops nothing. Timed is ``tag`` alone, on documents in memory: what ``dolma tag`` adds
by reading and writing compressed JSON, and what its mixer adds that drops documents, is left out, in its favour. What
would be kept is counted here, outside the clock, with the thresholds that the papers give.
"""

import contextlib
import io
import sys
from importlib.metadata import version

import peer

with contextlib.redirect_stderr(io.StringIO()):  # it looks for a file of NLTK on the network, and does without
    from dolma.core.data_types import InputSpecWithMetadata
    from dolma.core.registry import TaggerRegistry
    from dolma.taggers.language import FastTextAllLanguagesDocumentTagger

TAGGERS = {
    "gopher": ["gopher_v2"],
    "c4": ["c4_v2"],
    "starcoder": ["code_redpajama_taggers_v1", "code_starcoder_taggers_v2"],
    "privacy": ["pii_regex_with_counts_fast_v2"],
    "language": ["ft_lang_id_doc_v1"],
}
FAMILIES = {
    "english": ["gopher", "c4", "starcoder", "privacy", "language"],
    "chinese": ["privacy", "language"],  # its words are what stands between white space
}
BOUNDS = {
    "word_count": (50, 100_000),
    "median_word_length": (3, 10),
    "symbol_to_word_ratio": (0, 0.1),
    "fraction_of_words_with_alpha_character": (0.8, 1),
    "required_word_count": (2, float("inf")),
    "fraction_of_lines_starting_with_bullet_point": (0, 0.9),
    "fraction_of_lines_ending_with_ellipsis": (0, 0.3),
    "fraction_of_duplicate_lines": (0, 0.3),
    "fraction_of_characters_in_duplicate_lines": (0, 0.2),
    **{f"fraction_of_characters_in_most_common_{n}grams": (0, 0.24 - 0.02 * n) for n in (2, 3, 4)},
    **{f"fraction_of_characters_in_duplicate_{n}grams": (0, 0.2 - 0.01 * n) for n in range(5, 11)},
    "max_line_length_doc": (0, 1000),
    "avg_line_length_doc": (0, 100),
    "alnum_prop_doc": (0.25, 1),
    "has_xml_template_doc": (0, 0),
    "code_to_comment_ratio_doc": (0.01, 0.8),
}
"""Lowest and highest score of a document that is kept, by attribute: Gopher and StarCoder."""
UNWANTED = {"has_curly_brace", "has_lorem_ipsum", "has_naughty_word"}
"""Attributes that drop a document: C4."""


def keeps(attributes):
    """Say whether the attributes of a document pass the published thresholds."""
    for name, spans in attributes.items():
        low, high = BOUNDS.get(name, (-float("inf"), float("inf")))
        if name in UNWANTED or not low <= spans[0][2] <= high + 1e-9:
            return False
    return True


def measure(name, rows, language, text_bytes):
    """Time the taggers of a family over all documents."""
    taggers = [TaggerRegistry.get(tagger)() for tagger in TAGGERS[name]]
    for tagger in taggers:
        tagger.tag(rows[0])
    before = peer.cpu_seconds()
    tagged = [[tagger.tag(row) for tagger in taggers] for row in rows]
    seconds = peer.cpu_seconds() - before
    if name == "privacy":
        return peer.figures(text_bytes, seconds, changed=sum(found[0]["doc_count"][0][2] > 0 for found in tagged))
    if name == "language":
        code = "en" if language == "english" else "zh"
        kept = sum(found[0].get(code, [(0, 0, 0.0)])[0][2] > 0.65 for found in tagged)
    else:
        kept = sum(all(map(keeps, found)) for found in tagged)
    return peer.figures(text_bytes, seconds, kept=kept)


def main():
    given = peer.parse(peer.arguments("Time dolma's taggers over JSON Lines files."), FAMILIES)
    if given.model:
        FastTextAllLanguagesDocumentTagger.MODEL_PATH = str(given.model)
    start = peer.cpu_seconds()
    texts = peer.texts(given.files, given.limit)
    size = peer.size(texts)
    rows = [InputSpecWithMetadata(id=str(number), text=text, metadata={}) for number, text in enumerate(texts)]
    with contextlib.redirect_stdout(sys.stderr):
        alone = {name: measure(name, rows, given.language, size) for name in given.families}
    name = f"dolma {version('dolma')}"
    peer.report(name, given, len(rows), size, start_cpu_seconds=round(start, 3), alone=alone)


if __name__ == "__main__":
    main()
