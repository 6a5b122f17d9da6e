"""Search over orders: gains of moves against refactorisation, and what is found."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import norm

from skcausal.perturbation._order_search import (
    insertion_gains,
    search_order,
    standardised_changes,
)

KINDS = ["means", "variances"]


def task(kind, seed, d=5, n_contexts=12):
    """Covariance inside contexts and changes of a linear system of which few mechanisms change."""
    rng = np.random.default_rng(seed)
    coef = np.triu(rng.uniform(0.5, 1.5, size=(d, d)) * rng.choice([-1, 1], size=(d, d)), 1)
    names = rng.permutation(d)
    mixing = np.linalg.inv(np.eye(d) - coef)
    noise = rng.uniform(0.5, 2.0, size=d)
    targets = rng.uniform(size=(n_contexts, d)) < 1.5 / d
    if kind == "means":
        changes = np.sqrt(noise) * targets * rng.normal(scale=3.0, size=targets.shape) @ mixing
    else:
        own = noise * np.where(targets, 8.0, 1.0)
        changes = np.einsum("ia,ki,ib->kab", mixing, own, mixing)
    covariance = mixing.T * noise @ mixing
    place = np.argsort(names)
    changes = changes[:, place] if kind == "means" else changes[:, place][:, :, place]
    return covariance[np.ix_(place, place)], changes, names


def score_of(kind):
    """Any function of residuals and variables will do; this one is sparse where they are."""

    def log_marginal(z, variables):
        if kind == "means":
            spike, slab = norm.logpdf(z, scale=0.2), norm.logpdf(z, scale=3.0)
        else:
            spike, slab = -50.0 * np.log(z) ** 2, -np.abs(np.log(z)) - 3.0
        weight = 0.1 * (1 + np.asarray(variables)) / 10.0
        return np.logaddexp(spike + np.log(1.0 - weight), slab + np.log(weight)).sum(axis=0)

    return log_marginal


def slow_residuals(covariance, changes, order):
    """Standardised changes of the variables in an order, each by a regression of its own."""
    result = []
    for place, j in enumerate(order):
        before = order[:place]
        S = covariance[np.ix_(before, before)]
        direction = np.zeros(len(covariance))
        direction[j] = 1.0
        direction[before] = -np.linalg.solve(S, covariance[before, j])
        variance = direction @ covariance @ direction
        if changes.ndim == 2:
            result.append(changes @ direction / np.sqrt(variance))
        else:
            result.append(np.einsum("i,kij,j->k", direction, changes, direction) / variance)
    return np.stack(result, axis=1)


def slow_score(kind, covariance, changes, order):
    """Score of an order."""
    z = slow_residuals(covariance, changes, np.asarray(order))
    return float(score_of(kind)(z, np.asarray(order)).sum())


@pytest.mark.parametrize("kind", KINDS)
class TestGains:
    @pytest.mark.parametrize("seed", range(3))
    def test_every_move_against_refactorisation(self, kind, seed):
        covariance, changes, _ = task(kind, seed)
        order = np.random.default_rng(seed).permutation(5)
        factor = np.linalg.cholesky(covariance[np.ix_(order, order)])
        inverse = np.linalg.inv(factor)
        if kind == "means":
            residuals = changes[:, order] @ inverse.T
            diagonal = residuals
        else:
            residuals = inverse @ changes[:, order][:, :, order] @ inverse.T
            diagonal = np.diagonal(residuals, axis1=1, axis2=2)
        scores = score_of(kind)(diagonal, order)
        present = slow_score(kind, covariance, changes, order)
        np.testing.assert_allclose(scores.sum(), present)
        for place in range(5):
            gains = insertion_gains(order, factor, residuals, scores, place, score_of(kind))
            for new in range(5):
                moved = np.insert(np.delete(order, place), new, order[place])
                expected = slow_score(kind, covariance, changes, moved) - present
                np.testing.assert_allclose(gains[new], expected, atol=1e-8 * abs(present))

    def test_residuals(self, kind):
        covariance, changes, _ = task(kind, 4)
        order = np.array([3, 1, 4, 0, 2])
        z = standardised_changes(covariance, changes, order)
        np.testing.assert_allclose(
            z[:, order], slow_residuals(covariance, changes, order), atol=1e-12
        )


@pytest.mark.parametrize("kind", KINDS)
class TestSearch:
    @pytest.mark.parametrize("seed", range(4))
    def test_score_rises_until_no_move_helps(self, kind, seed):
        covariance, changes, _ = task(kind, seed)
        start = np.random.default_rng(seed).permutation(5)
        order, score = search_order(covariance, changes, score_of(kind), start=start)
        assert sorted(order) == list(range(5))
        np.testing.assert_allclose(score, slow_score(kind, covariance, changes, order))
        assert score >= slow_score(kind, covariance, changes, start)
        for place, new in permutations(range(5), 2):
            moved = np.insert(np.delete(order, place), new, order[place])
            assert slow_score(kind, covariance, changes, moved) < score + 1e-5 * (1 + abs(score))

    def test_columns_in_another_order(self, kind):
        """With the start relabelled, and variables treated alike, the same order is found."""
        covariance, changes, _ = task(kind, 0)
        alike = score_of(kind)

        def log_marginal(z, variables):
            return alike(z, np.zeros(len(variables)))

        start, place = np.array([4, 2, 0, 1, 3]), np.array([1, 3, 0, 4, 2])
        order, score = search_order(covariance, changes, log_marginal, start=start)
        permuted = changes[:, place] if kind == "means" else changes[:, place][:, :, place]
        relabelled = np.argsort(place)[start]
        found, other_score = search_order(
            covariance[np.ix_(place, place)], permuted, log_marginal, start=relabelled
        )
        np.testing.assert_array_equal(place[found], order)
        np.testing.assert_allclose(other_score, score)

    def test_the_true_order_of_a_dense_graph_is_found(self, kind):
        covariance, changes, names = task(kind, 1, n_contexts=60)
        starts = [np.random.default_rng(s).permutation(5) for s in range(5)]
        found = [search_order(covariance, changes, score_of(kind), start=s) for s in starts]
        order, _ = max(found, key=lambda pair: pair[1])
        np.testing.assert_array_equal(order, names)

    def test_no_sweeps_no_moves(self, kind):
        covariance, changes, _ = task(kind, 0)
        start = np.array([4, 3, 2, 1, 0])
        order, score = search_order(covariance, changes, score_of(kind), start=start, n_sweeps=0)
        np.testing.assert_array_equal(order, start)
        np.testing.assert_allclose(score, slow_score(kind, covariance, changes, start))
