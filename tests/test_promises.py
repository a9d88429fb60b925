"""What can break a promised ratio between a build and its training: each is prevented, or `mixer verify` reports it."""

import json
import math
import shutil

import msgspec
import numpy as np
import pytest

from mixer.manifest import read
from mixer.megatron.blend import Replay, drawn
from mixer.mixture.inventory import most_samples
from mixer.mixture.verify import verify
from tests.builds import Made, change, change_text, make_build
from tests.megatron.test_megatron_core import build_blend
from tests.small import mixer


@pytest.fixture
def build(tmp_path):
    return make_build(tmp_path)


def reported(build):
    """Verify as a user does and return what is broken."""
    ran = mixer("verify", build)
    assert ran.code == 4
    return ran.stderr


def weigh(build, weights):
    """Write other weights into blend.json."""
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    blend["train"][::2] = [repr(float(weight)) for weight in weights]
    path.write_text(json.dumps(blend))


def add_flag(build, line):
    with (build / "megatron/args.txt").open("a") as file:
        file.write(f"{line}\n")


def test_the_weight_of_a_source_copied_to_each_of_its_shards(build):
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    weight, prefix = blend["train"][:2]
    blend["train"] += [weight, f"{prefix}-01", weight, f"{prefix}-02"]
    path.write_text(json.dumps(blend))
    assert f"names {prefix}-01, which mixture.json does not list" in reported(build)


def test_sizes_in_the_place_of_weights(build):
    weigh(build, [entry.tokens for entry in read(build).datasets])
    assert "the weight 30000.0, but mixture.json says" in reported(build)


def test_megatron_cuts_no_split_off_the_datasets(core, one_rank, build):
    assert "--split" not in (build / "megatron/args.txt").read_text()
    manifest = read(build)
    train, valid = build_blend(core, build, manifest.samples, manifest.sequence_length)
    for datasets, entries in ((train.datasets, manifest.datasets), (valid.datasets, manifest.valid)):
        assert [len(dataset.indices) for dataset in datasets] == [entry.documents for entry in entries]


@pytest.mark.parametrize(
    "line",
    [
        "--split 969,30,1",
        "--data-path a b",
        "--data-args-path blend.txt",
        "--train-iters 100",
        "--mock-data",
        "--dataloader-type cyclic",
    ],
)
def test_flags_that_undo_the_blend(build, line):
    add_flag(build, line)
    assert f"args.txt {'says' if 'cyclic' in line else 'has'} {line.split()[0]}" in reported(build)


def test_other_flags_of_a_training_are_its_own(build):
    add_flag(build, "--dataloader-type single")
    add_flag(build, "--lr 1e-9 --micro-batch-size 4 --num-layers 32")
    assert mixer("verify", build).code == 0


def test_repetition_is_not_silent(tmp_path):
    datasets = [Made("wiki", "zh", 8_000, max_epochs=3), Made("dolma", "en", 60_000, max_epochs=2)]
    build = make_build(tmp_path, datasets)
    report = verify(build)
    for entry in report.datasets:
        tokens = next(dataset.tokens for dataset in report.manifest.datasets if dataset.prefix == entry.prefix)
        assert entry.epochs == pytest.approx(entry.samples * 16 / tokens)
        assert entry.epochs <= entry.max_epochs
    assert max(entry.epochs for entry in report.datasets) > 1
    first, *rest = read(build).datasets
    change(build, datasets=(msgspec.structs.replace(first, max_epochs=1.0), *rest))
    assert "are more than 1.0 epochs" in reported(build)


@pytest.mark.parametrize("epochs", [1.5, 1.85, 2.9])
def test_an_epoch_that_is_not_whole_repeats_nothing_more_often_than_the_next_whole_one(
    core, one_rank, tmp_path, epochs
):
    length, tokens = 16, 20_000
    samples = int(epochs * tokens / length)
    build = make_build(tmp_path, [Made("only", "zh", tokens), Made("other", "en", 80_000)], 0.5, 2 * samples, length)
    manifest = read(build)
    entry = manifest.datasets[0]
    assert entry.epochs == pytest.approx(epochs, abs=0.01)
    train, _ = build_blend(core, build, manifest.samples, length)
    dataset = train.datasets[0]
    sizes = dataset.dataset.sequence_lengths
    first = np.cumsum(sizes) - sizes
    stream = np.concatenate([np.arange(first[k], first[k] + sizes[k]) for k in dataset.document_index])
    read_from = np.asarray(dataset.shuffle_index[: entry.samples], np.int64)
    times = np.bincount(stream[(read_from[:, None] * length + np.arange(length)).ravel()], minlength=tokens)
    assert times.max() <= math.ceil(epochs)
    assert times.sum() == entry.samples * length


def test_a_tiny_dataset(tmp_path):
    build = make_build(tmp_path, [Made("tiny", "zh", 100), Made("dolma", "en", 9000)])
    assert "100 tokens are less than 64 sequences" in reported(build)


