"""Statistics of contexts, against loops over rows."""

import numpy as np
import pytest

from skcausal.perturbation._contexts import summarise_contexts


def rows(seed=0, n_samples=60, d=3):
    """Rows of up to six contexts in random order, and their features."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 3, size=(n_samples, 2)) * [1.0, -0.5]
    features[0] = 0.0
    return rng.normal(size=(n_samples, d)) @ rng.normal(size=(d, d)) + 5.0, features


class TestSummary:
    @pytest.mark.parametrize("seed", range(3))
    def test_row_by_row(self, seed):
        X, features = rows(seed)
        contexts = summarise_contexts(X, features, separately=True)
        assert not contexts.features[0].any()
        assert contexts.features[1:].any(axis=1).all()
        np.testing.assert_array_equal(contexts.features[contexts.context_of_row], features)
        pooled = np.zeros((3, 3))
        for k, row in enumerate(contexts.features):
            own = X[(features == row).all(axis=1)]
            assert contexts.n_rows[k] == len(own)
            np.testing.assert_allclose(contexts.means[k], own.mean(axis=0))
            scatter = (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
            np.testing.assert_allclose(contexts.scatters[k], scatter, atol=1e-12)
            pooled += scatter
        np.testing.assert_allclose(contexts.scatter, pooled, atol=1e-12)
        assert contexts.n_within == len(X) - len(contexts.features)

    def test_order_of_rows_does_not_matter(self):
        X, features = rows()
        shuffled = np.random.default_rng(1).permutation(len(X))
        one, other = (summarise_contexts(X[r], features[r]) for r in (np.arange(60), shuffled))
        np.testing.assert_array_equal(one.features, other.features)
        np.testing.assert_array_equal(one.context_of_row[shuffled], other.context_of_row)
        np.testing.assert_allclose(one.means, other.means)
        np.testing.assert_allclose(one.scatter, other.scatter)
        assert one.scatters is None

    def test_zeros_of_either_sign_are_one_control(self):
        X, features = rows()
        assert (np.signbit(features) & (features == 0)).any()
        assert (~summarise_contexts(X, features).features.any(axis=1)).sum() == 1

    def test_no_control(self):
        X, features = rows()
        with pytest.raises(ValueError, match=r"no control: .* Mark controls by rows of zeros"):
            summarise_contexts(X, features + 7.0)


class TestStandardised:
    def test_it_is_the_summary_of_standardised_rows(self):
        X, features = rows()
        contexts = summarise_contexts(X, features, separately=True)
        standardised, centre, scale = contexts.standardised()
        np.testing.assert_allclose(centre, contexts.means[0])
        within = X - contexts.means[contexts.context_of_row]
        deviation = np.sqrt((within**2).sum(axis=0) / contexts.n_within)
        np.testing.assert_allclose(scale, deviation)
        expected = summarise_contexts((X - centre) / scale, features, separately=True)
        for name in ("means", "scatter", "scatters"):
            np.testing.assert_allclose(
                getattr(standardised, name), getattr(expected, name), atol=1e-12
            )

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e9, 1e-160])
    def test_constant_variables_are_not_blown_up(self, value):
        X, features = rows()
        X[:, 1] = value
        standardised, _, scale = summarise_contexts(X, features).standardised()
        assert scale[1] == 1.0
        np.testing.assert_allclose(standardised.means[:, 1], 0.0, atol=1e-6)

    @pytest.mark.parametrize("unit", [1e-100, 1e-6, 1e6, 1e100])
    def test_any_unit(self, unit):
        X, features = rows()
        expected = summarise_contexts(X, features).standardised()
        found = summarise_contexts(X * unit, features).standardised()
        np.testing.assert_allclose(found[0].means, expected[0].means, atol=1e-12)
        np.testing.assert_allclose(found[2], expected[2] * unit)

    def test_one_row_each(self):
        X = np.random.default_rng(0).normal(size=(4, 2))
        contexts = summarise_contexts(X, np.arange(4.0)[:, None])
        assert contexts.n_within == 0
        standardised, centre, scale = contexts.standardised()
        np.testing.assert_array_equal(scale, 1.0)
        np.testing.assert_array_equal(standardised.means, X - centre)
