"""Everything that is said of Megatron, against megatron-core itself: one file, because importing it takes seconds."""

import json
import math
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.engine.outputs import Outputs
from mixer.locate import locate
from mixer.manifest import read
from mixer.megatron.blend import Replay, built_samples, drawing_weights, drawn, needed_surplus, planned_samples
from mixer.megatron.indexed import join, read_index, token_dtype, write_index
from mixer.megatron.order import contents, layout
from mixer.planning.costs import Amount, indices
from mixer.planning.kinds import CODE
from tests.builds import Made, make_build, random_lengths, write_dataset
from tests.megatron.test_indexed import shards_of

pytestmark = pytest.mark.filterwarnings("ignore")


def helper_order(core, weights, steps):
    """Draw with the compiled helper, weights as ``BlendedDataset`` gives them to it."""
    order, samples = np.zeros(steps, np.int16), np.zeros(steps, np.int64)
    core.helpers.build_blending_indices(order, samples, weights, len(weights), steps, False)
    return order


def build_blend(core, build_dir, samples, sequence_length, surplus=0.005):
    """Build the datasets of a ``blend.json`` as Megatron's training does, and return train and valid."""
    splits = json.loads((build_dir / "megatron/blend.json").read_text())
    flags = shlex.split((build_dir / "megatron/args.txt").read_text())
    config = core.gpt.GPTDatasetConfig(
        random_seed=1234,
        sequence_length=sequence_length,
        blend_per_split=[core.utils.get_blend_from_list(splits[split]) for split in ("train", "valid", "test")],
        path_to_cache=flags[flags.index("--data-cache-path") + 1],
        tokenizer=SimpleNamespace(vocab_size=1000, eod=999, pad=-1, unique_identifiers={"class": "tiny"}),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=True,
        create_attention_mask=False,
        mid_level_dataset_surplus=surplus,
    )
    builder = core.blend.BlendedMegatronDatasetBuilder(core.gpt.GPTDataset, [samples, 10, 0], lambda: True, config)
    train, valid, test = builder.build()
    assert test is None
    return train, valid


def test_documents_beyond_a_hundred_billion_tokens_are_read(core, tmp_path):
    """A sparse file of 430 GB: where 32-bit arithmetic on pointers would long have begun again at 0."""
    longest = 2**31 - 1
    lengths = [np.array([7] * 3 + [longest] * 50), np.array([5, longest, 9, 4])]
    prefix = tmp_path / "huge"
    with Outputs(tmp_path).open("huge.idx") as file:
        written = write_index(file, lengths, np.dtype("<i4"))
    assert written.tokens == 21 + 51 * longest + 18 > 100_000_000_000
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(4 * written.tokens)
        file.seek(-4 * 13, 2)
        file.write(np.arange(13, dtype="<i4").tobytes())
    ours = read_index(prefix)
    assert (ours.documents, ours.tokens) == (57, written.tokens)
    assert ours.ends(54, 57).tolist() == [written.tokens - 13, written.tokens - 4, written.tokens]
    theirs = core.indexed.IndexedDataset(str(prefix))
    assert len(theirs) == 57
    assert theirs.get(56).tolist() == [9, 10, 11, 12]
    assert theirs.get(55).tolist() == list(range(9))
    assert theirs.get(54, offset=longest - 3).tolist() == [0, 0, 0]
    assert (theirs.index.sequence_pointers == ours.begins).all()
    (tmp_path / "huge.bin").unlink()


@pytest.mark.parametrize("vocab_size", [256, 65_499, 65_500, 128_256])
def test_token_types(core, vocab_size):
    assert token_dtype(vocab_size) == np.dtype(core.indexed.DType.optimal_dtype(vocab_size))


