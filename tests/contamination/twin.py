"""Decontamination in plain Python, as slow as it is easy to read: what the kernels and stages are held against."""

import unicodedata
from collections import defaultdict

from mixer.text.characters import CLASSES, HAN, KANA, LETTER, MARK, NUMBER


def units(text):
    """Cut the normal form of a text into units."""
    normal = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    found, word = [], ""
    for character in normal:
        flags = CLASSES[ord(character)]
        single = flags & (HAN | KANA)
        if flags & (LETTER | MARK | NUMBER) and not single:
            word += character
            continue
        if word:
            found.append(word)
        word = ""
        if single:
            found.append(character)
    return [*found, word] if word else found


def is_single(unit):
    return len(unit) == 1 and bool(CLASSES[ord(unit)] & (HAN | KANA))


def span(own, settings):
    """Return how many units the n-grams of an item have, 0 if it is too short."""
    han = 2 * sum(map(is_single, own)) > len(own)
    whole = settings.ngram_characters if han else settings.ngram
    shortest = settings.shortest_characters if han else settings.shortest
    return 0 if len(own) < shortest else min(whole, len(own))


def windows(own, length):
    return [tuple(own[start : start + length]) for start in range(len(own) - length + 1)]


def telling(items, settings):
    """Return by item number the set of its n-grams that stand in no more than ``limit`` items of its benchmark.

    ``items`` are lists of units of one benchmark, those too short left out and no two alike.
    """
    limit = max(20, len(items) / 100)
    holders = defaultdict(set)
    for number, own in enumerate(items):
        for gram in windows(own, span(own, settings)):
            holders[gram].add(number)
    return {gram for gram, numbers in holders.items() if len(numbers) <= limit}


def covered(own, grams, length):
    """Count the units of an item that lie in some n-grams."""
    marked = set()
    for start, gram in enumerate(windows(own, length)):
        if gram in grams:
            marked.update(range(start, start + length))
    return len(marked)


def coverages(items, documents, settings):
    """Return ``{(document, item): coverage}`` of the items of one benchmark, wherever a document holds an n-gram of it.

    Parameters
    ----------
    items, documents
        Texts; items are counted without those that are left out.
    """
    own_units, kept = [units(text) for text in items], []
    for own in own_units:
        if span(own, settings) and own not in kept:
            kept.append(own)
    lengths = {span(own, settings) for own in kept}
    held = [{gram for length in lengths for gram in windows(units(text), length)} for text in documents]
    proving = telling(kept, settings)
    holders = defaultdict(int)
    for grams in held:
        for gram in grams & proving:
            holders[gram] += 1
    most = max(settings.common_documents, settings.common_share * len(documents))
    proving -= {gram for gram, count in holders.items() if count > most}
    found = {}
    for row, grams in enumerate(held):
        for number, own in enumerate(kept):
            length = span(own, settings)
            if own_covered := covered(own, grams & proving, length):
                possible = max(covered(own, proving, length), min((len(own) + 1) // 2, 2 * length))
                found[row, number] = own_covered / possible
    return found
