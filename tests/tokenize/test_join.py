import errno
import os
import pickle
import shutil
from itertools import chain

import numpy as np
import pytest

from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt
from mixer.errors import BrokenPromiseError, DiskError, MixerError
from mixer.manifest import Hashes, content_id
from mixer.megatron.indexed import read_index
from mixer.tokenize.join import Join, finalize, remove_damaged
from mixer.tokenize.parts import Limits
from tests.tokenize.test_stage import Progress

VOCAB = 128_256
NO_LIMITS = Limits()


def tokenized(root, task, **datasets):
    """Leave what a task of ``tokenize`` leaves: shards of ``{split_language: documents}``."""
    source, number = task.rsplit("/", 1)
    outputs, counts = Outputs(root), []
    for name, documents in datasets.items():
        split, language = name.split("_")
        path = f"run/shards/{split}/{source}-{language}/{number}"
        with outputs.open(f"{path}.bin") as file:
            file.write(np.concatenate(documents).astype("<i4").tobytes())
        with outputs.open(f"{path}.lengths.npy") as file:
            np.save(file, np.array([len(document) for document in documents], np.int32))
        tokens = sum(map(len, documents))
        counts.append(
            {"split": split, "source": source, "language": language, "documents": len(documents), "tokens": tokens}
            | {"additional": tokens * 0.1, "base": tokens * 0.9, "neutral": 1, "labelled": 0, "bytes": 4 * tokens}
        )
    return Receipt("tokenize", task, "key", outputs.files, {"datasets": counts})


def join(root, receipts, limits=NO_LIMITS):
    stage = pickle.loads(pickle.dumps(Join(receipts, VOCAB, limits)))
    joined = []
    for task in stage.tasks():
        outputs = Outputs(root)
        counts = stage.run(task, outputs, Progress())
        joined.append(Receipt("join", task.id, task.key, outputs.files, counts))
    return joined


@pytest.fixture
def receipts(tmp_path):
    return [
        tokenized(tmp_path, "web/00010", train_en=[[5, 6, 1]]),
        tokenized(tmp_path, "web/00002", train_en=[[2, 1], [3, 1]], train_zh=[[7, 7, 1]], valid_zh=[[9, 1]]),
        tokenized(tmp_path, "my-books/00000", train_zh=[[8, 1]]),
        tokenized(tmp_path, "web/00003"),
    ]


