"""The whole pipeline, its stages in order: plan, prepare, deduplicate, tokenize, join, mix, verify, report.

    sources -prepare-> documents, fingerprints -dedup-> fates -tokenize-> shards -join-> datasets -mix-> mixture

Between ``prepare`` and ``dedup`` documents that hold items of benchmarks are marked, if the recipe names any.

Each stage reads what earlier receipts list and leaves receipts of its own, so the same command after an interruption,
or with one source more, does only what is missing. See ``prepare`` for the order inside the first stage.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixer.contamination import findings as contamination
from mixer.contamination.findings import BenchmarkTally
from mixer.contamination.stages import Benchmarks, Common, Decontaminate, Scan
from mixer.dedup.corpus import CONTAMINATION, Corpus
from mixer.dedup.earlier import INDEX, refuse_itself, write_index
from mixer.dedup.stage import cut_paragraphs, deduplicate
from mixer.directory import claim, mark, sweep
from mixer.engine.choose import choose
from mixer.engine.display import Display
from mixer.engine.engine import Engine
from mixer.engine.lock import lock
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt, StageReport
from mixer.engine.status import Recorder
from mixer.errors import BrokenPromiseError
from mixer.findings import check_sources, remarks
from mixer.manifest import Hashes, Manifest, Tokenizer, ValidDataset, prefix_of
from mixer.mixture.compose import Counted, compose, fit_to_trial
from mixer.mixture.export import export, tokenizer_flags
from mixer.mixture.settings import MixtureSettings
from mixer.mixture.verify import VerifyReport, verify
from mixer.mixture.views import write_views
from mixer.mixture.weights import Mixture
from mixer.plan import Plan
from mixer.prepare import Prepare
from mixer.recipe import Recipe
from mixer.report import NAME, tallies
from mixer.report.page import report
from mixer.storage import Root
from mixer.tokenize.encode import warm
from mixer.tokenize.join import DATASETS, Join, finalize, remove_damaged
from mixer.tokenize.stage import Tokenize
from mixer.tokenize.vocabulary import Vocabulary

PRELOAD = ("mixer.prepare", "mixer.contamination.stages", "mixer.tokenize.stage", "mixer.tokenize.join")
"""What workers need, imported once for all of them."""


@dataclass(frozen=True)
class Result:
    """What a build has done: where it stands, the mixture and its proof, and what every stage counted."""

    out: Root
    recipe: Recipe
    manifest: Manifest
    mixture: Mixture
    verification: VerifyReport
    prepared: Sequence[Receipt]
    tokenized: Sequence[Receipt]
    reports: Sequence[StageReport]
    notes: Sequence[str]
    contamination: Sequence[BenchmarkTally] = ()


def build(planned: Plan, out: Root, workers: int, display: Display) -> Result:
    """Do what is planned, or what is missing of it, in the directory ``out``.

    Raises
    ------
    MixerError
        Any of its kinds; what is done by then stays done.
    """
    recipe, vocabulary = planned.recipe, planned.vocabulary
    language, valid_fraction = recipe.mixture.additional_language, recipe.mixture.valid_fraction
    refuse_itself(planned.earlier, out)
    claim(out, recipe.name)
    display = recorder = Recorder(out, recipe.engine.kind, display)
    engine = choose(recipe.engine, out, workers, display, PRELOAD, [partial(warm, vocabulary)])
    with lock(out, engine.evict), recorder, engine:
        mark(out, recipe.name)
        _announce_compilation(display)
        # Benchmarks first: what is wrong with their files is said before corpora are read.
        indexed = engine.run(Benchmarks(planned.benchmarks, recipe.decontaminate)) if planned.benchmarks else []
        prepared = engine.run(Prepare(recipe, planned.tasks, planned.attachments))
        check_sources(recipe, prepared)
        marked, found = _decontaminate(engine, recipe, indexed, prepared)
        removed = {receipt.task: receipt.outputs[CONTAMINATION.format(receipt.task)] for receipt in marked}
        corpus = Corpus.of(prepared, recipe.dedup, removed, planned.earlier)
        fates = deduplicate(engine.run, corpus, recipe.split_seed, valid_fraction)
        notes = [*vocabulary.warnings, *remarks(planned, prepared, fates, found)]
        for note in notes:  # at once, and not only with the result: there may be none
            display.note(f"note: {note}")
        cuts = cut_paragraphs(engine.run, corpus, fates)
        tokenized = engine.run(Tokenize.after([*prepared, *fates, *cuts], vocabulary, language))
        join = Join(tokenized, vocabulary.vocab_size)
        joined = engine.run(join)
        content = finalize(out, joined)
        receipts = (*prepared, *marked, *fates, *tokenized, *joined)
        sweep(out, {INDEX, *(path for receipt in receipts for path in receipt.outputs)})

        settings = recipe.mixture if planned.limit is None else fit_to_trial(recipe.mixture, _tokens(joined))
        manifest, mixture = mix(out, recipe, settings, vocabulary, content, joined)
        views = partial(write_views, out, manifest, mixture, settings)
        manifest, _ = views()
        export(Outputs(out), manifest, tokenizer_flags(manifest.tokenizer, planned.tokenizer_file))
        verification = prove(out, engine, join, joined, views)
        write_index(Outputs(out), content, recipe.dedup, prepared, fates)
        domains = {source.name: source.domain for source in recipe.sources}
        tallies.write(Outputs(out), tallies.tallies(domains, prepared, tokenized))
        contamination.write(Outputs(out), found)
        write_report(out)
    if settings != recipe.mixture:
        notes.append(
            f"a trial of {planned.limit:,} documents of each source, mixed with sequence_length: "
            f"{settings.sequence_length:,} and tokens: max (the recipe says {recipe.mixture.sequence_length:,} and "
            f"{f'{len(recipe.mixture.phases)} phases' if recipe.mixture.phases else recipe.mixture.tokens})"
        )
    return Result(out, recipe, manifest, mixture, verification, prepared, tokenized, engine.reports, notes, found)


def _decontaminate(
    engine: Engine, recipe: Recipe, indexed: Sequence[Receipt], prepared: Sequence[Receipt]
) -> tuple[Sequence[Receipt], Sequence[BenchmarkTally]]:
    """Mark documents that hold items of benchmarks, if there are any; return the receipts, and what was found."""
    if not indexed:
        return [], []
    settings = recipe.decontaminate
    scanned = engine.run(Scan.after(prepared, indexed))
    common = engine.run(Common.after(scanned, indexed, settings))
    marked = engine.run(Decontaminate.after(prepared, indexed, scanned, common, settings))
    return marked, contamination.tally(indexed, common, marked)


def write_report(out: Root) -> None:
    """Write the page about a build."""
    with Outputs(out).open(NAME) as file:
        file.write(report(out).encode())


def _announce_compilation(display: Display) -> None:
    """Explain the one long silence that there is: the first build after installing."""
    if not Path(os.environ["NUMBA_CACHE_DIR"]).is_dir():
        display.note("note: kernels are being compiled, once; this takes about half a minute")


def _tokens(joined: Iterable[Receipt]) -> list[int]:
    """Return the tokens of each training dataset."""
    return [receipt.counts["tokens"] for receipt in joined if receipt.counts["split"] == "train"]


def mix(
    out: Root,
    recipe: Recipe,
    settings: MixtureSettings,
    vocabulary: Vocabulary,
    content: str,
    joined: Sequence[Receipt],
) -> tuple[Manifest, Mixture]:
    """Solve the mixture of the joined datasets, which stand in ``out``.

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
                    name=receipt.task.split("/", 1)[1],
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
    return compose(recipe.name, content, tokenizer, counted, valid, settings, recipe.share_bounds, recipe.seed, out)


def prove(
    out: Root, engine: Engine, join: Join, joined: Sequence[Receipt], views: Callable[[], object]
) -> VerifyReport:
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
        names = ", ".join(damaged)
        engine.display.note(f"note: changed since they were written, so made anew: {names}")
        finalize(out, engine.run(join))
        views()
        return verify(out, rehash=True, workers=engine.workers)
