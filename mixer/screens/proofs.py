"""What ``mixer verify`` shows, and a build at its end: the proof. Loads none of the pipeline."""

from mixer.mixture.verify import VerifyReport
from mixer.screens.phases import phase_rows
from mixer.screens.tables import console, size, table


def show_verification(report: VerifyReport) -> None:
    """Print what was proved of a build."""
    screen = console()
    manifest, almr = report.manifest, report.manifest.almr
    rows = table(">training", ">samples", ">ALMR realised", ">measured", title="ALMR as Megatron will draw it")
    for point in report.checkpoints:
        rows.add_row(f"{point.part:.0%}", f"{point.samples:,}", f"{point.realised:.6f}", f"{point.measured:.6f}")
    screen.print(rows)
    screen.print()
    if report.phases:
        screen.print(phase_rows(manifest, [phase.deviation.largest[0] for phase in report.phases]))
        screen.print()
    by_label = almr.basis == "label"
    off, after = (report.realised if by_label else report.measured).largest
    low, high = report.bounds
    screen.print(
        f"[bold]ALMR[/]: target {almr.target:g} ({almr.basis}), realised {almr.realised:.6f}, measured "
        f"{almr.measured:.6f}; largest deviation {off:+.2f} samples, after {after:,}"
    )
    screen.print(
        f"after every sample: realised between {report.realised.low:+.2f} and {report.realised.high:+.2f} samples of "
        f"its line (proved bound: {low:+.1f} and {high:+.1f})"
    )
    screen.print(f"with --eod-mask-loss: realised {report.loss_almr:.6f} of the loss")
    if report.batches:
        batch = report.batches[0 if by_label else 1]
        at_worst = batch.slope + batch.worst / batch.size
        screen.print(
            f"{batch.count:,} global batches of {batch.size:,}: ALMR {batch.share:.6f} on average, each "
            f"{batch.mean:.2f} samples off; at worst {at_worst:.4f} ({batch.worst:+.2f}, batch {batch.worst_at:,})"
        )
    screen.print(
        f"{manifest.samples:,} samples of {manifest.sequence_length:,} tokens = {manifest.tokens:,} tokens; "
        f"no cap on epochs is broken up to {manifest.samples_max:,} samples"
    )
    hashed = f"{size(report.read_bytes)} hashed" if report.rehashed else "hashes not compared"
    screen.print(f"[green]verified[/]: {report.files} files, {hashed}, build {manifest.build}")
    if report.unused:
        names = ", ".join(prefix.split("/", 2)[-1] for prefix in report.unused)
        screen.print(f"not in the blend, too small or without samples: {names}")
    if report.leftovers:
        screen.print(f"left of earlier builds: {', '.join(report.leftovers)} (`mixer clean` removes them)")
