"""Personal data and secrets, replaced by placeholders: the last edit, of documents that are kept.

``redact`` is an editor as ``edits`` knows them, but for the placeholders that it is given. A batch is searched once,
and its text is copied only if something was found.
"""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixer.filters.check import Value
from mixer.filters.edits import Editors
from mixer.filters.kernels.private import KINDS, Tables, find, replace, tables, wanted
from mixer.filters.settings import PrivacySettings
from mixer.text.utf8 import buffers, strings

PREFIX = "privacy."
NAMES = tuple(PREFIX + kind for kind in KINDS)
"""The edits that ``redact`` makes."""

Spans = NDArray[np.int64]

_ROUNDS = 20
"""How often a text is searched: a bound for texts made to be slow, such as a megabyte of keys that go on one another.
Real texts are searched twice at most, of those that were measured."""


@cache
def _tables(kinds: frozenset[str]) -> Tables:
    return tables(kinds)


def joined(spans: Spans) -> Spans:
    """Join matches that overlap: int64[matches, 3] in, fewer rows out, in order; the first kind names the whole."""
    if len(spans) < 2:
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    ends = np.maximum.accumulate(spans[:, 1])
    firsts = np.flatnonzero(np.concatenate([[True], spans[1:, 0] >= ends[:-1]]))
    lasts = np.append(firsts[1:], len(spans)) - 1
    return np.column_stack([spans[firsts, 0], ends[lasts], np.minimum.reduceat(spans[:, 2], firsts)])


def redact(
    texts: pa.LargeStringArray, values: Mapping[str, Value], placeholders: Mapping[str, str]
) -> tuple[pa.LargeStringArray, dict[str, NDArray[np.int32]]]:
    """Replace personal data and secrets in a column of text.

    Documents in which something was found are searched again, until nothing is (``_ROUNDS`` times at most): what stood
    beside an address may be recognised once the address is gone.

    Parameters
    ----------
    values
        The edits in force, of ``NAMES``.
    placeholders
        For each of ``NAMES`` what is put in place of a match; no match may begin, end or lie in it.

    Returns
    -------
    The text, and for each of ``values`` int32[documents]: how many matches were replaced.
    """
    kinds = frozenset(name.removeprefix(PREFIX) for name in values)
    mask, lookup = wanted(kinds), _tables(kinds)
    column = buffers(pa.array([placeholders[name] for name in NAMES], pa.large_string()))
    counts = np.zeros((len(KINDS), len(texts)), np.int32)
    rows = np.arange(len(texts))
    for _ in range(_ROUNDS):
        data, offsets = buffers(texts)
        spans = joined(find(data, offsets, rows, mask, lookup))
        if not len(spans):
            break
        found = np.searchsorted(offsets, spans[:, 0], "right") - 1
        np.add.at(counts, (spans[:, 2], found), 1)
        texts = strings(*replace(data, offsets, spans, *column))
        rows = np.unique(found)
    return texts, {name: counts[KINDS.index(name.removeprefix(PREFIX))] for name in values}


def editors(settings: PrivacySettings) -> Editors:
    """Return the editor that puts a recipe's placeholders, as ``edit`` takes it."""
    placeholders = {
        "privacy.email": settings.email,
        "privacy.ipv4": settings.ip_address,
        "privacy.ipv6": settings.ip_address,
        "privacy.cn_mobile": settings.phone,
        "privacy.cn_identity": settings.id_number,
        "privacy.secrets": settings.secret,
    }
    return ((NAMES, partial(redact, placeholders=placeholders)),)
