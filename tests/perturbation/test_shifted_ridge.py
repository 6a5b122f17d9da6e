"""Bayesian regression with latent shifts, against normal densities of all rows."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal

from skcausal.perturbation._shifted_ridge import (
    _FLAT,
    algebraic_sigmoid,
    fit_shifted_ridge,
    moments_of_rows,
)

SHIFT_VARIANCE = 4.0


def regression(seed, n_columns=3, n_rows=(9, 5, 4, 6)):
    """Columns of regressors and the variable, sorted by context, and the context of each row."""
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(len(n_rows)), n_rows)
    F = np.column_stack([np.ones(len(context)), rng.normal(size=(len(context), n_columns - 1))])
    shift = np.where(np.arange(len(n_rows)) % 2, 3.0, 0.0)
    y = F @ rng.normal(size=n_columns) + shift[context] + rng.normal(size=len(context))
    return F, y, context


def fit(F, y, context, log_odds, n_flat=None):
    """Fit from rows, certain of all targets to begin with."""
    n_rows = np.bincount(context).astype(float)
    moments = moments_of_rows(np.column_stack([F, y]), context, n_rows)
    n_flat = F.shape[1] if n_flat is None else n_flat
    odds, q = np.asarray(log_odds, dtype=float), np.ones(len(n_rows))
    return fit_shifted_ridge(*moments, n_rows, odds, SHIFT_VARIANCE, n_flat, q, n_iter=300)


def covariance_of(context, targets):
    """Covariance of the rows, in units of the noise's, of contexts with given targets."""
    same = context[:, None] == context
    return np.eye(len(context)) + SHIFT_VARIANCE * same * np.asarray(targets)[context]


def test_the_moments_are_those_of_the_rows_of_each_context():
    F, y, context = regression(0)
    rows = np.column_stack([F, y])
    scatter, means = moments_of_rows(rows, context, np.bincount(context).astype(float))
    parts = [rows[context == k] for k in range(4)]
    np.testing.assert_allclose(means, [part.mean(axis=0) for part in parts])
    expected = sum((len(part) - 1) * np.cov(part.T) for part in parts)
    np.testing.assert_allclose(scatter, expected, atol=1e-10)


@pytest.mark.parametrize("targets", [(0, 0, 0, 0), (0, 1, 0, 1)])
def test_known_targets_make_it_a_regression_with_correlated_rows(targets):
    F, y, context = regression(1)
    log_odds = np.where(targets, np.inf, -np.inf)
    coef, residuals, variance, log_evidence, q = fit(F, y, context, log_odds)

    precision = np.linalg.inv(covariance_of(context, targets))
    expected = np.linalg.solve(F.T @ precision @ F + _FLAT * np.eye(3), F.T @ precision @ y)
    np.testing.assert_allclose(coef, expected)
    np.testing.assert_allclose(
        residuals, [(y - F @ expected)[context == k].mean() for k in range(4)]
    )
    np.testing.assert_array_equal(q, targets)
    # All of the rows are one normal vector, and its scale is at the maximum.
    spread = covariance_of(context, targets) + F @ F.T / _FLAT
    np.testing.assert_allclose(variance, y @ np.linalg.solve(spread, y) / len(y))
    density = multivariate_normal(np.zeros(len(y)), variance * spread).logpdf(y)
    np.testing.assert_allclose(log_evidence, density)


def test_the_variance_of_random_weights_is_at_the_maximum_of_the_evidence():
    F, y, context = regression(2, n_columns=8, n_rows=(20, 8, 8, 8))
    targets = (0, 1, 0, 1)
    *_, log_evidence, _ = fit(F, y, context, np.where(targets, np.inf, -np.inf), n_flat=2)

    def loss(logs):
        variance, tau = np.exp(logs)
        weights = np.concatenate([np.full(2, 1.0 / _FLAT), np.full(6, tau)])
        spread = covariance_of(context, targets) + (F * weights) @ F.T
        return -multivariate_normal(np.zeros(len(y)), variance * spread).logpdf(y)

    assert log_evidence == pytest.approx(-minimize(loss, [0.0, 0.0]).fun, abs=0.05)


def test_latent_targets_are_summed_over_all_sets():
    F, y, context = regression(3)
    log_odds = np.array([-np.inf, -1.0, -1.0, 0.5])
    coef, _, variance, log_evidence, q = fit(F, y, context, log_odds)

    joint = {}
    for targets in product([0, 1], repeat=4):
        prior = np.where(targets, expit(log_odds), expit(-log_odds))
        if prior.all():
            density = multivariate_normal(cov=variance * covariance_of(context, targets))
            joint[targets] = np.log(prior).sum() + density.logpdf(y - F @ coef)
    total = logsumexp(list(joint.values()))
    posterior = sum(np.exp(value - total) * np.array(key) for key, value in joint.items())
    np.testing.assert_allclose(q, posterior, atol=1e-10)

    # The weights cost their prior density, and the volume of their posterior.
    weights = (1 - q) + q / (1 + np.bincount(context) * SHIFT_VARIANCE)
    means = np.array([F[context == k].mean(axis=0) for k in range(4)])
    gram = moments_of_rows(F, context, np.bincount(context).astype(float))[0]
    gram += (means.T * weights * np.bincount(context)) @ means
    cost = 0.5 * np.linalg.slogdet(np.eye(3) + gram / _FLAT)[1]
    cost += 0.5 * _FLAT * coef @ coef / variance
    # Responsibilities are those of the last step, hence within its tolerance.
    assert log_evidence == pytest.approx(total - cost, abs=0.02)


def test_the_start_does_not_decide():
    F, y, context = regression(4)
    n_rows = np.bincount(context).astype(float)
    moments = moments_of_rows(np.column_stack([F, y]), context, n_rows)
    log_odds = np.array([-np.inf, 0.0, 0.0, 0.0])
    fits = [
        fit_shifted_ridge(*moments, n_rows, log_odds, SHIFT_VARIANCE, 3, q, n_iter=300)
        for q in (np.ones(4), np.zeros(4), np.full(4, 0.5))
    ]
    for other in fits[1:]:
        np.testing.assert_allclose(other[3], fits[0][3], atol=0.05)


def test_the_sigmoid_is_odd_and_saturates():
    z = np.array([-1e8, -1.0, 0.0, 1.0, 1e8])
    np.testing.assert_allclose(algebraic_sigmoid(z), [-1, -np.sqrt(0.5), 0, np.sqrt(0.5), 1])
