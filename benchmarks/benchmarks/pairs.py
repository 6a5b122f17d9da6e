"""Every public estimator with default settings, its peer, and rows that both are fitted on.

The peer is the implementation of the same method elsewhere where there is one, else the simplest
estimator that answers the same question.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gies
import numpy as np
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.neural_network import MLPRegressor

from skcausal import compose, design, effects, perturbation, prediction, structure
from skcausal.datasets import make_dose_response, make_linear_scm
from skcausal.interventions import unique_regimes
from skcausal.simulators import DoseResponsePrior, LinearPrior

from .common import SEED

N_PERTURBATIONS, N_DOSES = 8, 4


class Rows(NamedTuple):
    """What `fit` and `predict` are given."""

    X: Any
    y: Any
    metadata: dict
    queries: Any

    def fit(self, model):
        """Fit the model."""
        return model.fit(self.X, self.y, **self.metadata)

    def predict(self, model):
        """Ask the fitted model for predictions of as many rows as it was fitted on."""
        return model.predict(self.queries, **self.metadata)


def regimes(n_rows, n_variables):
    """Observational rows and as many with each variable set; queries hold the set cells alone."""
    per_regime = max(n_rows // (n_variables + 1), 2)
    data = make_linear_scm(n_variables, n_samples=per_regime, random_state=SEED)
    queries = data.X.where(data.interventions)
    return Rows(data.X, None, {"interventions": data.interventions}, queries)


def experiment(n_rows, n_variables):
    """Return the same rows, as the experiment so far that a designer goes on from."""
    rows = regimes(n_rows, n_variables)
    return rows._replace(queries=rows.X)


def doses(n_rows, n_variables):
    """Eight perturbations of unknown targets at four doses each, and as many rows of controls."""
    prior = DoseResponsePrior(
        LinearPrior(n_variables), n_perturbations=N_PERTURBATIONS + 1, n_heldout_perturbations=1
    )
    per_context = max(n_rows // (2 * N_PERTURBATIONS * N_DOSES), 2)
    data = make_dose_response(
        prior, n_samples=per_context, n_controls=n_rows // 2, random_state=SEED
    )
    return Rows(data.X, None, {"interventions": data.interventions}, data.X * np.nan)


def treatments(n_rows, n_variables):
    """Covariates, a treatment that depends on the first and an effect that depends on the next."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n_rows, n_variables))
    treatment = (rng.random(n_rows) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    y = np.sin(X[:, 0]) + treatment * (1 + X[:, 1]) + 0.5 * rng.normal(size=n_rows)
    return Rows(X, y, {"treatment": treatment}, X)


class GiesPackage:
    """The package gies, which predicts nothing."""

    def fit(self, X, y, *, interventions):
        targets, regime = unique_regimes(np.asarray(interventions))
        values = [np.asarray(X)[regime == k] for k in range(len(targets))]
        gies.fit_bic(values, [np.flatnonzero(row).tolist() for row in targets])
        return self


class RidgeOnInterventions:
    """scikit-learn's ridge regression of all variables on the interventions."""

    def __init__(self, ridge):
        self.ridge = ridge

    def fit(self, X, y, *, interventions):
        self.ridge.fit(np.asarray(interventions, dtype=float), np.asarray(X))
        return self

    def predict(self, X, *, interventions):
        return self.ridge.predict(np.asarray(interventions, dtype=float))


class TLearner:
    """One regression per arm."""

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y, *, treatment):
        arms = (treatment == level for level in (0, 1))
        self.regressors = [clone(self.regressor).fit(X[arm], y[arm]) for arm in arms]
        return self

    def predict(self, X, *, treatment):
        return np.choose(treatment, [regressor.predict(X) for regressor in self.regressors])


class PosteriorAlone:
    """The exact posterior over graphs that a design needs, without a choice of a design."""

    def fit(self, X, y, *, interventions):
        structure.ExactGraphPosterior(n_draws=1, random_state=0).fit(X, interventions=interventions)
        return self

    def predict(self, X, *, interventions):
        self.fit(X, None, interventions=interventions)


@dataclass(frozen=True)
class Family:
    """Estimators that are fitted on rows of one kind.

    `peers` holds (estimator, peer) and, if it is only one of the two, the operation compared.
    """

    rows: Callable[[int, int], Rows]
    estimators: dict[str, Any]
    peers: tuple[tuple[str, ...], ...]
    from_elsewhere: dict[str, Any]

    def model(self, name, rows):
        """Return an unfitted estimator or peer."""
        template = (self.estimators | self.from_elsewhere)[name]
        return template(rows) if callable(template) else template

    def cases(self):
        """Triples (estimator, operation, peer)."""
        for name, peer, *only in self.peers:
            for operation in only or ("fit", "predict"):
                yield name, operation, peer


