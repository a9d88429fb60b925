import json
import subprocess
import sys

import pytest

from mixer.errors import InputError, RecipeError


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def parts(corpus, folder, count=3):
    for part in range(count):
        lines = [{"text": f"text {part}.{n}", "id": n, "meta": {"url": f"u{n}"}} for n in range(4)]
        corpus.write(f"{folder}/part{part}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def test_streamed_shards(corpus):
    parts(corpus, "data")
    settings = {"datasets": {"path": "json", "data_dir": "data"}, "metadata": ["id", "meta.url"]}
    tasks = corpus.tasks(**settings)
    assert [task.id for task in tasks] == ["corpus/00000", "corpus/00001", "corpus/00002"]
    found = corpus.documents(**settings)
    assert found == [
        (f"train-{part:05d}-of-00003", n, f"text {part}.{n}", str(n), f"u{n}") for part in range(3) for n in range(4)
    ]
    assert corpus.documents(limit=5, **settings) == found[:5]
    assert corpus.texts(datasets={"path": "data"}) == [document[2] for document in found]
    assert corpus.texts(datasets={"path": "json", "data_files": ["data/part1.jsonl"]}) == [
        f"text 1.{n}" for n in range(4)
    ]


def test_identity_follows_the_files(corpus):
    parts(corpus, "data")
    settings = {"datasets": {"path": "json", "data_dir": "data"}}
    before = corpus.tasks(**settings)[0].identity()
    json.dumps(before)
    assert corpus.tasks(**settings)[0].identity() == before
    corpus.write("data/part0.jsonl", '{"text": "new", "id": 1, "meta": {"url": "u"}}\n')
    assert corpus.tasks(**settings)[0].identity() != before


@pytest.mark.parametrize(
    "datasets", [{"path": "data", "split": "test"}, {"path": "nowhere/at-all"}, {"path": "json", "data_dir": "nowhere"}]
)
def test_what_cannot_be_loaded(corpus, datasets):
    parts(corpus, "data")
    with pytest.raises((RecipeError, InputError), match="'corpus'"):
        corpus.texts(datasets=datasets)


def test_wrong_column_and_broken_file(corpus):
    parts(corpus, "data")
    with pytest.raises(RecipeError, match="did you mean 'text'"):
        corpus.texts(datasets={"path": "data"}, text="texts")
    corpus.write("data/part2.jsonl", "no json at all")
    with pytest.raises((InputError, RecipeError), match="'corpus'"):
        corpus.texts(datasets={"path": "data"})


def test_saved_dataset(corpus):
    import datasets

    rows = {"text": [f"text {n}" for n in range(10)], "n": list(range(10))}
    datasets.Dataset.from_dict(rows).save_to_disk(str(corpus.folder / "saved"), num_shards=3)
    found = corpus.documents("saved", metadata=["n"])
    assert [document[2] for document in found] == rows["text"]
    assert found[4] == ("data-00001-of-00003.arrow", 0, "text 4", "4")


def test_planning_files_does_not_import_datasets(corpus):
    corpus.write("a.jsonl", '{"text": "a"}\n')
    code = "import sys, mixer.sources.read; assert 'datasets' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
