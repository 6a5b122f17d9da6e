"""Scores of posteriors, against enumeration and scikit-learn."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from skcausal.design._rewards import REWARDS, SCORES, off_diagonal
from skcausal.metrics import (
    edge_average_precision,
    edge_f1,
    edge_log_score,
    structural_hamming_distance,
)


def draw(n_systems=20, d=3, seed=0, dtype=torch.float64):
    """Probabilities, some of them equal, and graphs with at least one edge."""
    generator = torch.Generator().manual_seed(seed)
    off = ~torch.eye(d, dtype=torch.bool)
    p = torch.rand(n_systems, d, d, generator=generator, dtype=torch.float64)
    p[::2] = (p[::2] * 3).round() / 3
    adjacency = (torch.rand(n_systems, d, d, generator=generator) < 0.4) & off
    adjacency[:, 0, 1] = True
    return (p * off).to(dtype), adjacency


def expectation(p, value):
    """Expectation of a function of a graph with independent edges, by enumeration."""
    d = len(p)
    pairs = [(i, j) for i in range(d) for j in range(d) if i != j]
    total = 0.0
    for edges in itertools.product([False, True], repeat=len(pairs)):
        graph, probability = np.zeros((d, d), dtype=bool), 1.0
        for (i, j), edge in zip(pairs, edges):
            graph[i, j] = edge
            probability *= float(p[i, j] if edge else 1 - p[i, j])
        total += probability * value(graph)
    return total


def test_edges_and_distances_are_expectations_over_graphs():
    p, adjacency = draw()
    edges, shd = SCORES["edges"](p, adjacency), SCORES["shd"](p, adjacency)
    for k in range(6):
        truth = adjacency[k].numpy()
        right = expectation(p[k], lambda graph, truth=truth: (graph == truth).sum())
        wrong = expectation(
            p[k], lambda graph, truth=truth: structural_hamming_distance(truth, graph)
        )
        assert float(edges[k]) == pytest.approx(right, abs=1e-10)
        assert float(shd[k]) == pytest.approx(-wrong, abs=1e-10)


def test_expected_edges_average_over_a_truth_drawn_from_the_posterior():
    p, adjacency = draw()
    found = SCORES["expected_edges"](p, adjacency)
    for k in range(4):

        def score(graph, k=k):
            return float(SCORES["edges"](p[k : k + 1], torch.from_numpy(graph)[None]))

        assert float(found[k]) == pytest.approx(expectation(p[k], score), abs=1e-10)


@pytest.mark.parametrize("d", [2, 3, 6])
def test_other_scores_are_those_of_the_metrics(d):
    p, adjacency = draw(d=d)
    found = {name: score(p, adjacency) for name, score in SCORES.items()}
    for k in range(len(p)):
        truth, estimate = adjacency[k].numpy().astype(int), p[k].numpy()
        graph = (estimate > 0.5).astype(int)
        assert float(found["auprc"][k]) == pytest.approx(edge_average_precision(truth, estimate))
        off = ~np.eye(d, dtype=bool)
        assert float(found["auprc"][k]) == pytest.approx(
            average_precision_score(truth[off], estimate[off])
        )
        assert float(found["log_score"][k]) == pytest.approx(
            edge_log_score(truth, estimate, clip=1e-3)
        )
        assert float(found["f1"][k]) == pytest.approx(edge_f1(truth, graph, zero_division=0.0))


def test_a_certain_posterior_that_is_right_has_the_best_scores():
    adjacency = draw(d=4)[1]
    p = adjacency.double()
    best = {"edges": 16, "expected_edges": 16, "auprc": 1, "f1": 1, "shd": 0}
    for name, score in best.items():
        torch.testing.assert_close(SCORES[name](p, adjacency), torch.full_like(p[:, 0, 0], score))
    assert (SCORES["log_score"](p, adjacency) == np.log(1 - 1e-3)).all()


def test_a_reversed_edge_counts_once():
    adjacency = torch.tensor([[[False, True], [False, False]]])
    assert SCORES["shd"](adjacency.mT.double(), adjacency).tolist() == [-1.0]
    assert SCORES["edges"](adjacency.mT.double(), adjacency).tolist() == [2.0]


def test_graphs_without_edges_have_finite_scores():
    p = draw()[0]
    nothing = torch.zeros_like(p, dtype=torch.bool)
    for name, score in SCORES.items():
        assert score(p, nothing).isfinite().all(), name
        assert score(torch.zeros_like(p), nothing).isfinite().all(), name
    assert (SCORES["auprc"](p, nothing) == 0).all()


@pytest.mark.parametrize("name", SCORES)
def test_scores_keep_the_precision_and_do_not_depend_on_the_order_of_variables(name):
    p, adjacency = draw(d=5, dtype=torch.float32)
    score = SCORES[name](p, adjacency)
    assert score.shape == (len(p),)
    assert score.dtype == torch.float32
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = SCORES[name](p[:, order][..., order], adjacency[:, order][..., order])
    torch.testing.assert_close(permuted, score)


def test_rewards_are_scores():
    assert set(REWARDS) < set(SCORES)


def test_off_diagonal_entries_are_read_row_by_row():
    assert off_diagonal(torch.arange(9).reshape(3, 3)).tolist() == [1, 2, 3, 5, 6, 7]
