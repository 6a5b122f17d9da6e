"""What a linear system leaves of the regimes' means, carried over to combinations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from skcausal.prediction._mean_corrector import (
    _RATIOS,
    _factor,
    _fit_variable,
    _kernel,
    fit_mean_corrector,
)


def reference_kernel(targets, values, other_targets, other_values):
    kernel = np.zeros((len(targets), len(other_targets)))
    for a in range(len(targets)):
        for b in range(len(other_targets)):
            for i in np.flatnonzero(targets[a] & other_targets[b]):
                kernel[a, b] += np.exp(-0.5 * ((values[a, i] - other_values[b, i]) / 0.5) ** 2)
    return kernel


def random_regimes(seed, n_regimes=9, d=4):
    """Targets, means and numbers of rows; the first regime is observational."""
    rng = np.random.default_rng(seed)
    targets = rng.random((n_regimes, d)) < 0.35
    targets[0] = False
    return targets, rng.normal(size=targets.shape), rng.integers(1, 30, n_regimes).astype(float)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_kernel_sums_over_shared_targets(seed):
    targets, values, _ = random_regimes(seed)
    others, other_values, _ = random_regimes(seed + 1, n_regimes=5)
    values = np.where(targets, values, np.nan)  # other entries do not matter
    expected = reference_kernel(targets, values, others, other_values)
    np.testing.assert_allclose(_kernel(targets, values, others, other_values), expected)


def gaussian_process(kernel, cross, residual, n_rows, ratio):
    """Posterior mean where the noise of regime r has variance 1 / n_r, the effect `ratio`."""
    return cross @ np.linalg.solve(kernel + np.diag(1.0 / (ratio * n_rows)), residual)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_ratio_of_the_largest_likelihood(seed):
    """Density and posterior mean are those of the Gaussian written out."""
    targets, values, n_rows = random_regimes(seed)
    kernel = reference_kernel(targets, values, targets, values)
    rng = np.random.default_rng(seed)
    residual = rng.normal(size=len(kernel)) / np.sqrt(n_rows) + kernel @ rng.normal(
        0.0, 0.3, len(kernel)
    )
    noise = np.diag(1.0 / n_rows)
    densities = {
        ratio: multivariate_normal.logpdf(residual, cov=ratio * kernel + noise)
        for ratio in (0.0, *_RATIOS)
    }
    best = max(densities, key=densities.get)
    gain, weights = _fit_variable(_factor(kernel), residual, n_rows)
    assert gain == pytest.approx(densities[best] - densities[0.0], abs=1e-8)
    expected = gaussian_process(kernel, kernel, residual, n_rows, best) if best else 0.0 * residual
    np.testing.assert_allclose(kernel @ weights, expected, atol=1e-8)


def singles_and_pairs(response):
    """Means of regimes with targets 0 or 1 at many values, and of both at once; 2 responds."""
    grid = np.linspace(-2.0, 2.0, 9)
    singles = [(v, None) for v in grid] + [(None, v) for v in grid]
    pairs = [(a, b) for a in grid[::2] + 0.2 for b in grid[::2] - 0.3]
    parts = []
    for regimes in (singles, pairs):
        values = np.array([[np.nan if v is None else v for v in row] for row in regimes])
        targets = np.column_stack([~np.isnan(values), np.zeros(len(values), dtype=bool)])
        x = np.nan_to_num(values)
        parts.append((targets, np.column_stack([x, response(x)])))
    return parts


def bent(x):
    return np.sin(1.5 * x[:, 0]) + np.abs(x[:, 1])


def straight(x):
    return 0.7 * x[:, 0] - 0.4 * x[:, 1]


def linear_system(targets, means):
    """Least squares through the mean without intervention, which is 0."""
    x = np.where(targets, means, 0.0)
    slope = np.linalg.lstsq(x[:, :2], means[:, 2], rcond=None)[0]

    def predict(targets, values):
        x = np.where(targets, values, 0.0)[:, :2]
        return np.column_stack([x, x @ slope])

    return predict


def test_nonlinear_effects_are_carried_over_to_combinations():
    (targets, means), (pair_targets, pair_means) = singles_and_pairs(bent)
    rng = np.random.default_rng(0)
    noise, n_rows = np.full(3, 0.1), np.full(len(means), 20.0)
    means[:, 2] += rng.normal(0.0, np.sqrt(0.1 / 20), len(means))
    predict = linear_system(targets, means)
    corrector = fit_mean_corrector(targets, means, n_rows, predict(targets, means), noise)
    linear = predict(pair_targets, pair_means)
    correction = corrector.correction(pair_targets, pair_means)
    before, after = (((p - pair_means)[:, 2] ** 2).mean() for p in (linear, linear + correction))
    assert before > 0.1
    assert after < 0.2 * before
    assert not correction[pair_targets].any()


def test_targets_are_left_alone_in_training_and_queries():
    """What a target deviates from the prediction is no residual."""
    (targets, means), (pair_targets, _) = singles_and_pairs(bent)
    predict = linear_system(targets, means)
    n_rows, noise = np.full(len(means), 20.0), np.full(3, 0.1)
    predicted = predict(targets, means)
    corrector = fit_mean_corrector(targets, means, n_rows, predicted, noise)
    wild = np.where(targets, 1e3, predicted)
    other = fit_mean_corrector(targets, means, n_rows, wild, noise)
    np.testing.assert_array_equal(other.weights, corrector.weights)
    assert not corrector.weights[targets].any()
    everything = np.ones(pair_targets.shape, dtype=bool)
    assert not corrector.correction(everything, np.ones(everything.shape)).any()


def test_no_target_no_correction():
    (targets, means), _ = singles_and_pairs(bent)
    predict = linear_system(targets, means)
    n_rows, noise = np.full(len(means), 20.0), np.full(3, 0.1)
    corrector = fit_mean_corrector(targets, means, n_rows, predict(targets, means), noise)
    none = np.zeros((2, 3), dtype=bool)
    assert not corrector.correction(none, np.full(none.shape, np.nan)).any()
    # A target without an effect of its own in training has none in a query.
    unseen = np.array([[False, False, True]])
    assert not corrector.correction(unseen, np.ones((1, 3))).any()


def test_none_for_linear_data():
    """Residuals that are noise are seldom taken for more, and never if they are zero."""
    (targets, means), _ = singles_and_pairs(straight)
    n_rows, noise = np.full(len(means), 20.0), np.full(3, 0.1)
    accepted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noisy = means + ~targets * rng.normal(0.0, np.sqrt(0.1 / 20), means.shape)
        predicted = linear_system(targets, noisy)(targets, noisy)
        accepted += fit_mean_corrector(targets, noisy, n_rows, predicted, noise) is not None
    assert accepted <= 2
    assert fit_mean_corrector(targets, means, n_rows, means, noise) is None


def test_numbering_and_order_do_not_matter():
    (targets, means), (pairs, pair_means) = singles_and_pairs(bent)
    predicted = linear_system(targets, means)(targets, means)
    rng = np.random.default_rng(0)
    n_rows, noise = rng.integers(10, 30, len(means)).astype(float), np.array([0.1, 0.2, 0.3])
    rows, order = rng.permutation(len(means)), rng.permutation(3)
    plain = fit_mean_corrector(targets, means, n_rows, predicted, noise)
    other = fit_mean_corrector(
        targets[rows][:, order],
        means[rows][:, order],
        n_rows[rows],
        predicted[rows][:, order],
        noise[order],
    )
    expected = plain.correction(pairs, pair_means)[:, order]
    found = other.correction(pairs[:, order], pair_means[:, order])
    np.testing.assert_allclose(found, expected, atol=1e-9)
