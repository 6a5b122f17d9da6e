"""Trainings with a checkpoint that are interrupted, again and again, end as if they never were."""

import functools

import numpy as np
import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

from skcausal.design import ActiveDesigner, _distillation, _labelled_states
from skcausal.effects import CFRRegressor
from skcausal.nn import _stream_training, _training
from skcausal.perturbation import (
    GenerativeInterventionModel,
    _gradient,
    _gradient_objective,
    _mlp_solver,
    _mlp_training,
)
from skcausal.prediction import MetaInterventionPredictor
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import AmortizedGraphPosterior

PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
GENES = GeneNetworkPrior(
    3, edges_per_variable=1.0, n_cell_types=1, steps_per_cell=1, burn_in=2, dt=0.1
)
DISTILLED = {
    "n_edge_steps": 4, "n_batches": 2, "n_candidates": 3, "n_epochs": 2,
    "width": 4, "n_layers": 1, "n_messages": 2, "n_hidden": 2,
}  # fmt: skip
REDQ = {
    "n_iterations": 3, "n_envs": 2, "batch_size": 2, "n_critics": 2, "n_updates": 2,
    "width": 4, "n_layers": 1, "n_heads": 2, "n_hidden": 4,
}  # fmt: skip


def fitted_effects(checkpoint, **settings):
    rng = np.random.default_rng(0)
    X, treatment = rng.normal(size=(40, 2)), np.arange(40) % 2
    model = CFRRegressor(
        representation_layers=(4,),
        head_layers=(3,),
        max_epochs=6,
        batch_size=20,
        n_ensemble=2,
        dropout=0.2,
        checkpoint=checkpoint,
        random_state=0,
        **settings,
    )
    model.fit(X, X[:, 0] + treatment, treatment=treatment, environment=np.arange(40) % 3)
    return {"outcomes": model.potential_outcomes(X)} | model.loss_curve_


def fitted_screen(checkpoint, **settings):
    rng = np.random.default_rng(0)
    features = np.repeat(np.eye(4, 3, k=-1), 8, axis=0)
    X = rng.normal(size=(32, 3)) + features
    model = GenerativeInterventionModel(checkpoint=checkpoint, random_state=0, **settings)
    model.fit(X, interventions=features)
    return {
        "predictions": model.predict(X, interventions=features),
        "targets": model.intervention_targets_,
        "weights": model.coef_,
    }


def pretrained(estimator, checkpoint):
    estimator.set_params(checkpoint=checkpoint, random_state=0).pretrain()
    weights = estimator._weights_of_fit[1].state_dict()
    return {name: tensor.numpy() for name, tensor in weights.items()} | estimator.loss_curve_


def predictor(checkpoint, **settings):
    return pretrained(MetaInterventionPredictor(**settings, width=8, n_layers=1), checkpoint)


def posterior(checkpoint, **settings):
    sizes = {"width": 4, "n_layers": 1, "n_heads": 2, "n_steps": 6}
    return pretrained(AmortizedGraphPosterior(prior=PRIOR, **sizes, **settings), checkpoint)


def designer(checkpoint, algorithm, training_params, **settings):
    settings = {"prior": PRIOR, "budget": 2, "n_initial": 4} | settings
    settings |= {"algorithm": algorithm, "training_params": training_params}
    return pretrained(ActiveDesigner(**settings), checkpoint)


TRAININGS = {
    "CFR": (fitted_effects, {}),
    "CFR, environments": (fitted_effects, {"env_alpha": 1.0, "ipm": "sinkhorn"}),
    "GIM, gradient": (fitted_screen, {"solver": "gradient", "n_steps": 9, "n_draws": 4}),
    "GIM, gradient, do": (
        fitted_screen,
        {"solver": "gradient", "n_steps": 9, "intervention": "do"},
    ),
    "GIM, perceptrons": (fitted_screen, {"mechanism": "mlp", "n_restarts": 1}),
    "MIP": (predictor, {"prior": LinearPrior(4), "n_tasks": 192}),
    "MIP, published": (predictor, {"variant": "paper", "prior": LinearPrior(3), "n_tasks": 6}),
    "graph posterior": (posterior, {}),
    "graph posterior, rows": (posterior, {"architecture": "rows", "experiments": "sequential"}),
    "designer, distilled": (designer, {"algorithm": "distilled", "training_params": DISTILLED}),
    "designer, genes": (
        designer,
        {"algorithm": "distilled", "training_params": DISTILLED, "prior": GENES},
    ),
    "designer, REDQ": (designer, {"algorithm": "redq", "training_params": REDQ}),
}


def shorten_epochs(monkeypatch):
    """Checkpoints after every epoch, of which small trainings have several."""
    monkeypatch.setattr(_training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr("skcausal.design._redq._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr("skcausal.design._redq._TIMES_OF_WRITING", 0.0)
    monkeypatch.setattr(_stream_training, "_STEPS_PER_EPOCH", 2)
    monkeypatch.setattr(_gradient, "STEPS_PER_EPOCH", 3)
    monkeypatch.setattr(_gradient_objective, "STEPS_PER_EPOCH", 3)
    few = functools.partial(_mlp_training.fit_mlp_mechanisms, max_epochs=6)
    monkeypatch.setattr(_mlp_solver, "fit_mlp_mechanisms", few)
    monkeypatch.setattr(_mlp_training, "_N_BATCHES", 2)
    monkeypatch.setattr(_distillation, "_PAIRS_PER_BATCH", 36)
    monkeypatch.setattr(_labelled_states, "_EPISODES", 4)


class Steps:
    """Counts the steps of all optimizers, and interrupts after some."""

    def __init__(self):
        self.n, self.limit = 0, np.inf

    def __call__(self, *arguments):
        if self.n >= self.limit:
            raise KeyboardInterrupt
        self.n += 1


@pytest.fixture
def steps():
    steps = Steps()
    handle = register_optimizer_step_pre_hook(steps)
    yield steps
    handle.remove()


def interrupt_and_resume(name, steps, path):
    """Train once as a whole and once in pieces; returns both results and the number of pieces."""
    train, settings = TRAININGS[name]
    steps.n, steps.limit = 0, np.inf
    expected = train(None, **settings)
    # Each run may do a little more than a third of all steps, of which some are lost.
    limit = 1 + steps.n // 3
    for n_runs in range(1, 10):
        steps.n, steps.limit = 0, limit
        try:
            return expected, train(path, **settings), n_runs
        except KeyboardInterrupt:
            assert path.exists()
    raise AssertionError("the training does not get ahead")


@pytest.mark.parametrize("name", TRAININGS)
def test_interrupted_trainings_end_bit_identically(name, steps, monkeypatch, tmp_path):
    shorten_epochs(monkeypatch)
    expected, found, n_runs = interrupt_and_resume(name, steps, tmp_path / "checkpoint")
    assert n_runs >= 3
    assert found.keys() == expected.keys()
    for part, array in expected.items():
        np.testing.assert_array_equal(found[part], array, err_msg=part, strict=True)
