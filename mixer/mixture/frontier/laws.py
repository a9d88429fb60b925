"""Asks the D-CPT law and the CMR law which ratio they recommend, given the same runs as the frontier.

Both look at losses alone: that on general text and, for D-CPT, that on text of the domain (here the additional
language). Neither knows the learning rate, so only runs of one learning rate are taken: that which most of them share.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mixer.mixture.frontier.cmr import CMR, fit_cmr
from mixer.mixture.frontier.dcpt import DCPT, fit_dcpt, free_numbers, largest_share
from mixer.mixture.frontier.runs import LAW_LOSSES, Runs

DCPT_RISE: Final = 0.03
"""Share by which the general loss may rise: what Que et al. (2024, Table 5) allow."""
CMR_RISE: Final = 0.05
"""By how much it may rise: what Gu et al. (2024) tolerate."""


@dataclass(frozen=True)
class Target:
    """For which training a law is asked.

    Attributes
    ----------
    tokens, parameters
        Its size; None for the largest in the runs.
    base_loss
        The general loss of the model before training; None to take that of ALMR 0 instead.
    """

    tokens: float | None = None
    parameters: float | None = None
    base_loss: float | None = None


@dataclass(frozen=True)
class Asked:
    """What both laws were asked, and what they said.

    Attributes
    ----------
    lr
        The learning rate of the runs that were used; their number is ``runs``.
    set_aside, other_lr
        Rows without a result in a column needed, and rows at other learning rates.
    tokens, parameters
        The training asked about; parameters is None where the file has no such column.
    dcpt_almr, cmr_almr
        The recommendations; None where the law recommends none, or there is no such law.
    general, domain, cmr
        The laws; None where the runs do not determine them.
    dcpt_base, cmr_parameters
        The general loss from which D-CPT counts, and the size whose CMR is given.
    notes
        Why a law is missing, or what it had to assume.
    """

    lr: float
    runs: int
    set_aside: int
    other_lr: int
    tokens: float
    parameters: float | None
    general: DCPT | None
    domain: DCPT | None
    dcpt_almr: float | None
    dcpt_base: float
    cmr: CMR | None
    cmr_almr: float | None
    cmr_parameters: float | None
    notes: tuple[str, ...]


def ask(runs: Runs, target: Target) -> Asked | None:
    """Fit both laws and ask them; None if the file lacks their columns (``tokens`` and ``general_loss``)."""
    if not {"tokens", "general_loss"} <= runs.columns.keys():
        return None
    sized = "parameters" in runs.columns
    needed = ["almr", "lr", "loss", "tokens", *(name for name in ("parameters", *LAW_LOSSES) if name in runs.columns)]
    complete = runs.complete(needed)
    if not complete.any():
        return None
    rates, counts = np.unique(runs.columns["lr"][complete], return_counts=True)
    lr = max(zip(counts.tolist(), rates.tolist(), strict=True))[1]
    used = complete & (runs.columns["lr"] == lr)
    almr, tokens, general_loss = (runs.columns[name][used] for name in ("almr", "tokens", "general_loss"))
    parameters = runs.columns["parameters"][used] if sized else np.full(len(almr), 1e9)
    amount, size = target.tokens or float(tokens.max()), target.parameters or float(parameters.max())
    notes = []
    if target.base_loss is None:
        notes.append(
            "both count from the general loss that they predict at ALMR 0; --base-loss gives that of the model before "
            "training"
        )

    general = domain = share = None
    base = target.base_loss or float("nan")
    if "domain_loss" not in runs.columns:
        notes.append("D-CPT needs a column domain_loss")
    elif len(almr) <= (free := free_numbers(parameters, tokens)) or len(np.unique(almr)) < 4:
        notes.append(f"D-CPT needs more than {free} runs of one learning rate with 4 or more ALMRs")
    else:
        general = fit_dcpt(parameters, tokens, 1 - almr, general_loss)
        domain = fit_dcpt(parameters, tokens, almr, runs.columns["domain_loss"][used])
        base = target.base_loss or float(general.loss(size, amount, 1.0))
        share = largest_share(general, domain, size, amount, base * (1 + DCPT_RISE))
        if share is None:
            notes.append(f"D-CPT: the general loss rises by more than {DCPT_RISE:.0%} at every ratio")

    nearest = min(np.unique(parameters).tolist(), key=lambda value: abs(np.log(value / size)))
    here = parameters == nearest
    cmr = fit_cmr(tokens[here], almr[here], general_loss[here], CMR_RISE, target.base_loss)
    if cmr is None:
        notes.append("CMR needs 3 or more ALMRs at one amount of tokens and one learning rate")
    elif cmr.law is None:
        notes.append("CMR: fewer than 3 amounts of tokens have a critical ratio, so it is that of the nearest amount")
    return Asked(
        lr=lr,
        runs=int(used.sum()),
        set_aside=int((~complete).sum()),
        other_lr=int((complete & ~used).sum()),
        tokens=amount,
        parameters=size if sized else None,
        general=general,
        domain=domain,
        dcpt_almr=share,
        dcpt_base=base,
        cmr=cmr,
        cmr_almr=None if cmr is None else cmr.at(amount),
        cmr_parameters=nearest if sized else None,
        notes=tuple(notes),
    )
