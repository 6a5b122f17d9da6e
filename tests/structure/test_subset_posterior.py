"""Sums over orders and graphs against enumeration of all of them."""

import itertools
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from skcausal.graphs import is_dag
from skcausal.structure._subset_posterior import subset_posterior, subset_tables


def random_scores(seed, d, *, spread=2.0, n_tasks=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(spread * rng.normal(size=(n_tasks, d, 2 ** (d - 1))))


def members_of(s, j, d):
    """Parents of j that subset s codes."""
    others = [i for i in range(d) if i != j]
    return [i for b, i in enumerate(others) if s >> b & 1]


def pairs_of_order_and_graph(d):
    """Every order with every choice (d,) of parent sets among the variables before."""
    for order in itertools.permutations(range(d)):
        before = {j: set(order[:k]) for k, j in enumerate(order)}
        allowed = [
            [s for s in range(2 ** (d - 1)) if before[j].issuperset(members_of(s, j, d))]
            for j in range(d)
        ]
        yield from itertools.product(*allowed)


def enumerated(scores):
    """Evidence, log-probabilities of parent sets, and of edges, of one task."""
    d = len(scores)
    choices = np.array(list(pairs_of_order_and_graph(d)))
    log_weight = scores[np.arange(d), choices].sum(axis=1)
    n_orders = len(list(itertools.permutations(range(d))))
    total = logsumexp(log_weight)
    parent_sets, edges = np.empty(scores.shape), np.full((d, d), -np.inf)
    for j, s in itertools.product(range(d), range(scores.shape[1])):
        parent_sets[j, s] = logsumexp(log_weight[choices[:, j] == s]) - total
        for i in members_of(s, j, d):
            edges[i, j] = np.logaddexp(edges[i, j], parent_sets[j, s])
    return SimpleNamespace(
        log_evidence=total - np.log(n_orders),
        log_parent_sets=parent_sets,
        log_edges=edges,
        choices=choices,
        weights=np.exp(log_weight - total),
    )


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_enumeration(d, seed):
    scores = random_scores(seed, d)
    posterior, expected = subset_posterior(scores), enumerated(scores[0].numpy())
    found = posterior.edge_probabilities[0]
    np.testing.assert_allclose(found, np.exp(expected.log_edges), rtol=0, atol=1e-10)
    np.testing.assert_allclose(posterior.log_parent_sets[0], expected.log_parent_sets, atol=1e-10)
    assert float(posterior.log_evidence) == pytest.approx(expected.log_evidence, abs=1e-10)


@pytest.mark.parametrize("d", [2, 3, 4])
def test_scores_that_are_far_apart_do_not_underflow(d):
    scores = random_scores(2, d, spread=3000.0)
    posterior, expected = subset_posterior(scores), enumerated(scores[0].numpy())
    assert expected.log_parent_sets.min() < -3000
    np.testing.assert_allclose(
        posterior.log_parent_sets[0], expected.log_parent_sets, rtol=1e-12, atol=1e-8
    )
    np.testing.assert_allclose(
        posterior.edge_probabilities[0], np.exp(expected.log_edges), rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(posterior.log_evidence[0], expected.log_evidence, rtol=1e-12)


def test_equal_scores_give_the_prior_of_random_orders():
    """A pair is joined in one of two directions in each of the orders, half of the times."""
    posterior = subset_posterior(torch.zeros(1, 3, 4, dtype=torch.float64))
    expected = 0.25 * (1 - np.eye(3))
    np.testing.assert_allclose(posterior.edge_probabilities[0], expected, atol=1e-12)


def test_a_constant_added_to_a_variables_scores_changes_the_evidence_only():
    scores = random_scores(3, 4)
    shifted = scores + torch.tensor([0.0, 500.0, -20.0, 3.0])[:, None]
    first, second = subset_posterior(scores), subset_posterior(shifted)
    torch.testing.assert_close(second.log_parent_sets, first.log_parent_sets, rtol=0, atol=1e-9)
    torch.testing.assert_close(second.log_evidence, first.log_evidence + 483.0)


@pytest.mark.parametrize("d", [1, 3, 5, 8])
def test_probabilities_of_parent_sets_sum_to_one_and_edges_are_probabilities(d):
    posterior = subset_posterior(random_scores(4, d, spread=30.0))
    total = posterior.log_parent_sets.logsumexp(dim=-1)
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-9)
    edges = posterior.edge_probabilities[0]
    assert ((edges >= 0) & (edges <= 1)).all()
    assert not edges.diagonal().any()
    assert ((edges + edges.T) <= 1 + 1e-9).all()


def test_batches_equal_single_tasks():
    scores = random_scores(5, 4, n_tasks=5)
    together = subset_posterior(scores)
    for k in range(5):
        alone = subset_posterior(scores[k : k + 1])
        for name in ("log_evidence", "log_parent_sets", "edge_probabilities"):
            expected = getattr(alone, name)[0]
            torch.testing.assert_close(getattr(together, name)[k], expected, rtol=0, atol=1e-12)


def test_all_of_it_can_be_moved_to_the_cpu():
    posterior = subset_posterior(random_scores(13, 3))
    moved = posterior.cpu()
    for field in fields(posterior):
        assert torch.equal(getattr(moved, field.name), getattr(posterior, field.name))


class TestSample:
    def test_graphs_are_acyclic_and_of_the_documented_type(self):
        posterior = subset_posterior(random_scores(6, 5, n_tasks=2))
        graphs = posterior.sample(100, torch.Generator().manual_seed(0))
        assert graphs.shape == (2, 100, 5, 5)
        assert graphs.dtype == torch.bool
        assert all(is_dag(graph) for graph in graphs.flatten(0, 1).numpy())

    def test_edges_are_as_frequent_as_they_are_probable(self):
        n = 20_000
        posterior = subset_posterior(random_scores(7, 4, n_tasks=2))
        graphs = posterior.sample(n, torch.Generator().manual_seed(0))
        share, expected = graphs.double().mean(dim=1), posterior.edge_probabilities
        error = (expected * (1 - expected) / n).sqrt()
        assert ((share - expected).abs() <= 4.5 * error + 1e-9).all()

    def test_every_parent_set_is_as_frequent_as_it_is_probable(self):
        n = 20_000
        posterior = subset_posterior(random_scores(8, 3))
        graphs = posterior.sample(n, torch.Generator().manual_seed(0))[0].numpy()
        for j, s in itertools.product(range(3), range(4)):
            wanted = np.isin(np.arange(3), members_of(s, j, 3))
            share = (graphs[:, :, j] == wanted).all(axis=1).mean()
            expected = float(posterior.log_parent_sets[0, j, s].exp())
            assert abs(share - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / n)

    def test_every_graph_is_as_frequent_as_it_is_probable(self):
        n = 20_000
        scores = random_scores(9, 3, spread=0.7)
        expected = enumerated(scores[0].numpy())
        graphs = subset_posterior(scores).sample(n, torch.Generator().manual_seed(1))[0].numpy()
        members = subset_tables(3, torch.device("cpu")).members.numpy()
        for choice in np.unique(expected.choices, axis=0):
            graph = np.stack([members[j, s] for j, s in enumerate(choice)], axis=1)
            probability = expected.weights[(expected.choices == choice).all(axis=1)].sum()
            share = (graphs == graph).all(axis=(1, 2)).mean()
            assert abs(share - probability) <= 4.5 * np.sqrt(probability * (1 - probability) / n)

    def test_the_generator_alone_determines_the_draws(self):
        posterior = subset_posterior(random_scores(10, 4))
        state = torch.random.get_rng_state()
        first, same, other = (
            posterior.sample(50, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
        )
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.equal(first, same)
        assert not torch.equal(first, other)

    def test_draws_from_scores_that_are_far_apart_are_the_best_graph(self):
        scores = random_scores(11, 4, spread=3000.0)
        best = enumerated(scores[0].numpy())
        graphs = subset_posterior(scores).sample(20, torch.Generator().manual_seed(0))[0]
        expected = np.exp(best.log_edges) > 0.5
        assert (graphs.numpy() == expected).all()

    def test_a_single_variable(self):
        posterior = subset_posterior(random_scores(12, 1))
        assert not posterior.edge_probabilities.any()
        assert not posterior.sample(3, torch.Generator().manual_seed(0)).any()


@pytest.mark.parametrize("d", [1, 2, 4])
def test_tables_translate_subsets(d):
    tables = subset_tables(d, torch.device("cpu"))
    for j, s in itertools.product(range(d), range(2 ** (d - 1))):
        members = members_of(s, j, d)
        assert tables.members[j, s].nonzero()[:, 0].tolist() == members
        assert int(tables.expanded[j, s]) == sum(1 << i for i in members)
        for code in (sum(1 << i for i in members), sum(1 << i for i in members) | 1 << j):
            assert int(tables.compressed[j, code]) == s
