"""Mechanisms under do and scale interventions: exact marginals against rows and quadrature."""

from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._latent import LatentInterventions
from skcausal.perturbation._linear_mechanisms import fit_graph_of_order
from skcausal.perturbation._mechanism_change import (
    _LOG_FACTORS,
    ChangeLikelihood,
    log_factor_weights,
)
from skcausal.perturbation._spike_slab import SpikeSlab

PRIORS = {"do": SpikeSlab(-1.0, 4.0), "scale": SpikeSlab(-1.0, 0.4)}
COEF = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -0.8], [0.0, 0.0, 0.0]])
# Of the contexts, the control first.
TARGETS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])


def screen(kind, seed=0, n_rows=6, n_controls=25):
    """Rows of a chain of three variables, one target for each context but the control."""
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(5), [n_controls] + [n_rows] * 4)
    X = rng.normal(size=(len(context), 3))
    values = rng.choice([-3.0, 3.0], size=5)[context]
    for j in range(3):
        hit = TARGETS[context, j] == 1
        if kind == "scale":
            X[hit, j] *= 5.0
        own = 0.1 * X[:, j] + values
        X[:, j] += X[:, :j] @ COEF[:j, j]
        if kind == "do":
            X[hit, j] = own[hit]
    return X, context


def likelihood_of(X, context, kind, *, edge_log_odds=0.0, prior=None):
    """Judge of the equations of rows as they are."""
    contexts = summarise_contexts(X, context[:, None].astype(float), separately=True)
    return ChangeLikelihood(contexts, kind, prior or PRIORS[kind], edge_log_odds)


def log_density_of_rows(residual, values, hit, kind, noise, prior, target_variance):
    """Log density of the rows of one variable and context, by dense formulas or quadrature."""
    n = len(residual)
    if not hit:
        return norm.logpdf(residual, scale=np.sqrt(noise)).sum()
    if kind == "do":
        covariance = target_variance * np.eye(n) + prior.variance
        return multivariate_normal.logpdf(values, cov=covariance)

    def log_density(u):
        variance = noise * np.exp(2.0 * u)
        return -0.5 * (n * np.log(2.0 * np.pi * variance) + residual @ residual / variance)

    top = max(log_density(u) for u in np.linspace(-2.0, 3.0, 11))

    def integrand(u):
        normal = np.exp(-0.5 * u * u / prior.variance) / np.sqrt(2.0 * np.pi * prior.variance)
        return np.exp(log_density(u) - top) * normal

    return top + np.log(quad(integrand, -4.0, 4.0, epsabs=0, epsrel=1e-10, limit=200)[0])


