"""What a user can say about benchmarks: the key ``decontaminate`` of a recipe."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mixer.sources.fields import parse_text
from mixer.sources.settings import SourceSettings


class Benchmark(BaseModel):
    """One benchmark: where its files are, and what of a record is an item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*$",
        description="Name of the benchmark in reports.",
    )
    paths: list[str] = Field(
        min_length=1,
        description="Files, folders, globs or URLs, as for a source. Nothing is downloaded and nothing comes along.",
    )
    fields: list[str] = Field(
        default_factory=list,
        description=(
            "What an item is: fields or templates such as `{passage}\\n{question}`; each makes an item of its own of "
            "every record that has it. Fields of enclosing objects count too (`context` of SQuAD's paragraphs). "
            "Default: the question, by the names it usually has (docs/contamination.md)."
        ),
    )
    format: Literal["auto", "json", "jsonl", "csv", "tsv", "parquet"] = Field(
        "auto", description="`auto` looks at the content; JSON may nest its records. Compression is always detected."
    )
    encoding: str = Field("utf-8", description="Character encoding of text formats.")

    @field_validator("fields")
    @classmethod
    def _fields_parse(cls, fields: list[str]) -> list[str]:
        for field in fields:
            parse_text(field)
        return fields

    @model_validator(mode="after")
    def _files_can_be_named(self) -> Self:
        self.files()
        return self

    def files(self) -> SourceSettings:
        """Return how its files are found and opened."""
        given = {"encoding": self.encoding} if self.format != "parquet" else {}
        return SourceSettings.model_validate(
            {"name": self.name, "paths": self.paths, "format": self.format, **given},
        )


class DecontaminateSettings(BaseModel):
    """Which documents count as contaminated: those that hold items of the benchmarks; they are dropped.

    N-grams of 13 words, and 8 at least, are those of GPT-3 (Brown et al. 2020, appendix C). The same passage takes 1.46
    times as many characters as English words (MGSM's 250 Chinese questions, 17,235 units, beside the same of GSM8K,
    11,786), which makes 19 and 12.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmarks: list[Benchmark] = Field(
        default_factory=list, description="The benchmarks; none: nothing is looked for."
    )
    ngram: int = Field(13, ge=4, le=64, description="Words in a row that are compared.")
    ngram_characters: int = Field(
        19,
        ge=4,
        le=64,
        description="The same for items that are mostly Han or kana characters, each of which counts one.",
    )
    shortest: int = Field(
        8,
        ge=3,
        le=64,
        description="An item with fewer words is not looked for; up to `ngram`, it is compared as a whole.",
    )
    shortest_characters: int = Field(12, ge=3, le=64, description="The same for items of Han or kana characters.")
    coverage: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Share of an item's words and characters that a document must hold in such n-grams.",
    )
    common_documents: int = Field(
        100, ge=1, description="An n-gram that more documents hold is a common phrase, and proves nothing; or"
    )
    common_share: float = Field(
        1e-5, ge=0, le=1, description="one that more than this share of all documents hold, if that is more."
    )

    keep: list[str] = Field(
        default_factory=list,
        description="Sources whose documents are reported but not dropped: statutes, say, which examinations quote.",
    )

    @field_validator("benchmarks")
    @classmethod
    def _names_differ(cls, benchmarks: list[Benchmark]) -> list[Benchmark]:
        names = [each.name for each in benchmarks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two benchmarks are named {name!r}; names must differ")
        return benchmarks

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.shortest > self.ngram or self.shortest_characters > self.ngram_characters:
            raise ValueError("`shortest` must not be above `ngram`, nor `shortest_characters` above `ngram_characters`")
        return self
