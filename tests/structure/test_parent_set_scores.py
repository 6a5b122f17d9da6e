"""Marginal likelihoods of parent sets against dense quadrature over the noise variance."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import gammaln, logsumexp

from skcausal.structure import _parent_set_scores
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._parent_set_scores import (
    LinearGaussianModel,
    parent_set_scores,
    subset_sizes,
)

LOG_S = np.arange(-40.0, 40.0, 0.02)
SCALES = ["in_degree", 0.7]


def model_of(weight_scale="in_degree", *, shape=10.0, rate=1.0, intercept=True):
    return LinearGaussianModel(0.3, weight_scale, shape, rate, intercept)


def simulate(seed, n, d, *, share=0.3):
    """Correlated rows of about unit variance and a random mask."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return X / np.sqrt(d), rng.random((n, d)) < share


def scores_of(X, mask, model, dtype=torch.float64):
    sums = FreeSums.from_rows(torch.from_numpy(X)[None], torch.from_numpy(mask)[None])
    sums = FreeSums(*(t.to(dtype) for t in (sums.n_rows, sums.total, sums.products)))
    scores = parent_set_scores(sums, model)
    assert scores.dtype == torch.float64
    return scores[0].numpy()


def members_of(s, j, d):
    """Parents of j that subset s codes."""
    others = [i for i in range(d) if i != j]
    return [i for b, i in enumerate(others) if s >> b & 1]


def code_of(members, j):
    """Code of a set of parents of j."""
    return sum(1 << (i - (i > j)) for i in members)


def weight_variance(model, n_parents):
    if model.weight_scale == "in_degree":
        return 1.0 / max(1, n_parents)
    return model.weight_scale**2


def log_marginal(x, Z, v, model):
    """Log of the integral over log s of the density of x ~ N(0, s I + v Z Z') and the prior.

    The covariance has an eigenvalue s + v (singular value of Z)^2 for each singular vector, and s
    elsewhere. A flat prior of the intercept leaves the deviations from the mean.
    """
    n = len(x) - model.intercept
    if model.intercept:
        x, Z = x - x.mean(), Z - Z.mean(axis=0)
    vectors, singular, _ = np.linalg.svd(Z, full_matrices=False)
    rank = min(n, Z.shape[1])
    along = vectors[:, :rank].T @ x
    rest = max(x @ x - along @ along, 0.0)
    s = np.exp(LOG_S)
    variances = s[:, None] + v * singular[:rank] ** 2
    log_density = -0.5 * (np.log(2 * np.pi * variances) + along**2 / variances).sum(axis=1)
    log_density -= 0.5 * ((n - rank) * np.log(2 * np.pi * s) + rest / s)
    shape, rate = model.noise_shape, model.noise_rate
    log_prior = shape * np.log(rate) - gammaln(shape) - shape * LOG_S - rate / s
    return logsumexp(log_density + log_prior) + np.log(LOG_S[1] - LOG_S[0])


