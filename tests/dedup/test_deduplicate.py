import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mixer.dedup import components as components_module
from mixer.dedup import corpus as planning
from mixer.dedup import keys as keys_module
from mixer.dedup import sections as sections_module
from mixer.dedup.buckets import Buckets
from mixer.dedup.candidates import Candidates
from mixer.dedup.clusters import find_duplicates, is_valid
from mixer.dedup.components import Components
from mixer.dedup.contested import BucketsAgain, KeysAgain
from mixer.dedup.corpus import KEPT, PREPARED, Corpus
from mixer.dedup.fates import DUPLICATES, FATES, Fates
from mixer.dedup.fingerprint import FINGERPRINTS, fingerprint
from mixer.dedup.keys import Keys
from mixer.dedup.minhash import band_keys
from mixer.dedup.settings import DedupSettings, MinhashSettings
from mixer.dedup.stage import AGAIN, STAGES, deduplicate
from mixer.dedup.survivors import Survivors
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Receipt, Stage
from mixer.errors import InputError, TaskError
from tests.dedup import real
from tests.dedup.steps import Runs, prepare, run

STORY = "Once upon a time there was a build that kept every promise it had made to its many users. " * 4
CORPUS = {
    "web/00000": ["alpha", STORY + "The end.", "", "beta"],
    "web/00001": [],
    "books/00000": ["ALPHA ", STORY + "The End!", STORY + "the  END.", "gamma", " "],
}
OTHER = {"first/00000": ["gamma", "delta"]}
NAMES = ("documents", "train", "valid", "dedup.exact", "dedup.minhash", "contamination", "dedup.against")


def counts_of(engine):
    """Add up what the last step counted, by source and in all."""
    found = {}
    for receipt in engine.receipts["dedup.fates"]:
        for source, counts in receipt.counts["sources"].items():
            found.setdefault(source, Counter()).update({name: counts[name] for name in NAMES})
    return {source: dict(counts) for source, counts in found.items()}


def dropped(root, task):
    path = root / DUPLICATES.format(task)
    return pq.read_table(path).to_pylist() if path.exists() else []


def kept(root, task):
    return pq.read_table(root / KEPT.format(task)).to_pylist()


def twins(root, task):
    return [
        (row["twin.source"], row["twin.file"], row["twin.record"], row["cluster.size"]) for row in dropped(root, task)
    ]


def test_the_earlier_source_wins(tmp_path):
    engine, fates = run(tmp_path, CORPUS)
    assert fates == {"web/00000": [0, 0, 0, 0], "web/00001": [], "books/00000": [2, 3, 2, 0, 2]}
    assert counts_of(engine) == {
        "web": dict(zip(NAMES, (4, 4, 0, 0, 0, 0, 0), strict=True)),
        "books": dict(zip(NAMES, (5, 1, 0, 3, 1, 0, 0), strict=True)),
    }
    assert engine.documents == 18  # once as keys, once as fates
    assert engine.kept == 5
    assert list(engine.receipts) == list(STAGES)
    fates = run(tmp_path / "turned", dict(reversed(CORPUS.items())))[1]
    assert fates == {"books/00000": [0, 0, 3, 0, 0], "web/00001": [], "web/00000": [2, 2, 2, 0]}


