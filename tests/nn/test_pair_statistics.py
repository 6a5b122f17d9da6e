"""What is computed from moments is what rows say, by slow references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.nn._pair_statistics import (
    _EFFECT_RIDGE,
    N_FEATURES,
    _control_mean,
    pair_statistics,
)
from skcausal.nn._regime_moments import RegimeMoments

# Features of a variable stand here; the first is the mean of its do-values.
NODE_FEATURES = slice(26, 33)
SHIFT_FEATURE = 26


def make_rows(seed, d=4, sizes=(6, 5, 7, 4, 6), *, vary=True, observational=True):
    """Standardised values, mask and regime of rows from a random linear system.

    Do-values are constant in a regime, or vary from row to row.
    """
    rng = np.random.default_rng(seed)
    targets = np.zeros((len(sizes), d), dtype=bool)
    first = 1 if observational else 0
    for r in range(first, len(sizes)):
        targets[r, rng.choice(d, rng.integers(1, max(2, d - 1)), replace=False)] = True
    regime = np.repeat(np.arange(len(sizes)), sizes)
    mask = targets[regime]
    values = rng.normal(0.0, 2.0, targets.shape)[regime]
    if vary:
        values = values + rng.normal(0.0, 1.0, mask.shape)
    coef = np.triu(rng.normal(size=(d, d)), 1)
    X = np.zeros(mask.shape)
    for j in range(d):
        X[:, j] = X @ coef[:, j] + rng.normal(size=len(X))
        X[:, j] = np.where(mask[:, j], values[:, j], X[:, j])
    return standardized(X), mask, regime


def statistics_of(X, mask, regime):
    return pair_statistics(RegimeMoments.from_rows(X, mask, regime))


def standardized(X):
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0)


WAYS = pytest.mark.parametrize("vary", [True, False], ids=["varying", "constant"])


@WAYS
@pytest.mark.parametrize("seed", range(4))
def test_three_parts_make_up_the_covariance_of_the_free_rows(vary, seed):
    X, mask, regime = make_rows(seed, vary=vary)
    free = statistics_of(X, mask, regime).free
    covariance = free.covariance()[0]
    for j in range(X.shape[1]):
        own = X[~mask[:, j]]
        assert free.n_rows[0, j] == len(own)
        np.testing.assert_allclose(free.mean[0, j], own.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(covariance[j], np.cov(own.T, ddof=0), atol=1e-10)


@WAYS
@pytest.mark.parametrize("seed", range(4))
def test_parts_between_and_due_to_targets(vary, seed):
    """Between: the regimes' means. Explained: least squares on the targets, in each regime."""
    X, mask, regime = make_rows(seed, vary=vary)
    free = statistics_of(X, mask, regime).free
    d = X.shape[1]
    means, fitted = np.empty(X.shape), np.empty(X.shape)
    for r in np.unique(regime):
        own = regime == r
        means[own] = X[own].mean(axis=0)
        deviation = X[own] - X[own].mean(axis=0)
        targets = mask[own][0]
        slope = np.linalg.pinv(deviation[:, targets], rcond=1e-8) @ deviation
        fitted[own] = np.where(targets, deviation, deviation[:, targets] @ slope)
    for j in range(d):
        own = ~mask[:, j]
        between = np.cov(means[own].T, ddof=0)
        np.testing.assert_allclose(free.between[0, j], between, atol=1e-10)
        explained = fitted[own].T @ fitted[own] / own.sum()
        # A penalty of 1e-4 keeps the regression apart from a division by zero.
        np.testing.assert_allclose(free.explained[0, j], explained, atol=2e-3)
        assert bool(free.explained.any()) == vary


def test_many_rows_leave_no_slack_in_what_is_explained():
    """Where a variable is a function of its target, nothing of it remains within."""
    rng = np.random.default_rng(0)
    mask = np.repeat([[False, False], [True, False]], 50, axis=0)
    x = rng.normal(0.0, 2.0, 100)
    X = np.column_stack([x, np.where(mask[:, 0], 0.5 * x, rng.normal(size=100))])
    free = statistics_of(X, mask, mask[:, 0].astype(int)).free
    assert free.within[0, 1, 0, 0] == pytest.approx(X[:50, 0].var() / 2)
    assert free.within[0, 1, 1, 1] == pytest.approx(X[:50, 1].var() / 2, abs=1e-4)


