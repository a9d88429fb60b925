"""Write the corpora of the packaged recipe quickstart: mixer/recipes/quickstart/*, small, real and free to pass on.

    MIXER_DATA=/path/to/corpora python scripts/quickstart_corpora.py [--out DIR]

MIXER_DATA holds the texts as their repositories have them (mixer/recipes/quickstart/README.md names repositories,
commits and licences). What is done to them is here: which records are taken, what is cut away (headers, editors'
prefaces, mark-up) and where long works are parted into records. The same input and library versions give the same
bytes: nothing is drawn at random and no file carries a time.

Long works are parted because a document goes to train or to validation as a whole, and 2 % of a few whole books is
often nothing.
"""

import argparse
import csv
import gzip
import io
import json
import os
import re
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

HERE = Path(__file__).resolve().parent.parent / "mixer" / "recipes" / "quickstart"


# Reading and writing


def read_json_lines(path):
    """Read the records of a JSON Lines file, .gz or .zst."""
    if path.suffix == ".gz":
        data = gzip.decompress(path.read_bytes())
    else:
        data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    return [json.loads(line) for line in data.decode().splitlines()]


def as_json(record):
    return json.dumps(record, ensure_ascii=False)


def json_lines(records):
    return "".join(as_json(record) + "\n" for record in records).encode()


def json_array(records):
    return ("[\n" + ",\n".join(map(as_json, records)) + "\n]\n").encode()


def csv_table(records):
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return table.getvalue().encode()


def gz(data):
    return gzip.compress(data, 9, mtime=0)


def zst(data):
    return zstandard.ZstdCompressor(level=19).compress(data)


def parquet(records):
    file = io.BytesIO()
    options = {"compression": "zstd", "compression_level": 19, "use_dictionary": ["licence", "origin"]}
    pq.write_table(pa.Table.from_pylist(records), file, row_group_size=1024, **options)
    return file.getvalue()


# Parting long works


def sections(paragraphs, least):
    """Part a work into texts of ``least`` characters or somewhat more, at ends of paragraphs.

    A text ends after a paragraph whose letters have a checksum divisible by 4. So another edition of the work is parted
    at the same places, and a paragraph that differs moves the borders near it only.
    """
    parts, current = [], []
    for paragraph in paragraphs:
        current.append(paragraph)
        letters = re.sub(r"[\W_]", "", paragraph).lower()
        if sum(map(len, current)) >= least and zlib.crc32(letters.encode()) % 4 == 0:
            parts.append(current)
            current = []
    if parts and sum(map(len, current)) < least:
        parts[-1] += current
    elif current:
        parts.append(current)
    return ["\n\n".join(part) for part in parts]


def markdown_sections(text, least):
    """Part a Markdown text before headings of any level, once ``least`` characters are together."""
    parts = [""]
    fenced = False
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced and len(parts[-1]) >= least:
            parts.append("")
        parts[-1] += line
    if len(parts) > 1 and len(parts[-1]) < least:
        parts[-2:] = [parts[-2] + parts[-1]]
    return [part.strip() for part in parts if part.strip()]


# English


BOOKS = {  # of each book its editions; a second one brings exact and near duplicates of the first
    "Pride-and-Prejudice_1342": (
        ("Pride and Prejudice", "Jane Austen", "81db45c9c4", r"Chapter \d+"),
        ["1342.txt", "old/pandp12.txt"],
    ),
    "The-Adventures-of-Sherlock-Holmes_1661": (
        (
            "The Adventures of Sherlock Holmes",
            "Arthur Conan Doyle",
            "7e5dd2703f",
            r"(?:ADVENTURE )?[IVX]+\. [A-Z][A-Z '-]+",
        ),
        ["1661.txt", "old/advsh12.txt"],
    ),
    "Alice-s-Adventures-in-Wonderland_11": (
        ("Alice's Adventures in Wonderland", "Lewis Carroll", "7f18748e11", r" *CHAPTER [IVX]+\b.*"),
        ["11-0.txt"],
    ),
}
END_OF_BOOK = re.compile(r"^ *(\*\*\* ?END OF|End of (the )?Project Gutenberg|THE END *$)", re.M | re.I)


