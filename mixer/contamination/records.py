"""From benchmark files to the texts of items: records found however deep they nest, and the fields that matter.

Files are found, opened, decompressed and recognised as those of sources are; what is in them is small and irregular, so
it is read whole and looked at as Python objects. Unlike a corpus, a benchmark that cannot be read is an error: what is
not looked for is not found.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from mixer.contamination.settings import Benchmark
from mixer.errors import InputError, MixerError, RecipeError, did_you_mean
from mixer.sources.fields import LINE_BREAK, MISSING, TextRule, lookup, parse_text
from mixer.sources.listing import InputFile, list_files
from mixer.sources.parquet import damaged, open_parquet
from mixer.sources.sniff import sniffed
from mixer.sources.streams import Stream

BenchmarkFiles: TypeAlias = Sequence[tuple[Benchmark, tuple[InputFile, ...]]]
"""Benchmarks, each with its files."""
DETECTED = (
    "{passage}\n{question}",
    "{body}\n{question}",
    "question",
    "problem",
    "prompt",
    "informal_statement",
    "{instruction}\n{input}",
    "instruction",
    "query",
    "input",
    "turns",
    "messages",
    "conversations",
    "{sentence1}\n{sentence2}",
    "{premise}\n{hypothesis}",
    "sentence",
    "content",
    "text",
)
"""What is taken where a recipe names no fields: the first of these that a file has, in any case. A passage or body that
bears such a name belongs to its question, which alone says nothing; ``context`` (SQuAD and its like) is a page of an
encyclopedia, which may be in a corpus without the question, and so is left out unless named."""
_NAMES = ("id", "task_id", "question_id", "qid", "questionid", "uid", "idx", "problem_name")
_ASKED = ("user", "human")
_SHOWN = 12


@dataclass(frozen=True)
class Item:
    """One text of a benchmark.

    Attributes
    ----------
    name
        Where it stands, for people: file, number of the record from 0, its id if it has one.
    text
        The text.
    """

    name: str
    text: str


def find_files(benchmark: Benchmark, root: Path) -> tuple[InputFile, ...]:
    """List the files of a benchmark; relative paths start at ``root``.

    Raises
    ------
    RecipeError, InputError
        There are none, or they cannot be listed.
    """
    with _about(benchmark):
        return list_files(benchmark.files(), root).files


def read_items(benchmark: Benchmark, files: Iterable[InputFile]) -> Iterator[Item]:
    """Read the items of a benchmark, empty ones included.

    Raises
    ------
    InputError
        A file cannot be read.
    RecipeError
        No record of a file has a field.
    """
    for file in files:
        with _about(benchmark):
            value = _decoded(file, benchmark)
        rules = _rules(benchmark, file, value)
        for number, record in enumerate(_records(value, rules)):
            name = f"{file.path} record {number:,}{_id(record)}"
            for rule in rules:
                if _has(record, rule):
                    texts = [_text(_lookup(record, field)) for field in rule.fields]
                    yield Item(name, rule.join(texts).strip() if any(texts) else "")


@contextmanager
def _about(benchmark: Benchmark) -> Iterator[None]:
    """Let the errors of the readers of sources say that it is a benchmark that they are about."""
    try:
        yield
    except MixerError as error:
        message = error.message.replace(f"source {benchmark.name!r}", f"benchmark {benchmark.name!r}")
        raise type(error)(message, error.remedy) from error


def _decoded(file: InputFile, benchmark: Benchmark) -> Any:
    """Read a whole file: a list, or whatever JSON it holds."""
    settings = benchmark.files()
    with Stream(file, settings, lambda *_: None) as stream:
        kind = sniffed(stream)
        if kind == "empty":
            return []
        if kind in ("json", "jsonl", "csv", "tsv"):
            try:
                text = b"".join(stream.chunks()).decode()
            except UnicodeDecodeError as error:
                raise stream.error(f"is not {settings.encoding} ({error.reason})", "name its `encoding`") from error
            if kind in ("csv", "tsv"):
                return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="," if kind == "csv" else "\t"))
            return list(_json(text, stream))
        if kind != "parquet":
            raise stream.error(f"holds {kind}, no records", "give JSON, JSON Lines, CSV, TSV or Parquet")
    try:
        with open_parquet(file, settings) as parquet:
            return parquet.read(use_threads=False).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, settings, error) from error


def _json(text: str, stream: Stream) -> Iterator[Any]:
    """Decode JSON values one after the other: lines, or one value over all lines."""
    decoder, position = json.JSONDecoder(), 0
    while (position := _next(text, position)) < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, position) + 1
            raise stream.error(
                f"line {line:,} is no valid JSON: {error}", "correct the file, or leave it out"
            ) from error
        yield value


def _next(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _rules(benchmark: Benchmark, file: InputFile, value: Any) -> Sequence[TextRule]:
    """Return what an item of a file is, as asked or as detected."""
    if benchmark.fields:
        rules = [parse_text(field) for field in benchmark.fields]
        for field, rule in zip(benchmark.fields, rules, strict=True):
            if value and next(_records(value, [rule]), None) is None:
                raise _without(benchmark, file, value, f"no record has `{field}`", field)
        return rules
    for field in DETECTED:
        rule = parse_text(field)
        if next(_records(value, [rule]), None) is not None:
            return [rule]
    if not value:
        return []
    raise _without(benchmark, file, value, "no field is called as questions usually are", "question")


def _without(benchmark: Benchmark, file: InputFile, value: Any, what: str, field: str) -> RecipeError:
    known = list(dict.fromkeys(name for record in _objects(value) for name in record))
    if not known:
        raise InputError(
            f"benchmark {benchmark.name!r}: {file.path} holds no records", "give objects, or rows with named columns"
        )
    more = ", ..." if len(known) > _SHOWN else ""
    return RecipeError(
        f"benchmark {benchmark.name!r}: {file.path}: {what}{did_you_mean(field, known)}",
        f"name `fields` of the benchmark; there are {', '.join(known[:_SHOWN])}{more}",
    )


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a value, the outer ones first."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _records(
    value: Any, rules: Sequence[TextRule], around: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield every object that has the fields of a rule, one of them itself and others perhaps from those around it."""
    if isinstance(value, Mapping):
        record = {**(around or {}), **value}
        if any(
            _has(record, rule) and any(_lookup(value, field) is not MISSING for field in rule.fields) for rule in rules
        ):
            yield record
        around = {name: each for name, each in record.items() if not isinstance(each, Mapping | list)}
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            if isinstance(each, Mapping | list):
                yield from _records(each, rules, around)


def _has(record: Mapping[str, Any], rule: TextRule) -> bool:
    return all(_lookup(record, field) is not MISSING for field in rule.fields)


def _lookup(record: Mapping[str, Any], field: str) -> Any:
    """Return a field of a record, whatever its case."""
    found = lookup(record, field)
    if found is not MISSING:
        return found
    wanted = field.casefold()
    return next(
        (value for name, value in record.items() if isinstance(name, str) and name.casefold() == wanted), MISSING
    )


def _text(value: Any) -> str:
    """Return the text of a field: lists joined by line breaks, of a conversation what the user says."""
    if isinstance(value, list):
        return LINE_BREAK.join(filter(None, map(_text, value)))
    if isinstance(value, Mapping):
        role = value.get("role", value.get("from", _ASKED[0]))
        return _text(value.get("content", value.get("value"))) if role in _ASKED else ""
    return "" if value is None else str(value)


def _id(record: Mapping[str, Any]) -> str:
    """Return how a record calls itself, in brackets."""
    found = (_lookup(record, name) for name in _NAMES)
    own = next((value for value in found if isinstance(value, str | int) and not isinstance(value, bool)), "")
    return f" ({own})" if own != "" else ""
