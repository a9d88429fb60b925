import itertools
import json
import pickle
from dataclasses import replace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer.errors import RecipeError
from mixer.sources.plan import OPENING, group


@given(sizes=st.lists(st.integers(0, 50), max_size=30), target=st.integers(1, 100))
def test_groups_are_consecutive_whole_and_no_larger_than_they_must(sizes, target):
    groups = group(sizes, target)
    assert [position for first, last in groups for position in range(first, last)] == list(range(len(sizes)))
    for first, last in groups:
        assert last > first
        assert sum(sizes[first:last]) <= target or last == first + 1
    for (first, last), (after, _) in itertools.pairwise(groups):
        assert sum(sizes[first:last]) + sizes[after] > target


def line(n, size):
    return json.dumps({"text": f"{n} " + "x" * size}) + "\n"


def test_small_files_share_tasks_and_large_ones_stand_alone(corpus):
    for n in range(10):
        corpus.write(f"{n}.jsonl", line(n, 900_000 if n == 4 else 200_000))
    tasks = corpus.tasks(target_bytes=500_000)
    assert [[piece.file.path[0] for piece in task.pieces] for task in tasks] == [
        ["0", "1"], ["2", "3"], ["4"], ["5", "6"], ["7", "8"], ["9"],
    ]  # fmt: skip
    assert [task.id for task in tasks] == [f"corpus/{n:05d}" for n in range(6)]
    assert sum(task.size for task in tasks) == sum(path.stat().st_size for path in corpus.folder.iterdir())
    whole = corpus.documents()
    assert corpus.documents(target_bytes=500_000) == whole


def test_many_tiny_files_do_not_end_up_in_one_task(corpus):
    for n in range(10):
        corpus.write(f"{n}.jsonl", line(n, 1))
    assert len(corpus.tasks(target_bytes=OPENING * 4)) == 3


def test_large_parquet_files_are_split_by_row_group(corpus):
    pq.write_table(pa.table({"text": [str(n) * 100 for n in range(1000)]}), corpus.folder / "big", row_group_size=100)
    corpus.write("c.jsonl", line(0, 10))
    size = (corpus.folder / "big").stat().st_size
    tasks = corpus.tasks(target_bytes=max(size // 3, 1))
    ranges = [(piece.file.path, piece.first, piece.last) for task in tasks for piece in task.pieces]
    big = [entry for entry in ranges if entry[0] == "big"]
    assert (big[0][1], big[-1][2]) == (0, 10)
    assert len(ranges) > 3
    assert ranges[-1] == ("c.jsonl", 0, None)


def test_files_in_a_store_are_cut_like_those_on_a_disk(corpus):
    store = fsspec.filesystem("memory")
    table = pa.table({"text": [f"{n:05}" + "x" * 1000 for n in range(500)]})
    for n in range(20):
        path = corpus.folder / f"{n:02}.parquet"
        pq.write_table(table, path, row_group_size=100, compression="none")
        store.pipe_file(f"/plan/{path.name}", path.read_bytes())
    here = corpus.tasks(target_bytes=250_000)
    there = corpus.tasks(target_bytes=250_000, paths=["memory://plan/*.parquet"])
    assert len(here) == 60
    cuts = [[[(p.file.path, p.first, p.last) for p in task.pieces] for task in tasks] for tasks in (here, there)]
    assert cuts[0] == cuts[1]


def test_a_limit_makes_one_task(corpus):
    for n in range(5):
        corpus.write(f"{n}.jsonl", line(n, 10) * 3)
    [task] = corpus.tasks(limit=7, target_bytes=1)
    assert (task.limit, len(task.pieces)) == (7, 5)
    assert len(corpus.documents(limit=7)) == 7
    assert len(corpus.documents(limit=100)) == 15


def test_a_limit_asks_for_little_space(corpus):
    for n in range(5):
        corpus.write(f"{n}.jsonl", line(n, 10))
    [whole] = corpus.tasks(limit=10**6)
    [few] = corpus.tasks(limit=1)
    huge = [replace(piece, size=10**12) for piece in few.pieces]
    assert whole.text_bytes == few.text_bytes == sum(piece.size for piece in few.pieces)
    assert replace(few, pieces=tuple(huge)).text_bytes < 10**5
    assert replace(few, pieces=tuple(huge), limit=None).text_bytes == 5 * 10**12


def test_a_limit_stops_rejections_too(corpus, monkeypatch):
    corpus.write("a.jsonl", "bad\n" + line(1, 1) * 2 + "bad\n" + line(1, 1) + "bad\n")
    for size in (1 << 20, 5):
        monkeypatch.setattr("mixer.sources.streams.CHUNK", size)
        assert [document[1] for document in corpus.documents(limit=2)] == [1, 2]
        assert [entry[1] for entry in corpus.rejected] == ["line 1"]
        assert [document[1] for document in corpus.documents(limit=3)] == [1, 2, 4]
        assert [entry[1] for entry in corpus.rejected] == ["line 1", "line 4"]


def test_tasks_pickle_and_their_identity_names_no_place(corpus, tmp_path):
    corpus.write("a.jsonl", line(1, 1))
    [task] = corpus.tasks()
    assert pickle.loads(pickle.dumps(task)) == task
    assert str(tmp_path) not in json.dumps(task.identity())
    corpus.write("a.jsonl", line(1, 2))
    assert corpus.tasks()[0].identity() != task.identity()


def test_planning_opens_heads_only(corpus, monkeypatch):
    corpus.write("a.csv", "id,body\n1,x\n")
    with pytest.raises(RecipeError, match="no column 'text'"):
        corpus.tasks()
    with pytest.raises(RecipeError, match=r"neither content nor name tells the format of a\.bin"):
        corpus.write("a.bin", "what is this\n")
        corpus.tasks("a.bin")


def test_what_is_left_out_and_what_is_empty(corpus):
    corpus.write("a.jsonl", "")
    corpus.write("b.jsonl", line(1, 1))
    corpus.write("c.jsonl", "\n\n")
    corpus.write(".hidden", "not looked at")
    [task] = corpus.tasks()
    assert [piece.file.path for piece in task.pieces] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert [document[0] for document in corpus.documents()] == ["b.jsonl"]
    assert corpus.rejected == []
    assert corpus.documents("a.jsonl") == []
