"""blend.json and args.txt: what is written, how it is read back, and what a move changes."""

import json
import shlex

import msgspec
import pytest

from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import read
from mixer.mixture.export import (
    Weighted,
    data_flags,
    export,
    parts_of,
    read_blend,
    read_flags,
    relocate,
    tokenizer_flags,
)
from mixer.mixture.verify import verify
from tests.builds import TOKENIZER, Made, change_text, make_build


@pytest.fixture
def build(tmp_path):
    return make_build(tmp_path)


def blend_of(build):
    return json.loads((build / "megatron/blend.json").read_text())


def words_of(build):
    return shlex.split((build / "megatron/args.txt").read_text())


def test_blend_names_every_split_with_weights_that_read_back_exactly(build):
    blend, manifest = blend_of(build), read(build)
    assert list(blend) == ["train", "valid", "test"]
    assert blend["test"] is None
    for entries in (blend["train"], blend["valid"]):
        assert all(isinstance(text, str) for text in entries)
    assert [float(weight) for weight in blend["train"][::2]] == [entry.weight for entry in manifest.datasets]
    assert blend["train"][1::2] == [f"{build}/{entry.prefix}" for entry in manifest.datasets]
    total = sum(entry.tokens for entry in manifest.valid)
    assert [float(weight) for weight in blend["valid"][::2]] == [entry.tokens / total for entry in manifest.valid]


def test_datasets_without_samples_are_left_out(tmp_path):
    build = make_build(tmp_path, almr=0.0)
    assert len(read(build).datasets) == 3
    assert blend_of(build)["train"] == ["1.0", f"{build}/{read(build).datasets[2].prefix}"]


def test_a_validation_set_needs_a_sequence_and_the_token_after_it(tmp_path):
    datasets = [Made("a", "zh", valid_tokens=16), Made("b", "en", valid_tokens=17), Made("c", "en", valid_tokens=0)]
    build = make_build(tmp_path, datasets)
    assert blend_of(build)["valid"] == ["1.0", f"{build}/{read(build).valid[1].prefix}"]
    assert verify(build).unused == (read(build).valid[0].prefix,)


def test_no_validation_is_null(tmp_path):
    build = make_build(tmp_path, [Made("a", "zh", valid_tokens=0), Made("b", "en", valid_tokens=0)])
    assert blend_of(build)["valid"] is None
    verify(build)


def test_flags_are_one_a_line_and_say_what_the_manifest_says(build):
    manifest = read(build)
    lines = (build / "megatron/args.txt").read_text().splitlines()
    assert lines[:4] == [
        f"--per-split-data-args-path {build}/megatron/blend.json",
        f"--data-cache-path {build}/megatron/cache",
        f"--train-samples {manifest.samples}",
        f"--seq-length {manifest.sequence_length}",
    ]
    assert "--mid-level-dataset-surplus" not in words_of(build)


def test_paths_with_spaces_are_quoted(tmp_path):
    build = make_build(tmp_path / "a b")
    assert words_of(build)[1] == f"{build}/megatron/blend.json"
    verify(build)


def test_the_surplus_is_raised_if_the_default_would_stop_megatron(build):
    # One large dataset among many small ones in a short training, each with hardly more than is planned of it.
    samples = [100, *[1] * 40]
    entry, manifest = read(build).datasets[0], read(build)
    datasets = tuple(
        msgspec.structs.replace(
            entry, prefix=f"{entry.prefix}{k}", samples=count, weight=count / 140, tokens=16 * (count + 2) + 1
        )
        for k, count in enumerate(samples)
    )
    short = msgspec.structs.replace(manifest, samples=140, datasets=datasets)
    assert ["--mid-level-dataset-surplus", "0.01"] in data_flags(parts_of(short)[0], build)


def test_llama3_is_named_as_it_is_published():
    llama3 = msgspec.structs.replace(TOKENIZER, name="llama3", vocab_size=128_256, eod=128_001)
    assert tokenizer_flags(llama3) == [
        ["--tokenizer-type", "HuggingFaceTokenizer"],
        ["--tokenizer-model", "meta-llama/Meta-Llama-3-8B"],
        ["--eod-mask-loss"],
    ]


@pytest.mark.parametrize("given", ["tokenizer.json", "."])
def test_a_tokenizer_json_is_named_by_its_folder(tmp_path, given):
    (tmp_path / "tokenizer.json").write_text("{}")
    assert tokenizer_flags(TOKENIZER, tmp_path / given)[1] == ["--tokenizer-model", str(tmp_path)]


