"""The quickstart, built as a user builds it: held against readers, an encoder and Megatron that mixer did not write."""

import base64
import csv
import gzip
import io
import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from importlib import resources
from pathlib import Path

import datasets
import llama_models
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiktoken
import xxhash
import yaml
import zstandard

from mixer.dedup.stage import STAGES
from mixer.manifest import read
from mixer.megatron.blend import Replay, planned_samples
from mixer.megatron.indexed import read_index
from mixer.tokenize.ranks import LLAMA3_PATTERN
from tests.megatron.test_megatron_core import build_blend
from tests.small import chinese, english, lines, mixer

pytestmark = pytest.mark.usefixtures("kept_server")

RECIPES = Path(str(resources.files("mixer") / "recipes"))
RECIPE = yaml.safe_load((RECIPES / "quickstart.yaml").read_text("utf-8"))
TASKS = {"prepare": 7, **dict.fromkeys(STAGES, 1), "tokenize": 7, "join": 16}
"""Of the quickstart: a task a source, and at the end one a dataset and split."""
DONE = {stage: (tasks, tasks) for stage, tasks in TASKS.items()}
"""What a run says that finds everything done."""


def build(out, *arguments, recipe="quickstart", almr=0.33):
    return mixer("build", recipe, "--almr", almr, "--out", out, *arguments)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory, kept_server):
    """Return the directory of the quickstart, built once; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("build") / "quickstart"
    ran = build(out, "--workers", 2)
    assert ran.code == 0, ran.stderr
    assert ran.done == {stage: (tasks, 0) for stage, tasks in TASKS.items()}
    (out.parent / "stdout").write_text(ran.stdout)
    return out


@pytest.fixture
def copy(quickstart, tmp_path):
    return shutil.copytree(quickstart, tmp_path / "copy")


def files(out):
    """Hash every file of a build but those in run/; where the build stands is left out."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] != "run")
    return {
        path.relative_to(out).as_posix(): xxhash.xxh64_hexdigest(path.read_bytes().replace(bytes(out), b"ROOT"))
        for path in paths
    }


