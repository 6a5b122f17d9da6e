"""Mechanisms under latent shifts: exact marginals, elimination of parents, reversals of edges."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from skcausal.graphs import topological_order
from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._latent import LatentInterventions
from skcausal.perturbation._linear_mechanisms import (
    Mechanism,
    ShiftLikelihood,
    adjacency_of,
    correlation_of,
    eliminate_backwards,
    fit_graph_of_order,
    odds_of_contexts,
    reverse_edges,
)
from skcausal.perturbation._spike_slab import SpikeSlab

PRIOR = SpikeSlab(-1.0, 6.0)


def screen(seed, d=4, n_contexts=5, n_rows=8, n_controls=20, density=0.6):
    """Rows of a random linear system whose contexts shift one variable each, and its weights."""
    rng = np.random.default_rng(seed)
    coef = np.triu(rng.normal(size=(d, d)) * (rng.uniform(size=(d, d)) < density), 1)
    context = np.repeat(np.arange(n_contexts + 1), [n_controls] + [n_rows] * n_contexts)
    noise = rng.normal(size=(len(context), d))
    for k in range(1, n_contexts + 1):
        noise[context == k, rng.integers(d)] += rng.choice([-3.0, 3.0])
    return noise @ np.linalg.inv(np.eye(d) - coef), context, coef


def likelihood_of(X, context, *, edge_log_odds=0.0, prior=PRIOR):
    """Judge of the equations of rows as they are."""
    contexts = summarise_contexts(X, context[:, None].astype(float))
    return ShiftLikelihood(contexts, prior, edge_log_odds)


def weights_of(mechanisms):
    """Weights and intercepts of all equations."""
    coef = np.zeros((len(mechanisms), len(mechanisms)))
    for j, m in enumerate(mechanisms):
        coef[m.parents, j] = m.coef
    return coef, np.array([m.intercept for m in mechanisms])


def log_density_by_enumeration(X, mechanisms, log_odds, shift_mean, shift_variance):
    """Log density of the rows of a context, and probabilities of targets, over all 2^d sets.

    Shifts are in units of the noise's deviation. All rows together are one normal vector.
    """
    n, d = X.shape
    coef, intercept = weights_of(mechanisms)
    noise = np.array([m.noise_variance for m in mechanisms])
    residual = X - X @ coef - intercept  # of unit Jacobian
    logs, sets = [], [np.array(s) for s in product([0.0, 1.0], repeat=d)]
    for targets in sets:
        covariance = np.kron(np.diag(noise), np.eye(n))
        covariance += np.kron(np.diag(targets * noise * shift_variance), np.ones((n, n)))
        mean = np.repeat(targets * np.sqrt(noise) * shift_mean, n)
        density = multivariate_normal.logpdf(residual.T.ravel(), mean, covariance)
        logs.append(density - np.logaddexp(0.0, -log_odds * (2 * targets - 1)).sum())
    total = np.logaddexp.reduce(logs)
    return total, np.exp(logs - total) @ np.array(sets)


class TestMarginal:
    @pytest.mark.parametrize("d", [2, 4, 7])
    def test_sum_over_all_sets_of_targets(self, d):
        X, context, _ = screen(d, d=d, n_contexts=2, n_rows=2, n_controls=3 * d)
        likelihood = likelihood_of(X, context)
        mechanisms = [likelihood.fit(j, np.arange(j)) for j in range(d)]
        n_parents = sum(len(m.parents) for m in mechanisms)
        found = sum(m.log_evidence for m in mechanisms) + likelihood.penalty * n_parents
        found -= 0.5 * d * np.log(np.bincount(context)).sum()  # left out of the evidence

        log_odds = np.full(d, PRIOR.log_odds)
        expected = norm.logpdf(
            X[context == 0] - X[context == 0] @ weights_of(mechanisms)[0],
            weights_of(mechanisms)[1],
            np.sqrt([m.noise_variance for m in mechanisms]),
        ).sum()
        probability = np.stack([m.target_probability for m in mechanisms], axis=1)
        assert probability[0].max() < 1e-100
        for k in (1, 2):
            total, hit = log_density_by_enumeration(
                X[context == k], mechanisms, log_odds, np.zeros(d), np.full(d, PRIOR.variance)
            )
            expected += total
            np.testing.assert_allclose(probability[k], hit, rtol=1e-8)
        np.testing.assert_allclose(found, expected, rtol=1e-8)

    def test_prior_of_its_own_for_each_context(self):
        """Measured shifts, and Bayes' rule under any normal prior, against enumeration."""
        rng = np.random.default_rng(0)
        X, context, _ = screen(0, n_contexts=3, n_rows=3)
        likelihood = likelihood_of(X, context)
        mechanisms = [likelihood.fit(j, np.arange(j)) for j in range(4)]
        latent = LatentInterventions(
            rng.uniform(0.1, 0.9, size=(3, 4)),
            rng.normal(size=(3, 4)),
            rng.uniform(0.1, 4.0, size=(3, 4)),
        )
        found = latent.posterior(likelihood.measure(mechanisms).without_control())
        for k in range(3):
            p = latent.probability[k]
            _, hit = log_density_by_enumeration(
                X[context == k + 1],
                mechanisms,
                np.log(p / (1.0 - p)),
                latent.mean[k],
                latent.variance[k],
            )
            np.testing.assert_allclose(found[k], hit, rtol=1e-8)

    def test_expected_shift_given_the_rows(self):
        X, context, _ = screen(1)
        likelihood = likelihood_of(X, context)
        mechanisms = [likelihood.fit(j, np.arange(j)) for j in range(4)]
        latent = LatentInterventions(np.full((5, 4), 0.5), np.full((5, 4), 0.7), np.ones((5, 4)))
        found = latent.posterior_mean(likelihood.measure(mechanisms).without_control())
        coef, intercept = weights_of(mechanisms)
        deviation = np.sqrt([m.noise_variance for m in mechanisms])
        residual = (X - X @ coef - intercept) / deviation
        n = 8  # a normal mean with a normal prior of mean 0.7 and variance 1
        expected = [(residual[context == k].sum(axis=0) + 0.7) / (n + 1.0) for k in range(1, 6)]
        np.testing.assert_allclose(found, expected)


