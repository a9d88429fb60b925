"""What became of every record, by source: `tallies.json`, which a build leaves beside `mixture.json`.

The receipts in `run/` know it task by task, and `mixer clean` removes them; documents do not know what was skipped.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt
from mixer.errors import BrokenPromiseError
from mixer.storage import Root

NAME = "tallies.json"


class Edited(msgspec.Struct, frozen=True):
    """How often an edit was made, and in how many documents."""

    edits: int
    documents: int


class Labelled(msgspec.Struct, frozen=True):
    """Documents of a language, or of a way of writing Chinese; ``kept`` by the rules, duplicates among them."""

    documents: int
    kept: int


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """A source: what was read of it, and what became of that.

    ``documents`` were read, ``rejected`` records could not be, ``skipped`` ones are no documents. ``reasons`` counts
    what was dropped, duplicates and contaminated documents included; the rest was kept.
    """

    source: str
    domain: str
    documents: int
    bytes: int
    rejected: int
    skipped: dict[str, int]
    reasons: dict[str, int]
    edits: dict[str, Edited]
    languages: dict[str, Labelled]
    scripts: dict[str, Labelled]

    @property
    def kept(self) -> int:
        """Documents that are in the result, for training or validation."""
        return self.documents - sum(self.reasons.values())


def tallies(domains: Mapping[str, str], prepared: Iterable[Receipt], tokenized: Iterable[Receipt]) -> tuple[Tally, ...]:
    """Sum up the receipts of a build.

    Parameters
    ----------
    domains
        The domain of each source, in the recipe's order.
    prepared, tokenized
        Of every task of these stages.
    """
    prepared, tokenized = list(prepared), list(tokenized)
    return tuple(_tally(source, domain, prepared, tokenized) for source, domain in domains.items())


def _tally(source: str, domain: str, prepared: Sequence[Receipt], tokenized: Sequence[Receipt]) -> Tally:
    counts = [receipt.counts for receipt in prepared if receipt.task.rsplit("/", 1)[0] == source]
    later = [receipt.counts for receipt in tokenized if receipt.task.rsplit("/", 1)[0] == source]
    return Tally(
        source=source,
        domain=domain,
        documents=sum(count["documents"] for count in counts),
        bytes=sum(count["bytes"] for count in counts),
        rejected=sum(count["rejected"] for count in counts),
        skipped=_sum([count["skipped"] for count in counts]),
        reasons=_sum([*(count["reasons"] for count in counts), *(count["set_aside"] for count in later)]),
        edits={
            name: Edited(each["edits"], each["documents"])
            for name, each in _sum_each([count.get("edits", {}) for count in (*counts, *later)]).items()
        },
        languages={
            name: Labelled(**each) for name, each in _sum_each([count["languages"] for count in counts]).items()
        },
        scripts={name: Labelled(**each) for name, each in _sum_each([count["scripts"] for count in counts]).items()},
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by name, sorted, without those that are 0."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return {name: total[name] for name in sorted(total) if total[name]}


def _sum_each(counts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Add up pairs of counts by name, sorted."""
    total: dict[str, Counter[str]] = {}
    for count in counts:
        for name, pair in count.items():
            total.setdefault(name, Counter()).update(pair)
    return {name: dict(total[name]) for name in sorted(total)}


def write(outputs: Outputs, found: Iterable[Tally]) -> None:
    """Write `tallies.json`."""
    with outputs.open(NAME) as file:
        file.write(msgspec.json.format(msgspec.json.encode(list(found)), indent=1) + b"\n")


def read(directory: Root) -> tuple[Tally, ...] | None:
    """Read `tallies.json`; None if a build has none: a mixture of another build's datasets, or one of an old version.

    Raises
    ------
    BrokenPromiseError
        It is damaged.
    """
    path = directory / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Tally, ...])
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenPromiseError(f"{path} is damaged: {error}", "run the same build command again") from error
