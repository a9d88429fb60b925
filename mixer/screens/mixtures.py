"""What ``mixer mix`` shows: the new mixture. Apart from ``builds``, which brings the whole pipeline with it."""

from mixer.manifest import wholes
from mixer.remix import Remixed
from mixer.screens.phases import for_megatron, phase_rows
from mixer.screens.tables import bounds, console, size, table


def show_mixed(result: Remixed) -> None:
    """Print the datasets of a new mixture, its ratio, what binds it, and what to hand to Megatron."""
    screen, manifest, almr = console(), result.manifest, result.manifest.almr
    rows = table("dataset", "role", ">tokens", ">additional", ">samples", ">weight", ">epochs")
    for entry in wholes(manifest.datasets):
        rows.add_row(
            entry.name,
            entry.role,
            f"{entry.tokens:,}",
            f"{entry.additional_share:.1%}",
            f"{entry.samples:,}",
            f"{entry.weight:.4f}",
            f"{entry.epochs:.2f}",
        )
    screen.print(rows)
    screen.print()
    if manifest.phases:
        screen.print(phase_rows(manifest))
        screen.print()
    if result.mixture.binding:
        screen.print(f"binding: {bounds(result.mixture.binding)}", markup=False, soft_wrap=True)
    for name, cause in result.mixture.left_out.items():
        screen.print(f"left out: {name}: {cause}", markup=False)
    screen.print(
        f"[bold]ALMR[/]: target {almr.target:g} ({almr.basis}), realised {almr.realised:.6f}, measured "
        f"{almr.measured:.6f}"
    )
    screen.print(
        f"{manifest.samples:,} samples of {manifest.sequence_length:,} tokens = {manifest.tokens:,} tokens; "
        f"no cap on epochs is broken up to {manifest.samples_max:,} samples"
    )
    if result.copied:
        screen.print(f"[yellow]note:[/] no links between these file systems: {size(result.copied)} copied")
    for line in (
        *for_megatron(result.out, manifest),
        f"prove it:     mixer verify {result.out}",
        f"read of it:   mixer report {result.out}",
    ):
        screen.print(line, markup=False, soft_wrap=True)
