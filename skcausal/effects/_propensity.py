"""Chances of receiving each treatment level."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import has_fit_parameter

from skcausal.metrics._cross_fitting import cross_fit_propensity, stratified_folds

_N_FOLDS = 5


def fit_propensity(model, x: np.ndarray, arm: np.ndarray, weight: np.ndarray, seed: int):
    """Fit a model of the treatment, and predict each row by a copy that has not seen it.

    Parameters
    ----------
    model : classifier or None
        Unfitted, with `predict_proba`; None for a logistic regression.
    x : ndarray of shape (n, n_features)
        Scaled covariates.
    arm : ndarray of int of shape (n,)
        Level of each row; two rows of each at least.
    weight : ndarray of shape (n,)
        Sample weights, used if they differ and the model takes any.
    seed : int
        Determines the folds.

    Returns
    -------
    fitted : classifier
        A copy of the model, fitted to all rows.
    propensity : ndarray of shape (n, n_arms)
        Cross-fitted probability of every level.
    """
    model = LogisticRegression(C=0.3, max_iter=1000) if model is None else model
    given = {}
    if np.ptp(weight) > 0 and has_fit_parameter(model, "sample_weight"):
        given["sample_weight"] = weight
    propensity = cross_fit_propensity(x, arm, stratified_folds(arm, _N_FOLDS, seed), model, **given)
    return clone(model).fit(x, arm, **given), propensity
