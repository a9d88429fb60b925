"""Write mixer/filters/han.npz: which writings of Chinese and Japanese a Han character belongs to.

Made from OpenCC's dictionaries (package ``opencc``) and the character sets of Python's codecs: GB 2312 (mainland), Big5
(Taiwan), KS X 1001 (Korea, which never simplified), JIS X 0208 (Japan). The table is data, so that builds give the
same bytes under every version of either; ``docs/language.md`` says what each class is good for.
"""

from pathlib import Path

import numpy as np
import opencc

from mixer.filters import script as s
from mixer.text.characters import CLASSES, HAN

CHARACTERS = [chr(code_point) for code_point in np.flatnonzero(CLASSES & HAN).tolist()]


def encodable(codec):
    found = set()
    for char in CHARACTERS:
        try:
            char.encode(codec)
        except UnicodeEncodeError:
            continue
        found.add(char)
    return found


def converted(configuration):
    """Each character alone, as OpenCC converts it."""
    lines = opencc.OpenCC(configuration).convert("\n".join(CHARACTERS)).split("\n")
    return dict(zip(CHARACTERS, lines, strict=True))


def changed(table):
    return {char for char, other in table.items() if other != char}


def flags():
    """The flags of every character that has any."""
    mainland, taiwan, korea, japan = map(encodable, ("gb2312", "big5", "euc_kr", "shift_jis"))
    to_simplified = converted("t2s")
    simplifies, complicates = changed(to_simplified), changed(converted("s2t"))
    hong_kong = changed(converted("hk2t"))  # 温, 户, 脱: printed in Hong Kong too
    shinjitai, kyujitai = changed(converted("jp2t")), changed(converted("t2jp"))
    # Not what traditional text may hold as well: characters of Big5 (万, 后, 里) and of Korea (无, 点, 却); and not
    # what only Japan simplified so.
    simplified = complicates - simplifies - taiwan - korea - hong_kong - (japan - mainland)
    # Not what simplified text may hold as well (於, 乾), or must for want of a common simplified form (殢, 鶒).
    traditional = {char for char in simplifies - complicates - mainland if to_simplified[char] in mainland}
    japanese = (shinjitai & japan) - mainland - taiwan - korea
    unjapanese = set(CHARACTERS) - japan | kyujitai
    classes = ((s.SIMPLIFIED, simplified), (s.TRADITIONAL, traditional), (s.JAPANESE, japanese),
               (s.UNJAPANESE, unjapanese))  # fmt: skip
    return {char: sum(flag for flag, members in classes if char in members) for char in CHARACTERS}


def table():
    """The flags as runs: code points at which they change, and what they are from there on."""
    dense = np.zeros(0x110000, np.uint8)
    for char, value in flags().items():
        dense[ord(char)] = value
    starts = np.concatenate([[0], np.flatnonzero(np.diff(dense)) + 1]).astype(np.int32)
    return starts, dense[starts]


def main():
    starts, values = table()
    target = Path(s.__file__).with_name("han.npz")
    np.savez_compressed(target, version=np.array(opencc.__version__), starts=starts, flags=values)
    sizes = {name: int(np.count_nonzero([v & flag for v in flags().values()]))
             for name, flag in (("simplified", s.SIMPLIFIED), ("traditional", s.TRADITIONAL), ("japanese", s.JAPANESE),
                                ("unjapanese", s.UNJAPANESE))}  # fmt: skip
    print(target, target.stat().st_size, "bytes,", len(starts), "runs,", sizes)


if __name__ == "__main__":
    main()
