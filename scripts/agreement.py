"""Write docs/agreement.md: how far the checks for English web pages agree with people, and what else they drop.

    MIXER_DATA=/path/to/corpora python scripts/agreement.py

The pages are ``en/dclm_majority.jsonl.zst`` below ``MIXER_DATA``, each with the label that most of its annotators gave
(1: good); those in ``en/dclm_agreement.jsonl.zst`` are the ones of which all annotators said the same.
"""

import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from mixer.documents import make_batch, set_column, undecided
from mixer.filters.edits import EDITORS, edit
from mixer.filters.judge import judge
from mixer.filters.settings import FilterSettings, Overrides, checkbook, editbook, rulebook
from mixer.filters.table import RULES

PAGE = Path(__file__).parent.parent / "docs" / "agreement.md"
SETS = {
    "no rules": None,
    "`gopher`": {"profile": "gopher"},
    "`c4`": {"profile": "c4"},
    "`fineweb`": {"profile": "fineweb"},
    "defaults of web/en": {},
}
OTHERS = {
    "go_blog_docs": ("go_blog_docs.parquet", "raw_content"),
    "rust_book": ("rust_book_versions.jsonl.zst", "content"),
    "peps": ("python_peps.jsonl.gz", "content"),
    "redpajama_c4": ("redpajama_c4.jsonl", "text"),
    "redpajama_cc": ("redpajama_cc_2023_06.jsonl", "text"),
    "uspto": ("pile_uspto.jsonl", "text"),
    "wikitext2": ("wikitext2_lines.parquet", "text"),
}
"""Good text of other kinds, as if it were web pages: file and field."""
RULES_SHOWN = ("gopher.alphabetic_words", "c4.", "fineweb.", "english.")
TEXT = """<!-- written by scripts/agreement.py -->

# Agreement with people

{pages} English web pages that people judged for training (the annotated pages of DCLM): {good} good, {bad} bad by the
majority of their annotators; of {sure} all annotators said the same. *Precision* is the share of good pages among those
kept, *recall* the share of the good pages that are kept, kappa Cohen's (0: as by chance, 1: always the same).

{sets}

Two people agree about such pages only in part, and rules that count characters see only form: no set finds most of what
people call bad. A set is better the more bad pages it drops for each good one: see the last column.

## What else they drop

Good text of other kinds, given to the same checks as if it were web pages: percent dropped. Pieces with fewer than 50
words are left out, which `gopher.words` drops whatever they are.

{others}

Documentation is full of code, which repeats lines and ends them in brackets. In the domain `book` it is kept: there
none of the checks of C4 and FineWeb is on, and Gopher's are wider.

## Rule by rule

Percent of pages to which each rule objects, alone, at its threshold.

{rules}

So these became defaults for `web/en`, and the others did not:

- `fineweb.short_lines` as published: it objects to bad pages alone, nearly.
- `english.ended_lines`, FineWeb's rule on line ends with three changes. It looks past white space, quotes and brackets
  at the ends of lines, which spares text that was split into tokens. A line of 1,000 characters that is full of
  sentences is prose however it ends, which spares articles whose line breaks were lost. And 0.02 in place of 0.12 asks
  for a single sentence in fifty lines, which spares text in wrapped lines.
- `gopher.alphabetic_words` at 0.5. At 0.8 it finds half of the bad pages, but also most documentation; below 0.65,
  where documentation is spared, it finds next to none that no other rule finds.
- `fineweb.repeated_line_characters`, `c4.curly_brackets`: a page with code is no bad page.
- `c4.sentences`: as many good pages as bad ones.
- C4's edits of lines: people judged pages, not lines. `c4.short_lines` and `c4.unpunctuated_lines` take headings, lists
  and code out of good pages, `c4.citations` the `[]` and `[0]` of programs, and `c4.javascript_lines` every sentence
  about JavaScript (303 lines of Python's PEPs, two of these pages). They are there by name.
"""


def records(name):
    """Return the records of one file."""
    path = Path(os.environ["MIXER_DATA"]) / "en" / name
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return [json.loads(line) for line in data.splitlines() if line.strip()]


def kept(texts, filters):
    """Return which texts the checks keep: bool[documents]."""
    batch = make_batch([""] * len(texts), range(len(texts)), texts)
    if filters is None:
        return undecided(batch)
    batch = set_column(batch, "language", pa.array(["en"] * len(texts), pa.string()))
    checks = checkbook(FilterSettings.model_validate({"web/en": filters}), Overrides(), "web", ["en"])
    return undecided(judge(edit(batch, editbook(checks), EDITORS), rulebook(checks)))


def agreement(good, keep):
    """Return precision, recall and Cohen's kappa."""
    both, same = (good & keep).sum(), (good == keep).mean()
    chance = good.mean() * keep.mean() + (1 - good.mean()) * (1 - keep.mean())
    return both / keep.sum(), both / good.sum(), (same - chance) / (1 - chance)


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def percent(part):
    return f"{100 * part.mean():.1f}"


def main():
    pages = records("dclm_majority.jsonl.zst")
    texts, good = [page["text"] for page in pages], np.array([page["label"] == 1 for page in pages])
    agreed = {page["text"] for page in records("dclm_agreement.jsonl.zst")}
    sure = np.array([text in agreed for text in texts])
    others = {name: [record[field] for record in records(file)] for name, (file, field) in OTHERS.items()}
    others = {name: [text for text in found if len(text.split()) >= 50] for name, found in others.items()}
    names = [rule.name for rule in RULES if rule.name.startswith(RULES_SHOWN)]

    columns = (
        "checks",
        "good dropped %",
        "bad dropped %",
        "precision",
        "recall",
        "kappa",
        "kappa where all agreed",
        "bad for each good",
    )
    sets, beside = (
        [row(*columns), row(*["---"] * len(columns))],
        [row("checks", *others), row(*["---"] * (len(others) + 1))],
    )
    for name, filters in SETS.items():
        keep = kept(texts, filters)
        measures = [f"{value:.2f}" for value in (*agreement(good, keep), agreement(good[sure], keep[sure])[2])]
        ratio = f"{(~keep[~good]).sum() / (~keep[good]).sum():.1f}" if not keep[good].all() else ""
        sets.append(row(name, percent(~keep[good]), percent(~keep[~good]), *measures, ratio))
        beside.append(row(name, *(percent(~kept(found, filters)) for found in others.values())))
    rules = [row("rule", "good", "bad", *others), row(*["---"] * (len(others) + 3))]
    for name in names:
        rule = next(rule for rule in RULES if rule.name == name)
        values = dict.fromkeys(
            value for value in (*rule.profiles.values(), rule.defaults.get("web/en")) if value is not None
        )
        for value in values or {3.0: None}:
            only = {"profile": "starcoder", **{each.name: False for each in RULES}, name: value}
            keep = kept(texts, only)
            cells = (
                percent(~keep[good]),
                percent(~keep[~good]),
                *(percent(~kept(found, only)) for found in others.values()),
            )
            rules.append(row(f"`{name}` {value:g}", *cells))
    counts = {"pages": len(texts), "good": good.sum(), "bad": (~good).sum(), "sure": sure.sum()}
    PAGE.write_text(
        TEXT.format(sets="\n".join(sets), others="\n".join(beside), rules="\n".join(rules), **counts), "utf-8"
    )


if __name__ == "__main__":
    main()
