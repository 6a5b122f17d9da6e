"""What several test modules share: one small instance of every estimator, and small data."""

import hypothesis
import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skcausal.base import InterventionMixin
from skcausal.compose import IgnoreInterventions, TransformedVariables
from skcausal.datasets import make_linear_scm
from skcausal.design import ActiveDesigner
from skcausal.effects import CFRRegressor
from skcausal.interventions import check_interventions
from skcausal.perturbation import (
    FeatureRegression,
    GenerativeInterventionModel,
    MeanTreated,
    NoChange,
    UnknownTargetIGSP,
)
from skcausal.prediction import (
    AdditiveShift,
    ConditionalRidge,
    InterventionRidge,
    MetaInterventionPredictor,
    NoEffect,
)
from skcausal.structure import (
    GES,
    GIES,
    IGSP,
    PC,
    AmortizedGraphPosterior,
    BootstrapEnsemble,
    ExactGraphPosterior,
    FullGraph,
    KnownGraph,
    ShiftOrder,
)

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("skcausal", deadline=None)
hypothesis.settings.load_profile("skcausal")

N_VARIABLES = 4

# These take numeric features of perturbations as interventions, of which a mask is a special case.
PERTURBATION_ESTIMATORS = [
    FeatureRegression(random_state=0),
    GenerativeInterventionModel(intervention="do", n_restarts=2, random_state=0),
    MeanTreated(),
    NoChange(),
    UnknownTargetIGSP(n_restarts=2, random_state=0),
]
# Every public estimator stands in one of the lists; test_common.py asserts that none is missing.
ESTIMATORS = [
    AdditiveShift(),
    AmortizedGraphPosterior(n_draws=3, random_state=0),
    BootstrapEnsemble(FullGraph(), n_bootstrap=3, random_state=0),
    ConditionalRidge(),
    ExactGraphPosterior(n_draws=3, random_state=0),
    FullGraph(random_state=0),
    GES(),
    GIES(),
    IGSP(n_restarts=2, random_state=0),
    IgnoreInterventions(InterventionRidge()),
    InterventionRidge(),
    KnownGraph(np.eye(N_VARIABLES, k=1)),
    MetaInterventionPredictor(),
    NoEffect(),
    PC(),
    ShiftOrder(),
    TransformedVariables(InterventionRidge()),
    *PERTURBATION_ESTIMATORS,
]
EFFECT_ESTIMATORS = [
    CFRRegressor(
        representation_layers=(16,),
        head_layers=(8,),
        batch_size=20,
        max_epochs=20,
        n_ensemble=2,
        random_state=0,
    )
]
# One design for all rows of X together is what these predict.
DESIGN_ESTIMATORS = [
    ActiveDesigner(budget=2, n_initial=4, n_candidates=4, n_draws=8, n_outcomes=3, random_state=0),
]


def name_of(estimator):
    """Identify an estimator in the names of tests."""
    return type(estimator).__name__


def fit_on(estimator, data):
    """Fit a clone, whatever the family of the estimator: rows set by hand are the treated ones."""
    estimator = clone(estimator)
    if isinstance(estimator, CFRRegressor):
        return estimator.fit(data.X, data.X.sum(axis=1), treatment=treated(data))
    return estimator.fit(data.X, interventions=data.interventions)


def predict_on(estimator, data):
    """Predict the rows that the estimator was fitted on."""
    if isinstance(estimator, CFRRegressor):
        return estimator.predict(data.X, treatment=treated(data))
    return estimator.predict(data.X, interventions=data.interventions)


def treated(data):
    """Whether a row was intervened on."""
    return data.interventions.any(axis=1)


@pytest.fixture(scope="session")
def data():
    """Five regimes (none, each variable alone) of 12 rows each, as DataFrames."""
    return make_linear_scm(N_VARIABLES, n_samples=12, random_state=0)


@pytest.fixture
def X(data):
    """Observed values, a DataFrame."""
    return data.X


@pytest.fixture
def mask(data):
    """Which of them an intervention set, a DataFrame."""
    return data.interventions


@pytest.fixture
def routing():
    """Metadata routing is on, as users are told to set it."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


class ControlCentering(InterventionMixin, TransformerMixin, BaseEstimator):
    """Subtract the mean of the observational rows: a transformer that needs the mask."""

    def fit(self, X, y=None, *, interventions=None):
        self.fit_mask_ = check_interventions(interventions, X)
        self.mean_ = np.asarray(X)[~self.fit_mask_.any(axis=1)].mean(axis=0)
        return self

    def transform(self, X, *, interventions=None):
        check_is_fitted(self)
        if interventions is None:
            raise ValueError("The mask did not arrive.")
        return np.asarray(X) - self.mean_

    def fit_transform(self, X, y=None, *, interventions=None):
        return self.fit(X, interventions=interventions).transform(X, interventions=interventions)
