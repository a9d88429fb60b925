"""Makes the inputs of the benchmark: for each kind of text one JSON Lines file, as large as asked, of real documents.

The corpora are those of ``trial.yaml``, read by mixer itself, in shuffled order, so that the beginning of a file is a
sample of all of it. Where they are smaller than what is asked they are repeated, and in each repetition one Han
character and one word in ten, drawn anew, is replaced by another one of the same corpora: half of all runs of five
words then differ from every other copy, so that deduplication keeps the copies, and so do most clauses, so that the
tokenizer does not meet the same Chinese again. (Short texts may still come out alike: the kept share tells.)
"""

import itertools
import random
import re
from dataclasses import dataclass

import msgspec
import numpy as np

from mixer.loading import load_recipe
from mixer.sources.plan import plan_source
from mixer.sources.read import read

REPLACED = 0.1
WORD = re.compile("([A-Za-z]+)")
POOL_BYTES = 4 << 20
"""Text that replacements are drawn from."""


@dataclass(frozen=True)
class Kind:
    """A kind of text: the sources of ``trial.yaml`` it comes from, and what a recipe says of it."""

    name: str
    sources: tuple[str, ...]
    domain: str
    almr: float
    peer: str

    @property
    def slug(self):
        return re.sub("[^a-z]+", "-", self.name.lower())


KINDS = (
    Kind("English web", ("web-pages",), "web", 0.0, "english"),
    Kind("English books and docs", ("gutenberg", "rust-book", "peps", "go-docs", "wikipedia"), "book", 0.0, "english"),
    Kind("Chinese web and docs", ("laws", "oi-wiki", "tidb-docs", "medical-qa"), "web", 1.0, "chinese"),
    Kind("Chinese books", ("novels", "zuozhuan"), "book", 1.0, "chinese"),
    Kind("Chinese poetry and headlines", ("tang-poetry", "song-ci", "headlines"), "poetry", 1.0, "chinese"),
    Kind("mathematics", ("gsm8k-train", "gsm8k-solutions", "latex", "ape210k"), "math", 0.1, "english"),
    Kind("code", ("packages", "code-qa"), "code", 0.0, "english"),
)


def documents(kind, trial):
    """Read all documents of a kind, shuffled."""
    loaded = load_recipe(str(trial))
    texts = []
    for name in kind.sources:
        source = loaded.recipe.source(name)
        for task in plan_source(source, loaded.root):
            for batch in read(task, source, lambda *_: None):
                texts += batch["text"].to_pylist()
    texts = [text for text in texts if text]
    random.Random(kind.name).shuffle(texts)
    return texts


class Editor:
    """Replaces words and characters by others of the same documents."""

    def __init__(self, texts, seed):
        sizes = itertools.accumulate(map(len, texts))
        sample = "\n".join(text for text, size in zip(texts, sizes, strict=True) if size <= POOL_BYTES) or texts[0]
        points = np.frombuffer(sample.encode("utf-32-le"), "<u4")
        self._han = points[_is_han(points)]
        self._words = WORD.findall(sample)
        self._random = np.random.default_rng(seed)

    def __call__(self, text):
        points = np.frombuffer(text.encode("utf-32-le"), "<u4").copy()
        places = self._drawn(np.flatnonzero(_is_han(points)))
        if len(places):
            points[places] = self._random.choice(self._han, len(places))
            text = points.tobytes().decode("utf-32-le")
        pieces = WORD.split(text)
        places = self._drawn(np.arange(1, len(pieces), 2)) if self._words else ()
        for place, word in zip(places, self._random.integers(0, len(self._words) or 1, len(places)), strict=True):
            pieces[place] = self._words[word]
        return "".join(pieces)

    def _drawn(self, places):
        return places[self._random.random(len(places)) < REPLACED]


def _is_han(points):
    return (points >= 0x4E00) & (points <= 0x9FFF)


def write(texts, path, size, seed=1, skip=0):
    """Write documents and as many edited copies as it takes to ``size`` bytes of text; return documents and bytes.

    ``skip`` leaves out so many copies, for several files without common text.
    """
    edit = Editor(texts, seed)
    count = total = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for copy in itertools.count(skip):
            for text in texts:
                written = edit(text) if copy else text
                file.write(msgspec.json.encode({"text": written}) + b"\n")
                count += 1
                total += len(written.encode())
                if total >= size:
                    return count, total
    raise AssertionError("unreachable")