def documents(out, split="*", dataset="*"):
    """Read kept documents of datasets in their order."""
    paths = sorted((out / "documents").glob(f"{split}/{dataset}/*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def dropped(out):
    return [
        row for path in sorted((out / "dropped").rglob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()
    ]


def key(row):
    return row["file"], row["record"]


PLACEHOLDER = "<(?:EMAIL|IP_ADDRESS|PHONE|ID_NUMBER|SECRET)>"


def records(path):
    """Read a file of the quickstart without mixer."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        return pq.read_table(io.BytesIO(content)).to_pylist()
    if path.suffix == ".gz":
        text = gzip.decompress(content).decode()
    else:
        text = zstandard.ZstdDecompressor().stream_reader(content).read().decode()
    if ".csv" in path.suffixes:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return json.loads(text) if ".json" in path.suffixes else [json.loads(line) for line in text.split("\n") if line]


def test_every_record_is_kept_or_dropped_and_its_text_unchanged_but_for_placeholders(quickstart):
    expected = {}
    for source in RECIPE["sources"]:
        template = source.get("text", "text")
        for path in (RECIPES / name for name in source["paths"]):
            for number, record in enumerate(records(path)):
                text = template.format(**record) if "{" in template else record[template]
                metadata = {name: record.get(name) for name in source["metadata"]}
                expected[path.name, number] = text, metadata
    found = documents(quickstart) + dropped(quickstart)
    assert len(found) == len(expected) > 10_000
    for row in found:
        metadata = {name.removeprefix("metadata."): row[name] for name in row if name.startswith("metadata.")}
        text, expected_metadata = expected.pop(key(row))
        assert metadata == expected_metadata
        placeholders = sum(row[name] or 0 for name in row if name.startswith("edits.privacy."))
        assert (row["text"] == text) == (placeholders == 0)
        assert len(re.findall(PLACEHOLDER, row["text"])) - len(re.findall(PLACEHOLDER, text)) == placeholders
    assert not expected
    assert not (quickstart / "rejected").exists()


def test_chinese_documents_say_how_they_are_written(quickstart):
    rows = documents(quickstart) + [row for row in dropped(quickstart) if row["reason"].startswith("dedup.")]
    written = Counter(row["script"] for row in rows)
    assert all((row["script"] is None) == (row["language"] != "zh") for row in rows + dropped(quickstart))
    assert written["Hans"] > 1000
    assert written["Hant"] > 1000
    line = re.search(r"^Chinese documents kept: (.*)$", (quickstart.parent / "stdout").read_text(), re.M)[1]
    counted = {name: int(count.replace(",", "")) for name, count in re.findall(r"(\w+) ([\d,]+) \(", line)}
    assert counted == {name: count for name, count in written.items() if name}


def test_the_closing_table_counts_what_is_there(quickstart):
    table = (quickstart.parent / "stdout").read_text().partition("\ndataset ")[2].partition("\n\n")[0].splitlines()[1:]
    kept = Counter((row["file"], row["language"]) for row in documents(quickstart))
    lost = Counter((row["file"], row["language"], row["reason"].startswith("dedup.")) for row in dropped(quickstart))
    manifest = read(quickstart)
    assert len(table) == len(manifest.datasets)
    for line, entry in zip(table, manifest.datasets, strict=True):
        name, role, *numbers, _, weight, epochs = line.split()
        names = [
            Path(path).name
            for source in RECIPE["sources"]
            if source["name"] == entry.source
            for path in source["paths"]
        ]
        survived = sum(kept[file, entry.language] for file in names)
        duplicates, bad = (sum(lost[file, entry.language, twin] for file in names) for twin in (True, False))
        assert (name, role) == (f"{entry.source}-{entry.language}", entry.role)
        assert [int(number.replace(",", "")) for number in numbers] == [
            survived + duplicates + bad, survived, duplicates, entry.tokens,
        ]  # fmt: skip
        assert (weight, epochs) == (f"{entry.weight:.4f}", f"{entry.epochs:.2f}")


def test_what_is_dropped_has_a_reason(quickstart):
    reasons = Counter(row["reason"] for row in dropped(quickstart))
    assert set(reasons) >= {"dedup.exact", "dedup.minhash"}
    assert all(re.fullmatch(r"\w+\.\w+", reason) for reason in reasons)
    for row in dropped(quickstart):
        if row["reason"].startswith("dedup."):
            assert row["file"].startswith(("gutenberg", "tang", "song")), row  # the sources that hold texts twice


def test_ids_are_those_of_tiktoken_for_every_document_in_its_order(quickstart):
    model = (Path(llama_models.__file__).parent / "llama3" / "tokenizer.model").read_bytes()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, model.splitlines())}
    reference = tiktoken.Encoding("reference", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens={})
    compared = 0
    for entry in read(quickstart).entries:
        split, dataset = entry.prefix.split("/")[-2:]
        index = read_index(quickstart / entry.prefix)
        ids = np.fromfile(quickstart / f"{entry.prefix}.bin", index.dtype)
        kept = documents(quickstart, split, dataset)
        ends = np.cumsum(index.lengths)
        assert index.documents == entry.documents == len(kept)
        assert index.lengths.tolist() == [row["tokens"] for row in kept]
        assert int(ends[-1]) == entry.tokens == len(ids)
        for row, end, length in zip(kept, ends, index.lengths, strict=True):
            assert ids[end - length : end].tolist() == [*reference.encode_ordinary(row["text"]), 128_001]
        compared += len(kept)
    assert compared == len(documents(quickstart))


def test_mixture_json_says_what_other_programs_rely_on(quickstart):
    content = json.loads((quickstart / "mixture.json").read_bytes())
    sums = {name: sum(entry[name] for entry in content["datasets"]) for name in ("samples", "weight", "tokens")}
    samples, target = content["samples"], content["almr"]["target"]
    assert (content["format"], content["recipe"], content["sequence_length"]) == (1, "quickstart", 2048)
    assert content["tokenizer"] | {"sha256": ""} == {
        "name": "llama3", "vocab_size": 128_256, "eod": 128_001, "bos": False, "sha256": "",
    }  # fmt: skip
    assert (target, content["almr"]["basis"]) == (0.33, "label")
    chinese_samples = sum(entry["samples"] for entry in content["datasets"] if entry["language"] == "zh")
    assert abs(Fraction(chinese_samples) - Fraction("0.33") * samples) <= Fraction(1, 2)
    assert content["almr"]["realised"] == chinese_samples / samples
    measured = sum(entry["weight"] * entry["additional_tokens"] / entry["tokens"] for entry in content["datasets"])
    assert content["almr"]["measured"] == pytest.approx(measured, abs=1e-6)
    assert sums["samples"] == samples <= content["samples_max"]
    assert sums["weight"] == pytest.approx(1, abs=1e-12)
    assert content["tokens"] == samples * 2048
    for entry in content["datasets"]:
        assert entry["prefix"] == f"megatron/{content['build']}/train/{entry['source']}-{entry['language']}"
        assert entry["role"] == ("additional" if entry["language"] == "zh" else "base")
        assert entry["weight"] == entry["samples"] / samples
        assert entry["epochs"] == entry["samples"] * 2048 / entry["tokens"] <= entry["max_epochs"] == 4
        assert entry["additional_tokens"] + entry["base_tokens"] == entry["tokens"]
        for suffix in ("bin", "idx"):
            stored = (quickstart / f"{entry['prefix']}.{suffix}").read_bytes()
            assert xxhash.xxh64_hexdigest(stored) == entry["xxh64"][suffix]
    named = {(entry["source"], entry["language"]) for entry in content["datasets"]}
    assert named == {(entry["source"], entry["language"]) for entry in content["valid"]}
    assert {("rust-book", "en"), ("rust-book", "zh"), ("code", "code")} <= named  # one source, two languages; code
    assert all(entry["documents"] and entry["tokens"] > 2048 for entry in content["valid"])


def test_megatron_is_handed_every_dataset(quickstart):
    content = json.loads((quickstart / "mixture.json").read_bytes())
    blend = json.loads((quickstart / "megatron/blend.json").read_bytes())
    weights = {str(quickstart / entry["prefix"]): repr(entry["weight"]) for entry in content["datasets"]}
    assert dict(zip(blend["train"][1::2], blend["train"][::2], strict=True)) == weights
    assert blend["valid"][1::2] == [str(quickstart / entry["prefix"]) for entry in content["valid"]]
    assert blend["test"] is None
    flags = (quickstart / "megatron/args.txt").read_text().splitlines()
    assert f"--per-split-data-args-path {quickstart}/megatron/blend.json" in flags
    assert f"--train-samples {content['samples']}" in flags
    assert "--seq-length 2048" in flags


def test_the_split_holds_out_about_the_fraction_asked_for(quickstart):
    valid, train = documents(quickstart, "valid"), documents(quickstart, "train")
    assert len(valid) / (len(valid) + len(train)) == pytest.approx(0.02, abs=0.005)
    assert not {row["text"] for row in valid} & {row["text"] for row in train}


def test_the_same_bytes_for_any_number_of_workers_and_after_a_cleaning(quickstart, tmp_path):
    expected = files(quickstart)
    out = tmp_path / "again"
    assert build(out, "--workers", 3).code == 0
    assert files(out) == expected
    freed = mixer("clean", out)
    assert re.fullmatch(r"freed \d+\.\d MB\n", freed.stdout)
    assert not (out / "run").exists()
    assert files(out) == expected
    assert mixer("verify", out).code == 0
    assert mixer("clean", out).code == 0  # twice does no harm
    again = build(out, "--workers", 1)
    assert again.done == {stage: (tasks, 0) for stage, tasks in TASKS.items()}
    assert files(out) == expected


def test_the_same_command_again_finds_everything_done(quickstart):
    before = files(quickstart)
    datasets = [path.stat() for path in sorted((quickstart / "megatron").rglob("*.bin"))]
    again = build(quickstart)
    assert (again.code, again.done) == (0, DONE)
    assert files(quickstart) == before
    assert [path.stat() for path in sorted((quickstart / "megatron").rglob("*.bin"))] == datasets


@pytest.mark.parametrize("almr", [0.4, 0, 1])
def test_another_ratio_redoes_only_the_mixture(copy, almr):
    before, started = read(copy), time.process_time()
    again = build(copy, almr=almr)
    assert time.process_time() - started < 5
    assert (again.code, again.done) == (0, DONE)
    manifest = read(copy)
    assert manifest.build == before.build
    assert manifest.almr.target == almr
    assert abs(manifest.almr.realised - almr) <= 0.5 / manifest.samples
    roles = {entry.role for entry in manifest.datasets if entry.samples}
    assert roles == {0.4: {"additional", "base"}, 0: {"base"}, 1: {"additional"}}[almr]
    assert mixer("verify", copy).code == 0
    if almr in (0, 1):
        assert f"left out: {'poetry-zh' if almr == 0 else 'gsm8k-en'}: the ALMR is {almr}\n" in again.stdout


def test_the_measured_share_can_be_the_target(copy):
    by_label = read(copy)
    assert by_label.almr.measured < 0.325  # the Rust book is a seventh code
    again = build(copy, "--set", "mixture.almr_basis=measured")
    assert (again.code, again.done) == (0, DONE)
    manifest = read(copy)
    assert abs(manifest.almr.measured - 0.33) <= 0.5 / manifest.samples
    assert manifest.almr.realised > by_label.almr.realised
    assert "target 0.33 (measured)" in again.stdout


def test_what_is_infeasible_leaves_the_last_mixture(quickstart):
    before = files(quickstart)
    refused = build(quickstart, "--tokens", "1.7T")
    assert refused.code == 3
    assert "the caps on epochs allow" in refused.stderr
    assert files(quickstart) == before
    assert mixer("verify", quickstart).code == 0


def test_another_seed_of_the_split_holds_out_other_documents(copy):
    before = {key(row) for row in documents(copy, "valid")}
    everything = {key(row) for row in documents(copy)}
    again = build(copy, "--set", "mixture.seed=7")
    assert again.code == 0, again.stderr
    assert again.done["prepare"] == DONE["prepare"]
    assert [again.done[stage] for stage in ("dedup.keys", "dedup.survivors", "dedup.fates")] == [(1, 0), (1, 1), (1, 0)]
    after = {key(row) for row in documents(copy, "valid")}
    assert len(after & before) < 0.1 * len(before)
    assert {key(row) for row in documents(copy)} == everything
    assert "left of earlier builds" in again.stdout
    assert mixer("clean", copy).code == 0
    assert "left of earlier builds" not in mixer("verify", copy).stdout


def test_a_limited_build_is_a_trial(tmp_path):
    ran = build(tmp_path / "trial", "--limit", 50)
    assert ran.code == 0, ran.stderr
    manifest = read(tmp_path / "trial")
    per_source = Counter()
    for entry in manifest.entries:
        per_source[entry.source] += entry.documents
    assert set(per_source) == {source["name"] for source in RECIPE["sources"]}
    assert max(per_source.values()) <= 50
    assert manifest.sequence_length == min(entry.tokens for entry in manifest.datasets) // 64
    assert (
        f"a trial of 50 documents of each source, mixed with sequence_length: {manifest.sequence_length}" in ran.stdout
    )
    assert mixer("verify", tmp_path / "trial").code == 0


def test_a_dry_run_writes_nothing(tmp_path):
    ran = build(tmp_path / "out", "--dry-run")
    assert ran.code == 0
    assert not list(tmp_path.iterdir())
    for source in RECIPE["sources"]:
        assert re.search(rf"^{source['name']} .* {len(source['paths'])} ", ran.stdout, re.M)
    assert re.search(r"disk needed: about \d+\.\d MB in ", ran.stdout)


def test_a_directory_of_another_recipe_is_left_alone(quickstart, small):
    before = files(quickstart)
    refused = small.build(out=quickstart)
    assert refused.code == 2
    assert "holds the build of another recipe, 'quickstart' (this one is 'small')" in refused.stderr
    assert files(quickstart) == before


@pytest.fixture(scope="module")
def moved(quickstart, tmp_path_factory):
    """Return the build at another place, its scratch files removed."""
    out = tmp_path_factory.mktemp("elsewhere") / "mix"
    return shutil.copytree(quickstart, out, ignore=shutil.ignore_patterns("run"))


def test_a_moved_build_wants_to_be_relocated(moved, quickstart):
    broken = mixer("verify", moved)
    assert broken.code == 4
    assert f"points to {quickstart}" in broken.stderr
    assert "mixer relocate" in broken.stderr
    told = mixer("relocate", moved)
    assert (told.code, told.stdout) == (0, f"paths now start from {moved}\n")
    for flags in ([], ["--no-rehash"]):
        verified = mixer("verify", moved, *flags)
        assert verified.code == 0, verified.stderr
        assert ("hashes not compared" in verified.stdout) == bool(flags)
    assert files(moved) == files(quickstart)


def test_only_a_rehash_sees_a_flipped_bit(copy):
    assert mixer("relocate", copy).code == 0
    path = copy / f"{read(copy).datasets[0].prefix}.bin"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert mixer("verify", copy, "--no-rehash").code == 0
    broken = mixer("verify", copy)
    assert broken.code == 4
    assert str(path) in broken.stderr


@pytest.mark.filterwarnings("ignore")
def test_megatron_draws_exactly_what_is_promised_in_the_replays_order(core, one_rank, moved):
    assert mixer("relocate", moved).code == 0
    manifest = read(moved)
    train, valid = build_blend(core, moved, manifest.samples, manifest.sequence_length)
    weights = [entry.weight for entry in manifest.datasets]
    order = np.asarray(train.dataset_index)[: manifest.samples]
    assert [dataset.dataset_path for dataset in train.datasets] == [str(moved / e.prefix) for e in manifest.datasets]
    assert np.bincount(order).tolist() == [entry.samples for entry in manifest.datasets]
    assert (order == Replay(weights).order(manifest.samples)).all()
    assert len(train) == planned_samples(weights, manifest.samples).sum()
    assert len(valid.datasets) == len(manifest.valid)
    chinese_prefixes = np.array([entry.language == "zh" for entry in manifest.datasets])
    for part in (0.01, 0.1, 0.5, 1):
        steps = math.ceil(part * manifest.samples)
        off = int(chinese_prefixes[order[:steps]].sum()) - 0.33 * steps
        assert -5 < off < 3  # three additional prefixes against five others
    first = train[0]
    ids = np.fromfile(moved / f"{manifest.datasets[order[0]].prefix}.bin", np.int32)
    starts = np.flatnonzero(ids == int(first["tokens"][0]))
    assert any((ids[start : start + 50] == first["tokens"][:50].numpy()).all() for start in starts)
    assert mixer("verify", moved).code == 0  # with Megatron's cache inside


def test_a_source_more_or_less_redoes_only_what_depends_on_it(small, tmp_path):
    shared = english(3, seed=5)
    small.write("first.jsonl", lines([*english(40, seed=6), *shared]))
    small.write("en.jsonl", lines([*shared, *english(40)]))
    two = list(small.recipe["sources"])
    small.source("first", language="en")
    small.recipe["sources"].insert(0, small.recipe["sources"].pop())  # the first in priority
    with_it = small.build()
    assert with_it.code == 0, with_it.stderr
    assert Counter(row["reason"] for row in dropped(small.out)) == {"dedup.exact": 3}
    three, small.recipe["sources"] = small.recipe["sources"], two
    without = small.build()
    # Nothing is read again; only `en` gets documents back, all in train, and is tokenized and joined anew.
    assert without.done == {"prepare": (2, 2), **dict.fromkeys(STAGES, (1, 0)), "tokenize": (2, 1), "join": (4, 3)}
    assert not dropped(small.out)
    assert not [path for path in small.out.rglob("*first*") if path.is_file() and "megatron" not in path.parts]
    assert mixer("clean", small.out).code == 0
    fresh = tmp_path / "fresh"
    assert small.build(out=fresh).code == 0
    assert files(small.out) == files(fresh)
    assert small.build(out=fresh).code == 0  # run/ is there
    small.recipe["sources"] = three
    added = small.build(out=fresh)
    assert added.done == {"prepare": (3, 2), **dict.fromkeys(STAGES, (1, 0)), "tokenize": (3, 1), "join": (6, 3)}


def test_a_source_of_several_tasks_keeps_its_order(small):
    poems = [text[:20] for text in chinese(2100)]  # a file counts 64 kB at least, a task takes 128 MB
    for number, poem in enumerate(poems):
        small.write(f"poems/{number:04}.txt", poem)
    small.source("zh", paths=["poems/*.txt"], domain="poetry")
    ran = small.build("--workers", 3)
    assert ran.code == 0, ran.stderr
    assert ran.done["prepare"] == (3, 0)
    assert len(list((small.out / "documents/train/zh-zh").iterdir())) == 2
    for split in ("train", "valid"):
        kept = documents(small.out, split, "zh-zh")
        assert [row["file"] for row in kept] == sorted(row["file"] for row in kept)
        index = read_index(small.out / f"{read(small.out).datasets[-1].prefix.replace('train', split)}")
        assert index.lengths.tolist() == [row["tokens"] for row in kept]
    assert len(documents(small.out, "*", "zh-zh")) == 2100
    alone = small.folder / "alone"
    assert small.build("--workers", 1, out=alone).code == 0
    assert files(alone) == files(small.out)


def test_steps_are_timed(quickstart):
    """benchmarks/steps.py, which goes through the steps by itself."""
    script = Path(__file__).parent.parent / "benchmarks" / "steps.py"
    command = [sys.executable, script, RECIPES / "quickstart.yaml", quickstart, "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert {"read", "rules", "fingerprint", "write", "verify"} <= set(json.loads(ran.stdout))


def test_parquet_of_kept_documents_has_one_schema(quickstart):
    """Readers such as datasets and duckdb take the folder of a dataset as one table."""
    for folder in sorted((quickstart / "documents").glob("*/*")):
        schema = pa.unify_schemas([pq.read_schema(path) for path in folder.iterdir()])
        assert {"file", "record", "text", "language", "language_score", "tokens"} <= set(schema.names)


def saved(texts, path):
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(str(path))


def arrow_file(texts, path):
    table = pa.table({"text": texts})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


CONTAINERS = {
    "a.json": lambda texts, path: path.write_text(json.dumps([{"text": text} for text in texts])),
    "a.jsonl.gz": lambda texts, path: path.write_bytes(gzip.compress(lines(texts))),
    "a.jsonl.zst": lambda texts, path: path.write_bytes(zstandard.compress(lines(texts))),
    "a.parquet": lambda texts, path: pq.write_table(pa.table({"text": texts}), path, row_group_size=7),
    "a.arrow": arrow_file,
    "a.csv": lambda texts, path: path.write_text("id,text\r\n" + "".join(f'1,"{text}"\r\n' for text in texts)),
    "a.tsv": lambda texts, path: path.write_text("id\ttext\n" + "".join(f"1\t{text}\n" for text in texts)),
    "a.txt": lambda texts, path: path.write_text("\n\n".join(texts)),
    "saved": saved,
}


def test_the_container_of_a_text_leaves_no_trace(small):
    assert small.build().code == 0
    expected = read(small.out).build
    for name, write in CONTAINERS.items():
        write(english(40), small.folder / name)
        small.source("en", paths=[name], records="paragraph" if name == "a.txt" else "file")
        ran = small.build()
        assert ran.code == 0, f"{name}: {ran.stderr}"
        assert read(small.out).build == expected, name
    small.source("en", records="file", datasets={"path": "json", "data_files": [str(small.folder / "en.jsonl")]})
    del small.recipe["sources"][0]["paths"]
    assert small.build().code == 0
    assert read(small.out).build == expected


def test_text_that_spells_special_tokens_stays_text(small):
    specials = "<|end_of_text|> <|begin_of_text|><|eot_id|> <|endoftext|>."
    small.write("en.jsonl", lines([f"{text} {specials}" for text in english(40)]))
    assert small.build("--tokenizer", "llama3").code == 0
    assert mixer("verify", small.out).code == 0  # EOD ends every document and is nowhere else
    entry = read(small.out).datasets[0]
    ids = np.fromfile(small.out / f"{entry.prefix}.bin", np.int32)
    assert (ids >= 128_000).sum() == (ids == 128_001).sum() == entry.documents
