"""The page, section by section: what was asked for and got, where it came from, and documents to look at."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from mixer.contamination import findings
from mixer.errors import UsageError
from mixer.filters.page import measured
from mixer.inspection.specimens import Specimen
from mixer.manifest import Dataset, Manifest, read, wholes
from mixer.report import can_draw, samples, tallies
from mixer.report.markup import cards, escape, frame, paragraph, picture, section, short, table
from mixer.report.ratio import Curve, checkpoints, curve
from mixer.report.tallies import Tally
from mixer.storage import Root

EXCERPT = 500
"""Characters of a document that are shown."""
SHOWN = 2
"""Documents shown for each reason and dataset, unless another number is asked for."""


def report(directory: Root, shown: int = SHOWN, seed: int = 0, frontier: Path | None = None) -> str:
    """Return the page about a finished build.

    Parameters
    ----------
    directory
        The build.
    shown
        Documents for each reason and dataset; 0 leaves texts out.
    seed
        Draws other documents.
    frontier
        A picture (SVG or PNG) of a fitted frontier, to be shown, too.

    Raises
    ------
    UsageError
        There is no build, or the picture is none.
    """
    manifest = read(directory)
    found = curve(manifest)
    counted = tallies.read(directory)
    drawn = [entry for entry in wholes(manifest.datasets) if entry.samples]
    sections = {
        "ratio": ("The ratio over training", _ratio(manifest, found)),
        "datasets": ("Datasets", _datasets(manifest, drawn)),
        "text": ("The ratio by the text itself", _text(manifest, drawn)),
    }
    if counted:
        sections["funnel"] = ("From records to documents", _funnel(counted))
        if edits := _edits(counted):
            sections["edits"] = ("What was changed in texts", edits)
        if scripts := _scripts(counted):
            sections["scripts"] = ("Ways of writing Chinese", scripts)
    if benchmarks := findings.read(directory):
        sections["contamination"] = ("Benchmarks", _contamination(benchmarks))
    if frontier is not None:
        sections["frontier"] = ("The frontier", picture(_picture_file(frontier), "Ratio and learning rate"))
    if shown and (directory / "documents").is_dir():
        sections["dropped"] = ("Documents that were dropped", _dropped(directory, shown, seed))
        sections["kept"] = ("Documents that were kept", _kept(directory, shown, seed))
    body = "".join(section(name, title, content) for name, (title, content) in sections.items())
    return frame(
        f"The mixture {manifest.recipe}",
        {name: title for name, (title, _) in sections.items()},
        _summary(manifest, counted) + body,
    )


def _summary(manifest: Manifest, counted: Sequence[Tally] | None) -> str:
    almr, language = manifest.almr, manifest.additional_language or "the additional language"
    values = {
        f"ALMR, tokens in {language} documents": f"{almr.realised:.2%}",
        f"of the tokens are {language} by the text": f"{almr.measured:.2%}",
        f"was asked for (by {almr.basis})": f"{almr.target:.2%}",
        "training tokens": short(manifest.tokens),
        f"samples of {manifest.sequence_length:,} tokens": f"{manifest.samples:,}",
    }
    if counted:
        read_in, kept = sum(tally.documents for tally in counted), sum(tally.kept for tally in counted)
        values[f"documents kept of {read_in:,}"] = f"{kept:,}"
    head = (
        f"Build <code>{escape(manifest.build)}</code>, tokenizer {escape(manifest.tokenizer.name)}. No cap on epochs "
        f"is broken up to {manifest.samples_max:,} samples. <code>mixer verify</code> proves the figures of this page."
    )
    return paragraph(head) + cards(values)


def _ratio(manifest: Manifest, found: Curve) -> str:
    low, high = found.bounds
    rows = [
        (
            f"{place / manifest.samples:.0%}",
            f"{place:,}",
            f"{found.realised[row]:.4%}",
            f"{found.measured[row]:.4%}",
        )
        for place in checkpoints(manifest.samples)
        for row in np.flatnonzero(found.samples == place)
    ]
    said = (
        f"The share of training tokens in the additional language, as Megatron's own rule draws it: replayed sample by "
        f"sample. At every step it stays within {low:+.1f} and {high:+.1f} samples of its line; reached were "
        f"{found.low[-1]:+.2f} and {found.high[-1]:+.2f}."
    )
    shown = _drawn("ALMR of everything drawn so far, and how far off", lambda draw: draw.ratio(found, manifest))
    made = paragraph(said) + shown + table((">training", ">samples", ">realised", ">measured"), rows)
    if not manifest.phases:
        return made
    phases = [
        (
            f"{number}",
            f"{phase.samples:,}",
            f"{phase.almr.target:g}",
            f"{phase.almr.realised:.4%}",
            f"{phase.almr.measured:.4%}",
            f"{max(view.reads for view in phase.views)}",
        )
        for number, phase in enumerate(manifest.phases, 1)
    ]
    columns = (">phase", ">samples", ">target", ">realised", ">measured", ">reads of a document at most")
    return made + paragraph("The training has phases; a line is that of its phase.") + table(columns, phases)


def _datasets(manifest: Manifest, drawn: Sequence[Dataset]) -> str:
    rows = [
        (
            escape(entry.name),
            f'<span class="{entry.role}">{entry.role}</span>',
            escape(entry.domain),
            f"{entry.documents:,}",
            f"{entry.tokens:,}",
            f"{entry.samples:,}",
            f"{entry.weight:.2%}",
            _epochs(entry),
            f"{entry.max_epochs:g}",
        )
        for entry in wholes(manifest.datasets)
    ]
    columns = ("dataset", "role", "domain", ">documents", ">tokens", ">samples", ">share", ">epochs", ">cap")
    shown = _drawn("Epochs of each dataset against its cap", lambda draw: draw.epochs(drawn))
    domains: Counter[str] = Counter()
    for entry in drawn:
        domains[entry.domain] += entry.samples
    shares = [
        (escape(domain), f"{count / manifest.samples:.2%}")
        for domain, count in sorted(domains.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table(columns, rows) + shown + table(("domain", ">share of training"), shares)


def _epochs(entry: Dataset) -> str:
    """Return the epochs of a dataset, marked where they are at its cap."""
    at_cap = entry.epochs > 0.99 * entry.max_epochs
    return f'<b title="at its cap">{entry.epochs:.2f}</b>' if at_cap else f"{entry.epochs:.2f}"


def _text(manifest: Manifest, drawn: Sequence[Dataset]) -> str:
    """Show how the measured ratio comes to differ from the realised one."""
    almr = manifest.almr
    said = (
        f"By the labels of documents the ratio is {almr.realised:.3%}. By their text it is {almr.measured:.3%}: "
        "quotations and code in documents of the additional language are not in it, passages in others are. Each "
        "dataset moves the ratio by its share of training, times the part of its tokens that are not what its label "
        "says."
    )
    moved = sorted(
        ((entry, entry.weight * (entry.additional_share - (entry.role == "additional"))) for entry in drawn),
        key=lambda pair: (-abs(pair[1]), pair[0].prefix),
    )
    rows = [
        (
            escape(entry.name),
            f'<span class="{entry.role}">{entry.role}</span>',
            f"{entry.additional_share:.2%}",
            f"{entry.neutral_tokens / entry.tokens:.2%}",
            f"{100 * by:+.3f}".replace("-0.000", "0").replace("+0.000", "0"),
        )
        for entry, by in moved
    ]
    columns = ("dataset", "role", ">in the additional language", ">neutral tokens", ">moves the ratio, points")
    shown = _drawn("Part of each dataset that is in the additional language", lambda draw: draw.additional(drawn))
    return paragraph(said) + shown + table(columns, rows)


def _fates(tally: Tally) -> dict[str, int]:
    """Sum up what became of a source's records: the keys of ``pictures.FATES``."""
    found = {
        "kept": tally.kept,
        "duplicates": 0,
        "benchmarks": 0,
        "rules": 0,
        "language": 0,
        "unreadable": tally.rejected,
    }
    for reason, count in tally.reasons.items():
        family = reason.split(".")[0]
        found[{"dedup": "duplicates", "language": "language", "contamination": "benchmarks"}.get(family, "rules")] += (
            count
        )
    return found


