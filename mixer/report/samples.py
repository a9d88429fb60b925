"""A few documents for the page: kept ones of each dataset, dropped ones for each reason. Drawn with a seed.

A build of a whole web would take hours to draw from evenly, so only some files of each source are looked into, chosen
by the same seed.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mixer.inspection.finished import DROPPED, KEPT, BuildFile, Wanted, batches, files, reasons_of
from mixer.inspection.specimens import Specimen, random_order, specimens_at
from mixer.storage import Root

FILES = 4
"""Files of each folder of documents that are looked into."""


def kept(directory: Root, count: int, seed: int) -> dict[str, list[Specimen]]:
    """Draw kept documents of each dataset, by its name."""
    return {
        folder.name: found
        for folder, some in _some_files(directory, KEPT, seed)
        if folder.parent.name == "train"
        for found in _draw(some, count, seed).values()
    }


def dropped(directory: Root, count: int, seed: int) -> dict[str, list[Specimen]]:
    """Draw dropped documents for each reason, by its name; of several sources where there are."""
    by_reason: dict[str, list[list[Specimen]]] = {}
    for _, some in _some_files(directory, DROPPED, seed):
        for reason, found in _draw(some, count, seed).items():
            by_reason.setdefault(str(reason), []).append(found)
    turns = {  # the first of each source, then the second, ...
        reason: [each for turn in range(count) for own in found for each in own[turn : turn + 1]]
        for reason, found in by_reason.items()
    }
    return {reason: turns[reason][:count] for reason in sorted(turns)}


def _some_files(directory: Root, root: str, seed: int) -> list[tuple[PurePosixPath, list[BuildFile]]]:
    """Return the folders of documents, each with some of its files."""
    folders: dict[PurePosixPath, list[BuildFile]] = {}
    for file in files(directory, Wanted(kept=root == KEPT)):
        folders.setdefault(PurePosixPath(file.name).parent, []).append(file)
    return [
        (folder, sorted(own, key=lambda file: float(random_order(file.name, np.zeros(1, np.int64), seed)[0]))[:FILES])
        for folder, own in sorted(folders.items())
    ]


def _draw(some: Sequence[BuildFile], count: int, seed: int) -> dict[str | None, list[Specimen]]:
    """Draw documents of some files for each reason; None: those that were kept."""
    best: dict[str | None, list[tuple[float, int, int]]] = {}
    for number, file in enumerate(some):
        for start, batch in batches(file, ["record", "reason"]):
            order = random_order(file.name, start + np.arange(len(batch)), seed)
            reasons = reasons_of(batch).dictionary_encode(null_encoding="encode")
            groups = reasons.indices.to_numpy()
            for group, reason in enumerate(reasons.dictionary.to_pylist()):
                rows = np.flatnonzero(groups == group)
                nearest = rows[np.argsort(order[rows])[:count]]
                found = [(float(order[row]), number, int(start + row)) for row in nearest]
                best[reason] = sorted([*best.get(reason, []), *found])[:count]
    wanted = [(number, row) for chosen in best.values() for _, number, row in chosen]
    read = {
        (number, row): specimen
        for number, file in enumerate(some)
        for row, specimen in specimens_at(file, [row for at, row in wanted if at == number])
    }
    return {reason: [read[number, row] for _, number, row in chosen] for reason, chosen in best.items()}
