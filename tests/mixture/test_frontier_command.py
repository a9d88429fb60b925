"""``mixer frontier`` as a user calls it: what it prints, and what it writes."""

import json
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

import mixer.report.contours as contours
from tests.mixture.sweeps import QUADRATIC, sweep
from tests.small import mixer

pytest.importorskip("matplotlib")


@pytest.fixture
def runs(tmp_path):
    points = sweep(QUADRATIC, 0.05, 3)
    rows = ["run,almr,lr,loss,c_eval,perplexity"]
    for number, ((logarithm, almr), loss, score) in enumerate(
        zip(points.where, points.loss, points.performance, strict=True)
    ):
        rows.append(f"run-{number},{100 * almr:.0f},{10**logarithm:.6e},{loss:.5f},{50 + score:.5f},{9 - score:.5f}")
    rows += [rows[1], "run-x,20,1e-8,,,"]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_paper_is_shown_without_any_runs():
    ran = mixer("frontier", "--paper")
    assert ran.code == 0
    for text in (
        "ALMR = 116.67 log10(LR) + 1085.00",
        "ALMR = -0.33 log10(LR) + 29.67",
        "ALMR 32.65 %, LR 9.6e-10",
        "33 %, LR 1.0e-9",
        "70B: the same ALMR, LR / 10: 1.0e-10",
    ):
        assert text in ran.stdout


def test_a_choice_is_printed_and_written(runs):
    ran = mixer("frontier", runs, "--lower", "perplexity")
    assert (ran.code, ran.stderr) == (0, "")
    logarithm, almr = QUADRATIC.crossing
    folder = runs.with_name("runs-frontier")
    found = json.loads((folder / "frontier.json").read_text())
    assert found["almr"]["value"] == pytest.approx(almr, abs=0.02)
    assert np.log10(found["lr"]["value"]) == pytest.approx(logarithm, abs=0.05)
    assert all(found[name]["low"] < found[name]["value"] < found[name]["high"] for name in ("almr", "lr"))
    assert f"recommended: ALMR {100 * found['almr']['value']:.1f} %" in ran.stdout
    assert "45 points from 46 runs; almr was read as percentages; 1 points have several runs" in ran.stdout
    assert "1 rows without a number in a column needed were set aside" in ran.stdout
    assert "perplexity (lower is better)" in ran.stdout
    assert found["metrics"] == {"c_eval": "higher", "perplexity": "lower"}
    assert sorted(path.name for path in folder.iterdir()) == ["frontier.json", "frontier.png", "frontier.svg"]


def test_pictures_are_the_same_bytes_and_hold_no_date_or_path(runs, tmp_path):
    for name in ("one", "two"):
        assert mixer("frontier", runs, "--out", tmp_path / name).code == 0
    for name in ("frontier.svg", "frontier.png", "frontier.json"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two
        assert str(tmp_path).encode() not in one
    svg = (tmp_path / "one/frontier.svg").read_text()
    assert "dc:date" not in svg
    assert (tmp_path / "one/frontier.png").read_bytes().startswith(b"\x89PNG")
    ids = {element.get("id") for element in ET.fromstring(svg).iter() if element.get("id")}
    assert {"axes_1", "axes_2", "legend_1"} <= ids


def test_another_order_of_columns_and_shares_give_the_same_choice(runs, tmp_path):
    header, *rows = (line.split(",") for line in runs.read_text().splitlines())
    other = tmp_path / "other.csv"
    turned = [header[::-1], *([*row[:1], repr(float(row[1]) / 100), *row[2:]][::-1] for row in rows)]
    other.write_text("\n".join(map(",".join, turned)))
    found = []
    for path in (runs, other):
        assert mixer("frontier", path, "--lower", "perplexity").code == 0
        found.append(json.loads((path.with_name(f"{path.stem}-frontier") / "frontier.json").read_text())["almr"])
    assert found[0]["value"] == pytest.approx(found[1]["value"], rel=1e-9)


def test_without_matplotlib_the_tables_are_there_and_the_remedy(runs, monkeypatch):
    monkeypatch.setattr("mixer.report.can_draw", lambda: False)
    ran = mixer("frontier", runs)
    assert ran.code == 0
    assert "recommended: ALMR" in ran.stdout
    assert "pip install 'mixer[report]'" in ran.stdout
    assert [path.name for path in runs.with_name("runs-frontier").iterdir()] == ["frontier.json"]


def test_warnings_are_printed_and_a_loss_alone_still_has_a_picture(runs):
    rows = [",".join(line.split(",")[1:4]) for line in runs.read_text().splitlines()]
    runs.write_text("\n".join(rows))
    ran = mixer("frontier", runs)
    assert ran.code == 0
    assert "no recommendation" in ran.stdout
    assert "warning: there are no metrics" in ran.stdout
    assert (runs.with_name("runs-frontier") / "frontier.svg").exists()


def test_laws_are_shown_beside_the_frontier(runs):
    header, *rows = runs.read_text().splitlines()
    more = [f"{header},tokens,general_loss,domain_loss"]
    for row in rows:
        almr = float(row.split(",")[1]) / 100
        more.append(f"{row},100B,{2 + 0.1 * almr**2:.4f},{2.5 - 0.3 * almr**0.5:.4f}")
    runs.write_text("\n".join(more))
    ran = mixer("frontier", runs, "--base-loss", "2.0", "--tokens", "1e11")
    assert ran.code == 0
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("frontier ", "D-CPT ", "CMR "))] == [
        "frontier",
        "D-CPT",
        "CMR",
    ]
    shares = [float(line.split(" %")[0].split()[-1]) for line in lines if line.startswith("CMR ")]
    assert shares == pytest.approx([100 * np.sqrt(0.5)], abs=1)


@pytest.mark.parametrize("arguments", [[], ["--paper", "runs.csv"]])
def test_either_runs_or_the_paper(arguments):
    ran = mixer("frontier", *arguments)
    assert ran.code == 2
    assert "--paper" in ran.stderr


def test_bad_results_end_with_exit_code_2_and_the_line(runs):
    runs.write_text("almr,lr,loss\n0.1,1e-8,2\n0.2,fast,2\n")
    ran = mixer("frontier", runs)
    assert ran.code == 2
    assert "line 3: lr is 'fast', not a number" in ran.stderr
    assert "remedy:" in ran.stderr


def test_the_ends_of_a_drawn_line_lie_on_it():
    from mixer.mixture.frontier.lines import Line

    for line in (Line(-116.67, 1, 1085), Line(0.33, 1, 29.67), Line(1, 0, -9)):
        rates, percents = contours._ends(line, np.array([-9.5, 0.1]), np.array([-7.5, 0.9]))
        for lr, percent in zip(rates, percents, strict=True):
            assert line.a * np.log10(lr) + line.b * percent == pytest.approx(line.c)
        assert any(first != second for first, second in [*pairwise(rates), *pairwise(percents)])
