"""What training refuses to start with: exit code, message, remedy."""

import pytest

from mixer.manifest import read
from tests.builds import change, change_text
from tests.small import mixer
from tests.train.conftest import Trainer


def file_of(build, suffix):
    return build / f"{read(build).datasets[0].prefix}{suffix}"


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def cut(path):
    path.write_bytes(path.read_bytes()[:-2])


def swap_documents(path):
    """Make an index that is whole, but another one."""
    content = bytearray(path.read_bytes())
    first, second = content[34:38], content[38:42]
    assert first != second
    content[34:42] = second + first
    count = int.from_bytes(content[18:26], "little")
    begin = 34 + 4 * count + 8
    size = 2 * int.from_bytes(second, "little")
    content[begin : begin + 8] = size.to_bytes(8, "little")
    path.write_bytes(bytes(content))


DAMAGE = {
    "a short .bin": (lambda build: cut(file_of(build, ".bin")), (), "bytes, but its .idx says"),
    "a missing .bin": (lambda build: file_of(build, ".bin").unlink(), (), "is missing"),
    "another .idx": (lambda build: swap_documents(file_of(build, ".idx")), (), "its hash differs"),
    "another .bin": (lambda build: flip(file_of(build, ".bin"), 8), ("--rehash",), "its hash differs"),
    "another weight": (
        lambda build: change_text(build / "megatron/blend.json", r'"0\.(\d)\d', r'"0.\g<1>1'),
        (),
        "other weights than in mixture.json",
    ),
    "another place": (
        lambda build: change_text(build / "megatron/blend.json", "train/en-en", "train/en-fr"),
        (),
        "are not those of mixture.json",
    ),
    "another count": (
        lambda build: change_text(build / "mixture.json", r'"documents": \d', r'"documents": 9'),
        (),
        "documents and",
    ),
    "another length": (lambda build: None, ("--sequence-length", "64"), "made for sequences of 32 tokens, not 64"),
    "too long a run": (lambda build: None, ("--steps", "100000"), "the caps on epochs hold only up to"),
    "too long a sequence": (lambda build: change(build, sequence_length=10_000), (), "reads at most 8,192"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_broken_promise_ends_with_4_and_a_remedy(copied, tmp_path, damage):
    break_it, given, message = DAMAGE[damage]
    break_it(copied)
    done = Trainer(copied, tmp_path).run("run", "--steps", 1, *given)
    assert done.code == 4
    assert message in done.stderr
    assert "remedy:" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_tokenizer_is_refused(trainer):
    done = trainer.run("run", "--tp", 1, "--steps", 1, model="llama3-8b")
    assert done.code == 4
    assert "differs from the model's" in done.stderr


def test_too_long_a_run_is_told_what_fits(trainer):
    most = read(trainer.data).samples_max // 8
    done = trainer.run("run", "--steps", most + 1)
    assert done.code == 4
    assert f"train --steps {most} or fewer at --global-batch 8" in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--tp", 2), "torchrun --nproc-per-node 2 -m mixer.train.cpt"),
        (("--micro-batch", 3), "is no multiple of the micro batch 3"),
        (("--init", "nothing"), "holds no checkpoint"),
        (("--warmup", 5), "--warmup 5 does not end before the run"),
        (("--min-lr", 1), "--min-lr 1.0 is above --lr 0.01"),
    ],
)
def test_wrong_usage_ends_with_2(trainer, given, message):
    done = trainer.run("run", "--steps", 2, *given)
    assert done.code == 2, done.stderr
    assert message in done.stderr


def test_an_unknown_model_and_a_directory_without_a_build_are_named(trainer, tmp_path):
    done = trainer.run("run", model="llama3-8")
    assert done.code == 2
    assert "did you mean 'llama3-8b'?" in done.stderr
    done = mixer("train", "cpt", tmp_path, "--model", "tiny", "--lr", 0.1)
    assert done.code == 2
    assert "there is no finished build" in done.stderr
