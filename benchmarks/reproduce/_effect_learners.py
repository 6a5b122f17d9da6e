"""Learners of treatment effects under one interface: ours, and those of the package econml.

A learner is a function ``learn(X, y, treatment, binary)`` that returns a function from covariates
to an `Estimate`. Peers have the defaults of their packages; each base learner is scikit-learn's
gradient boosting, or a ridge regression whose penalty is chosen inside.
"""

import time
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcausal.effects import CFRRegressor

LEVEL = 0.9


class Estimate(NamedTuple):
    """Unit effects, their average, and intervals of both where the learner gives any."""

    effect: np.ndarray
    average: float
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    average_interval: tuple | None = None
    outcomes: np.ndarray | None = None


def ours(**parameters):
    """Learn with CFRRegressor and the given parameters beside its defaults."""

    def learn(X, y, treatment, binary):
        outcome = "binary" if binary else "continuous"
        model = CFRRegressor(outcome=outcome, device="cpu", random_state=0, **parameters)
        model.fit(X, y, treatment=treatment)

        def estimate(X):
            average = model.ate(X, level=LEVEL)
            bounds = (average.lower, average.upper)
            lower, upper = model.effect_interval(X, level=LEVEL)
            outcomes = model.potential_outcomes(X)
            return Estimate(model.effect(X), average.estimate, lower, upper, bounds, outcomes)

        return estimate

    return learn


def constant(X, y, treatment, binary):
    """Learn the difference of the arms' means."""
    difference = y[treatment == 1].mean() - y[treatment == 0].mean()
    return lambda X: Estimate(np.full(len(X), difference), difference)


def _boosting():
    return GradientBoostingRegressor(random_state=0)


def _ridge():
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))


def _propensity(base):
    if base is _boosting:
        return GradientBoostingClassifier(random_state=0)
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))


def econml(kind, base=_boosting):
    """Learn with a learner of econml."""

    def learn(X, y, treatment, binary):
        from econml.dml import CausalForestDML
        from econml.dr import DRLearner
        from econml.metalearners import SLearner, TLearner, XLearner

        y = np.asarray(y, dtype=float)
        if kind == "T":
            model = TLearner(models=base())
        elif kind == "S":
            model = SLearner(overall_model=base())
        elif kind == "X":
            model = XLearner(models=base(), propensity_model=_propensity(base))
        elif kind == "DR":
            model = DRLearner(
                model_propensity=_propensity(base),
                model_regression=base(),
                model_final=base(),
                random_state=0,
            )
        else:
            model = CausalForestDML(
                model_y=base(),
                model_t=_propensity(base),
                discrete_treatment=True,
                n_estimators=500,
                random_state=0,
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # econml calls scikit-learn in deprecated ways
            model.fit(y, treatment, X=X)

        def estimate(X):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                effect = np.ravel(model.effect(X))
            return Estimate(effect, effect.mean())

        return estimate

    return learn


OURS = {
    "CFRRegressor()": ours(),
    "CFRRegressor(effect_head=True)": ours(effect_head=True),
    "CFRRegressor(alpha=0)": ours(alpha=0.0),
}
PEERS = {
    "difference of means": constant,
    "T, ridge": econml("T", _ridge),
    "S, boosting": econml("S"),
    "T, boosting": econml("T"),
    "X, boosting": econml("X"),
    "X, ridge": econml("X", _ridge),
    "DR, boosting": econml("DR"),
    "DR, ridge": econml("DR", _ridge),
    "causal forest, boosting": econml("forest"),
}


def fit_timed(learn, X, y, treatment, binary=False):
    """Fit a learner; returns its estimator and the seconds of one process."""
    start = time.process_time()
    estimate = learn(X, y, treatment, binary)
    return estimate, time.process_time() - start
