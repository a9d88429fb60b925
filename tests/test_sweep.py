"""``mixer sweep``: trial runs over ratio and learning rate, one directory each, deterministic and resumable."""

import csv
import json
import shlex
import shutil

import pytest

from mixer.errors import UsageError
from mixer.manifest import read
from mixer.mixture.export import read_flags
from mixer.mixture.frontier.runs import read_runs
from mixer.sweep import COLUMNS, grid
from tests.builds import make_build
from tests.small import Small, mixer
from tests.test_build import files

pytestmark = pytest.mark.usefixtures("kept_server")
GRID = ("--almr", "0.2:0.6:0.2", "--lr", "1e-7,5e-9", "--tokens", "10K")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_tokenizer, kept_server):
    small = Small(tmp_path_factory.mktemp("sweep"), small_tokenizer)
    assert small.build().code == 0
    return small


@pytest.fixture(scope="module")
def swept(finished):
    out = finished.folder / "swept"
    assert mixer("sweep", finished.out, *GRID, "--out", out).code == 0
    return out


def results(out):
    with (out / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_paper_s_grid_is_nine_ratios():
    assert grid("0.1:0.9:0.1", "--almr") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert grid("0:1:0.33", "--almr") == [0, 0.33, 0.66, 0.99]
    assert grid("0.33", "--almr") == [0.33]
    assert grid("1e-7, 5e-8,1e-8,5e-9", "--lr") == [5e-9, 1e-8, 5e-8, 1e-7]


@pytest.mark.parametrize(
    "text",
    ["", "a", "0.1:0.9", "0.9:0.1:0.1", "0.1:0.9:0", "0.1:0.9:-1", "0.1,,0.2", "nan", "inf", "0:1:1e-9", "1:2:3:4"],
)
def test_what_is_no_axis(text):
    with pytest.raises(UsageError, match="no list of numbers"):
        grid(text, "--almr")


def test_ratios_that_are_close_keep_their_own_names(finished, tmp_path):
    near = ("--almr", "0.3000001,0.3000002", "--lr", "1e-8,1", "--tokens", "10K")
    assert mixer("sweep", finished.out, *near, "--out", tmp_path / "near").code == 0
    names = sorted(path.name for path in (tmp_path / "near" / "mixtures").iterdir())
    assert names == ["almr-0.3000001", "almr-0.3000002"]
    runs = [path.name.rsplit("-", 1)[0] for path in sorted((tmp_path / "near" / "runs").iterdir())]
    assert runs == [f"{name}-lr-{rate}" for name in names for rate in ("1", "1e-08")]


def test_a_value_given_twice():
    with pytest.raises(UsageError, match="holds a value twice"):
        grid("0.1,0.10", "--almr")


def test_a_run_has_a_blend_flags_and_an_id_of_its_own(finished, swept):
    folders = sorted((swept / "runs").iterdir())
    assert len(folders) == 6
    rows = results(swept)
    assert [(float(row["almr"]), float(row["lr"])) for row in rows] == [
        (almr, rate) for almr in (0.2, 0.4, 0.6) for rate in (5e-9, 1e-7)
    ]
    assert tuple(rows[0]) == COLUMNS
    assert {(row["tokens"], row["loss"]) for row in rows} == {("10000", "")}
    assert sorted(row["run"] for row in rows) == [folder.name for folder in folders]
    before = read_flags(finished.out)
    for row, folder in zip(rows, [swept / "runs" / row["run"] for row in rows], strict=True):
        assert sorted(path.name for path in folder.iterdir()) == ["args.txt", "blend.json", "run.json"]
        point = json.loads((folder / "run.json").read_text())
        assert (point["run"], point["almr"], point["lr"]) == (row["run"], float(row["almr"]), float(row["lr"]))
        mixture = (folder / point["mixture"]).resolve()
        manifest = read(mixture)
        assert (manifest.almr.target, manifest.samples) == (point["almr"], 10_000 // 32)
        assert abs(manifest.almr.realised - point["almr"]) <= 0.5 / manifest.samples
        lines = (shlex.split(line) for line in (folder / "args.txt").read_text().splitlines())
        named = {line[0]: line[-1] for line in lines}
        assert named["--lr"] == repr(point["lr"])
        assert named["--per-split-data-args-path"] == str(folder / "blend.json")
        assert named["--data-cache-path"] == str(mixture / "megatron" / "cache")  # shared by the runs of a ratio
        assert named["--train-samples"] == str(manifest.samples)
        assert named["--tokenizer-type"] == before["--tokenizer-type"][0]
        assert (folder / "blend.json").read_bytes() == (mixture / "megatron" / "blend.json").read_bytes()


def test_mixtures_are_links_and_prove_themselves(finished, swept):
    mixtures = sorted((swept / "mixtures").iterdir())
    assert [path.name for path in mixtures] == ["almr-0.2", "almr-0.4", "almr-0.6"]
    for mixture in mixtures:
        for entry in read(mixture).entries:
            for suffix in (".bin", ".idx"):
                assert (mixture / (entry.prefix + suffix)).samefile(finished.out / (entry.prefix + suffix))
    assert mixer("verify", mixtures[1]).code == 0


def test_the_same_command_changes_no_byte(finished, swept):
    before = files(swept)
    ran = mixer("sweep", finished.out, *GRID, "--out", swept)
    assert (ran.code, ran.stderr) == (0, "")
    assert files(swept) == before
    assert f"6 runs in {swept}" in ran.stdout


def test_it_goes_on_where_it_stopped_and_keeps_results(finished, swept, tmp_path):
    out = tmp_path / "again"
    command = ("sweep", finished.out, *GRID, "--out", out)
    assert mixer(*command).code == 0
    whole = files(out)
    shutil.rmtree(out / "mixtures" / "almr-0.4")
    shutil.rmtree(sorted((out / "runs").iterdir())[0])
    (out / "runs.csv").unlink()
    assert mixer(*command).code == 0
    assert files(out) == whole
    text = (out / "runs.csv").read_text()
    lines = text.splitlines()
    filled = "\n".join(
        [lines[0] + ",ceval", lines[1] + "2.5,0.41", *(line + "," for line in lines[2:5])]
    )  # no line end
    (out / "runs.csv").write_text(filled)
    assert mixer(*command).code == 0
    rows = results(out)
    assert (rows[0]["loss"], rows[0]["ceval"]) == ("2.5", "0.41")
    assert len(rows) == 6
    assert (out / "runs.csv").read_text().startswith(filled)
    more = mixer("sweep", finished.out, "--almr", "0.2,0.3", "--lr", "1e-7", "--tokens", "10K", "--out", out)
    assert more.code == 0
    assert [row["almr"] for row in results(out)][-1] == "0.3"
    assert len(results(out)) == 7
    (out / "runs.csv").write_text("step,loss\n1,2\n")
    assert "has no column run, almr, lr" in mixer(*command).stderr


def test_infeasible_ratios_are_left_out_and_said(finished, tmp_path):
    out = tmp_path / "sparse"
    ran = mixer("sweep", finished.out, "--almr", "0.5,0.99", "--lr", "1e-8", "--tokens", "60K", "--out", out)
    assert ran.code == 0, ran.stderr
    assert "left out: ALMR 0.99: no mixture of" in ran.stdout
    assert "remedy: feasible is one of: --almr" in ran.stdout
    assert [row["almr"] for row in results(out)] == ["0.5"]
    none = mixer(
        "sweep", finished.out, "--almr", "0.98,0.99", "--lr", "1e-8", "--tokens", "60K", "--out", tmp_path / "n"
    )
    assert none.code == 3
    assert "no ratio of the grid is feasible" in none.stderr
    assert "remedy: feasible is one of" in none.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--almr", "33", "--lr", "1e-8", "--tokens", "10K"], "for 33 % write 0.33"),
        (["--almr", "0.3", "--lr", "0", "--tokens", "10K"], "--lr 0 is not above 0"),
        (["--almr", "0.3", "--lr", "fast", "--tokens", "10K"], "--lr 'fast' is no list of numbers"),
        (
            ["--almr", "0.3", "--lr", "1e-8", "--tokens", "max"],
            "every run of a sweep must have the same number of tokens",
        ),
        (["--almr", "0.3", "--lr", "1e-8"], "every run of a sweep must have the same number of tokens"),
        (["--almr", "0.3", "--lr", "1e-8", "--tokens", "many"], "'many' is no amount of tokens"),
        (["--almr", "0.3", "--lr", "1e-8", "--tokens", "5"], "is less than one sequence of 32 tokens"),
        (["--almr", "0:1:0.001", "--lr", "1,2,3,4,5,6,7,8,9,10,11", "--tokens", "10K"], "are more than 10,000"),
    ],
)
def test_wrong_usage_leaves_nothing_behind(finished, tmp_path, options, message):
    ran = mixer("sweep", finished.out, *options, "--out", tmp_path / "new")
    assert ran.code == 2
    assert message in ran.stderr
    assert not (tmp_path / "new").exists()


