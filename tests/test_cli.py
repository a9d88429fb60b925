"""Every command as a user calls it: exit code, what goes to which stream, and what a signal leaves behind."""

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from mixer.dedup.stage import STAGES
from mixer.engine.lock import lock
from mixer.loading import recipe_path
from mixer.recipe import Recipe
from tests.builds import make_build
from tests.engine.test_interruption import linux, processes, wait_until
from tests.small import Small, mixer
from tests.test_build import files

PATIENCE = 300
"""Seconds that a build of a moment may take on a machine that is busy and has not compiled the kernels yet."""


def test_the_version_is_that_of_the_package():
    assert mixer("--version").stdout == f"mixer, version {importlib.metadata.version('mixer')}\n"


@pytest.mark.parametrize("command", [[], ["build"], ["verify"]])
def test_help_tells_the_exit_codes(command):
    ran = mixer(*command, "--help")
    text = " ".join(ran.stdout.split())
    assert ran.code == 0
    for code in ("0 done", "1 failed", "2 wrong usage", "3 the mixture is infeasible", "4 a promise is broken", "130 "):
        assert code in text


@pytest.mark.parametrize(
    "command",
    [
        "build",
        "plan",
        "mix",
        "sweep",
        "frontier",
        "verify",
        "relocate",
        "clean",
        "recipe",
        "recipe list",
        "recipe schema",
    ],
)
def test_every_command_explains_itself(command):
    ran = mixer(*command.split(), "-h")
    assert ran.code == 0
    assert ran.stdout.startswith(f"Usage: mixer {command}")
    assert ran.stderr == ""


def test_help_names_every_option_of_build():
    text = mixer("build", "--help").stdout
    options = "--almr --tokens --weights --out --workers --tokenizer --limit --dry-run --set"
    assert all(option in text for option in options.split())


@pytest.mark.parametrize("arguments", [["bulid"], ["build", "--amlr", "0.3"], ["verify"], ["build", "--limit", "0"]])
def test_wrong_usage_ends_with_two(arguments):
    ran = mixer(*arguments)
    assert ran.code == 2
    assert "Usage: mixer" in ran.stderr
    assert ran.stdout == ""


# Recipes


def test_recipes_are_listed_and_shown():
    listed = mixer("recipe", "list")
    assert (listed.code, listed.stderr) == (0, "")
    assert re.search(r"^quickstart +\w", listed.stdout, re.M)
    shown = mixer("recipe", "show", "quickstart")
    assert (shown.code, shown.stdout) == (0, recipe_path("quickstart").read_text("utf-8"))


def test_a_recipe_of_ones_own_is_shown_as_it_is_written(small):
    assert yaml.safe_load(mixer("recipe", "show", small.file()).stdout) == small.recipe


def test_an_unknown_recipe_is_refused_with_the_nearest():
    for command in (["recipe", "show"], ["recipe", "check"], ["build"]):
        ran = mixer(*command, "quikstart")
        assert ran.code == 2
        assert "did you mean 'quickstart'?" in ran.stderr


def test_a_recipe_is_checked_with_its_files(small):
    checked = mixer("recipe", "check", small.file())
    assert (checked.code, checked.stderr) == (0, "")
    assert re.search(r"^en +web +en +1 +\d+\.\d kB +1$", checked.stdout, re.M)
    assert "small: 33 % zh, tokens: max" in checked.stdout
    (small.folder / "zh.jsonl").unlink()
    missing = mixer("recipe", "check", small.file())
    assert missing.code == 2
    assert "source 'zh': `paths` names 'zh.jsonl', which matches no file" in missing.stderr
    wrong = mixer("recipe", "check", small.file(), "--set", "mixture.alrm=1", "--set", "seed=-1")
    assert wrong.code == 2
    assert "mixture.alrm: unknown key" in wrong.stderr  # all faults together
    assert "seed: " in wrong.stderr


def test_the_schema_is_one_for_json():
    ran = mixer("recipe", "schema")
    assert (ran.code, ran.stderr) == (0, "")
    schema = json.loads(ran.stdout)
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "sources"]


# Builds


@pytest.mark.usefixtures("kept_server")
def test_a_build_goes_where_its_recipe_is_named_and_tables_go_to_stdout(small, monkeypatch):
    monkeypatch.chdir(small.folder)
    ran = mixer("build", small.file())
    assert ran.code == 0, ran.stderr
    for text in (
        "source ",
        "dataset ",
        "ALMR as Megatron will draw it",
        "verified: 8 files",
        "for Megatron: small/megatron/",
    ):
        assert text in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr
    stages = [line.split(":")[0] for line in ran.stderr.splitlines()]
    assert list(dict.fromkeys(stages)) == ["prepare", *STAGES, "tokenize", "join"]
    assert mixer("verify", "small").code == 0


@pytest.mark.usefixtures("kept_server")
def test_long_paths_are_printed_in_one_piece(small):
    out = small.folder / "/".join(["a-long-[bold]-name"] * 9)
    ran = small.build(out=out)
    assert (
        f"for Megatron: {out}/megatron/args.txt (flags), {out}/megatron/blend.json (datasets and weights)\n"
        in ran.stdout
    )


def test_options_win_over_the_recipe(small):
    ran = small.build(
        "--dry-run", "--almr", "0.5", "--tokens", "1M", "--tokenizer", "llama3", "--set", "mixture.almr=0.2"
    )
    assert "small: 20 % zh, tokens: 1000000, tokenizer llama3" in ran.stdout  # the last word
    assert not small.out.exists()


