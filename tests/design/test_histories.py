"""Experiments so far: rows are added one experiment after the other, and summed up."""

import numpy as np
import pytest
import torch

from skcausal.design import _histories
from skcausal.design._histories import Designs, Histories
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.structure._free_sums import FreeSums

D = 3


def history(seed=0, n_systems=2, n_initial=5, n_designs=4, rows_per_design=2):
    """Observational rows, then experiments that differ by system."""
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(n_systems, n_initial, D, generator=rng, dtype=torch.float64)
    histories = Histories.observational(3.0 * start + 1.0, rows_per_design)
    for _ in range(n_designs):
        X = torch.randn(n_systems, rows_per_design, D, generator=rng, dtype=torch.float64)
        targets = torch.rand(n_systems, 1, D, generator=rng) < 0.5
        targets[0, 0, 0] = True
        histories = histories.add(X, targets.expand(X.shape))
    return histories


def assert_same(found, expected):
    for name in ("n_rows", "total", "products", "mean", "scatter", "targets"):
        if hasattr(expected, name):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name))


class TestRows:
    def test_observational_rows_are_one_regime(self):
        X = torch.randn(2, 5, D, generator=torch.Generator().manual_seed(0))
        histories = Histories.observational(X, rows_per_design=3)
        assert not histories.mask.any()
        assert histories.regime.tolist() == [0] * 5
        assert (histories.n_variables, histories.n_regimes) == (D, 1)
        assert histories.rows_per_design == 3
        assert len(histories) == 2

    def test_each_experiment_is_a_regime(self):
        histories = history()
        assert histories.regime.tolist() == [0] * 5 + [1, 1, 2, 2, 3, 3, 4, 4]
        assert histories.n_regimes == 5

    def test_rows_without_any_intervention_go_to_the_first_regime(self):
        histories = history()
        X = torch.zeros(2, 2, D, dtype=torch.float64)
        more = histories.add(X, torch.zeros_like(X, dtype=torch.bool))
        assert more.regime.tolist()[-2:] == [0, 0]
        some = torch.zeros_like(X, dtype=torch.bool)
        some[1] = True
        assert histories.add(X, some).regime.tolist()[-2:] == [5, 5]

    def test_add_does_not_change_what_it_is_called_on(self):
        histories = history()
        copied = histories.X.clone()
        histories.add(torch.ones(2, 2, D).double(), torch.ones(2, 2, D, dtype=torch.bool))
        assert histories.X.shape == copied.shape
        assert torch.equal(histories.X, copied)

    def test_until_takes_back_what_was_added(self):
        histories = history(n_designs=4)
        shorter = history(n_designs=2)
        found = histories.until(9)
        assert torch.equal(found.X, shorter.X)
        assert torch.equal(found.mask, shorter.mask)
        assert torch.equal(found.regime, shorter.regime)
        assert found.n_regimes == 3

    def test_indexing_selects_systems(self):
        histories = history(n_systems=3)
        for index in (slice(1, 3), torch.tensor([2, 0, 2]), torch.tensor([True, False, True])):
            part = histories[index]
            assert torch.equal(part.X, histories.X[index])
            assert torch.equal(part.mask, histories.mask[index])
            assert part.n_regimes == histories.n_regimes

    def test_counts_of_targets_and_designs(self):
        histories = history()
        masks = histories.mask[:, 5::2]  # one row of each experiment
        assert torch.equal(histories.n_targeted(), masks.sum(dim=1).double())
        assert torch.equal(histories.n_designs(), masks.any(dim=-1).sum(dim=1).double())
        assert histories.n_designs()[0] == 4

    def test_precision(self):
        assert history().to(torch.float32).X.dtype == torch.float32


class TestSums:
    @pytest.mark.parametrize("at_once", [1, 18, 90, 2**22])
    def test_sums_are_those_of_the_rows(self, at_once, monkeypatch):
        """However many rows are multiplied at a time."""
        monkeypatch.setattr(_histories, "_PRODUCTS_AT_ONCE", at_once)
        histories = history()
        assert_same(histories.sums(), FreeSums.from_rows(histories.X, histories.mask))

    def test_sums_grow_as_rows_are_added(self):
        histories = history()
        X = torch.randn(2, 2, D, generator=torch.Generator().manual_seed(1)).double()
        mask = torch.tensor([True, False, True]).expand(X.shape)
        assert_same(histories.add(X, mask).sums(), histories.sums().add(X, mask))

    @pytest.mark.parametrize("rows_per_design", [1, 2, 3])
    def test_moments_are_those_of_simulated_tasks(self, rows_per_design):
        histories = history(rows_per_design=rows_per_design, n_initial=rows_per_design)
        regimes = (histories.n_regimes, rows_per_design)
        X = histories.X.unflatten(1, regimes)
        targets = histories.mask.unflatten(1, regimes)[:, :, 0]
        kept = torch.ones(X.shape[:3], dtype=torch.bool)
        assert_same(histories.moments(), RegimeMoments.from_tasks(X, kept, targets))

    def test_moments_are_those_of_rows_in_any_order(self):
        histories = history(n_systems=1)
        order = np.random.default_rng(0).permutation(histories.X.shape[1])
        shuffled = Histories(
            histories.X[:, order], histories.mask[:, order], histories.regime[order], 2
        )
        X, mask = histories.X[0].numpy(), histories.mask[0].numpy()
        expected = RegimeMoments.from_rows(X, mask, histories.regime.numpy())
        assert_same(histories.moments(), expected)
        assert_same(shuffled.moments(), expected)

    def test_standardized(self):
        histories = history()
        X = torch.cat([histories.X, torch.full((2, 13, 1), 7.0).double()], dim=-1)
        mask = torch.cat([histories.mask, torch.zeros(2, 13, 1, dtype=torch.bool)], dim=-1)
        standardized, centre, scale = Histories(X, mask, histories.regime, 2).standardized()
        torch.testing.assert_close(centre, X.mean(dim=1))
        torch.testing.assert_close(scale[:, :D], X[..., :D].std(dim=1, correction=0))
        assert scale[:, D].tolist() == [1.0, 1.0]
        torch.testing.assert_close(standardized.X * scale[:, None] + centre[:, None], X)
        assert torch.equal(standardized.mask, mask)
        assert torch.equal(standardized.regime, histories.regime)
        assert standardized.rows_per_design == 2

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0, 1e9])
    def test_units_do_not_matter(self, unit, dtype):
        histories = history()
        scaled = Histories((unit * histories.X).to(dtype), histories.mask, histories.regime, 2)
        found, _, scale = scaled.standardized()
        expected, _, before = histories.standardized()
        torch.testing.assert_close(found.X.double(), expected.X, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(scale.double(), unit * before, atol=0, rtol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("value", [0.0, 1e-9, 0.1, -3.7, 1e9])
    def test_constant_variables_are_left_constant(self, value, dtype):
        for n in (2, 3, 50, 1001):
            X = torch.full((1, n, 2), value, dtype=dtype)
            found, _, scale = Histories.observational(X).standardized()
            assert scale.tolist() == [[1.0, 1.0]]
            assert found.X.abs().max() <= 1e-5 * abs(value)


class TestDesigns:
    def test_take_selects_a_candidate_of_each_system(self):
        values = torch.arange(24.0).reshape(2, 4, 3)
        taken = Designs(values > 3, values).take(torch.tensor([1, 3]))
        assert taken.values.tolist() == [values[0, 1].tolist(), values[1, 3].tolist()]
        assert taken.targets.tolist() == [[False, True, True], [True, True, True]]
        assert Designs(values > 3, values)[1:].values.shape == (1, 4, 3)
