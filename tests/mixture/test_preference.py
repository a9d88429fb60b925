"""Strategies: what a mixture comes near to, beside the published procedures."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.mixture.inventory import Target, most_samples
from mixer.mixture.preference import log_preferred
from mixer.mixture.weights import solve
from tests.mixture.inventories import REALISTIC, inventory

ALL = np.ones(5, np.bool_)


def preferred(target, allowed=ALL, found=REALISTIC):
    shares = np.exp(log_preferred(found, allowed, target))
    return shares / shares.sum()


def unimax(characters, budget, epochs):
    """Return the budgets of UniMax (Chung et al. 2023, Algorithm 1), line by line."""
    budgets = {}
    for number, name in enumerate(sorted(characters, key=characters.__getitem__)):
        uniform = budget / (len(characters) - number)
        read = uniform / characters[name]
        budgets[name] = epochs * characters[name] if read > epochs else uniform
        budget -= budgets[name]
    total = sum(budgets.values())
    return {name: share / total for name, share in budgets.items()}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_unimax_is_that_of_the_paper(data):
    sizes = data.draw(st.lists(st.integers(10**6, 10**10), min_size=1, max_size=12))
    epochs = data.draw(st.sampled_from([1.0, 4.0, 10.0]))
    found = inventory(*((f"s{k:02}-zh", size, "web", 1.0, epochs) for k, size in enumerate(sizes)))
    most = solve(found, Target(1.0, 100, strategy="unimax")).samples
    samples = data.draw(st.integers(max(1, most // 20), most))
    mixture = solve(found, Target(1.0, 100, strategy="unimax"), samples * 100)
    caps = {name: most_samples(size, epochs, 100) for name, size in zip(found.names, sizes, strict=True)}
    twin = unimax(caps, samples, 1)
    assert mixture.shares == pytest.approx([twin[name] for name in found.names], abs=1e-12)


def test_temperature_flattens_the_sizes():
    sizes = REALISTIC.tokens.astype(float)
    for temperature in (0.5, 1.0, 3.3, 1e6):
        flat = (sizes / sizes.max()) ** (1 / temperature)
        wished = preferred(Target(0.33, 2048, strategy="temperature", temperature=temperature))
        assert wished == pytest.approx(flat / flat.sum(), rel=1e-9)
    assert wished == pytest.approx(np.full(5, 0.2), rel=1e-4)


def test_weights_need_no_unit_and_zero_leaves_a_source_out():
    weights = {"dolma": 3.0, "wanjuan": 1.0, "starcoder": 1.0, "gsm": 0.0, "mathpile": 1e-9}
    target = Target(0.33, 2048, strategy="weights", weights=weights)
    mixture = solve(REALISTIC, target, 10**11)
    assert mixture.left_out == {"gsm-en": "the weight of gsm is 0", "mathpile-zh": "its share is less than a sample"}
    assert mixture.shares[0] / mixture.shares[2] == pytest.approx(3)
    assert mixture.realised == pytest.approx(0.33, abs=0.5 / mixture.samples)
    thousand = {name: 1000 * weight for name, weight in weights.items()}
    assert solve(REALISTIC, replace(target, weights=thousand), 10**11).n.tolist() == mixture.n.tolist()


@pytest.mark.parametrize(("strategy", "extra"), [("unimax", {}), ("temperature", {"temperature": 1e6})])
def test_stray_languages_of_a_source_do_not_count_as_sources(strategy, extra):
    found = inventory(
        ("a-zh", 10**9, "web", 1, 4),
        ("b-en", 10**9, "web", 0, 4),
        ("c-en", 10**7, "web", 0, 4),
        ("c-zh", 10**9 - 10**7, "web", 1, 4),
    )
    wished = preferred(Target(0.33, 100, strategy=strategy, **extra), np.ones(4, np.bool_), found)
    assert wished == pytest.approx([1 / 3, 1 / 3, 0.01 / 3, 0.99 / 3], rel=1e-4)


def test_what_is_not_allowed_is_no_part_of_its_source():
    allowed = np.array([True, True, False, True, True])
    logs = log_preferred(REALISTIC, allowed, Target(0.33, 2048))
    assert logs[2] == -math.inf
    assert preferred(Target(0.33, 2048, strategy="unimax"), allowed).tolist() == pytest.approx(
        [0.25, 0.25, 0, 0.25, 0.25]
    )


@pytest.mark.parametrize("basis", ["label", "measured"])
def test_weights_of_a_tool_keep_the_ratio_and_are_nearest(basis):
    """Without caps that bind, the answer scales each language of the weights: the nearest in KL by a known formula."""
    weights = {"dolma": 0.5, "wanjuan": 0.2, "starcoder": 0.15, "gsm": 0.05, "mathpile": 0.1}
    mixture = solve(REALISTIC, Target(0.5, 2048, basis, strategy="weights", weights=weights), 10**9)
    given = np.array([weights[name] for name in REALISTIC.source])
    score = REALISTIC.additional if basis == "label" else REALISTIC.measured
    assert mixture.shares @ score == pytest.approx(0.5, abs=1e-12)
    tilt = np.log(mixture.shares / given)
    slope = (tilt[1] - tilt[3]) / (score[1] * 1.0 - score[3])
    assert tilt == pytest.approx(tilt[3] + slope * (score - score[3] * 1.0), abs=1e-9)
