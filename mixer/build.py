"""The whole pipeline, its stages in order: plan, prepare, deduplicate, tokenize, join, mix, verify.

    sources -prepare-> documents, fingerprints -dedup-> fates -tokenize-> shards -join-> datasets -mix-> mixture

Each stage reads what earlier receipts list and leaves receipts of its own, so the same command after an interruption,
or with one source more, does only what is missing. See ``prepare`` for the order inside the first stage.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixer.dedup.stage import Deduplicate
from mixer.engine.display import Display
from mixer.engine.local import LocalEngine
from mixer.engine.lock import lock
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Receipt, StageReport
from mixer.errors import BrokenPromiseError, InputError, RecipeError, UsageError, did_you_mean
from mixer.filters.language import detectable, load_model
from mixer.manifest import NAME, Hashes, Manifest, Tokenizer, ValidDataset, prefix_of
from mixer.manifest import read as read_manifest
from mixer.megatron.indexed import token_dtype
from mixer.mixture.compose import Counted, compose
from mixer.mixture.export import export
from mixer.mixture.inventory import MIN_SEQUENCES
from mixer.mixture.settings import MixtureSettings
from mixer.mixture.verify import VerifyReport, verify
from mixer.mixture.weights import Mixture
from mixer.prepare import WRITES as PREPARE_WRITES
from mixer.prepare import Prepare
from mixer.recipe import LoadedRecipe, Recipe
from mixer.sources.plan import FilePiece, SourceTask, plan_source
from mixer.tokenize.count import SCRIPTS
from mixer.tokenize.encode import warm
from mixer.tokenize.join import DATASETS, Join, finalize, remove_damaged
from mixer.tokenize.stage import Tokenize
from mixer.tokenize.vocabulary import Vocabulary, load_vocabulary

PRELOAD = ("mixer.prepare", "mixer.tokenize.stage", "mixer.tokenize.join")
"""What workers need, imported once for all of them."""
RECIPE = "run/recipe"
"""Names the recipe whose build this directory holds, before there is a ``mixture.json``."""


@dataclass(frozen=True)
class Plan:
    """What a build will do, decided before anything is read; with a ``limit`` it is a trial (``fit_to_trial``)."""

    recipe: Recipe
    vocabulary: Vocabulary
    tokenizer_file: Path | None
    tasks: Sequence[SourceTask]
    limit: int | None = None


@dataclass(frozen=True)
class Result:
    """What a build has done: where it stands, the mixture and its proof, and what every stage counted."""

    out: Path
    recipe: Recipe
    manifest: Manifest
    mixture: Mixture
    verification: VerifyReport
    prepared: Sequence[Receipt]
    tokenized: Sequence[Receipt]
    reports: Sequence[StageReport]
    notes: Sequence[str]


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
    tasks = [task for source in recipe.sources for task in plan_source(source, loaded.root, limit)]
    return Plan(recipe, vocabulary, Path(tokenizer) if Path(tokenizer).exists() else None, tasks, limit)


def check_languages(recipe: Recipe) -> None:
    """Make sure that documents can have each language of the mixture: a source declares it, or detection knows it.

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


def build(planned: Plan, out: Path, workers: int, display: Display) -> Result:
    """Do what is planned, or what is missing of it, in the directory ``out``.

    Raises
    ------
    MixerError
        Any of its kinds; what is done by then stays done.
    """
    recipe, vocabulary = planned.recipe, planned.vocabulary
    language = recipe.mixture.additional_language
    claim(out, recipe)
    with lock(out), LocalEngine(out, workers, display, PRELOAD, [partial(warm, vocabulary)]) as engine:
        with Outputs(out).open(RECIPE) as file:
            file.write(f"{recipe.name}\n".encode())
        prepared = engine.run(Prepare(recipe, planned.tasks))
        check_sources(recipe, prepared)
        fates = engine.run(Deduplicate.after(prepared, recipe.dedup, recipe.split_seed, recipe.mixture.valid_fraction))
        notes = [*vocabulary.warnings, *remarks(planned, prepared, fates)]
        for note in notes:  # at once, and not only with the result: there may be none
            display.note(f"note: {note}")
        tokenized = engine.run(Tokenize.after([*prepared, *fates], vocabulary, language))
        join = Join(tokenized, vocabulary.vocab_size)
        joined = engine.run(join)
        content = finalize(out, joined)
        sweep(out, outputs_of(prepared, fates, tokenized, joined))

        settings = recipe.mixture if planned.limit is None else fit_to_trial(recipe.mixture, joined)
        manifest, mixture = mix(recipe, settings, vocabulary, content, joined)
        export(Outputs(out), manifest, planned.tokenizer_file)
        verification = prove(out, engine, join, joined)
    if settings != recipe.mixture:
        notes.append(
            f"a trial of {planned.limit:,} documents of each source, mixed with sequence_length: "
            f"{settings.sequence_length:,} and tokens: max (the recipe says {recipe.mixture.sequence_length:,} and "
            f"{recipe.mixture.tokens})"
        )
    return Result(out, recipe, manifest, mixture, verification, prepared, tokenized, engine.reports, notes)


