"""How the phases of a training are shown: one row each, and what to start Megatron with. Prints nothing itself."""

from collections.abc import Sequence

from rich.table import Table

from mixer.manifest import Manifest
from mixer.mixture.export import ARGS, BLEND, parts_of
from mixer.mixture.settings import MixtureSettings
from mixer.screens.tables import table
from mixer.storage import Root


def phase_rows(manifest: Manifest, deviations: Sequence[float] = ()) -> Table:
    """Show each phase: its steps, samples and ALMR, and how often it reads one document at most.

    ``deviations`` are the largest distances from its line, in samples, where they have been proved.
    """
    names = [">phase", ">steps", ">samples", ">tokens", ">ALMR target", ">realised", ">measured"]
    names += [">largest deviation"] * bool(deviations)
    rows = table(*names, ">reads of a document")
    batch, first = manifest.global_batch or 1, 0
    for number, phase in enumerate(manifest.phases, 1):
        last = first + phase.samples // batch
        rows.add_row(
            f"{number}",
            f"{first:,} to {last:,}",
            f"{phase.samples:,}",
            f"{phase.tokens:,}",
            f"{phase.almr.target:g}",
            f"{phase.almr.realised:.6f}",
            f"{phase.almr.measured:.6f}",
            *(f"{deviation:+.2f}" for deviation in deviations[number - 1 : number]),
            f"{max(view.reads for view in phase.views)}",
        )
        first = last
    return rows


def for_megatron(out: Root, manifest: Manifest) -> list[str]:
    """Say which files to hand to Megatron."""
    if not manifest.phases:
        return [f"for Megatron: {out / ARGS} (flags), {out / BLEND} (datasets and weights)"]
    flags = [f"for Megatron: {out / part.args} (flags of phase {k})" for k, part in enumerate(parts_of(manifest), 1)]
    return [*flags, "              where it stops after a phase, start it again with the flags of the next one"]


def wanted(settings: MixtureSettings) -> str:
    """Say how much shall be read, and in which ratios."""
    if not settings.phases:
        return f"{100 * settings.almr:g} % {settings.additional_language}, tokens: {settings.tokens}"
    each = (f"{part.tokens:,} tokens with {100 * part.almr:g} %" for part in settings.by_phase)
    return f"{settings.additional_language} in {len(settings.phases)} phases: {', '.join(each)}"
