"""Moments of regimes are those of their rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.nn._regime_moments import RegimeMoments, concatenate_regimes

FIELDS = ("n_rows", "mean", "scatter", "targets")


def rows(seed, sizes=(5, 1, 7, 2), d=3):
    """Values, mask and regime of rows in random order; regime 0 is observational."""
    rng = np.random.default_rng(seed)
    targets = rng.random((len(sizes), d)) < 0.4
    targets[0] = False
    regime = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(1.0, 3.0, (len(regime), d)) @ rng.normal(size=(d, d))
    return X, targets[regime], regime


def assert_same(moments, expected, tolerance=1e-12, fields=FIELDS):
    for name in fields:
        found = getattr(moments, name)
        torch.testing.assert_close(found, getattr(expected, name), rtol=0, atol=tolerance, msg=name)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_from_rows_is_numpy_regime_by_regime(seed, sizes):
    X, mask, regime = rows(seed, sizes)
    moments = RegimeMoments.from_rows(X, mask, regime)
    assert moments.mean.dtype == torch.float64
    for r in range(len(sizes)):
        own = X[regime == r]
        assert moments.n_rows[0, r] == len(own)
        np.testing.assert_allclose(moments.mean[0, r], own.mean(axis=0))
        expected = np.cov(own.T, ddof=0) * len(own)
        np.testing.assert_allclose(moments.scatter[0, r], expected, atol=1e-10)
        np.testing.assert_array_equal(moments.targets[0, r], mask[regime == r][0])


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_the_rows_does_not_matter(seed):
    X, mask, regime = rows(seed)
    order = np.random.default_rng(seed).permutation(len(X))
    shuffled = RegimeMoments.from_rows(X[order], mask[order], regime[order])
    assert_same(shuffled, RegimeMoments.from_rows(X, mask, regime), 1e-10)


def test_deviations_are_taken_from_the_mean_not_from_zero():
    """A large offset does not drown the scatter, as differences of squares would let it."""
    X, mask, regime = rows(0)
    far = RegimeMoments.from_rows(X + 1e7, mask, regime)
    assert_same(far, RegimeMoments.from_rows(X, mask, regime), 1e-4, fields=("scatter",))


def batch(seed, n_tasks=3, n_regimes=4, n_rows=6, d=3):
    """Rows of several tasks, which of them count, and targets."""
    rng = np.random.default_rng(seed)
    X = torch.from_numpy(rng.normal(2.0, 1.0, (n_tasks, n_regimes, n_rows, d)))
    kept = torch.from_numpy(rng.random((n_tasks, n_regimes, n_rows)) < 0.6)
    kept[:, :, 0] = True
    targets = torch.from_numpy(rng.random((n_tasks, n_regimes, d)) < 0.4)
    return X, kept, targets


@pytest.mark.parametrize("share", ["all", "some"])
def test_from_tasks_is_from_rows_task_by_task(share):
    X, kept, targets = batch(0)
    kept = torch.ones_like(kept) if share == "all" else kept
    moments = RegimeMoments.from_tasks(X, kept, targets)
    for k in range(len(X)):
        regime = np.nonzero(kept[k].numpy())[0]
        mask = targets[k].numpy()[regime]
        expected = RegimeMoments.from_rows(X[k][kept[k]].numpy(), mask, regime)
        assert_same(moments[k : k + 1], expected, 1e-10)


def test_rows_that_do_not_count_may_hold_anything_finite():
    X, kept, targets = batch(1)
    other = torch.where(kept[..., None], X, 1e3)
    assert_same(
        RegimeMoments.from_tasks(other, kept, targets), RegimeMoments.from_tasks(X, kept, targets)
    )


def test_precision_is_that_of_the_rows():
    X, kept, targets = batch(2)
    moments = RegimeMoments.from_tasks(X.float(), kept, targets)
    assert {getattr(moments, name).dtype for name in FIELDS} == {torch.float32}
    assert moments.to(torch.float64).scatter.dtype == torch.float64


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_standardize_is_z_scoring_the_rows(seed):
    X, mask, regime = rows(seed)
    moments, centre, scale = RegimeMoments.from_rows(X, mask, regime).standardize()
    np.testing.assert_allclose(centre[0], X.mean(axis=0))
    np.testing.assert_allclose(scale[0], X.std(axis=0))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    assert_same(moments, RegimeMoments.from_rows(Z, mask, regime), 1e-9)


def test_a_constant_variable_keeps_its_unit():
    X, mask, regime = rows(3)
    X[:, 1] = 4.0
    moments, centre, scale = RegimeMoments.from_rows(X, mask, regime).standardize()
    assert centre[0, 1] == 4.0
    assert scale[0, 1] == 1.0
    assert not moments.mean[..., 1].any()
    assert not moments.scatter[..., 1].any()


def test_regimes_without_rows_are_harmless():
    X, kept, targets = batch(4)
    kept[:, 2] = False
    moments = RegimeMoments.from_tasks(X, kept, targets)
    assert not moments.n_rows[:, 2].any()
    assert not moments.mean[:, 2].any()
    assert not moments.scatter[:, 2].any()
    others = [0, 1, 3]
    without = RegimeMoments.from_tasks(X[:, others], kept[:, others], targets[:, others])
    padded, *units = moments.standardize()
    expected, *expected_units = without.standardize()
    assert_same(padded[:, others], expected)
    for unit, expected_unit in zip(units, expected_units):
        torch.testing.assert_close(unit, expected_unit)
    assert not padded.scatter[:, 2].any()


def standardised(seed, sizes=(5, 1, 7, 2), d=4):
    """Standardised rows, their mask and regimes."""
    X, mask, regime = rows(seed, sizes, d)
    return (X - X.mean(axis=0)) / X.std(axis=0), mask, regime


def canonical(Z, mask, regime):
    """Rows and moments in their canonical signs."""
    moments = RegimeMoments.from_rows(Z, mask, regime)
    signs = moments.canonical_signs()
    return Z * signs[0].numpy(), moments.with_signs(signs)


class TestSigns:
    @settings(max_examples=15)
    @given(seed=st.integers(0, 10_000))
    def test_moments_with_signs_are_those_of_the_rows_with_signs(self, seed):
        Z, mask, regime = standardised(seed)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], 4)
        found = RegimeMoments.from_rows(Z, mask, regime).with_signs(torch.from_numpy(signs)[None])
        assert_same(found, RegimeMoments.from_rows(Z * signs, mask, regime))

    def test_every_task_has_signs_of_its_own(self):
        X, kept, targets = batch(5)
        moments = RegimeMoments.from_tasks(X, kept, targets)
        signs = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]]).double()
        expected = RegimeMoments.from_tasks(X * signs[:, None, None], kept, targets)
        assert_same(moments.with_signs(signs), expected)

    @settings(max_examples=15)
    @given(seed=st.integers(0, 10_000))
    def test_canonical_rows_do_not_depend_on_the_signs_they_came_in(self, seed):
        Z, mask, regime = standardised(seed)
        mask[regime == 1, 0] = True
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], 4)
        expected_rows, expected = canonical(Z, mask, regime)
        found_rows, found = canonical(Z * signs, mask, regime)
        np.testing.assert_array_equal(found_rows, expected_rows)
        assert_same(found, expected)

    def test_canonical_signs_of_permuted_variables_are_permuted(self):
        Z, mask, regime = standardised(0)
        order = [2, 0, 3, 1]
        signs = RegimeMoments.from_rows(Z, mask, regime).canonical_signs()
        permuted = RegimeMoments.from_rows(Z[:, order], mask[:, order], regime).canonical_signs()
        assert torch.equal(permuted, signs[:, order])

    def test_canonical_signs_are_one_or_minus_one(self):
        X, kept, targets = batch(6)
        X[0, ..., 1] = 0.0  # a constant variable has one, too
        moments = RegimeMoments.from_tasks(X.float(), kept, targets)
        signs = moments.canonical_signs()
        assert signs.shape == (3, 3)
        assert signs.dtype == torch.float32
        assert (signs.abs() == 1).all()

    def test_variables_that_go_together_get_the_same_sign(self):
        rng = np.random.default_rng(0)
        Z = rng.normal(size=(200, 1)) * [1.0, -1.0, 1.0] + 0.3 * rng.normal(size=(200, 3))
        moments = RegimeMoments.from_rows(Z, np.zeros(Z.shape, bool), np.zeros(200, int))
        signs = moments.canonical_signs()[0]
        assert signs[0] == signs[2] == -signs[1]

    @pytest.mark.parametrize("value", [3.0, -3.0])
    def test_targets_are_set_to_larger_values_on_the_whole(self, value):
        Z, mask, regime = standardised(1, sizes=(10, 10))
        mask[:] = False
        mask[regime == 1, 2] = True
        Z[mask] = value
        moments = RegimeMoments.from_rows(Z, mask, regime)
        signed = moments.with_signs(moments.canonical_signs())
        assert signed.mean[0, 1, 2] > 0

    def test_of_several_regimes_those_with_more_rows_count_more(self):
        Z, mask, regime = standardised(2, sizes=(10, 9, 3))
        mask[:] = False
        mask[regime > 0, 0] = True
        Z[regime == 1, 0], Z[regime == 2, 0] = -1.0, 1.5
        moments = RegimeMoments.from_rows(Z, mask, regime)
        signed = moments.with_signs(moments.canonical_signs())
        assert signed.mean[0, 1, 0] > 0


class TestConcatenateRegimes:
    def test_regimes_stand_one_after_the_other(self):
        X, kept, targets = batch(7)
        whole = RegimeMoments.from_tasks(X, kept, targets)
        parts = [
            RegimeMoments.from_tasks(X[:, which], kept[:, which], targets[:, which])
            for which in (slice(0, 1), slice(1, 3), slice(3, 4))
        ]
        assert_same(concatenate_regimes(parts), whole)
        assert_same(concatenate_regimes([whole]), whole)

    def test_regimes_may_differ_in_their_number_of_rows(self):
        X, kept, targets = batch(8)
        fewer = kept & (torch.arange(6) < 2)
        fewer[..., 0] = True
        parts = [
            RegimeMoments.from_tasks(X, kept, targets),
            RegimeMoments.from_tasks(X[:, :1, :2], fewer[:, :1, :2], targets[:, :1]),
        ]
        joined = concatenate_regimes(parts)
        assert joined.n_rows.shape == (3, 5)
        assert_same(joined[1:], concatenate_regimes([part[1:] for part in parts]))
        torch.testing.assert_close(joined.mean[:, 4], parts[1].mean[:, 0])
