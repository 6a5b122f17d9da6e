"""Errors of equations carried on to predictions, against other ways to get there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.nn._pair_statistics import pair_statistics
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction._amortized_fit import fit_amortized
from skcausal.prediction._equation_errors import EquationErrors, prediction_variances
from skcausal.prediction._intervention_network import mean_error_variance
from skcausal.prediction._pretrained import NETWORK_FILES
from skcausal.prediction._shrunk_refit import solve_do
from skcausal.structure import LinearGaussianSCM

D = 5


def random_scm(rng, *, cyclic=False):
    """A system in units of different size, with a stable loop or without."""
    coef = np.triu(rng.normal(size=(D, D)), 1)
    if cyclic:
        coef = coef + np.tril(rng.normal(size=(D, D)), -1)
        coef *= 0.7 / np.abs(np.linalg.eigvals(np.abs(coef))).max()
    order = rng.permutation(D)
    unknown = np.full(D, np.nan)
    return LinearGaussianSCM(
        coef[np.ix_(order, order)],
        rng.normal(size=D),
        np.exp(rng.normal(size=D)),
        unknown,
        unknown,
    )


def random_errors(rng):
    factor = rng.normal(size=(D, D, D))
    return EquationErrors(
        rng.normal(size=(D, D)), factor @ factor.transpose(0, 2, 1), np.exp(rng.normal(size=D))
    )


def random_query(rng, n_rows=6):
    """Rows with random targets, and free cells of which some are known."""
    mask = rng.random((n_rows, D)) < 0.3
    X = np.where(
        mask | (rng.random(mask.shape) < rng.random()), rng.normal(size=mask.shape), np.nan
    )
    return X, mask


def variances(scm, errors, X, mask):
    return prediction_variances(scm, errors, X, mask, scm.conditional_mean(X, mask))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_variance_of_what_errors_add_to_an_equation(seed):
    rng = np.random.default_rng(seed)
    errors, X = random_errors(rng), rng.normal(size=(3, D))
    found = errors.variance(X)
    for row, own in zip(X, found):
        for j in range(D):
            away = row - errors.centre[j]
            expected = away @ errors.covariance[j] @ away + errors.offset_variance[j]
            assert own[j] == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), cyclic=st.booleans())
@settings(max_examples=40)
def test_row_variance_is_that_of_a_conditional_normal_distribution(seed, cyclic):
    """From the covariance under the intervention, cell by cell."""
    rng = np.random.default_rng(seed)
    scm = random_scm(rng, cyclic=cyclic)
    X, mask = random_query(rng)
    row_variance = variances(scm, random_errors(rng), X, mask)[1]
    for x, targets, found in zip(X, mask, row_variance):
        covariance = scm.interventional_covariance(targets)
        for i in range(D):
            known = ~targets & ~np.isnan(x) & (np.arange(D) != i)
            gain = np.linalg.solve(covariance[np.ix_(known, known)], covariance[known, i])
            expected = covariance[i, i] - gain @ covariance[known, i]
            assert found[i] == pytest.approx(0.0 if targets[i] else expected, rel=1e-7)


@given(seed=st.integers(0, 10_000), cyclic=st.booleans())
@settings(max_examples=40)
def test_mean_variance_is_that_of_perturbed_intercepts(seed, cyclic):
    """Predictions are linear in intercepts, so that a difference of two is their derivative."""
    rng = np.random.default_rng(seed)
    scm, errors = random_scm(rng, cyclic=cyclic), random_errors(rng)
    X, mask = random_query(rng)
    mean_variance, _ = variances(scm, errors, X, mask)
    predicted = scm.conditional_mean(X, mask)
    added = errors.variance(predicted if np.isnan(X).all() else np.where(np.isnan(X), predicted, X))
    expected = np.zeros(X.shape)
    for j in range(D):
        moved = replace(scm, intercept=scm.intercept + np.eye(D)[j])
        response = moved.conditional_mean(X, mask) - predicted
        # The equation of a target is replaced, its error with it.
        expected += response**2 * (added[:, j] * ~mask[:, j])[:, None]
    np.testing.assert_allclose(mean_variance, expected, rtol=1e-7, atol=1e-10)
    assert not mean_variance[mask].any()


@pytest.mark.parametrize("cyclic", [True, False])
def test_mean_variance_is_that_of_systems_with_random_weights(cyclic):
    """To first order: errors of weights are small, and an intervention is all that is known."""
    rng = np.random.default_rng(0)
    scm, scale = random_scm(rng, cyclic=cyclic), 1e-3
    errors = random_errors(rng)
    off = 1.0 - np.eye(D)  # no variable is in its own equation
    covariance = scale**2 * errors.covariance * off[:, :, None] * off[:, None]
    errors = EquationErrors(errors.centre, covariance, scale**2 * errors.offset_variance)
    mask = np.eye(D, dtype=bool)[:1]
    X = np.where(mask, 2.0, np.nan)
    expected = variances(scm, errors, X, mask)[0]

    n_draws = 20_000
    roots = np.linalg.cholesky(covariance + 1e-15 * np.eye(D))
    dW = np.einsum("jik,njk->nji", roots, rng.normal(size=(n_draws, D, D)))
    offset = np.sqrt(errors.offset_variance) * rng.normal(size=(n_draws, D))
    intercept = scm.intercept + offset - (dW * errors.centre).sum(axis=-1)
    free = ~mask[0]
    systems = np.eye(D) - free[:, None] * (scm.coef.T + dW)
    drawn = np.linalg.solve(systems, np.where(free, intercept, 2.0)[..., None])[..., 0]
    found = drawn.var(axis=0)
    np.testing.assert_allclose(found, expected[0], rtol=5 * np.sqrt(2 / n_draws), atol=1e-12)


def test_rows_do_not_inform_each_other():
    rng = np.random.default_rng(1)
    scm, errors = random_scm(rng), random_errors(rng)
    X, mask = random_query(rng, n_rows=30)
    together = variances(scm, errors, X, mask)
    alone = [variances(scm, errors, X[k : k + 1], mask[k : k + 1]) for k in range(30)]
    for found, parts in zip(together, zip(*alone)):
        np.testing.assert_allclose(found, np.vstack(parts), rtol=1e-10)


def test_everything_set_leaves_no_error():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2, D))
    for found in variances(random_scm(rng), random_errors(rng), X, np.ones(X.shape, dtype=bool)):
        assert not found.any()


def test_inference_and_training_agree():
    """What training calibrates is what an estimator returns for a do-query."""
    network = NETWORK_FILES.make("amortized", {"width": 8, "n_layers": 1}, seed=0).double()
    rng = np.random.default_rng(0)
    d, n_rows = 4, 10
    targets = np.vstack([np.zeros(d, bool), np.eye(d, dtype=bool)])
    mask, regime = targets.repeat(n_rows, axis=0), np.arange(d + 1).repeat(n_rows)
    X = np.where(mask, 2.0, rng.normal(size=mask.shape) @ rng.normal(size=(d, d)))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    options = {"correct_means": False, "n_finetune_steps": 0, "finetune_learning_rate": 0.1}
    fitted = fit_amortized(network, Z, mask, regime, names=str, **options)
    queries = np.roll(targets[1:], 1, axis=1) | targets[1:]
    known = np.where(queries, 1.5, np.nan)
    mean = fitted.scm.conditional_mean(known, queries)
    found, _ = prediction_variances(fitted.scm, fitted.errors, known, queries, mean)
    statistics = pair_statistics(RegimeMoments.from_rows(Z, mask, regime))
    asked = torch.from_numpy(queries.astype(float))[None]
    with torch.no_grad():
        _, fit, errors = network.fit(statistics)
        training_mean, response = solve_do(fit, asked, 1.5 * asked)
        expected = mean_error_variance(statistics, fit, errors, asked, training_mean, response)
    np.testing.assert_allclose(mean, training_mean[0].numpy(), atol=1e-10)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-8, atol=1e-12)
