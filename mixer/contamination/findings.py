"""What was found, kept with a build: which document holds which item of which benchmark, and the passage that shows it.

``contamination/<source>/<number>.parquet`` has a row for each document and item, in order; no file means that nothing
was found. ``contamination.json`` sums a build up, benchmark by benchmark.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixer import storage
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt
from mixer.errors import BrokenPromiseError
from mixer.storage import Root

FINDINGS = "contamination/{}.parquet"
"""Where the findings in the documents of a task of ``prepare`` are, by its id."""
NAME = "contamination.json"
_SCHEMA = pa.schema(
    {
        "file": pa.string(),
        "record": pa.int64(),
        "benchmark": pa.string(),
        "item": pa.string(),
        "coverage": pa.float32(),
        "matched": pa.large_string(),
        "text": pa.large_string(),
    }
)
_HELD = 4096
"""Findings of a row group."""


@dataclass(frozen=True)
class Finding:
    """An item of a benchmark in a document: what of the document matches, and the text of the item."""

    benchmark: str
    item: str
    coverage: float
    matched: str
    text: str


class FindingsSink:
    """Writes findings to an open file."""

    def __init__(self, file: IO[bytes] | Any) -> None:
        self._writer = pq.ParquetWriter(file, _SCHEMA, compression="zstd")
        self._held: list[dict[str, Any]] = []

    def add(self, **finding: Any) -> None:
        """Append a finding: ``file`` and ``record`` of the document, and the fields of ``Finding``."""
        self._held.append(finding)
        if len(self._held) == _HELD:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_pylist(self._held, _SCHEMA))
            self._held = []

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()


def findings(directory: Root, task: str, file: str, record: int) -> list[Finding]:
    """Return what was found in a document of a build, the item that is covered best first."""
    path = directory / FINDINGS.format(task)
    if not path.exists():
        return []
    wanted = (pc.field("file") == file) & (pc.field("record") == record)
    rows = (
        pq.read_table(storage.seekable(path), filters=wanted, use_threads=False)
        .drop_columns(["file", "record"])
        .to_pylist()
    )
    return sorted((Finding(**row) for row in rows), key=lambda each: -each.coverage)


class BenchmarkTally(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark, and what was found of it.

    ``texts`` were read and ``items`` looked for, ``whole`` of these as a whole. The others were ``empty``, ``short`` or
    ``repeated``; ``lost`` are items of which too little is left beside common phrases. ``found`` items were in
    ``documents``, of ``sources`` by name; ``by_chance`` is how many items one would expect to be found if no document
    held any, None where a benchmark is too small to say.
    """

    benchmark: str
    texts: int
    items: int
    whole: int
    empty: int
    short: int
    repeated: int
    lost: int
    found: int
    documents: int
    sources: dict[str, int]
    by_chance: float | None


def tally(
    indexed: Iterable[Receipt], common: Iterable[Receipt], found: Sequence[Receipt]
) -> tuple[BenchmarkTally, ...]:
    """Sum up the receipts of the stages ``benchmarks``, ``common`` and ``decontaminate``."""
    read = {name: counts for receipt in indexed for name, counts in receipt.counts.items()}
    lost = {name: count for receipt in common for name, count in receipt.counts["lost"].items()}
    return tuple(_tally(name, counts, lost[name], found) for name, counts in read.items())


def _tally(name: str, counts: Mapping[str, int], lost: int, found: Sequence[Receipt]) -> BenchmarkTally:
    items: set[int] = set()
    controls: set[int] = set()
    sources: dict[str, int] = {}
    for receipt in found:
        own = receipt.counts["benchmarks"].get(name)
        if own:
            items.update(own["items"])
            controls.update(own["controls"])
            source = receipt.task.rsplit("/", 1)[0]
            sources[source] = sources.get(source, 0) + own["documents"]
    return BenchmarkTally(
        benchmark=name,
        **counts,
        lost=lost,
        found=len(items),
        documents=sum(sources.values()),
        sources={source: count for source, count in sources.items() if count},
        by_chance=float(len(controls)) if counts["items"] > 1 else None,  # there is a control for every item
    )


def write(outputs: Outputs, tallies: Iterable[BenchmarkTally]) -> None:
    """Write ``contamination.json``; without benchmarks remove that of an earlier recipe."""
    found = list(tallies)
    if not found:
        storage.remove([outputs.root / NAME])
        return
    with outputs.open(NAME) as file:
        file.write(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def read(directory: Root) -> tuple[BenchmarkTally, ...]:
    """Read ``contamination.json``; nothing if no benchmarks were looked for.

    Raises
    ------
    BrokenPromiseError
        It is damaged.
    """
    path = directory / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[BenchmarkTally, ...])
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenPromiseError(f"{path} is damaged: {error}", "run the same build command again") from error
