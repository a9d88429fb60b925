"""What a user writes: the recipe, composed of the settings that each room defines for itself.

What several settings must fit together for is checked here; ``loading`` makes a ``Recipe`` of a file and says what is
wrong with it.
"""

from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from mixer.contamination.settings import DecontaminateSettings
from mixer.dedup.settings import DedupSettings
from mixer.documents import METADATA
from mixer.engine.settings import EngineSettings
from mixer.errors import RecipeError, did_you_mean
from mixer.filters.blocklists import BlockList
from mixer.filters.custom import CustomFilter
from mixer.filters.language import CODE
from mixer.filters.settings import CheckOverrides, Domain, FilterSettings, LanguageSettings, Overrides, PrivacySettings
from mixer.mixture.settings import MixtureSettings, ShareSettings, contradiction, weights_fault
from mixer.sources.settings import SourceSettings


class Source(ShareSettings, SourceSettings):
    """One named corpus: how to read it, what it is, how often training may read it, and what part it shall have."""

    domain: Domain = Field(description="Kind of text; decides which rules apply and which domain share it counts to.")
    language: str = Field(
        "auto",
        description=(
            "A declared language such as `zh` always wins over detection; `detect` detects it for code too; `auto` "
            "detects it, except that the code domain is labelled `code`."
        ),
    )
    programming_language: str | None = Field(
        None,
        description=(
            "For rules on code: the field, of `metadata`, that says what a document is written in, by a language "
            "(`C++`), an extension or a path. Default: those of `metadata` named programming_language, lang, language, "
            "ext, extension, max_stars_repo_path, path, file_path, filename, file_name or file, the first that "
            "knows; else the suffix of the source's own file, else the document's first characters."
        ),
    )
    max_epochs: float | None = Field(
        None, gt=0, description="Cap on how often training reads this source; default: mixture.max_epochs."
    )
    filters: CheckOverrides = Field(
        default_factory=Overrides,
        description="Rules and edits for this source alone, by name; `false` switches one off, `profile` names a set.",
    )

    @model_validator(mode="after")
    def _programming_language_is_carried(self) -> Self:
        if self.programming_language is not None and self.programming_language not in self.metadata:
            raise ValueError(
                f"`programming_language` of source {self.name!r} names {self.programming_language!r}, which is not "
                f"among its `metadata`{did_you_mean(self.programming_language, self.metadata)}"
            )
        return self

    def carries(self, blocklist: BlockList) -> bool:
        """Whether documents have what a block list compares."""
        return blocklist.column == "text" or blocklist.column.removeprefix(METADATA) in self.metadata