def test_a_duplicate_knows_its_twin(tmp_path):
    run(tmp_path, CORPUS)
    assert [row["text"] for row in dropped(tmp_path, "books/00000")] == [
        text for row, text in enumerate(CORPUS["books/00000"]) if row != 3
    ]
    assert [row["reason"] for row in dropped(tmp_path, "books/00000")] == [
        "dedup.exact",
        "dedup.minhash",
        "dedup.exact",
        "dedup.exact",
    ]
    assert twins(tmp_path, "books/00000") == [
        ("web", "web-0.jsonl", 0, 2),
        ("web", "web-0.jsonl", 1, 3),
        ("web", "web-0.jsonl", 1, 3),
        ("web", "web-1.jsonl", 0, 2),
    ]
    assert {row["twin.build"] for row in dropped(tmp_path, "books/00000")} == {None}
    assert not (tmp_path / DUPLICATES.format("web/00000")).exists()
    assert kept(tmp_path, "books/00000") == [{"row": 3, "file": "books-1.jsonl", "record": 1}]
    assert [row["row"] for row in kept(tmp_path, "web/00000")] == [0, 1, 2, 3]


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
    engine, fates = run(tmp_path, CORPUS, valid_fraction=1.0)
    assert fates == {"web/00000": [1, 1, 1, 1], "web/00001": [], "books/00000": [2, 3, 2, 1, 2]}
    assert sum(counts["valid"] for counts in counts_of(engine).values()) == 5
    many = {"web/00000": [f"text {number}" for number in range(3000)]}
    one = run(tmp_path / "many", many, valid_fraction=0.1)[1]
    assert 220 < one["web/00000"].count(1) < 380
    assert run(tmp_path / "seed", many, valid_fraction=0.1, seed=2)[1] != one
    behind = run(tmp_path / "behind", {"new/00000": ["another"]} | many, valid_fraction=0.1)[1]
    assert behind["web/00000"] == one["web/00000"]


def test_what_was_removed_takes_part_in_nothing(tmp_path):
    marks = {"web/00000": [True, True, False, False], "books/00000": [False, False, False, True, False]}
    engine, fates = run(tmp_path, CORPUS, marks=marks, valid_fraction=1.0)
    assert fates == {"web/00000": [4, 4, 1, 1], "web/00001": [], "books/00000": [1, 1, 3, 4, 2]}
    assert [(row["record"], row["cluster.size"]) for row in dropped(tmp_path, "books/00000")] == [(0, 2), (0, 2)]
    assert counts_of(engine)["web"]["contamination"] == 2
    with pytest.raises(TaskError, match="about 3 documents"):
        run(tmp_path, CORPUS, marks={"web/00000": [True, True, True]})


def test_same_bytes_and_same_fates_behind_another_source(tmp_path):
    outputs = run(tmp_path / "a", CORPUS)[0].files
    assert run(tmp_path / "b", CORPUS)[0].files == outputs
    moved, fates = run(tmp_path / "c", OTHER | CORPUS)
    for path in (FATES, KEPT):
        assert moved.files[path.format("web/00000")] == outputs[path.format("web/00000")]
    assert fates["books/00000"] == [2, 3, 2, 2, 2]
    assert twins(tmp_path / "c", "books/00000")[3] == ("first", "first-0.jsonl", 0, 2)


@pytest.mark.parametrize("corpus", [{}, {"web/00000": []}, {"web/00000": ["only"]}])
def test_next_to_nothing(tmp_path, corpus):
    for chosen in (DedupSettings(), DedupSettings(minhash=False), DedupSettings(partitions=3)):
        fates = run(tmp_path, corpus, chosen)[1]
        assert fates == {task: [0] * len(texts) for task, texts in corpus.items()}


WORDS = ["one", "two", "three", "four", "five", "six", "中", "文", "Six", "six "]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), max_size=25)
SMALL = MinhashSettings(shingle=2, bands=6, rows=2, similarity=0.5)


