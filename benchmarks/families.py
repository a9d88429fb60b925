"""mixer's side of ``filters.py``: times families of checks in this process, or prepares a recipe; prints JSON.

    python benchmarks/families.py time RECIPE LANGUAGE MEGABYTES REPEATS SAMPLE
    python benchmarks/families.py prepare RECIPE OUT

``time`` reads the source of RECIPE and runs each family of the table alone over all documents, as ``prepare`` would:
its edits, then its rules, with the thresholds of the published set of the same name, or else the defaults. Figures are
user and system seconds, the median of REPEATS passes; imports, and a first pass that loads the kernels, come before.
What is kept or changed is counted over the first SAMPLE documents, which are those that the peers get. ``kernels`` are
the functions behind the families, each alone. ``prepare`` does all tasks of the first stage, one after the other.
"""

import gc
import json
import os
import statistics
import sys
import time
from pathlib import Path

from mixer.engine.worker import ONE_THREAD

os.environ.update(ONE_THREAD)

import numpy as np
import pyarrow as pa

from mixer.documents import EDITS, set_column, text_bytes, undecided
from mixer.engine.outputs import Outputs
from mixer.filters.check import Edit, Rule
from mixer.filters.edits import EDITORS, edit
from mixer.filters.judge import judge
from mixer.filters.language import CODE, label, load_model
from mixer.filters.privacy import editors
from mixer.filters.settings import LanguageSettings, PrivacySettings
from mixer.filters.statistics import FAMILIES
from mixer.filters.table import PROFILES, TABLE
from mixer.loading import load_recipe
from mixer.prepare import Prepare
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.text.utf8 import buffers

EDITING = (*EDITORS, *editors(PrivacySettings()))
REPETITION = ("gopher.duplicate", "gopher.top")
SETS = {"gopher_quality": "gopher", "gopher_repetition": "gopher", "c4": "fineweb"}
"""The published sets whose thresholds a family gets, where the names differ; FineWeb's C4 is the one the peer runs."""


def families():
    """Return the checks of the table by family, and by published set where no family has its name.

    Gopher's are two families, as for the peers, and both together.
    """
    found = {}
    for check in TABLE:
        if check.family == "gopher":
            part = "repetition" if check.name.startswith(REPETITION) else "quality"
            found.setdefault(f"gopher_{part}", []).append(check)
        found.setdefault(check.family, []).append(check)
    for profile in PROFILES:
        checks = [check for check in TABLE if profile in check.profiles and check.family != "privacy"]
        if checks and profile not in found:
            found[profile] = checks
    return found


def value_of(check, profile, domain, language):
    """Return the value to run a check with: the profile's, the default, or any that it has; ``None``: it has none."""
    said = [check.profiles.get(profile), check.default(domain, language)]
    said += [*check.profiles.values(), *check.defaults.values()]
    return next((value for value in said if value is not None and value is not False), None)


def switched_on(edit, language):
    """Return a value that has an edit made, also one that is only made where a recipe asks for it."""
    value = value_of(edit, "", "*", language)
    return value if value is not None else edit.choices[0] if edit.choices else True


def books(name, checks, domain, language):
    """Return the rules and the edits of a family, with their values."""
    profile = SETS.get(name, name)
    own = [(check, value_of(check, profile, domain, language)) for check in checks]
    own = [(check, value) for check, value in own if value is not None]
    if any(profile in check.profiles for check, _ in own):
        own = [(check, value) for check, value in own if profile in check.profiles]
    rules = [(check, value) for check, value in own if isinstance(check, Rule)]
    return {language: rules}, {language: {check.name: value for check, value in own if isinstance(check, Edit)}}


def timed(work, batches, repeats):
    """Run ``work`` over batches; return the median of the CPU seconds it takes."""
    for batch in batches:
        work(batch)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        for batch in batches:
            work(batch)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def steps(domain, language):
    """Return for each family what it does to a batch, and whether any of it is in force by default."""
    model, settings = load_model(), LanguageSettings(threshold=0.65)
    accepted = ["en"] if language == CODE else [language]
    detected = language != CODE  # by default the code domain is not looked into
    found = {"language": (lambda batch: label(batch, "detect", domain, accepted, settings, model), detected)}
    published = set(PROFILES) - {check.family for check in TABLE}
    for name, checks in families().items():
        rules, edits = books(name, checks, domain, language)
        in_force = any(check.default(domain, language) not in (None, False) for check in checks)

        def work(batch, rules=rules, edits=edits):
            return judge(edit(batch, edits, EDITING), rules)

        found[name] = (work, in_force and name not in published)
    return found


def kernels(language):
    """Return the functions behind the families: kernels over buffers, and editors."""
    found = {}
    for _, kernel in FAMILIES:
        found[kernel.__name__.strip("_")] = lambda batch, kernel=kernel: kernel(
            *buffers(batch["text"]), np.arange(len(batch))
        )
    by_name = {check.name: check for check in TABLE}
    for names, editor in EDITING:
        values = {name: switched_on(by_name[name], language) for name in names}
        function = getattr(editor, "func", editor)
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__.strip('_')}"
        found[name] = lambda batch, editor=editor, values=values: editor(batch["text"], values)
    return found


def documents(loaded, megabytes, language):
    """Read a recipe's only source as ``prepare`` would, up to so much text, and label the documents."""
    source = loaded.recipe.sources[0]
    found, size = [], 0
    for task in plan_source(source, loaded.root):
        for batch in read(task, source, lambda *_: None):
            found.append(set_column(batch, "language", pa.array([language] * len(batch))))
            size += text_bytes([batch])
            if size >= megabytes * 1_000_000:
                return found, size
    return found, size


def tell(batch):
    """Count the documents of a batch that were kept, and those in which an edit was made."""
    made = [batch[name].fill_null(0).to_numpy() > 0 for name in batch.schema.names if name.startswith(EDITS)]
    return {
        "kept": int(undecided(batch).sum()),
        "changed": int(np.any(made, axis=0).sum()) if made else None,
    }


def time_families(recipe, language, megabytes, repeats, sample):
    loaded = load_recipe(recipe)
    batches, size = documents(loaded, megabytes, language)
    first = pa.concat_batches(batches)[:sample]
    found = {}
    for name, (work, in_force) in steps(loaded.recipe.sources[0].domain, language).items():
        seconds = timed(work, batches, repeats)
        found[name] = {"seconds": seconds, "in_force": in_force, **tell(work(first))}
    own = {name: timed(work, batches, repeats) for name, work in kernels(language).items()}
    return {"bytes": size, "sample": len(first), "families": found, "kernels": own}


def prepare(recipe, out):
    loaded = load_recipe(recipe)
    planned = [task for source in loaded.recipe.sources for task in plan_source(source, loaded.root)]
    stage = Prepare(loaded.recipe, planned, {})
    start = time.process_time()
    counts = [stage.run(task, Outputs(out), lambda **_: None) for task in stage.tasks()]
    seconds = time.process_time() - start
    kept = sum(language["kept"] for each in counts for language in each["languages"].values())
    documents, size = (sum(each[key] for each in counts) for key in ("documents", "bytes"))
    return {"seconds": seconds, "start": start, "documents": documents, "kept": kept, "bytes": size}


def main():
    if sys.argv[1] == "prepare":
        result = prepare(sys.argv[2], Path(sys.argv[3]))
    else:
        recipe, language, *numbers = sys.argv[2:]
        result = time_families(recipe, language, *map(int, numbers))
    json.dump(result, sys.stdout)
    gc.freeze()  # as the command line does, and workers do not even that: they end at once


if __name__ == "__main__":
    main()