@pytest.mark.parametrize("vocab_size", [256, 65_499, 65_500, 128_256])
def test_files_equal_the_builders_byte_for_byte_and_its_reader_reads_them(core, tmp_path, vocab_size):
    import torch

    rng = np.random.default_rng(vocab_size)
    dtype = token_dtype(vocab_size)
    lengths = rng.integers(1, 60, 3000).astype(np.int32)
    documents = [rng.integers(0, vocab_size, length) for length in lengths]
    builder = core.indexed.IndexedDatasetBuilder(
        str(tmp_path / "theirs.bin"), dtype=core.indexed.DType.optimal_dtype(vocab_size)
    )
    for document in documents:
        builder.add_document(torch.from_numpy(document), [len(document)])
    builder.finalize(str(tmp_path / "theirs.idx"))

    parts = np.split(lengths, [0, 500, 500, 1300])  # empty shards, too
    shards = shards_of(tmp_path, parts, dtype)
    firsts = np.cumsum([0, *map(len, parts)])
    for shard, first, last in zip(shards, firsts, firsts[1:], strict=False):
        shard.bin.write_bytes(b"".join(document.astype(dtype).tobytes() for document in documents[first:last]))
    outputs = Outputs(tmp_path)
    with outputs.open("ours.bin") as bin_file, outputs.open("ours.idx") as idx_file:
        join(shards, bin_file, idx_file, dtype)

    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()
    index = read_index(tmp_path / "theirs")
    assert (index.documents, index.tokens) == (3000, int(lengths.sum()))
    dataset = core.indexed.IndexedDataset(str(tmp_path / "ours"))
    assert len(dataset) == 3000
    assert dataset.index.dtype == dtype
    for number in (0, 1, 499, 500, 2999):
        assert (np.array(dataset[number]) == documents[number]).all()


def test_weights_are_normalised_in_the_same_way(core):
    rng = np.random.default_rng(3)
    for count in (1, 2, 7, 8, 9, 40, 129, 1000):
        weights = rng.random(count).tolist()
        assert drawing_weights(weights).tolist() == core.utils.normalize(core.utils.normalize(weights))


def test_the_replay_equals_the_helper_on_real_and_on_whole_weights(core):
    rng = np.random.default_rng(4)
    for trial in range(120):
        count = int(rng.integers(1, 41))
        steps = int(rng.integers(1, 20_000))
        if trial % 2:
            weights = rng.dirichlet(np.full(count, rng.choice([0.1, 1, 10]))) + 1e-9
        else:
            samples = 1 + rng.multinomial(steps, rng.dirichlet(np.ones(count)))
            weights, steps = samples / samples.sum(), int(samples.sum())
        replay = Replay(weights)
        assert (replay.order(steps) == helper_order(core, drawing_weights(weights).tolist(), steps)).all()
        if not trial % 2:
            assert (replay.counts == samples).all()


def test_the_replay_equals_the_helper_with_many_prefixes_and_ties(core):
    for weights in ([1.0] * 37, [0.5, 0.25, 0.125, 0.125], np.random.default_rng(5).dirichlet(np.ones(700))):
        expected = helper_order(core, drawing_weights(weights).tolist(), 50_000)
        assert (Replay(weights).order(50_000) == expected).all()


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.floats(1e-9, 1) | st.sampled_from([0.25, 0.5, 1.0]), min_size=1, max_size=40),
    steps=st.integers(1, 20_000),
    cuts=st.lists(st.integers(0, 20_000), max_size=3),
)
def test_the_replay_equals_the_helper_for_any_weights(core, weights, steps, cuts):
    expected = helper_order(core, drawing_weights(weights).tolist(), steps)
    assert (Replay(weights).order(steps) == expected).all()
    replay = Replay(weights)
    for cut in sorted(cut % steps for cut in cuts):
        replay.advance(cut)
        assert (replay.counts == np.bincount(expected[:cut], minlength=len(weights))).all()


