"""What a build will do, decided before anything is read: a checked recipe, its vocabulary, and every task.

Comes after ``recipe`` and before ``build``; ``--dry-run`` and ``recipe check`` end here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixer.contamination.records import BenchmarkFiles, find_files
from mixer.dedup.corpus import File
from mixer.dedup.earlier import earlier_files
from mixer.errors import RecipeError, did_you_mean
from mixer.filters.language import detectable, load_model
from mixer.loading import LoadedRecipe
from mixer.megatron.indexed import token_dtype
from mixer.prepare import WRITES as PREPARE_WRITES
from mixer.recipe import Recipe
from mixer.sources.plan import SourceTask, plan_source
from mixer.steps import Attachments, attach_files
from mixer.storage import at, is_local
from mixer.tokenize.count import SCRIPTS
from mixer.tokenize.vocabulary import Vocabulary, load_vocabulary
from mixer.variables import expand

DOCUMENTS = 0.4
"""Bytes of ``documents/`` for a byte of text, at most about: compressed, with their metadata."""


@dataclass(frozen=True)
class Plan:
    """What a build will do, decided before anything is read; with a ``limit`` it is a trial (``fit_to_trial``).

    ``earlier`` are the fingerprints of the builds whose documents are removed.
    """

    recipe: Recipe
    vocabulary: Vocabulary
    tokenizer_file: Path | None
    tasks: Sequence[SourceTask]
    attachments: Attachments
    earlier: Sequence[File] = ()
    benchmarks: BenchmarkFiles = ()
    limit: int | None = None


def plan(loaded: LoadedRecipe, limit: int | None = None) -> Plan:
    """Check that everything a recipe names is there, and cut its sources into tasks.

    Parameters
    ----------
    loaded
        The recipe and the folder its relative paths start from.
    limit
        Read only so many documents of each source.

    Raises
    ------
    RecipeError
        A file, column or tokenizer is missing, or a language is one that no document can have, or has no script to be
        measured by.
    UsageError
        An earlier build to compare with is not there, or cannot be compared.
    """
    recipe = loaded.recipe
    check_languages(recipe)
    beside = loaded.root / recipe.tokenizer
    tokenizer = str(beside) if beside.exists() else recipe.tokenizer
    vocabulary = load_vocabulary(tokenizer)
    mixture = recipe.mixture
    if mixture.almr_basis == "measured" and mixture.additional_language not in SCRIPTS:
        raise RecipeError(
            f"mixture.almr_basis: measured cannot be had for {mixture.additional_language!r}, which shares its script "
            "with base languages",
            f"use almr_basis: label; measured is known for {', '.join(sorted(SCRIPTS))}",
        )
    attachments = attach_files(recipe, loaded.root)
    tasks = [task for source in recipe.sources for task in plan_source(source, loaded.root, limit)]
    against = (at(expand(directory, "dedup.against")) for directory in recipe.dedup.against)
    earlier = earlier_files([loaded.root / each if is_local(each) else each for each in against], recipe.dedup)
    benchmarks = [(each, find_files(each, loaded.root)) for each in recipe.decontaminate.benchmarks]
    file = Path(tokenizer) if Path(tokenizer).exists() else None
    return Plan(recipe, vocabulary, file, tasks, attachments, earlier, benchmarks, limit)


def check_languages(recipe: Recipe) -> None:
    """Make sure that documents can have each language that is named: a source declares it, or detection knows it.

    Raises
    ------
    RecipeError
        One is neither.
    """
    known = detectable(load_model()) | {source.language for source in recipe.sources}
    for language in (recipe.mixture.additional_language, *recipe.mixture.base_languages):
        if language not in known:
            raise RecipeError(
                f"unknown language {language!r}{did_you_mean(language, known)}: no source declares it, and detection "
                "never finds it",
                "correct mixture.additional_language or mixture.base_languages, or give sources in it `language: "
                f"{language}`",
            )
    for language in recipe.language.thresholds:
        if language not in known:
            raise RecipeError(
                f"language.thresholds: unknown language {language!r}{did_you_mean(language, known)}",
                "correct or remove it: no document can have it",
            )


def disk_needed(planned: Plan) -> int:
    """Guess the bytes that a whole build takes on disk at its largest, before anything is read.

    Documents and fingerprints as prepared, the documents again in order, and the tokens twice: in shards and joined.
    """
    text = sum(task.text_bytes for task in planned.tasks)
    return int((PREPARE_WRITES + DOCUMENTS + 2 * token_dtype(planned.vocabulary.vocab_size).itemsize / 3) * text)
