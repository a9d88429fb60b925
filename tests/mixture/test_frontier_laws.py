"""The D-CPT and the CMR law: what their authors published, and what comes back from data made by their formulas."""

import numpy as np
import pytest

from mixer.mixture.frontier.cmr import UNIT, Power, fit_cmr, fit_power
from mixer.mixture.frontier.dcpt import DCPT, fit_dcpt, largest_share
from mixer.mixture.frontier.laws import Target, ask
from mixer.mixture.frontier.runs import read_runs

# Gu et al. 2024, Table 2: domain loss at ratios of 100, 75, 50 and 33 %, then measured at 25 %
CMR_TABLE_2 = {
    "460M": [1.4628, 1.4844, 1.5122, 1.5387, 1.5561],
    "940M": [1.3723, 1.3910, 1.4155, 1.4385, 1.4538],
    "1.6B": [1.3242, 1.3416, 1.3643, 1.3854, 1.3994],
    "3.1B": [1.2585, 1.2750, 1.2965, 1.3170, 1.3305],
}
# Gu et al. 2024, Table 5: the law of each size, and the critical mixture ratio that it gives at 20 billion tokens
CMR_TABLE_5 = {
    "460M": (Power(0.22524761, 0.26944345, -0.48139982), 0.298),
    "940M": (Power(0.7520627, 0.13720245, -1.06581937), 0.349),
    "1.6B": (Power(-2.36384831, -0.15125569, 1.59223649), 0.414),
    "3.1B": (Power(-2.5368197, -0.42071423, 0.84375368), 0.478),
}
# Que et al. 2024, Table 5: chemistry, Qwen1.5-1.8B, 10 billion tokens
DCPT_SHARES = np.array([0.9, 0.91, 0.92, 0.924, 0.93, 0.94, 1.0])
DCPT_GENERAL = np.array([2.9052, 2.9193, 2.9376, 2.9445, 2.9644, 2.9848, 3.4667])
DCPT_DOMAIN = np.array([1.7321, 1.7312, 1.7311, 1.7291, 1.7279, 1.7265, 1.7220])
DCPT_BASE, DCPT_CHOICE = 2.8602, 0.924

GENERAL = DCPT(1.2, 1.1, 0.35, 0.15, 0.3, 0.6, 0.25, 0.1, 0.5)
DOMAIN = DCPT(0.9, 0.8, 0.3, 0.2, 0.25, 0.8, 0.3, 0.12, 0.6)
SIZES, TOKENS, RATIOS = (
    part.ravel()
    for part in np.meshgrid([0.5e9, 1.8e9, 4e9], [1e9, 3e9, 10e9, 26e9], [0, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0])
)


@pytest.mark.parametrize("size", CMR_TABLE_2)
def test_the_power_law_predicts_the_loss_that_gu_et_al_measured(size):
    *known, measured = CMR_TABLE_2[size]
    law = fit_power(np.array([1, 0.75, 0.5, 1 / 3]), np.array(known), -3, 3)
    assert float(law.at(0.25)) == pytest.approx(measured, abs=2e-4)


@pytest.mark.parametrize("size", CMR_TABLE_5)
def test_the_published_laws_give_the_published_ratios(size):
    law, ratio = CMR_TABLE_5[size]
    assert float(law.at(20e9 / UNIT)) == pytest.approx(ratio, abs=5e-4)


@pytest.mark.parametrize("noise", [0, 3e-4, 1e-3])
@pytest.mark.parametrize("size", CMR_TABLE_5)
def test_published_critical_ratios_come_back_from_losses_with_noise(size, noise):
    law, ratio = CMR_TABLE_5[size]
    rng = np.random.default_rng(int(noise * 1e6))
    amounts = np.linspace(12e9, 24e9, 7)
    tokens, ratios = (part.ravel() for part in np.meshgrid(amounts, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1]))
    # the general loss is a power law of the ratio that has risen by 0.05 just at the critical ratio of these tokens
    losses = 2.4 + 0.05 * (ratios / law.at(tokens / UNIT)) ** 1.4 + noise * rng.normal(size=len(ratios))
    for base in (2.4, None):
        found = fit_cmr(tokens, ratios, losses, 0.05, base)
        assert found.law is not None
        assert found.at(20e9) == pytest.approx(ratio, abs=1e-3 if noise == 0 else 25 * noise)
        if noise == 0:
            assert (found.law.a, found.law.s, found.law.b) == pytest.approx((law.a, law.s, law.b), rel=0.02)


def test_a_general_loss_that_no_ratio_raises_leaves_every_ratio_feasible():
    ratios = np.array([0, 0.25, 0.5, 1.0])
    assert fit_cmr(np.full(4, 1e9), ratios, 2 + 0.01 * ratios, 0.05, None).at(1e9) == 1
    assert fit_cmr(np.full(4, 1e9), ratios, 2 + 0.01 * ratios, 0.05, 1.9).at(1e9) == 0
    assert fit_cmr(np.full(4, 1e9), ratios, 2 - 0.01 * ratios, 0.05, 1.99).at(1e9) == 1
    assert fit_cmr(np.full(2, 1e9), ratios[:2], ratios[:2], 0.05, None) is None


