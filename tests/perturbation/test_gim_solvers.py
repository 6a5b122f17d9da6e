"""Perceptrons for mechanisms, and the published solver, behind one interface."""

import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skcausal.perturbation import GenerativeInterventionModel

N_CONTEXTS, N_ROWS, N_CONTROLS = 6, 12, 60


@pytest.fixture(scope="module")
def data():
    """A chain x0 -> x1 -> x2 with a bend; feature k shifts variable k, at two doses."""
    rng = np.random.default_rng(0)
    features = np.vstack([np.zeros(3), 2.0 * np.eye(3), 4.0 * np.eye(3)])
    interventions = np.repeat(features, [N_CONTROLS] + [N_ROWS] * N_CONTEXTS, axis=0)
    noise = rng.normal(size=interventions.shape) * 0.5 + interventions
    X = np.empty_like(noise)
    X[:, 0] = noise[:, 0]
    X[:, 1] = 2.0 * np.tanh(X[:, 0]) + noise[:, 1]
    X[:, 2] = X[:, 1] + noise[:, 2]
    return X, interventions


@pytest.fixture(scope="module")
def perceptrons(data):
    """Perceptrons as mechanisms, by the search for orders."""
    X, interventions = data
    model = GenerativeInterventionModel("mlp", generator="linear", random_state=0)
    return model.fit(X, interventions=interventions)


@pytest.fixture(
    scope="module",
    params=[
        None,
        {"solver": "gradient", "n_steps": 300, "learning_rate": 0.02},
        {"solver": "gradient", "mechanism": "mlp", "n_steps": 100, "learning_rate": 0.02},
    ],
    ids=["order, mlp", "gradient, linear", "gradient, mlp"],
)
def fitted(request, data):
    if request.param is None:
        return request.getfixturevalue("perceptrons")
    X, interventions = data
    model = GenerativeInterventionModel(**request.param, random_state=0)
    return model.fit(X, interventions=interventions)


def test_attributes_describe_one_graph(fitted):
    assert fitted.adjacency_.shape == fitted.edge_probabilities_.shape == (3, 3)
    place = np.argsort(fitted.order_)
    parents, children = np.nonzero(fitted.adjacency_)
    assert (place[parents] < place[children]).all()
    assert (fitted.coef_[fitted.adjacency_ == 0] == 0).all()
    assert (fitted.noise_scale_ > 0).all()


def test_targets_are_probabilities_and_controls_have_none(fitted):
    targets = fitted.intervention_targets_
    assert targets.min() >= 0
    assert targets.max() <= 1
    assert (targets[0] == 0).all()


def test_perceptrons_find_the_targets_of_strong_perturbations(perceptrons):
    """Gradient descent may take the shift of a parent for one of the child; the search does not."""
    model = perceptrons
    strong = model.contexts_.max(axis=1) == 4.0
    found, truth = model.intervention_targets_[strong], model.contexts_[strong] > 0
    assert found[truth].min() > 0.9
    assert found[~truth].max() < 0.5
    assert model.adjacency_.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_samples_have_the_predicted_mean(fitted):
    features = np.array([[0.0, 3.0, 0.0]])
    predicted = fitted.predict(np.full((1, 3), np.nan), interventions=features)[0]
    drawn = fitted.sample(4000, interventions=features, random_state=0)
    # The prediction itself may rest on 2,000 draws.
    error = drawn.std(axis=0) * np.sqrt(1 / 4000 + 1 / 2000)
    assert (np.abs(drawn.mean(axis=0) - predicted) < 4.5 * error).all()


def test_better_than_the_control_mean(fitted, data):
    X, interventions = data
    control = X[:N_CONTROLS].mean(axis=0)
    no_change = -(((X - control) / X.std(axis=0)) ** 2).mean()
    assert fitted.score(X, interventions=interventions) > 0.8 * no_change
    assert np.isfinite(fitted.score_samples(X, interventions=interventions)).all()


def test_stored_model_predicts_the_same(fitted, data):
    X, interventions = data
    restored = pickle.loads(pickle.dumps(fitted))
    queries = np.where(np.arange(3) == 2, np.nan, X)[::10]
    np.testing.assert_array_equal(
        restored.predict(queries, interventions=interventions[::10]),
        fitted.predict(queries, interventions=interventions[::10]),
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mechanism": "mlp", "intervention": "do"}, "needs solver='gradient'"),
        ({"solver": "gradient", "generator": "kernel"}, "trains a generator of its own"),
        ({"solver": "gradient", "adjacency": np.zeros((3, 3))}, "adjacency is learned"),
    ],
    ids=["mlp with do", "kernel by gradient", "graph given"],
)
def test_combinations_that_do_not_exist(parameters, message, data):
    X, interventions = data
    with pytest.raises(ValueError, match=message):
        GenerativeInterventionModel(**parameters).fit(X, interventions=interventions)


def test_parameters_set_after_fit_do_not_change_predictions(data):
    X, interventions = data
    model = GenerativeInterventionModel(generator="linear").fit(X, interventions=interventions)
    unknown = np.full(X.shape, np.nan)
    before = model.predict(unknown, interventions=interventions)
    targets = model.predict_targets(interventions)
    likelihood = model.score_samples(X, interventions=interventions)
    model.set_params(intervention="do", mechanism="mlp", solver="gradient")
    np.testing.assert_array_equal(model.predict(unknown, interventions=interventions), before)
    np.testing.assert_array_equal(model.predict_targets(interventions), targets)
    np.testing.assert_array_equal(model.score_samples(X, interventions=interventions), likelihood)


def test_a_fit_that_fails_leaves_no_model(data, monkeypatch):
    X, interventions = data
    model = GenerativeInterventionModel(generator="linear").fit(X, interventions=interventions)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(GenerativeInterventionModel, "_fit_generator", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, interventions=interventions)
    with pytest.raises(NotFittedError):
        model.predict(X, interventions=interventions)


def test_known_targets_are_not_for_gradient_descent(data):
    X, interventions = data
    with pytest.raises(ValueError, match="for a mask of known targets"):
        GenerativeInterventionModel(solver="gradient").fit(X, interventions=interventions > 0)