def paragraphs_of(text):
    """Undo the line breaks inside paragraphs; indented lines are verse and keep theirs."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.strip("\n").split("\n")]
        verse = sum(line.startswith(" ") for line in lines) > 1
        paragraph = "\n".join(lines) if verse else " ".join(line.strip() for line in lines)
        if paragraph.strip(" *\n"):
            yield paragraph


def gutenberg(data):
    texts = {record["id"]: record["text"] for record in read_json_lines(data / "en/gutenberg_editions.jsonl.zst")}
    for name, ((title, author, commit, heading), editions) in BOOKS.items():
        for edition in editions:
            text = texts[f"{name}/{edition}"].replace("\r\n", "\n")
            text = text[re.search(rf"^{heading}$", text, re.M).start() :]
            text = text[: END_OF_BOOK.search(text).start()]
            starts = [match.start() for match in re.finditer(rf"^(?:{heading})$", text, re.M)]
            for chapter in (text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)):
                for part in sections(paragraphs_of(chapter), 1500):
                    if re.search(r"gutenberg|\betext", part, re.I):
                        raise ValueError(f"{name}/{edition}: the publisher's own text is left in\n{part}")
                    yield {
                        "text": part,
                        "title": title,
                        "author": author,
                        "licence": "public domain in the USA",
                        "origin": f"GITenberg/{name}@{commit}:{edition}",
                    }


# One book in two languages


RUST = {"author": "Steve Klabnik, Carol Nichols, Chris Krycho", "licence": "MIT OR Apache-2.0"}
TRPL = {"author": RUST["author"] + "; KaiserY and contributors", "licence": "MIT"}


def plain_markdown(text):
    """Take away what only the book's own tools read: comments, anchors, placeholders for listings, link targets."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"^```[^\n]*\n(?:\{\{#[^\n]*\n)+```\n", "", text, flags=re.M)
    text = re.sub(r"</?(?:a|img|span|Listing|figure|section)\b[^>]*>", "", text)
    text = re.sub(r"^(?:\[TOC\]|\{\{#.*|\[[^\]\n]+\]: .*|\[[\w-]+\.md\]\(.*\))$", "", text, flags=re.M)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def rust_book(data):
    english = re.compile(r"nostarch/(?:chapter\d+|appendix_[a-e])\.md")
    for record in read_json_lines(data / "en/rust_book_versions.jsonl.zst"):
        if english.fullmatch(record["path"]):
            for part in markdown_sections(plain_markdown(record["content"]), 800):
                origin = f"rust-lang/book@917544888a:{record['path']}"
                yield {"text": part, "title": "The Rust Programming Language", **RUST, "origin": origin}
    chinese = re.compile(r"src/(?:ch\d\d-.*|appendix-0[1-5].*)\.md")
    for record in read_json_lines(data / "zh/trpl_zh_cn.jsonl.gz"):
        if chinese.fullmatch(record["file"]):
            for part in markdown_sections(plain_markdown(record["markdown"]), 300):
                origin = f"KaiserY/trpl-zh-cn@49df980589:{record['file']}"
                yield {"text": part, "title": "Rust 程序设计语言", **TRPL, "origin": origin}


# Chinese


NOVELS = {"三国演义": ("罗贯中", range(40)), "儒林外史": ("吴敬梓", range(1, 57))}  # 0 of the second: a preface of 1991


def classics(data):
    records = read_json_lines(data / "zh/classic_novels_html.jsonl.zst")
    for book, (author, chapters) in NOVELS.items():
        by_chapter = {record["chapter"]: record for record in records if record["book"] == book}
        for chapter in chapters:
            # a line break or an indent of full-width spaces starts a paragraph; markup is <br> alone, checked below
            plain = re.sub(r"<br>|\u3000{2,}", "\n", by_chapter[chapter]["html"]).replace("&nbsp;", " ")
            if left := re.search(r"<[^>]*>|&\w+;", plain):
                raise ValueError(f"{book} {chapter}: markup that is not handled: {left.group()}")
            paragraphs = [line.strip() for line in plain.split("\n") if line.strip()]
            for part in sections(paragraphs, 400):
                path = f"resources/{by_chapter[chapter]['category']}/{book}/{chapter}.html"
                yield {
                    "text": part,
                    "title": book,
                    "author": author,
                    "licence": "public domain text; MIT",
                    "origin": f"luoxuhai/chinese-novel@aecdc1a1b8:{path}",
                }


TANG_POETS = ["王維", "李白", "杜甫"]
SONG_POETS = ["柳永", "晏殊", "欧阳修", "晏几道", "苏轼", "秦观", "周邦彦", "李清照", "陆游", "辛弃疾", "姜夔"]


def poem(record, title, origin):
    origin = f"chinese-poetry/chinese-poetry@99ebbef7e1:{origin}"
    return {
        "title": record[title],
        "author": record["author"],
        "text": "\n".join(record["paragraphs"]),
        "licence": "public domain text; MIT",
        "origin": origin,
    }


