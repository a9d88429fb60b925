"""`mixer export`: what each trainer is handed, read back by the consumer's own code where that is installed."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from mixer.errors import UsageError
from mixer.exports import TARGETS, export_to
from mixer.manifest import read
from tests.builds import make_build
from tests.small import Small, chinese, english, lines, mixer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_build(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_tokenizer, kept_server):
    """Long English and short Chinese documents, so that shares of documents are not those of tokens."""
    small = Small(tmp_path_factory.mktemp("exported"), small_tokenizer)
    small.write("en.jsonl", lines([f"{a} {b} {c}" for a, b, c in zip(*[iter(english(90))] * 3, strict=True)]))
    small.write("zh.jsonl", lines(chinese(120)))
    assert small.build().code == 0
    return small


def load(path):
    return yaml.safe_load(Path(path).read_text("utf-8"))


def drawn(build_dir):
    return [entry for entry in read(build_dir).datasets if entry.samples]


def test_bridge_hands_megatron_core_the_same_blend(core, one_rank, made, tmp_path):
    bridge, paths = export_to("nemo", made, tmp_path)
    found, manifest = load(bridge), read(made)
    assert found["train"] == {"train_samples": manifest.samples, "train_iters": None, "global_batch_size": 256}
    splits = json.loads((made / "megatron/blend.json").read_text())
    expected = [core.utils.get_blend_from_list(splits[split]) for split in ("train", "valid")]
    dataset = found["dataset"]
    assert [tuple(map(tuple, blend)) for blend in dataset["blend_per_split"][:2]] == [
        tuple(map(tuple, blend)) for blend in expected
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = core.gpt.GPTDatasetConfig(
            blend_per_split=dataset["blend_per_split"],
            blend=dataset["blend"],
            split=dataset["split"],
            random_seed=dataset["random_seed"],
            sequence_length=dataset["seq_length"],
            path_to_cache=dataset["path_to_cache"],
            tokenizer=SimpleNamespace(vocab_size=1000, eod=999, pad=-1, unique_identifiers={"class": "tiny"}),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=True,
        )
        train, _, _ = core.blend.BlendedMegatronDatasetBuilder(
            core.gpt.GPTDataset, [manifest.samples, 10, 0], lambda: True, config
        ).build()
    assert np.bincount(train.dataset_index[: manifest.samples]).tolist() == [each.samples for each in drawn(made)]
    named = json.loads(paths.read_text())
    assert list(named) == ["train", "validation"]
    for split, blend in zip(named.values(), expected, strict=True):
        assert core.utils.get_blend_from_list(split) == blend


def test_torchtitan_gets_the_fields_of_its_loader(made, tmp_path):
    (path,) = export_to("torchtitan", made, tmp_path)
    loader, training, manifest = load(path)["dataloader"], load(path)["training"], read(made)
    # The fields that its loader declares, in so far as they are given here, and what it demands of them.
    known = {"data_paths", "sequence_length", "num_samples", "data_weights", "split", "split_name", "data_cache_path"}
    assert set(loader) == known | {"seed"}
    assert len(loader["data_paths"]) == len(loader["data_weights"]) == len(drawn(made))
    assert loader["data_weights"] == [entry.weight for entry in drawn(made)]
    assert all(Path(f"{prefix}.idx").is_file() for prefix in loader["data_paths"])
    assert (loader["num_samples"], loader["split"]) == (manifest.samples, "100,0,0")
    assert training["steps"] == manifest.samples // training["global_batch_size"]


def test_datatrove_reads_for_nanotron_what_is_in_the_bins(made, tmp_path):
    pytest.importorskip("torch", reason="needs the extra `train`")
    from datatrove.utils.dataset import DatatroveFolderDataset

    (path,) = export_to("nanotron", made, tmp_path / "out")
    assert export_to("nanotron", made, tmp_path / "out") == [path]  # again, over what is there
    (stage,) = load(path)["data_stages"]
    dataset = stage["data"]["dataset"]
    assert stage["start_training_step"] == 1 and len(dataset["dataset_folder"]) == len(dataset["dataset_weights"])
    for folder, entry in zip(dataset["dataset_folder"], drawn(made), strict=True):
        found = DatatroveFolderDataset(
            folder,
            seq_len=16,
            filename_pattern="*.ds",
            token_size=dataset["token_size_in_bytes"],
            return_positions=True,
        )
        assert len(found) == entry.tokens // 17
        ids = np.fromfile(made / f"{entry.prefix}.bin", np.uint16)
        begins = np.concatenate([[0], np.flatnonzero(ids == 999) + 1])
        for sample in (0, 1, len(found) // 2, len(found) - 1):
            window = np.arange(17 * sample, 17 * sample + 17)
            assert found[sample]["input_ids"].tolist() == ids[window].tolist()
        ends = np.fromfile(Path(folder) / "00000.ds.index", "<u8")
        assert ends.tolist() == begins[1:].tolist() and ends[-1] == entry.tokens


def test_llamafactory_draws_documents_so_that_tokens_have_their_shares(built):
    import datasets

    info, training = export_to("llamafactory", built.out)
    described, arguments = json.loads(info.read_text()), load(training)
    assert info == built.out / "export/llamafactory/dataset_info.json"
    assert arguments["dataset_dir"] == str(info.parent) and arguments["dataset"].split(",") == list(described)
    sources = []
    for entry in described.values():  # as its loader does: every file of the folder, by the ending of its name
        files = sorted(Path(arguments["dataset_dir"], entry["file_name"]).iterdir())
        assert {file.suffix for file in files} == {".parquet"}
        rows = datasets.load_dataset(
            "parquet", data_files=[str(file) for file in files], split="train", cache_dir=str(built.folder / "cache")
        )
        assert rows[0][entry["columns"]["prompt"]]
        sources.append(rows.to_iterable_dataset())
    shares = [float(share) for share in arguments["interleave_probs"].split(",")]
    assert sum(shares) == pytest.approx(1)
    mixed = datasets.interleave_datasets(sources, probabilities=shares, seed=1, stopping_strategy="all_exhausted")
    tokens = {"en": 0, "zh": 0}
    for row in mixed.take(6000):
        tokens[row["language"]] += row["tokens"]
    realised = read(built.out).almr.realised
    assert tokens["zh"] / sum(tokens.values()) == pytest.approx(realised, abs=0.02)
    assert abs(shares[list(described).index("zh-zh")] - realised) > 0.05  # rows are not tokens


def test_the_command_and_what_it_refuses(built, tmp_path):
    ran = mixer("export", built.out, "--to", "torchtitan", "--out", tmp_path / "a/b")
    assert ran.code == 0 and ran.stdout == f"written: {tmp_path}/a/b/torchtitan.yaml\n"
    assert mixer("verify", built.out, "--no-rehash").code == 0
    with pytest.raises(UsageError, match=r"nothing is known of 'nemmo' \(did you mean 'nemo'\?\)"):
        export_to("nemmo", built.out)
    assert mixer("mix", built.out, "--almr", 0, "--out", tmp_path / "other").code == 0
    with pytest.raises(UsageError, match="holds no documents"):
        export_to("llamafactory", tmp_path / "other")
    _, training = export_to("llamafactory", tmp_path / "other", documents=built.out)
    assert load(training)["dataset"] == "en-en" and "interleave_probs" not in load(training)
    for target in TARGETS:
        export_to(target, tmp_path / "other", tmp_path / target, built.out)