class TestExpectationMaximisation:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("select", [True, False])
    def test_the_evidence_never_falls(self, seed, select):
        X, context, _ = screen(seed)
        likelihood = likelihood_of(X, context)
        evidence = [
            likelihood.fit(3, [0, 1, 2], select=select, n_iter=n).log_evidence for n in range(1, 12)
        ]
        assert np.diff(evidence).min() > -1e-9
        assert evidence[-1] > evidence[0]

    def test_the_optimum_is_stationary(self):
        """No small change of a coefficient or of the variance raises the marginal likelihood."""
        X, context, _ = screen(3, density=1.0)
        likelihood = likelihood_of(X, context)
        start = None
        for _ in range(40):  # past the tolerance of a single call
            mechanism = likelihood.fit(3, [0, 1, 2], start, select=False)
            start = mechanism.target_probability

        def evidence(coef, variance):
            residuals = likelihood.means[:, 3] - likelihood.means[:, [0, 1, 2, 4]] @ coef
            terms = likelihood._log_terms(3, residuals, variance)
            parents = mechanism.parents
            return likelihood._log_evidence(3, parents, coef, variance, np.logaddexp(*terms))

        coef = np.append(mechanism.coef, mechanism.intercept)
        best = evidence(coef, mechanism.noise_variance)
        np.testing.assert_allclose(best, mechanism.log_evidence)
        for step in 1e-3 * np.vstack([np.eye(4), -np.eye(4)]):
            assert evidence(coef + step, mechanism.noise_variance) < best
        for factor in (0.999, 1.001):
            assert evidence(coef, mechanism.noise_variance * factor) < best

    def test_targets_are_found(self):
        """A shift of the parent is none of the child; that of the child is."""
        rng = np.random.default_rng(0)
        context = np.repeat([0, 1, 2], [50, 20, 20])
        X = rng.normal(size=(90, 2))
        X[context == 1, 0] += 4.0
        X[context == 2, 1] += 4.0
        X[:, 1] += X[:, 0]
        likelihood = likelihood_of(X, context, prior=SpikeSlab(-2.0, 10.0))
        mechanisms = fit_graph_of_order(likelihood, np.array([0, 1]))
        found = np.stack([m.target_probability for m in mechanisms], axis=1)
        np.testing.assert_allclose(found, [[0, 0], [1, 0], [0, 1]], atol=0.1)
        np.testing.assert_allclose(mechanisms[1].coef, 1.0, atol=0.2)

    def test_known_targets(self):
        """With certain targets it is weighted regression; the odds of others stay zero."""
        X, context, _ = screen(4)
        known = np.zeros((5, 4), dtype=bool)
        known[1, 2] = known[3, 2] = True
        prior = SpikeSlab(np.where(known, np.inf, -np.inf), 1e12)
        mechanism = likelihood_of(X, context, prior=prior).fit(2, [0, 1], select=False)
        np.testing.assert_allclose(mechanism.target_probability[1:], known[:, 2], atol=1e-100)
        # A flat prior of shifts is an indicator variable for each of them.
        dummies = [(context == k).astype(float) for k in (2, 4)]
        design = np.column_stack([X[:, [0, 1]], np.ones(len(X)), *dummies])
        expected = np.linalg.lstsq(design, X[:, 2])[0]
        np.testing.assert_allclose(mechanism.coef, expected[:2], rtol=1e-6)
        np.testing.assert_allclose(mechanism.intercept, expected[2], rtol=1e-6, atol=1e-8)


