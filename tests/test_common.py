"""scikit-learn's estimator checks, and what every estimator promises besides."""

import importlib
import pickle
import pkgutil
import re

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

import skcausal
from skcausal.base import InterventionPredictor
from skcausal.compose import IgnoreInterventions, TransformedVariables
from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from skcausal.prediction import InterventionRidge
from skcausal.structure import GIES, BootstrapEnsemble, KnownGraph
from tests.conftest import (
    DESIGN_ESTIMATORS,
    EFFECT_ESTIMATORS,
    ESTIMATORS,
    fit_on,
    name_of,
    predict_on,
)

# A given graph fixes the number of variables, which scikit-learn's checks vary.
CHECKABLE = [estimator for estimator in ESTIMATORS if not isinstance(estimator, KnownGraph)]
FAMILIES = ESTIMATORS + EFFECT_ESTIMATORS + DESIGN_ESTIMATORS

all_estimators = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
all_families = pytest.mark.parametrize("estimator", FAMILIES, ids=name_of)


def expected_failed_checks(estimator):
    """Checks that cannot apply, and why."""
    if isinstance(estimator, CFRRegressor):
        reason = "a bootstrap sample of weighted rows is another one than that of repeated rows"
        return {"check_sample_weight_equivalence_on_dense_data": reason}
    if isinstance(estimator, ActiveDesigner):
        one_row = "all rows of X are one experiment, of which one design follows"
        no_pool = "score replays experiments, and the check passes no interventions"
        return {
            "check_fit_score_takes_y": no_pool,
            "check_pipeline_consistency": no_pool,
            "check_methods_sample_order_invariance": one_row,
            "check_methods_subset_invariance": one_row,
        }
    return {"check_estimators_pickle": "fit refuses NaN although predict takes it, for 'unknown'"}


def public_estimators():
    """Estimator classes that the public modules list in ``__all__``."""
    found = pkgutil.walk_packages(skcausal.__path__, "skcausal.")
    modules = [importlib.import_module(m.name) for m in found if "._" not in m.name]
    members = [getattr(module, name) for module in modules for name in module.__all__]
    return {m for m in members if isinstance(m, type) and issubclass(m, BaseEstimator)}


def test_no_public_estimator_is_missing():
    assert {type(e) for e in FAMILIES} == public_estimators() - {InterventionPredictor}


@parametrize_with_checks(
    CHECKABLE + EFFECT_ESTIMATORS + DESIGN_ESTIMATORS,
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def fitted(estimator, data):
    """A fitted clone of the estimator."""
    return fit_on(estimator, data)


@all_families
@pytest.mark.parametrize("through", ["pickle", "joblib"])
def test_stored_estimator_predicts_the_same(fitted, data, through, tmp_path):
    """What the expected failure of check_estimators_pickle leaves untested."""
    if through == "pickle":
        restored = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "model.joblib")
        restored = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(predict_on(restored, data), predict_on(fitted, data))
    with pytest.raises(ValueError, match=r"was fitted with (interventions|treatment)"):
        restored.predict(data.X)


@all_families
def test_clone_is_unfitted_and_refits_to_the_same(estimator, fitted, data):
    again = clone(fitted)
    assert not [name for name in vars(again) if name.endswith("_")]
    np.testing.assert_array_equal(predict_on(fit_on(again, data), data), predict_on(fitted, data))


@all_families
def test_parameters_are_stored_verbatim(estimator):
    parameters = estimator.get_params(deep=False)
    copy = type(estimator)(**parameters)
    for name, value in parameters.items():
        assert getattr(copy, name) is value
    assert copy.set_params(**parameters) is copy


@all_families
def test_representations(estimator, fitted):
    assert repr(estimator).startswith(name_of(estimator))
    for state in (estimator, fitted):
        assert name_of(estimator) in estimator_html_repr(state)


@all_families
def test_feature_names_are_kept(fitted, data):
    assert list(fitted.feature_names_in_) == data.feature_names
    assert fitted.n_features_in_ == len(data.feature_names)


@all_estimators
def test_mask_of_zeros_means_no_interventions(estimator, data):
    """Fitting without a mask and with an all-False mask give the same model."""
    nothing = np.zeros(data.X.shape, dtype=bool)
    without = clone(estimator).fit(data.X)
    zeros = clone(estimator).fit(data.X, interventions=nothing)
    np.testing.assert_array_equal(
        without.predict(data.X), zeros.predict(data.X, interventions=nothing)
    )
    assert without.score(data.X) == zeros.score(data.X, interventions=nothing)


@all_estimators
def test_predict_fills_every_cell_and_keeps_intervened_ones(fitted, data):
    query = data.X.where(data.interventions)
    X_pred = fitted.predict(query, interventions=data.interventions)
    assert X_pred.dtype == np.float64
    assert np.isfinite(X_pred).all()
    mask = data.interventions.to_numpy()
    np.testing.assert_array_equal(X_pred[mask], data.X.to_numpy()[mask])