@given(
    st.lists(TEXTS, min_size=1, max_size=4),
    st.builds(DedupSettings, exact=st.booleans(), minhash=st.sampled_from([False, SMALL])),
    st.integers(1, 5),
    st.integers(1, 30),
    st.sampled_from([1, 3, 1000]),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_all_documents_at_once(tmp_path_factory, files, chosen, partitions, group_rows, contested):
    """Whatever groups, chunks and partitions there are, and where components grow too large: the pure function's."""
    root = tmp_path_factory.mktemp("all")
    tasks = {f"web/{number:05d}": texts for number, texts in enumerate(files)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "TASK_BYTES", planning._KEY_BYTES * chosen.keys * group_rows)
        patch.setattr(components_module, "_most", lambda: contested)
        patch.setattr(keys_module, "CHUNK_DOCUMENTS", 4)
        patch.setattr(keys_module, "BLOCK", 3)
        patch.setattr(sections_module, "CHUNK", 5)
        fates = run(root, tasks, chosen.model_copy(update={"partitions": partitions}))[1]
    everything = [text for texts in files for text in texts]
    made = fingerprint(pa.array(everything, pa.large_string()), chosen.minhash or None)
    bands = band_keys(made.signatures, SMALL.bands, SMALL.rows) if chosen.minhash else ()
    found = find_duplicates(made.exact, bands, lambda rows: made.signatures[rows], chosen)
    assert [fate for task in fates.values() for fate in task] == [[0, 2, 3][verdict] for verdict in found.verdict]
    origins = [(f"web-{row // 2}.jsonl", row % 2) for texts in files for row in range(len(texts))]
    sizes = Counter(found.twin.tolist())
    lost = [(*origins[twin], sizes[twin]) for row, twin in enumerate(found.twin.tolist()) if twin != row]
    assert [twin[1:] for task in tasks for twin in twins(root, task)] == lost


@pytest.mark.real_data
def test_the_same_bytes_from_1_3_and_16_partitions(tmp_path, monkeypatch):
    """Fates, duplicates and lists of real documents, in one group and in many."""
    texts = real.documents()
    texts += [texts[0].upper(), texts[7] + "\n\n"]
    tasks = {f"web/{k:05d}": texts[k * 50 : k * 50 + 50] for k in range(-(-len(texts) // 50))}
    found = []
    for partitions, group_bytes in ((1, 400 << 20), (3, 400 << 20), (16, 24 * 15 * 120)):
        monkeypatch.setattr(planning, "TASK_BYTES", group_bytes)
        root = tmp_path / str(partitions)
        engine, fates = run(root, tasks, DedupSettings(partitions=partitions), valid_fraction=0.1)
        results = ("run/fates", "dropped/", "fingerprints/")
        found.append({path: file for path, file in engine.files.items() if path.startswith(results)})
    assert found[0] == found[1] == found[2]
    made = fingerprint(pa.array(texts, pa.large_string()), MinhashSettings())
    bands = band_keys(made.signatures, 14, 8)
    alone = find_duplicates(made.exact, bands, lambda rows: made.signatures[rows], DedupSettings())
    valid = is_valid(made.exact, 0.1, 1) & (alone.verdict == 0)
    expected = np.where(valid, 1, np.array([0, 2, 3])[alone.verdict])
    assert [fate for task in fates.values() for fate in task] == expected.tolist()
    assert len(engine.receipts["dedup.keys"]) > 2
    assert Counter(expected.tolist())[3] > 50


def test_templates_do_not_chain_documents_together(monkeypatch, tmp_path):
    """Documents that share two bands of a template and no more are one component at first, and none in the end."""
    rng = np.random.default_rng(0)
    minhash = MinhashSettings()
    signatures = rng.integers(0, 2**32, (60, minhash.hashes), np.uint32)
    signatures[:50, :16] = signatures[0, :16]
    signatures[51] = signatures[50]
    texts = [f"text {row}" for row in range(60)]
    receipts = prepare(tmp_path, {"web/00000": texts}, minhash)
    with (tmp_path / FINGERPRINTS.format("web/00000")).open("r+b") as file:
        table = np.frombuffer(file.read()[16:], "<u4").reshape(60, -1).copy()
        table[:, 4:] = signatures
        file.seek(16)
        file.write(table.tobytes())
    counts = {}
    for most in (1000, 10):
        monkeypatch.setattr(components_module, "_most", lambda most=most: most)
        engine = Runs(tmp_path)
        deduplicate(engine, Corpus.of(receipts, DedupSettings(partitions=3)), 1, 0.0)
        counts[most] = [engine.receipts[name][0].counts for name in engine.receipts if "components" in name]
        fates = np.load(tmp_path / FATES.format("web/00000"))["fate"]
        assert np.flatnonzero(fates).tolist() == [51]
        assert list(engine.receipts) == [*STAGES[:3], *(AGAIN if most == 10 else ()), *STAGES[3:]]
    assert [count["candidates"] for count in counts[1000]] == [52]
    assert [count["contested"] for count in counts[10]] == [50, 0]
    assert [count["candidates"] for count in counts[10]] == [52, 2]


def test_partitions_follow_from_the_sizes_of_the_files():
    one = OutputFile(16 + 464 * 1_000_000, "x")
    tasks = [f"web/{k:05d}" for k in range(10)]
    receipts = [
        Receipt("prepare", task, "key", {path.format(task): one for path in (FINGERPRINTS, PREPARED)}, {})
        for task in tasks
    ]
    planned = Corpus.of(receipts, DedupSettings())
    assert planned.partitions == -(-10_000_000 // (planning.TASK_BYTES // (24 * 15)))
    assert [len(group) for group in planned.groups] == [1] * 10
    assert Corpus.of(receipts, DedupSettings(partitions=3)).partitions == 3
    assert Corpus.of([], DedupSettings()).partitions == 1


def test_the_keys_say_what_decides(tmp_path):
    receipts = prepare(tmp_path, CORPUS, MinhashSettings())
    corpus = Corpus.of(receipts, DedupSettings())
    keys = Keys(corpus, 1, 0.1)
    other = OutputFile(1, "aa")

    def key(stage):
        (task,) = pickle.loads(pickle.dumps(stage)).tasks()
        assert stage.tasks()[0] == task
        checked: Stage = stage
        assert checked.name.startswith("dedup.")
        return task.key

    def again(**changes):
        return Corpus.of(receipts, DedupSettings(**changes))

    stages = [
        keys,
        replace(keys, seed=2),
        replace(keys, valid_fraction=0.2),
        replace(keys, corpus=again(exact=False)),
        replace(keys, corpus=again(minhash=MinhashSettings(bands=7, rows=16))),
        replace(keys, corpus=again(partitions=2)),
        replace(keys, corpus=Corpus.of(receipts[::-1], DedupSettings())),
        replace(keys, corpus=Corpus.of(receipts[1:], DedupSettings())),
        replace(keys, corpus=Corpus.of(receipts, DedupSettings(), {"web/00000": other})),
    ]
    assert len({key(stage) for stage in stages}) == len(stages)
    loose = again(minhash=MinhashSettings(similarity=0.5))
    assert key(replace(keys, corpus=loose)) == key(keys)
    candidates = {"run/dedup/candidates/00000.arrow": other}
    assert key(Survivors(corpus, candidates)) != key(Survivors(loose, candidates))
    assert key(Survivors(corpus, candidates)) != key(Survivors(again(exact=False), candidates))
    changed = OutputFile(1, "ab")
    for stage, path in (
        (Buckets(corpus, {}), "run/dedup/keys/00000.arrow"),
        (Components(corpus, {}), "run/dedup/edges/00000.arrow"),
        (Survivors(corpus, {}), "run/dedup/candidates/00000.arrow"),
    ):
        assert key(replace(stage, inputs={path: other})) != key(replace(stage, inputs={path: changed}))
    assert key(Candidates(corpus, other, again=False)) != key(Candidates(corpus, changed, again=False))
    assert key(KeysAgain(corpus, other)) != key(KeysAgain(corpus, changed))
    path = {"run/dedup/again/keys/00000.arrow": other}
    assert key(BucketsAgain(corpus, path)) != key(BucketsAgain(loose, path))
    edges = dict.fromkeys(("run/dedup/edges/00000.arrow", "run/dedup/again/edges/00000.arrow"), other)
    second = [Components(corpus, {**edges, "run/dedup/components.arrow": one}, again=True) for one in (other, changed)]
    assert len({key(stage) for stage in second}) == 2
    lost, draws = "run/dedup/lost/00000.arrow", "run/dedup/draws/00000.npy"
    fates = [Fates(corpus, {lost: one, draws: two}) for one in (other, changed) for two in (other, changed)]
    assert len({key(stage) for stage in fates}) == 4


def test_fingerprints_of_other_settings_are_refused(tmp_path):
    receipts = prepare(tmp_path, CORPUS, MinhashSettings(bands=10))
    stage = Keys(Corpus.of(receipts, DedupSettings()), 1, 0.1)
    with pytest.raises(InputError, match="00000"):
        stage.run(stage.tasks()[0], Outputs(tmp_path), Runs(tmp_path).progress)


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
        {"partitions": 0},
        {"partitions": "many"},
        {"fuzzy": True},
    ):
        with pytest.raises(ValidationError):
            DedupSettings.model_validate(wrong)
    for model in (MinhashSettings, DedupSettings):
        assert all(entry["description"] for entry in model.model_json_schema()["properties"].values())
