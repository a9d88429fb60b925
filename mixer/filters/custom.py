"""The user's own filters: a function over a batch, a filter of datatrove by its dotted name, a fastText model.

They come after the rules, and see only documents that these keep: what is asked here may be slow. A document is dropped
for ``custom.<name>``, and where a filter of datatrove gives a reason, ``custom.<name>.<reason>``.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mixer.documents import EDITS, METADATA, STATISTICS, Batch, set_column, undecided
from mixer.errors import MixerError, RecipeError
from mixer.filters.attached import Attachment
from mixer.filters.check import keys
from mixer.filters.settings import places_exist

PREFIX = "custom."
_LABEL = "__label__"
_LOADED: dict[str, Any] = {}
"""Models by digest: each is loaded once a process."""


class CustomFilter(BaseModel):
    """A filter of the user's own; exactly one of ``function``, ``datatrove`` and ``fasttext`` says what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Its name in reasons: `custom.<name>`.")
    where: list[str] = Field(
        default=["*/*"], min_length=1, description="Which documents it is asked about, as `domain/language`."
    )
    function: str | None = Field(
        None,
        pattern=r"^[\w.]+:\w+$",
        description="`package.module:function`, called with an Arrow record batch (columns `text`, `metadata.*`, "
        "`language`, `statistics.*`) and the arguments; returns a boolean for each document, true to keep it.",
    )
    datatrove: str | None = Field(
        None,
        pattern=r"^[\w.]+$",
        description="A filter class of datatrove, such as `datatrove.pipeline.filters.RegexFilter`, made with the "
        "arguments. Text that it changes is taken over and counted.",
    )
    fasttext: str | None = Field(
        None, min_length=1, description="A fastText classifier (.bin or .ftz); needs `label` and `threshold`."
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="Arguments of the function or the class.")
    label: str | None = Field(None, description="Label of the fastText model whose probability decides.")
    threshold: float | None = Field(None, ge=0, le=1, description="Probability from which a document is kept.")

    @field_validator("where")
    @classmethod
    def _places(cls, where: list[str]) -> list[str]:
        places_exist(dict.fromkeys(where))
        return where

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(each is not None for each in (self.function, self.datatrove, self.fasttext)) != 1:
            raise ValueError(f"{self.name!r} needs exactly one of `function`, `datatrove` and `fasttext`")
        if (self.fasttext is None) != (self.label is None) or (self.label is None) != (self.threshold is None):
            raise ValueError(
                f"custom filter {self.name!r}: `label` and `threshold` go with `fasttext`, and only with it"
            )
        if self.fasttext is not None and self.arguments:
            raise ValueError(f"{self.name!r}: `arguments` mean nothing to a fastText model")
        return self

    def asked_about(self, domain: str, language: str) -> bool:
        """Whether documents of a domain and language meet it."""
        return not set(keys(domain, language)).isdisjoint(self.where)


@dataclass(frozen=True)
class Answer:
    """What a filter says of a batch: whom it keeps, why not, and what it changed or measured (or ``None``)."""

    keep: NDArray[np.bool_]
    reasons: Sequence[str | None] | None = None
    texts: pa.LargeStringArray | None = None
    values: NDArray[np.float32] | None = None


Asked: TypeAlias = Callable[[Batch], Answer]


def load(settings: CustomFilter, attachment: Attachment | None) -> Asked:
    """Make a filter ready; ``attachment`` is the model of a fastText filter.

    Raises
    ------
    RecipeError
        There is no such function, class, model or label.
    """
    if settings.function is not None:
        return _function(settings, _import(settings, settings.function.replace(":", ".")))
    if settings.datatrove is not None:
        return _datatrove(settings, _import(settings, settings.datatrove))
    assert attachment is not None
    return _fasttext(settings, attachment)


def code_of(settings: CustomFilter) -> Path | None:
    """Return the file that a function or class comes from: when it changes, tasks are done again.

    Raises
    ------
    RecipeError
        There is no such function or class.
    """
    dotted = settings.function or settings.datatrove
    if dotted is None:
        return None
    try:
        return Path(inspect.getfile(_import(settings, dotted.replace(":", "."))))
    except TypeError:  # built in
        return None


