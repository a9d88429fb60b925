"""verify: what it reports of a whole build."""

import dataclasses
import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mixer.engine.outputs import Outputs
from mixer.errors import InfeasibleError
from mixer.manifest import Hashes, content_id, encode, read
from mixer.megatron.blend import Replay
from mixer.mixture.checks import check_manifest, samples_max
from mixer.mixture.compose import Counted, compose
from mixer.mixture.export import export
from mixer.mixture.settings import MixtureSettings
from mixer.mixture.verify import CHECKPOINTS, verify
from tests.builds import TOKENIZER, change, change_text, make_build


@pytest.fixture
def build(tmp_path):
    return make_build(tmp_path)


def test_the_report_of_a_whole_build(build):
    report = verify(build, workers=3)
    manifest = read(build)
    files = [path for path in (build / "megatron").rglob("*") if path.suffix in (".bin", ".idx")]
    assert report.manifest == manifest
    assert report.rehashed
    assert report.files == len(files) == 12
    assert report.read_bytes == sum(path.stat().st_size for path in files)
    assert [point.part for point in report.checkpoints] == list(CHECKPOINTS) == [0.01, 0.1, 0.5, 1.0]
    assert [(entry.prefix, entry.samples) for entry in report.datasets] == [
        (entry.prefix, entry.samples) for entry in manifest.datasets
    ]
    assert [entry.epochs for entry in report.datasets] == [entry.epochs for entry in manifest.datasets]
    assert report.unused == report.leftovers == ()


@pytest.mark.parametrize("almr", [0.0, 0.1, 0.33, 0.5, 1.0])
def test_almr_is_what_the_order_says_at_every_checkpoint(tmp_path, almr):
    build = make_build(tmp_path, almr=almr)
    manifest, report = read(build), verify(build)
    drawn = [entry for entry in manifest.datasets if entry.samples]
    group = np.array([entry.role == "additional" for entry in drawn])
    shares = np.array([entry.additional_share for entry in drawn])
    order = Replay([entry.weight for entry in drawn]).order(manifest.samples)
    for point in report.checkpoints:
        assert point.samples == round(point.part * manifest.samples)
        assert point.realised == group[order[: point.samples]].mean()
        assert point.measured == pytest.approx(shares[order[: point.samples]].mean(), abs=1e-12)
    steps = np.arange(1, manifest.samples + 1)
    distances = np.cumsum(group[order]) - almr * steps
    value, at = report.realised.largest
    assert abs(value) == pytest.approx(np.abs(distances).max(), abs=1e-6)
    assert at == 0 or distances[at - 1] == pytest.approx(value, abs=1e-6)
    low, high = report.measured.low, report.measured.high
    distances = np.cumsum(shares[order]) - manifest.almr.measured * steps
    assert (low, high) == (
        pytest.approx(min(distances.min(), 0), abs=1e-6),
        pytest.approx(max(distances.max(), 0), abs=1e-6),
    )
    assert report.checkpoints[-1].realised == manifest.almr.realised
    assert abs(report.checkpoints[-1].realised - almr) <= 0.5 / manifest.samples


@pytest.mark.parametrize("almr", [0.0, 0.33, 1.0])
def test_the_ratio_inside_each_global_batch(tmp_path, almr):
    build = make_build(tmp_path, almr=almr)
    change(build, global_batch=100)
    change_text(build / "megatron/args.txt", "--global-batch-size 256", "--global-batch-size 100")
    manifest, report = read(build), verify(build)
    drawn = [entry for entry in manifest.datasets if entry.samples]
    order = Replay([entry.weight for entry in drawn]).order(manifest.samples)
    whole = manifest.samples // 100
    for batches, amounts, line in zip(
        report.batches,
        ([float(entry.role == "additional") for entry in drawn], [entry.additional_share for entry in drawn]),
        (almr, manifest.almr.measured),
        strict=True,
    ):
        inside = np.array(amounts)[order[: whole * 100]].reshape(whole, 100).sum(axis=1)
        assert (batches.count, batches.size, batches.slope) == (whole, 100, line)
        assert batches.share == pytest.approx(inside.sum() / (whole * 100))
        assert batches.mean == pytest.approx(np.abs(inside - 100 * line).mean(), abs=1e-8)
        assert abs(batches.worst) == pytest.approx(np.abs(inside - 100 * line).max(), abs=1e-8)
        assert inside[batches.worst_at] - 100 * line == pytest.approx(batches.worst, abs=1e-8)


def test_no_batches_where_there_is_no_whole_one(build):
    change(build, global_batch=None)
    change_text(build / "megatron/args.txt", "--global-batch-size 256\n", "")
    assert verify(build).batches == ()


def test_the_bound_is_that_of_the_datasets_and_half_a_sample_at_most(build):
    low, high = verify(build).bounds
    assert -1.5 <= low <= -1
    assert 2 <= high <= 2.5


