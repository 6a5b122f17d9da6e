"""Shrunken regressions against least squares and against their objective; do-queries."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from skcausal.nn._pair_statistics import pair_statistics
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction._shrunk_refit import (
    _JITTER,
    PENALTY_BOUNDS,
    LinearFit,
    Shrinkage,
    refit,
    solve_do,
)
from skcausal.structure import LinearGaussianSCM

D = 4
# What the jitter, 1e-4 in units of the penalties, moves weights of moderate size by.
SLACK = 5e-3


def random_system(rng, d=D):
    """Weights (j, i) of a random acyclic system."""
    coef = np.tril(rng.normal(size=(d, d)), -1)
    order = rng.permutation(d)
    return coef[np.ix_(order, order)]


def make_data(seed, n_rows=30, d=D, hidden=0.0):
    """Rows of a random system, none and each variable as a target, and its weights (j, i).

    A hidden variable of the given weight acts on all variables; do-values vary within regimes.
    """
    rng = np.random.default_rng(seed)
    coef = random_system(rng, d)
    regime = np.repeat(np.arange(d + 1), n_rows)
    mask = regime[:, None] == np.arange(1, d + 1)
    values = 2.0 + 0.5 * rng.normal(size=mask.shape)
    noise = rng.normal(size=mask.shape) + hidden * rng.normal(size=(len(regime), 1))
    X = np.empty(mask.shape)
    for x, row, value, e in zip(X, mask, values, noise):
        free = ~row
        x[:] = np.linalg.solve(np.eye(d) - free[:, None] * coef, np.where(row, value, e))
    return X, mask, regime, coef


def free_moments(X, mask, regime):
    return pair_statistics(RegimeMoments.from_rows(X, mask, regime)).free


def shrinkage(log_penalty=-20.0, centre=0.0, drop_within=0.0, drop_explained=0.0, d=D):
    """The same decisions for all variables, or given ones."""

    def full(value, *shape):
        tensor = torch.as_tensor(value, dtype=torch.float64)
        return tensor if tensor.ndim == len(shape) else torch.full(shape, float(value)).double()

    return Shrinkage(
        full(log_penalty, 1, d, d),
        full(centre, 1, d, d),
        full(drop_within, 1, d),
        full(drop_explained, 1, d),
    )


def least_squares(X, mask, j):
    """Weights, intercept, residual variance and covariance of the weights, of the free rows."""
    own = ~mask[:, j]
    others = np.delete(np.arange(X.shape[1]), j)
    design = np.column_stack([np.ones(own.sum()), X[own][:, others]])
    solution, *_ = np.linalg.lstsq(design, X[own, j], rcond=None)
    variance = ((X[own, j] - design @ solution) ** 2).mean()
    covariance = variance * np.linalg.inv(design.T @ design)[1:, 1:]
    return solution[1:], solution[0], variance, covariance


@pytest.mark.parametrize("seed", range(3))
def test_without_penalty_it_is_least_squares(seed):
    X, mask, regime, _ = make_data(seed)
    fit = refit(free_moments(X, mask, regime), shrinkage())
    for j in range(D):
        others = np.delete(np.arange(D), j)
        coef, intercept, variance, covariance = least_squares(X, mask, j)
        np.testing.assert_allclose(fit.coef[0, j, others], coef, atol=SLACK)
        assert fit.coef[0, j, j] == 0.0
        assert float(fit.intercept[0, j]) == pytest.approx(intercept, abs=SLACK)
        assert float(fit.noise_variance[0, j]) == pytest.approx(variance, rel=1e-3)
        spread = fit.spread[0, j]
        np.testing.assert_allclose(spread[others][:, others], covariance, rtol=0.02, atol=1e-4)
        assert not spread[j].any()
        assert not spread[:, j].any()


def test_the_largest_penalty_leaves_an_edge_out():
    """Up to a share of e^-10 of its covariance with the variable; the others are as without it."""
    X, mask, regime, _ = make_data(3)
    log_penalty = torch.full((1, D, D), -20.0)
    log_penalty[0, 0, 2] = 10.0
    fit = refit(free_moments(X, mask, regime), shrinkage(log_penalty))
    own = ~mask[:, 0]
    size = X[own, 0].std() / X[own, 2].std()
    assert 0 < abs(float(fit.coef[0, 0, 2])) < 2 * math.exp(-PENALTY_BOUNDS[1]) * size
    design = np.column_stack([np.ones(own.sum()), X[own][:, [1, 3]]])
    expected = np.linalg.lstsq(design, X[own, 0], rcond=None)[0][1:]
    np.testing.assert_allclose(fit.coef[0, 0, [1, 3]], expected, atol=SLACK)


def test_the_largest_penalty_draws_a_weight_to_its_centre():
    X, mask, regime, _ = make_data(4)
    centre = torch.randn((1, D, D), generator=torch.Generator().manual_seed(0)).double()
    fit = refit(free_moments(X, mask, regime), shrinkage(10.0, centre))
    off = 1.0 - torch.eye(D)
    torch.testing.assert_close(fit.coef, centre * off, rtol=1e-2, atol=1e-2)


def test_penalties_beyond_the_bounds_are_those_at_them():
    free = free_moments(*make_data(5)[:3])
    for beyond, bound in ((-1e3, PENALTY_BOUNDS[0]), (1e3, PENALTY_BOUNDS[1])):
        found, expected = (refit(free, shrinkage(value)) for value in (beyond, bound))
        assert torch.equal(found.coef, expected.coef)


def random_shrinkage(seed, d=D):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return Shrinkage(
        3.0 * normal(1, d, d),
        normal(1, d, d),
        torch.sigmoid(2 * normal(1, d)),
        torch.sigmoid(2 * normal(1, d)),
    )


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_it_minimises_its_objective(seed):
    """``w'Mw - 2 w'm + sum_i p_i s_i^2 (w_i - mu_i)^2`` in the units of the data, by rows.

    M and m are the moments of rows in which the variation within regimes counts for less.
    """
    X, mask, regime, _ = make_data(seed, n_rows=8)
    decisions = random_shrinkage(seed)
    free = free_moments(X, mask, regime)
    fit = refit(free, decisions)
    for j in range(D):
        others = np.delete(np.arange(D), j)
        M = (
            free.between[0, j]
            + (1 - decisions.drop_explained[0, j]) * free.explained[0, j]
            + (1 - decisions.drop_within[0, j]) * free.within[0, j]
        ).numpy()
        penalty = np.exp(decisions.log_penalty[0, j, others].clamp(-9, 10).numpy())
        centre = decisions.centre[0, j, others].numpy()
        square = np.diag(M)[others]

        def objective(w):
            fitted = w @ M[np.ix_(others, others)] @ w - 2 * w @ M[others, j]  # noqa: B023
            drawn = (penalty * square * (w - centre) ** 2).sum()  # noqa: B023
            jitter = _JITTER * ((1 + penalty) * square * w**2).sum()  # noqa: B023
            return (fitted + drawn + jitter) / M[j, j]  # noqa: B023

        found = fit.coef[0, j, others].numpy()
        best = minimize(objective, np.zeros(D - 1), tol=1e-12)
        assert objective(found) <= best.fun + 1e-9
        for step in 1e-3 * np.eye(D - 1):
            assert objective(found) < min(objective(found + step), objective(found - step))


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_intercept_and_noise_are_those_of_the_free_rows(seed):
    """Whatever the shrinkage: residuals have mean 0, and the noise is their variance."""
    X, mask, regime, _ = make_data(seed, n_rows=8)
    fit = refit(free_moments(X, mask, regime), random_shrinkage(seed))
    residual = X - X @ fit.coef[0].numpy().T - fit.intercept[0].numpy()
    for j in range(D):
        own = residual[~mask[:, j], j]
        assert own.mean() == pytest.approx(0.0, abs=1e-9)
        assert float(fit.noise_variance[0, j]) == pytest.approx(own.var(), rel=1e-9)


def test_a_perfect_fit_leaves_some_noise():
    X, mask, regime, _ = make_data(6)
    X[:, 1] = np.where(mask[:, 1], X[:, 1], 2.0 * X[:, 0] - X[:, 3])
    X[:, 2] = 5.0
    fit = refit(free_moments(X, mask, regime), shrinkage())
    assert (fit.noise_variance > 0).all()
    assert fit.coef.isfinite().all()
    assert fit.noise_variance[0, 1] < 1e-2


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_units_and_numbering_do_not_matter(seed):
    """Penalties are relative to variances; centres are in the units of the weights."""
    X, mask, regime, _ = make_data(seed, n_rows=8)
    rng = np.random.default_rng(seed)
    decisions, order = random_shrinkage(seed), rng.permutation(D)
    unit = torch.from_numpy(np.exp(rng.normal(size=D)))
    ratio = unit[:, None] / unit
    fit = refit(free_moments(X, mask, regime), decisions)
    changed = Shrinkage(
        decisions.log_penalty[:, order][..., order],
        (decisions.centre * ratio)[:, order][..., order],
        decisions.drop_within[:, order],
        decisions.drop_explained[:, order],
    )
    free = free_moments(X[:, order], mask[:, order], regime)
    square = (unit[:, None] * unit)[order][:, order]
    parts = {name: getattr(free, name) * square for name in ("between", "explained", "within")}
    other = refit(replace(free, mean=free.mean * unit[order], **parts), changed)
    expected = (fit.coef * ratio)[:, order][..., order]
    torch.testing.assert_close(other.coef, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(other.intercept, (fit.intercept * unit)[:, order])
    torch.testing.assert_close(other.noise_variance, (fit.noise_variance * unit**2)[:, order])


@pytest.mark.parametrize("seed", range(3))
def test_instruments_remove_the_bias_by_a_hidden_confounder(seed):
    """With plenty of data: what interventions caused is enough, and least squares is wrong."""
    X, mask, regime, coef = make_data(seed, n_rows=4000, hidden=2.0)
    free = free_moments(X, mask, regime)
    biased = refit(free, shrinkage()).coef[0].numpy()
    instrumental = refit(free, shrinkage(drop_within=1.0)).coef[0].numpy()
    off = ~np.eye(D, dtype=bool)
    assert np.abs(biased - coef)[off].max() > 0.3
    assert np.abs(instrumental - coef)[off].max() < 0.15
    assert np.abs(instrumental - coef)[off].mean() < np.abs(biased - coef)[off].mean() / 4


def test_instruments_with_feedback():
    """Two variables that act on each other; each is set in one regime."""
    rng = np.random.default_rng(0)
    coef = np.array([[0.0, 0.6], [-0.8, 0.0]])
    regime = np.repeat(np.arange(3), 5000)
    mask = regime[:, None] == np.arange(1, 3)
    system = np.eye(2) - ~mask[..., None] * coef
    source = np.where(mask, 3.0, rng.normal(size=mask.shape))
    X = np.linalg.solve(system, source[..., None])[..., 0]
    free = free_moments(X, mask, regime)
    biased, instrumental = (
        refit(free, shrinkage(drop_within=drop, d=2)).coef[0].numpy() for drop in (0.0, 1.0)
    )
    assert np.abs(instrumental - coef).max() < 0.05
    assert np.abs(biased - coef).max() > 0.1


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), n_targets=st.integers(0, D))
def test_do_queries_are_those_of_the_linear_scm(seed, n_targets):
    rng = np.random.default_rng(seed)
    coef, intercept = random_system(rng), rng.normal(size=D)
    coef = coef + 0.1 * rng.normal(size=(D, D)) * ~np.eye(D, dtype=bool)
    targets = np.zeros((3, D), dtype=bool)
    for row in targets:
        row[rng.choice(D, n_targets, replace=False)] = True
    values = rng.normal(size=targets.shape)
    fit = LinearFit(*(torch.from_numpy(a)[None] for a in (coef, intercept)), None, None)
    query = (torch.from_numpy(targets.astype(float))[None], torch.from_numpy(values)[None])
    mean, response = solve_do(fit, *query)
    unknown = np.full(D, np.nan)
    scm = LinearGaussianSCM(coef.T, intercept, np.ones(D), unknown, unknown)
    expected = scm.interventional_mean(targets, values)
    np.testing.assert_allclose(mean[0], expected, atol=1e-9)
    # Entry (i, j) is the change of variable i, per unit added to the equation of j.
    for j in range(D):
        changed = LinearGaussianSCM(coef.T, intercept + np.eye(D)[j], np.ones(D), unknown, unknown)
        change = changed.interventional_mean(targets, values) - expected
        for q in np.flatnonzero(~targets[:, j]):
            np.testing.assert_allclose(response[0, q, :, j], change[q], atol=1e-9)


def test_values_of_free_variables_do_not_matter():
    fit = refit(free_moments(*make_data(7)[:3]), shrinkage())
    targets = torch.eye(D, dtype=torch.float64)[None]
    values = torch.full((1, D, D), 2.0, dtype=torch.float64)
    mean, _ = solve_do(fit, targets, values)
    other, _ = solve_do(fit, targets, torch.where(targets > 0, values, 1e3))
    torch.testing.assert_close(other, mean)


def test_damping_formula():
    fit = refit(free_moments(*make_data(8)[:3]), shrinkage())
    targets = torch.eye(D, dtype=torch.float64)[None]
    values = torch.full((1, D, D), 2.0, dtype=torch.float64)
    damping = 0.3
    mean, response = solve_do(fit, targets, values, damping)
    for q in range(D):
        free = 1.0 - targets[0, q].numpy()
        A = np.eye(D) - free[:, None] * fit.coef[0].numpy()
        expected = np.linalg.inv(A.T @ A + damping * np.eye(D)) @ A.T
        np.testing.assert_allclose(response[0, q], expected, atol=1e-10)
        source = free * fit.intercept[0].numpy() + 2.0 * (1.0 - free)
        np.testing.assert_allclose(mean[0, q], expected @ source, atol=1e-10)
    exact, _ = solve_do(fit, targets, values)
    nearly, _ = solve_do(fit, targets, values, 1e-9)
    torch.testing.assert_close(nearly, exact, rtol=0, atol=1e-5)


def test_damping_keeps_a_singular_system_finite():
    """Weights of one around a loop have no equilibrium."""
    coef = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    intercept = torch.ones(1, 2, dtype=torch.float64)
    fit = LinearFit(coef, intercept, intercept, None)
    none = torch.zeros(1, 1, 2, dtype=torch.float64)
    mean, response = solve_do(fit, none, none, 0.1)
    mean.square().sum().backward()
    assert mean.isfinite().all()
    assert response.isfinite().all()
    assert coef.grad.isfinite().all()


def singular_moments():
    """A constant column, a copy, a variable that is always a target, one row per regime."""
    X, mask, regime, _ = make_data(9, n_rows=2, d=5)
    X[:, 1] = 0.0
    X[:, 2] = X[:, 0]
    mask[:, 3] = True
    few = [0, 3, 4, 7]
    return free_moments(X, mask, regime), free_moments(X[few], mask[few], np.arange(4))


@pytest.mark.parametrize("drop", [0.0, 0.98, 1.0])
@pytest.mark.parametrize("log_penalty", [-20.0, 0.0, 20.0])
def test_gradients_are_finite_at_singular_moments(drop, log_penalty):
    for free in singular_moments():
        start = shrinkage(log_penalty, 0.1, drop, drop, d=5)
        leaves = [getattr(start, name).requires_grad_() for name in vars(start)]
        fit = refit(free, start)
        targets = torch.eye(5, dtype=torch.float64)[None]
        mean, _ = solve_do(fit, targets, targets, 1e-4)
        (mean.square().sum() + fit.spread.sum() + fit.noise_variance.log().sum()).backward()
        for tensor in (fit.coef, fit.intercept, fit.noise_variance, fit.spread, mean):
            assert tensor.isfinite().all()
        for leaf in leaves:
            assert leaf.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences():
    free = free_moments(*make_data(10, n_rows=5, d=3)[:3])
    decisions = random_shrinkage(10, d=3)
    leaves = [getattr(decisions, name).clamp(-3, 3).requires_grad_() for name in vars(decisions)]
    targets = torch.eye(3, dtype=torch.float64)[None]

    def means(*leaves):
        fit = refit(free, Shrinkage(*leaves))
        return solve_do(fit, targets, 2.0 * targets)[0]

    assert torch.autograd.gradcheck(means, leaves)


def test_constant_variables_get_no_weights():
    """Nothing that varied moved them, so the centres of their weights are not believed."""
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 3), dtype=bool)
    mask[20:, 0] = True
    Z = rng.normal(size=(40, 3))
    Z[:, 2] = 0.0
    moments = RegimeMoments.from_rows(Z, mask, mask[:, 0].astype(int))
    statistics = pair_statistics(moments)
    shape = statistics.free.mean.shape
    shrinkage = Shrinkage(
        torch.full(shape, 3.0, dtype=torch.float64),
        torch.full(shape, 0.7, dtype=torch.float64),
        *torch.zeros(2, 1, 3, dtype=torch.float64),
    )
    coef = refit(statistics.free, shrinkage).coef[0]
    assert not coef[2].any()
    assert coef[:2].abs().sum() > 0
