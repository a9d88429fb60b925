"""What ``mixer frontier`` shows: both frontiers, the choice and what to doubt about it, beside what two laws say.

Prints, and decides nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from mixer.mixture.frontier.choice import CONFIDENCE, Frontier, Interval
from mixer.mixture.frontier.cmr import UNIT, Power
from mixer.mixture.frontier.dcpt import DCPT
from mixer.mixture.frontier.laws import CMR_RISE, DCPT_RISE, Asked
from mixer.mixture.frontier.lines import LEVELS, rate
from mixer.mixture.frontier.paper import LARGER_DIVISOR, LOSS_LINE, METRIC_LINE, ROUNDED, published_choice
from mixer.mixture.frontier.runs import Runs
from mixer.mixture.frontier.surface import Surface
from mixer.screens.tables import console, table

_UNITS: Final = {"percent": "percentages", "fraction": "shares of 1"}


def show_paper() -> None:
    """Print where the published frontiers cross, and what Xi et al. made of it."""
    screen = console()
    almr, lr = published_choice()
    rounded_almr, rounded_lr = ROUNDED
    for line in (
        "Xi et al. 2024 (arXiv:2409.06624), Llama-3 8B; log is base 10, ALMR in percent",
        f"metric frontier (Equation 4): {METRIC_LINE}",
        f"loss frontier   (Equation 5): {LOSS_LINE}",
        f"they cross at ALMR {almr:.2%}, LR {rate(lr)}".replace("%", " %"),
        f"8B:  rounded in the paper to ALMR {rounded_almr:.0%}, LR {rate(rounded_lr)}".replace("%", " %"),
        f"70B: the same ALMR, LR / {LARGER_DIVISOR}: {rate(rounded_lr / LARGER_DIVISOR)} (not confirmed by a search)",
    ):
        screen.print(line, markup=False, soft_wrap=True)


def show_frontier(runs: Runs, found: Frontier, asked: Asked | None, files: Sequence[Path], note: str = "") -> None:
    """Print what runs say about the ratio and the learning rate.

    Parameters
    ----------
    runs, found
        What was read, and what came of it.
    asked
        What the laws say; None without their columns.
    files
        What was written.
    note
        Why pictures are missing.
    """
    screen = console()
    for line in (*_data(runs, found), "", *_surfaces(found), ""):
        screen.print(line, markup=False, soft_wrap=True)
    if found.almr is not None and found.lr is not None:
        screen.print(
            f"[bold]recommended: ALMR {_percent(found.almr.value)}, LR {rate(found.lr.value)}[/]"
            f"  ({CONFIDENCE:.0%} interval: ALMR {_between(found.almr, _percent)}, LR {_between(found.lr, rate)}; "
            f"{found.resamples:,} resamples, seed {found.seed})",
            soft_wrap=True,
        )
    else:
        screen.print("[bold]no recommendation[/], for the reasons below")
    for warning in found.warnings:
        screen.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    if asked is not None:
        screen.print()
        _laws(screen, found, asked)
    if note:
        screen.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if files:
        screen.print(f"written: {', '.join(map(str, files))}", markup=False, soft_wrap=True)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _between(interval: Interval, written: Callable[[float], str]) -> str:
    return f"{written(interval.low)} to {written(interval.high)}"


def _data(runs: Runs, found: Frontier) -> list[str]:
    """Say what was read, averaged and set aside."""
    points = found.points
    total, repeated = int(points.counts.sum()), int((points.counts > 1).sum())
    lines = [f"{len(points.where)} points from {total} runs; almr was read as {_UNITS[runs.unit]}"]
    if repeated:
        lines[0] += f"; {repeated} points have several runs, which were averaged"
    if points.set_aside:
        lines.append(f"{points.set_aside} rows without a number in a column needed were set aside")
    if points.elsewhere:
        size = ", ".join(f"{value:.4g} {name}" for name, value in points.size.items())
        lines.append(f"{points.elsewhere} rows of other sizes than {size} were left out of the surfaces")
    if runs.metrics:
        names = (f"{name} (lower is better)" if name in runs.lower else name for name in runs.metrics)
        lines.append(f"metrics, standardised and averaged: {', '.join(names)}")
    return lines


def _surfaces(found: Frontier) -> list[str]:
    """Say how each surface fits, and which frontier it has."""
    lines = [_surface("loss", found.loss)]
    if found.performance is not None:
        lines.append(_surface("metrics", found.performance))
    if found.loss_line is not None:
        lines.append(f"loss frontier (down the steepest slope): {found.loss_line}")
    if found.metric_line is not None:
        best = "best LR of each ALMR" if found.along == "lr" else "best ALMR of each LR"
        lines.append(f"metric frontier ({best}, {len(found.peaks)} of {LEVELS} cuts with a peak): {found.metric_line}")
    return lines


def _surface(name: str, surface: Surface) -> str:
    kind = "quadratic" if surface.coefficients < 6.05 else f"spline of {surface.coefficients:.1f} coefficients"
    return f"{name} surface: {kind}, predicts {max(surface.explained, 0):.1%} of the variance of runs left out"


def _laws(screen: Console, found: Frontier, asked: Asked) -> None:
    """Print what each method recommends, side by side, and the laws' numbers."""
    rows = table("method", "looks at", ">ALMR", ">LR")
    if found.almr is not None and found.lr is not None:
        rows.add_row("frontier", "loss and metrics", _percent(found.almr.value), rate(found.lr.value))
    if asked.general is not None:
        domain = "none" if asked.dcpt_almr is None else _percent(asked.dcpt_almr)
        rows.add_row("D-CPT", f"domain loss, general loss at most {DCPT_RISE:.0%} up", domain, "")
    if asked.cmr_almr is not None:
        rows.add_row("CMR", f"general loss at most {CMR_RISE} up", _percent(asked.cmr_almr), "")
    screen.print(rows)
    size = "" if asked.parameters is None else f", {asked.parameters:.4g} parameters"
    lines = [
        f"the laws are asked about {asked.tokens:.4g} tokens{size}; fitted to {asked.runs} runs at LR {rate(asked.lr)}"
        + (f", {asked.other_lr} at others left out" if asked.other_lr else "")
        + (f", {asked.set_aside} incomplete rows set aside" if asked.set_aside else "")
    ]
    lines += [f"D-CPT, {name} loss: {_dcpt(law)}" for name, law in _named(asked)]
    if asked.cmr is not None and asked.cmr.law is not None:
        whose = "" if asked.cmr_parameters is None else f" of {asked.cmr_parameters:.4g} parameters"
        lines.append(f"CMR{whose}: {_power(asked.cmr.law)}, T in {UNIT / 1e9:g} billion tokens")
    for line in (*lines, *(f"note: {note}" for note in asked.notes)):
        screen.print(line, markup=False, soft_wrap=True)


def _named(asked: Asked) -> list[tuple[str, DCPT]]:
    return [(name, law) for name, law in (("general", asked.general), ("domain", asked.domain)) if law is not None]


def _dcpt(law: DCPT) -> str:
    terms = [f"{law.constant:.3f}"]
    if law.size:
        terms.append(f"{law.size:.3g} / N^{law.alpha:.2f}")
    over = f" / D^{law.beta:.2f}" if law.beta else ""
    terms += [f"{law.tokens:.3g} r^{law.eta:.2f}{over}", f"{law.ratio:.3g} / (r + {law.epsilon:.3f})^{law.gamma:.2f}"]
    return f"{' + '.join(terms)}; N and D in billions, off by {law.error:.2%}"


def _power(law: Power) -> str:
    return f"{law.a:.3g} T^{law.s:.3f} {'+' if law.b >= 0 else '-'} {abs(law.b):.3g}"
