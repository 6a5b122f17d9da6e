"""What the tests of reliability share: everything that a fitted estimator can be asked."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from skcausal.perturbation import FeatureRegression, GenerativeInterventionModel
from tests.conftest import DESIGN_ESTIMATORS, EFFECT_ESTIMATORS, ESTIMATORS, fit_on, treated


def _quick(estimator):
    """Without the search for penalties, which takes a second in each fit."""
    if isinstance(estimator, FeatureRegression):
        return FeatureRegression(LinearRegression(), random_state=0)
    return estimator


PREDICTORS = [_quick(estimator) for estimator in ESTIMATORS]
FAMILIES = [*PREDICTORS, *EFFECT_ESTIMATORS, *DESIGN_ESTIMATORS]


def answers(model, data):
    """Everything that a fitted estimator says about some rows, by the name of the method."""
    ask = _FAMILY_OF.get(type(model), _predictor_answers)
    return {name: _as_arrays(answer) for name, answer in ask(model, data).items()}


def assert_same_answers(found, expected):
    """Two estimators agree in every bit of every answer."""
    assert found.keys() == expected.keys()
    for name, arrays in expected.items():
        assert len(found[name]) == len(arrays), name
        for one, two in zip(found[name], arrays):
            np.testing.assert_array_equal(one, two, err_msg=name, strict=True)


def _as_arrays(answer):
    """An array, or a tuple of them, as a list."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    return [part if isinstance(part, str) else np.asarray(part) for part in parts]


def _predictor_answers(model, data):
    X, mask = data.X, data.interventions
    said = {
        "predict": model.predict(X, interventions=mask),
        "predict effects": model.predict(X.where(mask), interventions=mask),
        "score": model.score(X, interventions=mask),
    }
    if hasattr(model, "score_samples"):
        said["score_samples"] = model.score_samples(X, interventions=mask)
    if isinstance(model, GenerativeInterventionModel):
        drawn = model.sample(len(X), X=X, interventions=mask, random_state=0)
        return said | {"sample": drawn, "predict_targets": model.predict_targets(mask)}
    if hasattr(model, "sample"):
        said["sample"] = model.sample(5, random_state=0)
        said["predict_from_parents"] = model.predict_from_parents(X, interventions=mask)
    if hasattr(model, "sample_graphs"):
        said["sample_graphs"] = model.sample_graphs(5, random_state=0)
    return said


def _effect_answers(model, data):
    X, treatment = data.X, treated(data)
    levels = {"T0": False, "T1": True}
    return {
        "predict": model.predict(X, treatment=treatment),
        "score": model.score(X, X.sum(axis=1), treatment=treatment),
        "effect": model.effect(X, **levels),
        "effect_interval": model.effect_interval(X, **levels),
        "potential_outcomes": model.potential_outcomes(X),
        "ate": tuple(model.ate(X, **levels)),
        "transform": model.transform(X),
        "environment_drift": tuple(model.environment_drift(X, n_permutations=5))[:2],
    }


def _design_answers(model, data):
    X, mask = data.X, data.interventions
    return {
        "predict": model.predict(X, interventions=mask),
        "propose": model.propose(2),
        "score": model.score(X, interventions=mask),
        "edge_probabilities_": model.edge_probabilities_,
    }


_FAMILY_OF = {CFRRegressor: _effect_answers, ActiveDesigner: _design_answers}


@pytest.fixture(scope="session")
def fitted_once(data):
    """Fit an estimator at its first use, and hand out the same object ever after.

    Tests that use it must not change it.
    """
    kept = {}

    def get(estimator):
        name = type(estimator).__name__
        if name not in kept:
            kept[name] = fit_on(estimator, data)
        return kept[name]

    return get


@pytest.fixture(scope="session")
def more_rows(data):
    """Many rows of the same variables, and their mask, in another order of regimes."""
    rng = np.random.default_rng(1)
    rows = rng.integers(len(data.X), size=300)
    X = data.X.iloc[rows].reset_index(drop=True) + 0.1 * rng.normal(size=(300, data.X.shape[1]))
    mask = data.interventions.iloc[rows].reset_index(drop=True)
    return pd.DataFrame(X, columns=data.X.columns), mask
