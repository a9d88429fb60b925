"""A build whose datasets are too large for one prefix each, by small limits: cut, mixed, proved and traced back."""

import json
import re
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from mixer.attribution import attribution
from mixer.locate import locate
from mixer.manifest import read, wholes
from mixer.megatron.indexed import IndexFile
from mixer.mixture.verify import verify
from mixer.screens.tables import bounds
from mixer.sources.plan import plan_source
from mixer.tokenize.join import Join
from mixer.tokenize.parts import Limits
from tests.small import Small, chinese, english, lines, mixer
from tests.test_build import files

FILES = 6
TOKENS = 6000


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_tokenizer, kept_server):
    """A build of six files a source, each a task of its own, in which nothing is cut."""
    small = Small(tmp_path_factory.mktemp("whole"), small_tokenizer)
    for name, texts in (("en", english(60)), ("zh", chinese(90))):
        (small.folder / f"{name}.jsonl").unlink()
        for number in range(FILES):
            small.write(f"{name}/{number}.jsonl", lines(texts[number::FILES]))
        small.source(name, paths=[f"{name}/*.jsonl"])
    small.recipe["mixture"]["tokens"] = 140_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixer.plan.plan_source", partial(plan_source, target_bytes=1 << 16))
        assert small.build().code == 0
    return small


@pytest.fixture(scope="module")
def parted(whole):
    """The same build, cut at 6,000 tokens."""
    out = whole.folder / "parted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixer.plan.plan_source", partial(plan_source, target_bytes=1 << 16))
        patch.setattr("mixer.build.Join", partial(Join, limits=Limits(tokens=TOKENS)))
        ran = whole.build(out=out)
    assert ran.code == 0, ran.stderr
    assert ran.done["tokenize"][0] == 2 * FILES
    return out


def ids(build, entry):
    return np.fromfile(build / f"{entry.prefix}.bin", "<u2")


def test_the_parts_are_the_dataset(whole, parted):
    before, after = read(whole.out), read(parted)
    assert [entry.name for entry in before.datasets] == ["en-en", "zh-zh"]
    assert len(after.datasets) > 4
    for entry in before.datasets:
        parts = [part for part in after.datasets if part.source == entry.source]
        assert [part.name for part in parts] == [f"{entry.name}-{number:02}" for number in range(len(parts))]
        assert all(part.tokens <= TOKENS for part in parts)
        assert (np.concatenate([ids(parted, part) for part in parts]) == ids(whole.out, entry)).all()
        lengths = np.concatenate([IndexFile(parted / part.prefix).lengths for part in parts])
        assert (lengths == IndexFile(whole.out / entry.prefix).lengths).all()
    texts = {path: content for path, content in files(whole.out).items() if path.startswith("documents/")}
    assert texts.items() <= files(parted).items()


def test_the_mixture_is_that_of_the_whole(whole, parted):
    before, after = read(whole.out), read(parted)
    assert (after.samples, after.samples_max > 0) == (before.samples, True)
    assert after.almr.realised == before.almr.realised
    report = verify(parted)
    assert report.bounds[0] <= report.realised.low and report.realised.high <= report.bounds[1]
    for one, two in zip(before.datasets, wholes(after.datasets), strict=True):
        assert (one.name, one.documents, one.tokens, one.samples) == (two.name, two.documents, two.tokens, two.samples)
        assert two.epochs == pytest.approx(one.epochs)
        assert two.weight == pytest.approx(one.weight)
    assert wholes(before.datasets) == list(before.datasets)


def test_tables_show_the_datasets_and_not_their_parts(whole, parted):
    ran = mixer("mix", parted, "--almr", 0.4, "--out", parted.parent / "again")
    assert ran.code == 0
    names = re.findall(r"^(en-en\S*|zh-zh\S*) ", ran.stdout, re.M)
    assert names == ["en-en", "zh-zh"]
    page = attribution(parted)
    assert len(re.findall(r"^\| en \| en \|", page, re.M)) == 1
    assert attribution(whole.out).split("## Languages")[1].split("## Domains")[0] in page
    planned = mixer("plan", whole.file(), "--counts", parted)
    assert re.search(
        rf"^zh-zh .* {sum(e.tokens for e in read(parted).datasets if e.source == 'zh'):,} ", planned.stdout, re.M
    )


def test_parts_that_are_bound_alike_are_named_together():
    binding = [
        *(f"a-zh-{part:02}: max_epochs 4" for part in range(3)),
        "b-zh-01: max_epochs 4",
        "b-zh-02: max_epochs 4",
    ]
    assert bounds(binding) == "a-zh-00 to -02: max_epochs 4, b-zh-01: max_epochs 4, b-zh-02: max_epochs 4"
    assert bounds(["a-zh-00: max_epochs 4", "a-zh-01: max_epochs 2", "b: share 0.1"]) == (
        "a-zh-00: max_epochs 4, a-zh-01: max_epochs 2, b: share 0.1"
    )
    assert bounds([]) == ""


def test_documents_are_found_in_every_part(parted):
    manifest = read(parted)
    texts = {
        source: [row["text"] for n in range(FILES) for row in pq.read_table(folder / f"{n:05}.parquet").to_pylist()]
        for source, folder in ((name, parted / f"documents/train/{name}-{name}") for name in ("en", "zh"))
    }
    first = {}
    for entry in manifest.datasets:
        first[entry.name] = sum(
            e.documents for e in manifest.datasets if e.source == entry.source and e.name < entry.name
        )
    seen = set()
    for step in range(1, manifest.samples // 8, 5):
        for sample in locate(parted, step).samples:
            seen.add(sample.dataset.name)
            for piece in sample.pieces:
                assert (
                    piece.document.text
                    == texts[sample.dataset.source][first[sample.dataset.name] + piece.part.document]
                )
    assert seen == {entry.name for entry in manifest.datasets}


def test_a_hand_over_names_folders_of_documents(parted, tmp_path):
    assert mixer("export", parted, "--to", "llamafactory", "--out", tmp_path).code == 0
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert {name: entry["file_name"].rsplit("/", 1)[1] for name, entry in info.items()} == {
        "en-en": "en-en",
        "zh-zh": "zh-zh",
    }
