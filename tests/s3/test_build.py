"""Whole builds into a store, as a user starts them: the bytes of a disk, also after `kill -9` in every stage."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mixer import storage
from mixer.loading import recipe_path
from mixer.mixture.verify import verify

LIMIT = 40
STAGES = ("prepare: ", "dedup.keys: ", "tokenize: ", "join: ", "join: done")
"""How the line begins after which a build is killed: it is in that stage, or putting its datasets in place."""
PATHS = ("megatron/blend.json", "megatron/args.txt")
"""Files that say where the build stands."""


def command(*arguments):
    return [sys.executable, "-m", "mixer.cli", *map(str, arguments)]


def run(*arguments):
    ran = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran


def content(out):
    """Return the bytes of every file of a build, but what tells of the run and of its place."""
    names = [name for name in storage.files(out) if not name.startswith("run/") and name not in PATHS]
    return {name: storage.read(out / name) for name in names}


def recipe(folder, corpora):
    """Write the quickstart recipe for its corpora somewhere else."""
    written = yaml.safe_load(recipe_path("quickstart").read_text("utf-8"))
    for source in written["sources"]:
        source["paths"] = [path.replace("quickstart", str(corpora), 1) for path in source["paths"]]
    path = folder / f"{len(str(corpora))}.yaml"
    path.write_text(yaml.safe_dump(written, sort_keys=False, allow_unicode=True), "utf-8")
    return path


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "mix"
    run("build", "quickstart", "--limit", LIMIT, "--workers", 2, "--out", out)
    return out


@pytest.fixture(scope="module")
def remote(server, tmp_path_factory):
    """Return a build whose corpora are in a store, too."""
    root = storage.at("s3://team/prefix/mix")
    root.fs.mkdir("team")
    corpora = storage.at("s3://team/corpora")
    for path in (recipe_path("quickstart").parent / "quickstart").iterdir():
        storage.write(corpora / path.name, path.read_bytes())
    made = recipe(tmp_path_factory.mktemp("recipe"), corpora)
    run("build", made, "--limit", LIMIT, "--workers", 2, "--out", root)
    return root


def test_the_same_bytes_as_on_a_disk(local, remote):
    assert content(remote) == content(local)
    assert not (remote / "run/lock").exists()


def test_what_megatron_is_told(local, remote):
    here, there = (json.loads(storage.read(out / PATHS[0])) for out in (local, remote))
    for split in ("train", "valid"):
        assert [text.replace(str(local), "s3://team/prefix/mix") for text in here[split]] == there[split]
    flags = storage.read(remote / PATHS[1]).decode().splitlines()
    assert flags[0] == "--per-split-data-args-path megatron/blend.json"
    assert {"--object-storage-cache-path megatron/cache", "--no-mmap-bin-files"} <= set(flags)


def test_the_same_command_again_does_nothing(remote, local, tmp_path):
    made = recipe(tmp_path, "s3://team/corpora")
    ran = run("build", made, "--limit", LIMIT, "--out", remote)
    assert ran.stderr.count("already done") >= 4
    assert content(remote) == content(local)


def test_commands_read_and_write_it(remote, local, tmp_path):
    other, copied = "s3://team/other", tmp_path / "copied"
    run("mix", remote, "--almr", 0.4, "--out", other)
    run("mix", remote, "--almr", 0.4, "--out", copied)
    assert content(storage.at(other)) == content(copied)
    assert verify(storage.at(other)).manifest.almr.target == 0.4
    run("relocate", copied, "--root", "s3://team/elsewhere")
    assert "s3://team/elsewhere/megatron/" in (copied / PATHS[0]).read_text()
    run("relocate", copied)
    verify(copied)
    page = storage.read(remote / "report.html")
    run("report", remote)
    assert storage.read(remote / "report.html") == page
    for arguments in (("inspect", "-n", 1), ("attribution",), ("locate", "--step", 1)):
        name, *rest = arguments
        assert run(name, remote, *rest).stdout == run(name, local, *rest).stdout
    run("clean", other)
    assert not [name for name in storage.files(storage.at(other)) if name.startswith("run/")]


def test_damage_is_found_and_made_good(remote, local, tmp_path):
    bin_file = next(name for name in content(remote) if name.startswith("megatron/") and name.endswith(".bin"))
    storage.write(remote / bin_file, storage.read(remote / bin_file)[:-4] + b"\0\0\0\0")
    broken = subprocess.run(command("verify", remote), capture_output=True, text=True, check=False)
    assert broken.returncode == 4
    assert bin_file in broken.stderr
    run("build", recipe(tmp_path, "s3://team/corpora"), "--limit", LIMIT, "--out", remote)
    assert content(remote) == content(local)


@pytest.mark.parametrize("arguments", [("export", "--to", "nemo"), ("sweep", "--almr", "0.3", "--lr", "1e-5")])
def test_what_needs_a_disk_says_so(remote, arguments):
    name, *rest = arguments
    ran = subprocess.run(command(name, remote, *rest), capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert f"`mixer {name}` reads and writes a directory on this machine" in ran.stderr


def killed_in(stage, root):
    """Start a build and kill all of it, at once, when it says that it is in a stage."""
    process = subprocess.Popen(
        command("build", "quickstart", "--limit", LIMIT, "--workers", 2, "--out", root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr
    with process.stderr as lines:
        seen = next((line for line in lines if line.startswith(stage)), None)
        time.sleep(0.05 * len(stage) % 0.4)  # somewhere in the stage
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return seen


def test_killed_in_every_stage_it_ends_with_the_same_bytes(server, local):
    root = storage.at("s3://killed/mix")
    root.fs.mkdir("killed")
    whole = content(local)
    for stage in STAGES:
        assert killed_in(stage, root), f"there was no line {stage!r}"
        assert {name: data for name, data in content(root).items() if whole.get(name) != data} == {}
    run("build", "quickstart", "--limit", LIMIT, "--workers", 2, "--out", root)
    assert content(root) == whole
    assert root.fs.call_s3("list_multipart_uploads", Bucket="killed").get("Uploads", []) == []
    assert not any(Path(server[storage.SCRATCH]).glob("*/fetched/*/*"))
    shutil.rmtree(storage.workplace(root))