def tang(data):
    for record in read_json_lines(data / "zh/tang_poetry_traditional.jsonl.zst"):
        if record["author"] in TANG_POETS and record["paragraphs"]:
            yield poem(record, "title", "全唐诗/poet.tang.*.json")


def song(data):
    for record in json.loads(gzip.decompress((data / "zh/song_ci_simplified.json.gz").read_bytes())):
        if record.get("author") in SONG_POETS and record["paragraphs"]:
            yield poem(record, "rhythmic", "宋词/ci.song.*.json")


# Mathematics and code


def gsm8k(data):
    for record in read_json_lines(data / "math/gsm8k_train.jsonl.zst")[:2000]:
        origin = "openai/grade-school-math@3101c7d507:grade_school_math/data/train.jsonl"
        yield {"question": record["question"], "answer": record["answer"], "licence": "MIT", "origin": origin}


LOGIC = ["sets-functions-relations", "set-theory", "first-order-logic", "computability", "turing-machines",
         "incompleteness", "model-theory"]  # fmt: skip


def open_logic(data):
    for record in read_json_lines(data / "math/textbooks_latex.jsonl.zst"):
        parts = record["path"].split("/")
        # a file with a section title holds text; the others only list files
        if "OpenLogic" in record["repo"] and parts[1] in LOGIC and "\\olsection" in record["text"]:
            yield {
                "text": record["text"],
                "title": "The Open Logic Text: " + "/".join(parts[1:]).removesuffix(".tex"),
                "author": "The Open Logic Project",
                "licence": "CC-BY-4.0",
                "origin": f"OpenLogicProject/OpenLogic@9620cc73f9:{record['path']}",
            }


PACKAGES = ["asyncio", "collections", "concurrent", "ctypes", "distutils", "email", "html", "http", "importlib", "json",
            "sqlite3", "unittest", "urllib", "venv", "wsgiref", "xml", "zoneinfo"]  # fmt: skip


def python(data):
    for record in pq.read_table(data / "code/local_packages_starcoder_schema.parquet").to_pylist():
        path = record["max_stars_repo_path"]
        package = path.split("/")[0] if "/" in path else None
        small = 500 <= len(record["content"]) <= 30_000
        # a file with a notice of its own may be under another licence than the rest of Python
        foreign = re.search(r"copyright|permission is hereby", record["content"], re.I)
        if record["license"] == "PSF-2.0" and package in [None, *PACKAGES] and small and not foreign:
            origin = f"python/cpython, Debian libpython3.11-stdlib:{path}"
            yield {"content": record["content"], "licence": "PSF-2.0", "origin": origin}


def snippets(data):
    for record in read_json_lines(data / "code/30_seconds_snippets.jsonl.gz"):
        content = re.sub(r"\A---\n.*?\n---\n+", "", record["content"], flags=re.S)
        origin = f"30-seconds/30-seconds-of-code@c16c7cb135:{record['path']}"
        yield {"content": content, "licence": "CC0-1.0", "origin": origin}


FILES = {
    "gutenberg.jsonl.zst": (gutenberg, json_lines, zst),
    "rust-book.jsonl.gz": (rust_book, json_lines, gz),
    "classics.jsonl.zst": (classics, json_lines, zst),
    "tang.csv.gz": (tang, csv_table, gz),
    "song.json.gz": (song, json_array, gz),
    "gsm8k.parquet": (gsm8k, parquet, bytes),
    "open-logic.jsonl.zst": (open_logic, json_lines, zst),
    "python.parquet": (python, parquet, bytes),
    "snippets.jsonl.gz": (snippets, json_lines, gz),
}


def main():
    parser = argparse.ArgumentParser(description="Write the corpora of the packaged recipe quickstart.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: the package's)")
    parser.add_argument("--data", type=Path, default=os.environ.get("MIXER_DATA"), help="default: $MIXER_DATA")
    arguments = parser.parse_args()
    if not arguments.data or not arguments.data.is_dir():
        parser.error("give --data or set MIXER_DATA to the folder of corpora")
    arguments.out.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, (select, container, compress) in FILES.items():
        records = list(select(arguments.data))
        data = compress(container(records))
        (arguments.out / name).write_bytes(data)
        total += len(data)
        print(f"{name:24} {len(records):6,} records {len(data):10,} bytes")
    print(f"{'':24} {'':6}         {total:10,} bytes")


if __name__ == "__main__":
    main()
