"""Examples of a step side by side in rows, so that little is filled up, and none sees another.

A step trains on the same examples with the same loss whether or not they share rows: packing changes the speed alone.
Rows are made of the examples of one step in the order in which they were drawn, whatever the layout; a process takes
every ``data parallel size``-th micro-batch of them. Each example begins at position 0 and attends to itself only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from megatron.core import parallel_state
from numpy.typing import NDArray

from mixer.dialogues.examples import Examples
from mixer.train.losses import Batch, Work

Ids: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """What is drawn as one: an example, or the chosen and the rejected one of a pair, which stay in one row.

    Parameters
    ----------
    parts
        The examples, one table or two of the same length.
    window
        Most tokens of an example.
    """

    parts: tuple[Examples, ...]
    window: int

    @property
    def capacity(self) -> int:
        """Tokens of a row."""
        return self.window * len(self.parts)

    @cached_property
    def lengths(self) -> Ids:
        """Places that each takes in a row: int64[n]. The last token of an example is only ever a label."""
        total: Ids = np.sum([part.lengths - 1 for part in self.parts], axis=0)
        return total


def fit(lengths: Ids, capacity: int) -> list[list[int]]:
    """Share units out over rows: the longest first, each into the first row with room for it.

    First-fit decreasing takes at most 11/9 of the fewest possible rows, and one more (Dósa 2007, "The tight bound of
    first fit decreasing bin-packing algorithm").

    Parameters
    ----------
    lengths
        Places that each unit takes: int64[n].
    capacity
        Places of a row; none is longer.
    """
    rows: list[list[int]] = []
    room = np.full(len(lengths), capacity, np.int64)
    for unit in np.argsort(-lengths, kind="stable"):
        row = int(np.argmax(room >= lengths[unit]))
        if row == len(rows):
            rows.append([])
        rows[row].append(int(unit))
        room[row] -= lengths[unit]
    return rows


def rows_of(
    units: Units, drawn: Ids, micro_batch: int, complete: Callable[[Batch, Ids], None], *, packing: bool
) -> Work:
    """Return this process's micro-batches of a step.

    Parameters
    ----------
    units, drawn
        What is drawn, and which of them the step reads: int64[n].
    micro_batch
        Rows of a micro-batch.
    complete
        Adds what an objective reads to a micro-batch, given which of ``drawn`` it holds, in order.
    packing
        Whether several share a row.

    Returns
    -------
    Work
        Micro-batches of one long row each, in which an example begins after the other. Besides what every batch has,
        ``begins`` (``losses.NextToken``) and ``example`` (``losses.Preference``).
    """
    lengths = units.lengths[drawn]
    rows = fit(lengths, units.capacity) if packing else [[unit] for unit in range(len(drawn))]
    ranks, rank = parallel_state.get_data_parallel_world_size(), parallel_state.get_data_parallel_rank()
    count = -(-len(rows) // (micro_batch * ranks))
    rows += [[]] * (count * micro_batch * ranks - len(rows))

    def batches() -> Iterator[Batch]:
        for first in range(rank * micro_batch, len(rows), ranks * micro_batch):
            taken = rows[first : first + micro_batch]
            batch = _batch(units, [drawn[row] for row in taken])
            complete(batch, np.array([unit for row in taken for unit in row], np.int64))
            yield batch

    return Work(batches(), count, (1, micro_batch * units.capacity), int(lengths.sum()))


def by_column(columns: Ids) -> Callable[[Batch, Ids], None]:
    """Give the tokens of each example a column of the totals: the ``group`` of ``losses.NextToken``.

    Parameters
    ----------
    columns
        For what the step reads: int64[n], or int64[n, 2] for both examples of a pair.
    """

    def complete(batch: Batch, taken: Ids) -> None:
        known = np.append(columns[taken].ravel(), 0)  # what fills a row up counts for nothing
        batch["group"] = torch.from_numpy(known)[batch["example"]]

    return complete


def _batch(units: Units, rows: list[Ids]) -> Batch:
    """Lay the examples of some rows out, one row after the other."""
    size = len(rows) * units.capacity
    number = sum(map(len, rows)) * len(units.parts)
    tokens, labels, positions = np.zeros((3, size), np.int64)
    mask, begins = np.zeros((2, size), np.float32)
    example = np.full(size, number, np.int64)
    bounds = [0]
    done = 0
    for end, row in zip(range(units.capacity, size + 1, units.capacity), rows, strict=True):
        for unit in row:
            for part in units.parts:
                first, last = part.offsets[unit], part.offsets[unit + 1] - 1
                here = slice(bounds[-1], bounds[-1] + int(last - first))
                tokens[here], labels[here] = part.tokens[first:last], part.tokens[first + 1 : last + 1]
                positions[here] = np.arange(last - first)
                mask[here] = part.learned[first + 1 : last + 1]
                begins[here.start] = 1.0
                example[here] = done
                bounds.append(here.stop)
                done += 1
        while bounds[-1] < end:  # what fills the row up is no longer than an example, either
            bounds.append(min(bounds[-1] + units.window, end))
    columns = {"tokens": tokens, "labels": labels, "positions": positions, "mask": mask}
    columns |= {"begins": begins, "example": example}
    batch = {name: torch.from_numpy(values)[None] for name, values in columns.items()}
    return {**batch, "bounds": torch.tensor(bounds, dtype=torch.int32)}
