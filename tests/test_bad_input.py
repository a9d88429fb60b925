"""Everything that can be wrong with what a user gives: exit code, message, remedy, and nothing lost in silence."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import zstandard

from mixer.manifest import read
from tests.small import chinese, english, lines, mixer

pytestmark = pytest.mark.usefixtures("kept_server")

REPOSITORY = Path(__file__).parent.parent


def rejected(out):
    """Read what was set aside, by source."""
    return {
        path.parent.name: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted((out / "rejected").rglob("*.jsonl"))
    }


def counts(ran, source):
    """Return records, rejected and kept of a source from the closing table."""
    row = re.search(rf"^{source} +([\d,]+) +([\d,]+) +([\d,]+)", ran.stdout, re.M)
    return tuple(int(number.replace(",", "")) for number in row.groups())


def refused(ran, code, *said):
    """Expect an error: its exit code, and what message and remedy say."""
    assert ran.code == code, ran.stderr
    assert re.search(r"^error: .*\n(?:.*\n)*  remedy: .", ran.stderr, re.M)
    for text in said:
        assert text in ran.stderr


# Records that cannot be read


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b'{"text": "abc\n', "no valid JSON"),
        (b'{"text": "abc"} x\n', "no valid JSON"),
        (b'{"text": "abc \xff\xfe def"}\n', "invalid UTF-8"),
        (b'{"text": "abc \\u0000 def"}\n', "the text holds a NUL character"),
        (b'{"text": "abc \x00 def"}\n', "no valid JSON"),
        (b'{"title": "abc"}\n', "no field `text`"),
        (b'{"text": 42}\n', "`text` is a number, not text"),
        (b'{"text": {"en": "abc"}}\n', "`text` is an object, not text"),
        (b'{"text": null}\n', "`text` is null, not text"),
        (b'"abc"\n', "no JSON object"),
    ],
)
def test_a_record_that_cannot_be_read_is_set_aside(small, line, cause):
    good = lines(english(200)).splitlines(keepends=True)
    small.write("en.jsonl", b"".join([*good[:100], line, *good[100:]]))
    ran = small.build()
    assert ran.code == 0, ran.stderr
    (entry,) = rejected(small.out)["en"]
    assert (entry["file"], entry["position"]) == ("en.jsonl", "line 101")
    assert cause in entry["cause"]
    assert counts(ran, "en") == (201, 1, 200)
    note = "note: source 'en': records that could not be read: 1; see rejected/en/"
    assert note in ran.stderr
    assert note in ran.stdout


def test_more_rejected_records_than_allowed_end_the_build(small):
    small.write("en.jsonl", lines(english(97)) + b"{}\n" * 3)
    ran = small.build()
    refused(ran, 1, "source 'en': 3 of 100 records could not be read, more than its max_rejected of 0.01")
    assert "see rejected/en/" in ran.stderr
    assert [entry["position"] for entry in rejected(small.out)["en"]] == ["line 98", "line 99", "line 100"]
    assert not (small.out / "mixture.json").exists()
    allowed = small.build("--set", "sources.en.max_rejected=0.03")
    assert allowed.code == 0, allowed.stderr
    assert allowed.done["prepare"] == (2, 2)  # nothing had to be read again
    assert counts(allowed, "en") == (100, 3, 97)


def test_a_field_that_no_record_has_is_an_error_and_not_an_empty_mixture(small):
    small.source("en", text="content")
    refused(small.build(), 1, "source 'en': 40 of 40 records could not be read", "correct `text`")
    assert rejected(small.out)["en"][0] == {"file": "en.jsonl", "position": "line 1", "cause": "no field `content`"}


def test_a_wrong_encoding_is_an_error_and_the_right_one_its_remedy(small):
    text = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in chinese(40))
    small.write("zh.jsonl", text.encode("gb18030"))
    refused(small.build(), 1, "source 'zh': 40 of 40 records could not be read", "`encoding`")
    assert "invalid UTF-8" in rejected(small.out)["zh"][0]["cause"]
    small.source("zh", encoding="gb18030")
    assert small.build().code == 0
    assert not rejected(small.out)


# Files that cannot be read


def test_an_empty_file_among_others_is_told(small):
    small.write("more.jsonl.gz", b"")
    small.source("en", paths=["en.jsonl", "more.jsonl.gz"])
    ran = small.build()
    assert (ran.code, counts(ran, "en")) == (0, (40, 0, 40))
    assert "note: source 'en': empty files (1): more.jsonl.gz" in ran.stdout


@pytest.mark.parametrize("content", [b"", b"\n \n\r\n", gzip.compress(b"", mtime=0)])
def test_an_empty_source_is_refused(small, content):
    small.write("en.jsonl", content)
    refused(small.build(), 2, "source 'en' is empty: its files hold no records", "correct its paths, or remove it")


def gzip_of(texts):
    return gzip.compress(lines(texts), mtime=0)


def zstd_of(texts):
    """Compress in blocks of ten documents, since a block is read as a whole or not at all."""
    compressor = zstandard.ZstdCompressor().compressobj()
    blocks = []
    for first in range(0, len(texts), 10):
        blocks.append(compressor.compress(lines(texts[first : first + 10])))
        blocks.append(compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    return b"".join([*blocks, compressor.flush()])


@pytest.mark.parametrize(
    ("name", "compress", "kind"), [("a.jsonl.gz", gzip_of, "gzip"), ("a.jsonl.zst", zstd_of, "zstd")]
)
def test_a_truncated_archive_is_an_error_unless_allowed(small, name, compress, kind):
    whole = compress(english(200))
    small.write(name, whole[: int(0.8 * len(whole))])
    small.source("en", paths=[name])
    what = f"source 'en': {name}: the {kind} data end in the middle at byte {int(0.8 * len(whole)):,}"
    refused(small.build(), 1, what, "the file is truncated", "allow_truncated: true")
    small.source("en", allow_truncated=True)
    ran = small.build()
    assert ran.code == 0, ran.stderr
    records, unreadable, kept = counts(ran, "en")
    assert unreadable == 1
    assert 120 < kept == records - 1 < 180
    (entry,) = rejected(small.out)["en"]
    assert entry["position"] == f"byte {int(0.8 * len(whole)):,}"
    assert "its cut-off last record is left out" in entry["cause"]
    small.write(name, whole)
    assert counts(small.build(), "en") == (200, 0, 200)
    assert not rejected(small.out)


def test_a_damaged_archive_is_an_error(small):
    content = bytearray(gzip_of(english(200)))
    middle = len(content) // 2
    content[middle : middle + 100] = b"\xff" * 100
    small.write("en.jsonl", bytes(content))
    refused(small.build(), 1, "source 'en': en.jsonl: ", "copy the file again, or leave it out")


@pytest.mark.parametrize(
    ("name", "content"),
    [("en.jsonl", gzip_of), ("en.jsonl.gz", lines), ("en.parquet", lines), ("en.gz", zstd_of), ("en.txt", lines)],
)
def test_a_wrong_suffix_deceives_nobody(small, name, content):
    assert small.build().code == 0
    expected = read(small.out).build
    small.write(name, content(english(40)))
    if name == "en.txt":  # plain text is what the suffix says, and JSON Lines only if the recipe says so
        small.source("en", format="jsonl")
    small.source("en", paths=[name])
    assert small.build().code == 0
    assert read(small.out).build == expected


def test_a_file_of_no_known_format_is_an_error(small):
    small.write("en.pdf", b"%PDF-1.4\n\x00\x01\xff" * 100)
    small.source("en", paths=["en.pdf"])
    refused(small.build(), 2, "source 'en'", "tells the format of en.pdf", "`format: text`")


def test_a_format_that_the_content_is_not_is_an_error(small):
    small.source("en", format="parquet")
    refused(small.build(), 1, "en.jsonl is declared parquet, but its content is neither", "leave out `format`")


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["em.jsonl"], "names 'em.jsonl', which matches no file"),
        (["en.jsonl", "sub/*.jsonl"], "names 'sub/*.jsonl', which matches no file"),
        (["${MIXER_NOWHERE}/*.jsonl"], "uses ${MIXER_NOWHERE}, which is not set in the environment"),
        (["nowhere://en.jsonl"], "which cannot be opened"),
    ],
)
def test_files_that_are_not_there_are_refused(small, paths, said):
    small.source("en", paths=paths)
    ran = small.build()
    refused(ran, 2, "source 'en'", said)
    assert not small.out.exists()


# Recipes and options


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--almr", 1.01), "mixture.almr: a ratio between 0 and 1 is expected"),
        (("--almr", 33), "for 33 % write 0.33"),
        (("--almr", -0.1), "mixture.almr: Input should be greater than or equal to 0"),
        (("--almr", "nan"), "mixture.almr"),
        (("--tokenizer", "lama3"), "tokenizer 'lama3' is neither a known name nor a file (did you mean 'llama3'?)"),
        (("--tokenizer", "/nowhere/tokenizer.json"), "is neither a known name nor a file"),
        (("--tokens", "lots"), "'lots' is no amount of tokens"),
        (("--tokens", "31"), "tokens (31) is less than one sequence (32 tokens)"),
        (("--set", "sources.en.languge=en"), "sources.en.languge: unknown key (did you mean 'language'?)"),
        (("--set", "mixture.alrm=0.3"), "mixture.alrm: unknown key (did you mean 'almr'?)"),
        (("--set", "sources.em.domain=web"), "no source 'em' (did you mean 'en'?)"),
        (("--set", "sources.en.language=eng"), "declares language 'eng', which is neither"),
        (("--set", "sources.en.language=fr"), "declares language 'fr', which is neither"),
        (("--set", "mixture.additional_language=Chinese"), "'Chinese' is no language code"),
        (("--set", "mixture.base_languages=[en, qx]"), "unknown language 'qx'"),
        (("--set", "language.thresholds={eng: 0.5}"), "language.thresholds: unknown language 'eng'"),
        (("--set", "sources.en.filters.gopher.wrods=3"), "unknown rule 'gopher.wrods' (did you mean 'gopher.words'?)"),
        (("--set", "mixture.almr_basis=measured", "--set", "mixture.base_languages=[en, de]", "--set",
          "mixture.additional_language=fr", "--set", "sources.zh.language=fr"), "measured cannot be had for 'fr'"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_before_anything_is_written(small, option, said):
    refused(small.build(*option), 2, said)
    assert not small.out.exists()


def test_a_language_that_only_a_source_knows_is_legal(small):
    small.recipe["mixture"]["additional_language"] = "qx"
    small.source("zh", language="auto")
    refused(small.build(), 2, "unknown language 'qx'", "no source declares it", "`language: qx`")
    small.source("zh", language="qx")
    assert small.build().code == 0
    assert [entry.language for entry in read(small.out).datasets] == ["en", "qx"]


def test_a_tokenizer_that_is_none_is_refused(small):
    small.recipe["tokenizer"] = str(small.write("tokenizer.json", "{}"))
    refused(small.build(), 2, f"the tokenizer {small.folder}/tokenizer.json cannot be used")


def test_two_sources_of_one_name_are_refused(small):
    small.recipe["sources"].append(dict(small.recipe["sources"][0]))
    refused(small.build(), 2, "two sources are named 'en'; names must differ")


def test_the_out_directory_must_be_one_that_mixer_may_write_to(small):
    small.write("file", "")
    in_use = small.write("mine/thesis.tex", "").parent
    for out, said in (
        (small.folder / "file", "is a file"),
        (small.folder / "file/below", "file/below cannot be made or written to: Not a directory"),
        (in_use, "mine is not empty and holds no build"),
    ):
        ran = small.build(out=out)
        assert ran.code == 2, ran.stderr
        assert said in ran.stderr
    assert [path.name for path in in_use.iterdir()] == ["thesis.tex"]


# Mixtures


@pytest.mark.parametrize("almr", [0, 1])
def test_a_group_may_be_missing_where_the_ratio_leaves_it_out(small, almr):
    del small.recipe["sources"][1 - almr]
    assert small.build("--almr", almr).code == 0
    (dataset,) = read(small.out).datasets
    assert (dataset.language, dataset.weight) == ("zh" if almr else "en", 1)
    assert mixer("verify", small.out).code == 0
    refused(small.build("--almr", 0.33), 3, f"--almr {float(almr)}")


def test_a_source_whose_documents_are_all_dropped_is_told_and_the_build_goes_on(small):
    small.source("short", language="en")
    small.write("short.jsonl", lines(["too short"] * 20))
    small.source("copies", paths=["en.jsonl"], language="en")
    ran = small.build()
    assert ran.code == 0, ran.stderr
    notes = [line for line in ran.stderr.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: every document of source 'short' was dropped (gopher.words 20); see dropped/short/",
        "note: every document of source 'copies' is a duplicate, or dropped by a rule; see dropped/copies/",
    ]
    assert all(note in ran.stdout for note in notes)
    assert counts(ran, "short") == (20, 0, 0)
    reasons = {
        name: {
            row["reason"]
            for path in (small.out / "dropped" / name).iterdir()
            for row in pq.read_table(path).to_pylist()
        }
        for name in ("short", "copies")
    }
    assert reasons == {"short": {"gopher.words"}, "copies": {"dedup.exact"}}


def test_a_group_whose_documents_are_all_dropped_is_explained(small):
    small.write("zh.jsonl", lines(["太短"] * 40))
    ran = small.build()
    refused(ran, 3, "no dataset in zh is left; every document of it was dropped", "--almr 0.0")
    assert "note: every document of source 'zh' was dropped (document.characters 40); see dropped/zh/" in ran.stderr
    assert not (small.out / "mixture.json").exists()
    assert small.build("--almr", 0).code == 0


def test_a_build_of_which_nothing_is_left_is_explained(small):
    small.write("zh.jsonl", lines(["太短"] * 40))
    small.write("en.jsonl", lines(["too short"] * 40))
    refused(small.build(), 3, "every document was dropped", "documents that rules dropped are in dropped/")


def test_a_stray_language_is_refused_with_the_remedies_and_each_of_them_works(small):
    small.write("en.jsonl", lines([*english(40), *chinese(3, seed=9)]))
    del small.recipe["sources"][0]["language"]
    refused(
        small.build(), 3, "too small to train on, shorter than 64 sequences of 32 tokens: en-zh (",
        "mixture.small_datasets: drop", "declare the language of the source", "mixture.sequence_length: ",
    )  # fmt: skip
    left_out = small.build("--set", "mixture.small_datasets=drop")
    assert left_out.code == 0, left_out.stderr
    assert "left out: en-zh: too small" in left_out.stdout
    assert mixer("verify", small.out).code == 0
    length = re.search(r"mixture.sequence_length: (\d+)", small.build().stderr)[1]
    assert small.build("--set", f"mixture.sequence_length={length}").code == 0
    assert small.build("--set", "sources.en.language=en").code == 0


@pytest.mark.parametrize(("almr", "tokens"), [(0.33, "200K"), (0.9, "60K")])
def test_what_is_suggested_in_place_of_an_infeasible_mixture_is_feasible(small, almr, tokens):
    ran = small.build("--almr", almr, "--tokens", tokens)
    refused(
        ran,
        3,
        "but the caps on epochs allow" if almr < 0.5 else "read as often as their caps allow",
        "zh-zh (4 epochs of",
    )
    assert not (small.out / "mixture.json").exists()
    ways = {
        "almr": re.search(r"--almr (\S+) at these tokens", ran.stderr),
        "tokens": re.search(r"--tokens (\d+) at this ALMR", ran.stderr),
        "epochs": re.search(r"max_epochs: (\S+) for every source", ran.stderr),
    }
    assert {name for name, way in ways.items() if way} == ({"tokens", "epochs"} if almr < 0.5 else set(ways))
    if ways["almr"]:
        assert small.build("--almr", ways["almr"][1], "--tokens", tokens).code == 0
    assert small.build("--almr", almr, "--tokens", ways["tokens"][1]).code == 0
    more = small.build("--almr", almr, "--tokens", tokens, "--set", f"mixture.max_epochs={ways['epochs'][1]}")
    assert more.code == 0, more.stderr
    assert read(small.out).tokens <= {"200K": 200_000, "60K": 60_000}[tokens] < read(small.out).tokens + 32


def test_a_domain_share_without_a_dataset_is_explained(small):
    refused(
        small.build("--set", "mixture.domains={math: 0.1}"), 3, "domain math shall be 0.1 of the tokens, but has no"
    )


# Disks


def test_space_is_asked_for_before_a_stage(small, monkeypatch):
    monkeypatch.setattr("mixer.engine.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    refused(small.build(), 1, "the stage prepare needs 0.02 MB but only 0.00 MB are free", "run the same command again")
    assert not (small.out / "run/prepared").exists()
    monkeypatch.undo()
    assert small.build().code == 0


ON_SMALL_DISKS = """
import json, subprocess, sys
from pathlib import Path
from mixer.engine import server
from tests.small import Small, english, lines
from tests.test_bad_input import gzip_of
from tests.test_build import files