def reference(X, mask, model):
    d = X.shape[1]
    scores = np.zeros((d, 2 ** (d - 1)))
    for j, s in itertools.product(range(d), range(2 ** (d - 1))):
        parents, rows = members_of(s, j, d), X[~mask[:, j]]
        if len(rows) > model.intercept:
            v = weight_variance(model, len(parents))
            scores[j, s] = log_marginal(rows[:, j], rows[:, parents], v, model)
    return scores


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weight_scale", SCALES)
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 4), (3, 4), (10, 2), (15, 1), (100, 4)])
def test_agrees_with_dense_quadrature(n, d, weight_scale, intercept):
    X, mask = simulate(n + d, n, d)
    model = model_of(weight_scale, intercept=intercept)
    np.testing.assert_allclose(
        scores_of(X, mask, model), reference(X, mask, model), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weight_scale", [*SCALES, 20.0, 0.05])
def test_agrees_with_a_wide_prior_of_the_noise(weight_scale, intercept):
    X, mask = simulate(0, 60, 3)
    model = model_of(weight_scale, shape=1.0, rate=0.2, intercept=intercept)
    np.testing.assert_allclose(
        scores_of(X, mask, model), reference(X, mask, model), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("n", [0, 1, 3, 6])
def test_agrees_where_neither_prior_nor_rows_say_much_about_the_noise(n):
    """The posterior of log s is skewed then, and the steps of the quadrature are wide."""
    X, mask = simulate(n, n, 3)
    model = model_of(shape=1.0, rate=0.2)
    np.testing.assert_allclose(
        scores_of(X, mask, model), reference(X, mask, model), rtol=0, atol=2e-4
    )


@pytest.mark.parametrize("weight_scale", SCALES)
def test_variables_of_very_different_units(weight_scale):
    X, mask = simulate(4, 40, 3)
    X = X * [1e-3, 1.0, 300.0]
    model = model_of(weight_scale, intercept=False)
    np.testing.assert_allclose(
        scores_of(X, mask, model), reference(X, mask, model), rtol=0, atol=2e-4
    )


def test_many_rows():
    X, mask = simulate(1, 5000, 3)
    model = model_of(shape=1.0, rate=0.2)
    scores = scores_of(X, mask, model)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, reference(X, mask, model), rtol=0, atol=2e-4)


def test_explained_variable_has_the_true_parents():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    X[:, 2] = X[:, 0] - X[:, 3] + 0.1 * rng.normal(size=200)
    scores = scores_of(X, np.zeros(X.shape, dtype=bool), model_of(shape=1.0, rate=0.2))
    assert members_of(scores[2].argmax(), 2, 4) == [0, 3]
    assert scores[1].argmax() == 0


@pytest.mark.parametrize("intercept", [True, False])
def test_order_of_the_rows_does_not_matter(intercept):
    X, mask = simulate(2, 30, 4)
    order = np.random.default_rng(0).permutation(30)
    model = model_of(intercept=intercept)
    np.testing.assert_allclose(
        scores_of(X[order], mask[order], model), scores_of(X, mask, model), atol=1e-9
    )


def test_permuting_the_variables_permutes_sets_and_their_codes():
    X, mask = simulate(3, 25, 4)
    scores = scores_of(X, mask, model_of(0.7))
    order = [2, 0, 3, 1]
    permuted = scores_of(X[:, order], mask[:, order], model_of(0.7))
    for j, s in itertools.product(range(4), range(8)):
        source = order[j]
        code = code_of([order[i] for i in members_of(s, j, 4)], source)
        assert permuted[j, s] == pytest.approx(scores[source, code], abs=1e-9)


def test_signs_do_not_matter_nor_do_offsets_with_an_intercept():
    X, mask = simulate(5, 25, 3)
    scores = scores_of(X, mask, model_of())
    np.testing.assert_allclose(scores_of(X * [1, -1, -1], mask, model_of()), scores, atol=1e-9)
    np.testing.assert_allclose(
        scores_of(X + np.array([5, -3, 1]), mask, model_of()), scores, atol=1e-7
    )


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weight_scale", SCALES)
def test_variable_without_free_rows_scores_zero_for_every_set(weight_scale, intercept):
    X, mask = simulate(6, 20, 4)
    mask[:, 1] = True
    scores = scores_of(X, mask, model_of(weight_scale, intercept=intercept))
    np.testing.assert_allclose(scores[1], 0.0, atol=1e-5)
    assert (np.abs(scores[[0, 2, 3]]) > 1e-3).all()


def test_with_an_intercept_one_free_row_says_nothing():
    X, mask = simulate(7, 8, 3)
    mask[:, 2] = True
    mask[3, 2] = False
    np.testing.assert_allclose(scores_of(X, mask, model_of())[2], 0.0, atol=1e-5)


def test_rows_in_which_a_variable_is_a_target_do_not_count_for_it():
    X, mask = simulate(8, 30, 3)
    other = X.copy()
    other[mask[:, 1], 1] += 10.0
    expected, scores = (scores_of(data, mask, model_of())[1] for data in (X, other))
    np.testing.assert_allclose(scores, expected, atol=1e-9)


@pytest.mark.parametrize("weight_scale", SCALES)
@pytest.mark.parametrize("n", [5, 60, 1000])
def test_single_precision_is_close(n, weight_scale):
    X, mask = simulate(9, n, 4)
    model = model_of(weight_scale)
    single = scores_of(X, mask, model, torch.float32)
    np.testing.assert_allclose(single, scores_of(X, mask, model), rtol=1e-5, atol=5e-3)


def degenerate_data(rng):
    noise = rng.normal(size=(40, 2))
    yield "constant", np.hstack([noise, np.full((40, 1), 0.1)])
    yield "zero", np.hstack([noise, np.zeros((40, 1))])
    yield "duplicate", np.hstack([noise, noise[:, :1]])
    yield "sum", np.hstack([noise, noise.sum(axis=1, keepdims=True)])
    yield "one row", rng.normal(size=(1, 3))
    yield "large", 1e6 * np.hstack([noise, noise[:, :1]])
    yield "all zero", np.zeros((5, 3))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weight_scale", SCALES)
def test_scores_of_degenerate_data_are_finite(weight_scale, intercept):
    for name, X in degenerate_data(np.random.default_rng(10)):
        mask = np.zeros(X.shape, dtype=bool)
        mask[::3, 0] = True
        scores = scores_of(X, mask, model_of(weight_scale, intercept=intercept))
        assert np.isfinite(scores).all(), name


def test_collinear_parents_agree_with_dense_quadrature():
    X, mask = simulate(11, 30, 3)
    X[:, 2] = X[:, 0]
    for model in (model_of(), model_of(0.7, shape=1.0, rate=0.2)):
        np.testing.assert_allclose(
            scores_of(X, mask, model), reference(X, mask, model), rtol=0, atol=2e-4
        )


def test_data_sets_of_a_batch_do_not_mix():
    single = [simulate(seed, 12, 3) for seed in range(4)]
    X, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*single))
    scores = parent_set_scores(FreeSums.from_rows(X, mask), model_of())
    for (own, own_mask), found in zip(single, scores.numpy()):
        np.testing.assert_allclose(found, scores_of(own, own_mask, model_of()), atol=2e-5)


