"""Perceptrons of a graph: values, propagation and the marginal likelihood, against loops."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal

from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._mlp_mechanisms import MLPMechanisms, generations_of, log_marginal
from skcausal.perturbation._spike_slab import SpikeSlab

# 2 -> 0 -> 3, 2 -> 1, 1 -> 3, 2 -> 3.
ADJACENCY = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0]])
CENTRE = np.array([0.5, -1.0, 0.0, 2.0])
SCALE = np.array([2.0, 1.0, 0.5, 1.5])


def random_module(seed=0, dtype=torch.float64):
    """Perceptrons with random parameters throughout."""
    generators = [torch.Generator().manual_seed(seed + j) for j in range(4)]
    module = MLPMechanisms(
        ADJACENCY, CENTRE, SCALE, hidden=(5, 3), generators=generators, dtype=dtype
    )
    generator = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return module


def value_of(module, j, x):
    """Mechanism j at a single row, written out."""
    parents = np.flatnonzero(ADJACENCY[:, j])
    z = np.zeros(module.parents.shape[1])
    z[: len(parents)] = ((x - CENTRE) / SCALE)[parents]
    h = z
    for weight, bias in zip(module.units.weights, module.units.biases):
        h = np.tanh(h @ weight[j].detach().numpy() + bias[j, 0].detach().numpy())
    output = module.linear[j, :, 0].detach().numpy()
    return CENTRE[j] + SCALE[j] * (np.concatenate([[1.0], z, h]) @ output)


def test_values_are_those_of_one_perceptron_per_variable():
    module, X = random_module(), np.random.default_rng(0).normal(size=(6, 4))
    expected = [[value_of(module, j, x) for j in range(4)] for x in X]
    np.testing.assert_allclose(module.expect(X), expected)
    some = module.values(torch.tensor(X), torch.tensor([3, 1])).detach().numpy()
    np.testing.assert_allclose(some, np.array(expected)[:, [3, 1]])
    regressors = module.regressors(torch.tensor(X), [2])
    np.testing.assert_array_equal(regressors[0, :, : 1 + 3].detach(), [[1.0, 0.0, 0.0, 0.0]] * 6)


def test_only_parents_matter():
    module, X = random_module(), np.random.default_rng(1).normal(size=(5, 4))
    before = module.expect(X)
    for i in range(4):
        moved = X.copy()
        moved[:, i] += 1.0
        changed = np.abs(module.expect(moved) - before).max(axis=0) > 1e-12
        np.testing.assert_array_equal(changed, ADJACENCY[i])


def test_many_rows_are_evaluated_in_pieces(monkeypatch):
    module, X = random_module(), np.random.default_rng(2).normal(size=(7, 4))
    expected = module.expect(X)
    monkeypatch.setattr("skcausal.perturbation._mlp_mechanisms._ROWS_AT_ONCE", 3)
    np.testing.assert_allclose(module.expect(X), expected)


@pytest.mark.parametrize("hit", [False, True])
def test_propagation_solves_the_equations_in_causal_order(hit):
    module, rng = random_module(), np.random.default_rng(3)
    source, values = rng.normal(size=(2, 6, 4))
    targets = rng.uniform(size=(6, 4)) < 0.4 if hit else np.zeros((6, 4), dtype=bool)
    X = module.propagate(source, targets, values) if hit else module.propagate(source)
    for row in range(6):
        x = np.zeros(4)
        for j in (2, 0, 1, 3):
            x[j] = value_of(module, j, x) + source[row, j]
            if targets[row, j]:
                x[j] = values[row, j]
        np.testing.assert_allclose(X[row], x)
    free = ~targets
    np.testing.assert_allclose((X - module.expect(X))[free], source[free])
    assert X.dtype == np.float64


def test_variables_are_split_into_generations():
    assert generations_of(ADJACENCY) == [[2], [0, 1], [3]]
    assert generations_of(np.zeros((2, 2))) == [[0, 1]]


def test_a_graph_without_edges_has_constants():
    generators = [torch.Generator().manual_seed(j) for j in range(2)]
    module = MLPMechanisms(
        np.zeros((2, 2)), np.zeros(2), np.ones(2), hidden=(3,), generators=generators
    )
    np.testing.assert_allclose(module.expect(np.random.default_rng(0).normal(size=(3, 2))), 0.0)


def grouped_residuals(seed=0):
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1, 2], [4, 1, 3])
    residuals = rng.normal(size=(8, 2)) + rng.normal(size=(3, 2))[group]
    log_odds = np.array([[-np.inf, -np.inf], [-1.0, 0.5], [np.inf, -2.0]])
    return residuals, group, log_odds


def marginal(residuals, group, log_odds, variance):
    n_rows = torch.tensor(np.bincount(group)[:, None], dtype=torch.float64)
    arrays = (torch.tensor(a) for a in (residuals, group))
    return log_marginal(*arrays, n_rows, torch.tensor(variance), torch.tensor(log_odds), 5.0)


def test_the_marginal_likelihood_sums_over_all_sets_of_targets():
    residuals, group, log_odds = grouped_residuals()
    variance = np.array([0.7, 1.8])
    terms = []
    for targets in product([0, 1], repeat=6):
        hit = np.reshape(targets, (3, 2)).astype(bool)
        prior = np.where(hit, expit(log_odds), expit(-log_odds))
        if not prior.all():
            continue
        total = np.log(prior).sum()
        for j in range(2):
            shared = (group[:, None] == group) * hit[group, j]
            covariance = variance[j] * (np.eye(8) + 5.0 * shared)
            total += multivariate_normal(cov=covariance).logpdf(residuals[:, j])
        terms.append(total)
    density = marginal(residuals, group, log_odds, variance)
    np.testing.assert_allclose(density.sum(), logsumexp(terms))


def test_controls_may_be_split():
    residuals, group, log_odds = grouped_residuals(1)
    whole = marginal(residuals, group, log_odds, np.ones(2))
    parts = marginal(residuals, np.r_[0, 0, 1, 1, 2, 3, 3, 3], log_odds[[0, 0, 1, 2]], np.ones(2))
    np.testing.assert_allclose(parts[:2].sum(dim=0), whole[0])
    np.testing.assert_allclose(parts[2:], whole[1:])


def test_gradients_are_finite_where_targets_are_certain():
    residuals, group, log_odds = grouped_residuals(2)
    leaf = torch.tensor(residuals, requires_grad=True)
    n_rows = torch.tensor(np.bincount(group)[:, None], dtype=torch.float64)
    density = log_marginal(
        leaf, torch.tensor(group), n_rows, torch.ones(2), torch.tensor(log_odds), 5.0
    )
    density.sum().backward()
    assert leaf.grad.isfinite().all()


def test_shifts_are_measured_in_units_of_the_noise():
    module, rng = random_module(), np.random.default_rng(4)
    features = np.repeat([[0.0], [1.0], [2.0]], [30, 10, 10], axis=0)
    deviation = np.sqrt(module.noise_variance)
    source = deviation * rng.normal(size=(50, 4))
    source[30:40, 1] += 6.0 * deviation[1]
    X = module.propagate(source)
    contexts = summarise_contexts(X, features)
    measured = module.measure(X, contexts)
    expected = [part.mean(axis=0) for part in np.split(source / deviation, [30, 40])]
    np.testing.assert_allclose(measured.values, expected)
    np.testing.assert_allclose(measured.noise, np.repeat([[1 / 30], [0.1], [0.1]], 4, axis=1))
    module.prior = SpikeSlab(-2.0, 30.0)
    q = module.target_probability(X, contexts)
    np.testing.assert_array_equal(q[0], 0.0)
    assert q[1, 1] > 0.99
    np.testing.assert_array_less(np.delete(q[1:].ravel(), 1), 0.5)
