"""Intervals of unit effects from the spread of an ensemble."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from skcausal.effects._intervals import effect_bounds


def test_bounds_of_two_members_in_closed_form():
    # Student's t with one degree of freedom is the Cauchy distribution, with quantile tan(0.45 pi).
    effects = np.array([[1.0, 4.0, 1.0], [3.0, 4.0, 9.0]])  # means 2, 4, 5; variances 2, 0, 32
    for common in (0.0, 5.0):
        lower, upper = effect_bounds(effects, 6.0, 0.9, common)
        variance = np.array([(2.0 + 6.0) / 2, (0.0 + 6.0) / 2, 32.0]) + common
        np.testing.assert_allclose((upper + lower) / 2, [2.0, 4.0, 5.0])
        np.testing.assert_allclose((upper - lower) / 2, np.tan(0.45 * np.pi) * np.sqrt(variance))


@pytest.mark.parametrize(("n_members", "quantile"), [(3, 2.920), (5, 2.132), (11, 1.812)])
def test_quantile_is_that_of_an_estimated_variance(n_members, quantile):
    effects = np.random.default_rng(0).normal(size=(n_members, 4))
    lower, upper = effect_bounds(effects, 0.5, 0.9)
    variance = [sum((e - e.mean()) ** 2) / (n_members - 1) for e in effects.T]
    expected = 2 * quantile * np.sqrt([max(v, (v + 0.5) / 2) for v in variance])
    np.testing.assert_allclose(upper - lower, expected, rtol=3e-4)  # three digits in the tables


@given(
    seed=st.integers(0, 1000),
    unit=st.floats(1e-3, 1e3),
    origin=st.floats(-100, 100),
    level=st.floats(0.05, 0.99),
)
def test_bounds_follow_the_unit_and_the_origin(seed, unit, origin, level):
    effects = np.random.default_rng(seed).normal(size=(4, 3))
    lower, upper = effect_bounds(effects, 0.7, level)
    moved = effect_bounds(-unit * effects[::-1] + origin, unit**2 * 0.7, level)
    np.testing.assert_allclose(moved, (-unit * upper + origin, -unit * lower + origin), rtol=1e-6)


def test_bounds_are_nested():
    effects = np.random.default_rng(0).normal(size=(5, 8))
    narrow, wide = effect_bounds(effects, 1.0, 0.5), effect_bounds(effects, 1.0, 0.95)
    assert (wide[0] < narrow[0]).all()
    assert (narrow[1] < wide[1]).all()
    assert (effect_bounds(effects, 20.0, 0.5)[1] > narrow[1]).all()
    assert (effect_bounds(effects, 1.0, 0.5, 0.1)[1] > narrow[1]).all()


def test_members_that_agree_have_no_empty_interval():
    lower, upper = effect_bounds(np.ones((5, 2)), 0.3, 0.9)
    assert (upper - lower > 0.5).all()


# The recipe under two models of the members' errors. `shared` is the part that all have in common,
# which their spread cannot show: the sampling error of the data that bootstrap samples are drawn
# from. With bootstrap samples its variance is that between members.


@pytest.mark.parametrize("n_members", [2, 5, 10])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("shared", [0.0, 1.0], ids=["own_errors", "sampling_error_too"])
def test_coverage_is_at_least_nominal_where_all_units_are_alike(n_members, level, shared):
    rng = np.random.default_rng(0)
    n = 4000
    effects = rng.normal(size=(n_members, n)) + shared * rng.normal(size=n)
    lower, upper = effect_bounds(effects, 1.0, level)
    covered = ((lower <= 0) & (upper >= 0)).sum()
    assert covered >= binom.ppf(1e-4, n, level)


def test_coverage_where_members_vary_more_or_less_than_on_average():
    # With four times the average variance it falls a little short of 90 %: the common part of the
    # errors adds a fifth to the variance. With a quarter of it the interval is too long.
    rng = np.random.default_rng(0)
    n = 20_000
    errors = rng.normal(size=(5, n)) + rng.normal(size=n)
    coverages = []
    for spread in (2.0, 1.0, 0.5):
        lower, upper = effect_bounds(spread * errors, 1.0, 0.9)
        coverages.append(((lower <= 0) & (upper >= 0)).mean())
    np.testing.assert_allclose(coverages, [0.88, 0.93, 0.998], atol=0.015)
