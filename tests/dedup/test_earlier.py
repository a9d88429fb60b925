"""`dedup.against`: what earlier builds have is left out."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixer.dedup.clusters import find_duplicates
from mixer.dedup.corpus import KEPT, Corpus
from mixer.dedup.earlier import INDEX, earlier_files, write_index
from mixer.dedup.fates import DUPLICATES
from mixer.dedup.fingerprint import FINGERPRINTS, fingerprint
from mixer.dedup.keys import Keys
from mixer.dedup.minhash import band_keys
from mixer.dedup.settings import DedupSettings, MinhashSettings
from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import NAME, read
from tests.builds import make_build
from tests.dedup.steps import prepare, run
from tests.small import chinese, english, lines, mixer

STORY = "Once upon a time there was a build that kept every promise it had made to its many users. " * 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a build made by hand, for its ``mixture.json``."""
    return make_build(tmp_path_factory.mktemp("finished"))


def earlier_build(root, finished, corpus, chosen=None, marks=None):
    """Deduplicate some documents and make a finished build of them."""
    chosen = chosen or DedupSettings()
    engine, fates = run(root, corpus, chosen, marks=marks)
    (root / NAME).write_bytes((finished / NAME).read_bytes())
    receipts = prepare(root, corpus, chosen.minhash or None)
    write_index(Outputs(root), read(root).build, chosen, receipts, engine.receipts["dedup.fates"])
    return fates


def against_counts(engine):
    found = {}
    for receipt in engine.receipts["dedup.fates"]:
        for source, counts in receipt.counts["sources"].items():
            found.setdefault(source, Counter()).update(counts["against"])
    return {source: dict(counts) for source, counts in found.items()}


def test_what_an_earlier_build_kept_comes_first(tmp_path, finished):
    old = tmp_path / "old"
    fates = earlier_build(
        old, finished, {"web/00000": ["alpha", "ALPHA", STORY + "The end.", "gone"]}, marks={"web/00000": [0, 0, 0, 1]}
    )
    assert fates == {"web/00000": [0, 2, 0, 4]}
    corpus = {"new/00000": ["fresh", STORY + "The END!", "alpha", "gone", "Fresh", "alpha "], "more/00000": ["more"]}
    earlier = earlier_files([old], DedupSettings())
    engine, fates = run(tmp_path / "new", corpus, earlier=earlier, valid_fraction=1.0)
    assert fates == {"new/00000": [1, 5, 5, 1, 2, 5], "more/00000": [1]}
    build = read(finished).build
    assert against_counts(engine) == {"new": {build: 3}, "more": {}}
    rows = pq.read_table(tmp_path / "new" / DUPLICATES.format("new/00000")).to_pylist()
    names = ("reason", "twin.build", "twin.source", "twin.file", "twin.record", "cluster.size")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("dedup.against", build, "web", "web-1.jsonl", 0, 2),
        ("dedup.against", build, "web", "web-0.jsonl", 0, 3),
        ("dedup.exact", None, "new", "new-0.jsonl", 0, 2),
        ("dedup.against", build, "web", "web-0.jsonl", 0, 3),
    ]


def test_earlier_builds_are_not_written_to_and_may_move(tmp_path, finished):
    old = tmp_path / "old"
    earlier_build(old, finished, {"web/00000": ["alpha", "beta"]})
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    corpus = {"new/00000": ["alpha", "gamma"]}
    one = run(tmp_path / "one", corpus, earlier=earlier_files([old], DedupSettings()))[0]
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    moved = old.rename(tmp_path / "moved")
    two = run(tmp_path / "two", corpus, earlier=earlier_files([moved], DedupSettings()))[0]
    assert one.files == two.files

    def keys(directory):
        files = earlier_files([directory], DedupSettings())
        receipts = prepare(tmp_path / "one", corpus, MinhashSettings())
        return [task.key for task in Keys(Corpus.of(receipts, DedupSettings(), None, files), 1, 0.0).tasks()]

    first = keys(moved)
    earlier_build(moved, finished, {"web/00000": ["alpha", "delta"]})
    assert keys(moved)[0] != first[0]
    assert keys(moved)[1:] == first[1:]


