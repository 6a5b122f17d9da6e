"""Scaling of covariates: centre, unit and limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skcausal.effects._scaling import fit_scaling


def columns(seed, n=60):
    """A normal, a skewed, a two-valued (1 in 5) and a three-valued column."""
    rng = np.random.default_rng(seed)
    two = np.r_[np.ones(n // 5), np.zeros(n - n // 5)]
    return np.column_stack(
        [rng.normal(size=n), rng.exponential(size=n), two, rng.permutation(np.arange(n) % 3)]
    )


@pytest.mark.parametrize("seed", range(3))
def test_columns_are_centred_and_brought_to_their_unit(seed):
    X = columns(seed)
    scaled = fit_scaling(X).apply(X)
    np.testing.assert_allclose(scaled.mean(axis=0), np.zeros(4), atol=1e-12)
    np.testing.assert_allclose(scaled[:, [0, 1, 3]].std(axis=0), np.ones(3))
    assert np.ptp(scaled[:, 2]) == pytest.approx(1.0)
    np.testing.assert_allclose(np.unique(scaled[:, 2]), [-0.2, 0.8])


@given(
    seed=st.integers(0, 1000),
    unit=st.floats(1e-3, 1e3),
    sign=st.sampled_from([-1.0, 1.0]),
    origin=st.floats(-1e3, 1e3),
)
def test_units_do_not_matter(seed, unit, sign, origin):
    X, X_new = columns(seed), 3.0 * columns(seed + 1)
    expected = fit_scaling(X).apply(X_new)
    scaled = fit_scaling(sign * unit * X + origin).apply(sign * unit * X_new + origin)
    np.testing.assert_allclose(scaled, sign * expected, rtol=1e-6, atol=1e-6 / min(1.0, unit))


def test_far_values_are_cut_off_at_six_standard_deviations_but_not_in_two_valued_columns():
    X = columns(0)
    scaling = fit_scaling(X)
    far = scaling.apply(X.mean(axis=0) + 100.0 * np.array([[1.0], [-1.0]]))
    np.testing.assert_array_equal(far[:, [0, 1, 3]], [[6.0] * 3, [-6.0] * 3])
    np.testing.assert_allclose(far[:, 2], [100.0, -100.0])
    near = scaling.apply(X.mean(axis=0) + 5.9 * X.std(axis=0))
    np.testing.assert_allclose(near[[0, 1, 3]], [5.9] * 3)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e9])
def test_constant_columns_become_zero(value):
    X = columns(0)
    X[:, 1] = value
    scaling = fit_scaling(X)
    np.testing.assert_allclose(scaling.apply(X)[:, 1], np.zeros(len(X)), atol=1e-6)
    assert scaling.scale[1] == 1.0
    assert scaling.limit[1] == 6.0


def test_rounding_errors_are_not_taken_for_two_values():
    X = np.full((10, 1), 0.1)
    X[5:] += 1e-17 + np.spacing(0.1)
    assert len(np.unique(X)) == 2
    assert abs(fit_scaling(X).apply(X)).max() < 1e-12


def test_rare_category_stays_small():
    X = np.zeros((1000, 1))
    X[0] = 1.0
    assert fit_scaling(X).apply(X).max() == pytest.approx(0.999)  # 31.6 standard deviations


@pytest.mark.parametrize("value", [1e200, 1e308], ids=["squares", "sums"])
def test_values_too_large_for_moments_are_refused(value):
    X = columns(0)
    X[:3, 0] = [value, -value, value / 2]
    with pytest.raises(ValueError, match=r"X contains values too large .*rescale the columns"):
        fit_scaling(X)