@pytest.mark.parametrize(
    ("steps", "count", "spread"),
    [
        (2_000_000, 20, 1),
        (2_000_000, 40, 0.1),
        pytest.param(20_000_000, 20, 1, marks=pytest.mark.slow),
        pytest.param(20_000_000, 40, 0.1, marks=pytest.mark.slow),
    ],
)
def test_the_replay_equals_the_helper_over_a_long_run(core, steps, count, spread):
    rng = np.random.default_rng(6)
    samples = 1 + rng.multinomial(steps - count, rng.dirichlet(np.full(count, spread)))
    weights = samples / steps
    expected = helper_order(core, drawing_weights(weights).tolist(), steps)
    assert (np.bincount(expected) == samples).all()
    replay = Replay(weights)
    for end in (1, steps // 100, steps // 10 + 7, steps // 2, steps):  # side by side where it is far
        replay.advance(end)
        assert (replay.counts == np.bincount(expected[:end], minlength=count)).all()
    assert (Replay(weights).order(steps // 10) == expected[: steps // 10]).all()


@pytest.mark.parametrize(
    ("almr", "counts", "samples"),
    [
        (0.0, 5, 2000),
        (0.33, 2, 100_000),
        (0.33, 40, 200_000),
        (0.5, 11, 20_000),
        (0.97, 20, 30_000),
        (1.0, 6, 1000),
        pytest.param(0.1, 40, 1_000_000, marks=pytest.mark.slow),
        pytest.param(0.33, 20, 1_000_000, marks=pytest.mark.slow),
        pytest.param(0.8, 7, 1_000_000, marks=pytest.mark.slow),
    ],
)
def test_megatron_draws_exactly_the_promised_samples_in_the_replays_order(
    core, one_rank, tmp_path, almr, counts, samples
):
    length = 4
    rng = np.random.default_rng(counts)
    sizes = rng.integers(1000, 20_000, counts)
    cap = 8 * samples * length / int(sizes.sum()) + 1
    datasets = [
        Made(f"source{k:02}", "zh" if k % 3 == 0 else "en", int(size), 100, max_epochs=cap * 4)
        for k, size in enumerate(sizes)
    ]
    build_dir = make_build(tmp_path, datasets, almr, samples, length)
    manifest = read(build_dir)
    train, valid = build_blend(core, build_dir, manifest.samples, length)
    drawn_from = [entry for entry in manifest.datasets if entry.samples]
    weights = [entry.weight for entry in drawn_from]

    order = np.asarray(train.dataset_index)[:samples]
    assert (order == Replay(weights).order(samples)).all()
    assert np.bincount(order).tolist() == [entry.samples for entry in drawn_from]
    assert len(train) == planned_samples(weights, samples).sum()
    for dataset, entry, planned in zip(train.datasets, drawn_from, planned_samples(weights, samples), strict=True):
        assert dataset.dataset_path == str(build_dir.resolve() / entry.prefix)
        assert len(dataset) == built_samples(int(planned), entry.tokens, length)
    assert len(valid.datasets) == len(manifest.valid)
    assert train[0]["tokens"].shape == (length,)


def test_a_single_prefix_is_read_without_blending(core, one_rank, tmp_path):
    build_dir = make_build(tmp_path, [Made("only", "zh", 5000, 0)], 1.0, 700, 8)
    train, valid = build_blend(core, build_dir, 700, 8)
    assert len(train) >= 700
    assert type(train) is core.gpt.GPTDataset
    assert valid is None


def test_the_surplus_is_needed_and_helps(core, one_rank, tmp_path):
    # One large dataset among many small ones, in a training so short that rounding up the plan of each adds a third.
    length, samples = 8, 140
    weights = [count / samples for count in (100, *[1] * 40)]
    # Each dataset ends just behind what is built of it by default.
    tokens = [math.ceil(planned * 1.005) * length + 1 for planned in planned_samples(weights, samples).tolist()]
    surplus = needed_surplus(weights, tokens, length, samples)
    assert surplus is not None
    outputs, rng, texts = Outputs(tmp_path), np.random.default_rng(8), []
    for k, (weight, size) in enumerate(zip(weights, tokens, strict=True)):
        write_dataset(outputs, f"{k:03}", random_lengths(rng, size))
        texts += [repr(weight), str(tmp_path / f"{k:03}")]
    (tmp_path / "megatron").mkdir()
    (tmp_path / "megatron/blend.json").write_text(json.dumps({"train": texts, "valid": None, "test": None}))
    (tmp_path / "megatron/args.txt").write_text(f"--data-cache-path {tmp_path / 'cache'}")
    with pytest.raises(IndexError, match="oversamples"):
        build_blend(core, tmp_path, samples, length)
    train, _ = build_blend(core, tmp_path, samples, length, surplus)
    assert (np.bincount(train.dataset_index, minlength=len(weights)) == drawn(weights, len(train))).all()


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (10_000, 700),  # one epoch
        (10_000, 1249),  # all samples of one epoch
        (10_000, 1251),  # the last of two epochs is separate
        (10_000, 2300),  # it is not
        (10_000, 2249),  # just below 80 %
        (10_000, 2248),
        (10_000, 11_500),  # many
        (10_000, 12_000),
        (9, 40),  # shorter than two samples
        (5, 40),  # shorter than one
        (100_003, 30_000),
    ],
)
def test_a_prefix_is_laid_out_and_shuffled_as_megatron_does(core, one_rank, tmp_path, tokens, wanted):
    length, seed = 8, 4321
    lengths = random_lengths(np.random.default_rng(tokens), tokens)
    write_dataset(Outputs(tmp_path), "made", lengths)
    config = core.gpt.GPTDatasetConfig(
        random_seed=seed,
        sequence_length=length,
        blend=([str(tmp_path / "made")], None),
        split="100,0,0",
        path_to_cache=str(tmp_path / "cache"),
        tokenizer=SimpleNamespace(vocab_size=1000, eod=999, pad=-1, unique_identifiers={"class": "tiny"}),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=True,
        create_attention_mask=False,
    )
    theirs, _, _ = core.blend.BlendedMegatronDatasetBuilder(
        core.gpt.GPTDataset, [wanted, 0, 0], lambda: True, config
    ).build()
    shape = layout(tokens, wanted, length)
    assert len(theirs) == shape.samples
    assert len(theirs.document_index) == shape.epochs * len(lengths)
    asked = np.random.default_rng(1).permutation(shape.samples)[:500].tolist()
    for sample, parts in zip(asked, contents(lengths, wanted, length, seed, asked), strict=True):
        ids, documents = theirs._query_document_sample_shuffle_indices(sample)
        assert [part.document for part in parts] == documents.tolist()
        found = [theirs.dataset.get(part.document, part.first, part.last - part.first) for part in parts]
        assert (np.concatenate(found) == ids).all()


@pytest.mark.parametrize("prefixes", [1, 3])
def test_a_located_step_holds_the_tokens_that_megatron_reads(core, one_rank, tmp_path, prefixes):
    length, samples = 16, 3000
    datasets = [Made(f"s{k}", "zh", 9000 + 5000 * k, 0, max_epochs=50) for k in range(prefixes)]
    build_dir = make_build(tmp_path, datasets, 1.0, samples, length)
    train, _ = build_blend(core, build_dir, samples, length)
    for step in (1, 2, 5, samples // 256):
        found = locate(build_dir, step)
        assert len(found.samples) == 256
        for sample in found.samples[::17]:
            prefix = build_dir / sample.dataset.prefix
            dataset = core.indexed.IndexedDataset(str(prefix))
            parts = [piece.part for piece in sample.pieces]
            ids = np.concatenate([dataset.get(p.document, p.first, p.last - p.first) for p in parts])
            theirs = train[sample.number]
            assert (theirs["tokens"].numpy() == ids[:-1]).all()
            assert (theirs["labels"].numpy() == ids[1:]).all()


@pytest.mark.parametrize("prefixes", [1, 4])
def test_indices_are_as_large_as_a_plan_says(core, one_rank, tmp_path, prefixes):
    length, samples = 16, 5000
    made = [Made(f"s{k}", "zh", 9000 + 7000 * k, 0, max_epochs=50) for k in range(prefixes)]
    build_dir = make_build(tmp_path, made, 1.0, samples, length)
    build_blend(core, build_dir, samples, length)
    entries = read(build_dir).datasets
    planned = planned_samples([entry.weight for entry in entries], samples).tolist()
    amounts = [Amount(CODE, 0, e.documents, e.tokens, count) for e, count in zip(entries, planned, strict=True)]
    arrays = [np.load(path, mmap_mode="r") for path in (build_dir / "megatron/cache").glob("*.npy")]
    assert sum(array.nbytes for array in arrays) == indices(amounts, length).cache_bytes