def test_bare_ranks_leave_megatron_without_an_end_of_document(tmp_path):
    (tmp_path / "tiny.tiktoken").write_text("IQ== 0")
    for file in (None, tmp_path / "tiny.tiktoken"):
        assert tokenizer_flags(TOKENIZER, file) == [["--tokenizer-type", "NullTokenizer"], ["--vocab-size", "1000"]]


def test_writing_again_gives_the_same_bytes(build):
    names = ("mixture.json", "megatron/blend.json", "megatron/args.txt")
    before = [(build / name).read_bytes() for name in names]
    export(Outputs(build), read(build))
    assert [(build / name).read_bytes() for name in names] == before


def test_both_files_are_read_back(build):
    manifest = read(build)
    train = read_blend(build)["train"]
    assert train == Weighted(
        tuple(repr(entry.weight) for entry in manifest.datasets),
        tuple(f"{build}/{entry.prefix}" for entry in manifest.datasets),
    )
    found = read_flags(build)
    assert found["--train-samples"] == [str(manifest.samples)]
    assert found["--tokenizer-type"] == ["NullTokenizer"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no JSON"),
        ("[]", "keys"),
        ('{"train": null, "valid": null}', "keys"),
        ('{"train": ["0.5"], "valid": null, "test": null}', "weight and prefix"),
        ('{"train": [], "valid": null, "test": null}', "weight and prefix"),
        ('{"train": [0.5, "a"], "valid": null, "test": null}', "weight and prefix"),
        ('{"train": "0.5 a", "valid": null, "test": null}', "weight and prefix"),
        ('{"train": ["x", "a"], "valid": null, "test": null}', "gives a the weight 'x'"),
        ('{"train": ["0.0", "a"], "valid": null, "test": null}', "above 0"),
        ('{"train": ["nan", "a"], "valid": null, "test": null}', "above 0"),
        ('{"train": ["inf", "a"], "valid": null, "test": null}', "above 0"),
        ('{"train": ["0.5", "a", "0.5", "a"], "valid": null, "test": null}', "twice"),
    ],
)
def test_a_blend_that_megatron_would_misread_is_a_broken_promise(build, content, match):
    (build / "megatron/blend.json").write_text(content)
    with pytest.raises(BrokenPromiseError, match=match) as caught:
        read_blend(build)
    assert str(build / "megatron/blend.json") in caught.value.message


@pytest.mark.parametrize(("content", "match"), [("'", "cannot be read"), ("12 --a", "no flag")])
def test_args_that_are_no_flags_are_a_broken_promise(build, content, match):
    (build / "megatron/args.txt").write_text(content)
    with pytest.raises(BrokenPromiseError, match=match):
        read_flags(build)


def test_a_moved_build_is_whole_again_after_relocate(build, tmp_path):
    before = blend_of(build), words_of(build)
    moved = tmp_path / "elsewhere" / "mix"
    moved.parent.mkdir()
    build.rename(moved)
    with pytest.raises(BrokenPromiseError, match="relocate") as caught:
        verify(moved)
    assert str(moved / "megatron/blend.json") in caught.value.message
    assert relocate(moved) == moved
    assert verify(moved).manifest == read(moved)
    assert [text.replace(str(moved), str(build)) for text in blend_of(moved)["train"]] == before[0]["train"]
    assert [text.replace(str(moved), str(build)) for text in words_of(moved)] == before[1]


def test_relocate_takes_the_path_that_megatron_will_see(build, tmp_path):
    root = tmp_path / "in" / "the" / "container"
    assert relocate(build, root) == root
    assert blend_of(build)["train"][1].startswith(f"{root}/megatron/")
    assert words_of(build)[3] == f"{root}/megatron/cache"
    verify(build, root=root)
    with pytest.raises(BrokenPromiseError, match="relocate"):
        verify(build)
    relocate(build)
    verify(build)


def test_relocate_keeps_what_the_user_changed_and_does_not_hide_it(build):
    change_text(build / "megatron/args.txt", r"--tokenizer-type \S+", "--tokenizer-type HuggingFaceTokenizer")
    change_text(build / "megatron/blend.json", r'"0\.\d+"', '"0.5"')
    relocate(build)
    assert "HuggingFaceTokenizer" in words_of(build)
    with pytest.raises(BrokenPromiseError, match="the weight"):
        verify(build)


def test_relocate_refuses_what_it_does_not_know(build, tmp_path):
    with pytest.raises(UsageError, match="absolute"):
        relocate(build, tmp_path.relative_to("/"))
    with pytest.raises(UsageError):
        relocate(tmp_path)
    change_text(build / "megatron/blend.json", "train/dolma", "train/other")
    with pytest.raises(BrokenPromiseError, match="does not list"):
        relocate(build)
