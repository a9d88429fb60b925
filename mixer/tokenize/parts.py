"""Into how many prefixes a dataset goes: one, or a few of similar size where one would be too large.

Megatron numbers the documents of a prefix in int32. A prefix is also one task of ``join``, and a file to copy, hash and
store, so that there is a limit on its tokens, too. ``join`` cuts datasets between shards as it is decided here, and a
forecast reckons with the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mixer.megatron.indexed import MAX_DOCUMENTS

PREFIX_TOKENS: Final = 1 << 37
"""Tokens of a prefix, at most: 137 billion, whose ids take 550 GB. That is a tenth of what an object store takes as one
object (S3: 5 TB), and is joined and verified in minutes; a mixture of 1.7T tokens still has dozens of prefixes."""


@dataclass(frozen=True)
class Limits:
    """The most documents and tokens of a prefix."""

    documents: int = MAX_DOCUMENTS
    tokens: int = PREFIX_TOKENS


@dataclass(frozen=True)
class Size:
    """Documents and tokens of a shard, or of a whole dataset."""

    documents: int
    tokens: int


def parts_for(whole: Size, limits: Limits) -> int:
    """Return the fewest prefixes that hold a dataset, were it cut anywhere."""
    return max(1, -(-_load(whole, limits) // _full(limits)))


def names_of(name: str, parts: int) -> list[str]:
    """Name the prefixes of a dataset: its own name, or with numbers of at least two digits behind it."""
    digits = max(2, len(str(parts - 1)))
    return [name] if parts == 1 else [f"{name}-{number:0{digits}}" for number in range(parts)]


def cut(shards: Sequence[Size], limits: Limits) -> list[range]:
    """Cut a dataset between its shards into a few parts of similar size, each within the limits.

    A shard goes to the part in which its middle lies when the whole is cut into equal parts. Such a part is at most one
    shard larger than an equal one, so these are taken so much smaller than the limits. (Filling one prefix after the
    other would leave a rest, which may be too short to train on.)

    Parameters
    ----------
    shards
        In their order; none has more documents than ``limits``. One that has more than half of their tokens raises
        that limit to twice as many: a large input file must not cut everything else to pieces.

    Returns
    -------
    The shards of each part, in order; none is empty.
    """
    limits = Limits(limits.documents, max(limits.tokens, 2 * max(shard.tokens for shard in shards)))
    loads = [_load(shard, limits) for shard in shards]
    total, room = sum(loads), _full(limits) - max(loads)
    whole = Size(sum(shard.documents for shard in shards), sum(shard.tokens for shard in shards))
    parts = 1
    if _load(whole, limits) > _full(limits):
        parts = min(len(shards), -(-total // room)) if room else len(shards)
    firsts: list[int] = []
    before, last = 0, -1
    for place, load in enumerate(loads):
        part = (2 * before + load) * parts // (2 * total)
        if part != last:
            firsts.append(place)
            last = part
        before += load
    return [range(first, stop) for first, stop in zip(firsts, [*firsts[1:], len(shards)], strict=True)]


def _load(size: Size, limits: Limits) -> int:
    """Return what part of a prefix something fills, in units that make a full one ``_full``."""
    return max(size.documents * limits.tokens, size.tokens * limits.documents)


def _full(limits: Limits) -> int:
    return limits.documents * limits.tokens
