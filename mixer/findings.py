"""What the first stages found in the sources: promises that a source broke, and what its user should know."""

from collections import Counter
from collections.abc import Iterable, Mapping

from mixer.contamination.findings import BenchmarkTally
from mixer.engine.stage import Receipt
from mixer.errors import InputError, RecipeError
from mixer.plan import Plan
from mixer.recipe import Recipe
from mixer.sources.plan import FilePiece

CONTAMINATED, CONTAMINATED_SHARE = 10, 0.01
"""Documents of a source, and the share of them, above which it is worth a note that they hold a benchmark."""
SKIPPED = 6
"""Kinds of skipped records that a note names."""


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
    skipped: Counter[str] = Counter()
    for receipt in prepared:
        name = receipt.task.rsplit("/", 1)[0]
        read[name] += receipt.counts["documents"]
        rejected[name] += receipt.counts["rejected"]
        skipped[name] += sum(receipt.counts["skipped"].values())
    for source in recipe.sources:
        name, records = source.name, read[source.name] + rejected[source.name]
        if not records and skipped[name]:
            raise RecipeError(
                f"source {name!r} is empty: none of its {skipped[name]:,} records holds a page of text",
                "name the files that hold responses, or remove it",
            )
        if not records:
            raise RecipeError(f"source {name!r} is empty: its files hold no records", "correct its paths, or remove it")
        if rejected[name] > source.max_rejected * records:
            raise InputError(
                f"source {name!r}: {rejected[name]:,} of {records:,} records could not be read, more than its "
                f"max_rejected of {source.max_rejected:g}",
                f"see rejected/{name}/ in the build directory for file, position and cause; then correct `text`, "
                "`format` or `encoding` of the source, or raise its max_rejected",
            )


def remarks(
    planned: Plan, prepared: Iterable[Receipt], fates: Iterable[Receipt], contamination: Iterable[BenchmarkTally] = ()
) -> list[str]:
    """Say what a user should know of the sources, though it ends nothing."""
    found = []
    survivors: dict[str, Counter[str]] = {source.name: Counter() for source in planned.recipe.sources}
    earlier: dict[str, Counter[str]] = {}
    for receipt in fates:
        for name, counts in receipt.counts["sources"].items():
            survivors[name].update({split: counts[split] for split in ("documents", "train", "valid")})
            for build, documents in counts["against"].items():
                earlier.setdefault(build, Counter())[name] += documents
    for build, by_source in sorted(earlier.items()):
        shared = ", ".join(f"{name} {by_source[name]:,}" for name in survivors if by_source[name])
        found.append(f"in the earlier build {build} already: {shared}")
    receipts = list(prepared)
    for blocklist in planned.recipe.blocklists:
        without = [source.name for source in planned.recipe.sources if not source.carries(blocklist)]
        if without:
            found.append(
                f"block list {blocklist.file} is not asked about {', '.join(without)}: no such field is carried"
            )
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
        skipped = sum((Counter(count["skipped"]) for count in counts), Counter())
        if skipped:
            kinds = ", ".join(f"{what} {count:,}" for what, count in skipped.most_common(SKIPPED))
            more = ", ..." if len(skipped) > SKIPPED else ""
            found.append(f"source {name!r}: skipped, as no pages of text: {skipped.total():,} records ({kinds}{more})")
        reasons = sum((Counter(count["reasons"]) for count in counts), Counter())
        if not survivors[name]["documents"]:
            worst = ", ".join(f"{reason} {dropped:,}" for reason, dropped in reasons.most_common(3))
            found.append(f"every document of source {name!r} was dropped ({worst}); see dropped/{name}/")
        elif not survivors[name]["train"] + survivors[name]["valid"]:
            found.append(f"every document of source {name!r} is a duplicate, or dropped by a rule; see dropped/{name}/")
    kept = {name: counts["documents"] for name, counts in survivors.items()}
    return [*found, *(remark for tally in contamination for remark in _of_benchmark(tally, kept))]


def _of_benchmark(tally: BenchmarkTally, documents: Mapping[str, int]) -> Iterable[str]:
    """Say what is unusual about what was found of a benchmark."""
    for source, count in tally.sources.items():
        if count >= CONTAMINATED and count > CONTAMINATED_SHARE * documents[source]:
            yield (
                f"benchmark {tally.benchmark!r} is in {count:,} of {documents[source]:,} documents of source "
                f"{source!r}, which holds the benchmark or quotes the same texts; see "
                "`mixer inspect --rule contamination`"
            )
    if tally.lost:
        yield (
            f"benchmark {tally.benchmark!r}: {tally.lost:,} of {tally.items:,} items cannot be found, for too little "
            "of each is left beside what many of its items, or too many documents have in common (phrases, or copies "
            "by the hundred: decontaminate.common_documents)"
        )