def _chain(rows):
    return structure.KnownGraph(np.eye(rows.X.shape[1], k=1))


PREDICTION = Family(
    regimes,
    {
        "AdditiveShift": prediction.AdditiveShift(),
        "ConditionalRidge": prediction.ConditionalRidge(),
        "IgnoreInterventions": compose.IgnoreInterventions(prediction.InterventionRidge()),
        "InterventionRidge": prediction.InterventionRidge(),
        "MetaInterventionPredictor": prediction.MetaInterventionPredictor(),
        "NoEffect": prediction.NoEffect(),
        "TransformedVariables": compose.TransformedVariables(prediction.InterventionRidge()),
    },
    (
        ("AdditiveShift", "InterventionRidge"),
        ("ConditionalRidge", "InterventionRidge"),
        ("IgnoreInterventions", "InterventionRidge"),
        ("InterventionRidge", "sklearn Ridge"),
        ("MetaInterventionPredictor", "InterventionRidge"),
        ("NoEffect", "InterventionRidge"),
        ("TransformedVariables", "InterventionRidge"),
    ),
    {"sklearn Ridge": RidgeOnInterventions(Ridge())},
)
STRUCTURE = Family(
    regimes,
    {
        "FullGraph": structure.FullGraph(random_state=0),
        "GES": structure.GES(),
        "GIES": structure.GIES(),
        "IGSP": structure.IGSP(random_state=0),
        "KnownGraph": _chain,
        "PC": structure.PC(),
        "ShiftOrder": structure.ShiftOrder(),
    },
    (
        ("FullGraph", "sklearn Ridge"),
        ("GES", "GIES", "fit"),
        ("GES", "FullGraph", "predict"),
        ("GIES", "package gies", "fit"),
        ("GIES", "FullGraph", "predict"),
        ("IGSP", "GIES", "fit"),
        ("IGSP", "FullGraph", "predict"),
        ("KnownGraph", "FullGraph"),
        ("PC", "GIES", "fit"),
        ("PC", "FullGraph", "predict"),
        ("ShiftOrder", "GIES", "fit"),
        ("ShiftOrder", "FullGraph", "predict"),
    ),
    {"package gies": GiesPackage(), "sklearn Ridge": RidgeOnInterventions(Ridge())},
)
POSTERIORS = Family(
    regimes,
    {
        "AmortizedGraphPosterior": structure.AmortizedGraphPosterior(random_state=0),
        "BootstrapEnsemble": structure.BootstrapEnsemble(structure.GIES(), random_state=0),
        "ExactGraphPosterior": structure.ExactGraphPosterior(random_state=0),
    },
    (
        ("AmortizedGraphPosterior", "BootstrapEnsemble"),
        ("BootstrapEnsemble", "one GIES"),
        ("ExactGraphPosterior", "BootstrapEnsemble"),
    ),
    {"one GIES": structure.GIES()},
)
PERTURBATION = Family(
    doses,
    {
        "FeatureRegression": perturbation.FeatureRegression(random_state=0),
        "GenerativeInterventionModel": perturbation.GenerativeInterventionModel(random_state=0),
        "MeanTreated": perturbation.MeanTreated(),
        "NoChange": perturbation.NoChange(),
        "UnknownTargetIGSP": perturbation.UnknownTargetIGSP(random_state=0),
    },
    (
        ("FeatureRegression", "sklearn RidgeCV"),
        ("GenerativeInterventionModel", "FeatureRegression"),
        ("MeanTreated", "sklearn Ridge"),
        ("NoChange", "sklearn Ridge"),
        ("UnknownTargetIGSP", "FeatureRegression"),
    ),
    {
        "sklearn Ridge": RidgeOnInterventions(Ridge()),
        "sklearn RidgeCV": RidgeOnInterventions(
            RidgeCV(np.logspace(-4, 4, 17), alpha_per_target=True)
        ),
    },
)
EFFECTS = Family(
    treatments,
    {"CFRRegressor": effects.CFRRegressor(device="cpu", random_state=0)},
    (("CFRRegressor", "T-learner, MLP"), ("CFRRegressor", "T-learner, boosting")),
    {
        "T-learner, MLP": TLearner(MLPRegressor(random_state=0)),
        "T-learner, boosting": TLearner(GradientBoostingRegressor(random_state=0)),
    },
)
DESIGN = Family(
    experiment,
    {"ActiveDesigner": design.ActiveDesigner(random_state=0)},
    (("ActiveDesigner", "exact posterior"),),
    {"exact posterior": PosteriorAlone()},
)
FAMILIES = (PREDICTION, STRUCTURE, POSTERIORS, PERTURBATION, EFFECTS, DESIGN)
