"""Write docs/recipe.md and docs/rules.md from the code that decides: the settings' models and the table of rules.

python scripts/reference.py           # write them
python scripts/reference.py --check   # only say whether they are as the code has it
"""

import json
import math
import sys
from pathlib import Path

from pydantic import BaseModel

from mixer.dedup.settings import DedupSettings, MinhashSettings
from mixer.filters.check import Rule
from mixer.filters.settings import LanguageSettings, Overrides
from mixer.filters.table import TABLE
from mixer.mixture.settings import MixtureSettings
from mixer.recipe import Recipe, Source
from mixer.sources.settings import DatasetSettings

DOCS = Path(__file__).parent.parent / "docs"
GENERATED = "<!-- written by scripts/reference.py; change the code it reads instead -->\n"
SECTIONS: list[tuple[str, type[BaseModel], str]] = [
    ("The recipe", Recipe, ""),
    ("`mixture`", MixtureSettings, "What training shall see."),
    ("`sources`", Source, "A list; its order is priority when duplicates meet."),
    ("`sources[].datasets`", DatasetSettings, "A Hugging Face dataset, in place of `paths`."),
    ("`language`", LanguageSettings, "Language identification: script first, then fastText."),
    ("`dedup`", DedupSettings, "Exact and near duplicates, over all sources together."),
    ("`dedup.minhash`", MinhashSettings, "`false` switches near duplicates off."),
]


def recipe_page() -> str:
    """Every key of a recipe."""
    parts = [
        GENERATED,
        "# The recipe\n",
        "A recipe is YAML. Unknown keys, keys given twice and impossible values are refused with the nearest spelling; "
        "nothing is read and then ignored. `mixer recipe check FILE` checks one, `mixer recipe schema` prints a JSON "
        "Schema for editors, and `--set key=value` changes any key from the command line "
        "(`--set sources.NAME.max_epochs=2` for a source).\n",
    ]
    for title, model, text in SECTIONS:
        parts.append(f"## {title}\n")
        if text:
            parts.append(f"{text}\n")
        parts.append("| key | default | meaning |\n| --- | --- | --- |")
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
            parts.append(f"| `{name}` | {default} | {escape(field.description or '')} |")
        parts.append("")
    parts.append(
        "## `filters`\n\nThresholds by `domain/language` (either may be `*`), then by rule; `false` switches a rule "
        "off. A source's own `filters` go by rule alone and win over these. [rules.md](rules.md) lists the rules.\n\n"
        "```yaml\nfilters:\n  web/en: {gopher.words: [30, 100000]}\n  '*/zh': {chinese.repeated_13grams: 0.4}\n"
        "sources:\n  - {name: notes, paths: [notes.jsonl], domain: web, filters: {gopher.stop_words: false}}\n```\n"
    )
    return "\n".join(parts)


def rules_page() -> str:
    """Every rule with its defaults."""
    parts = [
        GENERATED,
        "# The rules\n",
        "A document meets the rules of its domain and language, in this order; the first that objects is the reason it "
        "is dropped for (`dropped/` keeps the document, the reason and the statistics). A rule without a default "
        "for a domain and language is off there, and a recipe can switch it on.\n",
        "| rule | a document passes if | unit | defaults (`domain/language`) | profiles | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for check in TABLE:
        by_value: dict[str, list[str]] = {}
        for place, value in check.defaults.items():
            by_value.setdefault(written(value), []).append(f"`{place}`")
        defaults = "; ".join(f"{value}: {', '.join(found)}" for value, found in by_value.items()) or "off"
        profiles = "; ".join(f"{name} {written(value)}" for name, value in check.profiles.items())
        if isinstance(check, Rule):
            what, unit = f"{check.comparison.replace('_', ' ')}: {check.description}", check.unit
        else:
            what, unit = f"edit: {check.description}", check.unit
        parts.append(f"| `{check.name}` | {escape(what)} | {unit} | {defaults} | {profiles} | {escape(check.source)} |")
    return "\n".join(parts) + "\n"


def written(value):
    if isinstance(value, tuple):
        low, high = ("any" if math.isinf(end) else f"{end:g}" for end in value)
        return f"{low} to {high}"
    return "on" if value is True else value if isinstance(value, str) else f"{value:g}"


def shown(default):
    if isinstance(default, BaseModel):
        return "see below"
    if isinstance(default, Overrides):
        default = {}
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def escape(text):
    return text.replace("|", "\\|").replace("\n", "\\n")


def main() -> int:
    pages = {DOCS / "recipe.md": recipe_page(), DOCS / "rules.md": rules_page()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not what the code says: run python scripts/reference.py")
        return len(stale)
    for path, text in pages.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
