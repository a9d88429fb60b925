"""Write docs/kept.md: what the defaults keep of real files, why they drop the rest, and what published sets would keep.

    MIXER_DATA=/path/to/corpora python scripts/kept.py    # benchmarks/trial.yaml and pages in HTML: writes the page
    python scripts/kept.py RECIPE                         # the sources of a recipe: prints the table

Every document goes through the steps of ``prepare`` (``mixer.funnel``); duplicates are not looked for. Only the table
is written; what the page says of single documents was found by reading them.
"""

import sys
from collections import Counter
from pathlib import Path

from mixer.filters.settings import FilterSettings, Overrides
from mixer.funnel import LanguageCount, funnel
from mixer.loading import check, load_recipe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "kept.md"
TRIAL = ROOT / "benchmarks" / "trial.yaml"
HTML = {
    "name": "html",
    "sources": [
        {"name": "archives", "domain": "web", "max_rejected": 1, "paths": ["${MIXER_DATA}/html/*.warc.gz"]},
        {
            "name": "readability",
            "domain": "web",
            "text": "html",
            "html": True,
            "max_rejected": 1,
            "paths": ["${MIXER_DATA}/html/readability_pages.jsonl.zst"],
        },
    ],
}
"""Pages whose main text is extracted first."""
PUBLISHED = {
    "en": ("gopher", "c4", "fineweb"),
    "zh": ("fineweb2-zh", "chinese"),
    "code": ("starcoder", "starcoder2"),
    "math": ("openwebmath",),
}
"""Published sets by the language, and one for the domain math whatever the language."""
REASONS = 3
COLUMNS = ("file", "language", "documents", "kept %", "text kept %", "reasons", "edits", "published sets keep %")
BEGIN, END = "<!-- scripts/kept.py writes this table -->\n\n", "\n\n<!-- end of the table -->"


def sets_of(domain, language):
    """Return the published sets that were made for such documents."""
    return PUBLISHED.get(language, ()) + PUBLISHED.get(domain, ())


def percent(part, whole):
    """Write a share to a tenth of a percent; 0 is none and 100 is all."""
    if not whole or part in (0, whole):
        return "" if not whole else "100" if part else "0"
    share = f"{100 * part / whole:.1f}"
    return {"0.0": "< 0.1", "100.0": "> 99.9"}.get(share, share)


def listed(counts):
    return ", ".join(f"`{name}` {count:,}" for name, count in counts if count)


def total(parts):
    """Add what became of documents of several languages, rules aside."""
    found = LanguageCount([])
    for part in parts:
        found.documents += part.documents
        found.kept += part.kept
        found.bytes += part.bytes
        found.kept_bytes += part.kept_bytes
        found.other += part.other + Counter({entry.rule[0].name: entry.first for entry in part.rules})
        found.edits += part.edits
    return found


def by_language(found, accepted):
    """Return what became of the documents of each accepted language, and of all others together."""
    parts = {language: total([found.languages[language]]) for language in accepted if language in found.languages}
    others = [part for language, part in found.languages.items() if language not in accepted]
    return {**parts, **({"other": total(others)} if others else {})}


def published(recipe, source, root, accepted):
    """Return for each language how many documents each published set keeps."""
    kept = {language: {} for language in accepted}
    bare = source.model_copy(update={"filters": Overrides()})
    sets = {language: sets_of(source.domain, language) for language in accepted}
    for turn in range(max(map(len, sets.values()))):
        now = {language: names[turn] for language, names in sets.items() if turn < len(names)}
        filters = {f"{source.domain}/{language}": {"profile": name} for language, name in now.items()}
        changed = recipe.model_copy(update={"filters": FilterSettings.model_validate(filters)})
        found = funnel(changed, bare, root).languages
        for language, name in now.items():
            if language in found:
                kept[language][name] = found[language].kept
    return kept


def rows(recipe, root):
    """Yield the rows of the table: one for each file and language."""
    accepted = ("en", "zh", "code")
    for source in recipe.sources:
        for path in source.paths:
            one = source.model_copy(update={"paths": [path]})
            found = funnel(recipe, one, root)
            sets = published(recipe, one, root, accepted)
            for language, part in by_language(found, accepted).items():
                beside = sets.get(language, {}).items()
                yield (
                    f"{path.removeprefix('${MIXER_DATA}/')} ({source.domain})",
                    language,
                    f"{part.documents:,}",
                    percent(part.kept, part.documents),
                    percent(part.kept_bytes, part.bytes),
                    listed(part.other.most_common(REASONS)),
                    listed(part.edits.most_common()),
                    ", ".join(f"{name} {percent(kept, part.documents)}" for name, kept in beside),
                )


def table(found):
    lines = [COLUMNS, ["---"] * len(COLUMNS), *found]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main(recipes):
    if recipes:
        loaded = [(given.recipe, given.root) for given in map(load_recipe, recipes)]
        print(table([row for recipe, root in loaded for row in rows(recipe, root)]))
        return
    trial = load_recipe(str(TRIAL))
    pages = check(HTML, "scripts/kept.py")
    found = [row for recipe in (trial.recipe, pages) for row in rows(recipe, trial.root)]
    before, _, after = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(found) + END + after.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
