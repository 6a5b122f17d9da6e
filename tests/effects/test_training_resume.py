"""Counterfactual regression goes on from a checkpoint as if it had never been interrupted."""

import os

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skcausal.effects import CFRRegressor
from skcausal.effects._fitting import Rows, make_network, make_optimizer, train_network
from skcausal.effects._objective import Objective
from skcausal.effects._parameters import resolve_auto
from skcausal.nn import _training

SMALL = {
    "representation_layers": (6,),
    "head_layers": (4,),
    "batch_size": 30,
    "max_epochs": 12,
    "n_ensemble": 3,
    "random_state": 0,
}
SETTINGS = {
    "plain": {"early_stopping": False},
    "dropout": {"dropout": 0.3},
    "early stopping": {"n_iter_no_change": 1, "learning_rate": 0.2, "max_epochs": 40},
    "one member": {"n_ensemble": 1, "dropout": 0.2, "dtype": "float64"},
}


def make_data(n_samples=90, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3))
    treatment = rng.permutation(np.arange(n_samples) % 2)
    y = X[:, 0] + treatment * (1 + X[:, 1]) + 0.3 * rng.normal(size=n_samples)
    return X, y, treatment


def model_of(**changes):
    return CFRRegressor(**(SMALL | changes))


def fit(model, n_samples=90, seed=0):
    X, y, treatment = make_data(n_samples, seed)
    return model.fit(X, y, treatment=treatment)


class Calls:
    """Counts the batches of all trainings, and interrupts after some."""

    def __init__(self, monkeypatch):
        self.n, self.limit = 0, np.inf
        batch_loss = Objective.batch_loss

        def stand_in(*args):
            if self.n >= self.limit:
                raise KeyboardInterrupt
            self.n += 1
            return batch_loss(*args)

        monkeypatch.setattr(Objective, "batch_loss", stand_in)

    def interrupt(self, model, after):
        """Fit until some more batches have been seen."""
        self.limit = self.n + after
        with pytest.raises(KeyboardInterrupt):
            fit(model)
        self.limit = np.inf


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(_training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    return Calls(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cfr.ckpt"


def assert_same_fit(model, expected):
    X = make_data(50, seed=1)[0]
    np.testing.assert_array_equal(model.potential_outcomes(X), expected.potential_outcomes(X))
    np.testing.assert_equal(model.ate(X), expected.ate(X))
    assert model.n_epochs_ == expected.n_epochs_
    np.testing.assert_array_equal(model.best_epoch_, expected.best_epoch_)
    assert model.loss_curve_.keys() == expected.loss_curve_.keys()
    for name, values in expected.loss_curve_.items():
        np.testing.assert_array_equal(model.loss_curve_[name], values)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_interrupted_and_fitted_again(calls, path, name):
    """By another estimator, then by the same: bitwise what an uninterrupted fit gives."""
    expected = fit(model_of(**SETTINGS[name]))
    n_batches = calls.n
    per_epoch = n_batches // expected.n_epochs_
    assert n_batches > 3 * per_epoch
    calls.interrupt(model_of(checkpoint=path, **SETTINGS[name]), per_epoch + 1)
    model = model_of(checkpoint=path, **SETTINGS[name])
    calls.interrupt(model, per_epoch)  # one epoch more, and not a step of the next
    before = calls.n
    assert_same_fit(fit(model), expected)
    assert calls.n - before == n_batches - 2 * per_epoch
    assert os.listdir(path.parent) == [path.name]


def test_early_stopping_ends_before_the_last_epoch():
    """Else the scenario above would not be one."""
    assert fit(model_of(**SETTINGS["early stopping"])).n_epochs_ < 40


def test_finished_fit_is_read_from_the_checkpoint(calls, path):
    """What has no influence on the networks may change; without the checkpoint all is the same."""
    expected = fit(model_of(checkpoint=path))
    n_batches = calls.n
    model = fit(model_of(checkpoint=str(path), device="cpu", verbose=True))
    assert calls.n == n_batches
    assert_same_fit(model, expected)
    assert_same_fit(fit(model_of()), expected)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"random_state": 1}, {}),
        ({"alpha": 3.0}, {}),
        ({"max_epochs": 13}, {}),
        ({"n_ensemble": 2}, {}),
        ({"dropout": 0.1}, {}),
        ({"dtype": "float64"}, {}),
        ({}, {"seed": 1}),
        ({}, {"n_samples": 92}),
    ],
    ids=["seed", "alpha", "epochs", "members", "dropout", "dtype", "values", "rows"],
)
def test_checkpoint_of_another_fit(path, changes, data):
    fit(model_of(checkpoint=path))
    written = path.read_bytes()
    with pytest.raises(ValueError, match=r"cfr\.ckpt' belongs to another training"):
        fit(model_of(checkpoint=path, **changes), **data)
    assert path.read_bytes() == written


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)], ids=["None", "instance"])
def test_checkpoint_needs_a_seed(path, random_state):
    with pytest.raises(ValueError, match="set random_state to an integer"):
        fit(model_of(checkpoint=path, random_state=random_state))
    assert os.listdir(path.parent) == []


def test_interrupted_fit_leaves_an_unfitted_estimator(calls):
    """Also where it was fitted before."""
    for model in (model_of(), fit(model_of())):
        calls.interrupt(model, 5)
        with pytest.raises(NotFittedError):
            model.predict(make_data()[0], treatment=0)


def test_interrupted_partial_fit_leaves_the_networks_as_they_were(calls):
    X, y, treatment = make_data()
    model = fit(model_of())
    expected = model.effect(X)
    calls.limit = calls.n + 2
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y, treatment=treatment)
    np.testing.assert_array_equal(model.effect(X), expected)


def train_members(seeds, n_samples, dtype, **changes):
    """Outcomes of the members with some of the seeds, trained as part of an ensemble."""
    settings = resolve_auto(model_of(**changes).get_params(deep=False), n_samples)
    X, y, treatment = make_data(n_samples)
    y = (y - y.mean()) / y.std()
    rows = Rows(X, y, treatment, np.zeros(n_samples, dtype=int), np.ones(n_samples))
    network = make_network(X.shape[1], 2, seeds, settings, torch.device("cpu"), dtype)
    optimizer = make_optimizer(network, settings)
    history, _ = train_network(network, optimizer, rows, seeds, settings)
    x = torch.from_numpy(make_data(50, seed=1)[0]).to(dtype).expand(len(seeds), -1, -1)
    with torch.no_grad():
        outcomes = network.outcomes(network.represent(x))
    return outcomes.double().numpy(), history


@pytest.mark.parametrize("name", ["plain", "dropout", "early stopping"])
def test_batched_members_are_those_trained_separately(name):
    """Two by two, since a single one gets no bootstrap sample."""
    seeds = [11, 12, 13, 14]
    together, history = train_members(seeds, 90, torch.float64, **SETTINGS[name])
    for first in (0, 2):
        pair = slice(first, first + 2)
        outcomes, expected = train_members(seeds[pair], 90, torch.float64, **SETTINGS[name])
        np.testing.assert_allclose(together[pair], outcomes, rtol=1e-8, atol=1e-8)
        for key, values in expected.items():
            np.testing.assert_allclose(history[key][: len(values), pair], values, rtol=1e-8)
