"""Trainings in phases as a user meets them: built, mixed, proved, moved, cleaned, broken and interrupted."""

import errno
import json
import os
import shutil

import msgspec
import numpy as np
import pytest

from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError
from mixer.manifest import Hashes, encode, read
from mixer.megatron.indexed import IndexFile
from mixer.megatron.view import write_view
from mixer.mixture.export import export, read_flags
from mixer.mixture.verify import verify
from mixer.remix import remix
from tests.builds import change, change_text, make_phased
from tests.small import mixer
from tests.test_build import files

PHASES = [{"tokens": "8K", "almr": 0.1}, {"tokens": "30K"}, {"tokens": "10K", "almr": 0.6}]


@pytest.fixture(scope="module")
def phased(tmp_path_factory):
    return make_phased(tmp_path_factory.mktemp("phased"), PHASES)


@pytest.fixture
def own(tmp_path):
    return make_phased(tmp_path, PHASES)


def broken(build_dir):
    with pytest.raises(BrokenPromiseError) as found:
        verify(build_dir)
    return found.value.message


def test_each_phase_has_its_own_files(phased):
    manifest = read(phased)
    assert not (phased / "megatron/blend.json").exists()
    assert not (phased / "megatron/args.txt").exists()
    steps = [phase.samples // 8 for phase in manifest.phases]
    assert [step * 8 * 16 <= tokens for step, tokens in zip(steps, (8000, 30_000, 10_000), strict=True)] == [True] * 3
    for number, phase in enumerate(manifest.phases, 1):
        flags = read_flags(phased, f"megatron/phase-{number}/args.txt")
        assert flags["--train-samples"] == [str(sum(steps) * 8)]
        assert flags["--phase-transition-iterations"] == [f"{steps[0]},{steps[0] + steps[1]}"]
        assert flags["--global-batch-size"] == ["8"]
        blend = json.loads((phased / f"megatron/phase-{number}/blend.json").read_text())
        assert blend["train"][1::2] == [f"{phased}/{view.prefix}" for view in phase.views]
        assert [float(weight) for weight in blend["train"][::2]] == [view.weight for view in phase.views]
        assert blend["valid"] is not None
        assert abs(phase.almr.realised - phase.almr.target) <= 0.5 / phase.samples


def test_views_are_links_and_share_no_document(phased):
    manifest = read(phased)
    for entry in manifest.datasets:
        whole = IndexFile(phased / entry.prefix)
        seen = []
        for phase in manifest.phases:
            for view in phase.views:
                if view.dataset == entry.prefix:
                    assert (phased / f"{view.prefix}.bin").samefile(phased / f"{entry.prefix}.bin")
                    content = (phased / f"{view.prefix}.idx").read_bytes()
                    count = int.from_bytes(content[18:26], "little")
                    seen += np.frombuffer(content, "<i8", count, 34 + 4 * count).tolist()
        assert len(seen) == len(set(seen)) == whole.documents
        assert set(seen) == set(whole.begins.tolist())


def test_the_report_shows_each_phase(phased):
    ran = mixer("verify", phased)
    assert ran.code == 0
    assert "reads of a document" in ran.stdout
    report = verify(phased)
    assert [phase.samples for phase in report.phases] == [phase.samples for phase in read(phased).phases]
    assert [phase.reads for phase in report.phases] == [1, 1, 1]
    assert report.checkpoints[-1].samples == read(phased).samples
    assert sum(entry.samples for entry in report.datasets) == read(phased).samples


def test_the_same_again_changes_no_byte(own):
    before = files(own)
    remix(own, {})
    assert files(own) == before


def test_from_one_mixture_to_phases_and_back(own, tmp_path):
    ran = mixer("mix", own, "--no-phases", "--tokens", "40K")
    assert (ran.code, ran.stderr) == (0, "")
    assert not list((own / "megatron").glob("phase-*"))
    assert verify(own).phases == ()
    ran = mixer("mix", own, "--phase", "20K:0.5", "--phase", "20K", "--out", tmp_path / "other")
    assert (ran.code, ran.stderr) == (0, "")
    assert "reads of a document" in ran.stdout
    assert "phase-2/args.txt (flags of phase 2)" in ran.stdout
    report = verify(tmp_path / "other")
    assert [phase.almr.target for phase in report.phases] == [0.5, 0.33]
    manifest = read(tmp_path / "other")
    assert manifest.settings is not None
    assert "tokens" not in manifest.settings
    ran = mixer("mix", tmp_path / "other", "--almr", "0.4")
    assert [phase.almr.target for phase in read(tmp_path / "other").phases] == [0.5, 0.4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokens", "40K"], "the phases say how much training reads; leave tokens out"),
        (["--phase", "20K:0.5", "--almr", "0.4"], "every phase has its own almr; leave almr out here"),
        (["--phase", "100"], "phase 1: 100 tokens are less than one global batch (8 samples of 16 tokens)"),
        (["--phase", "max"], "a phase needs a number of tokens"),
        (["--phase", "20K:33"], "phases.0.almr"),
        (["--phase", "20K", "--no-phases"], "exclude each other"),
    ],
)
def test_what_cannot_be_asked_for(phased, options, message):
    ran = mixer("mix", phased, *options)
    assert ran.code == 2
    assert message in ran.stderr