def test_weights_changed_before_a_resume(build):
    first, *rest = [entry.weight for entry in read(build).datasets]
    weigh(build, [first * 1.01, *rest])
    assert "but mixture.json says" in reported(build)


def test_a_training_made_longer_before_a_resume(build):
    samples = read(build).samples
    change_text(build / "megatron/args.txt", rf"--train-samples {samples}", f"--train-samples {samples + 1}")
    assert f"says --train-samples {samples + 1}, not {samples}" in reported(build)


def test_a_phase_that_begins_the_blend_anew(build):
    add_flag(build, "--phase-transition-iterations 100")
    assert "has --phase-transition-iterations, which begins the blend anew" in reported(build)


def test_indices_of_an_earlier_build_at_the_same_place(core, one_rank, tmp_path):
    def tokens_of(sizes):
        datasets = [Made("a", "zh", sizes), Made("b", "en", 2 * sizes)]
        build = make_build(tmp_path, datasets, samples=900)
        train, _ = build_blend(core, build, 900, 16)
        for dataset, entry in zip(train.datasets, read(build).datasets, strict=True):
            assert sum(dataset.dataset.sequence_lengths[dataset.document_index]) % entry.tokens == 0
        return build, read(build).build

    build, first = tokens_of(20_000)
    cache = build / "megatron/cache"
    assert any(cache.iterdir())
    shutil.move(cache, tmp_path / "cache")
    shutil.rmtree(build)
    (build / "megatron").mkdir(parents=True)
    shutil.move(tmp_path / "cache", cache)
    found = {path.name for path in cache.iterdir()}
    _, second = tokens_of(21_000)
    assert first != second
    assert {path.name for path in cache.iterdir()} > found


def test_text_of_the_other_language_inside_datasets(tmp_path):
    datasets = [Made("wanjuan", "zh", 30_000, share=0.9), Made("dolma", "en", 60_000, share=0.005)]
    build = make_build(tmp_path, datasets)
    report = verify(build)
    assert report.checkpoints[-1].realised == pytest.approx(0.33, abs=1e-3)
    assert report.checkpoints[-1].measured == pytest.approx(0.3, abs=1e-3)
    assert "measured 0.300" in mixer("verify", build).stdout
    change(build, almr=msgspec.structs.replace(read(build).almr, basis="measured"))
    assert "has a measured ALMR of 0.3" in reported(build)


@pytest.mark.parametrize("unit", ["documents", "bytes"])
def test_shares_counted_in_another_unit_than_tokens(build, unit):
    def size(entry):
        return entry.documents if unit == "documents" else (3 if entry.language == "zh" else 4.5) * entry.tokens

    sizes = np.array([size(entry) for entry in read(build).datasets])
    weigh(build, sizes / sizes.sum())
    message = reported(build)
    assert "has an ALMR of" in message
    assert "makes Megatron draw" in message


def test_a_mask_of_the_ends_of_documents_shifts_the_ratio_by_what_is_reported(build):
    manifest, report = read(build), verify(build)
    kept = [entry.samples * (1 - entry.documents / entry.tokens) for entry in manifest.datasets]
    assert report.loss_almr == pytest.approx((kept[0] + kept[1]) / sum(kept))
    assert abs(report.loss_almr - report.checkpoints[-1].realised) < 5e-3  # 2 % of these tokens end a document
    assert f"realised {report.loss_almr:.6f} of the loss" in mixer("verify", build).stdout


@pytest.mark.parametrize("lost", [0, 2])
def test_a_lost_weight(core, build, lost):
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    del blend["train"][lost]
    assert core.utils.get_blend_from_list(blend["train"])[1] is None  # Megatron would go by sizes, and say nothing
    path.write_text(json.dumps(blend))
    assert "must hold weight and prefix in turn" in reported(build)


def test_a_weight_that_is_no_number(core, build):
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    blend["train"][-2] = "a third"
    assert core.utils.get_blend_from_list(blend["train"])[1] is None  # in the last place, all are lost
    path.write_text(json.dumps(blend))
    assert "Megatron wants a number above 0" in reported(build)


def test_more_samples_than_the_caps_allow(build):
    manifest = read(build)
    weights = [entry.weight for entry in manifest.datasets]
    caps = [most_samples(entry.tokens, entry.max_epochs, manifest.sequence_length) for entry in manifest.datasets]
    assert (drawn(weights, manifest.samples_max) <= caps).all()
    longer = Replay(weights)
    longer.advance(manifest.samples_max + len(weights) * math.ceil(1 / min(weights)))
    assert (longer.counts > caps).any()
    change_text(build / "megatron/args.txt", r"--train-samples \d+", f"--train-samples {manifest.samples_max + 1}")
    assert f"says --train-samples {manifest.samples_max + 1}" in reported(build)
    change(build, samples_max=manifest.samples_max + 1)
    assert f"but the caps allow {manifest.samples_max:,}" in reported(build)