def effect_of(statistics):
    """Total effects, of which the first feature is a function."""
    return np.sinh(statistics.features[0, ..., 0].numpy())


def reference_effect(X, mask, j):
    """Ridge regression with an intercept on what interventions did to the others, row by row."""
    observational = ~mask.any(axis=1)
    means_free = np.array([X[~mask[:, i], i].mean() for i in range(X.shape[1])])
    control = X[observational].mean(axis=0) if observational.any() else means_free
    own = ~mask[:, j]
    V = np.delete(np.where(mask, X - control, 0.0), j, axis=1)[own]
    design = np.column_stack([np.ones(len(V)), V])
    penalty = _EFFECT_RIDGE * np.diag([0.0] + [1.0] * V.shape[1])
    coef = np.linalg.solve(design.T @ design + penalty, design.T @ X[own, j])
    return np.insert(coef[1:], j, 0.0)


@WAYS
@pytest.mark.parametrize("observational", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_effect_is_a_ridge_regression_on_interventions(vary, observational, seed):
    X, mask, regime = make_rows(seed, vary=vary, observational=observational)
    effect = effect_of(statistics_of(X, mask, regime))
    for j in range(X.shape[1]):
        np.testing.assert_allclose(effect[j], reference_effect(X, mask, j), atol=1e-9)


def test_effect_is_total_and_causal():
    """In a chain 0 -> 1 -> 2 the effect of 0 on 2 is the product of the weights."""
    rng = np.random.default_rng(0)
    n = 4000
    regime = np.repeat(np.arange(4), n)
    mask = regime[:, None] == np.arange(1, 4)
    X = np.zeros(mask.shape)
    for j in range(3):
        inflow = 0.8 * X[:, j - 1] if j else 0.0
        X[:, j] = np.where(mask[:, j], 2.0, inflow + rng.normal(size=4 * n))
    effect = effect_of(statistics_of(X, mask, regime))
    expected = [[0.0, 0.0, 0.0], [0.8, 0.0, 0.0], [0.64, 0.8, 0.0]]
    np.testing.assert_allclose(effect, expected, atol=0.06)


@WAYS
def test_noise_is_the_variance_within_regimes_with_one_row_of_the_whole(vary):
    X, mask, regime = make_rows(5, sizes=(9, 8, 7, 9), vary=vary)
    noise = statistics_of(X, mask, regime).noise[0].numpy()
    for j in range(X.shape[1]):
        square, dof = 0.0, 0
        for r in np.unique(regime[~mask[:, j]]):
            own = regime == r
            targets = mask[own][0]
            deviation = X[own] - X[own].mean(axis=0)
            T = deviation[:, targets] if vary else np.zeros((own.sum(), 0))
            # The penalty of the regression on targets, in scatters.
            slope = np.linalg.solve(
                T.T @ T + 1e-4 * own.sum() * np.eye(T.shape[1]), T.T @ deviation[:, j]
            )
            square += deviation[:, j] @ (deviation[:, j] - T @ slope)
            dof += own.sum() - 1 - T.shape[1]
        whole = X[~mask[:, j], j].var()
        assert noise[j] == pytest.approx((square + whole) / (dof + 1), rel=1e-9)


DEGENERATE = {
    "one row per regime": {"sizes": (1, 1, 1, 1)},
    "one regime": {"sizes": (8,)},
    "one row": {"sizes": (1,)},
    "no observational regime": {"observational": False},
    "one variable": {"d": 1, "sizes": (4, 3)},
    "one variable, one regime": {"d": 1, "sizes": (4,)},
    "two variables": {"d": 2, "sizes": (3, 3, 3)},
    "two rows": {"sizes": (2, 2, 2)},
}


@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", list(DEGENERATE))
def test_everything_is_finite_in_degenerate_data(case, dtype, vary):
    X, mask, regime = make_rows(6, vary=vary, **DEGENERATE[case])
    moments = RegimeMoments.from_rows(X, mask, regime).to(dtype)
    check_finite(pair_statistics(moments), X.shape[1], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("change", ["constant", "copy", "all targets", "large rows"])
def test_everything_is_finite_where_columns_are_degenerate(change, dtype):
    X, mask, regime = make_rows(7)
    if change == "constant":
        X[:, 1] = 0.0
    elif change == "copy":
        X[:, 2] = -X[:, 1]
    elif change == "all targets":
        mask[:, 1] = True
    else:
        X[0, 0] = 1e8
    moments = RegimeMoments.from_rows(standardized(X), mask, regime).to(dtype)
    check_finite(pair_statistics(moments), X.shape[1], dtype)


def check_finite(statistics, d, dtype):
    assert statistics.features.shape == (1, d, d, N_FEATURES)
    assert statistics.noise.shape == (1, d)
    for tensor in (statistics.features, statistics.noise):
        assert tensor.dtype == dtype
        assert tensor.isfinite().all()
    assert statistics.features.abs().max() < 100
    assert (statistics.noise > 0).all()
    assert statistics.free.covariance().isfinite().all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), vary=st.booleans(), observational=st.booleans())
