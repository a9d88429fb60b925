import json
import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import normalizers

from mixer.documents import make_batch, read_parquet, set_column
from mixer.engine.outputs import Outputs
from mixer.engine.stage import Receipt
from mixer.errors import MixerError, TaskError
from mixer.tokenize.encode import Encoder
from mixer.tokenize.stage import Tokenize, load_fates
from mixer.tokenize.vocabulary import load_vocabulary
from tests.tokenize.conftest import train

EOD = 128001
ROWS = [  # text, language, fate
    ("The cat sat on the mat.", "en", 0),
    ("人民日報：今天天氣很好。", "zh", 0),
    ("The cat sat on the mat.", "en", 2),
    ("print('你好')\n", "code", 0),
    ("He wrote <|end_of_text|> there.", "en", 1),
    ("春眠不覺曉，處處聞啼鳥。", "zh", 1),
    ("春眠不覺曉，处处闻啼鸟。", "zh", 3),
    ("1984 + 16 = 2000", "en", 0),
    ("龘𠮷 mixed 混合 text 文字", "zh", 0),
    ("1984", "zh", 0),
    ("", "en", 0),
]


class Progress(Counter):
    def __call__(self, *, documents=0, size=0, kept=0):
        self.update(documents=documents, size=size, kept=kept)


def prepare(root, rows, task="web/00000", batch_rows=4):
    """Write a prepared file and its fates as the stages before do; return their entries of the receipts."""
    outputs = Outputs(root)
    batch = make_batch(
        ["a.jsonl"] * len(rows),
        range(len(rows)),
        [text for text, _, _ in rows],
        {"url": [f"https://a.example/{row}" for row in range(len(rows))]},
    )
    batch = set_column(batch, "language", pa.array([language for _, language, _ in rows], pa.string()))
    batch = set_column(batch, "language_score", pa.array([1.0] * len(rows), pa.float32()))
    with outputs.open(f"run/prepared/{task}.parquet") as file:
        pq.write_table(pa.Table.from_batches([batch]), file, row_group_size=batch_rows)
    with outputs.open(f"run/fates/{task}.npz") as file:
        np.savez(file, fate=np.array([fate for _, _, fate in rows], np.uint8))
    return outputs.files


def run(root, rows, vocabulary, language="zh", **options):
    stage = Tokenize(prepare(root, rows, **options), vocabulary, language)
    (task,) = stage.tasks()
    outputs, progress = Outputs(root), Progress()
    counts = pickle.loads(pickle.dumps(stage)).run(task, outputs, progress)
    assert json.loads(json.dumps(counts)) == counts
    assert not list(root.rglob("*.tmp"))
    return counts, outputs, progress


def expected_ids(reference, rows, language, fate):
    texts = (text for text, label, what in rows if (label, what) == (language, fate))
    return [[*reference.encode_ordinary(text), EOD] for text in texts]