def claim(out: Path, recipe: Recipe) -> None:
    """Make sure that ``out`` is free, or holds a build of this recipe.

    Raises
    ------
    UsageError
        Something else is there.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a directory", "choose another directory with --out")
    if not out.exists() or not any(out.iterdir()):
        return
    if (out / RECIPE).exists():
        found = (out / RECIPE).read_text("utf-8").strip()
    elif (out / NAME).exists():
        found = read_manifest(out).recipe
    elif {path.name for path in out.iterdir()} == {"run"}:  # a build that was stopped before it began
        return
    else:
        raise UsageError(f"{out} is not empty and holds no build", "choose another directory with --out")
    if found != recipe.name:
        raise UsageError(
            f"{out} holds the build of another recipe, {found!r} (this one is {recipe.name!r})",
            "choose another directory with --out",
        )


def check_sources(recipe: Recipe, prepared: Iterable[Receipt]) -> None:
    """Hold every source against its promises.

    Raises
    ------
    RecipeError
        A source is empty.
    InputError
        More of its records were unreadable than ``max_rejected`` allows.
    """
    read: dict[str, int] = {source.name: 0 for source in recipe.sources}
    rejected = dict(read)
    for receipt in prepared:
        name = receipt.task.rsplit("/", 1)[0]
        read[name] += receipt.counts["documents"]
        rejected[name] += receipt.counts["rejected"]
    for source in recipe.sources:
        name, records = source.name, read[source.name] + rejected[source.name]
        if not records:
            raise RecipeError(f"source {name!r} is empty: its files hold no records", "correct its paths, or remove it")
        if rejected[name] > source.max_rejected * records:
            raise InputError(
                f"source {name!r}: {rejected[name]:,} of {records:,} records could not be read, more than its "
                f"max_rejected of {source.max_rejected:g}",
                f"see rejected/{name}/ in the build directory for file, position and cause; then correct `text`, "
                "`format` or `encoding` of the source, or raise its max_rejected",
            )


def remarks(planned: Plan, prepared: Iterable[Receipt], fates: Iterable[Receipt]) -> list[str]:
    """Say what a user should know of the sources, though it ends nothing."""
    found = []
    survivors = {name: counts for receipt in fates for name, counts in receipt.counts["sources"].items()}
    receipts = list(prepared)
    for source in planned.recipe.sources:
        name = source.name
        pieces = [piece for task in planned.tasks if task.source == name for piece in task.pieces]
        empty = [p.file.path for p in pieces if isinstance(p, FilePiece) and not p.size and "://" not in p.file.url]
        if empty:
            more = ", ..." if len(empty) > 3 else ""
            found.append(f"source {name!r}: empty files ({len(empty):,}): {', '.join(empty[:3])}{more}")
        counts = [receipt.counts for receipt in receipts if receipt.task.rsplit("/", 1)[0] == name]
        if rejected := sum(count["rejected"] for count in counts):
            found.append(f"source {name!r}: records that could not be read: {rejected:,}; see rejected/{name}/")
        reasons = sum((Counter(count["reasons"]) for count in counts), Counter())
        if not survivors[name]["documents"]:
            worst = ", ".join(f"{reason} {dropped:,}" for reason, dropped in reasons.most_common(3))
            found.append(f"every document of source {name!r} was dropped ({worst}); see dropped/{name}/")
        elif not survivors[name]["train"] + survivors[name]["valid"]:
            found.append(f"every document of source {name!r} is a duplicate, or dropped by a rule; see dropped/{name}/")
    return found


def outputs_of(*stages: Iterable[Receipt]) -> dict[str, OutputFile]:
    """Gather what some stages have written, by path."""
    return {path: file for receipts in stages for receipt in receipts for path, file in receipt.outputs.items()}


def fit_to_trial(mixture: MixtureSettings, joined: Iterable[Receipt]) -> MixtureSettings:
    """Make the mixture one that a few documents of each source can fill: as large as possible, in short sequences.

    The sequences are the longest, up to the recipe's, at which no dataset is too small.
    """
    train = [receipt.counts["tokens"] for receipt in joined if receipt.counts["split"] == "train"]
    shortest = min((tokens for tokens in train if tokens >= MIN_SEQUENCES), default=MIN_SEQUENCES)
    length = min(mixture.sequence_length, shortest // MIN_SEQUENCES)
    return mixture.model_copy(update={"sequence_length": length, "tokens": "max", "small_datasets": "drop"})


def mix(
    recipe: Recipe, settings: MixtureSettings, vocabulary: Vocabulary, content: str, joined: Sequence[Receipt]
) -> tuple[Manifest, Mixture]:
    """Solve the mixture of the joined datasets.

    Raises
    ------
    InfeasibleError
        There is no such mixture.
    """
    counted, valid = [], []
    for receipt in joined:
        counts = receipt.counts
        source, language = counts["source"], counts["language"]
        files = {suffix: receipt.outputs[f"{DATASETS}{receipt.task}.{suffix}"] for suffix in ("bin", "idx")}
        hashes = Hashes(bin=files["bin"].xxh64, idx=files["idx"].xxh64)
        if counts["split"] == "train":
            counted.append(
                Counted(
                    source=source,
                    language=language,
                    domain=recipe.source(source).domain,
                    documents=counts["documents"],
                    tokens=counts["tokens"],
                    additional=counts["additional"],
                    neutral=counts["neutral"],
                    max_epochs=recipe.max_epochs(source),
                    hashes=hashes,
                )
            )
        else:
            valid.append(
                ValidDataset(
                    prefix=prefix_of(content, receipt.task),
                    source=source,
                    language=language,
                    documents=counts["documents"],
                    tokens=counts["tokens"],
                    xxh64=hashes,
                )
            )
    tokenizer = Tokenizer(
        name=vocabulary.name,
        vocab_size=vocabulary.vocab_size,
        eod=vocabulary.eod,
        bos=vocabulary.bos,
        sha256=vocabulary.sha256,
    )
    return compose(recipe.name, content, tokenizer, counted, valid, settings, recipe.seed)


def prove(out: Path, engine: LocalEngine, join: Join, joined: Sequence[Receipt]) -> VerifyReport:
    """Verify the build, after making anew what has been damaged since an earlier run wrote it: receipts know sizes.

    Raises
    ------
    BrokenPromiseError
        A promise is broken, and not by damage to the files of datasets.
    """
    try:
        return verify(out, rehash=True, workers=engine.workers)
    except BrokenPromiseError:
        damaged = remove_damaged(out, joined)
        if not damaged:
            raise
        names = ", ".join(path.relative_to(out).as_posix() for path in damaged)
        engine.display.note(f"note: changed since they were written, so made anew: {names}")
        finalize(out, engine.run(join))
        return verify(out, rehash=True, workers=engine.workers)


def sweep(out: Path, written: Mapping[str, OutputFile]) -> None:
    """Remove documents that no receipt lists, left by an interrupted build under other settings, and empty folders."""
    for folder in ("documents", "dropped", "rejected"):
        for path in [*sorted((out / folder).rglob("*"), reverse=True), out / folder]:  # a folder after what is in it
            if path.is_file() and path.relative_to(out).as_posix() not in written:
                path.unlink()
            elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()


def disk_needed(planned: Plan) -> int:
    """Guess the bytes that a whole build takes on disk at its largest, before anything is read.

    Documents and fingerprints as prepared, the documents again in order, and the tokens twice: in shards and joined.
    """
    text = sum(task.text_bytes for task in planned.tasks)
    return int((PREPARE_WRITES + 0.4 + 2 * token_dtype(planned.vocabulary.vocab_size).itemsize / 3) * text)


def clean(out: Path) -> int:
    """Remove scratch files and datasets of earlier mixtures from a finished build; return the bytes freed.

    Raises
    ------
    UsageError
        There is no finished build in ``out``, or one is being made.
    """
    manifest = read_manifest(out)
    with lock(out):
        stale = [path for path in (out / "megatron").iterdir() if path.is_dir() and path.name not in _kept(manifest)]
        before = disk_usage(out)
        for path in stale:
            shutil.rmtree(path)
        if (out / "run").is_symlink():  # scratch on another disk: the link is the user's
            for path in (out / "run").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            shutil.rmtree(out / "run")
    return before - disk_usage(out)


def _kept(manifest: Manifest) -> set[str]:
    """Folders of ``megatron/`` that a finished build needs: its datasets, and Megatron's own index cache."""
    return {manifest.build, "cache"}


def disk_usage(folder: Path) -> int:
    """Add up the bytes of all files below a folder, hard links once."""
    found = (path.lstat() for path in folder.rglob("*") if not path.is_dir())
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in found}.values())
