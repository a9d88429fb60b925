"""What was measured of each kind of text: bytes in a token and in a document, and the speed of every stage of a build.

The one table that ``costs.py`` reckons with. Speeds are those of benchmarks/README.md ("The whole pipeline": MB of
UTF-8 text a CPU second, warm, on two cores of a shared machine with Python 3.11); bytes in a token and in a document
are those of the first 4 MB of the same texts, encoded with Llama-3's vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STAGES: Final = ("prepare", "dedup", "tokenize", "join", "verify")
"""The stages of a build that cost something, in their order."""
HAN_LANGUAGES: Final = frozenset({"zh"})


@dataclass(frozen=True)
class Kind:
    """A kind of text.

    Attributes
    ----------
    name
        As benchmarks/README.md calls it.
    bytes_per_token, bytes_per_document
        UTF-8 bytes.
    speeds
        MB of text a CPU second, by stage.
    """

    name: str
    bytes_per_token: float
    bytes_per_document: int
    speeds: Mapping[str, float]


def _kind(name: str, bytes_per_token: float, bytes_per_document: int, *speeds: float) -> Kind:
    return Kind(name, bytes_per_token, bytes_per_document, dict(zip(STAGES, speeds, strict=True)))


ENGLISH_WEB: Final = _kind("English web", 4.50, 2_660, 22, 941, 64, 485, 1952)
ENGLISH_BOOKS: Final = _kind("English books and docs", 4.17, 17_800, 21, 1000, 61, 696, 5623)
CHINESE_WEB: Final = _kind("Chinese web and docs", 3.57, 4_230, 24, 1032, 22, 781, 3945)
CHINESE_BOOKS: Final = _kind("Chinese books", 3.04, 13_000, 30, 1104, 9.2, 1032, 4009)
POETRY: Final = _kind("Chinese poetry and headlines", 2.67, 193, 25, 156, 11, 914, 2517)
MATHEMATICS: Final = _kind("mathematics", 2.97, 1_080, 28, 563, 49, 428, 1720)
CODE: Final = _kind("code", 4.09, 6_660, 37, 1032, 56, 485, 4204)
KINDS: Final = (ENGLISH_WEB, ENGLISH_BOOKS, CHINESE_WEB, CHINESE_BOOKS, POETRY, MATHEMATICS, CODE)


def kind_of(domain: str, language: str) -> Kind:
    """Return the kind of text that is nearest to a domain and language of a recipe."""
    han = language in HAN_LANGUAGES
    by_domain = {"code": CODE, "math": MATHEMATICS, "poetry": POETRY, "book": CHINESE_BOOKS if han else ENGLISH_BOOKS}
    return by_domain.get(domain, CHINESE_WEB if han else ENGLISH_WEB)
