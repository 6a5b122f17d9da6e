"""Average effects by augmented inverse-propensity weighting, on data whose truth is known."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom

from skcausal.effects._average_effect import average_effect, held_out_mean, outcome_corrections
from skcausal.effects._summary import mean_correction

ATE = 1.5  # of E[1 + x^2 / 2], x standard normal


def draw(n, seed):
    """Confounded data: x raises both the outcome and the chance of treatment."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    treated = np.clip(1 / (1 + np.exp(-x)), 0.1, 0.9)
    propensity = np.column_stack([1 - treated, treated])
    arm = (rng.uniform(size=n) < treated).astype(int)
    truth = np.column_stack([2 * x, 2 * x + 1 + 0.5 * x**2])
    y = truth[np.arange(n), arm] + rng.normal(size=n)
    return y, arm, truth, propensity


def estimate(y, arm, outcomes, propensity, level=0.9):
    """What the estimator does with one network and the training rows."""
    n = len(y)
    none = [np.empty(0, dtype=int)]
    correction, covariance = mean_correction(y, arm, np.ones(n), outcomes[None], none, propensity)
    contrast = np.array([-1.0, 1.0])
    return average_effect(
        outcomes[:, 1] - outcomes[:, 0],
        np.ones(n),
        contrast @ correction,
        contrast @ covariance @ contrast,
        level,
    )


def wrong_outcomes(truth):
    """No confounding, no variation, and no effect."""
    return np.full_like(truth, 0.5)


def wrong_propensity(propensity):
    return np.full_like(propensity, 0.5)


def test_corrections_are_weighted_residuals():
    rng = np.random.default_rng(0)
    y, arm = rng.normal(size=30), rng.permutation(np.arange(30) % 3)
    outcomes = rng.normal(size=(30, 3))
    propensity = rng.dirichlet([0.3, 0.3, 0.3], size=30)
    floor = 0.1 / 3  # a tenth of each level's share
    assert (propensity < floor).any()
    expected = np.zeros((30, 3))
    for i in range(30):
        k = arm[i]
        expected[i, k] = (y[i] - outcomes[i, k]) / max(propensity[i, k], floor)
    corrections = outcome_corrections(y, arm, outcomes, propensity)
    np.testing.assert_allclose(corrections, expected, rtol=1e-12)


def test_held_out_mean_is_over_the_members_that_have_not_seen_a_row():
    rng = np.random.default_rng(0)
    outcomes = rng.normal(size=(4, 12, 2))
    held_out = [np.flatnonzero(rng.uniform(size=12) < 0.4) for _ in range(4)]
    held_out = [rows[rows != 7] for rows in held_out]  # all members have learned from row 7
    mean = held_out_mean(outcomes, held_out)
    for i in range(12):
        members = [m for m in range(4) if i in held_out[m]] or range(4)
        expected = sum(outcomes[m, i] for m in members) / len(members)
        np.testing.assert_allclose(mean[i], expected, rtol=1e-12)
    assert len({sum(i in rows for rows in held_out) for i in range(12)}) > 2


def test_average_is_a_weighted_mean_with_a_normal_interval():
    rng = np.random.default_rng(0)
    effects, weights = rng.normal(size=50), rng.uniform(size=50)
    average = average_effect(effects, weights, np.float64(0.3), np.float64(0.04), 0.8)
    assert {type(value) for value in average} == {float}
    share = weights / sum(weights)
    mean = sum(share * effects)
    variance = sum(share**2 * (effects - mean) ** 2)
    assert average.estimate == pytest.approx(mean + 0.3)
    assert average.standard_error == pytest.approx(np.sqrt(variance + 0.04))
    half = NormalDist().inv_cdf(0.9) * average.standard_error
    assert average.lower == pytest.approx(average.estimate - half)
    assert average.upper == pytest.approx(average.estimate + half)


@pytest.mark.parametrize("factor", [1e-6, 2.0, 1e6])
def test_unit_of_the_weights_does_not_matter(factor):
    rng = np.random.default_rng(0)
    effects, weights = rng.normal(size=50), rng.uniform(size=50)
    expected = average_effect(effects, weights, 0.3, 0.04, 0.8)
    np.testing.assert_allclose(average_effect(effects, factor * weights, 0.3, 0.04, 0.8), expected)


def test_units_of_weight_zero_do_not_count():
    effects, weights = np.array([1.0, 2.0, 1e9]), np.array([1.0, 3.0, 0.0])
    expected = average_effect(effects[:2], weights[:2], 0.0, 0.0, 0.9)
    np.testing.assert_allclose(average_effect(effects, weights, 0.0, 0.0, 0.9), expected)
    assert expected.estimate == 1.75


@pytest.mark.parametrize("seed", range(3))
def test_wrong_outcomes_are_mended_by_right_propensities(seed):
    y, arm, truth, propensity = draw(20_000, seed)
    average = estimate(y, arm, wrong_outcomes(truth), propensity)
    assert abs(average.estimate - ATE) < 4 * average.standard_error
    assert average.standard_error < 0.1
    # The difference of the levels' means is far off, and so are both wrong models together.
    confounded = y[arm == 1].mean() - y[arm == 0].mean()
    assert confounded - ATE > 10 * average.standard_error
    both_wrong = estimate(y, arm, wrong_outcomes(truth), wrong_propensity(propensity))
    assert abs(both_wrong.estimate - ATE) > 10 * both_wrong.standard_error


@pytest.mark.parametrize("seed", range(3))
def test_wrong_propensities_do_no_harm_to_right_outcomes(seed):
    y, arm, truth, propensity = draw(20_000, seed)
    average = estimate(y, arm, truth, wrong_propensity(propensity))
    assert abs(average.estimate - ATE) < 4 * average.standard_error
    assert average.standard_error < 0.1


@pytest.mark.parametrize("model", ["right", "wrong", "least_squares"])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_covers_as_often_as_it_says(model, level):
    n_data_sets = 300
    covered, errors, standard_errors = 0, [], []
    for seed in range(n_data_sets):
        y, arm, truth, propensity = draw(400, 1000 + seed)
        outcomes = wrong_outcomes(truth) if model == "wrong" else truth
        if model == "least_squares":
            x = truth[:, 0] / 2
            basis = np.column_stack([np.ones_like(x), x, x**2])
            fits = [np.linalg.lstsq(basis[arm == k], y[arm == k])[0] for k in range(2)]
            outcomes = basis @ np.column_stack(fits)
        average = estimate(y, arm, outcomes, propensity, level)
        covered += average.lower <= ATE <= average.upper
        errors.append(average.estimate - ATE)
        standard_errors.append(average.standard_error)
    assert binom.ppf(1e-4, n_data_sets, level) <= covered <= binom.isf(1e-4, n_data_sets, level)
    # The standard deviation over 300 data sets is known to 4.1 %.
    assert np.mean(standard_errors) == pytest.approx(np.std(errors), rel=0.17)
