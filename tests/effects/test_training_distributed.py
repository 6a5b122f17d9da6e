"""Counterfactual regression fitted by two processes that torchrun starts.

This module is also the program that they run.
"""

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist

from skcausal.effects import CFRRegressor
from skcausal.effects._objective import Objective
from skcausal.nn import _training
from tests.torchrun import run_in_two_processes

OPTIONS = {
    "representation_layers": (16,),
    "head_layers": (8,),
    "max_epochs": 25,
    "n_ensemble": 3,
    "random_state": 0,
}
SCENARIOS = {
    "dropout": {"dropout": 0.2},
    "environments": {"env_alpha": 1.0, "n_iter_no_change": 1, "max_epochs": 6},
    "one member": {"n_ensemble": 1, "ipm": "sinkhorn", "max_epochs": 3},
}

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch lacks torch.distributed")


def make_data(n_samples=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3))
    treatment = rng.permutation(np.arange(n_samples) % 2)
    effect = 2 + X[:, 1]
    y = X[:, 0] + treatment * effect + 0.3 * rng.normal(size=n_samples)
    environment = rng.permutation(np.arange(n_samples) % 2)
    return X, y, treatment, environment, effect


def fit(**changes):
    X, y, treatment, environment, _ = make_data()
    model = CFRRegressor(**(OPTIONS | changes))
    return model.fit(X, y, treatment=treatment, environment=environment)


def result_of(model):
    """All that two processes have to agree on, also once the model was pickled."""
    X = make_data(seed=1)[0]
    model = pickle.loads(pickle.dumps(model))
    return {
        "effect": model.effect(X),
        "ate": np.array(model.ate(X)),
        "n_epochs": np.array(model.n_epochs_),
        "best_epoch": np.array(model.best_epoch_),
    } | {f"curve of {name}": values for name, values in model.loss_curve_.items()}


def interrupted_fit(path):
    """Raise KeyboardInterrupt in the middle of an epoch, after some checkpoints."""
    batch_loss = Objective.batch_loss
    n_calls = 0

    def stand_in(*args):
        nonlocal n_calls
        n_calls += 1
        if n_calls > 18:  # of 4 in an epoch
            raise KeyboardInterrupt
        return batch_loss(*args)

    Objective.batch_loss = stand_in
    try:
        fit(checkpoint=path, **SCENARIOS["dropout"])
    except KeyboardInterrupt:
        return
    finally:
        Objective.batch_loss = batch_loss
    raise AssertionError("The fit was not interrupted.")


def go_through_scenarios(folder):
    """What each of the two processes runs."""
    rank = os.environ["RANK"]
    _training._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    found = {name: result_of(fit(**changes)) for name, changes in SCENARIOS.items()}
    interrupted_fit(folder / "cfr.ckpt")
    found["resumed"] = result_of(fit(checkpoint=folder / "cfr.ckpt", **SCENARIOS["dropout"]))
    (folder / f"rank{rank}.pickle").write_bytes(pickle.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of the two processes has found."""
    folder = tmp_path_factory.mktemp("torchrun")
    run_in_two_processes("tests.effects.test_training_distributed", folder)
    assert sorted(os.listdir(folder)) == ["cfr.ckpt", "rank0.pickle", "rank1.pickle"]
    return [pickle.loads((folder / f"rank{rank}.pickle").read_bytes()) for rank in (0, 1)]


def assert_same(found, expected):
    """Two dictionaries of arrays agree in every bit."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("scenario", [*SCENARIOS, "resumed"])
def test_processes_agree_in_every_bit(found, scenario):
    assert_same(found[0][scenario], found[1][scenario])


def test_resumed_fit_is_bit_identical(found):
    for of_rank in found:
        assert_same(of_rank["resumed"], of_rank["dropout"])


def test_effects_are_as_good_as_those_of_one_process(found):
    """The two see the same rows, divided otherwise into batches."""
    effect = make_data(seed=1)[-1]
    alone = fit(**SCENARIOS["dropout"]).effect(make_data(seed=1)[0])
    together = found[0]["dropout"]["effect"]
    error_alone = np.sqrt(np.mean((alone - effect) ** 2))
    error_together = np.sqrt(np.mean((together - effect) ** 2))
    assert error_together < 0.6 * effect.std()
    assert error_together < 1.5 * error_alone
    assert np.sqrt(np.mean((together - alone) ** 2)) < 0.5 * effect.std()


if __name__ == "__main__":
    go_through_scenarios(Path(sys.argv[1]))