def _funnel(counted: Sequence[Tally]) -> str:
    fates = {tally.source: _fates(tally) for tally in counted}
    benchmarks = ("benchmarks",) if any(each["benchmarks"] for each in fates.values()) else ()
    shown_fates = ("unreadable", "language", "rules", *benchmarks, "duplicates", "kept")
    rows = []
    for tally in counted:
        found, records = fates[tally.source], tally.documents + tally.rejected
        counts = (f"{found[fate]:,}" if found[fate] else "" for fate in shown_fates)
        share = f"{tally.kept / records:.1%}" if records else ""
        rows.append((escape(tally.source), escape(tally.domain), f"{records:,}", *counts, share))
    columns = ("source", "domain", ">records", *(f">{fate}" for fate in shown_fates), ">kept share")
    shown = _drawn("What became of each source's records", lambda draw: draw.fates(fates))
    reasons: Counter[str] = Counter()
    for tally in counted:
        reasons.update(tally.reasons)
    by_reason = [
        (
            f"<code>{escape(reason)}</code>",
            f"{count:,}",
            escape(", ".join(_largest({tally.source: tally.reasons.get(reason, 0) for tally in counted}))),
        )
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    dropped = "<h3>Why documents were dropped</h3>" + table(("reason", ">documents", "of which sources"), by_reason)
    skipped = [
        (escape(tally.source), escape(what), f"{count:,}") for tally in counted for what, count in tally.skipped.items()
    ]
    rest = "<h3>Records that are no documents</h3>" + table(("source", "kind", ">records"), skipped) if skipped else ""
    return table(columns, rows) + shown + (dropped if by_reason else "") + rest


def _contamination(found: Sequence[findings.BenchmarkTally]) -> str:
    said = (
        "Documents that hold items of benchmarks were dropped. Left out are items that are empty or too short, and "
        "those that are common phrases of the corpus. By chance: how many items would be found if no document held "
        "any, told by as many controls that nobody wrote."
    )
    rows = [
        (
            escape(each.benchmark),
            f"{each.items:,}",
            f"{each.empty + each.short + each.lost:,}",
            f"{each.found:,}",
            "" if each.by_chance is None else f"{each.by_chance:,.0f}",
            f"{each.documents:,}",
            escape(", ".join(_largest(each.sources))),
        )
        for each in found
    ]
    columns = ("benchmark", ">items", ">left out", ">found", ">by chance", ">documents", "of which sources")
    return paragraph(said) + table(columns, rows)


def _largest(counts: Mapping[str, int]) -> list[str]:
    return [
        f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count
    ]


def _edits(counted: Sequence[Tally]) -> str:
    rows = [
        (escape(tally.source), f"<code>{escape(name)}</code>", f"{edited.edits:,}", f"{edited.documents:,}")
        for tally in counted
        for name, edited in tally.edits.items()
        if edited.edits
    ]
    return table(("source", "edit", ">edits", ">documents"), rows) if rows else ""


def _scripts(counted: Sequence[Tally]) -> str:
    names = {
        "Hans": "simplified",
        "Hant": "traditional",
        "mixed": "both",
        "Hani": "neither tells",
    }
    rows = [
        (escape(tally.source), *(f"{tally.scripts[name].kept if name in tally.scripts else 0:,}" for name in names))
        for tally in counted
        if tally.scripts
    ]
    columns = ("source", *(f">{name} ({what})" for name, what in names.items()))
    return paragraph("Documents that the rules kept.") + table(columns, rows) if rows else ""


def _dropped(directory: Root, shown: int, seed: int) -> str:
    found = samples.dropped(directory, shown, seed)
    said = "Drawn at random for each reason. Texts are as they were when they were dropped."
    return paragraph(said) + "".join(_specimens(reason, some) for reason, some in found.items())


def _kept(directory: Root, shown: int, seed: int) -> str:
    found = samples.kept(directory, shown, seed)
    return paragraph("Drawn at random for each dataset.") + "".join(
        _specimens(dataset, some) for dataset, some in found.items()
    )


def _specimens(title: str, some: Sequence[Specimen]) -> str:
    first = " ".join(some[0].text[:90].split())
    articles = "".join(_specimen(each) for each in some)
    return f"<details><summary>{escape(title)} <span>{escape(first)}</span></summary>{articles}</details>\n"


def _specimen(found: Specimen) -> str:
    said = [f"<b>{escape(found.source)}</b>: {escape(found.file)}, record {found.record:,}"]
    said.append(f"language {escape(found.language)} ({found.language_score:.2f})")
    if found.ruling and found.value is not None:
        said.append(escape(measured(*found.ruling, found.value)))
    said += [f"{escape(name)}: {escape(value)}" for name, value in found.metadata.items()]
    if found.contamination:
        first = found.contamination[0]
        said.append(
            f"{first.coverage:.0%} of {escape(first.benchmark)}, {escape(first.item)}: {escape(first.text[:EXCERPT])}"
        )
    if found.edits:
        said.append("edits: " + escape(", ".join(f"{name} {count}" for name, count in found.edits.items())))
    more = len(found.text) - EXCERPT
    end = f'<span class="dim"> … {more:,} characters more</span>' if more > 0 else ""
    return f'<article>{"; ".join(said)}<pre dir="auto">{escape(found.text[:EXCERPT])}{end}</pre></article>\n'


def _picture_file(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG") and b"<svg" not in content[:2000]:
        raise UsageError(f"{path} is neither a PNG nor an SVG", "give a picture of `mixer frontier`")
    return content


def _drawn(caption: str, draw: Callable[[ModuleType], bytes]) -> str:
    """Return a picture that ``draw`` makes with the module for it; nothing without the extra `report`."""
    if not can_draw():
        return ""
    from mixer.report import pictures

    return picture(draw(pictures), caption)