@pytest.mark.parametrize(("limit", "number"), [("_SUBSETS_AT_ONCE", 8), ("_POINTS_AT_ONCE", 5)])
def test_more_than_is_scored_at_once(limit, number, monkeypatch):
    X, mask = simulate(12, 30, 4)
    expected = scores_of(X, mask, model_of())
    monkeypatch.setattr(_parent_set_scores, limit, number)
    np.testing.assert_allclose(scores_of(X, mask, model_of()), expected, atol=2e-5)


def test_prior_of_weights_and_edges():
    model = model_of("in_degree")
    variances = model.log_weight_variance(torch.tensor([0.0, 1.0, 4.0])).exp()
    np.testing.assert_allclose(variances, [1.0, 1.0, 0.25])
    fixed = model_of(0.5).log_weight_variance(torch.tensor([0.0, 3.0])).exp()
    np.testing.assert_allclose(fixed, 0.25, rtol=1e-6)
    assert model.log_odds() == pytest.approx(np.log(0.3 / 0.7))


def test_sizes_of_subsets():
    assert subset_sizes(4).tolist() == [bin(s).count("1") for s in range(16)]
    assert subset_sizes(0).tolist() == [0]


class TestFreeSums:
    def test_are_sums_over_the_free_rows(self):
        X, mask = simulate(13, 20, 3)
        sums = FreeSums.from_rows(torch.from_numpy(X)[None], torch.from_numpy(mask)[None])
        for j in range(3):
            rows = X[~mask[:, j]]
            assert sums.n_rows[0, j] == len(rows)
            np.testing.assert_allclose(sums.total[0, j], rows.sum(axis=0))
            np.testing.assert_allclose(sums.products[0, j], rows.T @ rows)
            expected = np.cov(rows.T, ddof=0) * len(rows)
            np.testing.assert_allclose(sums.centred()[0, j], expected, atol=1e-12)

    def test_rows_can_be_added(self):
        X, mask = (torch.from_numpy(a)[None] for a in simulate(14, 20, 3))
        whole = FreeSums.from_rows(X, mask)
        parts = FreeSums.from_rows(X[:, :7], mask[:, :7]).add(X[:, 7:], mask[:, 7:])
        for name in ("n_rows", "total", "products"):
            torch.testing.assert_close(getattr(parts, name), getattr(whole, name))

    def test_tasks_can_be_chosen(self):
        pairs = [simulate(seed, 6, 3) for seed in range(3)]
        X, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs))
        chosen = FreeSums.from_rows(X, mask)[1:]
        assert torch.equal(chosen.products, FreeSums.from_rows(X[1:], mask[1:]).products)

    def test_variable_without_free_rows_has_no_scatter(self):
        X, mask = simulate(15, 6, 3)
        mask[:, 0] = True
        sums = FreeSums.from_rows(torch.from_numpy(X)[None], torch.from_numpy(mask)[None])
        assert not sums.n_rows[0, 0]
        assert not sums.centred()[0, 0].any()
