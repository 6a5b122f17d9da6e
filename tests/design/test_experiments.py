"""Experiments in canonical order: how they were written down does not matter."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.design._design_space import DesignSpace
from skcausal.design._experiments import Experiment
from skcausal.design._histories import Designs

D, N = 4, 12


def rows(seed=0, d=D, n=N):
    rng = np.random.default_rng(seed)
    targets = rng.random((5, d)) < 0.4
    targets[0] = False
    mask = targets[np.arange(n) % 5]
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    values = rng.choice([-1.0, 1.0], size=(n, d))
    return np.where(mask, values, X), mask


def experiment(X, mask, regime=None, **arguments):
    settings = {"rows_per_design": 1, "separates_values": True} | arguments
    return Experiment.from_rows(X, mask, regime, **settings)


def assert_same(found, expected):
    for name in ("X", "mask", "regime"):
        assert torch.equal(getattr(found.histories, name), getattr(expected.histories, name))


permutations = st.tuples(st.integers(0, 50), st.permutations(range(N)), st.permutations(range(D)))


@given(permutations)
@settings(max_examples=40)
def test_order_of_rows_and_variables_does_not_matter(drawn):
    seed, rows_in, variables = drawn
    X, mask = rows(seed)
    expected = experiment(X, mask)
    shuffled = X[list(rows_in)][:, list(variables)], mask[list(rows_in)][:, list(variables)]
    found = experiment(*shuffled)
    assert_same(found, expected)
    np.testing.assert_array_equal(np.array(variables)[found.order], expected.order)


@pytest.mark.parametrize("order", ["C", "F"])
@given(permutations)
@settings(max_examples=40)
def test_standardised_variables_have_an_order_too(order, drawn):
    """All variances are equal but for rounding errors, which must not depend on the layout."""
    seed, rows_in, variables = drawn
    X, mask = rows(seed)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = experiment(X, mask)
    shuffled = np.array(X[list(rows_in)][:, list(variables)], order=order)
    found = experiment(shuffled, mask[list(rows_in)][:, list(variables)])
    np.testing.assert_array_equal(np.array(variables)[found.order], expected.order)
    assert_same(found, expected)


@given(st.integers(0, 50), st.permutations(range(N)))
@settings(max_examples=20)
def test_given_regimes_move_with_the_rows(seed, order):
    X, mask = rows(seed)
    regime = np.arange(N) % 5
    order = list(order)
    expected = experiment(X, mask, regime)
    assert_same(experiment(X[order], mask[order], regime[order]), expected)
    assert expected.histories.n_regimes == 5


def test_rows_are_those_that_were_given():
    X, mask = rows()
    found = experiment(X, mask, rows_per_design=3)
    together = np.hstack([X, mask])[:, np.concatenate([found.order, D + found.order])]
    again = torch.cat([found.histories.X[0], found.histories.mask[0].double()], dim=1).numpy()
    np.testing.assert_array_equal(np.unique(again, axis=0), np.unique(together, axis=0))
    assert found.histories.rows_per_design == 3
    assert found.histories.X.dtype == torch.float64


class TestRegimes:
    X = np.array([[1.0, 2.0], [1.0, 3.0], [5.0, 3.0], [7.0, 8.0], [9.0, 8.0], [0.0, 0.0]])
    MASK = np.array([[True, False]] * 3 + [[False, False]] * 2 + [[True, True]])

    def sizes(self, regime=None, **arguments):
        found = experiment(self.X, self.MASK, regime, **arguments).histories
        return sorted(torch.bincount(found.regime).tolist()), found

    def test_by_targets_and_values(self):
        sizes, found = self.sizes(separates_values=True)
        assert sizes == [1, 1, 2, 2]
        assert not found.mask[0, found.regime == 0].any()

    def test_by_targets(self):
        sizes, found = self.sizes(separates_values=False)
        assert sizes == [1, 2, 3]
        assert not found.mask[0, found.regime == 0].any()

    @pytest.mark.parametrize("separates_values", [True, False])
    def test_as_given(self, separates_values):
        regime = np.array([1, 2, 1, 0, 0, 3])
        sizes, found = self.sizes(regime, separates_values=separates_values)
        assert sizes == [1, 1, 2, 2]
        assert not found.mask[0, found.regime == 0].any()

    def test_all_rows_observational(self):
        nothing = np.zeros_like(self.MASK)
        assert experiment(self.X, nothing).histories.n_regimes == 1


class TestBack:
    def test_spaces_are_reordered(self):
        X, mask = rows()
        found = experiment(X, mask)
        space = DesignSpace(
            torch.tensor([True, False, True, True]), torch.arange(4.0), torch.arange(4.0) + 1, 1, 2
        )
        moved = found.convert_space(space)
        assert moved.low.tolist() == found.order.tolist()
        assert moved.high.tolist() == (found.order + 1.0).tolist()
        assert moved.allowed.tolist() == [k != 1 for k in found.order]
        assert (moved.fewest, moved.most) == (1, 2)

    def test_designs_are_written_in_the_order_of_the_data(self):
        found = experiment(*rows())
        values = torch.from_numpy(found.order).double()
        targets = torch.from_numpy(found.order) != 2
        designs = Designs(targets[None], torch.where(targets, values, 0.0)[None])
        np.testing.assert_array_equal(found.to_rows(designs), [[0.0, 1.0, np.nan, 3.0]])
        assert found.to_rows(designs).dtype == np.float64

    def test_matrices_are_taken_back(self):
        found = experiment(*rows())
        order = torch.from_numpy(found.order)
        matrix = 10.0 * order[:, None] + order
        expected = 10.0 * np.arange(4)[:, None] + np.arange(4)
        np.testing.assert_array_equal(found.from_matrix(matrix), expected)


class TestUnits:
    """Standardised rows, and designs that are written in the units of the data."""

    def pair(self):
        X, mask = rows()
        X = X * [10.0, 0.1, 1.0, 3.0] + [1e4, 0.0, -5.0, 1.0]
        return X, experiment(X, mask), experiment(X, mask, standardize=True)

    def test_rows_have_mean_0_and_variance_1(self):
        X, _, found = self.pair()
        rows_of_it = found.histories.X[0].numpy()
        np.testing.assert_allclose(rows_of_it.mean(axis=0), 0.0, atol=1e-9)
        np.testing.assert_allclose(rows_of_it.std(axis=0), 1.0, rtol=1e-9)
        np.testing.assert_allclose(found.centre, X.mean(axis=0)[found.order])
        np.testing.assert_allclose(found.scale, X.std(axis=0)[found.order])

    def test_the_order_is_the_same(self):
        _, raw, found = self.pair()
        np.testing.assert_array_equal(found.order, raw.order)
        assert torch.equal(found.histories.mask, raw.histories.mask)
        assert torch.equal(found.histories.regime, raw.histories.regime)
        assert not raw.centre.any()
        assert (raw.scale == 1).all()

    def test_designs_there_and_back(self):
        _, raw, found = self.pair()
        targets = torch.tensor([[True, False, True, True]])
        values = torch.tensor([[1e4, 0.0, -4.5, 7.0]]).double()
        for form in (raw, found):
            converted = form.convert_designs(Designs(targets, values))
            assert torch.equal(converted.targets[0], targets[0, form.order.copy()])
            np.testing.assert_allclose(form.to_rows(converted), [[1e4, np.nan, -4.5, 7.0]])

    def test_spaces_have_the_units_of_the_rows(self):
        _, _, found = self.pair()
        low, high = torch.tensor([9e3, -1.0, -9.0, 0.0]), torch.tensor([1.1e4, 1.0, 0.0, 5.0])
        space = DesignSpace(torch.ones(4, dtype=torch.bool), low.double(), high.double(), 0, 4)
        converted = found.convert_space(space)
        ends = converted.at_ends(torch.ones(1, 4, dtype=torch.bool), torch.zeros(1, 4).bool())
        np.testing.assert_allclose(found.to_rows(ends), [low.tolist()], atol=1e-9)
        assert (converted.low < converted.high).all()
