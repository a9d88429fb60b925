import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from mixer.dedup.fingerprint import FingerprintWriter
from mixer.dedup.settings import DedupSettings, MinhashSettings
from mixer.dedup.stage import CONTAMINATION, FATES, FINGERPRINTS, TWINS, Deduplicate
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Receipt, Stage
from mixer.errors import InputError, TaskError

STORY = "Once upon a time there was a build that kept every promise it had made to its many users. " * 4
CORPUS = {
    "web/00000": ["alpha", STORY + "The end.", "", "beta"],
    "web/00001": [],
    "books/00000": ["ALPHA ", STORY + "The End!", STORY + "the  END.", "gamma", " "],
}
OTHER = {"first/00000": ["gamma", "delta"]}


class Told:
    def __init__(self):
        self.documents = self.kept = 0

    def __call__(self, *, documents=0, size=0, kept=0):
        self.documents += documents
        self.kept += kept


def write(root, corpus, minhash):
    """Write fingerprints as ``prepare`` does; return its receipts."""
    receipts = []
    for task, texts in corpus.items():
        outputs = Outputs(root)
        with outputs.open(FINGERPRINTS.format(task)) as file:
            FingerprintWriter(file, minhash).write(pa.array(texts, pa.large_string()))
        receipts.append(Receipt("prepare", task, "key", outputs.files, {}))
    return receipts


def mark(root, marks):
    """Write which documents were removed before; return the files by task."""
    files = {}
    for task, removed in marks.items():
        outputs = Outputs(root)
        with outputs.open(CONTAMINATION.format(task)) as file:
            np.save(file, np.array(removed, np.bool_))
        files[task] = outputs.files[CONTAMINATION.format(task)]
    return files


def run(root, corpus, chosen=None, seed=1, valid_fraction=0.0, marks=None):
    chosen = chosen or DedupSettings()
    receipts = write(root, corpus, chosen.minhash or None)
    stage = Deduplicate.after(receipts, chosen, seed, valid_fraction, mark(root, marks or {}))
    outputs, told = Outputs(root), Told()
    (task,) = stage.tasks()
    counts = stage.run(task, outputs, told)
    assert set(outputs.files) == {path.format(task) for task in corpus for path in (FATES, TWINS)}
    fates, twins = {}, {}
    for name in corpus:
        with np.load(root / FATES.format(name)) as file:
            fates[name] = file["fate"]
        twins[name] = np.load(root / TWINS.format(name))
        assert fates[name].dtype == np.uint8
        assert twins[name].dtype == np.int64
        assert len(fates[name]) == len(twins[name]) == len(corpus[name])
    assert told.documents == counts["documents"]
    assert told.kept == counts["train"] + counts["valid"]
    return counts, {n: f.tolist() for n, f in fates.items()}, {n: t.tolist() for n, t in twins.items()}, outputs


def test_the_earlier_source_wins(tmp_path):
    counts, fates, twins, _ = run(tmp_path, CORPUS)
    assert fates == {"web/00000": [0, 0, 0, 0], "web/00001": [], "books/00000": [2, 3, 2, 0, 2]}
    assert twins == {"web/00000": [0, 1, 2, 3], "web/00001": [], "books/00000": [0, 1, 1, 7, 2]}
    assert counts == {
        "documents": 9,
        "train": 5,
        "valid": 0,
        "dedup.exact": 3,
        "dedup.minhash": 1,
        "contamination": 0,
        "sources": {
            "web": {"documents": 4, "train": 4, "valid": 0, "dedup.exact": 0, "dedup.minhash": 0, "contamination": 0},
            "books": {"documents": 5, "train": 1, "valid": 0, "dedup.exact": 3, "dedup.minhash": 1, "contamination": 0},
        },
    }
    fates = run(tmp_path / "turned", dict(reversed(CORPUS.items())))[1]
    assert fates == {"books/00000": [0, 0, 3, 0, 0], "web/00001": [], "web/00000": [2, 2, 2, 0]}


@pytest.mark.parametrize(
    ("chosen", "books"),
    [
        (DedupSettings(exact=False), [3, 3, 3, 0, 3]),
        (DedupSettings(minhash=False), [2, 0, 2, 0, 2]),
        (DedupSettings(exact=False, minhash=False), [0, 0, 0, 0, 0]),
    ],
)
def test_either_level_can_be_off(tmp_path, chosen, books):
    assert run(tmp_path, CORPUS, chosen)[1]["books/00000"] == books