folder, tokenizer = map(Path, sys.argv[1:])
server.stop = lambda: None
found = []
for size in (4, 20, 60, 400, 1000, 1100, 1250, 1300, 10_000):
    small = Small(folder, tokenizer)
    small.write("en.jsonl", gzip_of(english(2) * 1000 + english(40, seed=3)))  # far larger than it looks
    small.out.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", small.out], check=True)
    first = small.build()
    left = [path.name for path in small.out.rglob("*.tmp")]
    subprocess.run(["mount", "-o", "remount,size=10m", small.out], check=True)
    second = small.build()
    found.append([size, first.code, first.stderr, left, second.code, files(small.out)])
    subprocess.run(["umount", "--lazy", small.out], check=True)
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts small disks, which root may")
def test_a_disk_that_fills_up_anywhere_is_told_and_the_build_goes_on_when_there_is_space(small, small_tokenizer):
    command = ["unshare", "--mount", sys.executable, "-c", ON_SMALL_DISKS, small.folder, small_tokenizer]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    except FileNotFoundError:
        pytest.skip("unshare is missing")
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    *full, (_, code, _, _, _, expected) = found
    assert code == 0
    messages = set()
    for size, code, stderr, left, again, bytes_of in full:
        if code:
            (message,) = re.findall(
                r"^error: (no space left on the disk while writing|the stage [\w.]+ needs)", stderr, re.M
            )
            messages.add(message)
            assert "free some space and run the same command again" in stderr
        assert (code, left, again) == (code and 1, [], 0), f"{size} kB: {stderr}"
        assert bytes_of == expected
    assert messages >= {"the stage prepare needs", "no space left on the disk while writing"}