def test_equivariant_to_renumbering(seed, vary, observational):
    X, mask, regime = make_rows(seed, vary=vary, observational=observational)
    order = np.random.default_rng(seed).permutation(X.shape[1])
    before = statistics_of(X, mask, regime)
    after = statistics_of(X[:, order], mask[:, order], regime)
    close = {"rtol": 0, "atol": 1e-8}
    torch.testing.assert_close(after.features, before.features[:, order][:, :, order], **close)
    torch.testing.assert_close(after.noise, before.noise[:, order], **close)
    for part in ("between", "explained", "within"):
        expected = getattr(before.free, part)[:, order][:, :, order][..., order]
        torch.testing.assert_close(getattr(after.free, part), expected, **close)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_the_regimes_does_not_matter(seed):
    X, mask, regime = make_rows(seed)
    relabel = np.random.default_rng(seed).permutation(regime.max() + 1)
    features = statistics_of(X, mask, relabel[regime]).features
    expected = statistics_of(X, mask, regime).features
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-9)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), vary=st.booleans())
def test_padding_changes_nothing(seed, vary):
    """A regime without rows, whatever its targets."""
    X, mask, regime = make_rows(seed, vary=vary)
    moments = RegimeMoments.from_rows(X, mask, regime)
    d = X.shape[1]
    targets = torch.from_numpy(np.random.default_rng(seed).random((1, 2, d)) < 0.5).double()
    empty = (torch.zeros(1, 2), torch.zeros(1, 2, d), torch.zeros(1, 2, d, d), targets)
    names = ("n_rows", "mean", "scatter", "targets")
    padded = RegimeMoments(
        *(torch.cat([getattr(moments, n), e.double()], dim=1) for n, e in zip(names, empty))
    )
    before, after = pair_statistics(moments), pair_statistics(padded)
    torch.testing.assert_close(after.features, before.features, rtol=0, atol=1e-9)
    torch.testing.assert_close(after.noise, before.noise)
    torch.testing.assert_close(after.free.covariance(), before.free.covariance())


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), vary=st.booleans())
def test_units_of_the_rows_do_not_matter_once_they_are_standardised(seed, vary):
    X, mask, regime = make_rows(seed, vary=vary)
    rng = np.random.default_rng(seed)
    d = X.shape[1]
    other = X * np.exp(rng.uniform(-4, 4, d)) + rng.normal(0.0, 10.0, d)
    before, after = (
        pair_statistics(RegimeMoments.from_rows(rows, mask, regime).standardize()[0])
        for rows in (X, other)
    )
    torch.testing.assert_close(after.features, before.features, rtol=0, atol=1e-7)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), vary=st.booleans())
