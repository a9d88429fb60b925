"""What of a document matches an item, as text: for people who look at a finding. Runs over few documents, in Python.

Kernels know the units of normal forms and not where they stand in the text; here both are walked once more.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from mixer.contamination.units import ONE_CHARACTER, WORD
from mixer.text.characters import CLASSES

LONGEST = 2000
"""Characters of a passage that are kept."""
GAP = 16
"""Units between two matches that belong to one passage all the same."""


def _ranges(flags: int) -> str:
    """Write the characters with one of some flags as ranges of a regular expression."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (CLASSES & flags) > 0, [0]]).astype(np.int8)))
    return "".join(f"\\U{first:08x}-\\U{last - 1:08x}" for first, last in edges.reshape(-1, 2).tolist())


_UNIT = re.compile(f"[{_ranges(ONE_CHARACTER)}]|(?:(?![{_ranges(ONE_CHARACTER)}])[{_ranges(WORD)}])+")


def units(text: str) -> list[tuple[str, int, int]]:
    """Return the units of a text in their normal form, each with where it begins and ends in the text."""
    return [
        (unicodedata.normalize("NFC", found[0]).casefold(), found.start(), found.end())
        for found in _UNIT.finditer(text)
    ]


class Document:
    """A document in which the passages of several items are looked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._units = units(text)
        self._places: dict[int, dict[tuple[str, ...], list[int]]] = {}

    def matched(self, item: str, ngram: int) -> str:
        """Return the longest passage that is made of n-grams of an item; empty if there is none.

        Parameters
        ----------
        ngram
            Units in a row that must be equal.
        """
        wanted = [unit for unit, _, _ in units(item)]
        places = self._of(min(ngram, len(wanted)))
        grams = {tuple(wanted[start : start + ngram]) for start in range(max(1, len(wanted) - ngram + 1))}
        hits = sorted(start for gram in grams for start in places.get(gram, ()))
        first, last = _longest(hits, min(ngram, len(wanted)))
        return self._text[self._units[first][1] : self._units[last - 1][2]][:LONGEST] if last else ""

    def _of(self, ngram: int) -> dict[tuple[str, ...], list[int]]:
        """Return where each n-gram of the document begins, in units."""
        if ngram not in self._places:
            self._places[ngram] = {}
            names = [unit for unit, _, _ in self._units]
            for start in range(len(names) - ngram + 1):
                self._places[ngram].setdefault(tuple(names[start : start + ngram]), []).append(start)
        return self._places[ngram]


def _longest(hits: Sequence[int], ngram: int) -> tuple[int, int]:
    """Return where the longest run of matches begins and ends, in units."""
    best, run = (0, 0), (0, 0)
    for start in hits:
        run = (run[0], start + ngram) if run[1] and start <= run[1] + GAP else (start, start + ngram)
        best = max(best, run, key=lambda each: each[1] - each[0])
    return best
