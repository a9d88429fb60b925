"""Write the pages of docs that are tables of what the code decides: keys of settings, rules, formats of dialogues.

python scripts/reference.py           # write them
python scripts/reference.py --check   # only say whether they are as the code has it
"""

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from mixer.contamination.settings import Benchmark, DecontaminateSettings
from mixer.dedup.settings import DedupSettings, MinhashSettings, ParagraphSettings
from mixer.dialogues.checks import NOTES
from mixer.dialogues.formats.table import TABLE
from mixer.dialogues.llamafactory import LEFT_OUT
from mixer.dialogues.settings import TuningSettings, TuningSource
from mixer.dialogues.turns import REASONS
from mixer.engine.settings import EngineSettings, RaySettings, SlurmSettings
from mixer.filters.blocklists import BlockList
from mixer.filters.custom import CustomFilter
from mixer.filters.page import markdown as rules_page
from mixer.filters.settings import LanguageSettings, Overrides, PrivacySettings
from mixer.mixture.settings import MixtureSettings, PhaseSettings
from mixer.recipe import Recipe, Source
from mixer.sources.settings import DatasetSettings, HtmlSettings

DOCS = Path(__file__).parent.parent / "docs"
GENERATED = "<!-- written by scripts/reference.py; change the code it reads instead -->\n"
SECTIONS: list[tuple[str, type[BaseModel], str]] = [
    ("The recipe", Recipe, ""),
    ("`mixture`", MixtureSettings, "What training shall see."),
    (
        "`mixture.phases`",
        PhaseSettings,
        "A list, in the order of training; [mixture.md](mixture.md) says what they do.",
    ),
    ("`sources`", Source, "A list; its order is priority when duplicates meet."),
    ("`sources[].datasets`", DatasetSettings, "A Hugging Face dataset, in place of `paths`."),
    ("`sources[].html`", HtmlSettings, "`true` takes the defaults."),
    ("`language`", LanguageSettings, "Language identification: script first, then fastText."),
    (
        "`blocklists`",
        BlockList,
        "A list. What is on one is dropped for `blocklist.<kind>`, before all else.",
    ),
    ("`custom`", CustomFilter, "A list. Filters of your own, asked about what the rules keep."),
    ("`privacy`", PrivacySettings, "Placeholders; [privacy.md](privacy.md) says what they replace."),
    (
        "`decontaminate`",
        DecontaminateSettings,
        "Items of benchmarks; documents that hold one are dropped ([contamination.md](contamination.md)).",
    ),
    ("`decontaminate.benchmarks`", Benchmark, "A list."),
    ("`dedup`", DedupSettings, "Exact and near duplicates, over all sources together."),
    ("`dedup.minhash`", MinhashSettings, "`false` switches near duplicates off."),
    (
        "`dedup.paragraphs`",
        ParagraphSettings,
        "Off unless given; `{}` takes the defaults ([build.md](build.md#duplicates)).",
    ),
    ("`engine`", EngineSettings, "Where the build runs; nothing of what comes out depends on it."),
    ("`engine.slurm`", SlurmSettings, "[cluster.md](cluster.md) says what becomes of them."),
    ("`engine.ray`", RaySettings, "[cluster.md](cluster.md) says what becomes of them."),
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
        parts += keys(model)
    parts.append(
        "## `filters`\n\nThresholds by `domain/language` (either may be `*`), then by rule; `false` switches a rule "
        "off. A source's own `filters` go by rule alone and win over these. [rules.md](rules.md) lists the rules.\n\n"
        "```yaml\nfilters:\n  web/en: {gopher.words: [30, 100000]}\n  '*/zh': {chinese.repeated_13grams: 0.4}\n"
        "sources:\n  - {name: notes, paths: [notes.jsonl], domain: web, filters: {gopher.stop_words: false}}\n```\n"
    )
    return "\n".join(parts)


def tuning_page() -> str:
    """Every key of a DATA.yaml, every format, and why something is set aside."""
    parts = [
        GENERATED,
        "# Data of a fine-tuning: keys and formats\n",
        "[tuning-data.md](tuning-data.md) explains them. Unknown keys, keys given twice and impossible values are "
        "refused with the nearest spelling.\n",
    ]
    for title, model in (("The file", TuningSettings), ("`sources`", TuningSource)):
        parts += [f"## {title}\n", *keys(model)]
    parts.append("`datasets` has the keys that it has in [a recipe](recipe.md#sourcesdatasets).\n")
    parts.append(
        "## Formats\n\nThe fields of a record that are looked at; `fields` of a source says under which other names it "
        "has them. *Told* are formats that `auto` recognises; the others have the fields of one that it does.\n"
    )
    parts.append("| format | told | records | fields | `prefer` |\n| --- | --- | --- | --- | --- |")
    for form in TABLE:
        fields = [f"`{name}`" for name in form.required] + [f"`{name}`, if there" for name in form.optional]
        prefer = ", ".join(f"`{name}`" for name in form.prefer)
        told = "yes" if form.matches else ""
        parts.append(f"| `{form.name}` | {told} | {escape(form.summary)} | {'; '.join(fields)} | {prefer} |")
    for title, text, reasons in (
        ("Set aside", "What is never trained on, counted by reason.", REASONS),
        ("Changed", "What is done to examples that are kept, counted in examples.", NOTES),
        ("Left out of the hand-over", "What LLaMA-Factory's format cannot say, counted in examples.", LEFT_OUT),
    ):
        parts.append(f"\n## {title}\n\n{text}\n\n| name | meaning |\n| --- | --- |")
        parts += [f"| `{name}` | {escape(meaning)} |" for name, meaning in reasons.items()]
    return "\n".join([*parts, ""])


def keys(model: type[BaseModel]) -> list[str]:
    """Return the lines of a table of a model's keys."""
    lines = ["| key | default | meaning |\n| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        lines.append(f"| `{name}` | {default} | {escape(field.description or '')} |")
    return [*lines, ""]


def shown(default):
    if isinstance(default, BaseModel):
        return "see below"
    if isinstance(default, Overrides):
        default = {}
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def escape(text):
    return text.replace("|", "\\|").replace("\n", "\\n")


def main() -> int:
    pages = {
        DOCS / "recipe.md": recipe_page(),
        DOCS / "rules.md": GENERATED + rules_page(),
        DOCS / "tuning-keys.md": tuning_page(),
    }
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
