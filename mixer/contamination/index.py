"""The index of all benchmarks: which n-gram stands where in which item. Made once, read by every task of a scan.

Beside each item stands a *control*: the first half of its units and the second half of those of another item of the
same benchmark, half a benchmark away. Nobody wrote it, yet its words, its length and most of its n-grams are those of
the benchmark; so the share of controls that are found says how many items are found by chance.

Left out are items of too few units, items that equal another one of their benchmark, and postings of n-grams that stand
in many items of their benchmark: instructions, and openings such as "Which of the following".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.contamination.records import Item
from mixer.contamination.settings import DecontaminateSettings
from mixer.contamination.units import Lookup, Numbers, hash_units, hash_windows, make_lookup
from mixer.errors import TaskError
from mixer.text.hashing import Hashes
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers

REPEATED_ITEMS = 20
REPEATED_SHARE = 0.01
"""An n-gram that stands in more items of its benchmark than both tells none of them: a passage with a dozen questions
about it is below that, the instructions of a task above."""
_CHUNK = 1 << 14
"""Items hashed at once."""
_LOOKUP = ("lengths", "seeds", "follow", "hashes")
_ARRAYS = (
    "hashes",
    "seeds",
    "follow",
    "lengths",
    "starts",
    "items",
    "positions",
    "spans",
    "benchmark",
    "units",
    "ngrams",
    "donors",
)


@dataclass(frozen=True)
class Index:
    """All n-grams of some benchmarks.

    Attributes
    ----------
    hashes
        Of the n-grams, ascending: uint64[grams]; ``spans`` has how many units each has: int32[grams].
    seeds, follow
        Hashes of their first units, and the lengths of n-grams that begin so, as ``units.Lookup`` has them.
    lengths
        All lengths of n-grams, ascending, the shortest that there may be first: int64[...].
    starts, items, positions
        N-gram g stands in item ``items[k]`` from its unit ``positions[k]`` on, for k from ``starts[g]`` to
        ``starts[g + 1]``: int64[grams + 1], int32[...], int32[...].
    benchmark, units, ngrams
        Of each item, and of each control behind them, the benchmark's number, how many units it has, and how many the
        n-grams that it is looked for by: int32[items + controls].
    donors
        The two items that a control was made of, -1 for items: int32[items + controls, 2].
    """

    hashes: Hashes
    seeds: Hashes
    follow: Hashes
    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    items: Numbers
    positions: Numbers
    spans: Numbers
    benchmark: Numbers
    units: Numbers
    ngrams: Numbers
    donors: Numbers

    @property
    def controls(self) -> NDArray[np.bool_]:
        """Which items are controls: bool[items + controls]."""
        return np.asarray(self.donors[:, 0] >= 0)

    def lookup(self) -> Lookup:
        """Lay the n-grams out for the pass over documents."""
        return make_lookup(*(getattr(self, name) for name in _LOOKUP))

    def save(self, file: IO[bytes] | Any) -> None:
        """Write the index to an open file."""
        np.savez(file, **{name: getattr(self, name) for name in _ARRAYS})


def load(path: Path) -> Index:
    """Read an index.

    Raises
    ------
    TaskError
        The file holds none.
    """
    return Index(**_arrays(path, _ARRAYS))


def load_lookup(path: Path) -> Lookup:
    """Read of an index only what the pass over documents needs, half of it.

    Raises
    ------
    TaskError
        The file holds none.
    """
    return make_lookup(**_arrays(path, _LOOKUP))


def _arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in names}
    except (ValueError, KeyError) as error:
        raise TaskError(
            f"{path} holds no index of benchmarks: {error}",
            "remove the folder run/ of the build and run the same command again",
        ) from error


@dataclass
class Counted:
    """What there is of a benchmark: texts read, those that are looked for, and why the others are not.

    ``whole`` are those among ``items`` that are compared as a whole, being shorter than an n-gram.
    """

    texts: int = 0
    items: int = 0
    whole: int = 0
    empty: int = 0
    short: int = 0
    repeated: int = 0


@dataclass
class IndexBuilder:
    """Takes benchmarks one after the other and makes the index of them.

    ``kept`` are the items in the order of the index, ``counted`` one for each benchmark.
    """

    settings: DecontaminateSettings
    kept: list[Item] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)
    _units: list[Hashes] = field(default_factory=list)
    _spans: list[int] = field(default_factory=list)
    _benchmark: list[int] = field(default_factory=list)

    def add(self, items: Iterable[Item]) -> None:
        """Add a benchmark."""
        number, counts = len(self.counted), Counted()
        seen: set[bytes] = set()
        held: list[Item] = []
        for item in items:
            held.append(item)
            if len(held) == _CHUNK:
                self._take(number, held, counts, seen)
                held = []
        self._take(number, held, counts, seen)
        self.counted.append(counts)

    def _take(self, number: int, items: Sequence[Item], counts: Counted, seen: set[bytes]) -> None:
        texts = pa.array([item.text for item in items], pa.large_string())
        units, bounds, singles = hash_units(*normalise(*buffers(texts)))
        for item, first, last, single in zip(items, bounds[:-1], bounds[1:], singles, strict=True):
            counts.texts += 1
            own = units[first:last]
            span = self._span(len(own), int(single))
            if not len(own):
                counts.empty += 1
            elif not span:
                counts.short += 1
            elif (key := own.tobytes()) in seen:
                counts.repeated += 1
            else:
                seen.add(key)
                counts.items += 1
                counts.whole += span == len(own)
                self.kept.append(item)
                self._units.append(own.copy())
                self._spans.append(span)
                self._benchmark.append(number)

    def _span(self, units: int, single: int) -> int:
        """Return how many units the n-grams of an item have; 0 for an item of too few."""
        settings = self.settings
        han = 2 * single > units
        whole, shortest = (
            (settings.ngram_characters, settings.shortest_characters) if han else (settings.ngram, settings.shortest)
        )
        return 0 if units < shortest else min(units, whole)

    def index(self) -> Index:
        """Make the index."""
        items = len(self.kept)
        units, spans, donors = self._with_controls()
        benchmark = np.array(self._benchmark, np.int32)
        benchmark = np.concatenate([benchmark, benchmark[donors[items:, 0]]])
        sizes = np.array([len(own) for own in units], np.int64)
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        seed = min(self.settings.shortest, self.settings.shortest_characters)
        flat = np.concatenate([*units, np.empty(0, np.uint64)])
        hashes, seeds = hash_windows(flat, bounds, spans, seed)
        windows = sizes - spans + 1
        item = np.repeat(np.arange(len(units), dtype=np.int32), windows)
        position = _counting(windows)
        distinct, gram = np.unique(hashes, return_inverse=True)
        telling = ~_repeated(gram, item, benchmark, items, [each.items for each in self.counted])
        kept, gram = np.unique(gram[telling], return_inverse=True)
        seeds, item, position = seeds[telling], item[telling], position[telling]
        order = np.argsort(gram, kind="stable")
        lengths = np.union1d([seed], spans).astype(np.int64)
        seeds, begun = np.unique(seeds, return_inverse=True)
        follow = np.zeros(len(seeds), np.uint64)
        np.bitwise_or.at(follow, begun, np.uint64(1) << np.searchsorted(lengths, spans[item]).astype(np.uint64))
        starts = np.concatenate([[0], np.cumsum(np.bincount(gram, minlength=len(kept)))])
        return Index(
            hashes=distinct[kept],
            seeds=seeds,
            follow=follow,
            lengths=lengths,
            starts=starts.astype(np.int64),
            items=item[order],
            positions=position[order],
            spans=spans[item[order[starts[:-1]]]].astype(np.int32),
            benchmark=benchmark,
            units=sizes.astype(np.int32),
            ngrams=spans.astype(np.int32),
            donors=donors,
        )

    def _with_controls(self) -> tuple[list[Hashes], NDArray[np.int64], Numbers]:
        """Return the units of items and controls, the length of their n-grams, and what controls are made of."""
        units, spans = list(self._units), list(self._spans)
        donors = [(-1, -1)] * len(units)
        first = 0
        for counts in self.counted:
            for place in range(counts.items if counts.items > 1 else 0):
                one, other = first + place, first + (place + counts.items // 2) % counts.items
                head, tail = self._units[one], self._units[other]
                made = np.concatenate([head[: len(head) // 2], tail[len(tail) // 2 :]])
                units.append(made)
                spans.append(min(len(made), self._spans[one]))
                donors.append((one, other))
            first += counts.items
        return units, np.array(spans, np.int64), np.array(donors, np.int32).reshape(-1, 2)


def _counting(sizes: NDArray[np.int64]) -> Numbers:
    """Count from 0 for each size: int32[sum]."""
    starts = np.cumsum(sizes) - sizes
    return (np.arange(sizes.sum()) - np.repeat(starts, sizes)).astype(np.int32)


def _repeated(
    gram: NDArray[np.int64], item: Numbers, benchmark: Numbers, items: int, sizes: Sequence[int]
) -> NDArray[np.bool_]:
    """Return which postings are of an n-gram that stands in many items of their benchmark; controls do not count."""
    limits = np.array([max(REPEATED_ITEMS, REPEATED_SHARE * size) for size in sizes])
    key = gram * max(1, len(sizes)) + benchmark[item]
    real = item < items
    pairs = np.unique(key[real] * max(1, items) + item[real])
    keys, counts = np.unique(pairs // max(1, items), return_counts=True)
    return np.isin(key, keys[counts > limits[keys % max(1, len(sizes))]])
