"""What ``mixer sweep`` shows: the runs, the ratios left out, and what to do next."""

from rich.markup import escape

from mixer.screens.tables import console, size, table
from mixer.sweep import RUNS, Swept


def show_sweep(result: Swept) -> None:
    """Print the runs of a sweep."""
    screen = console()
    rows = table("run", ">ALMR", ">LR", ">samples", "mixture")
    for run in result.runs:
        rows.add_row(run.id, f"{run.almr:g}", f"{run.lr:g}", f"{run.samples:,}", run.mixture)
    screen.print(rows)
    screen.print()
    for point in result.infeasible:
        screen.print(f"[yellow]left out:[/] ALMR {point.almr:g}: {escape(point.cause)}", soft_wrap=True)
        screen.print(f"  remedy: {point.remedy}", markup=False, soft_wrap=True)
    if result.copied:
        screen.print(f"[yellow]note:[/] no links between these file systems: {size(result.copied)} copied")
    for line in (
        f"{len(result.runs):,} runs in {result.out}",
        f"a run:    xargs -a {result.out}/runs/RUN/args.txt torchrun ... pretrain_gpt.py",
        f"results:  fill in {result.out / RUNS}, then mixer frontier {result.out / RUNS}",
    ):
        screen.print(line, markup=False, soft_wrap=True)
