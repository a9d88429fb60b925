"""Slow, readable twins of the kernels in ``mixer.filters``: plain Python over one text, from the definitions alone."""

import math
import re
from collections import Counter
from itertools import pairwise

from datatrove.utils.text import TERMINAL_PUNCTUATION

from mixer.filters.kernels.c4 import POLICY
from mixer.filters.kernels.chinese import ARROWS, BULLETS, SENTENCE_ENDS, STOP_CHARACTERS, TEASERS
from mixer.filters.kernels.lines import TERMINALS
from mixer.filters.kernels.prose import TITLES
from mixer.filters.kernels.words import STOP_WORDS
from mixer.text import characters as c
from tests.filters import code_twins

SPELT = c.LETTER | c.NUMBER | c.MARK | c.CONTROL


def has(char, flags):
    return bool(char) and bool(c.CLASSES[ord(char)] & flags)


def spells(char):
    """A character that continues a word which is not Han or kana."""
    return has(char, SPELT) and not has(char, c.SPACE | c.HAN | c.KANA)


def split_words(text):
    """Cut a text into words, one decision for each character: does it go on with the word before it?"""
    words = []
    open_word = False  # the last word may go on with letters
    base = ""  # the last character before any marks
    for here, char in enumerate(text):
        after = text[here + 1] if here + 1 < len(text) else ""
        single = has(base, c.HAN | c.KANA)
        if has(char, c.SPACE):
            open_word, base = False, ""
            continue
        joins = False
        if has(char, SPELT):
            joins = open_word and (has(char, c.MARK) or not (single or has(char, c.HAN | c.KANA)))
            becomes = True
        elif open_word and not single and char in "._":
            joins = becomes = spells(after)
        elif open_word and not single and char == "," and has(base, c.DIGIT):
            joins = becomes = spells(after) and has(after, c.DIGIT)
        elif open_word and not single and char in "'’" and has(base, c.LETTER):
            becomes = spells(after) and has(after, c.LETTER)
        else:
            becomes = False
        if not joins and not becomes:  # a symbol, which goes on with a run of itself
            joins = not open_word and base == char
        if joins:
            words[-1] += char
        else:
            words.append(char)
        if not (joins and has(char, c.MARK)):
            base = char
        open_word = becomes
    return words


def substance(word):
    return any(has(char, c.LETTER | c.NUMBER | c.MARK) for char in word)


def alphabetic(word):
    return any(has(char, c.LETTER) for char in word)


def word_statistics(text):
    words = split_words(text)
    solid = [word for word in words if substance(word)]
    n = len(words)
    return {
        "words": len(solid),
        "mean_word_length": sum(map(len, solid)) / len(solid) if solid else 0,
        "hashes_per_word": text.count("#") / n if n else 0,
        "ellipses_per_word": (text.count("...") + text.count("…")) / n if n else 0,
        "alphabetic_words": sum(map(alphabetic, words)) / n if n else 0,
        "stop_words": len(set(words) & set(STOP_WORDS)),
        "newlines_per_word": text.count("\n") / n if n else 0,
    }


def gram_statistics(text):
    words = split_words(text)
    found = {}
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        gram, count = grams.most_common(1)[0] if grams else ("", 0)
        found[f"top_{n}gram"] = len(gram) * count / len(text) if text else 0
    for n in range(5, 11):
        seen, repeated, place = set(), 0, 0
        while place <= len(words) - n:
            gram = tuple(words[place : place + n])
            if gram in seen:
                repeated += len("".join(gram))
                place += n
            else:
                seen.add(gram)
                place += 1
        found[f"duplicate_{n}grams"] = repeated / len(text) if text else 0
    return found


def duplicate_statistics(text):
    found = {}
    for name, parts in (("line", re.split("\n+", text)), ("paragraph", re.split("\n{2,}", text.strip()))):
        seen, duplicates = set(), []
        for part in parts:
            if part in seen:
                duplicates.append(part)
            seen.add(part)
        found[f"duplicate_{name}s"] = len(duplicates) / len(parts)
        found[f"duplicate_{name}_characters"] = len("".join(duplicates)) / len(text) if text else 0
    return found


