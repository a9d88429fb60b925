"""Write what the packaged fine-tuning learns from: mixer/recipes/tuning/{sums,poems}.jsonl.gz.

    python scripts/tuning_answers.py [--out DIR]

Both are made of the corpora in mixer/recipes/quickstart, so that they may be passed on as these may. A
record is something asked, a whole answer and a poorer one: a problem of GSM8K with its solution and with the bare
result; a poem of the Tang asked for by its author and title, whole and its first line only. The same input gives the
same bytes.
"""

import argparse
import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow.parquet as pq

RECIPES = Path(__file__).resolve().parent.parent / "mixer" / "recipes"
PROBLEMS, POEMS = 200, 150
LONGEST_TITLE = 12
"""Characters; longer ones are half a story of the poem."""


def sums(folder):
    for row in pq.read_table(folder / "gsm8k.parquet").slice(0, PROBLEMS).to_pylist():
        bare = row["answer"].rsplit("\n", 1)[1]
        yield row["question"], row["answer"], bare, row


def poems(folder):
    table = csv.DictReader(io.StringIO(gzip.decompress((folder / "tang.csv.gz").read_bytes()).decode()))
    short = (row for row in table if len(row["title"]) <= LONGEST_TITLE and row["text"].count("\n") >= 1)
    for row, _ in zip(short, range(POEMS), strict=False):
        yield f"請默寫{row['author']}的《{row['title']}》。", row["text"], row["text"].split("\n")[0], row


def written(records):
    lines = []
    for asked, whole, poorer, row in records:
        record = {"instruction": asked, "chosen": whole, "rejected": poorer}
        record |= {"licence": row["licence"], "origin": row["origin"]}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return gzip.compress("".join(lines).encode(), 9, mtime=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RECIPES / "tuning")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, made in (("sums", sums(RECIPES / "quickstart")), ("poems", poems(RECIPES / "quickstart"))):
        (out / f"{name}.jsonl.gz").write_bytes(written(made))


if __name__ == "__main__":
    main()
