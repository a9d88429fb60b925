"""Write mixer/text/unicode.npz: the class of every code point, as runs, and the case-folding map.

The tables are data, so that builds give the same bytes under every Python; run this once with the Python whose
``unicodedata`` version shall hold.
"""

import unicodedata
from pathlib import Path

import numpy as np

from mixer.text import characters as c

# Unicode's Scripts.txt, script property Han, Hiragana + Katakana, Hangul; and the two marks that only kana uses.
HAN = [(0x2E80, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B), (0x3400, 0x4DBF),
       (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0x16FE2, 0x16FE3), (0x16FF0, 0x16FF1), (0x20000, 0x323AF)]  # fmt: skip
KANA = [(0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D),
        (0x1B000, 0x1B167)]  # fmt: skip
HANGUL = [(0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xAC00, 0xD7A3), (0xD7B0, 0xD7FB), (0xFFA0, 0xFFDC)]


def within(code_point, ranges):
    return any(first <= code_point <= last for first, last in ranges)


def assigned(char):
    return unicodedata.category(char) != "Cn"


def classes_of(code_point):
    if 0xD800 <= code_point <= 0xDFFF:
        return 0
    char = chr(code_point)
    category = unicodedata.category(char)
    flags = 0
    flags |= c.LETTER * (category[0] == "L")
    flags |= c.DIGIT * (category == "Nd")
    flags |= c.NUMBER * (category[0] == "N")
    flags |= c.MARK * (category[0] == "M")
    flags |= c.PUNCTUATION * (category[0] == "P")
    flags |= c.SYMBOL * (category[0] == "S")
    flags |= c.CONTROL * (category in ("Cc", "Cf", "Co", "Cn"))
    flags |= c.SPACE * char.isspace()
    if within(code_point, HAN) and assigned(char):
        flags |= c.HAN | c.LETTER
    if within(code_point, KANA) and assigned(char):
        flags |= c.KANA
    if within(code_point, HANGUL) and assigned(char):
        flags |= c.HANGUL
    flags |= c.FOLDS * (char.casefold() != char)
    flags |= c.UNSTABLE * (code_point in UNSTABLE)
    return flags


def composable():
    """Code points that NFC may change: those it changes alone, all combining marks, and the later halves of pairs."""
    unstable = set()
    for code_point in range(0x110000):
        if 0xD800 <= code_point <= 0xDFFF:
            continue
        char = chr(code_point)
        if unicodedata.combining(char) or unicodedata.normalize("NFC", char) != char:
            unstable.add(code_point)
        decomposed = unicodedata.decomposition(char)
        if decomposed and not decomposed.startswith("<"):
            unstable.update(int(part, 16) for part in decomposed.split()[1:])
    unstable.update(range(0x1160, 0x1200))  # Hangul vowels and trailing consonants compose by rule, not by table
    return unstable


UNSTABLE = composable()
flags = np.array([classes_of(code_point) for code_point in range(0x110000)], np.uint16)
starts = np.concatenate([[0], np.flatnonzero(np.diff(flags)) + 1]).astype(np.int32)
folding = [cp for cp in range(0x110000) if flags[cp] & c.FOLDS]
folded = np.zeros((len(folding), 3), np.int32)
for row, code_point in enumerate(folding):
    for column, char in enumerate(chr(code_point).casefold()):
        folded[row, column] = ord(char)
target = Path(c.__file__).with_name("unicode.npz")
np.savez_compressed(target, version=np.array(unicodedata.unidata_version), starts=starts, flags=flags[starts],
                    folding=np.array(folding, np.int32), folded=folded)  # fmt: skip
print(target, target.stat().st_size, "bytes,", len(starts), "runs,", len(folding), "folding code points")
