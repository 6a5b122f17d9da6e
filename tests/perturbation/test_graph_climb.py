"""Climbing from graph to graph, and what the climb with learned priors finds."""

import numpy as np
import pytest

from skcausal.graphs import is_dag
from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._graph_climb import (
    add_edges,
    climb_graphs,
    edge_log_odds_of,
    turn_edges,
)
from skcausal.perturbation._linear_mechanisms import adjacency_of
from skcausal.perturbation._nonlinear_mechanisms import NonlinearLikelihood
from skcausal.perturbation._nonlinear_solver import solve_nonlinear
from skcausal.perturbation._order_solver import solve_by_order
from skcausal.perturbation._spike_slab import SpikeSlab

TRUE = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=np.int8)


def screen(seed, n_contexts=16, n_rows=12, n_controls=100):
    """Rows of a nonlinear diamond whose contexts shift one variable each, and the targets."""
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(n_contexts + 1), [n_controls] + [n_rows] * n_contexts)
    shift = np.zeros((n_contexts + 1, 4))
    for k in range(1, n_contexts + 1):
        shift[k, k % 4] = rng.choice([-4.0, 4.0])
    E = 0.5 * (rng.normal(size=(len(context), 4)) + shift[context])
    x0 = 2.0 * E[:, 0]
    x1 = np.sin(1.5 * x0) + E[:, 1]
    x2 = np.abs(x0) + E[:, 2]
    x3 = x1 * x2 + E[:, 3]
    X = np.column_stack([x0, x1, x2, x3])
    contexts, centre, scale = summarise_contexts(X, context[:, None].astype(float)).standardised()
    return (X - centre) / scale, contexts, shift != 0


def likelihood_of(X, contexts, seed=0):
    prior = SpikeSlab(-1.0, 10.0)
    rng = np.random.RandomState(seed)
    return NonlinearLikelihood(X, contexts, prior, -0.5, rng=rng, n_features=20)


def equations(likelihood, adjacency):
    return [likelihood.fit(j, np.flatnonzero(adjacency[:, j]), select=False) for j in range(4)]


def evidence(mechanisms):
    return sum(m.log_evidence for m in mechanisms)


@pytest.mark.parametrize("start", [np.zeros((4, 4)), TRUE.T, np.tri(4, k=-1)])
def test_the_climb_ends_where_no_single_edge_helps(start):
    X, contexts, _ = screen(0)
    likelihood = likelihood_of(X, contexts)
    before = equations(likelihood, start)
    found = climb_graphs(likelihood, before)
    assert evidence(found) > evidence(before)
    adjacency = adjacency_of(found)
    for i in range(4):
        for j in range(4):
            changed = adjacency.copy()
            if adjacency[i, j]:
                changed[i, j] = 0
                others = [changed]
                turned = changed.copy()
                turned[j, i] = 1
                others.append(turned)
            else:
                changed[i, j] = 1
                others = [changed]
            for other in others:
                if i != j and is_dag(other):
                    assert evidence(equations(likelihood, other)) <= evidence(found) + 0.05


def test_the_climb_from_linear_equations_finds_the_graph():
    X, contexts, targets = screen(1)
    linear = solve_by_order(contexts, "shift", edge_log_odds=-0.5, rng=np.random.RandomState(0))
    assert (adjacency_of(linear.mechanisms) != TRUE).any()
    found = solve_nonlinear(
        X,
        contexts,
        linear.mechanisms,
        linear.likelihood.prior,
        edge_log_odds=-0.5,
        rng=np.random.RandomState(0),
        n_features=20,
    )
    np.testing.assert_array_equal(adjacency_of(found.mechanisms), TRUE)
    np.testing.assert_array_equal(found.target_probability > 0.5, targets)
    np.testing.assert_array_equal(found.edge_log_odds > 0, TRUE)
    position = np.argsort(found.order)
    assert all(position[i] < position[j] for i, j in zip(*np.nonzero(TRUE)))
    # One variable of four is a target, by four deviations of the noise.
    assert 1 / (1 + np.exp(-found.likelihood.prior.log_odds)) == pytest.approx(0.25, abs=0.05)
    assert found.likelihood.prior.variance == pytest.approx(16.0, rel=0.4)


def test_a_known_graph_is_kept():
    X, contexts, targets = screen(2)
    start = equations(likelihood_of(X, contexts), TRUE)
    known = np.where(targets[1:], np.inf, -np.inf)
    found = solve_nonlinear(
        X,
        contexts,
        start,
        SpikeSlab(known, 10.0),
        edge_log_odds=0.0,
        learn_odds=False,
        adjacency=TRUE,
        rng=np.random.RandomState(0),
        n_features=20,
    )
    np.testing.assert_array_equal(adjacency_of(found.mechanisms), TRUE)
    np.testing.assert_array_equal(found.edge_log_odds, np.where(TRUE, np.inf, -np.inf))
    # Known targets are certain.
    np.testing.assert_array_equal(found.target_probability, targets)
    assert found.likelihood.prior.variance == pytest.approx(16.0, rel=0.4)


def test_controls_alone_will_do():
    X, contexts, _ = screen(3, n_contexts=0, n_controls=300)
    linear = solve_by_order(contexts, "shift", edge_log_odds=-0.5, rng=np.random.RandomState(0))
    found = solve_nonlinear(
        X,
        contexts,
        linear.mechanisms,
        linear.likelihood.prior,
        edge_log_odds=-0.5,
        rng=np.random.RandomState(0),
        n_features=20,
    )
    assert is_dag(adjacency_of(found.mechanisms))
    np.testing.assert_array_equal(found.target_probability, np.zeros((1, 4)))


def test_single_moves():
    X, contexts, _ = screen(4)
    likelihood = likelihood_of(X, contexts)
    missing = TRUE.copy()
    missing[2, 3] = 0
    added = adjacency_of(add_edges(likelihood, equations(likelihood, missing), 5))
    assert added[2, 3] == 1
    wrong = TRUE.copy()
    wrong[0, 2], wrong[2, 0] = 0, 1
    turned = adjacency_of(turn_edges(likelihood, equations(likelihood, wrong)))
    assert (turned[0, 2], turned[2, 0]) == (1, 0)
    # Another path leads from 0 to 3: the edge between them cannot be turned.
    chain = np.zeros((4, 4))
    chain[0, 1] = chain[1, 3] = chain[0, 3] = 1
    assert is_dag(adjacency_of(turn_edges(likelihood, equations(likelihood, chain))))


def test_log_odds_are_differences_of_evidence():
    X, contexts, _ = screen(5)
    likelihood = likelihood_of(X, contexts)
    mechanisms = equations(likelihood, TRUE)
    log_odds = edge_log_odds_of(likelihood, mechanisms)
    np.testing.assert_array_equal(
        np.isfinite(log_odds), [[0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1], [0] * 4]
    )
    for i, j in [(0, 3), (1, 2), (1, 3)]:
        with_it, without = TRUE[:, j].copy(), TRUE[:, j].copy()
        with_it[i], without[i] = 1, 0
        more, less = (
            likelihood.evaluate(j, np.flatnonzero(parents)).log_evidence
            for parents in (with_it, without)
        )
        np.testing.assert_allclose(log_odds[i, j], more - less)
