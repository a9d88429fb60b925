"""What happens to every batch of a source after reading, and what decides it.

    block lists -> language -> edits -> script -> rules -> the user's own filters -> privacy

``prepare`` takes whole corpora through these steps, ``funnel`` a few files. Files that the steps need are found and
hashed before anything is read.
"""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any, TypeAlias

from mixer.documents import Batch, split
from mixer.filters import privacy
from mixer.filters.attached import Attachment, attach
from mixer.filters.blocklists import LoadedList, block
from mixer.filters.custom import CustomFilter, ask, code_of, load
from mixer.filters.edits import EDITORS, edit
from mixer.filters.judge import judge
from mixer.filters.language import CODE, label, load_model
from mixer.filters.recorded import record
from mixer.filters.script import add_script
from mixer.filters.settings import Checkbook, checkbook, editbook, rulebook
from mixer.recipe import Recipe, Source
from mixer.variables import expand

Attachments: TypeAlias = Mapping[str, Attachment]
"""Files of the recipe's filters, by what the recipe calls them."""
_BUILT_IN = Attachment("", "")


def checks_of(recipe: Recipe, source: Source) -> Checkbook:
    """Return the checks in force for a source, by each language that its kept documents may have."""
    accepted = (recipe.mixture.additional_language, *recipe.mixture.base_languages)
    return checkbook(recipe.filters, source.filters, source.domain, [*accepted, CODE])


def attach_files(recipe: Recipe, root: Path) -> Attachments:
    """Find and hash every file that the filters of a recipe need; relative paths start at ``root``.

    Raises
    ------
    RecipeError, InputError
        One is not there, a function cannot be imported, or an entry of a block list cannot match anything.
    """
    found = {}
    for number, blocklist in enumerate(recipe.blocklists):
        where = f"blocklists[{number}].file"
        found[blocklist.file] = attach(expand(blocklist.file, where), root, where)
        LoadedList(blocklist, found[blocklist.file])  # a wrong entry is found now, and not by a task
    for own in recipe.custom:
        where = f"custom filter {own.name!r}"
        if own.fasttext is not None:
            found[own.fasttext] = attach(expand(own.fasttext, where), root, where)
        elif (code := code_of(own)) is not None:
            found[_code(own)] = attach(str(code), root, where)
    return found


def _code(own: CustomFilter) -> str:
    """Name the code of a filter among the attachments."""
    return f"{own.function or own.datatrove}"


def _custom(recipe: Recipe, source: Source) -> list[CustomFilter]:
    """Return the user's filters that documents of a source may meet."""
    languages = (CODE, recipe.mixture.additional_language, *recipe.mixture.base_languages)
    return [own for own in recipe.custom if any(own.asked_about(source.domain, language) for language in languages)]


def identity(recipe: Recipe, source: Source, attachments: Attachments) -> list[Any]:
    """Return everything that decides what the steps make of a document: JSON values, for a task's key."""
    checks = checks_of(recipe, source)
    lists = [each for each in recipe.blocklists if source.carries(each)]
    found = [(own, attachments.get(own.fasttext or _code(own), _BUILT_IN)) for own in _custom(recipe, source)]
    return [
        [source.domain, source.language, source.programming_language],
        [recipe.mixture.additional_language, recipe.mixture.base_languages],
        recipe.language.model_dump(mode="json"),
        recipe.privacy.model_dump(mode="json"),
        {language: [(check.name, value) for check, value in in_force] for language, in_force in checks.items()},
        [(each.column, each.kind, attachments[each.file].digest) for each in lists],
        [(own.model_dump(mode="json", exclude={"fasttext"}), file.digest) for own, file in found],
    ]


class Steps:
    """What every batch of a source goes through after reading; ``in_order`` has each step by name."""

    def __init__(self, recipe: Recipe, source: Source, attachments: Attachments) -> None:
        accepted = (recipe.mixture.additional_language, *recipe.mixture.base_languages)
        model, checks = load_model(), checks_of(recipe, source)
        edits, rules, redactors = editbook(checks), rulebook(checks), privacy.editors(recipe.privacy)
        self._record = partial(
            record, domain=source.domain, programming_language=source.programming_language, checks=checks
        )
        lists = [LoadedList(each, attachments[each.file]) for each in recipe.blocklists if source.carries(each)]
        own = [
            partial(ask, own=each, asked=load(each, attachments.get(each.fasttext or "")), domain=source.domain)
            for each in _custom(recipe, source)
        ]
        self.in_order: Mapping[str, Callable[[Batch], Batch]] = {
            "blocklists": lambda batch: block(batch, lists),
            "language": lambda batch: label(batch, source.language, source.domain, accepted, recipe.language, model),
            "edits": lambda batch: edit(batch, edits, EDITORS),
            "script": add_script,
            "rules": lambda batch: judge(batch, rules, source.programming_language),
            "custom": lambda batch: reduce(lambda found, step: step(found), own, batch),
            "privacy": lambda batch: edit(batch, edits, redactors),
        }

    def __call__(self, batch: Batch) -> tuple[Batch, Batch]:
        """Return the kept and the dropped documents of a batch."""
        for step in self.in_order.values():
            batch = step(batch)
        return split(self._record(batch))
