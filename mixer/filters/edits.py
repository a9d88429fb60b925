"""Edits over a batch: each changes text where it is in force, and how often is counted beside the document.

They come between ``language`` and ``judge``, so that the text that is judged is the text that training reads. An editor
is a function over a column of text; which edits it makes is told in ``EDITORS``, whose order is that of the edits.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.documents import EDITS, Batch, set_column, undecided
from mixer.filters import cleaning, conversion
from mixer.filters.check import Value
from mixer.filters.families.conversion import CONVERT
from mixer.filters.kernels.c4 import LINE_EDITS, edit_lines
from mixer.filters.kernels.menus import MENU_EDITS, edit_menus

Counts: TypeAlias = dict[str, NDArray[np.int32]]
"""For each edit int32[documents]: how often it was made."""
Editor: TypeAlias = Callable[[pa.LargeStringArray, Mapping[str, Value]], tuple[pa.LargeStringArray, Counts]]
"""Takes a column of text and the values of the edits in force; returns the text and the counts of just these edits."""
Editors: TypeAlias = Sequence[tuple[Sequence[str], Editor]]
"""The names of the edits that each editor makes, and the editor, in the order in which they work."""

EDITORS: Editors = (
    ((cleaning.REPAIR,), cleaning.repair),
    ((cleaning.ENTITIES,), cleaning.unescape),
    ((cleaning.CONTROL_CHARACTERS, cleaning.LINE_ENDS), cleaning.stray),
    ((cleaning.UNICODE,), cleaning.normalise),
    ((cleaning.MACRO_LINES,), cleaning.without_macros),
    (LINE_EDITS, edit_lines),
    (MENU_EDITS, edit_menus),
    ((CONVERT,), conversion.edit),
)
"""What edits the text before the rules look at it."""


def edit(batch: Batch, book: Mapping[str, Mapping[str, Value]], editors: Editors) -> Batch:
    """Edit each document as its language asks.

    Parameters
    ----------
    batch
        With the columns ``text`` and ``language``; documents that have a ``reason`` are left as they are.
    book
        The edits in force by language (see ``settings.editbook``).
    editors
        Who makes them; edits of other editors are left out.

    Returns
    -------
    The batch with its text edited, and a column ``edits.<name>`` (int32) for every edit that the book has and one of
    the editors makes: how often it was made, null where it is not in force.
    """
    made = [name for names, _ in editors for name in names if any(name in values for values in book.values())]
    counts = {name: np.full(len(batch), -1, np.int32) for name in made}
    open_documents = undecided(batch)
    texts = batch["text"]
    for language, values in book.items():
        of_language = pc.is_in(batch["language"], pa.array([language])).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(open_documents & of_language)
        if not len(rows) or not any(name in values for name in made):
            continue
        before = texts if len(rows) == len(batch) else texts.take(pa.array(rows))
        after = before
        for names, editor in editors:
            own = {name: values[name] for name in names if name in values}
            if own:
                after, found = editor(after, own)
                for name, column in found.items():
                    counts[name][rows] = column
        if after is not before:
            texts = _put_back(texts, rows, after)
    batch = set_column(batch, "text", texts)
    for name, column in counts.items():
        batch = set_column(batch, EDITS + name, pa.array(column, pa.int32(), mask=column < 0))
    return batch


def _put_back(texts: pa.LargeStringArray, rows: NDArray[np.int64], edited: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the column with the texts in ``rows`` replaced."""
    if len(rows) == len(texts):
        return edited
    order = np.arange(len(texts))
    order[rows] = len(texts) + np.arange(len(rows))
    return pa.concat_arrays([texts, edited]).take(pa.array(order))
