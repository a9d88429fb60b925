"""`mixer locate`: the documents that a step reads, and what they say, from a build alone."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from mixer.errors import BrokenPromiseError, UsageError
from mixer.locate import locate
from mixer.manifest import read
from mixer.megatron.blend import Replay
from tests.builds import change_text
from tests.small import Small, english, mixer


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_tokenizer, kept_server):
    """A build whose English documents carry an id, a licence and a url."""
    small = Small(tmp_path_factory.mktemp("located"), small_tokenizer)
    rows = [
        {"text": text, "id": f"en-{k}", "licence": "MIT", "url": f"https://a.example/{k}" if k % 2 else None}
        for k, text in enumerate(english(40))
    ]
    small.write("en.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    small.source("en", metadata=["id", "licence", "url"])
    assert small.build().code == 0
    return small


def ids_of(build_dir, sample):
    """Return the token ids that a sample's pieces name, from the dataset's file."""
    prefix = build_dir / sample.dataset.prefix
    ids = np.fromfile(prefix.with_name(prefix.name + ".bin"), np.uint16)
    ends = np.flatnonzero(ids == read(build_dir).tokenizer.eod) + 1
    begins = [0, *ends.tolist()]
    return [
        ids[begins[piece.part.document] + piece.part.first : begins[piece.part.document] + piece.part.last]
        for piece in sample.pieces
    ]


def test_a_batch_follows_the_blend(built):
    manifest = read(built.out)
    weights = [entry.weight for entry in manifest.datasets]
    order = Replay(weights).order(manifest.samples)
    steps = manifest.samples // 8
    for step in (1, steps // 2, steps):
        found = locate(built.out, step)
        assert (found.step, found.steps, found.global_batch, found.seed) == (step, steps, 8, 1234)
        assert [each.number for each in found.samples] == list(range(8 * step - 8, 8 * step))
        for each in found.samples:
            place = order[each.number]
            assert each.dataset == manifest.datasets[place]
            assert each.drawn == np.count_nonzero(order[: each.number] == place)
            assert sum(map(len, ids_of(built.out, each))) == 33


def test_the_text_is_what_the_tokens_spell(built, small_tokenizer):
    tokenizer = Tokenizer.from_file(str(small_tokenizer))
    seen = set()
    for step in range(1, 6):
        for sample in locate(built.out, step).samples:
            for piece, ids in zip(sample.pieces, ids_of(built.out, sample), strict=True):
                assert piece.text == tokenizer.decode(ids.tolist())
                assert piece.text in piece.document.text or "\ufffd" in piece.text
                seen.add(sample.dataset.source)
    assert seen == {"en", "zh"}


def test_documents_are_the_rows_of_their_files(built):
    rows = pq.read_table(built.out / "documents/train/en-en").to_pylist()
    for sample in locate(built.out, 3).samples:
        for piece in sample.pieces:
            if sample.dataset.source == "en":
                row = rows[piece.part.document]
                assert (piece.document.text, piece.document.record) == (row["text"], row["record"])
                expected = {"id": row["metadata.id"], "licence": "MIT", "url": row["metadata.url"]}
                assert piece.document.metadata == {name: value for name, value in expected.items() if value}
                assert piece.tokens == row["tokens"]


def test_another_seed_reads_other_documents(built):
    def documents(found):
        return [piece.part for sample in found.samples for piece in sample.pieces]

    usual = documents(locate(built.out, 2))
    assert documents(locate(built.out, 2, seed=1234)) == usual
    assert documents(locate(built.out, 2, seed=7)) != usual


def test_one_sample_of_a_batch(built):
    whole = locate(built.out, 2)
    assert locate(built.out, 2, sample=5).samples == (whole.samples[5],)


def test_the_command_shows_a_step_and_a_sample(built):
    ran = mixer("locate", built.out, "--step", 2)
    assert ran.code == 0 and "step 2 of" in ran.stdout and "en-en" in ran.stdout and "zh.jsonl record" in ran.stdout
    assert all(len(line) <= 121 for line in ran.stdout.splitlines())
    samples = locate(built.out, 2).samples
    number = next(k for k, each in enumerate(samples) if each.dataset.source == "en")
    ran = mixer("locate", built.out, "--step", 2, "--sample", number, "--full")
    first = samples[number].pieces[0]
    assert "licence: MIT" in ran.stdout and f"id: {first.document.metadata['id']}" in ran.stdout
    assert first.text[:40] in ran.stdout
    ran = mixer("locate", built.out, "--step", 2, "--json")
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["sample"] for row in rows] == [each.number for each in samples for _ in each.pieces]
    assert rows[0]["text"] == samples[0].pieces[0].text


def test_another_mixture_finds_the_documents_in_its_build(built, tmp_path):
    assert mixer("mix", built.out, "--almr", 0.4, "--out", tmp_path / "other").code == 0
    alone = locate(tmp_path / "other", 1)
    assert "--documents" in alone.notes[0] and alone.samples[0].pieces[0].document is None
    assert mixer("locate", tmp_path / "other", "--step", 1).code == 0
    assert mixer("locate", tmp_path / "other", "--step", 1, "--sample", 0).code == 0
    assert mixer("locate", tmp_path / "other", "--step", 1, "--json").code == 0
    found = locate(tmp_path / "other", 1, documents=built.out)
    assert not found.notes and found.samples[0].pieces[0].document
    assert [[p.part for p in each.pieces] for each in found.samples] == [
        [p.part for p in each.pieces] for each in alone.samples
    ]


def test_what_cannot_be_located_is_said(built, tmp_path, small_tokenizer):
    steps = read(built.out).samples // 8
    with pytest.raises(UsageError, match=f"there is no step {steps + 1:,}: the training has {steps:,}"):
        locate(built.out, steps + 1)
    with pytest.raises(UsageError, match="no sample 8 in a batch of 8"):
        locate(built.out, 1, sample=8)
    other = Small(tmp_path, small_tokenizer)
    other.write("en.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in english(41)))
    assert other.build().code == 0
    with pytest.raises(UsageError, match="does not hold the datasets"):
        locate(built.out, 1, documents=other.out)
    change_text(other.out / "megatron/args.txt", r"--tokenizer-model \S+", "--tokenizer-model /nowhere")
    found = locate(other.out, 1)
    assert "the vocabulary is not at hand" in found.notes[0] and found.samples[0].pieces[0].text is None
    assert mixer("locate", other.out, "--step", 1, "--sample", 0).code == 0
    path = next((other.out / "documents/train/en-en").glob("*.parquet"))
    path.rename(path.with_name("00000.gone"))
    with pytest.raises(BrokenPromiseError, match="holds 0 documents, but the dataset"):
        locate(other.out, 1)
    change_text(other.out / "megatron/args.txt", r"--global-batch-size \d+\n", "")
    with pytest.raises(BrokenPromiseError, match="gives no --global-batch-size"):
        locate(other.out, 1)
