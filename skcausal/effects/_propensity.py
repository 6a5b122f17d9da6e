"""Chances of receiving each treatment level."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import has_fit_parameter

_MOST_FOLDS = 5


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
        Sample weights, used if the model takes any.
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
    weighted = has_fit_parameter(model, "sample_weight") and np.ptp(weight) > 0

    def fit(rows):
        given = {"sample_weight": weight[rows]} if weighted else {}
        return clone(model).fit(x[rows], arm[rows], **given)

    n_folds = min(_MOST_FOLDS, np.bincount(arm).min())
    propensity = np.empty((len(x), arm.max() + 1))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(x, arm)
    for rows, held_out in folds:
        propensity[held_out] = fit(rows).predict_proba(x[held_out])
    return fit(np.arange(len(x))), propensity