def test_two_builds_of_one_directory_are_not_mixed(small):
    with lock(small.out):
        ran = small.build()
    assert ran.code == 2
    assert f"another build is writing to {small.out}: process {os.getpid()}" in ran.stderr


# Finished builds


def test_a_build_is_verified(tmp_path):
    out = make_build(tmp_path)
    ran = mixer("verify", out)
    assert (ran.code, ran.stderr) == (0, "")
    assert re.search(r"^ +1% .*^ +10% .*^ +50% .*^ +100% ", ran.stdout, re.M | re.S)
    assert re.search(r"^ALMR: target 0.33 \(label\), realised 0.33\d+, measured 0.33\d+;", ran.stdout, re.M)
    assert "hashes not compared" in mixer("verify", out, "--no-rehash").stdout


def test_a_broken_build_ends_with_four_and_names_the_file(tmp_path):
    out = make_build(tmp_path)
    path = next((out / "megatron").rglob("dolma-en.bin"))
    path.unlink()
    ran = mixer("verify", out)
    assert (ran.code, ran.stdout) == (4, "")
    assert f"{path} is missing" in ran.stderr
    assert "  remedy: " in ran.stderr


def test_extensions_of_numba_are_spared():
    compiled = """
import sys
from mixer.cli.extensions import spare_extensions
spare_extensions()
from numba import njit
assert njit(lambda number: number + 1)(1) == 2
assert "awkward" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", compiled], check=False).returncode == 0


@pytest.mark.parametrize("command", ["verify", "relocate", "clean"])
def test_where_there_is_no_build_nothing_is_done(tmp_path, command):
    (tmp_path / "precious").write_text("")
    ran = mixer(command, tmp_path)
    assert (ran.code, ran.stdout) == (2, "")
    assert f"there is no finished build in {tmp_path}" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_build_is_relocated_to_where_it_will_stand(tmp_path):
    out = make_build(tmp_path)
    assert mixer("relocate", out, "--root", "data").code == 2
    ran = mixer("relocate", out, "--root", "/data/mix")
    assert (ran.code, ran.stdout) == (0, "paths now start from /data/mix\n")
    prefixes = json.loads((out / "megatron/blend.json").read_text())["train"][1::2]
    assert all(prefix.startswith("/data/mix/megatron/") for prefix in prefixes)
    assert mixer("verify", out).code == 4
    assert mixer("relocate", out).code == 0
    assert mixer("verify", out).code == 0


def test_a_build_is_cleaned_of_scratch_and_of_earlier_mixtures(tmp_path):
    out = make_build(tmp_path)
    before = files(out)
    (out / "run").mkdir()
    (out / "run/scratch").write_bytes(bytes(10_000))
    (out / "megatron" / ("0" * 32)).mkdir()
    (out / "megatron" / ("0" * 32) / "old.bin").write_bytes(bytes(20_000))
    (out / "megatron/cache").mkdir()
    assert "left of earlier builds" in mixer("verify", out).stdout
    ran = mixer("clean", out)
    assert (ran.code, ran.stdout) == (0, "freed 30.0 kB\n")
    assert files(out) == before
    assert (out / "megatron/cache").is_dir()  # Megatron's own indices of this build
    assert mixer("verify", out).code == 0


# Interruptions


def test_ctrl_c_ends_any_command_with_130(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixer.mixture.verify.verify", interrupted)
    ran = mixer("verify", make_build(tmp_path))
    assert (ran.code, ran.stdout) == (130, "")
    assert ran.stderr == "interrupted: the same command goes on where this one stopped\n"


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    def defective(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("mixer.mixture.verify.verify", defective)
    with pytest.raises(ZeroDivisionError):
        mixer("verify", make_build(tmp_path))


def start(small, out):
    """Start a build in a session of its own; what it says goes to ``stderr`` beside its directory."""
    command = [sys.executable, "-m", "mixer.cli", "build", small.file(), "--workers", "2", "--out", out]
    with (out.parent / "stderr").open("w") as stderr:
        return subprocess.Popen(
            [*map(str, command), "--tokenizer", "llama3"],  # which takes a while to load
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, small_tokenizer):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(Small(folder, small_tokenizer), folder / "out").wait(PATIENCE) == 0
    return files(folder / "out")


@linux
@pytest.mark.parametrize(
    ("stage", "send", "number", "code"),
    [
        ("prepare", os.killpg, signal.SIGINT, 130),  # Ctrl-C reaches every process
        ("tokenize", os.killpg, signal.SIGINT, 130),
        ("prepare", os.kill, signal.SIGTERM, 143),
        ("tokenize", os.kill, signal.SIGTERM, 143),
    ],
)
def test_a_signal_leaves_no_process_and_the_same_command_goes_on(small, undisturbed, stage, send, number, code):
    process = start(small, small.out)
    log = small.folder / "stderr"
    wait_until(lambda: f"{stage}: 2 tasks" in log.read_text(), PATIENCE)
    time.sleep(0.1)
    send(process.pid, number)
    assert process.wait(10) == code
    said = log.read_text()
    assert "Traceback" not in said
    assert ("interrupted: the same command goes on where this one stopped" in said) == (number == signal.SIGINT)
    wait_until(lambda: not processes(process.pid), 2)
    assert not (small.out / "mixture.json").exists()
    assert not list(small.out.rglob("*.tmp"))
    assert start(small, small.out).wait(PATIENCE) == 0
    # On a busy machine the signal may come when the stage that it was meant for is over.
    assert ("prepare: 2 tasks, 2 already done" in log.read_text()) == ("prepare: done" in said)
    assert files(small.out) == undisturbed
