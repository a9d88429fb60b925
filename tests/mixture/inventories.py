"""Inventories for tests: written by hand, or drawn by Hypothesis."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from mixer.mixture.inventory import Inventory, Target

DOMAINS = ["web", "book", "math", "code"]


def inventory(*rows: tuple[str, int, str, float, float]) -> Inventory:
    """Make an inventory of rows (name, tokens, domain, additional share, max_epochs); names ending in -zh are added."""
    return Inventory(
        [row[0] for row in rows],
        [row[0].rsplit("-", 1)[0] for row in rows],
        np.array([row[1] for row in rows], np.int64),
        np.array([row[0].endswith("-zh") for row in rows], np.bool_),
        [row[2] for row in rows],
        np.array([row[3] for row in rows], np.float64),
        np.array([row[4] for row in rows], np.float64),
    )


REALISTIC = inventory(
    ("dolma-en", 3_000_000_000_000, "web", 0.001, 4.0),
    ("wanjuan-zh", 1_000_000_000_000, "web", 0.97, 4.0),
    ("starcoder-code", 200_000_000_000, "code", 0.01, 4.0),
    ("gsm-en", 10_000_000_000, "math", 0.0, 2.0),
    ("mathpile-zh", 2_000_000_000, "math", 0.85, 4.0),
)


@st.composite
def inventories(draw: st.DrawFn, largest: int = 40) -> Inventory:
    """Draw up to ``largest`` datasets of 1e5 to 1e13 tokens, some empty or alike; some sources have two languages."""
    count = draw(st.integers(1, largest))
    rows = []
    sizes = st.one_of(st.floats(5, 13).map(lambda power: int(10**power)), st.sampled_from([0, 10**6, 10**9]))
    for k in draw(st.permutations(range(count))):
        domain, cap = draw(st.sampled_from(DOMAINS)), draw(st.sampled_from([0.5, 1.0, 1.9, 4.0, 16.0]))
        for language in draw(st.sampled_from([["zh"], ["en"], ["en"], ["en", "zh"]]))[: largest - len(rows)]:
            share = draw(st.integers(5000, 10_000) if language == "zh" else st.integers(0, 2000)) / 10_000
            rows.append((f"source{k:02}-{language}", draw(sizes), domain, share, cap))
    if not any(row[1] for row in rows):
        rows[0] = (rows[0][0], 10**6, *rows[0][2:])
    return inventory(*rows)


def _lean(draw: st.DrawFn, of: Inventory) -> np.ndarray:
    """Draw some shares that nothing speaks against but perhaps the caps."""
    lean = draw(st.floats(0.1, 10))
    wanted = of.tokens.astype(np.float64) ** draw(st.sampled_from([0.3, 1.0])) * np.where(of.additional, lean, 1.0)
    return wanted / wanted.sum()


@st.composite
def shares(draw: st.DrawFn, of: Inventory, wanted: np.ndarray) -> dict[str, tuple[float, float]]:
    """Draw bounds for some sources: fixed, smallest, largest or both, at or around what ``wanted`` gives them."""
    found = {}
    for name in sorted(draw(st.sets(st.sampled_from(sorted(set(of.source))), max_size=6))):
        share = float(wanted[np.array(of.source) == name].sum())
        kind = draw(st.sampled_from(["fixed", "low", "high", "both", "tight"]))
        low, high = share * draw(st.floats(0.3, 1)), min(1.0, share * draw(st.floats(1, 3)))
        found[name] = {
            "fixed": (share, share),
            "low": (low, 1.0),
            "high": (0.0, high),
            "both": (low, high),
            "tight": (share, 1.0),
        }[kind]
    least = sum(Fraction(repr(low)) for low, _ in found.values())
    return {name: (low / float(least), high) for name, (low, high) in found.items()} if least > 1 else found


@st.composite
def targets(draw: st.DrawFn, of: Inventory) -> Target:
    """Draw a target; often one that some shares of the inventory fulfil."""
    basis = draw(st.sampled_from(["label", "measured"]))
    length = draw(st.sampled_from([1, 128, 2048, 8192]))
    strategy = draw(st.sampled_from(["proportional", "proportional", "temperature", "unimax", "weights"]))
    preferred = {
        "strategy": strategy,
        "temperature": draw(st.sampled_from([0.5, 1.0, 3.0, 100.0])) if strategy == "temperature" else None,
        "weights": {name: draw(st.floats(0.01, 100)) for name in sorted(set(of.source))}
        if strategy == "weights"
        else None,
    }
    wanted = _lean(draw, of)
    bounds = draw(shares(of, wanted)) if draw(st.booleans()) else {}
    if draw(st.booleans()):
        almr = draw(st.one_of(st.sampled_from([0.0, 1.0, 0.33, 0.5, 1 / 3]), st.floats(0, 1)))
        sizes = draw(st.lists(st.integers(0, 10), min_size=4, max_size=4))
        given = draw(st.sets(st.sampled_from(DOMAINS), max_size=3))
        total = max(sum(sizes), 1) + draw(st.integers(0, 5))
        domains = {DOMAINS[d]: sizes[d] / total for d in range(4) if DOMAINS[d] in given}
        return Target(almr, length, basis, domains, bounds, **preferred)
    score = of.additional if basis == "label" else of.measured
    kept = draw(st.sets(st.sampled_from(sorted(set(of.domain))), max_size=4))
    domains = {name: float(wanted[np.array(of.domain) == name].sum()) for name in sorted(kept)}
    if sum(domains.values()) > 1 - 1e-6:
        domains.pop(next(iter(sorted(domains))))
    return Target(min(1.0, float((wanted * score).sum())), length, basis, domains, bounds, **preferred)


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Inventory, Target, int | None]:
    """Draw an inventory, a target and an amount of tokens, None for the most."""
    found = draw(inventories())
    target = draw(targets(found))
    part = draw(st.one_of(st.none(), st.floats(1e-6, 3.0)))
    tokens = None if part is None else max(target.sequence_length, int(part * int(found.tokens.sum())))
    return found, target, tokens
