"""Phases against megatron-core itself: it reads every view, draws what is promised, and reads no document too often."""

import itertools
import json
import shlex
from math import ceil
from types import SimpleNamespace

import numpy as np
import pytest

from mixer.locate import locate
from mixer.manifest import read
from mixer.megatron.blend import Replay
from mixer.megatron.indexed import IndexFile
from mixer.megatron.order import most_reads
from mixer.megatron.view import ViewFile
from mixer.mixture.export import parts_of
from mixer.mixture.verify import verify
from tests.builds import Made, make_phased

pytestmark = pytest.mark.filterwarnings("ignore")
LENGTH = 16


def built(core, build_dir, part):
    """Build the datasets of a phase as Megatron's training does in it, and return those for training."""
    flags = shlex.split((build_dir / part.args).read_text())
    value = dict(itertools.pairwise(flags))
    splits = json.loads((build_dir / part.blend).read_text())
    config = core.gpt.GPTDatasetConfig(
        random_seed=1234,
        sequence_length=LENGTH,
        blend_per_split=[core.utils.get_blend_from_list(splits[split]) for split in ("train", "valid", "test")],
        path_to_cache=value["--data-cache-path"],
        tokenizer=SimpleNamespace(vocab_size=1000, eod=999, pad=-1, unique_identifiers={"class": "tiny"}),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=True,
        create_attention_mask=False,
        mid_level_dataset_surplus=float(value.get("--mid-level-dataset-surplus", 0.005)),
    )
    # What Megatron asks for between two transitions, given these flags.
    batch, total = int(value["--global-batch-size"]), int(value["--train-samples"])
    ends = [int(step) * batch for step in value.get("--phase-transition-iterations", "").split(",") if step]
    bounds = [0, *ends, total]
    sizes = np.diff(bounds).tolist()
    number = parts_of(read(build_dir)).index(part)
    assert sizes[number] == part.manifest.samples
    sizes = [sizes[number], 10, 0]
    return core.blend.BlendedMegatronDatasetBuilder(core.gpt.GPTDataset, sizes, lambda: True, config).build()[0]


def add_reads(dataset, drawn, view, counts):
    """Add to ``counts``, of every token of the whole dataset, how often samples of a view read it as input."""
    index = ViewFile(view)
    begins = np.asarray(index.begins) // index.dtype.itemsize
    for sample in drawn:
        row = int(dataset.shuffle_index[sample])
        (first, start), (last, stop) = dataset.sample_index[row], dataset.sample_index[row + 1]
        for place in range(first, last + 1):
            document = int(dataset.document_index[place])
            low = int(start) if place == first else 0
            high = int(stop) if place == last else int(index.lengths[document])
            counts[begins[document] + low : begins[document] + high] += 1