class TestJoin:
    def test_datasets(self, tmp_path, receipts):
        joined = join(tmp_path, receipts)
        expected = {
            "train/my-books-zh": [8, 1],
            "train/web-en": [2, 1, 3, 1, 5, 6, 1],
            "train/web-zh": [7, 7, 1],
            "valid/web-zh": [9, 1],
        }
        assert [receipt.task for receipt in joined] == list(expected)
        for name, ids in expected.items():
            index = read_index(tmp_path / "run/datasets" / name)
            assert index.tokens == len(ids)
            assert np.fromfile(tmp_path / f"run/datasets/{name}.bin", "<i4").tolist() == ids
        assert read_index(tmp_path / "run/datasets/train/web-en").lengths.tolist() == [2, 2, 3]

    def test_numbers_are_ordered_as_numbers(self, tmp_path):
        receipts = [tokenized(tmp_path, f"web/{number:05}", train_en=[[number, 1]]) for number in (100_000, 99_999, 7)]
        join(tmp_path, receipts)
        ids = np.fromfile(tmp_path / "run/datasets/train/web-en.bin", "<i4")
        assert ids[::2].tolist() == [7, 99_999, 100_000]

    def test_too_many_documents_become_numbered_parts(self, tmp_path):
        receipts = [
            tokenized(tmp_path, f"web/{n:05}", train_en=[[n, 1], [n, n, 1]], valid_en=[[n, 1]]) for n in range(9)
        ]
        joined = join(tmp_path, receipts, Limits(documents=9))
        assert [receipt.task for receipt in joined] == [
            "train/web-en-00",
            "train/web-en-01",
            "train/web-en-02",
            "valid/web-en",
        ]
        ids = [np.fromfile(tmp_path / f"run/datasets/{receipt.task}.bin", "<i4").tolist() for receipt in joined[:3]]
        assert [*chain.from_iterable(ids)] == [number for n in range(9) for number in (n, 1, n, n, 1)]
        assert [receipt.counts["documents"] for receipt in joined] == [6, 6, 6, 9]
        identity = finalize(tmp_path, joined)
        assert (tmp_path / "megatron" / identity / "train/web-en-02.idx").exists()

    def test_a_shard_of_too_many_documents_is_named(self, tmp_path):
        receipts = [tokenized(tmp_path, "web/00000", train_en=[[5, 1]] * 4)]
        with pytest.raises(MixerError, match="train/web-en/00000 has 4 documents") as caught:
            join(tmp_path, receipts, Limits(documents=3))
        assert "several" in caught.value.remedy

    def test_counts(self, tmp_path, receipts):
        counts = {receipt.task: receipt.counts for receipt in join(tmp_path, receipts)}["train/web-en"]
        assert {name: counts[name] for name in ("split", "source", "language")} == {
            "split": "train",
            "source": "web",
            "language": "en",
        }
        assert (counts["documents"], counts["tokens"], counts["neutral"], counts["bytes"]) == (3, 7, 2, 28)
        assert counts["additional"] == 4 * 0.1 + 3 * 0.1
        assert counts["additional"] + counts["base"] == counts["tokens"]

    def test_the_key_says_what_decides(self, tmp_path, receipts):
        keys = {task.id: task.key for task in Join(receipts, VOCAB).tasks()}
        receipts[1] = tokenized(tmp_path, "web/00002", train_en=[[2, 1], [4, 1]], train_zh=[[7, 7, 1]])
        changed = {task.id: task.key for task in Join(receipts, VOCAB).tasks()}
        assert keys["train/web-en"] != changed["train/web-en"]
        assert keys["train/web-zh"] == changed["train/web-zh"]
        assert keys["train/my-books-zh"] == changed["train/my-books-zh"]
        assert keys["train/web-en"] != {task.id: task.key for task in Join(receipts, 1000).tasks()}["train/web-en"]

    def test_a_shard_that_is_not_what_its_receipt_says(self, tmp_path, receipts):
        np.save(tmp_path / "run/shards/train/web-zh/00002.lengths.npy", np.array([1, 1, 1], np.int32))
        with pytest.raises(BrokenPromiseError, match="train/web-zh hold 3 documents"):
            join(tmp_path, receipts)

    def test_a_shard_that_has_been_changed(self, tmp_path, receipts):
        path = tmp_path / "run/shards/train/web-zh/00002.bin"
        path.write_bytes(b"\x08" + path.read_bytes()[1:])
        with pytest.raises(BrokenPromiseError, match=r"web-zh/00002\.bin has been changed"):
            join(tmp_path, receipts)


