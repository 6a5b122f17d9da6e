"""Gradient steps on penalties: on what, how far, and when they are kept."""

import numpy as np
import pytest
import torch

from skcausal.nn._pair_statistics import pair_statistics
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction._fine_tuning import _misfit, _without, descend, fine_tune
from skcausal.prediction._pretrained import NETWORK_FILES
from skcausal.prediction._shrunk_refit import PENALTY_BOUNDS


def moments_of(seed, d=4, n_regimes=7, n_rows=6):
    """Standardised moments of one random data set."""
    rng = np.random.default_rng(seed)
    targets = rng.random((n_regimes, d)) < 0.4
    targets[0] = False
    mask, regime = targets.repeat(n_rows, axis=0), np.arange(n_regimes).repeat(n_rows)
    X = rng.normal(size=mask.shape) @ rng.normal(size=(d, d))
    X = np.where(mask, 2.0, X)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    return RegimeMoments.from_rows(Z, mask, regime)


@pytest.fixture
def network():
    network = NETWORK_FILES.make("amortized", {"width": 8, "n_layers": 1}, seed=0)
    return network.double()


def start(network, moments):
    statistics = pair_statistics(moments)
    with torch.no_grad():
        return statistics, network(statistics)[1]


def loss(moments, statistics, shrinkage):
    rows = moments.n_rows[..., None]
    precision = rows / (statistics.noise[:, None] + 0.02 * rows)
    return float((precision * _misfit(moments, statistics, shrinkage)).sum())


@pytest.mark.parametrize("seed", range(5))
def test_steps_lower_the_misfit_and_move_penalties_alone(network, seed):
    moments = moments_of(seed)
    statistics, before = start(network, moments)
    after = descend(moments, statistics, before, 20, 0.05)
    assert loss(moments, statistics, after) < loss(moments, statistics, before)
    assert not torch.equal(after.log_penalty, before.log_penalty)
    clamped = before.log_penalty.clamp(*PENALTY_BOUNDS)
    assert (after.log_penalty - clamped).abs().max() <= 20 * 0.05 * 1.5
    for name in ("centre", "drop_within", "drop_explained"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_no_steps_no_change(network):
    moments = moments_of(0)
    statistics, before = start(network, moments)
    after = descend(moments, statistics, before, 0, 0.1)
    torch.testing.assert_close(after.log_penalty, before.log_penalty.clamp(*PENALTY_BOUNDS))


def test_folds_are_data_sets_without_their_regimes(network):
    """Statistics of a fold are those of the rows that remain."""
    moments = moments_of(1)
    kept = torch.tensor([[True, False, True, True, False, True, True]])
    fold = pair_statistics(_without(moments, kept))
    alone = pair_statistics(
        RegimeMoments(
            moments.n_rows[:, kept[0]],
            moments.mean[:, kept[0]],
            moments.scatter[:, kept[0]],
            moments.targets[:, kept[0]],
        )
    )
    torch.testing.assert_close(fold.features, alone.features)
    torch.testing.assert_close(fold.free.covariance(), alone.free.covariance())


def test_kept_exactly_if_regimes_left_out_are_predicted_better(network):
    kept = []
    for seed in range(12):
        moments = moments_of(seed)
        statistics, before = start(network, moments)
        options = {"n_steps": 5, "learning_rate": 0.1}
        after, errors = fine_tune(network, moments, statistics, before, **options)
        kept.append(errors["after"] < errors["before"])
        expected = descend(moments, statistics, before, 5, 0.1) if kept[-1] else before
        assert torch.equal(after.log_penalty, expected.log_penalty)
    assert {True, False} == set(kept)


def test_errors_are_those_of_regimes_left_out(network):
    """With as many folds as regimes: fit without each, and predict its mean."""
    moments = moments_of(2)
    statistics, before = start(network, moments)
    _, errors = fine_tune(network, moments, statistics, before, n_steps=1, learning_rate=0.1)
    total = n_free = 0.0
    for r in range(7):
        kept = torch.arange(7) != r
        fold = _without(moments, kept[None])
        fold_statistics = pair_statistics(fold)
        with torch.no_grad():
            _, fit, _ = network.fit(fold_statistics)
        targets = moments.targets[0, r]
        free = targets == 0
        system = torch.eye(4, dtype=torch.float64) - fit.coef[0] * free[:, None]
        source = torch.where(free, fit.intercept[0], moments.mean[0, r])
        mean = torch.linalg.solve(system, source)
        error = ((mean - moments.mean[0, r]) ** 2)[free].sum()
        total += float(moments.n_rows[0, r] * error)
        n_free += float(moments.n_rows[0, r] * free.sum())
    assert errors["before"] == pytest.approx(total / n_free)