@pytest.mark.parametrize("kind", ["do", "scale"])
class TestMarginal:
    def test_sum_over_all_sets_of_targets(self, kind):
        """Any weights, noise and variance of targets: here not the optimum."""
        rng = np.random.default_rng(0)
        X, context = screen(kind, n_rows=3, n_controls=4)
        prior = PRIORS[kind]
        likelihood = likelihood_of(X, context, kind)
        coef, intercept = np.triu(rng.normal(size=(3, 3)), 1), rng.normal(size=3)
        noise, target_variance = rng.uniform(0.5, 2.0, size=(2, 3))
        spike, slab, _ = zip(
            *(
                likelihood._log_terms(
                    j, np.arange(j), np.append(coef[:j, j], intercept[j]), noise[j], v
                )
                for j, v in enumerate(target_variance)
            )
        )
        found = np.logaddexp(spike, slab).sum(axis=0)
        residual = X - X @ coef - intercept
        for k in range(5):
            r, x, log_odds = residual[context == k], X[context == k], prior.log_odds
            joint = np.array(
                [
                    [
                        log_density_of_rows(r[:, j], x[:, j], hit, kind, noise[j], prior, v)
                        - (np.logaddexp(0.0, -log_odds if hit else log_odds) if k > 0 else 0.0)
                        for hit in (False, True)
                    ]
                    for j, v in enumerate(target_variance)
                ]
            )
            sets = list(product([0, 1], repeat=3)) if k > 0 else [(0, 0, 0)]
            logs = [joint[np.arange(3), targets].sum() for targets in sets]
            # But for the errors of measurement of which the likelihood is sure.
            np.testing.assert_allclose(found[k], np.logaddexp.reduce(logs), rtol=1e-7)

    def test_the_evidence_is_the_penalised_marginal(self, kind):
        X, context = screen(kind)
        likelihood = likelihood_of(X, context, kind)
        m = likelihood.fit(2, [0, 1])
        spread = likelihood.target_variance(2, m.target_probability) if kind == "do" else None
        coef = np.append(m.coef, m.intercept)
        spike, slab, _ = likelihood._log_terms(2, m.parents, coef, m.noise_variance, spread)
        expected = np.logaddexp(spike, slab).sum() - likelihood.penalty * len(m.parents)
        np.testing.assert_allclose(m.log_evidence, expected, rtol=1e-5)
        np.testing.assert_allclose(
            m.target_probability[1:], np.exp(slab - np.logaddexp(spike, slab))[1:], atol=1e-5
        )
        assert m.target_probability[0] < 1e-100

    @pytest.mark.parametrize("seed", range(3))
    def test_the_evidence_never_falls(self, kind, seed):
        X, context = screen(kind, seed)
        likelihood = likelihood_of(X, context, kind)
        evidence = [likelihood.fit(2, [0, 1], n_iter=n).log_evidence for n in range(1, 12)]
        # With "do", the variance of targets' values has a prior that the evidence leaves out.
        assert np.diff(evidence).min() > (-0.01 if kind == "do" else -1e-9)
        assert evidence[-1] > evidence[0]

    def test_targets_and_parents_are_found(self, kind):
        X, context = screen(kind, n_rows=40, n_controls=100)
        likelihood = likelihood_of(X, context, kind, prior=SpikeSlab(-2.0, PRIORS[kind].variance))
        mechanisms = fit_graph_of_order(likelihood, np.arange(3))
        assert [m.parents.tolist() for m in mechanisms] == [[], [0], [1]]
        found = np.stack([m.target_probability for m in mechanisms], axis=1)
        np.testing.assert_allclose(found, TARGETS, atol=0.3)
        np.testing.assert_allclose(mechanisms[2].coef, -0.8, atol=0.1)

    def test_known_targets(self, kind):
        """With certain targets, a "do" is a regression on the rows of all other contexts."""
        X, context = screen(kind)
        known = np.zeros((4, 3), dtype=bool)
        known[[1, 3], 1] = True
        prior = SpikeSlab(np.where(known, np.inf, -np.inf), 1.0)
        m = likelihood_of(X, context, kind, prior=prior).fit(1, [0], select=False, n_iter=200)
        np.testing.assert_allclose(m.target_probability[1:], known[:, 1], atol=1e-100)
        if kind == "do":
            rows = ~np.isin(context, [2, 4])
            design = np.column_stack([X[rows, 0], np.ones(rows.sum())])
            expected, squares = np.linalg.lstsq(design, X[rows, 1])[:2]
            np.testing.assert_allclose(np.append(m.coef, m.intercept), expected, rtol=1e-6)
            variance = (squares + 0.1) / (rows.sum() + 1.0)  # with one row of prior data
            np.testing.assert_allclose(m.noise_variance, variance, rtol=1e-6)
        else:
            np.testing.assert_allclose(m.coef, 1.0, atol=0.5)
            np.testing.assert_allclose(m.noise_variance, 1.0, atol=0.5)