class TestShards:
    def test_ids_lengths_documents(self, tmp_path, llama3, reference):
        counts, outputs, progress = run(tmp_path, ROWS, llama3)
        found = {(entry["split"], entry["language"]) for entry in counts["datasets"]}
        assert found == {("train", "en"), ("train", "zh"), ("train", "code"), ("valid", "en"), ("valid", "zh")}
        for split, language in found:
            documents = expected_ids(reference, ROWS, language, ("train", "valid").index(split))
            name = f"run/shards/{split}/web-{language}/00000"
            ids = np.fromfile(tmp_path / f"{name}.bin", "<i4")
            assert ids.tolist() == [token for document in documents for token in document]
            assert (ids == EOD).sum() == len(documents)
            lengths = np.load(tmp_path / f"{name}.lengths.npy")
            assert lengths.dtype == np.int32
            assert lengths.tolist() == [len(document) for document in documents]
            kept = pq.read_table(tmp_path / f"documents/{split}/web-{language}/00000.parquet")
            assert kept["tokens"].type == pa.int32()
            assert kept["tokens"].to_pylist() == lengths.tolist()
            texts = [text for text, label, what in ROWS if (label, what) == (language, split == "valid")]
            assert kept["text"].to_pylist() == texts
            assert kept["metadata.url"].to_pylist() == [
                f"https://a.example/{row}" for row in kept["record"].to_pylist()
            ]
            assert "reason" not in kept.column_names
        assert set(outputs.files) == {
            path.relative_to(tmp_path).as_posix()
            for path in tmp_path.rglob("*.*")
            if path.is_file() and "prepared" not in str(path) and "fates" not in str(path)
        }
        assert progress == {"documents": 11, "size": sum(len(text.encode()) for text, _, _ in ROWS), "kept": 9}

    def test_counts(self, tmp_path, llama3, reference):
        counts, _, _ = run(tmp_path, ROWS, llama3)
        assert (counts["documents"], counts["counted_by"]) == (11, "script")
        assert counts["set_aside"] == {"dedup.exact": 1, "dedup.minhash": 1, "contamination": 0, "dedup.against": 0}
        assert [(entry["split"], entry["language"]) for entry in counts["datasets"]] == [
            ("train", "code"),
            ("train", "en"),
            ("train", "zh"),
            ("valid", "en"),
            ("valid", "zh"),
        ]
        by_name = {f"{entry['split']}-{entry['language']}": entry for entry in counts["datasets"]}
        for entry in counts["datasets"]:
            assert entry["source"] == "web"
            assert entry["labelled"] == 0
            assert entry["additional"] + entry["base"] == entry["tokens"]
        english, chinese, code = by_name["train-en"], by_name["train-zh"], by_name["train-code"]
        assert english["documents"] == 3
        assert english["additional"] == 0.0
        assert english["tokens"] == sum(map(len, expected_ids(reference, ROWS, "en", 0)))
        assert english["bytes"] == len("The cat sat on the mat." + "1984 + 16 = 2000")
        # Two documents are Chinese through and through, by script and by label; the third is mixed.
        mixed = len(reference.encode_ordinary("龘𠮷 mixed 混合 text 文字")) + 1
        assert chinese["tokens"] - mixed < chinese["additional"] < chinese["tokens"]
        assert 0 < code["additional"] < code["tokens"]

    def test_contaminated_documents_are_set_aside_by_themselves(self, tmp_path, llama3):
        rows = [(text, language, 4 if row in (1, 7) else fate) for row, (text, language, fate) in enumerate(ROWS)]
        counts, _, progress = run(tmp_path, rows, llama3)
        dropped = pq.read_table(tmp_path / "dropped/web/00000.contaminated.parquet")
        assert dropped["record"].to_pylist() == [1, 7]
        assert dropped["reason"].to_pylist() == ["contamination"] * 2
        assert dropped["reason"].type == pa.string()
        assert dropped["metadata.url"].to_pylist() == ["https://a.example/1", "https://a.example/7"]
        assert counts["set_aside"] == {"dedup.exact": 1, "dedup.minhash": 1, "contamination": 2, "dedup.against": 0}
        assert progress["kept"] == 7

    def test_duplicates_have_been_set_aside_before(self, tmp_path, llama3):
        _, outputs, _ = run(tmp_path, ROWS, llama3)
        assert not [path for path in outputs.files if path.startswith("dropped/")]

    def test_everything_dropped(self, tmp_path, llama3):
        counts, outputs, progress = run(tmp_path, [("text", "en", 2)] * 5, llama3)
        assert counts["datasets"] == []
        assert counts["set_aside"] == {"dedup.exact": 5, "dedup.minhash": 0, "contamination": 0, "dedup.against": 0}
        assert outputs.files == {}
        assert progress["kept"] == 0

    def test_empty_file(self, tmp_path, llama3):
        counts, outputs, _ = run(tmp_path, [], llama3)
        assert (counts["documents"], counts["datasets"], outputs.files) == (0, [], {})

    def test_borders_of_batches_do_not_show(self, tmp_path, llama3):
        counts, outputs, _ = run(tmp_path / "whole", ROWS, llama3, batch_rows=11)
        for batch_rows in (1, 3):
            other = tmp_path / str(batch_rows)
            assert run(other, ROWS, llama3, batch_rows=batch_rows)[0] == counts
            for path in outputs.files:
                if path.startswith("run/shards/"):
                    assert (tmp_path / "whole" / path).read_bytes() == (other / path).read_bytes()
                else:
                    assert pq.read_table(tmp_path / "whole" / path).equals(pq.read_table(other / path))

    def test_row_groups_are_filled(self, tmp_path, llama3):
        """One document a batch does not become one document a row group."""
        run(tmp_path, [("text", "en", 0)] * 10, llama3, batch_rows=1)
        path = tmp_path / "documents/train/web-en/00000.parquet"
        assert [len(batch) for batch in read_parquet(str(path))] == [10]

    def test_small_vocabulary_takes_two_bytes(self, tmp_path, saved):
        vocabulary = load_vocabulary(str(saved(train())))
        rows = [("def f(): pass", "code", 0), ("你好 <|endoftext|>", "zh", 0)]
        run(tmp_path, rows, vocabulary)
        ids = np.fromfile(tmp_path / "run/shards/train/web-zh/00000.bin", "<u2")
        expected, _ = Encoder(vocabulary).encode(pa.array(["你好 <|endoftext|>"], pa.large_string()))
        assert ids.tolist() == [*expected.tolist(), vocabulary.eod]