def han_statistics(text):
    def han(line):
        return "".join(char for char in line if has(char, c.HAN))

    seen, duplicate = set(), 0
    for line in text.split("\n"):
        line = "".join(line.split())
        duplicate += len(han(line)) * (line in seen)
        seen.add(line)
    chars = han(text)
    found = {
        "han_duplicate_lines": duplicate / len(chars) if chars else 0,
        "han_distinct": sum(char not in chars[max(0, i - 99) : i] for i, char in enumerate(chars)) / len(chars)
        if chars
        else 1,
    }
    for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13):
        places = {}
        for place in range(len(chars) - n + 1):
            places.setdefault(chars[place : place + n], []).append(place)
        twice = [where for where in places.values() if len(where) > 1]
        if n < 5:
            name, covered = f"han_top_{n}gram", max((covered_by(where, n) for where in twice), default=0)
        else:
            name, covered = f"han_repeated_{n}grams", covered_by([place for where in twice for place in where[1:]], n)
        found[name] = covered / len(chars) if chars else 0
        if n < 5 and len(chars) < 200:
            found[name] = math.nan
    return found


def covered_by(places, n):
    """Return how many characters lie in n-grams at some places."""
    return len({place + i for place in places for i in range(n)})


def page_statistics(text):
    solid = "".join(text.split())
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    n, m = len(solid), len(lines)
    punctuation = sum(has(char, c.PUNCTUATION) for char in solid)
    ends = SENTENCE_ENDS.replace(".", "")
    pieces = re.split(rf"[{ends}\n]|\.(?=\s)", text)
    bare = [re.sub(rf"[{re.escape(ARROWS)}\s]+$", "", line) for line in lines]
    return {
        "bracketed_share": sum(len("".join(part.split())) for part in re.findall("【[^】\n]*】", text)) / n if n else 0,
        "hash_runs_per_character": len(re.findall("#+", text)) / n if n else 0,
        "ellipsis_runs_per_character": len(re.findall(r"…+|\.{3,}|。{3,}", text)) / n if n else 0,
        "digit_share": sum(has(char, c.DIGIT) for char in solid) / (n - punctuation) if n > punctuation else 0,
        "punctuation_share": punctuation / n if n else 0,
        "chinese_sentences": sum(any(has(char, c.LETTER | c.NUMBER) for char in piece) for piece in pieces),
        "newlines_per_character": text.count("\n") / n if n else 0,
        "mean_filled_line": n / m if m else 0,
        "teaser_lines": sum(line.endswith(TEASERS) for line in bare) / m if m else 0,
        "chinese_bullet_lines": sum(line[0] in BULLETS for line in lines) / m if m else 0,
        "stop_characters": len(set(text) & set(STOP_CHARACTERS)),
    }


def line_statistics(text):
    lines = text.splitlines()
    stripped = [line.strip() for line in lines]
    filled = [line for line in stripped if line]
    letters = sum(has(char, c.LETTER) for char in text)
    return {
        "characters": len("".join(text.split())),
        "han_share": sum(has(char, c.HAN) for char in text) / letters if letters else 0,
        "alphanumeric_share": sum(has(char, c.LETTER | c.NUMBER) for char in text) / len(text) if text else 0,
        "alphabetic_share": sum(has(char, c.LETTER) for char in text) / len(text) if text else 0,
        "maximum_line_length": max(map(len, lines), default=0),
        "mean_line_length": sum(map(len, lines)) / len(lines) if lines else 0,
        "bullet_lines": sum(line.startswith(("•", "-")) for line in stripped) / len(lines) if lines else 0,
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in stripped) / len(lines) if lines else 0,
        "terminal_lines": sum(line.endswith(tuple(TERMINALS)) for line in filled) / len(filled) if filled else 0,
    }