def test_phases_that_are_impossible_together(phased):
    ran = mixer("mix", phased, "--phase", "150K:0.9", "--phase", "50K:0.9")
    assert ran.code == 3
    assert "the 2 phases are possible one by one, but not together" in ran.stderr
    assert "tokens of the phases:" in ran.stderr


def test_a_moved_build_is_relocated(own, tmp_path):
    moved = own.rename(tmp_path / "moved")
    assert "run `mixer relocate`" in broken(moved)
    assert mixer("relocate", moved).code == 0
    verify(moved)


def test_clean_keeps_views_and_removes_earlier_ones(own):
    before = read(own).views
    remix(own, {"almr": 0.4})
    after = read(own).views
    assert before != after
    assert verify(own).leftovers == (f"megatron/{before}",)
    assert mixer("clean", own).code == 0
    assert {path.name for path in (own / "megatron").iterdir()} == {
        read(own).build,
        after,
        "phase-1",
        "phase-2",
        "phase-3",
    }
    verify(own)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
def test_files_are_copied_where_there_are_no_links(phased, tmp_path, monkeypatch, code):
    def link(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    done = remix(phased, {}, tmp_path / "new")
    monkeypatch.undo()
    assert done.copied > 0
    view = done.manifest.phases[0].views[0]
    assert not (done.out / f"{view.prefix}.bin").samefile(done.out / f"{view.dataset}.bin")
    verify(done.out)
    path = done.out / f"{view.prefix}.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert f"{path} has the xxh64" in broken(done.out)


@pytest.mark.parametrize("step", range(1, 30, 4))
def test_a_mix_that_was_stopped_anywhere_ends_with_the_same_bytes(own, tmp_path, monkeypatch, step):
    whole = files(remix(own, {"phases": [{"tokens": "20K"}, {"tokens": "9K"}]}, tmp_path / "new").out)
    shutil.rmtree(tmp_path / "new")
    real, left = os.replace, [step]

    def replace(source, target, **options):
        left[0] -= 1
        if not left[0]:
            os._exit(9)
        return real(source, target, **options)

    if not (pid := os.fork()):
        os.replace = replace
        type(tmp_path).replace = lambda self, target: replace(self, target)
        remix(own, {"phases": [{"tokens": "20K"}, {"tokens": "9K"}]}, tmp_path / "new")
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 9 or step > 25
    remix(own, {"phases": [{"tokens": "20K"}, {"tokens": "9K"}]}, tmp_path / "new")
    assert files(tmp_path / "new") == whole


def test_a_sweep_is_of_one_phase(phased, tmp_path):
    ran = mixer("sweep", phased, "--almr", "0.3,0.5", "--lr", "1e-8", "--tokens", "20K", "--out", tmp_path / "sweep")
    assert ran.code == 0, ran.stderr
    assert read(tmp_path / "sweep/mixtures/almr-0.3").phases == ()


def test_a_plan_knows_phases(tmp_path, small_tokenizer):
    (tmp_path / "counts.json").write_text('{"en": {"en": "20M"}, "zh": {"zh": "10M"}}')
    recipe = {
        "name": "planned",
        "tokenizer": str(small_tokenizer),
        "mixture": {"phases": [{"tokens": "5M", "almr": 0.1}, {"tokens": "10M", "almr": 0.5}]},
        "sources": [
            {"name": name, "paths": [f"{name}.jsonl"], "domain": "web", "language": name} for name in ("en", "zh")
        ],
    }
    (tmp_path / "planned.yaml").write_text(json.dumps(recipe))
    ran = mixer("plan", tmp_path / "planned.yaml", "--counts", tmp_path / "counts.json")
    assert ran.code == 0, ran.stderr
    assert "target 0.371429" in ran.stdout


def test_what_knows_no_phases_says_so(phased):
    ran = mixer("export", phased, "--to", "nemo")
    assert ran.code == 2
    assert "is made for a training in 3 phases" in ran.stderr
    assert "mixer mix DIRECTORY --no-phases" in ran.stderr


def overlapping(own):
    """Give the second phase's view all documents, with hashes that say so."""
    manifest = read(own)
    entry = manifest.datasets[0]
    outputs = Outputs(own)
    phase = manifest.phases[1]
    view = next(view for view in phase.views if view.dataset == entry.prefix)
    path = f"{view.prefix}.idx"
    (own / path).unlink()
    with outputs.open(path) as file:
        index = write_view(file, IndexFile(own / entry.prefix), np.ones(entry.documents, np.bool_))
    changed = msgspec.structs.replace(
        view,
        documents=index.documents,
        tokens=index.tokens,
        epochs=view.samples * 16 / index.tokens,
        xxh64=Hashes(bin=view.xxh64.bin, idx=outputs.files[path].xxh64),
    )
    parts = list(manifest.phases)
    parts[1] = msgspec.structs.replace(phase, views=tuple(changed if v is view else v for v in phase.views))
    return msgspec.structs.replace(manifest, phases=tuple(parts))


def test_views_that_share_documents_are_found(own):
    manifest = overlapping(own)
    (own / "mixture.json").write_bytes(encode(manifest))
    message = broken(own)
    assert "which phase 1 has, too" in message
    assert "its views have more documents or tokens than itself" in message
    assert "but the hashes it lists make" in message


def of_first(build_dir, **changes):
    manifest = read(build_dir)
    first = msgspec.structs.replace(manifest.phases[0], **changes)
    change(build_dir, phases=(first, *manifest.phases[1:]))


def test_numbers_that_contradict_one_another_are_found(own):
    manifest = read(own)
    phase = manifest.phases[0]
    of_first(own, samples=phase.samples + 1)
    message = broken(own)
    assert "which are no whole batches of 8" in message
    assert "but its views have another number" in message
    of_first(own, samples=phase.samples, samples_max=phase.samples_max + 1)
    assert f"phase 1: says samples_max {phase.samples_max + 1:,}" in broken(own)
    views_ = tuple(msgspec.structs.replace(view, reads=3) for view in phase.views)
    of_first(own, samples_max=phase.samples_max, views=views_)
    assert "says 3 reads of a document, but Megatron may read one 1 times" in broken(own)
    of_first(own, views=phase.views, almr=msgspec.structs.replace(phase.almr, target=0.2))
    assert "phase 1: has an ALMR of" in broken(own)
    of_first(own, almr=phase.almr)
    verify(own)


def test_a_broken_cap_over_all_phases_is_found(own):
    manifest = read(own)
    entry = manifest.datasets[0]
    cap = entry.samples * 16 / entry.tokens
    change(own, datasets=(msgspec.structs.replace(entry, max_epochs=cap), *manifest.datasets[1:]))
    assert f"{entry.samples:,} samples are more than {cap} epochs" in broken(own)


def test_files_of_phases_that_were_changed_are_found(own):
    change_text(
        own / "megatron/phase-2/args.txt", r"--phase-transition-iterations \d+", "--phase-transition-iterations 1"
    )
    (own / "megatron/phase-3/blend.json").unlink()
    (own / "megatron/blend.json").write_text("{}")
    path = own / f"{read(own).phases[0].views[0].prefix}.idx"
    content = bytearray(path.read_bytes())
    content[-1] = 1
    path.write_bytes(content)
    message = broken(own)
    assert "phase-2/args.txt says --phase-transition-iterations 1," in message
    assert "phase-3/blend.json is missing" in message
    assert "megatron/blend.json is not listed in mixture.json" in message
    assert f"{path} does not end its documents where its sequences end" in message
    remix(own, {})
    verify(own)


def test_weights_of_a_phase_are_replayed(own):
    blend = own / "megatron/phase-1/blend.json"
    content = json.loads(blend.read_text())
    content["train"][0], content["train"][2] = content["train"][2], content["train"][0]
    blend.write_text(json.dumps(content))
    message = broken(own)
    assert "phase-1/blend.json gives" in message
    assert "phase-1/blend.json makes Megatron draw" in message


def test_export_alone_writes_the_same(own):
    before = files(own)
    export(Outputs(own), read(own), [["--tokenizer-type", "NullTokenizer"], ["--vocab-size", "1000"]])
    assert files(own) == before


@pytest.mark.usefixtures("kept_server")
def test_a_recipe_with_phases(small):
    small.recipe["mixture"] |= {"phases": [{"tokens": "3K", "almr": 0.1}, {"tokens": "6K"}]}
    ran = small.build()
    assert ran.code == 0, ran.stderr
    assert "reads of a document" in ran.stdout
    assert f"for Megatron: {small.out}/megatron/phase-2/args.txt (flags of phase 2)" in ran.stdout
    before = files(small.out)
    # damage to a dataset is damage to its views: all of it is made anew
    entry = read(small.out).datasets[0]
    path = small.out / f"{entry.prefix}.bin"
    content = bytearray(path.read_bytes())
    content[8] ^= 1
    path.write_bytes(content)
    ran = small.build()
    assert ran.code == 0, ran.stderr
    assert {name: text for name, text in files(small.out).items() if not name.startswith("run")} == {
        name: text for name, text in before.items() if not name.startswith("run")
    }
    assert "zh in 2 phases: 3,000 tokens with 10 %, 6,000 tokens with 33 %" in small.build("--dry-run").stdout
    ran = small.build("--tokens", "9K")
    assert ran.code == 2
    assert "mixture: the phases say how much training reads; leave tokens out" in ran.stderr
    ran = small.build("--limit", "30", out=small.folder / "trial")
    assert ran.code == 0, ran.stderr
    assert "(the recipe says 32 and 2 phases)" in " ".join(ran.stdout.split())
