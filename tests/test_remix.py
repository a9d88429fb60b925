"""``mixer mix``: other weights over the same datasets, as exact as a build's, and nothing else touched."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from mixer.manifest import read
from mixer.mixture.export import read_flags
from tests.builds import change, make_build
from tests.small import mixer
from tests.test_build import files

pytestmark = pytest.mark.usefixtures("kept_server")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_tokenizer, kept_server):
    """Return a small build, made once; tests that change it take a copy."""
    from tests.small import Small

    small = Small(tmp_path_factory.mktemp("remix"), small_tokenizer)
    assert small.build().code == 0
    return small


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.out, tmp_path / "copy")


def test_the_same_mixture_again_changes_no_byte(copy):
    assert mixer("relocate", copy).code == 0
    before = files(copy)
    ran = mixer("mix", copy)
    assert (ran.code, ran.stderr) == (0, "")
    assert files(copy) == before
    assert "ALMR: target 0.33 (label), realised 0.3" in ran.stdout


def test_another_mixture_stands_beside_the_first_with_links(finished, tmp_path):
    before, out = files(finished.out), tmp_path / "mix-40"
    ran = mixer("mix", finished.out, "--almr", "0.4", "--tokens", "20K", "--out", out)
    assert (ran.code, ran.stderr) == (0, "")
    assert files(finished.out) == before
    manifest = read(out)
    assert (manifest.almr.target, manifest.samples) == (0.4, 20_000 // 32)
    assert abs(manifest.almr.realised - 0.4) <= 0.5 / manifest.samples
    for entry in manifest.entries:
        for suffix in (".bin", ".idx"):
            assert (out / (entry.prefix + suffix)).samefile(finished.out / (entry.prefix + suffix))
    assert mixer("verify", out).code == 0
    assert f"mixer verify {out}" in ran.stdout
    # and once more in the same place
    assert mixer("mix", finished.out, "--almr", "0.5", "--out", out).code == 0
    assert read(out).almr.target == 0.5
    assert mixer("verify", out).code == 0


def test_a_mix_is_what_a_build_would_have_made(finished, copy):
    assert mixer("mix", copy, "--almr", "0.25", "--tokens", "10K").code == 0
    again = finished.build("--almr", "0.25", "--tokens", "10K")
    assert again.code == 0
    assert (copy / "mixture.json").read_bytes() == (finished.out / "mixture.json").read_bytes()
    assert finished.build().code == 0


def test_another_length_of_sequences_keeps_the_flags_of_tokenizer_and_user(copy):
    args = copy / "megatron" / "args.txt"
    before = read_flags(copy)
    args.write_text(args.read_text() + "--no-create-attention-mask-in-dataloader\n")
    assert mixer("mix", copy, "--sequence-length", "16").code == 0
    flags = read_flags(copy)
    assert flags["--seq-length"] == ["16"]
    assert flags["--tokenizer-model"] == before["--tokenizer-model"]
    assert "--no-create-attention-mask-in-dataloader" in flags
    assert read(copy).sequence_length == 16
    assert mixer("verify", copy).code == 0


def test_weights_of_a_tool(copy, tmp_path):
    file = tmp_path / "weights.json"
    file.write_text('{"en": 1, "zh": 3}')
    assert mixer("mix", copy, "--weights", file).code == 0
    assert read(copy).settings["weights"] == {"en": 1.0, "zh": 3.0}
    assert mixer("mix", copy, "--almr", "0.5").code == 0  # which keeps them
    assert read(copy).settings["strategy"] == "weights"
    file.write_text('{"en": 1, "zhs": 3}')
    ran = mixer("mix", copy, "--weights", file)
    assert ran.code == 2
    assert "there is no source 'zhs' (did you mean 'zh'?)" in ran.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--tokens", "1T"], 3, "the caps on epochs allow"),
        (["--sequence-length", "4096"], 3, "too small to train on"),
        (["--almr", "33"], 2, "almr: a ratio between 0 and 1 is expected, not 33; for 33 % write 0.33"),
        (["--tokens", "5"], 2, r"tokens (5) is less than one sequence (32 tokens)"),
        (["--tokens", "many"], 2, "tokens: 'many' is no amount of tokens"),
    ],
)
def test_what_cannot_be_leaves_everything_as_it_was(copy, tmp_path, options, code, message):
    before = files(copy)
    ran = mixer("mix", copy, *options, "--out", tmp_path / "new")
    assert ran.code == code
    assert message in ran.stderr
    assert files(copy) == before
    assert not (tmp_path / "new").exists()


def test_where_it_cannot_stand(finished, tmp_path):
    ran = mixer("mix", tmp_path)
    assert ran.code == 2
    assert "there is no finished build" in ran.stderr
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("")
    ran = mixer("mix", finished.out, "--out", full)
    assert ran.code == 2
    assert "is not empty and holds no mixture of these datasets" in ran.stderr
    other = make_build(tmp_path)
    ran = mixer("mix", finished.out, "--out", other)
    assert ran.code == 2
    assert "holds no mixture of these datasets" in ran.stderr


def test_a_build_without_its_settings_says_how_to_get_them(copy):
    change(copy, settings=None)
    ran = mixer("mix", copy)
    assert ran.code == 2
    assert "does not hold the settings of its mixture" in ran.stderr
    assert "run its build command again" in ran.stderr


def test_a_missing_dataset_is_named(copy, tmp_path):
    path = (copy / read(copy).datasets[0].prefix).with_suffix(".bin")
    path.unlink()
    ran = mixer("mix", copy, "--out", tmp_path / "new")
    assert ran.code == 4
    assert f"{path} is missing" in ran.stderr


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
def test_files_are_copied_where_there_are_no_links(finished, tmp_path, monkeypatch, code):
    def link(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    out = tmp_path / "new"
    ran = mixer("mix", finished.out, "--almr", "0.4", "--out", out)
    assert ran.code == 0
    assert "no links between these file systems" in ran.stdout
    monkeypatch.undo()
    assert mixer("verify", out).code == 0
    path = read(out).datasets[0].prefix + ".bin"
    assert not (out / path).samefile(finished.out / path)


def test_it_is_there_at_once():
    """What makes it slow to start are the stages, Arrow and the models, none of which it needs."""
    code = "import sys, json, mixer.screens.mixtures, mixer.remix; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pyarrow", "datatrove", "fasttext", "mixer.build", "mixer.recipe"} & set(json.loads(ran.stdout))
