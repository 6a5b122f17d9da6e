"""Spike and slab: densities against scipy and enumeration, and what EM finds."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from skcausal.perturbation._spike_slab import (
    SpikeSlab,
    fit_spike_slab,
    log_normal,
    log_sigmoid,
    sigmoid,
)


def draw(seed=0, shape=(300, 4), probability=0.2, variance=9.0):
    """Measured shifts, the variance of their noise, and which of them are real."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.05, 0.5, size=(shape[0], 1))
    targets = rng.uniform(size=shape) < probability
    shifts = targets * np.sqrt(variance) * rng.normal(size=shape)
    return shifts + np.sqrt(noise) * rng.normal(size=shape), noise, targets


@pytest.mark.parametrize("d", [1, 4, 8])
def test_product_over_variables_is_the_sum_over_sets_of_targets(d):
    rng = np.random.default_rng(d)
    z, noise = rng.normal(scale=2.0, size=(3, d)), rng.uniform(0.1, 1.0, size=(3, 1))
    prior = SpikeSlab(rng.normal(size=(3, d)), 4.0)
    p = 1.0 / (1.0 + np.exp(-prior.log_odds))
    total, hit = np.zeros(3), np.zeros((3, d))
    for targets in product([False, True], repeat=d):
        targets = np.array(targets)
        density = norm.pdf(z, scale=np.sqrt(noise + 4.0 * targets))
        weight = (np.where(targets, p, 1.0 - p) * density).prod(axis=1)
        total += weight
        hit += weight[:, None] * targets
    found = prior.log_marginal(z, noise, np.arange(d))
    np.testing.assert_allclose(np.exp(found.sum(axis=1)), total, rtol=1e-10)
    np.testing.assert_allclose(prior.posterior(z, noise), hit / total[:, None], rtol=1e-10)


def test_odds_follow_their_variables():
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(5, 4)), np.full((5, 1), 0.3)
    prior = SpikeSlab(rng.normal(size=(5, 4)), 2.0)
    order = np.array([2, 0, 3])
    expected = prior.log_marginal(z, noise, np.arange(4))[:, order]
    np.testing.assert_allclose(prior.log_marginal(z[:, order], noise, order), expected)


def test_known_targets():
    """Infinite odds leave one density only, without warnings."""
    z, noise = np.array([[0.5, 40.0]]), np.array([[0.2]])
    known = SpikeSlab(np.array([[np.inf, -np.inf]]), 3.0)
    expected = norm.logpdf(z, scale=np.sqrt([[3.2, 0.2]]))
    np.testing.assert_allclose(known.log_marginal(z, noise, np.arange(2)), expected)
    np.testing.assert_allclose(known.posterior(z, noise), [[1.0, 0.0]], atol=1e-300)


class TestFit:
    def test_every_iteration_raises_the_likelihood(self):
        z, noise, _ = draw()
        prior, last = SpikeSlab(0.0, 1.0), -np.inf
        for _ in range(10):
            prior = fit_spike_slab(z, noise, prior, n_iter=1)
            total = prior.log_marginal(z, noise, np.arange(4)).sum()
            assert total > last
            last = total

    def test_parameters_are_recovered(self):
        z, noise, targets = draw(shape=(2000, 4))
        prior = fit_spike_slab(z, noise, SpikeSlab(0.0, 1.0), n_iter=500)
        assert abs(1.0 / (1.0 + np.exp(-prior.log_odds)) - 0.2) < 0.02
        assert abs(prior.variance / 9.0 - 1.0) < 0.1
        posterior = prior.posterior(z, noise)
        near = (posterior > 0.2) & (posterior < 0.8)
        assert abs(posterior[near].mean() - targets[near].mean()) < 0.1

    def test_the_optimum_is_stationary(self):
        z, noise, _ = draw(seed=1)
        prior = fit_spike_slab(z, noise, SpikeSlab(0.0, 1.0), n_iter=2000, tol=1e-12)

        def total(log_odds, variance):
            return SpikeSlab(log_odds, variance).log_marginal(z, noise, np.arange(4)).sum()

        best = total(prior.log_odds, prior.variance)
        for step in (-1e-2, 1e-2):
            assert total(prior.log_odds + step, prior.variance) < best
            assert total(prior.log_odds, prior.variance * (1.0 + step)) < best

    def test_odds_can_be_kept(self):
        z, noise, _ = draw()
        prior = fit_spike_slab(z, noise, SpikeSlab(-3.0, 1.0), learn_odds=False)
        assert prior.log_odds == -3.0
        assert prior.variance > 2.0

    def test_no_shift_or_shifts_everywhere(self):
        """The probability stays within its bounds, and the variance positive."""
        noise = np.ones((50, 1))
        nothing = fit_spike_slab(np.zeros((50, 2)), noise, SpikeSlab(0.0, 1.0), n_iter=500)
        assert nothing.log_odds <= 0.0
        assert nothing.variance > 0.0
        everywhere = fit_spike_slab(np.full((50, 2), 30.0), noise, SpikeSlab(0.0, 1.0))
        assert everywhere.log_odds == 0.0
        np.testing.assert_allclose(everywhere.variance, 899.0, rtol=1e-3)


@pytest.mark.filterwarnings("error")
def test_functions_of_log_odds():
    odds = np.array([-np.inf, -800.0, -1.0, 0.0, 30.0, np.inf])
    np.testing.assert_allclose(sigmoid(odds)[2:4], [1.0 / (1.0 + np.e), 0.5])
    assert sigmoid(odds)[1] < 1e-300
    assert sigmoid(odds)[[0, -1]].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(log_sigmoid(odds)[1:4], [-800.0, -np.log1p(np.e), -np.log(2.0)])
    assert log_sigmoid(odds)[[0, -1]].tolist() == [-np.inf, 0.0]
    np.testing.assert_allclose(log_normal(1.5, 4.0), norm.logpdf(1.5, scale=2.0))