def ask(batch: Batch, own: CustomFilter, asked: Asked, domain: str) -> Batch:
    """Let a filter decide about the documents of a batch that are still kept and that it is asked about.

    Returns
    -------
    The batch with ``reason``; for a fastText model ``statistics.custom.<name>``, for a filter of datatrove
    ``edits.custom.<name>`` (1 where it changed the text).

    Raises
    ------
    MixerError
        The filter failed, or answered something else than one boolean for each document.
    """
    languages = batch["language"].unique().to_pylist()
    wanted = [language for language in languages if own.asked_about(domain, language)]
    here = pc.is_in(batch["language"], pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(undecided(batch) & here)
    answer = _answer(own, asked, batch.take(pa.array(rows)))
    name = PREFIX + own.name
    reasons: list[str | None] = [None] * len(batch)
    for place in np.flatnonzero(~answer.keep).tolist():
        said = answer.reasons[place] if answer.reasons is not None else None
        reasons[rows[place]] = f"{name}.{said}" if said else name
    before = batch["reason"] if "reason" in batch.schema.names else pa.nulls(len(batch), pa.string())
    batch = set_column(batch, "reason", pc.coalesce(before, pa.array(reasons, pa.string())))
    if own.fasttext is not None:
        values = np.full(len(batch), np.nan, np.float32)
        if answer.values is not None:
            values[rows] = answer.values
        batch = set_column(batch, STATISTICS + name, pa.array(values, mask=np.isnan(values)))
    if own.datatrove is not None:
        batch = _take_over(batch, rows, name, answer.texts)
    return batch


def _answer(settings: CustomFilter, asked: Asked, batch: Batch) -> Answer:
    """Ask, and check the answer."""
    if not len(batch):
        return Answer(np.ones(0, np.bool_))
    try:
        answer = asked(batch)
    except MixerError:
        raise
    except (Exception, SystemExit) as error:
        first = f"{batch['file'][0].as_py()} record {batch['record'][0].as_py()}"
        raise MixerError(
            f"custom filter {settings.name!r} failed on a batch that begins with {first}: {error!r}",
            "correct the filter, or take it out of the recipe",
        ) from error
    if answer.keep.dtype != np.bool_ or answer.keep.shape != (len(batch),):
        raise MixerError(
            f"custom filter {settings.name!r} answered {answer.keep.dtype}{list(answer.keep.shape)} about "
            f"{len(batch)} documents",
            "return one boolean for each document of the batch, true to keep it",
        )
    if answer.texts is None:
        return answer
    if answer.texts.null_count or pc.any(pc.match_substring(answer.texts, "\0")).as_py():
        raise MixerError(
            f"custom filter {settings.name!r} left a document with None or with a NUL character as its text",
            "correct the filter; it may leave an empty text, which is dropped",
        )
    left = pc.match_substring_regex(answer.texts, r"\S").to_numpy(zero_copy_only=False)
    return replace(answer, keep=answer.keep & left)


def _take_over(batch: Batch, rows: NDArray[np.int64], name: str, texts: pa.LargeStringArray | None) -> Batch:
    """Put back the texts that a filter of datatrove may have changed."""
    changed = np.full(len(batch), -1, np.int32)
    if texts is not None:
        edited = np.arange(len(batch))
        edited[rows] = len(batch) + np.arange(len(rows))
        after = pa.concat_arrays([batch["text"], texts]).take(pa.array(edited))
        changed[rows] = pc.not_equal(after, batch["text"]).to_numpy(zero_copy_only=False)[rows]
        batch = set_column(batch, "text", after)
    return set_column(batch, EDITS + name, pa.array(changed, mask=changed < 0))


def _import(settings: CustomFilter, dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(
            f"custom filter {settings.name!r}: {dotted} cannot be imported: {error}",
            "install what it needs (`pip install 'mixer[datatrove]'` for datatrove's filters), or correct the name; "
            "modules of your own are found through PYTHONPATH",
        ) from error


def _function(settings: CustomFilter, function: Callable[..., Any]) -> Asked:
    def asked(batch: Batch) -> Answer:
        answer = function(batch, **settings.arguments)
        if isinstance(answer, pa.Array | pa.ChunkedArray):
            answer = answer.to_numpy(zero_copy_only=False)
        return Answer(np.asarray(answer))

    return asked


def _datatrove(settings: CustomFilter, kind: Any) -> Asked:
    from datatrove.data import Document

    try:
        made = kind(**settings.arguments)
    except Exception as error:
        raise RecipeError(
            f"custom filter {settings.name!r}: {settings.datatrove} cannot be made with these arguments: {error!r}",
            "install what it needs" if isinstance(error, ImportError) else "see what arguments its documentation names",
        ) from error

    def asked(batch: Batch) -> Answer:
        metadata = {name.removeprefix(METADATA): name for name in batch.schema.names if name.startswith(METADATA)}
        columns = {name: batch[column].to_pylist() for name, column in metadata.items()}
        languages = batch["language"].to_pylist()
        rows = zip(batch["text"].to_pylist(), batch["record"].to_pylist(), languages, strict=True)
        documents = [
            Document(
                text=text,
                id=str(record),
                metadata={"language": language, **{name: column[row] for name, column in columns.items()}},
            )
            for row, (text, record, language) in enumerate(rows)
        ]
        size = getattr(made, "batch_size", 1)
        answers = []
        for start in range(0, len(documents), size):
            answers += made.filter_batch(documents[start : start + size])
        parts = [answer if isinstance(answer, tuple) else (answer, None) for answer in answers]
        keep = np.array([bool(kept) for kept, _ in parts], np.bool_)
        texts = pa.array([document.text for document in documents], pa.large_string())
        return Answer(keep, [reason for _, reason in parts], texts)

    return asked


def _fasttext(settings: CustomFilter, attachment: Attachment) -> Asked:
    if attachment.digest not in _LOADED:
        try:
            _LOADED[attachment.digest] = fasttext.load_model(attachment.path)
        except (ValueError, RuntimeError) as error:
            raise RecipeError(
                f"custom filter {settings.name!r}: {attachment.path} is no fastText model: {error}", "give another file"
            ) from error
    model, label = _LOADED[attachment.digest], _LABEL + str(settings.label).removeprefix(_LABEL)
    known = [name for _, name in model.f.predict(b"\n", 1_000_000, -1.0, "strict")]
    if label not in known:
        names = ", ".join(sorted(name.removeprefix(_LABEL) for name in known)[:20])
        raise RecipeError(
            f"custom filter {settings.name!r}: the model has no label {settings.label!r}", f"its labels: {names}"
        )

    def asked(batch: Batch) -> Answer:
        # fastText reads one line, and a NUL ends it.
        lines = pc.replace_substring_regex(batch["text"], r"[\n\r\x00]+", " ")
        values = np.zeros(len(batch), np.float32)
        for row, line in enumerate(lines):
            found = model.f.predict(bytes(line.as_buffer()) + b"\n", len(known), -1.0, "strict")
            values[row] = next((min(score, 1.0) for score, name in found if name == label), 0.0)
        return Answer(values >= np.float32(settings.threshold or 0), values=values)

    return asked
