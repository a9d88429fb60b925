"""What the user sees in the end: tables made of a plan, a result or a verification. Prints, and decides nothing."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from mixer.build import Result
from mixer.contamination.findings import BenchmarkTally
from mixer.engine.stage import Receipt, StageReport
from mixer.manifest import wholes
from mixer.plan import Plan, disk_needed
from mixer.report import NAME as REPORT
from mixer.screens.phases import for_megatron, wanted
from mixer.screens.proofs import show_verification
from mixer.screens.tables import bounds, console, size, table
from mixer.sources.huggingface import Shard
from mixer.storage import Root

REASONS = 4
"""Reasons shown of each source; all of them are in ``dropped/``."""


def show_plan(planned: Plan, out: Root | None) -> None:
    """Print sources, files, sizes and tasks, and the disk that the build will need in ``out``."""
    rows = table("source", "domain", "language", ">files", ">size", ">tasks")
    for source in planned.recipe.sources:
        tasks = [task for task in planned.tasks if task.source == source.name]
        files = len({piece.path if isinstance(piece, Shard) else piece.file.url for t in tasks for piece in t.pieces})
        total = size(sum(task.size for task in tasks))
        rows.add_row(source.name, source.domain, source.language, f"{files:,}", total, f"{len(tasks):,}")
    screen = console()
    screen.print(rows)
    screen.print(f"{planned.recipe.name}: {wanted(planned.recipe.mixture)}, tokenizer {planned.vocabulary.name}")
    needed = disk_needed(planned)
    screen.print(f"disk needed: about {size(needed)}" + (f" in {out}" if out else ""))


def show_result(result: Result) -> None:
    """Print what a build has made: stages, what was dropped, datasets, the ratio, and what to hand to Megatron."""
    screen = console()
    for part in (_stages(result.reports), _dropped(result), _datasets(result)):
        screen.print(part)
        screen.print()
    if result.contamination:
        screen.print(_contamination(result.contamination))
        screen.print()
    edits = _edits(result)
    if edits:
        screen.print(f"edits: {edits}")
    if result.mixture.binding:
        screen.print(f"binding: {bounds(result.mixture.binding)}", markup=False, soft_wrap=True)
    if written := _scripts(result):
        screen.print(f"Chinese documents kept: {written}")
    for name, cause in result.mixture.left_out.items():
        screen.print(f"left out: {name}: {cause}")
    for note in result.notes:
        screen.print(f"[yellow]note:[/] {escape(note)}")
    show_verification(result.verification)
    for line in (
        f"documents:    {result.out / 'documents'}, and {result.out / 'dropped'} with reasons",
        f"report:       {result.out / REPORT}",
        *for_megatron(result.out, result.manifest),
    ):
        screen.print(line, markup=False, soft_wrap=True)  # a path that is cut in two cannot be copied


def _stages(reports: Sequence[StageReport]) -> Table:
    """Show what each stage did, and at what cost."""
    rows = table("stage", ">tasks", ">documents", ">text", ">CPU", ">MB/s/core", ">peak memory")
    for report in reports:
        speed = report.text_bytes / 1e6 / report.cpu_seconds if report.cpu_seconds else 0
        rows.add_row(
            report.stage,
            f"{report.ran:,}" + (f" + {report.skipped:,} done" if report.skipped else ""),
            f"{report.documents:,}",
            size(report.text_bytes),
            f"{report.cpu_seconds:,.1f} s",
            f"{speed:.1f}" if report.text_bytes else "",
            size(report.peak_bytes),
        )
    return rows


def _dropped(result: Result) -> Table:
    """Show for each source how much was kept, and why the rest was not."""
    rows = table("source", ">records", ">rejected", ">kept", ">share", "most frequent reasons")
    for source in result.recipe.sources:
        counts = [receipt.counts for receipt in _of(result.prepared, source.name)]
        set_aside = [receipt.counts["set_aside"] for receipt in _of(result.tokenized, source.name)]
        reasons: Counter[str] = Counter()
        for dropped in [*(count["reasons"] for count in counts), *set_aside]:
            reasons.update(dropped)
        read, rejected = sum(c["documents"] for c in counts), sum(c["rejected"] for c in counts)
        kept = read - reasons.total()
        shown = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(REASONS) if count)
        share = f"{kept / read:.1%}" if read else ""
        rows.add_row(source.name, f"{read + rejected:,}", f"{rejected:,}", f"{kept:,}", share, shown)
    return rows


def _contamination(tallies: Sequence[BenchmarkTally]) -> Table:
    """Show for each benchmark what was looked for, and what of it was found where."""
    rows = table("benchmark", ">items", ">left out", ">found", ">by chance", ">documents", "of which sources")
    for tally in tallies:
        sources = sorted(tally.sources.items(), key=lambda item: (-item[1], item[0]))
        rows.add_row(
            tally.benchmark,
            f"{tally.items:,}",
            f"{tally.empty + tally.short + tally.lost:,}",
            f"{tally.found:,}",
            "" if tally.by_chance is None else f"{tally.by_chance:,.0f}",
            f"{tally.documents:,}",
            ", ".join(f"{name} {count:,}" for name, count in sources[:REASONS]),
        )
    return rows


def _edits(result: Result) -> str:
    """Say how often each edit was made, and in how many documents."""
    made: Counter[str] = Counter()
    edited: Counter[str] = Counter()
    for receipt in (*result.prepared, *result.tokenized):
        for name, counts in receipt.counts.get("edits", {}).items():
            made[name] += counts["edits"]
            edited[name] += counts["documents"]
    return ", ".join(f"{name} {count:,} in {edited[name]:,} documents" for name, count in sorted(made.items()) if count)


def _scripts(result: Result) -> str:
    """Say how the Chinese documents are written that the rules kept; nothing where there are none."""
    kept: Counter[str] = Counter()
    for receipt in result.prepared:
        kept.update({script: count["kept"] for script, count in receipt.counts["scripts"].items()})
    return ", ".join(
        f"{script} {count:,} ({count / kept.total():.1%})" for script, count in kept.most_common() if count
    )


def _datasets(result: Result) -> Table:
    """Show every dataset: documents in, kept and lost to duplicates, then tokens, weight and epochs."""
    rows = table("dataset", "role", ">in", ">kept", ">duplicates", ">tokens", ">additional", ">weight", ">epochs")
    for entry in wholes(result.manifest.datasets):
        read = passed = 0
        for receipt in _of(result.prepared, entry.source):
            labelled = receipt.counts["languages"].get(entry.language, {"documents": 0, "kept": 0})
            read, passed = read + labelled["documents"], passed + labelled["kept"]
        kept = sum(
            dataset["documents"]
            for receipt in _of(result.tokenized, entry.source)
            for dataset in receipt.counts["datasets"]
            if dataset["language"] == entry.language
        )
        rows.add_row(
            entry.name,
            entry.role,
            f"{read:,}",
            f"{kept:,}",
            f"{passed - kept:,}",
            f"{entry.tokens:,}",
            f"{entry.additional_share:.1%}",
            f"{entry.weight:.4f}",
            f"{entry.epochs:.2f}",
        )
    return rows


def _of(receipts: Iterable[Receipt], source: str) -> list[Receipt]:
    """Return the receipts of a source's tasks."""
    return [receipt for receipt in receipts if receipt.task.rsplit("/", 1)[0] == source]