def test_flipping_all_signs_flips_the_mean_do_values_alone(seed, vary):
    """Signs are made canonical before; pairs of variables do not depend on the common one."""
    X, mask, regime = make_rows(seed, vary=vary)
    before, after = (statistics_of(rows, mask, regime).features for rows in (X, -X))
    expected = before.clone()
    expected[..., SHIFT_FEATURE] *= -1
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-9)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_data_sets_of_a_batch_do_not_inform_each_other(seed):
    """With do-values that vary in one of them only, which changes how scatter is split."""
    parts = [
        RegimeMoments.from_rows(*make_rows(seed + k, vary=vary)) for k, vary in enumerate((1, 0))
    ]
    names = ("n_rows", "mean", "scatter", "targets")
    both = RegimeMoments(*(torch.cat([getattr(p, n) for p in parts]) for n in names))
    together = pair_statistics(both)
    for k, part in enumerate(parts):
        alone = pair_statistics(part)
        torch.testing.assert_close(together.features[k], alone.features[0], rtol=0, atol=1e-8)
        torch.testing.assert_close(together.free.within[k], alone.free.within[0], rtol=0, atol=1e-9)


def test_layout_of_the_features():
    """Both directions of a pair, its variables on the diagonal alone, the data set everywhere."""
    X, mask, regime = make_rows(8)
    features = statistics_of(X, mask, regime).features[0]
    d = X.shape[1]
    off = ~torch.eye(d, dtype=torch.bool)
    torch.testing.assert_close(features[..., :13], features[..., 13:26].transpose(0, 1))
    assert not features[~off][:, :26].any()
    assert not features[off][:, NODE_FEATURES].any()
    torch.testing.assert_close(features[..., 33], torch.eye(d, dtype=features.dtype))
    whole = np.array(
        [
            np.log(d),
            np.log(len(X)) / 4,
            np.log(regime.max() + 1) / 3,
            np.log(len(X) / (regime.max() + 1)) / 3,
        ]
    )
    np.testing.assert_allclose(features[..., 34:], np.broadcast_to(whole, (d, d, 4)))


@WAYS
def test_features_by_their_formulas(vary):
    """Those that have a short one, by rows."""
    X, mask, regime = make_rows(9, vary=vary)
    statistics = statistics_of(X, mask, regime)
    features, effect = statistics.features[0].numpy(), effect_of(statistics)
    noise = statistics.noise[0].numpy()
    d = X.shape[1]
    control = X[~mask.any(axis=1)].mean(axis=0)
    for j in range(d):
        own = ~mask[:, j]
        correlation = np.corrcoef(X[own].T)
        others = np.delete(np.arange(d), j)
        inner = correlation[np.ix_(others, others)] + 0.003 * np.eye(d - 1)
        beta = np.linalg.solve(inner, correlation[others, j])
        scale = X[own].std(axis=0)
        np.testing.assert_allclose(
            effect[j, others], reference_effect(X, mask, j)[others], atol=1e-8
        )
        coefficient = beta * scale[j] / scale[others]
        np.testing.assert_allclose(features[j, others, 2], np.arcsinh(coefficient), atol=1e-8)
        np.testing.assert_allclose(features[j, others, 4], correlation[j, others], atol=1e-8)
        rows = [(mask[:, i] & own).sum() for i in others]
        np.testing.assert_allclose(features[j, others, 10], np.log1p(rows) / 3)
        node = features[j, j, NODE_FEATURES]
        shifts = X[~own, j] - control[j]
        assert node[0] == pytest.approx(np.arcsinh(shifts.mean() if len(shifts) else 0.0))
        unexplained = 1 - beta @ correlation[others, j]
        assert node[2] == pytest.approx(np.log(unexplained), abs=1e-8)
        assert node[3] == pytest.approx(np.log(noise[j]) / 2)
        assert node[4] == pytest.approx(np.log1p(own.sum()) / 4)
        assert node[5] == pytest.approx(np.log1p((~own).sum()) / 3)
        assert node[6] == pytest.approx(np.log(scale[j]))


def test_mean_without_intervention():
    """That of observational rows; failing that, that of each variable where it is free."""
    for observational in (True, False):
        X, mask, regime = make_rows(10, observational=observational)
        moments = RegimeMoments.from_rows(X, mask, regime)
        control = _control_mean(moments, pair_statistics(moments).free)[0]
        expected = (
            X[~mask.any(axis=1)].mean(axis=0)
            if observational
            else [X[~mask[:, j], j].mean() for j in range(X.shape[1])]
        )
        np.testing.assert_allclose(control, expected, atol=1e-12)


def test_no_gradients_are_kept():
    moments = RegimeMoments.from_rows(*make_rows(11))
    moments.mean.requires_grad_()
    assert not pair_statistics(moments).features.requires_grad