def test_valid_takes_survivors_with_their_cluster(tmp_path):
    counts, fates, *_ = run(tmp_path, CORPUS, valid_fraction=1.0)
    assert fates == {"web/00000": [1, 1, 1, 1], "web/00001": [], "books/00000": [2, 3, 2, 1, 2]}
    assert counts["valid"] == 5
    many = {"web/00000": [f"text {number}" for number in range(3000)]}
    counts, one, *_ = run(tmp_path / "many", many, valid_fraction=0.1)
    assert 220 < counts["valid"] < 380
    assert run(tmp_path / "seed", many, valid_fraction=0.1, seed=2)[1] != one
    behind = run(tmp_path / "behind", {"new/00000": ["another"]} | many, valid_fraction=0.1)[1]
    assert behind["web/00000"] == one["web/00000"]


def test_what_was_removed_takes_part_in_nothing(tmp_path):
    marks = {"web/00000": [True, True, False, False], "books/00000": [False, False, False, True, False]}
    counts, fates, twins, _ = run(tmp_path, CORPUS, marks=marks, valid_fraction=1.0)
    assert fates == {"web/00000": [4, 4, 1, 1], "web/00001": [], "books/00000": [1, 1, 3, 4, 2]}
    assert twins == {"web/00000": [0, 1, 2, 3], "web/00001": [], "books/00000": [4, 5, 5, 7, 2]}
    assert counts["contamination"] == 3
    assert counts["sources"]["web"]["contamination"] == 2
    with pytest.raises(TaskError, match="about 3 documents"):
        run(tmp_path, CORPUS, marks={"web/00000": [True, True, True]})


def test_same_bytes_and_same_fates_behind_another_source(tmp_path):
    outputs = run(tmp_path / "a", CORPUS)[3]
    assert run(tmp_path / "b", CORPUS)[3].files == outputs.files
    moved = run(tmp_path / "c", OTHER | CORPUS)
    assert moved[3].files[FATES.format("web/00000")] == outputs.files[FATES.format("web/00000")]
    assert moved[1]["books/00000"] == [2, 3, 2, 2, 2]
    assert moved[2]["books/00000"] == [2, 3, 3, 0, 4]


@pytest.mark.parametrize("corpus", [{}, {"web/00000": []}, {"web/00000": ["only"]}])
def test_next_to_nothing(tmp_path, corpus):
    for chosen in (DedupSettings(), DedupSettings(minhash=False)):
        counts = run(tmp_path, corpus, chosen)[0]
        assert counts["documents"] == counts["train"] == sum(map(len, corpus.values()))


def test_the_key_says_what_decides(tmp_path):
    stage = Deduplicate.after(write(tmp_path, CORPUS, MinhashSettings()), DedupSettings(), 1, 0.1)
    assert stage.name == "dedup"
    (task,) = pickle.loads(pickle.dumps(stage)).tasks()
    assert task.id == "all"
    assert task.size == sum(file.bytes for _, file in stage.files)
    others = [
        replace(stage, seed=2),
        replace(stage, valid_fraction=0.2),
        replace(stage, settings=DedupSettings(exact=False)),
        replace(stage, settings=DedupSettings(minhash=MinhashSettings(similarity=0.8))),
        replace(stage, files=stage.files[::-1]),
        replace(stage, files=stage.files[1:]),
        replace(stage, removed={"web/00000": OutputFile(1, "aa")}),
        replace(stage, removed={"web/00000": OutputFile(1, "ab")}),
    ]
    assert len({task.key, *(other.tasks()[0].key for other in others)}) == 9
    assert stage.tasks()[0] == task
    checked: Stage = stage
    assert checked


def test_fingerprints_of_other_settings_are_refused(tmp_path):
    receipts = write(tmp_path, CORPUS, MinhashSettings(bands=10))
    stage = Deduplicate.after(receipts, DedupSettings(), 1, 0.1)
    with pytest.raises(InputError, match="00000"):
        stage.run(stage.tasks()[0], Outputs(tmp_path), Told())


def test_settings():
    assert DedupSettings() == DedupSettings.model_validate({"exact": True, "minhash": {"shingle": 5, "bands": 14}})
    assert DedupSettings.model_validate({"minhash": False}).minhash is False
    for wrong in (
        {"minhash": {"bands": 65, "rows": 8}},
        {"minhash": {"similarity": 0}},
        {"minhash": {"similarity": 1.1}},
        {"minhash": {"shingle": 0}},
        {"minhash": {"ngram": 5}},
        {"minhash": True},
        {"fuzzy": True},
    ):
        with pytest.raises(ValidationError):
            DedupSettings.model_validate(wrong)
    properties = MinhashSettings.model_json_schema()["properties"]
    assert all(entry["description"] for entry in properties.values())