def test_loss_almr_leaves_out_the_positions_after_an_end(build):
    manifest = read(build)
    kept = dict.fromkeys(("additional", "base"), 0.0)
    for entry in manifest.datasets:
        kept[entry.role] += entry.samples * (entry.tokens - entry.documents) / entry.tokens
    assert verify(build).loss_almr == pytest.approx(kept["additional"] / sum(kept.values()))


def test_workers_and_hashing_change_nothing_else(build):
    one, many, fast = verify(build, workers=1), verify(build, workers=8), verify(build, rehash=False)
    assert one == many
    assert fast == dataclasses.replace(one, rehashed=False, read_bytes=0)


def test_progress_hears_of_every_byte(build):
    sizes = []

    def progress(*, documents=0, size=0, kept=0):
        sizes.append(size)

    report = verify(build, progress=progress)
    assert sum(sizes) == report.read_bytes


def test_what_progress_raises_ends_everything(build):
    def progress(*, documents=0, size=0, kept=0):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(build, progress=progress, workers=2)


def test_folders_of_earlier_builds_and_other_files_are_no_fault(build):
    old = build / "megatron" / ("0" * 32) / "train"
    old.mkdir(parents=True)
    (old / "a-zh.bin").write_bytes(b"")
    cache = build / "megatron" / "cache"
    cache.mkdir()
    (cache / "index.npy").write_bytes(b"")
    assert verify(build).leftovers == (f"megatron/{'0' * 32}",)


@pytest.mark.parametrize("basis", ["label", "measured"])
def test_what_the_solver_finds_keeps_every_promise(basis):
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        counted = [
            Counted(
                name=f"source{k:02}",
                source=f"source{k:02}",
                language="zh" if (is_zh := rng.random() < 0.4) else "en",
                domain=str(rng.choice(["web", "math"])),
                documents=100,
                tokens=(tokens := int(64 * 16 * 10 ** rng.uniform(0, 2)) + 1),
                additional=tokens * (rng.uniform(0.8, 1) if is_zh else rng.uniform(0, 0.1)),
                neutral=100,
                max_epochs=float(rng.choice([0.3, 1, 1.1, 4])),
                hashes=Hashes(bin=f"{k:016x}", idx=f"{k:016x}"),
            )
            for k in range(int(rng.integers(2, 15)))
        ]
        settings = MixtureSettings(
            almr=float(rng.uniform(0.1, 0.7)),
            almr_basis=basis,
            sequence_length=16,
            domains={"math": 0.1},
            strategy=str(rng.choice(["proportional", "unimax"])),
        )
        shares = {"source00": (0.05, 0.05), "source01": (0.02, 0.2)} if seed % 2 else {}
        build = content_id((f"train/{dataset.name}", dataset.hashes) for dataset in counted)
        try:
            manifest, _ = compose("made", build, TOKENIZER, counted, [], settings, shares, 1, Path())
        except InfeasibleError:
            continue
        manifest = msgspec.json.decode(encode(manifest), type=type(manifest))
        assert check_manifest(Path("mixture.json"), manifest) == []
        assert MixtureSettings.model_validate(manifest.settings) == settings
        assert manifest.shares == shares
        drawn = [entry for entry in manifest.datasets if entry.samples]
        replay = Replay([entry.weight for entry in drawn])
        replay.advance(manifest.samples)
        assert replay.counts.tolist() == [entry.samples for entry in drawn]
        found += 1
    assert found > 10


def test_a_large_training_is_replayed_in_constant_memory(build):
    manifest = read(build)
    verify(build)

    def peak(samples):
        scaled = [
            msgspec.structs.replace(
                entry, samples=entry.samples * samples, epochs=entry.epochs * samples, max_epochs=1e9
            )
            for entry in manifest.datasets
        ]
        total = manifest.samples * samples
        changed = msgspec.structs.replace(
            manifest,
            samples=total,
            tokens=total * manifest.sequence_length,
            datasets=tuple(scaled),
            almr=msgspec.structs.replace(manifest.almr, target=manifest.almr.realised),
        )
        export(Outputs(build), msgspec.structs.replace(changed, samples_max=samples_max(changed)))
        tracemalloc.start()
        report = verify(build, rehash=False)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(entry.samples for entry in report.datasets) == total
        return size

    peak(4000)  # loads, or compiles, what only long trainings need
    many = peak(4000)
    assert many < 2_000_000  # bytes, for 60 million samples
    assert many < 1.1 * peak(500) + 10_000


def test_the_command_loads_none_of_the_pipeline():
    loaded = "import sys, mixer.cli, mixer.screens.proofs; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert not {"pyarrow", "datasets", "datatrove", "torch"} & set(done.stdout.split())
