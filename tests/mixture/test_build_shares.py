"""Shares, strategies and weights as a user gives them: through a recipe and ``mixer build``, to the verified build."""

import json

import pytest

from mixer.manifest import read
from tests.small import chinese, english, lines, mixer

pytestmark = pytest.mark.usefixtures("kept_server")


@pytest.fixture
def four(small):
    """Return the small recipe with two more sources, built once."""
    small.source("wiki", language="en")
    small.source("zhihu", language="zh")
    small.write("wiki.jsonl", lines(english(40, seed=5)))
    small.write("zhihu.jsonl", lines(chinese(20, seed=6)))
    assert small.build().code == 0
    return small


def shares(out):
    manifest = read(out)
    return {entry.source: entry.samples / manifest.samples for entry in manifest.datasets}, manifest


def remix(four, *arguments):
    """Build again and make sure that nothing but the mixture was made."""
    ran = four.build(*arguments)
    assert ran.code == 0, ran.stderr
    assert all(tasks == skipped for tasks, skipped in ran.done.values())
    assert mixer("verify", four.out).code == 0
    return ran


def test_shares_of_sources_are_kept_and_printed_where_they_bind(four):
    four.source("wiki", share=0.1)
    four.source("zhihu", min_share=0.2)
    ran = remix(four)
    found, manifest = shares(four.out)
    assert abs(found["wiki"] - 0.1) <= 0.5 / manifest.samples
    assert found["zhihu"] >= 0.2
    assert abs(manifest.almr.realised - 0.33) <= 0.5 / manifest.samples
    assert manifest.shares == {"en": (0, 1), "zh": (0, 1), "wiki": (0.1, 0.1), "zhihu": (0.2, 1.0)}
    assert "binding: " in ran.stdout
    assert "zhihu: min_share 0.2" in ran.stdout
    assert "target 0.33 (label), realised 0.3" in ran.stdout and "measured 0.3" in ran.stdout


@pytest.mark.parametrize("basis", ["label", "measured"])
def test_every_constraint_at_once(four, basis):
    four.source("en", max_share=0.3, max_epochs=9)
    four.source("zh", max_share=0.15)
    remix(four, "--set", "mixture.strategy=unimax", "--set", f"mixture.almr_basis={basis}", "--almr", "0.3")
    found, manifest = shares(four.out)
    assert found["en"] <= 0.3
    assert found["zh"] == pytest.approx(0.15, abs=1 / manifest.samples)
    ratio = manifest.almr.realised if basis == "label" else manifest.almr.measured
    assert ratio == pytest.approx(0.3, abs=1 / manifest.samples)


def test_temperature_and_unimax_are_nearer_to_uniform(four):
    halves = ["--tokens", "5K", "--almr", "0.5"]
    spread = {}
    for strategy in ("proportional", "temperature", "unimax"):
        given = ["--set", f"mixture.strategy={strategy}"]
        remix(four, *halves, *given, *(["--set", "mixture.temperature=2"] if strategy == "temperature" else []))
        found, manifest = shares(four.out)
        spread[strategy] = found["zh"] - found["zhihu"]
        assert manifest.settings["strategy"] == strategy
    assert spread["proportional"] > spread["temperature"] > 0.02 > abs(spread["unimax"])


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_weights_of_a_tool_are_followed_under_the_ratio(four, kind):
    weights = {"en": 3, "wiki": 1, "zh": 1, "zhihu": 2}
    rows = ["source,weight", *(f"{name},{weight}" for name, weight in weights.items())]
    file = four.write(f"weights.{kind}", json.dumps(weights) if kind == "json" else "\n".join(rows))
    remix(four, "--weights", file, "--tokens", "10K")
    found, manifest = shares(four.out)
    assert found["en"] == pytest.approx(3 * found["wiki"], abs=3 / manifest.samples)
    assert found["zhihu"] == pytest.approx(2 * found["zh"], abs=3 / manifest.samples)
    assert abs(manifest.almr.realised - 0.33) <= 0.5 / manifest.samples
    assert manifest.settings["weights"] == weights


def test_wrong_weights_end_with_two(four):
    ran = four.build("--weights", four.write("weights.json", '{"en": 1, "wiki": 1, "zh": 1, "zhihus": 1}'))
    assert ran.code == 2
    assert "no source 'zhihus' (did you mean 'zhihu'?)" in ran.stderr
    ran = four.build("--weights", four.write("weights.csv", "domain,weight\n"))
    assert ran.code == 2
    assert "weights.csv, line 1: the header is 'domain,weight', not source,weight" in ran.stderr


def test_what_is_infeasible_is_explained_and_the_ways_out_work(four):
    four.source("wiki", share=0.6)
    ran = four.build("--tokens", "20K", "--almr", "0.5")
    assert ran.code == 3
    assert "at most 0.4 is possible with the shares of sources wiki 0.6" in ran.stderr
    assert "feasible is one of: --almr 0.4 at these tokens" in ran.stderr
    remix(four, "--tokens", "20K", "--almr", "0.4")
