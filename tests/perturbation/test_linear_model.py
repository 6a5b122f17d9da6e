"""Linear models under latent interventions: moments, densities and draws agree with each other."""

from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._latent import LatentInterventions
from skcausal.perturbation._linear_model import LinearModel, best_linear_prediction, linear_model
from skcausal.perturbation._order_solver import solve_by_order

KINDS = ["shift", "do", "scale"]
D = 4


def random_model(kind, seed=0):
    """Weights of all pairs, in an order that is not that of the columns."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(D)
    coef = np.zeros((D, D))
    coef[np.ix_(order, order)] = np.triu(rng.normal(size=(D, D)), 1)
    target_variance = rng.uniform(0.1, 0.5, size=D) * (kind == "do")
    return LinearModel(
        coef, rng.normal(size=D), rng.uniform(0.5, 2.0, size=D), order, kind, target_variance
    )


def random_latent(n, seed=1, *, certain=False, spread=1.0):
    """Interventions; if they are certain, each variable is a target or not."""
    rng = np.random.default_rng(seed)
    probability = rng.uniform(size=(n, D))
    if certain:
        probability = np.round(probability)
    return LatentInterventions(
        probability, rng.normal(size=(n, D)), spread * rng.uniform(0.05, 0.15, size=(n, D))
    )


def moments_of_targets(model, targets, mean, variance):
    """Mean and covariance if the targets (n_variables,) are known, by solving the equations."""
    coef, noise = model.coef.copy(), model.noise_variance.copy()
    expected = model.intercept.copy()
    if model.kind == "shift":
        expected += targets * mean * np.sqrt(noise)
        noise = noise * (1.0 + targets * variance)
    elif model.kind == "do":
        coef = coef * (1.0 - targets)
        expected = np.where(targets, mean, expected)
        noise = np.where(targets, variance + model.target_variance, noise)
    else:  # the mean of a log-normal variable
        noise = noise * np.where(targets, np.exp(2.0 * mean + 2.0 * variance), 1.0)
    mixing = np.linalg.inv(np.eye(D) - coef)
    return expected @ mixing, mixing.T * noise @ mixing


def sets_of_targets(probability):
    """All sets of targets with their probabilities."""
    for targets in product([0.0, 1.0], repeat=D):
        targets = np.array(targets)
        yield targets, np.where(targets, probability, 1.0 - probability).prod()


def densities_of_scaled(model, x, latent):
    """Densities (n_variables, 2) of each equation if it is no target, and if its noise is scaled.

    The log factor is integrated out by quadrature.
    """
    residual = x - x @ model.coef - model.intercept
    result = np.empty((D, 2))
    for j, r in enumerate(residual):
        noise, spread = model.noise_variance[j], np.sqrt(latent.variance[j])

        def density(t, r=r, noise=noise, spread=spread, mean=latent.mean[j]):
            variance = noise * np.exp(2.0 * (mean + spread * t))
            return np.exp(-0.5 * (r * r / variance + t * t)) / np.sqrt(2.0 * np.pi * variance)

        result[j, 0] = norm.pdf(r, scale=np.sqrt(noise))
        result[j, 1] = quad(density, -8.0, 8.0, epsrel=1e-8)[0] / np.sqrt(2.0 * np.pi)
    return result


@pytest.mark.parametrize("kind", KINDS)
class TestMoments:
    @pytest.mark.parametrize("seed", range(3))
    def test_mixture_over_sets_of_targets(self, kind, seed):
        model, latent = random_model(kind, seed), random_latent(3, seed)
        mean, covariance = model.moments(latent)
        np.testing.assert_allclose(model.mean(latent), mean, rtol=1e-12, atol=1e-12)
        for k in range(3):
            first, second = np.zeros(D), np.zeros((D, D))
            for targets, weight in sets_of_targets(latent.probability[k]):
                m, C = moments_of_targets(model, targets, latent.mean[k], latent.variance[k])
                first += weight * m
                second += weight * (C + np.outer(m, m))
            np.testing.assert_allclose(mean[k], first)
            np.testing.assert_allclose(covariance[k], second - np.outer(first, first), atol=1e-12)

    @pytest.mark.parametrize("certain", [True, False])
    def test_draws(self, kind, certain):
        n = 40_000
        model, latent = random_model(kind), random_latent(1, certain=certain)
        drawn = model.sample(latent.rows(np.zeros(n, dtype=int)), np.random.RandomState(0))
        mean, covariance = (a[0] for a in model.moments(latent))
        errors = drawn.std(axis=0) / np.sqrt(n)
        assert (np.abs(drawn.mean(axis=0) - mean) < 4 * errors + 1e-12).all()
        centred = drawn - mean
        products = centred[:, :, None] * centred[:, None, :]
        errors = products.std(axis=0) / np.sqrt(n)
        assert (np.abs(products.mean(axis=0) - covariance) < 4 * errors + 1e-12).all()

    def test_no_targets(self, kind):
        """What the parameters would be does not matter then."""
        model, latent = random_model(kind), random_latent(2)
        nothing = LatentInterventions(0.0 * latent.probability, latent.mean, latent.variance)
        mean, covariance = model.moments(nothing)
        m, C = moments_of_targets(model, np.zeros(D), 0.0, 0.0)
        np.testing.assert_allclose(mean, [m, m])
        np.testing.assert_allclose(covariance, [C, C], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
class TestDensity:
    def test_mixture_over_sets_of_targets(self, kind):
        model, latent = random_model(kind), random_latent(3)
        X = np.random.default_rng(0).normal(size=(3, D))
        found = model.log_density(X, latent, np.zeros(X.shape, dtype=bool))
        for i, x in enumerate(X):
            own, total = latent.rows(i), 0.0
            scaled = densities_of_scaled(model, x, own)
            for targets, weight in sets_of_targets(own.probability):
                if kind == "scale":
                    total += weight * scaled[np.arange(D), targets.astype(int)].prod()
                else:
                    moments = moments_of_targets(model, targets, own.mean, own.variance)
                    total += weight * multivariate_normal.pdf(x, *moments)
            np.testing.assert_allclose(found[i], np.log(total), rtol=0, atol=1e-4)

    @pytest.mark.parametrize("spread", [0.0, 1e-4, 100.0])
    def test_any_spread_of_parameters(self, kind, spread):
        """Certain targets whose parameters are almost known, or hardly."""
        model, latent = random_model(kind), random_latent(4, certain=True, spread=spread)
        X = np.random.default_rng(0).normal(size=(4, D))
        found = model.log_density(X, latent, np.zeros(X.shape, dtype=bool))
        for i, x in enumerate(X):
            if kind == "scale" and spread > 0:
                hit = latent.probability[i].astype(int)
                scaled = densities_of_scaled(model, x, latent.rows(i))
                expected = np.log(scaled[np.arange(D), hit]).sum()
            else:
                moments = moments_of_targets(model, *(a[i] for a in vars(latent).values()))
                expected = multivariate_normal.logpdf(x, *moments)
            np.testing.assert_allclose(found[i], expected, rtol=0, atol=2e-3)

    def test_cells_that_are_given(self, kind):
        """The density of one variable is that of all minus that of the others given it."""
        model, latent = random_model(kind), random_latent(3)
        X = np.random.default_rng(0).normal(size=(3, D))
        everything = model.log_density(X, latent, np.zeros(X.shape, dtype=bool))
        one_by_one = [model.log_density(X, latent, np.eye(D)[[j] * 3] == 0) for j in range(D)]
        np.testing.assert_allclose(np.sum(one_by_one, axis=0), everything)
        nothing = model.log_density(X, latent, np.ones(X.shape, dtype=bool))
        np.testing.assert_array_equal(nothing, 0.0)


class TestBestLinearPrediction:
    def data(self, seed=0, n=60):
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(3, D, D))
        X = np.where(rng.uniform(size=(n, D)) < 0.4, np.nan, rng.normal(size=(n, D)))
        return X, rng.normal(size=(3, D)), root @ root.swapaxes(1, 2), rng.integers(3, size=n)

    def test_conditional_normal_row_by_row(self):
        X, mean, covariance, context = self.data()
        found = best_linear_prediction(X, mean, covariance, context)
        for i, x in enumerate(X):
            m, S = mean[context[i]], covariance[context[i]]
            for j in range(D):
                known = [k for k in range(D) if k != j and np.isfinite(x[k])]
                weights = np.linalg.solve(S[np.ix_(known, known)], S[known, j])
                np.testing.assert_allclose(found[i, j], m[j] + weights @ (x - m)[known], rtol=1e-6)

    def test_variables_without_variance_tell_nothing(self):
        X, mean, covariance, context = self.data()
        covariance[:, 1] = covariance[:, :, 1] = 0.0
        found = best_linear_prediction(X, mean, covariance, context)
        others = [0, 2, 3]
        expected = best_linear_prediction(
            X[:, others], mean[:, others], covariance[:, others][:, :, others], context
        )
        np.testing.assert_allclose(found[:, others], expected)
        np.testing.assert_allclose(found[:, 1], mean[context, 1])

    def test_nothing_known(self):
        X, mean, covariance, context = self.data()
        found = best_linear_prediction(np.full_like(X, np.nan), mean, covariance, context)
        np.testing.assert_array_equal(found, mean[context])

    def test_copies(self):
        """Of two variables that are almost the same, one predicts the other."""
        covariance = np.array([[[1.0, 1.0], [1.0, 1.0 + 1e-8]]])
        X = np.array([[2.0, 2.0], [-1.0, np.nan], [np.nan, 3.0]])
        found = best_linear_prediction(X, np.zeros((1, 2)), covariance, np.zeros(3, dtype=int))
        expected = [[2.0, 2.0], [0.0, -1.0], [3.0, 0.0]]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_equations_are_put_together(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) @ np.triu(rng.normal(size=(3, 3)))
    contexts = summarise_contexts(X, np.repeat([0.0, 1.0, 2.0], 20)[:, None], separately=True)
    found = solve_by_order(
        contexts, kind, edge_log_odds=0.0, n_restarts=1, rng=np.random.RandomState(0)
    )
    model = linear_model(found, kind)
    for j, m in enumerate(found.mechanisms):
        np.testing.assert_array_equal(np.flatnonzero(model.coef[:, j]), np.sort(m.parents))
        np.testing.assert_array_equal(model.coef[m.parents, j], m.coef)
        assert (model.intercept[j], model.noise_variance[j]) == (m.intercept, m.noise_variance)
        assert (model.target_variance[j] > 0) == (kind == "do")
    place = np.argsort(model.order)
    parents, children = np.nonzero(model.coef)
    assert (place[parents] < place[children]).all()