class TestFinalize:
    def files(self, folder):
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def test_content_id_and_files(self, tmp_path, receipts):
        joined = join(tmp_path, receipts)
        identity = finalize(tmp_path, reversed(joined))
        hashes = []
        for receipt in joined:
            xxh64 = {path.rsplit(".", 1)[1]: file.xxh64 for path, file in receipt.outputs.items()}
            hashes.append((receipt.task, Hashes(bin=xxh64["bin"], idx=xxh64["idx"])))
        assert identity == content_id(hashes)
        folder = tmp_path / "megatron" / identity
        assert self.files(folder) == sorted(f"{receipt.task}.{end}" for receipt in joined for end in ("bin", "idx"))
        for name in self.files(folder):
            assert (folder / name).samefile(tmp_path / "run/datasets" / name)
        assert self.files(tmp_path / "megatron") == [f"{identity}/{name}" for name in self.files(folder)]

    def test_again_changes_nothing(self, tmp_path, receipts):
        joined = join(tmp_path, receipts)
        identity = finalize(tmp_path, joined)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "megatron").rglob("*")}
        assert finalize(tmp_path, joined) == identity
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "megatron").rglob("*")} == before

    def test_other_contents_go_elsewhere(self, tmp_path, receipts):
        first = finalize(tmp_path, join(tmp_path, receipts))
        receipts[2] = tokenized(tmp_path, "my-books/00000", train_zh=[[8, 8, 1]])
        second = finalize(tmp_path, join(tmp_path, receipts))
        assert first != second
        # What a training run may be reading stays as it was.
        ids = [np.fromfile(tmp_path / f"megatron/{name}/train/my-books-zh.bin", "<i4") for name in (first, second)]
        assert [part.tolist() for part in ids] == [[8, 1], [8, 8, 1]]

    @pytest.mark.parametrize("damage", ["missing", "short"])
    def test_a_damaged_directory_is_mended(self, tmp_path, receipts, damage):
        joined = join(tmp_path, receipts)
        path = tmp_path / "megatron" / finalize(tmp_path, joined) / "train/web-en.bin"
        path.unlink()
        if damage == "short":
            path.write_bytes(b"")
        finalize(tmp_path, joined)
        assert path.samefile(tmp_path / "run/datasets/train/web-en.bin")

    def test_not_mended_with_what_is_broken_too(self, tmp_path, receipts):
        joined = join(tmp_path, receipts)
        (tmp_path / "megatron" / finalize(tmp_path, joined) / "train/web-en.bin").unlink()
        path = tmp_path / "run/datasets/train/web-en.bin"
        path.write_bytes(b"\x01" + path.read_bytes()[1:])
        with pytest.raises(BrokenPromiseError, match=r"web-en\.bin has been changed"):
            finalize(tmp_path, joined)
        assert not path.exists()  # so that the same command makes it anew

    def test_what_is_damaged_is_removed_under_both_names(self, tmp_path, receipts):
        joined = join(tmp_path, receipts)
        final = tmp_path / "megatron" / finalize(tmp_path, joined)
        assert remove_damaged(tmp_path, joined) == []
        linked, own = tmp_path / "run/datasets/train/web-en.bin", final / "train/web-zh.idx"
        with linked.open("r+b") as file:
            file.write(b"\x01")
        content = own.read_bytes()
        own.unlink()
        own.write_bytes(content[:-1] + b"\x01")
        removed = [tmp_path / name for name in remove_damaged(tmp_path, joined)]
        assert removed == [linked, final / "train/web-en.bin", own]
        before = self.files(tmp_path / "megatron")
        assert finalize(tmp_path, join(tmp_path, receipts)) == final.name
        assert len(self.files(tmp_path / "megatron")) == len(before) + 2
        assert remove_damaged(tmp_path, joined) == []

    def test_abandoned_directories_go(self, tmp_path, receipts):
        joined = join(tmp_path, receipts)
        identity = finalize(tmp_path, joined)
        for name in (identity, "0123"):
            (tmp_path / f"megatron/.building-{name}/train").mkdir(parents=True)
            (tmp_path / f"megatron/.building-{name}/train/web-en.bin").write_bytes(b"half")
        shutil.rmtree(tmp_path / "megatron" / identity)
        assert finalize(tmp_path, joined) == identity
        assert [path.name for path in (tmp_path / "megatron").iterdir()] == [identity]
        assert read_index(tmp_path / f"megatron/{identity}/train/web-en").tokens == 7

    def test_copies_where_there_are_no_links(self, tmp_path, receipts, monkeypatch):
        def refuse(*_):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
        joined = join(tmp_path, receipts)
        path = tmp_path / "megatron" / finalize(tmp_path, joined) / "train/web-en.bin"
        original = tmp_path / "run/datasets/train/web-en.bin"
        assert path.read_bytes() == original.read_bytes()
        assert not path.samefile(original)

    def test_a_full_disk(self, tmp_path, receipts, monkeypatch):
        def refuse(*_):
            raise OSError(errno.ENOSPC, "full")

        joined = join(tmp_path, receipts)
        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(shutil, "copyfile", refuse)
        with pytest.raises(DiskError):
            finalize(tmp_path, joined)
        monkeypatch.undo()
        finalize(tmp_path, joined)
