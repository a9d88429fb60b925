"""What ``mixer plan`` shows: the mixture, its costs and warnings. Apart from ``builds``, as ``mixtures`` is."""

from rich.markup import escape

from mixer.planning.forecast import Forecast
from mixer.screens.tables import bounds, console, size, table


def show_forecast(found: Forecast) -> None:
    """Print the datasets of a planned mixture, what binds it, what it costs, and what the user should know."""
    screen, mixture, settings = console(), found.mixture, found.recipe.mixture
    rows = table("dataset", "role", "domain", ">tokens", ">prefixes", ">samples", ">weight", ">epochs", ">cap")
    for dataset in found.datasets:
        rows.add_row(
            dataset.name,
            dataset.role,
            dataset.domain,
            f"{'~' if dataset.is_estimate and dataset.tokens else ''}{dataset.tokens:,}",
            f"{dataset.prefixes:,}",
            f"{dataset.samples:,}",
            f"{dataset.weight:.5f}",
            f"{dataset.epochs:.2f}",
            f"{dataset.max_epochs:g}",
        )
    screen.print(rows)
    screen.print()
    if mixture.binding:
        screen.print(f"binding: {bounds(mixture.binding)}", markup=False, soft_wrap=True)
    for name, cause in mixture.left_out.items():
        screen.print(f"left out: {name}: {cause}", markup=False)
    measured = "" if found.measured is None else f", measured {found.measured:.6f}"
    screen.print(
        f"[bold]ALMR[/]: target {mixture.target:g} ({mixture.basis}), realised {mixture.realised:.6f}{measured}"
    )
    screen.print(
        f"{mixture.samples:,} samples of {settings.sequence_length:,} tokens = "
        f"{mixture.samples * settings.sequence_length:,} tokens; "
        f"no cap on epochs is broken up to {mixture.samples_max:,} samples"
    )
    screen.print()
    hours = ", ".join(f"{stage} {_short(value)}" for stage, value in found.hours.items())
    disk, megatron = found.disk, found.indices
    text = sum(dataset.text_bytes for dataset in found.datasets)
    for line in (
        f"core-hours: {_short(sum(found.hours.values()))} ({hours}) for {size(text)} of text",
        f"disk:       {size(disk.total)} at most: .bin {size(disk.bin)}, .idx {size(disk.idx)}, documents/ "
        f"{size(disk.documents)}, scratch {size(disk.scratch)}",
        f"Megatron:   blend {size(megatron.blend_bytes)} of memory, {_short(megatron.blend_seconds)} s to build; "
        f"document index {size(megatron.peak_bytes)} of memory at most; {size(megatron.cache_bytes)} of cached indices",
    ):
        screen.print(line, markup=False, soft_wrap=True)
    for warning in found.warnings:
        screen.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    screen.print(f"counts: {found.counts}", markup=False, soft_wrap=True)


def _short(value: float) -> str:
    """Write a number with the digits that mean something."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