def sentence_ends(line):
    """Yield where sentences end inside a line, its own end aside."""
    for match in re.finditer(r"""[.?!][].?!"')}»’”]*(?=\s+[^\sa-z])""", line):
        word = re.search("[A-Za-z]*$", line[: match.start()])
        before = line[: word.start()][-1:]
        whole = not has(before, c.LETTER | c.NUMBER | c.MARK) and before not in ("'", "’")
        if not (match[0] == "." and whole and (len(word[0]) == 1 or word[0] in TITLES)):
            yield match.end()


def split_sentences(line):
    """Cut a line after its sentences; parts without a letter are left out."""
    places = [0, *sentence_ends(line), len(line)]
    return [part for part in (line[begin:end] for begin, end in pairwise(places)) if alphabetic(part)]


def is_unbroken_prose(line):
    places = [0, *sentence_ends(line)]
    inside = sum(alphabetic(line[begin:end].splitlines()[-1]) for begin, end in pairwise(places))
    return len(line) >= 1000 and inside * 600 >= len(line)


def ends_sentence(line):
    while len(line) > 1 and (line[-1].isspace() or line[-1] in "\"')]}’”»"):
        line = line[:-1]
    return line[-1] in TERMINAL_PUNCTUATION


def prose_statistics(text):
    lines = [line for line in text.split("\n") if line.strip()]
    n = len(lines)
    repeated = sum(len(line) for here, line in enumerate(lines) if line in lines[:here])
    return {
        "lorem_ipsum": len(re.findall("lorem ipsum", text, re.ASCII | re.IGNORECASE)),
        "curly_brackets": text.count("{"),
        "sentences": sum(len(split_sentences(line)) for line in text.splitlines()),
        "long_lines": sum(len(line) >= 200 for line in text.split("\n")),
        "ended_lines": sum(ends_sentence(line) or is_unbroken_prose(line) for line in lines) / n if n else 0,
        "stopped_lines": sum(line[-1] in TERMINAL_PUNCTUATION for line in lines) / n if n else 0,
        "short_lines": sum(len(line) <= 30 for line in lines) / n if n else 0,
        "repeated_line_characters": repeated / len(text.replace("\n", "")) if n else 0,
    }


def edit_lines(text, values):
    """C4's edits of one text, and how often each was made."""
    counts = dict.fromkeys(values, 0)
    kept = []

    def objection(line, words):
        small = line.lower()
        longest = values.get("c4.long_word_lines", float("inf"))
        return next(
            name
            for name, objects in {
                "c4.long_word_lines": any(len(word) > longest for word in words),
                "c4.unpunctuated_lines": not line.endswith((".", "?", "!", '"', "'")) or line.endswith("..."),
                "c4.short_lines": len(words) < values.get("c4.short_lines", 0),
                "c4.javascript_lines": "javascript" in small,
                "c4.policy_lines": any(phrase in small for phrase in POLICY),
                None: True,
            }.items()
            if objects and (name in values or name is None)
        )

    spaces = "c4.line_spaces" in values
    lines = text.splitlines(keepends=True)
    if lines and lines[-1].splitlines() != [lines[-1]]:
        lines.append("")
    for raw in lines:
        line = raw.strip()
        if not line:
            if spaces:
                counts["c4.line_spaces"] += 1
            else:
                kept.append(raw)
            continue
        cut, citations = line, 0
        if "c4.citations" in values:
            cut, citations = re.subn(r"\[\d*]|\[edit]|\[citation needed]", "", line)
        name = objection(cut, line.split())
        if name is not None:
            counts[name] += 1
            continue
        if citations:
            counts["c4.citations"] += citations
        if spaces:
            counts["c4.line_spaces"] += line not in (raw, raw.removesuffix("\n"))
            kept.append(cut)
        else:
            head, tail = raw.split(line, 1)
            kept.append(head + cut + tail)
    return ("\n".join(kept).strip() if spaces else "".join(kept)), counts


def statistics(text):
    """Every statistic of one text."""
    return {
        **line_statistics(text),
        **word_statistics(text),
        **gram_statistics(text),
        **duplicate_statistics(text),
        **prose_statistics(text),
        **page_statistics(text),
        **han_statistics(text),
        **code_twins.statistics(text),
    }