class TestElimination:
    @pytest.mark.parametrize("penalty", [-np.inf, -1.0, 2.0, 1e9])
    def test_one_parent_after_the_other(self, penalty):
        rng = np.random.default_rng(0)
        Z = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4))
        y = Z @ [1.0, 0.0, 0.2, 0.0] + rng.normal(size=30) + 3.0
        design = np.column_stack([Z, np.ones(30), y])
        kept, coef, variance, gains = eliminate_backwards(design.T @ design, 30.0, penalty)

        def fit(parents):
            A = np.column_stack([Z[:, parents], np.ones(30)])
            solution = np.linalg.lstsq(A, y)[0]
            return solution, ((y - A @ solution) ** 2).mean()

        left = [0, 1, 2, 3]
        while True:
            solution, mean_square = fit(left)
            without = [fit([p for p in left if p != q])[1] for q in left]
            expected = 15.0 * np.log(np.array(without) / mean_square)
            if not left or expected.min() > penalty:
                break
            del left[int(expected.argmin())]
        assert kept.tolist() == left
        np.testing.assert_allclose(coef, solution, atol=1e-6)
        np.testing.assert_allclose(variance, mean_square, rtol=1e-6)
        np.testing.assert_allclose(gains, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("select", [True, False])
    def test_copies_and_sums_of_parents(self, select):
        """Predictions do not suffer, and a parent that is redundant is dropped."""
        rng = np.random.default_rng(1)
        Z = rng.normal(size=(40, 2))
        Z = np.column_stack([Z, Z[:, 0], Z.sum(axis=1)])
        y = Z[:, 0] - Z[:, 1] + 0.5 * rng.normal(size=40)
        design = np.column_stack([Z, np.ones(40), y])
        penalty = 2.0 if select else -np.inf
        kept, coef, variance, _ = eliminate_backwards(design.T @ design, 40.0, penalty)
        A = np.column_stack([Z[:, :2], np.ones(40)])
        expected = A @ np.linalg.lstsq(A, y)[0]
        found = Z[:, kept] @ coef[:-1] + coef[-1]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(variance, ((y - expected) ** 2).mean(), rtol=1e-5)
        assert len(kept) == (2 if select else 4)

    def test_perfect_fit(self):
        """The variance stays positive, and constants are no parents."""
        Z = np.random.default_rng(2).normal(size=(20, 2)) * [1.0, 0.0]
        design = np.column_stack([Z, np.ones(20), 2.0 * Z[:, 0] + 1.0])
        kept, coef, variance, gains = eliminate_backwards(design.T @ design, 20.0, 2.0)
        assert kept.tolist() == [0]
        np.testing.assert_allclose(coef, [2.0, 1.0], rtol=1e-6)
        assert 0 < variance < 1e-6
        assert np.isfinite(gains).all()


class TestGraph:
    def test_parents_come_before(self):
        X, context, coef = screen(5, density=1.0, n_controls=200)
        likelihood = likelihood_of(X, context)
        mechanisms = fit_graph_of_order(likelihood, np.arange(4))
        adjacency = adjacency_of(mechanisms)
        assert adjacency.dtype == np.int8
        assert not np.tril(adjacency).any()
        strong = np.abs(coef) > 0.5
        assert adjacency[strong].all()
        for j, m in enumerate(mechanisms):
            np.testing.assert_allclose(m.coef, coef[m.parents, j], atol=0.3)

    def test_candidates_that_correlate_most(self):
        X, context, _ = screen(5, density=1.0)
        likelihood = likelihood_of(X, context, edge_log_odds=50.0)  # keeps all
        mechanisms = fit_graph_of_order(likelihood, np.array([2, 0, 3, 1]), n_candidates=2)
        within = X - np.stack([X[context == k].mean(axis=0) for k in context])
        correlation = np.abs(np.corrcoef(within.T))
        best = max(combinations([2, 0, 3], 2), key=lambda pair: correlation[1, list(pair)].sum())
        assert set(mechanisms[1].parents) == set(best)
        assert set(mechanisms[3].parents) == {0, 2}

    @pytest.mark.parametrize("seed", range(6))
    def test_reversals_raise_the_evidence_of_an_acyclic_graph(self, seed):
        X, context, _ = screen(seed, d=5)
        likelihood = likelihood_of(X, context)
        order = np.random.default_rng(seed).permutation(5)
        before = fit_graph_of_order(likelihood, order)
        after = reverse_edges(likelihood, before)
        topological_order(adjacency_of(after))  # raises for a cycle
        totals = [sum(m.log_evidence for m in graph) for graph in (before, after)]
        assert totals[1] >= totals[0]
        if (adjacency_of(before) == adjacency_of(after)).all():
            assert after == before
        else:
            assert totals[1] > totals[0]

    def test_a_collider_needs_no_shifts(self):
        """From an order that is wrong, reversals find the graph that independence reveals."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(2000, 3))
        X[:, 2] = X[:, 0] + X[:, 1] + 0.5 * X[:, 2]
        likelihood = likelihood_of(X, np.zeros(2000, dtype=int))
        mechanisms = fit_graph_of_order(likelihood, np.array([0, 2, 1]))
        assert adjacency_of(mechanisms).sum() == 3
        found = adjacency_of(reverse_edges(likelihood, mechanisms))
        np.testing.assert_array_equal(found, [[0, 0, 1], [0, 0, 1], [0, 0, 0]])

    def test_no_reversal_around_a_detour(self):
        """0 -> 1 -> 2 and 0 -> 2: the last edge cannot be reversed, whatever it would gain."""

        class Judge:
            def fit(self, j, candidates, start):
                asked.append((j, sorted(candidates)))
                return mechanism(candidates, 100.0 if j == 2 and 0 not in candidates else -100.0)

        def mechanism(parents, evidence):
            parents = np.array(parents, dtype=int)
            zeros = np.zeros(len(parents))
            return Mechanism(parents, zeros, 0.0, 1.0, evidence, zeros, np.zeros(1))

        asked = []
        graph = [mechanism([], 0.0), mechanism([0], 0.0), mechanism([0, 1], 0.0)]
        after = reverse_edges(Judge(), graph, n_sweeps=1)
        # Of 0 -> 1 and 1 -> 2 both ends are asked; of 0 -> 2 none.
        assert asked == [(0, [1]), (1, []), (1, [0, 2]), (2, [0])]
        assert after == graph


def test_correlations_of_constants():
    scatter = np.array([[4.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 9.0]])
    expected = [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 1.0]]
    np.testing.assert_allclose(correlation_of(scatter), expected)


def test_controls_have_no_targets():
    expected = [[-np.inf, -np.inf], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_array_equal(odds_of_contexts(0.5, 3, 2), expected)
