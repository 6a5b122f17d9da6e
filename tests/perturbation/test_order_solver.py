"""Order, edges and targets of linear systems, learned from contexts."""

from dataclasses import replace

import numpy as np
import pytest

from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._linear_mechanisms import adjacency_of
from skcausal.perturbation._order_solver import (
    KINDS,
    shrink_covariance,
    solve_by_order,
)

COEF = np.array([[0, 1.2, 0, 0.8], [0, 0, -1.0, 0], [0, 0, 0, 1.1], [0, 0, 0, 0]])
# One context for each variable and sign, the control first.
TARGETS = np.vstack([np.zeros((1, 4)), np.eye(4), np.eye(4)]) == 1


def screen(kind, seed=1, place=(0, 1, 2, 3), n_rows=25, n_controls=100):
    """Standardised contexts of a system of four variables whose columns stand in some order."""
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(9), [n_controls] + [n_rows] * 8)
    sign = np.where(context > 4, -1.0, 1.0)
    X = rng.normal(size=(len(context), 4))
    for j in range(4):
        hit = TARGETS[context, j]
        if kind == "scale":
            X[hit, j] *= 5.0
        own = 0.2 * X[:, j] + 4.0 * sign
        X[:, j] += X[:, :j] @ COEF[:j, j] + 4.0 * sign * (hit & (kind == "shift"))
        if kind == "do":
            X[hit, j] = own[hit]
    contexts = summarise_contexts(
        X[:, place], context[:, None].astype(float), separately=kind != "shift"
    )
    return contexts.standardised()[0]


def solve(contexts, kind, **options):
    """Learn with the settings that most tests share."""
    options = {"edge_log_odds": 0.0, "n_restarts": 3, "rng": np.random.RandomState(0)} | options
    return solve_by_order(contexts, kind, **options)


