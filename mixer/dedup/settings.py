"""What a user can say about duplicates: the key ``dedup`` of a recipe."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MinhashSettings(BaseModel):
    """Near duplicates: two documents whose shingles overlap, found by MinHash in bands.

    The defaults are 14 bands of 8 hashes, which make a pair of similarity s a candidate with probability
    1 - (1 - s^8)^14: one half at 0.68, 0.92 at 0.8, 0.9996 at 0.9 (the shape FineWeb published), and 0.7 for the share
    of hashes that must agree, which removes the candidates that met by chance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shingle: int = Field(
        default=5,
        ge=1,
        le=64,
        description="Units in a row that are compared; a unit is a Han or kana character or a word.",
    )
    bands: int = Field(
        default=14, ge=1, le=512, description="Bands; two documents that are equal in one band are candidates."
    )
    rows: int = Field(default=8, ge=1, le=512, description="Hashes in a band.")
    similarity: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Share of all bands * rows hashes in which candidates must agree to be duplicates.",
    )
    seed: int = Field(default=1, ge=0, lt=1 << 64, description="Seed of the hash functions.")

    @property
    def hashes(self) -> int:
        """Length of a signature: bands * rows."""
        return self.bands * self.rows

    @property
    def enough(self) -> int:
        """Hashes in which two documents must agree to be duplicates."""
        return math.ceil(self.similarity * self.hashes - 1e-9)  # the nearest float may lie above a whole number

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hashes > 512:
            raise ValueError(f"bands * rows is {self.hashes}, at most 512 hashes are allowed")
        return self


class ParagraphSettings(BaseModel):
    """Paragraphs or lines that stand in many documents: kept in the first of them, cut out of all others.

    To keep one of all is what C4 did with spans of three sentences (Raffel et al. 2020, arXiv:1910.10683, section 2.2),
    from the second document on. Keys are hashes of 64 bits as in CCNet (Wenzek et al. 2020, arXiv:1911.00359), but of
    mixer's normal form, in which digits and punctuation count. Neither counts documents or has a least length for this:
    the defaults are mixer's own. Ten documents may quote one text, and 100 characters are some three sentences of
    Chinese; ordinary sentences, which return by chance, are shorter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Literal["paragraph", "line"] = Field(
        default="paragraph",
        description="What is cut: lines, or paragraphs, which are lines between blank ones.",
    )
    most: int = Field(default=10, ge=1, description="Documents in which a unit may stand and not be cut.")
    characters: int = Field(
        default=100,
        ge=1,
        description="Shorter units stay, white space not counted. A document that is left with less is dropped as "
        "`dedup.paragraphs`.",
    )


class DedupSettings(BaseModel):
    """Which documents count as duplicates; the one that comes first in the recipe's order of sources is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exact: bool = Field(
        default=True,
        description="Drop documents whose text is the same but for case, white space and Unicode composition.",
    )
    minhash: MinhashSettings | Literal[False] = Field(
        default=MinhashSettings(), description="Near duplicates by MinHash; false switches them off."
    )
    partitions: Annotated[int, Field(ge=1, le=65_535)] | Literal["auto"] = Field(
        default="auto",
        description="Tasks that the comparison is shared out to; auto: as many as keep each under a gigabyte.",
    )
    against: list[str] = Field(
        default_factory=list,
        description="Directories of earlier builds; what they kept for training or validation is removed here.",
    )

    paragraphs: ParagraphSettings | Literal[False] = Field(
        default=False,
        description="Cut out paragraphs or lines that stand in many documents; `{}` takes the defaults.",
    )

    @property
    def hashes(self) -> int:
        """Length of a signature; 0 if MinHash is off."""
        return self.minhash.hashes if self.minhash else 0

    @property
    def keys(self) -> int:
        """How many keys a document has by which it can meet another: one of its text, one a band."""
        return 1 + (self.minhash.bands if self.minhash else 0)