class TestScale:
    def test_the_optimum_is_stationary(self):
        X, context = screen("scale")
        likelihood, start = likelihood_of(X, context, "scale"), None
        for _ in range(40):
            m = likelihood.fit(1, [0], start, select=False)
            start = m.target_probability

        def evidence(coef, variance):
            spike, slab, _ = likelihood._log_terms(1, m.parents, coef, variance, None)
            return np.logaddexp(spike, slab).sum()

        coef = np.append(m.coef, m.intercept)
        best = evidence(coef, m.noise_variance)
        for step in 0.03 * np.vstack([np.eye(2), -np.eye(2)]):
            assert evidence(coef + step, m.noise_variance) < best
        for factor in (0.95, 1.05):
            assert evidence(coef, m.noise_variance * factor) < best

    @pytest.mark.parametrize("mean", [0.0, 1.3])
    def test_grid_of_log_factors(self, mean):
        weights = np.exp(log_factor_weights([mean], [0.25]))[0]
        np.testing.assert_allclose(weights.sum(), 1.0)
        np.testing.assert_allclose(weights @ _LOG_FACTORS, mean, atol=1e-6)
        np.testing.assert_allclose(weights @ (_LOG_FACTORS - mean) ** 2, 0.25, atol=1e-6)


class TestMeasure:
    def fitted(self, kind, **settings):
        """Rows, a likelihood and fitted mechanisms."""
        X, context = screen(kind, **settings)
        likelihood = likelihood_of(X, context, kind)
        return X, context, likelihood, [likelihood.fit(j, np.arange(j)) for j in range(3)]

    @pytest.mark.parametrize(
        ("kind", "n_rows", "tolerance"), [("do", 3, 1e-6), ("scale", 60, 0.02)], ids=str
    )
    def test_posterior_by_the_rule_of_Bayes_on_rows(self, kind, n_rows, tolerance):
        """Exact for "do"; a normal approximation for "scale", which many rows make good."""
        rng = np.random.default_rng(1)
        X, context, likelihood, mechanisms = self.fitted(kind, n_rows=n_rows)
        measurement = likelihood.measure(mechanisms).without_control()
        variance = rng.uniform(0.2, 0.5, size=(4, 3))
        latent = LatentInterventions(rng.uniform(0.1, 0.9, size=(4, 3)), np.zeros((4, 3)), variance)
        found = latent.posterior(measurement)
        for k, j in product(range(4), range(3)):
            rows, m = context == k + 1, mechanisms[j]
            residual = X[rows, j] - X[np.ix_(rows, m.parents)] @ m.coef - m.intercept
            spread = likelihood.target_variance(j, m.target_probability)
            prior = SpikeSlab(0.0, variance[k, j])
            logs = [
                log_density_of_rows(
                    residual, X[rows, j], hit, kind, m.noise_variance, prior, spread
                )
                for hit in (False, True)
            ]
            p = latent.probability[k, j]
            odds = np.log(p / (1.0 - p)) + logs[1] - logs[0]
            # The odds say more than probabilities near 0 or 1.
            if abs(odds) < 12:
                found_odds = np.log(found[k, j] / (1.0 - found[k, j]))
                np.testing.assert_allclose(found_odds, odds, rtol=tolerance, atol=tolerance)
            else:
                assert round(found[k, j]) == (odds > 0)

    def test_values(self):
        X, context, likelihood, mechanisms = self.fitted("do")
        values = likelihood.measure(mechanisms).values
        for k in range(5):
            np.testing.assert_allclose(values[k], X[context == k].mean(axis=0))

        X, context, likelihood, mechanisms = self.fitted("scale")
        measurement = likelihood.measure(mechanisms)
        for k, (j, m) in product(range(5), enumerate(mechanisms)):
            rows = context == k
            residual = X[rows, j] - X[np.ix_(rows, m.parents)] @ m.coef - m.intercept
            factor = np.sqrt((residual**2).mean() / m.noise_variance)
            np.testing.assert_allclose(np.exp(measurement.values[k, j]), factor, rtol=1e-6)
            np.testing.assert_allclose(measurement.noise[k, j], 0.5 / rows.sum())

    def test_do_values_that_are_constant(self):
        X, context = screen("do")
        X[context == 2, 1] = 3.0
        likelihood = likelihood_of(X, context, "do")
        m = likelihood.fit(1, [0])
        assert m.target_probability[2] > 0.999
        measurement = likelihood.measure([m])
        assert all(np.isfinite(a).all() for a in vars(measurement).values())
        assert likelihood.target_variance(1, np.eye(5)[2]) > 0