@pytest.mark.parametrize(
    ("phases", "datasets", "settings"),
    [
        (  # a warm-up, the main part, an annealing mix; less than an epoch of anything
            [{"tokens": "8K", "almr": 0.1}, {"tokens": "30K"}, {"tokens": "10K", "almr": 0.6}],
            [Made("wanjuan", "zh", 30_000), Made("zhihu", "zh", 11_000), Made("dolma", "en", 50_000)],
            {},
        ),
        (  # all of it but a few samples
            [{"tokens": "20K", "almr": 0.5}, {"tokens": "39500", "almr": 0.5}],
            [Made("a", "zh", 30_000, max_epochs=1.0), Made("b", "en", 30_000, max_epochs=1.0)],
            {"global_batch": 4},
        ),
        (  # several epochs, at a cap
            [{"tokens": "40K", "almr": 0.9}, {"tokens": "100K"}, {"tokens": "60K", "almr": 0.8}],
            [Made("a", "zh", 30_000), Made("b", "zh", 6_000), Made("c", "en", 40_000), Made("d", "en", 9_000)],
            {"almr_basis": "label", "strategy": "unimax"},
        ),
        (  # by the language of the text
            [{"tokens": "20K", "almr": 0.2}, {"tokens": "30K", "almr": 0.5}],
            [
                Made("a", "zh", 30_000, share=0.9),
                Made("b", "en", 40_000, share=0.02),
                Made("half", "zh", 12_000, share=1.0, max_epochs=0.5),
            ],
            {"almr_basis": "measured"},
        ),
    ],
)
def test_megatron_draws_what_is_promised_and_reads_no_document_too_often(
    core, one_rank, tmp_path, phases, datasets, settings
):
    build_dir = make_phased(tmp_path, phases, datasets, **settings)
    manifest = read(build_dir)
    report = verify(build_dir)
    counts = {entry.prefix: np.zeros(entry.tokens, np.int64) for entry in manifest.datasets}
    drawn_in_all = dict.fromkeys(counts, 0)
    steps = 0
    for part, phase, found in zip(parts_of(manifest), manifest.phases, report.phases, strict=True):
        train = built(core, build_dir, part)
        order = np.asarray(train.dataset_index)[: phase.samples]
        assert (Replay([view.weight for view in phase.views]).order(phase.samples) == order).all()
        assert np.bincount(order).tolist() == [view.samples for view in phase.views]
        batch = manifest.global_batch
        for step in (1, phase.samples // batch):
            found_there = locate(build_dir, steps + step)
            assert found_there.steps == manifest.samples // batch
            for sample in found_there.samples[::3]:
                ids = np.memmap(
                    build_dir / f"{sample.dataset.prefix}.bin", IndexFile(build_dir / sample.dataset.prefix).dtype
                )
                begins = np.asarray(IndexFile(build_dir / sample.dataset.prefix).begins) // ids.itemsize
                held = [
                    ids[begins[p.part.document] + p.part.first :][: p.part.last - p.part.first] for p in sample.pieces
                ]
                theirs = train[sample.number - steps * batch]
                assert (theirs["tokens"].numpy() == np.concatenate(held)[:-1]).all()
        steps += phase.samples // batch
        reads = most_reads(
            [view.weight for view in phase.views],
            [view.tokens for view in phase.views],
            LENGTH,
            [view.samples for view in phase.views],
        )
        assert found.reads == max(reads)
        for k, view in enumerate(phase.views):
            dataset = train.datasets[k]
            reader = core.indexed.IndexedDataset(str(build_dir / view.prefix))
            index = ViewFile(build_dir / view.prefix)
            ids = np.memmap(build_dir / f"{view.dataset}.bin", index.dtype, "r")
            assert len(reader) == view.documents
            for document in (0, view.documents // 2, view.documents - 1):
                begin = int(index.begins[document]) // index.dtype.itemsize
                assert (np.array(reader[document]) == ids[begin : begin + index.lengths[document]]).all()
            samples = np.asarray(train.dataset_sample_index)[: phase.samples][order == k]
            before = counts[view.dataset].copy()
            add_reads(dataset, samples.tolist(), build_dir / view.prefix, counts[view.dataset])
            own = counts[view.dataset] - before
            assert own.max() <= reads[k] == view.reads <= ceil((view.samples * LENGTH + 1) / view.tokens)
            assert not before[own > 0].any()  # what this phase reads no earlier one has read
            drawn_in_all[view.dataset] += view.samples
    for entry in manifest.datasets:
        whole = drawn_in_all[entry.prefix]
        assert whole == entry.samples
        assert counts[entry.prefix].sum() == whole * LENGTH
        assert whole * LENGTH + len(phases) <= entry.max_epochs * entry.tokens
        most = ceil((whole * LENGTH + len(phases)) / entry.tokens)
        assert counts[entry.prefix].max() <= most
        lengths = IndexFile(build_dir / entry.prefix).lengths
        assert lengths.sum() == entry.tokens


def test_reads_are_those_of_megatrons_epochs(core, one_rank, tmp_path):
    """Around whole epochs, and around the 80 % at which Megatron shuffles the last epoch with the others."""
    from mixer.engine.outputs import Outputs
    from tests.builds import random_lengths, write_dataset

    tokens = 4000
    write_dataset(Outputs(tmp_path), "one", random_lengths(np.random.default_rng(3), tokens))
    per_epoch = (tokens - 1) // LENGTH
    for samples in [
        per_epoch - 1,
        per_epoch,
        per_epoch + 1,
        int(1.7 * per_epoch),
        int(1.85 * per_epoch),
        3 * per_epoch,
    ]:
        config = core.gpt.GPTDatasetConfig(
            random_seed=1234,
            sequence_length=LENGTH,
            blend=([str(tmp_path / "one")], [1.0]),
            split="100,0,0",
            path_to_cache=str(tmp_path / "cache"),
            tokenizer=SimpleNamespace(vocab_size=1000, eod=999, pad=-1, unique_identifiers={"class": "tiny"}),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=True,
            create_attention_mask=False,
        )
        builder = core.blend.BlendedMegatronDatasetBuilder(core.gpt.GPTDataset, [samples, 0, 0], lambda: True, config)
        train = builder.build()[0]
        dataset = train.datasets[0] if hasattr(train, "datasets") else train
        counts = np.zeros(tokens, np.int64)
        add_reads(dataset, range(samples), tmp_path / "one", counts)
        assert (
            counts.max() <= most_reads([1.0], [tokens], LENGTH, [samples])[0] <= ceil((samples * LENGTH + 1) / tokens)
        )