class Recipe(BaseModel):
    """A whole recipe: the sources, what is kept of them, and the mixture they shall make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the recipe and of its build.")
    tokenizer: str = Field(
        "llama3",
        description="A known name, or a path to a tokenizer.json or a tiktoken vocabulary; tokens are counted in it.",
    )
    seed: int = Field(1234, ge=0, lt=2**32, description="Seed of everything that is drawn.")
    mixture: MixtureSettings = Field(default_factory=MixtureSettings, description="What training shall see.")
    sources: list[Source] = Field(min_length=1, description="The corpora; their order is priority among duplicates.")
    language: LanguageSettings = Field(default_factory=LanguageSettings, description="Language identification.")
    filters: FilterSettings = Field(
        default_factory=FilterSettings, description="Rules and edits by `domain/language` (`*` for any), then by name."
    )
    blocklists: list[BlockList] = Field(
        default_factory=list, description="Lists of URLs, domains, ids or texts that must go."
    )
    custom: list[CustomFilter] = Field(default_factory=list, description="Filters of your own, asked after the rules.")
    privacy: PrivacySettings = Field(
        default_factory=PrivacySettings, description="What stands in the place of personal data and secrets."
    )
    decontaminate: DecontaminateSettings = Field(
        default_factory=DecontaminateSettings, description="Benchmarks whose items no document may hold."
    )
    dedup: DedupSettings = Field(default_factory=DedupSettings, description="Which duplicates are removed.")
    engine: EngineSettings = Field(default_factory=EngineSettings, description="Where the build runs.")

    @field_validator("sources", "custom")
    @classmethod
    def _names_differ(cls, named: list[Any], info: ValidationInfo) -> list[Any]:
        names = [each.name for each in named]
        for name in names:
            if names.count(name) > 1:
                what = "sources" if info.field_name == "sources" else "custom filters"
                raise ValueError(f"two {what} are named {name!r}; names must differ")
        return named

    @model_validator(mode="after")
    def _domains_exist(self) -> Self:
        given = [("mixture.domains", self.mixture.domains)]
        given += [(f"mixture.phases[{k}].domains", part.domains or {}) for k, part in enumerate(self.mixture.phases)]
        for key, domains in given:
            for domain in domains:
                if domain not in get_args(Domain):
                    raise ValueError(f"{key}: unknown domain {domain!r}{did_you_mean(domain, get_args(Domain))}")
        return self

    @model_validator(mode="after")
    def _lists_can_be_asked(self) -> Self:
        for each in self.blocklists:
            if not any(source.carries(each) for source in self.sources):
                field = each.column.removeprefix(METADATA)
                raise ValueError(
                    f"blocklists: {each.file} compares {field!r}, which no source carries; add it to `metadata` of the "
                    "sources it is meant for, or name another `field`"
                )
        return self

    @model_validator(mode="after")
    def _kept_sources_exist(self) -> Self:
        names = [source.name for source in self.sources]
        for name in self.decontaminate.keep:
            if name not in names:
                raise ValueError(f"decontaminate.keep: there is no source {name!r}{did_you_mean(name, names)}")
        return self

    @model_validator(mode="after")
    def _languages_are_wanted(self) -> Self:
        wanted = {self.mixture.additional_language, *self.mixture.base_languages}
        for source in self.sources:
            if source.language not in {"auto", "detect", *wanted}:
                raise ValueError(
                    f"source {source.name!r} declares language {source.language!r}, which is neither the additional "
                    f"language nor a base language ({', '.join(sorted(wanted))}){did_you_mean(source.language, wanted)}"
                )
        return self

    @model_validator(mode="after")
    def _languages_of_places_are_kept(self) -> Self:
        kept = {self.mixture.additional_language, *self.mixture.base_languages, CODE}
        places = [("filters", place) for place in self.filters.root]
        places += [(f"custom filter {own.name!r}", place) for own in self.custom for place in own.where]
        for where, place in places:
            language = place.partition("/")[2]
            if language not in {"*", *kept}:
                raise ValueError(
                    f"{where}: {place!r} is about documents in {language!r}, of which none are kept; the languages are "
                    f"{', '.join(sorted(kept))}{did_you_mean(language, kept)}"
                )
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if found := weights_fault(self.mixture.weights, self.share_bounds):
            raise ValueError(f"mixture.{found}")
        domain = {source.name: source.domain for source in self.sources}
        for number, part in enumerate(self.mixture.by_phase, 1):
            if found := contradiction(self.share_bounds, domain, part.domains):
                where = f" in phase {number}" if self.mixture.phases else ""
                raise ValueError(f"share, min_share and max_share of sources{where}: {found}")
        return self

    def source(self, name: str) -> Source:
        """Return the source of that name.

        Raises
        ------
        RecipeError
            There is none.
        """
        for source in self.sources:
            if source.name == name:
                return source
        names = [source.name for source in self.sources]
        raise RecipeError(
            f"the recipe has no source {name!r}{did_you_mean(name, names)}", f"its sources: {', '.join(names)}"
        )

    @property
    def split_seed(self) -> int:
        """Seed of the split into train and valid."""
        return self.seed if self.mixture.seed is None else self.mixture.seed

    @property
    def share_bounds(self) -> dict[str, tuple[float, float]]:
        """The smallest and the largest share of each source, 0 and 1 where it sets none."""
        return {source.name: source.share_bounds for source in self.sources}

    def max_epochs(self, source: str) -> float:
        """Return the cap on epochs that holds for a source."""
        own = self.source(source).max_epochs
        return self.mixture.max_epochs if own is None else own
