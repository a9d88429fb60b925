"""What a user writes about one source: where its files are and what in them is a document.

``recipe.Source`` adds what the other rooms want to know (domain, language, caps). Whatever would be parsed and then
ignored is refused here, or by the reader as soon as it knows the format.
"""

import codecs
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mixer.errors import did_you_mean
from mixer.sources.fields import WHOLE, TextRule, parse_text

Format = Literal["auto", "jsonl", "json", "parquet", "arrow", "text", "csv", "tsv", "html", "warc"]
Records = Literal["file", "line", "paragraph"]

_ENCODINGS = ("utf-8", "utf-16", "gb18030", "gbk", "gb2312", "big5", "latin-1", "cp1252", "shift_jis", "euc-kr")


class DatasetSettings(BaseModel):
    """A Hugging Face dataset, as ``datasets.load_dataset(..., streaming=True)`` takes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(min_length=1, description="Hub id, local folder, or builder such as `json` or `parquet`.")
    name: str | None = Field(None, description="Configuration of the dataset.")
    split: str = Field("train", min_length=1, description="Split to read, slices excluded.")
    data_dir: str | None = Field(None, description="Folder of the data files, as the builder takes it.")
    data_files: list[str] | None = Field(None, min_length=1, description="Data files or globs, as the builder takes.")
    revision: str | None = Field(None, description="Git revision of a Hub dataset; name one to be reproducible.")


class HtmlSettings(BaseModel):
    """What counts as the main text of a web page; the defaults score best on real pages (docs/web.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    focus: Literal["balanced", "precision", "recall"] = Field(
        "balanced", description="In doubt, leave out (precision) or keep (recall) what may be no main text."
    )
    tables: bool = Field(default=True, description="Keep the text in tables.")
    comments: bool = Field(default=False, description="Keep readers' comments below the text.")


class SourceSettings(BaseModel):
    """How to find and read one source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*$",
        description="Name of the source; becomes part of file names.",
    )
    paths: list[str] | None = Field(
        None,
        description=(
            "Files, folders, globs (`**` too) or fsspec URLs; relative ones start at the recipe's folder, `${VAR}` is "
            "taken from the environment. A folder means every file below it, or the data of a `save_to_disk` folder. "
            "Below a folder or a wildcard, hidden files (a name or folder that begins with a dot), `_SUCCESS`, "
            "`_temporary` and files that end in `.tmp`, `.crc` or `~` are left out unless named."
        ),
    )
    datasets: DatasetSettings | None = Field(None, description="A Hugging Face dataset, in place of `paths`.")
    text: str = Field(
        "text",
        description=(
            "The document: a field, dotted for one inside an object, or a template such as `{question}\\n{answer}` "
            "(a literal brace is written twice). A list of strings is joined by line breaks."
        ),
    )
    metadata: list[str] = Field(
        default_factory=list, description="Fields to carry along, dotted if need be: id, url, licence, ..."
    )
    format: Format = Field(
        "auto",
        description=(
            "`auto` looks at the content and asks the suffix only about plain text, CSV and TSV. JSON Lines and JSON "
            "are told apart by content whichever is named, and so is compression (gzip, zstd, bzip2, xz). `html` is a "
            "page a file, `warc` a web archive; `text` reads HTML files as they are."
        ),
    )
    html: HtmlSettings | bool = Field(
        default=False,
        description=(
            "The text is HTML, of which the main text is wanted. Always so for HTML files and web archives, where the "
            "key only says how: `html: {focus: recall}`. Needs the extra `html`."
        ),
    )
    encoding: str = Field(
        "utf-8",
        description=(
            "Character encoding of text formats, such as gb18030 or latin-1; for HTML files, that of pages that "
            "declare none or a wrong one."
        ),
    )
    records: Records = Field("file", description="What is a document in plain text: the file, a line, a paragraph.")
    columns: list[str] | None = Field(
        None, min_length=1, description="Names of the columns of a CSV/TSV that has no header."
    )
    max_rejected: float = Field(
        0.01, ge=0, le=1, description="Share of unreadable records above which the build ends with an error."
    )
    allow_truncated: bool = Field(
        default=False,
        description="Read a file that ends in the middle as far as it goes, instead of ending with an error.",
    )

    @field_validator("text")
    @classmethod
    def _text_parses(cls, text: str) -> str:
        parse_text(text)
        return text

    @field_validator("paths", "metadata", "columns")
    @classmethod
    def _entries_are_names(cls, entries: list[str] | None) -> list[str] | None:
        for entry in entries or []:
            if not entry.strip():
                raise ValueError("an entry is empty")
            if (entries or []).count(entry) > 1:
                raise ValueError(f"{entry!r} is named twice")
        return entries

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        try:
            known = codecs.lookup(encoding)
            codecs.getincrementaldecoder(encoding)
            "".encode(encoding)  # refuses codecs between bytes, such as base64
        except LookupError:
            raise ValueError(f"unknown encoding {encoding!r}{did_you_mean(encoding, _ENCODINGS)}") from None
        return known.name

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        if (self.paths is None) == (self.datasets is None):
            raise ValueError(f"source {self.name!r} needs exactly one of `paths` and `datasets`")
        if self.paths == []:
            raise ValueError(f"`paths` of source {self.name!r} is empty")
        readers = {
            "encoding": ("jsonl", "json", "text", "csv", "tsv", "html"),
            "records": ("text",),
            "columns": ("csv", "tsv"),
        }
        for key, formats in readers.items():
            if self.is_set(key) and (self.datasets or self.format not in ("auto", *formats)):
                what = "`datasets`" if self.datasets else f"format {self.format}"
                raise ValueError(f"`{key}` means nothing to {what} (source {self.name!r})")
        if self.datasets:
            for key in ("format", "allow_truncated"):
                if self.is_set(key):
                    raise ValueError(f"`{key}` means nothing to `datasets` (source {self.name!r})")
        if self.html and not self.text_rule.is_plain:
            raise ValueError(
                f"`html` of source {self.name!r} needs a `text` that is one field, not a template: what stands "
                "around a page is not part of it"
            )
        return self

    def is_set(self, key: str) -> bool:
        """Whether a key is given another value than its default."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)

    @property
    def text_rule(self) -> TextRule:
        """The parsed ``text``."""
        return parse_text(self.text)

    @property
    def extraction(self) -> HtmlSettings:
        """How main text is taken from HTML."""
        return self.html if isinstance(self.html, HtmlSettings) else HtmlSettings()

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide what the reader makes of a file: JSON values, for a task's key."""
        kept = {"text", "metadata", "format", "html", "encoding", "records", "columns"}
        kept |= {"allow_truncated", "datasets"}
        return self.model_dump(mode="json", include=kept)


class RecordSettings(SourceSettings):
    """A source whose records are wanted whole: ``text`` of a batch is each record as JSON, nested values and all."""

    @property
    def text_rule(self) -> TextRule:
        """The rule for whole records."""
        return WHOLE