class TestCounting:
    def test_by_label_where_no_script_tells(self, tmp_path, llama3):
        rows = [("Le chat est assis.", "fr", 0), ("The cat sat.", "en", 0), ("人民", "en", 0)]
        counts, _, _ = run(tmp_path, rows, llama3, language="fr")
        assert counts["counted_by"] == "label"
        english, french = counts["datasets"]
        assert (english["additional"], english["labelled"], english["neutral"]) == (0.0, 2, 0)
        assert (french["additional"], french["base"], french["labelled"]) == (french["tokens"], 0.0, 1)

    def test_by_label_where_a_tokenizer_normalises(self, tmp_path, saved):
        """Composition shortens the text: that document is counted by its label, and this is said."""
        vocabulary = load_vocabulary(str(saved(train(normalizer=normalizers.NFC()))))
        counts, _, _ = run(tmp_path, [("cafe\u0301 人", "en", 0), ("人 café", "en", 0)], vocabulary)
        (english,) = counts["datasets"]
        assert english["labelled"] == 1
        assert 0 < english["additional"] < english["tokens"] / 2

    def test_lost_text_is_an_error(self, tmp_path, llama3):
        """A vocabulary that only cuts must spell the text with its tokens; else something is wrong."""
        wrong = replace(llama3, token_bytes=llama3.token_bytes + 1)
        with pytest.raises(MixerError, match=r"a\.jsonl, record 0: the tokens of the document do not spell its text"):
            run(tmp_path, ROWS, wrong)


class TestFailures:
    @pytest.mark.parametrize("fates", [3, 5])
    def test_fates_that_do_not_fit(self, tmp_path, llama3, fates):
        files = prepare(tmp_path, [("text", "en", 0)] * 4, batch_rows=2)
        np.savez(tmp_path / "run/fates/web/00000.npz", fate=np.zeros(fates, np.uint8))
        stage = Tokenize(files, llama3, "zh")
        outputs = Outputs(tmp_path)
        with pytest.raises(TaskError, match=rf"web/00000: .* do not fit \(4 documents read, {fates} fates\)"):
            stage.run(stage.tasks()[0], outputs, Progress())
        assert outputs.files == {}
        assert not list(tmp_path.glob("documents/**/*.*"))

    def test_unknown_fate(self, tmp_path):
        np.savez(tmp_path / "fates.npz", fate=np.array([0, 9], np.uint8))
        with pytest.raises(TaskError, match="unknown fate 9"):
            load_fates(tmp_path / "fates.npz")

    def test_a_failing_document_is_named(self, tmp_path, llama3, monkeypatch):
        def fail(*_):
            raise ValueError("no such token")

        monkeypatch.setattr(Encoder, "_run", fail)
        with pytest.raises(MixerError, match=r"a\.jsonl, record 0 to a\.jsonl, record 3: .* failed: no such token"):
            run(tmp_path, [row for row in ROWS if row[2] < 2], llama3)
        assert not list(tmp_path.glob("run/shards/**/*.*"))


class TestPlan:
    def test_tasks(self, tmp_path, llama3):
        files = {**prepare(tmp_path, ROWS, "web/00001"), **prepare(tmp_path, ROWS[:3], "books/00000")}
        files["documents/other.parquet"] = files["run/prepared/web/00001.parquet"]
        tasks = Tokenize(files, llama3, "zh").tasks()
        assert [task.id for task in tasks] == ["books/00000", "web/00001"]
        assert [task.size for task in tasks] == [files[f"run/prepared/{task.id}.parquet"].bytes for task in tasks]
        receipts = [Receipt("any", "x", "key", {path: file}, {}) for path, file in reversed(files.items())]
        stage = Tokenize.after(receipts, llama3, "zh")
        assert stage.tasks() == tasks
        assert len(stage.inputs) == 4

    def test_key_says_what_decides(self, tmp_path, llama3, saved):
        files = prepare(tmp_path / "a", ROWS)
        other_text = prepare(tmp_path / "b", [("x", "en", 0), *ROWS[1:]])
        other_fate = prepare(tmp_path / "c", [(*ROWS[0][:2], 1), *ROWS[1:]])
        tiny = load_vocabulary(str(saved(train())))
        stages = [
            Tokenize(files, llama3, "zh"),
            Tokenize(files, llama3, "ja"),
            Tokenize(files, tiny, "zh"),
            Tokenize(other_text, llama3, "zh"),
            Tokenize(other_fate, llama3, "zh"),
        ]
        assert len({stage.tasks()[0].key for stage in stages}) == len(stages)
