"""Every kind of training in every layout, and after a kill: the losses are those of one process left alone."""

import shutil
import subprocess
import sys

import pytest

from tests.train.conftest import Trainer

LAYOUTS = {
    "data": (2, ()),
    "tensor": (2, ("--tp", 2)),
    "pipeline": (2, ("--pp", 2)),
    "tensor and pipeline": (4, ("--tp", 2, "--pp", 2)),
}
KINDS = ("cpt", "sft", "dpo")
STEPS = ("--steps", 4, "--valid-every", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("layouts")


@pytest.fixture(scope="module")
def of_kind(mixture, tuning, folder):
    """Return what trains for a kind."""

    def made(kind, at=folder):
        return Trainer(mixture if kind == "cpt" else tuning / f"{kind}.yaml", at, kind)

    return made


@pytest.fixture(scope="module")
def published(of_kind, forks, folder, small_tokenizer):
    """A model in Hugging Face's format, of which each process reads its part."""
    trainer = of_kind("cpt")
    forks.check(*trainer.arguments("first", "--steps", 2, "--valid-samples", 0))
    forks.check("export", trainer.out("first"), folder / "published", "--tokenizer", small_tokenizer)
    return folder / "published"


@pytest.fixture(scope="module")
def alone(of_kind, forks, published):
    """Train once in one process, for each kind that is asked for; checkpoints after steps 2 and 4."""
    done = {}

    def trained(kind):
        if kind not in done:
            done[kind] = of_kind(kind)
            forks.check(*done[kind].arguments("alone", *STEPS, "--init", published, "--save-every", 2))
        return done[kind]

    return trained


def flat(values, prefix=""):
    if not isinstance(values, dict):
        return {prefix: values}
    return {key: value for name in values for key, value in flat(values[name], f"{prefix}/{name}").items()}


def check_same(lines, others):
    """Compare two logs: what is counted must be equal, what is worked out nearly."""
    assert len(lines) == len(others) == 7
    for line, other in zip(lines, others, strict=True):
        for name in ("step", "samples", "tokens", "almr", "shares"):
            assert line.get(name) == other.get(name)
        assert flat(other) == pytest.approx(flat(line), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_several_processes_have_the_losses_of_one(alone, published, forks, kind, layout):
    trainer = alone(kind)
    processes, given = LAYOUTS[layout]
    micro = ("--micro-batch", 2) if kind == "cpt" else ()
    forks.check(*trainer.arguments(layout, *STEPS, "--init", published, *given, *micro), processes=processes)
    check_same(trainer.log("alone"), trainer.log(layout))
    assert "differs from rank 0" not in forks.printed  # as megatron-core finds that processes hold different things


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_another_layout_goes_on_from_a_checkpoint(alone, published, forks, kind):
    trainer = alone(kind)
    shutil.copytree(trainer.out("alone"), trainer.out("later"))
    shutil.rmtree(trainer.out("later") / "checkpoints/step-00000004")
    forks.check(*trainer.arguments("later", *STEPS, "--init", published, "--tp", 2, "--pp", 2), processes=4)
    check_same(trainer.log("alone"), trainer.log("later"))


@pytest.mark.slow
def test_torchrun_starts_a_kind_by_its_name(alone, published):
    trainer = alone("sft")
    kind, *arguments = trainer.arguments("torchrun", *STEPS, "--init", published, "--pp", 2)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*start, "-m", f"mixer.train.{kind}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_same(trainer.log("alone"), trainer.log("torchrun"))


KILLED = {
    "cpt, its state shared out": ("cpt", 1, "step 5", ()),
    "cpt, each with all its state": ("cpt", 1, "save 6", ("--no-distributed-optimizer",)),
    "cpt, bfloat16, its state shared out": ("cpt", 1, "save 6", ("--dtype", "bfloat16")),
    "cpt, bfloat16, each with all its state": (
        "cpt",
        1,
        "step 5",
        ("--dtype", "bfloat16", "--no-distributed-optimizer"),
    ),
    "cpt, two processes": ("cpt", 2, "save 6", ()),
    "sft, its state shared out": ("sft", 2, "step 5", ()),
    "sft, bfloat16, each with all its state": (
        "sft",
        1,
        "save 6",
        ("--dtype", "bfloat16", "--no-distributed-optimizer"),
    ),
    "dpo, two stages": ("dpo", 2, "step 5", ("--pp", 2)),
    "dpo, bfloat16": ("dpo", 1, "save 6", ("--dtype", "bfloat16")),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", KILLED)
def test_a_killed_run_goes_on_bit_for_bit(of_kind, forks, tmp_path, case):
    kind, processes, kill, layout = KILLED[case]
    trainer = of_kind(kind, tmp_path)
    given = ("--steps", 8, "--valid-every", 3, "--save-every", 3, *layout)
    forks.check(*trainer.arguments("whole", *given), processes=processes)
    again = trainer.arguments("killed", *given)
    assert set(forks.run(*again, processes=processes, kill=kill)) == {-9}
    left = {path.name for path in (trainer.out("killed") / "checkpoints").iterdir()}
    assert left == ({"step-00000003"} if kill.startswith("step") else {"step-00000003", "step-00000006.part"})
    with (trainer.out("killed") / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # and it was writing
    forks.check(*again, processes=processes)
    assert trainer.log("killed") == trainer.log("whole")
    forks.check(*again, processes=processes)  # nothing is left to do
    assert trainer.log("killed") == trainer.log("whole")
