"""DATA.yaml: what a user says about the data of a fine-tuning and their mixture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mixer.dialogues.encode import TooLong
from mixer.dialogues.formats.format import Kind
from mixer.dialogues.formats.table import BY_NAME, format_named
from mixer.dialogues.template import TemplateName
from mixer.errors import RecipeError, UsageError, did_you_mean
from mixer.sources.settings import DatasetSettings, RecordSettings
from mixer.written import read_keys, worded

FileFormat = Literal["auto", "jsonl", "json", "parquet", "arrow", "csv", "tsv"]
DETECT: Final = "detect"
_REMEDY: Final = "docs/tuning-keys.md lists every key and its meaning"


class TuningSource(BaseModel):
    """One source of dialogues or preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*$",
        description="Name of the source; becomes part of file names.",
    )
    paths: list[str] | None = Field(
        None,
        description="Files, folders, globs or fsspec URLs, as in a recipe; relative ones start at the file's folder.",
    )
    datasets: DatasetSettings | None = Field(None, description="A Hugging Face dataset, in place of `paths`.")
    format: str = Field(
        "auto", description="Published format of the records (see the table), or `auto`: told from their fields."
    )
    weight: float | None = Field(
        None,
        gt=0,
        description="Share of the examples that training draws, relative to the others'; all or none have one.",
    )
    language: str = Field(
        DETECT, description="A declared language such as `zh`, for prompts and answers; `detect` detects each of them."
    )
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="Names that the records have for fields of the format: `{instruction: question, output: answer}`.",
    )
    only: dict[str, Any] = Field(
        default_factory=dict, description="Values of fields that a record must have: `{label: true}`."
    )
    prefer: str = Field(
        "", description="Which answer is better: `better` or `safer` (safe_rlhf), `human` or `chatgpt` (hc3)."
    )
    limit: int | None = Field(None, gt=0, description="Take so many examples only, the first that are kept.")
    file_format: FileFormat = Field("auto", description="Format of the files; `auto` looks at the content.")
    encoding: str = Field("utf-8", description="Character encoding of JSON, CSV and TSV, such as gb18030.")
    columns: list[str] | None = Field(
        None, min_length=1, description="Names of the columns of a CSV/TSV that has no header."
    )
    max_rejected: float = Field(
        0.01, ge=0, le=1, description="Share of unreadable records above which preparing ends with an error."
    )
    allow_truncated: bool = Field(
        default=False,
        description="Read a file that ends in the middle as far as it goes, instead of ending with an error.",
    )

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, name: str) -> str:
        if name != "auto" and name not in BY_NAME:
            raise ValueError(f"there is no format {name!r}{did_you_mean(name, BY_NAME)}")
        return name

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        if self.format == "auto":
            for key in ("fields", "prefer"):
                if getattr(self, key):
                    raise ValueError(f"`{key}` of source {self.name!r} needs its `format` named")
        else:
            known = format_named(self.format)
            for field in self.fields:
                if field not in known.fields:
                    raise ValueError(
                        f"source {self.name!r}: the format {known.name} has no field {field!r}"
                        f"{did_you_mean(field, known.fields)}"
                    )
            if self.prefer and self.prefer not in known.prefer:
                raise ValueError(
                    f"source {self.name!r}: `prefer` is {self.prefer!r}, of which {known.name} knows nothing "
                    f"(it knows {' and '.join(known.prefer) or 'no such choice'})"
                )
        self.reading  # noqa: B018  # which refuses what the reader would
        return self

    @property
    def reading(self) -> RecordSettings:
        """What the readers of files want to know."""
        return RecordSettings(
            name=self.name,
            paths=self.paths,
            datasets=self.datasets,
            format=self.file_format,
            encoding=self.encoding,
            columns=self.columns,
            max_rejected=self.max_rejected,
            allow_truncated=self.allow_truncated,
        )


class TuningSettings(BaseModel):
    """A whole DATA.yaml: the sources, and how examples are made of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str = Field("llama3", description="As in a recipe: a known name, or a path.")
    template: TemplateName = Field(
        "auto", description="Chat template: `llama3`, `chatml`, `plain`, or `auto`: by the vocabulary's special tokens."
    )
    sequence_length: int = Field(2048, gt=1, description="Tokens of an example at most, its prompt included.")
    too_long: TooLong = Field(
        "cut",
        description="A longer example is `cut` at its end or `set_aside`; one whose prompt leaves no room always is.",
    )
    seed: int = Field(1234, ge=0, lt=2**32, description="Seed of everything that is drawn.")
    valid_fraction: float = Field(
        0.0, ge=0, lt=1, description="Share of examples held out for validation, by a hash of their prompts."
    )
    sources: list[TuningSource] = Field(min_length=1, max_length=1000, description="The data sets.")

    @model_validator(mode="after")
    def _sources_go_together(self) -> Self:
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}; names must differ")
        weighted = [source.name for source in self.sources if source.weight is not None]
        if weighted and len(weighted) < len(names):
            without = next(name for name in names if name not in weighted)
            raise ValueError(f"source {without!r} has no `weight`, though others have: give one to all, or to none")
        return self


@dataclass(frozen=True)
class LoadedTuning:
    """A checked DATA.yaml and the folder that its relative paths start from."""

    settings: TuningSettings
    root: Path

    @property
    def tokenizer(self) -> str:
        """The tokenizer as ``load_vocabulary`` takes it: a path from here on, if it is one."""
        path = self.root / self.settings.tokenizer
        return str(path) if path.exists() else self.settings.tokenizer


def load_tuning(path: Path) -> LoadedTuning:
    """Read and check a DATA.yaml.

    Raises
    ------
    UsageError
        There is no such file.
    RecipeError
        Anything in it is unknown or impossible; all faults are listed together.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "name the YAML file that lists the sources of the fine-tuning")
    tree = read_keys(path, "list of sources", _REMEDY)
    return LoadedTuning(check(tree, str(path)), path.parent)


def check(tree: dict[str, Any], where: str) -> TuningSettings:
    """Turn a parsed DATA.yaml into a checked one; ``where`` names it in errors.

    Raises
    ------
    RecipeError
        Anything in it is unknown or impossible; all faults are listed together.
    """
    try:
        return TuningSettings.model_validate(tree)
    except ValidationError as error:
        raise worded(error, tree, TuningSettings, where, _REMEDY) from error


def require_kind(found: Kind, wanted: Kind, source: str) -> None:
    """Refuse preferences where dialogues are trained on, and the other way round.

    Raises
    ------
    RecipeError
        The source holds the other kind.
    """
    if found != wanted:
        trains = {"dialogue": "`mixer train sft` trains on dialogues", "preference": "`mixer train dpo` on preferences"}
        raise RecipeError(
            f"source {source!r} holds {found}s, but {wanted}s are wanted",
            f"{trains['dialogue']}, {trains['preference']}",
        )