def test_d_cpt_finds_the_share_that_que_et_al_chose():
    size, tokens = np.full(7, 1.8e9), np.full(7, 10e9)
    general = fit_dcpt(size, tokens, 1 - DCPT_SHARES, DCPT_GENERAL)
    domain = fit_dcpt(size, tokens, DCPT_SHARES, DCPT_DOMAIN)
    assert (general.size, general.beta) == (0, 0)
    assert general.error < 1e-3
    share = largest_share(general, domain, 1.8e9, 10e9, DCPT_BASE * 1.03)
    assert share == pytest.approx(DCPT_CHOICE, abs=1e-3)


def test_d_cpt_gets_its_numbers_back_where_there_is_no_noise():
    found = fit_dcpt(SIZES, TOKENS, 1 - RATIOS, GENERAL.loss(SIZES, TOKENS, 1 - RATIOS))
    for name, value in GENERAL.__dict__.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("noise", [0.001, 0.003])
def test_d_cpt_recommends_the_same_ratio_under_noise(noise):
    size, tokens = 4e9, 26e9
    limit = float(GENERAL.loss(size, tokens, 1.0)) * 1.03
    truth = largest_share(GENERAL, DOMAIN, size, tokens, limit)
    missed = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        noisy = [
            law.loss(SIZES, TOKENS, ratio) * np.exp(noise * rng.normal(size=len(ratio)))
            for law, ratio in ((GENERAL, 1 - RATIOS), (DOMAIN, RATIOS))
        ]
        general, domain = fit_dcpt(SIZES, TOKENS, 1 - RATIOS, noisy[0]), fit_dcpt(SIZES, TOKENS, RATIOS, noisy[1])
        assert general.error == pytest.approx(noise, rel=0.2)
        missed.append(largest_share(general, domain, size, tokens, limit) - truth)
    assert np.abs(missed).max() < 20 * noise


def test_no_share_is_recommended_where_none_keeps_the_limit():
    assert largest_share(GENERAL, DOMAIN, 1e9, 1e9, 0.1) is None


def laws_file(path, noise=0.0, rows=RATIOS, **columns):
    rng = np.random.default_rng(1)
    table = {
        "almr": RATIOS,
        "lr": np.full(len(RATIOS), 1e-8),
        "loss": np.full(len(RATIOS), 2.0),
        "tokens": TOKENS,
        "parameters": SIZES,
        "general_loss": GENERAL.loss(SIZES, TOKENS, 1 - RATIOS) * np.exp(noise * rng.normal(size=len(RATIOS))),
        "domain_loss": DOMAIN.loss(SIZES, TOKENS, RATIOS) * np.exp(noise * rng.normal(size=len(RATIOS))),
        **columns,
    }
    table = {name: values for name, values in table.items() if values is not None}
    lines = [",".join(table), *(",".join(map(repr, map(float, row))) for row in zip(*table.values(), strict=True))]
    path.write_text("\n".join(lines))
    return read_runs(path)


def test_both_laws_are_asked_about_the_largest_training_and_give_a_ratio(tmp_path):
    asked = ask(laws_file(tmp_path / "runs.csv"), Target())
    base = float(GENERAL.loss(4e9, 26e9, 1.0))
    assert (asked.tokens, asked.parameters) == (26e9, 4e9)
    assert asked.dcpt_base == pytest.approx(base, rel=1e-4)
    assert asked.dcpt_almr == pytest.approx(largest_share(GENERAL, DOMAIN, 4e9, 26e9, base * 1.03), abs=1e-3)
    assert 0 < asked.cmr_almr < 1
    assert asked.cmr_parameters == 4e9
    assert any("--base-loss" in note for note in asked.notes)


def test_the_laws_may_be_asked_about_another_training(tmp_path):
    runs = laws_file(tmp_path / "runs.csv")
    asked = ask(runs, Target(tokens=10e9, parameters=1.8e9, base_loss=2.2))
    limit = 2.2 * 1.03
    assert asked.dcpt_almr == pytest.approx(largest_share(GENERAL, DOMAIN, 1.8e9, 10e9, limit), abs=1e-3)
    assert asked.cmr_parameters == 1.8e9
    assert not any("--base-loss" in note for note in asked.notes)


def test_only_runs_of_the_commonest_learning_rate_are_used(tmp_path):
    lr = np.full(len(RATIOS), 1e-8)
    lr[:9] = 1e-7
    losses = GENERAL.loss(SIZES, TOKENS, 1 - RATIOS)
    losses[:9] += 5
    losses[20] = np.nan
    asked = ask(laws_file(tmp_path / "runs.csv", lr=lr, general_loss=losses), Target())
    assert (asked.lr, asked.runs, asked.other_lr, asked.set_aside) == (1e-8, 98, 9, 1)
    assert asked.general.error < 1e-6


def test_a_law_without_its_columns_is_left_out_with_the_reason(tmp_path):
    path = tmp_path / "runs.csv"
    assert ask(laws_file(path, general_loss=None), Target()) is None
    assert ask(laws_file(path, tokens=None), Target()) is None
    asked = ask(laws_file(path, domain_loss=None), Target())
    assert asked.general is None
    assert asked.cmr_almr is not None
    assert any("domain_loss" in note for note in asked.notes)
