"""Where the tokens of a mixture come from, and under which licences: a page in Markdown for the model card.

Shares are those of the training tokens. A dataset's is its weight; inside a dataset, training reads documents in
proportion to their tokens, whatever its epochs, so that a licence has its share of the dataset's tokens.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixer import storage
from mixer.directory import documents_of
from mixer.documents import METADATA
from mixer.errors import UsageError
from mixer.manifest import Dataset, Manifest, folder_of, read, wholes
from mixer.storage import Root

NOT_STATED = "not stated"
LICENCES = 40
"""Licences that have a line of their own; further ones are summed up."""
NAMED = 3
"""Licences named in a dataset's line."""
_COLUMN = re.compile(r"licen[cs]e", re.IGNORECASE)


@dataclass
class Licences:
    """Documents and tokens of a dataset by licence."""

    documents: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)


def attribution(directory: Root, documents: Root | None = None) -> str:
    """Return the page for a finished build.

    Parameters
    ----------
    directory
        The build.
    documents
        The build that holds the documents, if ``directory`` is another mixture of its datasets.

    Raises
    ------
    UsageError
        There is no build, or no documents of it.
    """
    manifest = read(directory)
    folder = documents_of(directory, manifest, documents)
    if folder is None:
        raise UsageError(
            f"{directory} holds no documents, which say the licences",
            "name the build that it was mixed from with --documents",
        )
    read_from = [entry for entry in wholes(manifest.datasets) if entry.samples]
    licences = {entry.prefix: licences_of(folder / "train" / folder_of(entry)) for entry in read_from}
    return "\n".join([*_head(manifest), *_sources(read_from, licences), *_by_licence(read_from, licences), ""])


def licences_of(folder: Root) -> Licences:
    """Count the documents of a dataset by licence: what any carried column of that name says, the first that does."""
    found = Licences()
    for path in (folder / name for name in sorted(storage.files(folder)) if name.endswith(".parquet")):
        with pq.ParquetFile(storage.seekable(path)) as file:
            columns = [name for name in file.schema_arrow.names if name.startswith(METADATA) and _COLUMN.search(name)]
            for batch in file.iter_batches(columns=["tokens", *columns], use_threads=False):
                said = pc.coalesce(*(_said(batch[name]) for name in columns), pa.scalar(NOT_STATED))
                grouped = pa.table({"licence": _filled(said, len(batch)), "tokens": batch["tokens"]})
                for row in grouped.group_by("licence").aggregate([("tokens", "sum"), ("tokens", "count")]).to_pylist():
                    found.tokens[row["licence"]] += row["tokens_sum"]
                    found.documents[row["licence"]] += row["tokens_count"]
    return found


def _said(column: pa.Array) -> pa.Array:
    """Return what a column says, null where that is nothing."""
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _filled(said: pa.Array | pa.Scalar, length: int) -> pa.Array:
    return said if isinstance(said, pa.Array) else pa.repeat(said, length)


def _head(manifest: Manifest) -> list[str]:
    almr, language = manifest.almr, manifest.additional_language or "the additional language"
    return [
        f"# Training data: {_cell(manifest.recipe)}",
        "",
        f"{manifest.tokens:,} tokens of the tokenizer {_cell(manifest.tokenizer.name)}, in {manifest.samples:,} "
        f"sequences of {manifest.sequence_length:,}. {almr.realised:.2%} of them are in documents in {language}, and "
        f"{almr.measured:.2%} are {language} by the text itself.",
        "",
        f"Mixture `{manifest.build}`.",
    ]


def _sources(datasets: Sequence[Dataset], licences: Mapping[str, Licences]) -> list[str]:
    """Return the table of datasets, and those of languages and domains."""
    rows = [
        (
            entry.source,
            entry.language,
            entry.domain,
            f"{entry.documents:,}",
            f"{entry.tokens:,}",
            f"{entry.epochs:.2f}",
            f"{entry.weight:.2%}",
            _named(licences[entry.prefix]),
        )
        for entry in sorted(datasets, key=lambda entry: -entry.weight)
    ]
    titles = ("source", "language", "domain", ">documents", ">tokens", ">epochs", ">share of training", "licences")
    parts = [*_table("Sources", titles, rows)]
    for title, label_of in (("Languages", attrgetter("language")), ("Domains", attrgetter("domain"))):
        shares: dict[str, float] = {}
        for entry in datasets:
            shares[label_of(entry)] = shares.get(label_of(entry), 0.0) + entry.weight
        named = ((label, f"{share:.2%}") for label, share in _largest_first(shares))
        parts += _table(title, (title.lower().removesuffix("s"), ">share of training"), named)
    return parts


def _named(licences: Licences) -> str:
    """Name the most frequent licences of a dataset."""
    total = licences.tokens.total()
    found = _largest_first(licences.tokens)
    named = [name if len(found) == 1 else f"{name} ({tokens / total:.0%})" for name, tokens in found[:NAMED]]
    return ", ".join([*named, *([f"{len(found) - NAMED} more"] if len(found) > NAMED else [])])


def _by_licence(datasets: Sequence[Dataset], licences: Mapping[str, Licences]) -> list[str]:
    """Return the table of licences over all datasets."""
    documents: Counter[str] = Counter()
    shares: dict[str, float] = {}
    sources: dict[str, set[str]] = {}
    for entry in datasets:
        own = licences[entry.prefix]
        documents.update(own.documents)
        for name, tokens in own.tokens.items():
            shares[name] = shares.get(name, 0.0) + entry.weight * tokens / entry.tokens
            sources.setdefault(name, set()).add(entry.source)
    found = _largest_first(shares)
    rows = [
        (name, f"{documents[name]:,}", f"{share:.2%}", ", ".join(sorted(sources[name])))
        for name, share in found[:LICENCES]
    ]
    if rest := found[LICENCES:]:
        counted = sum(documents[name] for name, _ in rest)
        rows.append((f"{len(rest):,} more", f"{counted:,}", f"{sum(share for _, share in rest):.2%}", ""))
    lines = _table("Licences", ("licence", ">documents", ">share of training", "sources"), rows)
    if silent := sources.get(NOT_STATED):
        lines += [
            "",
            f"Documents of {_cell(', '.join(sorted(silent)))} state no licence of their own: see the terms of the "
            "source.",
        ]
    return lines


def _largest_first(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: (-item[1], item[0]))


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a section with a table; a column that begins with ``>`` holds numbers."""
    return [
        "",
        f"## {title}",
        "",
        _row([column.lstrip(">") for column in columns]),
        _row(["---:" if column.startswith(">") else "---" for column in columns]),
        *(_row([_cell(value) for value in row]) for row in rows),
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Return a text that means itself in a cell of a Markdown table."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))
