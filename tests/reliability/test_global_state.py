"""Nothing that is shared by the whole process is changed: generators, settings, filters."""

import random

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skcausal.design import ActiveDesigner
from skcausal.prediction import MetaInterventionPredictor
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import AmortizedGraphPosterior
from tests.conftest import fit_on, name_of
from tests.reliability.conftest import FAMILIES, answers
from tests.reliability.process_state import changes_since, moved_on_state


@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_fit_answers_and_failures_change_nothing(estimator, data, fitted_once):
    """Bad rows in the middle of a fit, or in a query, included."""
    fitted_once(estimator)  # what others change when they are imported; see test_side_effects.py
    before = moved_on_state()
    fitted = fit_on(estimator, data)
    answers(fitted, data)
    for method in ("fit", "predict"):
        with pytest.raises((ValueError, TypeError)):
            getattr(clone(estimator) if method == "fit" else fitted, method)(data.X * np.inf)
    assert changes_since(before) == []


@pytest.fixture
def other_defaults():
    """Generators somewhere else, and torch's default precision another one."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.random.set_rng_state(states[2])


@pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)
def test_what_others_have_set_changes_no_result(estimator, data, fitted_once, request):
    expected = answers(fitted_once(estimator), data)["predict"]
    request.getfixturevalue("other_defaults")
    found = answers(fit_on(estimator, data), data)["predict"]
    for one, two in zip(found, expected):
        np.testing.assert_array_equal(one, two)


PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
GENES = GeneNetworkPrior(
    3, edges_per_variable=1.0, n_cell_types=1, steps_per_cell=1, burn_in=2, dt=0.1
)
SIZES = {"width": 8, "n_layers": 1}
REDQ = {"n_iterations": 1, "n_envs": 2, "batch_size": 2, "n_critics": 2, "n_updates": 2}
DISTILLED = {"n_edge_steps": 2, "n_batches": 1, "n_candidates": 2, "n_epochs": 1}
TRAININGS = {
    "MIP": MetaInterventionPredictor(prior=LinearPrior(3), n_tasks=64, **SIZES),
    "MIP, published": MetaInterventionPredictor(
        "paper", prior=LinearPrior(3), n_tasks=2, objective="supervised", **SIZES
    ),
    "graph posterior": AmortizedGraphPosterior(prior=PRIOR, n_steps=2, **SIZES),
    "designer, REDQ": ActiveDesigner(
        algorithm="redq", prior=PRIOR, budget=2, n_initial=4, training_params=REDQ | SIZES
    ),
    "designer, distilled": ActiveDesigner(
        algorithm="distilled", prior=GENES, budget=2, n_initial=4, training_params=DISTILLED | SIZES
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_pretraining_changes_nothing(name, monkeypatch):
    monkeypatch.setattr("skcausal.design._labelled_states._EPISODES", 4)
    before = moved_on_state()
    clone(TRAININGS[name]).set_params(random_state=0).pretrain()
    assert changes_since(before) == []