WORDS = ["one", "two", "three", "four", "five", "中", "文", "Five"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=12)
SMALL = MinhashSettings(shingle=2, bands=6, rows=2, similarity=0.5)


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 3))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_all_kept_documents_at_once(tmp_path_factory, finished, first, second, here, partitions):
    """What two earlier builds kept, then the documents here: as one corpus in this order."""
    root = tmp_path_factory.mktemp("against")
    chosen = DedupSettings(minhash=SMALL, partitions=partitions)
    before = []
    for name, texts in (("first", first), ("second", second)):
        fates = earlier_build(root / name, finished, {"web/00000": texts}, chosen)
        before += [text for text, fate in zip(texts, fates["web/00000"], strict=True) if fate == 0]
    earlier = earlier_files([root / "first", root / "second"], chosen)
    fates = run(root / "here", {"web/00000": here}, chosen, earlier=earlier)[1]
    made = fingerprint(pa.array([*before, *here], pa.large_string()), SMALL)
    bands = band_keys(made.signatures, SMALL.bands, SMALL.rows)
    found = find_duplicates(made.exact, bands, lambda rows: made.signatures[rows], chosen)
    twins, verdicts = found.twin[len(before) :], found.verdict[len(before) :]
    expected = [5 if twin < len(before) else [0, 2, 3][verdict] for twin, verdict in zip(twins, verdicts, strict=True)]
    assert fates["web/00000"] == expected


def test_builds_that_cannot_be_compared_with(tmp_path, finished):
    old = tmp_path / "old"
    with pytest.raises(UsageError, match="no finished build"):
        earlier_files([old], DedupSettings())
    earlier_build(old, finished, {"web/00000": ["alpha"]})
    assert earlier_files([old], DedupSettings(minhash=MinhashSettings(bands=7, rows=16, similarity=0.5)))
    for minhash in (MinhashSettings(shingle=6), MinhashSettings(seed=2), MinhashSettings(bands=7), False):
        with pytest.raises(UsageError, match="were made with shingle 5, hashes 112, seed 1, here it is"):
            earlier_files([old], DedupSettings(minhash=minhash))
    index = (old / INDEX).read_bytes()
    (old / INDEX).write_bytes(index.replace(read(old).build.encode(), b"0" * 32))
    with pytest.raises(UsageError, match="not those of the build there"):
        earlier_files([old], DedupSettings())
    (old / INDEX).write_bytes(index[:-5])
    with pytest.raises(BrokenPromiseError, match="damaged"):
        earlier_files([old], DedupSettings())
    (old / INDEX).write_bytes(index)
    for path in (FINGERPRINTS, KEPT):
        file = old / path.format("web/00000")
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        with pytest.raises(BrokenPromiseError, match="cut off"):
            earlier_files([old], DedupSettings())
        file.write_bytes(content)
    (old / INDEX).unlink()
    with pytest.raises(UsageError, match=r"has no fingerprints .*index.json"):
        earlier_files([old], DedupSettings())


@pytest.mark.usefixtures("kept_server")
def test_as_a_user_gives_it(small):
    """A build, cleaned; the next leaves out what it has, and says so; none is compared with itself."""
    old = small.folder / "old"
    assert small.build(out=old).code == 0
    assert mixer("clean", old).code == 0
    small.write("en.jsonl", lines([*english(3), *english(40, seed=9)]))
    small.write("zh.jsonl", lines([*chinese(40, seed=8), *chinese(2)]))
    small.recipe["dedup"] = {"against": ["old"]}
    ran = small.build()
    assert ran.code == 0, ran.stderr
    build = read(old).build
    assert f"note: in the earlier build {build} already: en 3, zh 2" in ran.stderr
    tallies = {tally["source"]: tally["reasons"] for tally in json.loads((small.out / "tallies.json").read_bytes())}
    assert tallies == {"en": {"dedup.against": 3}, "zh": {"dedup.against": 2}}
    shown = mixer("inspect", small.out, "--rule", "dedup.against", "--source", "zh").stdout
    assert f"zh: zh.jsonl record 0 of the build {build}" in " ".join(shown.split())
    assert small.build().done["dedup.fates"] == (1, 1)
    small.recipe["dedup"] = {"against": ["old", "out"]}
    ran = small.build()
    assert (ran.code, "itself" in ran.stderr) == (2, True)