@pytest.mark.parametrize("kind", KINDS)
class TestSolve:
    @pytest.mark.parametrize("place", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=str)
    def test_graph_and_targets_are_found(self, kind, place):
        found = solve(screen(kind, place=place), kind)
        order = np.array(place)
        np.testing.assert_array_equal(
            adjacency_of(found.mechanisms), COEF[np.ix_(order, order)] != 0
        )
        assert ((found.target_probability > 0.5) == TARGETS[:, order]).all()
        rank = np.argsort(found.order)
        parents, children = np.nonzero(adjacency_of(found.mechanisms))
        assert (rank[parents] < rank[children]).all()
        odds = found.edge_log_odds
        assert (odds[parents, children] > 0).all()
        assert (np.isneginf(odds)).sum() == 16 - len(parents)

    def test_a_graph_that_is_known_is_kept(self, kind):
        """Even a wrong one; the likelihood of the true one is higher."""
        contexts = screen(kind)
        evidence = []
        for adjacency in (COEF != 0, (COEF != 0).T):
            found = solve(contexts, kind, adjacency=adjacency)
            np.testing.assert_array_equal(adjacency_of(found.mechanisms), adjacency)
            evidence.append(sum(m.log_evidence for m in found.mechanisms))
        assert evidence[0] > evidence[1] + 10.0

    def test_targets_that_are_known_are_kept(self, kind):
        wrong = np.roll(TARGETS, 1, axis=1)
        found = solve(screen(kind), kind, known_targets=wrong)
        np.testing.assert_allclose(found.target_probability, wrong, atol=1e-100)

    def test_odds_of_targets(self, kind):
        """If targets are all but excluded, none is found."""
        contexts = screen(kind, n_rows=3)
        few = solve(contexts, kind, target_log_odds=-1e4, adjacency=COEF != 0)
        assert few.target_probability.max() < 1e-6
        many = solve(contexts, kind, target_log_odds=20.0, adjacency=COEF != 0)
        assert many.target_probability[1:].min() > 0.9

    def test_odds_of_edges(self, kind):
        contexts = screen(kind)
        none = solve(contexts, kind, edge_log_odds=-1e5)
        assert not adjacency_of(none.mechanisms).any()
        complete = solve(contexts, kind, edge_log_odds=1e5)
        assert adjacency_of(complete.mechanisms).sum() == 6

    def test_controls_only(self, kind):
        """Nothing but conditional independences to learn from."""
        X = np.random.default_rng(0).normal(size=(300, 3)) @ [[1, 0, 2], [0, 1, 2], [0, 0, 1]]
        contexts = summarise_contexts(X, np.zeros((300, 1)), separately=True).standardised()[0]
        found = solve(contexts, kind)
        assert found.target_probability.max() < 1e-100
        expected = np.cov(X.T, ddof=0) / np.outer(X.std(axis=0), X.std(axis=0))
        coef = np.zeros((3, 3))
        for j, m in enumerate(found.mechanisms):
            coef[m.parents, j] = m.coef
        mixing = np.linalg.inv(np.eye(3) - coef)
        noise = [m.noise_variance for m in found.mechanisms]
        np.testing.assert_allclose(mixing.T * noise @ mixing, expected, atol=0.1)

    def test_more_variables_than_rows(self, kind):
        rng = np.random.default_rng(0)
        context = np.repeat([0.0, 1.0, 2.0], [4, 2, 2])[:, None]
        contexts = summarise_contexts(rng.normal(size=(8, 12)), context, separately=True)
        found = solve(contexts.standardised()[0], kind, n_restarts=1)
        assert max(len(m.parents) for m in found.mechanisms) <= 1
        assert np.isfinite(found.target_probability).all()
        assert min(m.noise_variance for m in found.mechanisms) > 0

    def test_copies_of_variables(self, kind):
        """One is the only parent of the other, to which no intervention is needed."""
        contexts = screen(kind)
        which = [0, 1, 2, 3, 3]
        doubled = replace(
            contexts,
            means=contexts.means[:, which],
            scatter=contexts.scatter[np.ix_(which, which)],
            scatters=None if kind == "shift" else contexts.scatters[:, which][:, :, which],
        )
        found = solve(doubled, kind)
        adjacency = adjacency_of(found.mechanisms)
        assert adjacency[3, 4] + adjacency[4, 3] == 1
        first = 3 if adjacency[3, 4] else 4
        np.testing.assert_array_equal(adjacency[:3, first], [1, 0, 1])
        assert adjacency[:, 7 - first].sum() == 1
        assert found.target_probability[:, 7 - first].max() < 0.5
        targets = found.target_probability[:, [0, 1, 2, first]] > 0.5
        np.testing.assert_array_equal(targets, TARGETS)

    def test_constant_variable(self, kind):
        """It has neither parents nor children, and is no target."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(60, 3))
        X[:, 1] = 5.0
        context = np.repeat([0.0, 1.0], [40, 20])[:, None]
        X[40:, 2] += 4.0
        contexts = summarise_contexts(X, context, separately=True).standardised()[0]
        found = solve(contexts, kind)
        adjacency = adjacency_of(found.mechanisms)
        assert not adjacency[1].any()
        assert not adjacency[:, 1].any()
        assert found.target_probability[1, 1] < 0.5

    @pytest.mark.parametrize("n_controls", [1, 3])
    def test_few_controls(self, kind, n_controls):
        """Everything may be a target in all other rows; still no equation fits perfectly."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n_controls + 40, 3))
        X[n_controls:] += 3.0
        context = np.repeat([0.0, 1.0, 2.0], [n_controls, 20, 20])[:, None]
        contexts = summarise_contexts(X, context, separately=True).standardised()[0]
        for known_targets in (None, np.tile([[False], [True], [True]], 3)):
            found = solve(contexts, kind, known_targets=known_targets)
            assert min(m.noise_variance for m in found.mechanisms) > 0.01

    def test_same_seed_same_result(self, kind):
        first, second = (solve(screen(kind), kind) for _ in range(2))
        np.testing.assert_array_equal(first.target_probability, second.target_probability)
        np.testing.assert_array_equal(first.order, second.order)


class TestShrinkage:
    def test_formula(self):
        """Equation 23 of Chen et al. with the trace and the Frobenius norm spelled out."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(10, 4)) * [1, 2, 3, 4]
        S = np.cov(X.T, ddof=0)
        norm, trace = np.trace(S @ S), np.trace(S)
        share = ((1 - 2 / 4) * norm + trace**2) / ((10 + 1 - 2 / 4) * (norm - trace**2 / 4))
        assert 0 < share < 1
        expected = (1 - share) * S + share * trace / 4 * np.eye(4)
        np.testing.assert_allclose(shrink_covariance(S, 10), expected)

    @pytest.mark.parametrize(
        ("covariance", "n_rows"),
        [
            (np.zeros((3, 3)), 10),
            (np.ones((3, 3)), 10**6),
            (np.ones((3, 3)), 1),
            (np.eye(3), 5),
            (np.diag([1.0, 0.0, 0.0]), 10**9),
        ],
        ids=["zero", "collinear", "one-row", "identity", "constants"],
    )
    def test_positive_definite(self, covariance, n_rows):
        shrunk = shrink_covariance(covariance, n_rows)
        assert np.linalg.eigvalsh(shrunk).min() > 1e-10
        np.testing.assert_allclose(np.trace(shrunk), np.trace(covariance) or 3.0)