def test_where_it_cannot_stand(finished, swept, tmp_path):
    ran = mixer("sweep", tmp_path, *GRID)
    assert (ran.code, "there is no finished build" in ran.stderr) == (2, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    ran = mixer("sweep", finished.out, *GRID, "--out", tmp_path / "full")
    assert (ran.code, "is not empty and holds no sweep" in ran.stderr) == (2, True)
    ran = mixer("sweep", finished.out, *GRID[:-1], "20K", "--out", swept)
    assert (ran.code, "holds another sweep" in ran.stderr) == (2, True)
    other = make_build(tmp_path)
    ran = mixer("sweep", other, *GRID, "--out", swept)
    assert (ran.code, "holds another sweep" in ran.stderr) == (2, True)


def test_it_stands_beside_the_build_by_default(finished):
    assert mixer("sweep", finished.out, "--almr", "0.3", "--lr", "1e-8", "--tokens", "10K").code == 0
    assert (finished.folder / "out-sweep" / "runs.csv").is_file()


def test_frontier_reads_the_table_of_results(finished, tmp_path):
    out = tmp_path / "trials"
    assert mixer("sweep", finished.out, *GRID, "--out", out).code == 0
    unfilled = read_runs(out / "runs.csv")
    assert unfilled.columns["almr"].tolist() == [0.2, 0.2, 0.4, 0.4, 0.6, 0.6]
    assert unfilled.columns["lr"].tolist() == [5e-9, 1e-7] * 3
    assert unfilled.columns["tokens"].tolist() == [10_000] * 6
    assert (len(unfilled), unfilled.metrics, unfilled.complete(["loss"]).any()) == (6, (), False)
    first, *lines = (out / "runs.csv").read_text().splitlines()
    (out / "runs.csv").write_text("\n".join([f"{first},ceval", *(f"{line}2.{k},0.4" for k, line in enumerate(lines))]))
    filled = read_runs(out / "runs.csv")
    assert (filled.metrics, filled.complete(["loss", "ceval"]).all()) == (("ceval",), True)
