"""The peer datatrove: its n-gram decontamination filter, timed in one process; prints one JSON object.

Runs inside ``benchmarks/.venv-datatrove`` and imports nothing of mixer:

    benchmarks/.venv-datatrove/bin/python benchmarks/peer_decontamination.py items.jsonl pages.jsonl [--chinese]

Both files are JSON Lines with a field ``text``. datatrove makes its index from tasks of lighteval, which is not needed
for files of one's own: the hashes are made here by its own functions, in the order in which its indexer calls them, of
the questions alone (``find_query_ngrams``). The filter then runs as it is. The JSON tells documents, UTF-8 ``bytes``,
``grams``, CPU seconds of the index and of the scan, and the numbers of the documents that it drops.
"""

import argparse
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import peer
from datatrove.data import Document
from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import TextNormConfig, ngrams, simplify_text
from peer_datatrove import CHINESE, ENGLISH

NGRAM = 13


def index(filter_step, items, folder):
    """Write the hashes of all n-grams of the items where the filter looks for them; return how many."""
    hashes = set()
    for text in items:
        words = filter_step.tokenizer.word_tokenize(simplify_text(text, filter_step.config.norm_config))
        hashes.update(map(filter_step.hash_func, map(" ".join, ngrams(words, NGRAM))))
    np.array(sorted(hashes), dtype=filter_step.config.hash_config.np_descr).tofile(Path(folder) / "items.index.hashes")
    return len(hashes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("items", type=Path)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--chinese", action="store_true")
    given = parser.parse_args()
    items, texts = peer.texts([given.items], -1), peer.texts([given.documents], -1)
    # Its default makes every number a 0, with which no two problems of arithmetic differ.
    config = NGramsDecontConfig(n_grams=NGRAM, norm_config=TextNormConfig(norm_numbers=False))
    with tempfile.TemporaryDirectory() as folder:
        step = NGramsDecontFilter(folder, config=config, language=CHINESE if given.chinese else ENGLISH)
        step.tokenizer.word_tokenize("Words, 词")
        before = peer.cpu_seconds()
        grams = index(step, items, folder)
        indexed = peer.cpu_seconds()
        step.load_index_hashes()
        documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
        dropped = [number for number, document in enumerate(documents) if step.filter(document) is not True]
        scanned = peer.cpu_seconds()
    size = peer.size(texts)
    print(
        peer.json.dumps(
            {
                "peer": f"datatrove {version('datatrove')}",
                "documents": len(texts),
                "bytes": size,
                "grams": grams,
                "index_seconds": round(indexed - before, 3),
                "scan": peer.figures(size, scanned - indexed),
                "dropped": dropped,
            }
        )
    )


if __name__ == "__main__":
    main()