@all_estimators
def test_score_is_the_mean_over_free_cells(fitted, data):
    """The one score of all predictors, by its definition in `predict` and the training scale."""
    X, mask = data.X.to_numpy(), data.interventions.to_numpy()
    X_pred = fitted.predict(data.X.where(data.interventions), interventions=data.interventions)
    errors = ((X - X_pred) / X.std(axis=0))[~mask] ** 2
    score = fitted.score(data.X, interventions=data.interventions)
    np.testing.assert_allclose(score, -errors.mean(), rtol=1e-12)


@all_estimators
def test_score_weights_rows_as_if_repeated(fitted, data):
    weight = np.arange(len(data.X)) % 3
    repeated = np.repeat(np.arange(len(data.X)), weight)
    X, mask = data.X.iloc[repeated], data.interventions.iloc[repeated]
    np.testing.assert_allclose(
        fitted.score(data.X, sample_weight=weight, interventions=data.interventions),
        fitted.score(X, interventions=mask),
        rtol=1e-12,
    )


@all_estimators
def test_columns_of_the_mask_are_aligned_by_name(estimator, fitted, data):
    """A DataFrame mask may have its columns in any order, in `fit` as in `predict`."""
    backwards = data.interventions[data.feature_names[::-1]]
    again = clone(estimator).fit(data.X, interventions=backwards)
    np.testing.assert_array_equal(
        again.predict(data.X, interventions=backwards),
        fitted.predict(data.X, interventions=data.interventions),
    )


@all_estimators
def test_rows_are_predicted_one_by_one(fitted, data):
    """Which other rows, regimes and gaps stand in the same call does not matter."""
    mask = data.interventions.to_numpy()
    unknown = np.random.default_rng(0).random(mask.shape) < 0.5
    X = data.X.mask(unknown & ~mask)
    together = fitted.predict(X, interventions=mask)
    alone = [fitted.predict(X[i : i + 1], interventions=mask[i : i + 1]) for i in range(len(X))]
    np.testing.assert_allclose(together, np.vstack(alone), rtol=1e-9, atol=1e-12)


@all_estimators
def test_units_do_not_matter(estimator, fitted, data):
    """Other units of X change the predictions accordingly, and the score not at all."""
    scale, shift = np.array([0.01, 1.0, -50.0, 8.0]), np.array([5.0, -3.0, 0.0, 100.0])
    X, mask = data.X * scale + shift, data.interventions
    again = clone(estimator).fit(X, interventions=mask)
    for query in (data.X, data.X.where(mask)):
        np.testing.assert_allclose(
            (again.predict(query * scale + shift, interventions=mask) - shift) / scale,
            fitted.predict(query, interventions=mask),
            rtol=1e-7,
            atol=1e-7,
        )
    np.testing.assert_allclose(
        again.score(X, interventions=mask), fitted.score(data.X, interventions=mask), rtol=1e-9
    )


@all_families
def test_inputs_are_not_modified(estimator, data):
    frozen = Bunch(
        X=data.X.to_numpy(copy=True), interventions=data.interventions.to_numpy(copy=True)
    )
    frozen.X.flags.writeable = frozen.interventions.flags.writeable = False
    predict_on(fit_on(estimator, frozen), frozen)


def global_random_state():
    """State of NumPy's and torch's global generators as one array."""
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return np.concatenate([state["key"], [state["pos"]], torch.random.get_rng_state().numpy()])


@all_families
def test_global_random_state_is_left_alone(estimator, data):
    before = global_random_state()
    predict_on(fit_on(estimator, data), data)
    np.testing.assert_array_equal(global_random_state(), before)


@all_families
def test_every_parameter_and_attribute_is_documented(estimator, fitted):
    """The docstring of the class names each parameter and each fitted attribute."""
    documented = set(re.findall(r"\w+", type(estimator).__doc__.split("Examples")[0]))
    attributes = {name for name in vars(fitted) if name.endswith("_") and name[0] != "_"}
    assert set(estimator.get_params(deep=False)) | attributes <= documented


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (BootstrapEnsemble(GIES(), 2), "learner"),
        (TransformedVariables(InterventionRidge(), StandardScaler()), "estimator"),
        (TransformedVariables(InterventionRidge(), StandardScaler()), "transformer"),
        (IgnoreInterventions(InterventionRidge()), "estimator"),
    ],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_estimators_that_are_parameters_stay_unfitted_and_apart(outer, inner, data):
    """`clone` drops their fitted state, so nothing may rest on it."""
    outer = clone(outer)
    parameter = outer.get_params()[inner]
    outer.fit(data.X, interventions=data.interventions)
    assert outer.get_params()[inner] is parameter
    assert not [name for name in vars(parameter) if name.endswith("_")]
    copy = clone(outer).get_params()[inner]
    assert copy is not parameter
    assert copy.get_params() == parameter.get_params()


def test_parameters_of_parameters_are_set():
    model = TransformedVariables(IgnoreInterventions(InterventionRidge()))
    model.set_params(estimator__estimator__alpha=7.0)
    assert clone(model).estimator.estimator.alpha == 7.0
