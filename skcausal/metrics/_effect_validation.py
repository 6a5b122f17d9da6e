"""Factual and matched errors of predicted effects: no counterfactual and no model is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array

from skcausal._labels import check_labels
from skcausal._typing import MatrixLike, PerRow
from skcausal.base import is_constant
from skcausal.metrics._effects import check_columns


def arm_balanced_error(
    y: ArrayLike, treatment: ArrayLike, y_pred: ArrayLike, *, sample_weight: PerRow = None
) -> float:
    """Return the squared error of factual predictions, every arm counting the same.

    The mean over arms a of ``mean((y - y_pred)^2 | T = a)``. The plain mean squared error is
    governed by the larger arm, whereas an effect depends on the predictions for both. How well
    factual errors select between models of effects is studied in [1]_.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed outcomes.
    treatment : array-like of shape (n_samples,)
        Treatment that each unit received; any number of levels.
    y_pred : array-like of shape (n_samples,)
        Predicted outcome of each unit under the treatment that it received.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the units within their arm. An arm without any weight is left out.

    Returns
    -------
    error : float
        The error, in squared units of y; lower is better.

    References
    ----------
    .. [1] Curth, A. & van der Schaar, M. (2023). In search of insights, not magic bullets: towards
       demystification of the model selection dilemma in heterogeneous treatment effect estimation.
       ICML.

    Examples
    --------
    >>> from skcausal.metrics import arm_balanced_error
    >>> arm_balanced_error([1.0, 1.0, 1.0, 5.0], [0, 0, 0, 1], [1.0, 1.0, 1.0, 3.0])
    2.0
    """
    (y, y_pred), weight = check_columns(sample_weight, y=y, y_pred=y_pred)
    arm, levels = check_labels(treatment, len(y), name="treatment")
    arm_weight = np.bincount(arm, weights=weight, minlength=len(levels))
    total = np.bincount(arm, weights=weight * (y - y_pred) ** 2, minlength=len(levels))
    counts = arm_weight > 0
    return float(np.mean(total[counts] / arm_weight[counts]))


def nearest_neighbor_pehe(
    X: MatrixLike,
    y: ArrayLike,
    treatment: ArrayLike,
    effect_pred: MatrixLike,
    *,
    n_neighbors: int = 5,
    sample_weight: PerRow = None,
) -> float:
    """Return the error of unit effects against outcomes of similar units in other arms.

    The counterfactual outcome of a unit is taken from its `n_neighbors` nearest units of the other
    arm among the rows given, and its effect from the difference:

        sqrt(mean_i (effect_pred_i - s_i (y_i - mean of y over the neighbours of i))^2),

    where s_i is 1 for a treated and -1 for an untreated unit. With more than two levels each unit
    is compared with its neighbours at each of the other levels. The proxy contains the noise of the
    outcomes, so it does not approach 0 for the true effects; it serves to compare models.

    Distances are Euclidean between standardised columns; columns with two values are coded 0 and 1
    instead, since rare ones would dominate. They do not change if columns of X are shifted or
    scaled.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Covariates of the units, without the treatment.
    y : array-like of shape (n_samples,)
        Observed outcomes.
    treatment : array-like of shape (n_samples,)
        Treatment that each unit received; two or more levels.
    effect_pred : array-like of shape (n_samples,) or (n_samples, n_levels - 1)
        Predicted effect of each level, in sorted order, against the lowest one.
    n_neighbors : int, default=5
        Number of units of another arm that stand for a counterfactual. [1]_ uses 1; the mean of
        several is less noisy.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the units in the mean over i; neighbours count the same.

    Returns
    -------
    error : float
        The error, in units of y; lower is better.

    Raises
    ------
    ValueError
        If there is only one level, or a level with fewer than `n_neighbors` units.

    See Also
    --------
    pehe : The error against true effects.

    References
    ----------
    .. [1] Shalit, U., Johansson, F. D. & Sontag, D. (2017). Estimating individual treatment effect:
       generalization bounds and algorithms. ICML, section 5.

    Examples
    --------
    >>> from skcausal.metrics import nearest_neighbor_pehe
    >>> nearest_neighbor_pehe(
    ...     X=[[0.0], [0.1], [5.0], [5.1]],
    ...     y=[1.0, 2.0, 4.0, 7.0],
    ...     treatment=[0, 1, 0, 1],
    ...     effect_pred=[1.0, 1.0, 3.0, 3.0],
    ...     n_neighbors=1,
    ... )
    0.0
    """
    (y,), weight = check_columns(sample_weight, y=y)
    arm, levels = check_arms(treatment, len(y), n_units=n_neighbors, argument="n_neighbors")
    Z = _comparable(check_covariates(X, len(y)))
    effects = check_effects(effect_pred, len(y), len(levels))
    against_lowest = np.column_stack([np.zeros(len(y)), effects])
    squared = total = 0.0
    for level in range(len(levels)):
        units, pool = np.flatnonzero(arm != level), np.flatnonzero(arm == level)
        search = NearestNeighbors(n_neighbors=n_neighbors).fit(Z[pool])
        matched = y[pool][search.kneighbors(Z[units], return_distance=False)].mean(axis=1)
        contrast = against_lowest[units, arm[units]] - against_lowest[units, level]
        squared += np.sum(weight[units] * (contrast - (y[units] - matched)) ** 2)
        total += np.sum(weight[units])
    return float(np.sqrt(squared / total))


def check_covariates(X, n_samples) -> np.ndarray:
    """Finite float covariates (n_samples, n_features)."""
    X = check_array(X, dtype=np.float64, input_name="X")
    if len(X) != n_samples:
        raise ValueError(
            f"X must have a row for each of the {n_samples} values of y, got {len(X)}."
        )
    return X


def check_arms(treatment, n_samples, *, n_units, argument):
    """Code of each unit's arm (n_samples,) and the levels, at least two of `n_units` units each."""
    arm, levels = check_labels(treatment, n_samples, name="treatment")
    if len(levels) < 2:
        raise ValueError(
            f"treatment must have at least two levels in the rows that are scored, found "
            f"{levels.tolist()}; pass more rows, or folds that are stratified by treatment."
        )
    size = np.bincount(arm)
    rarest = levels.tolist()[size.argmin()]
    if size.min() < n_units:
        raise ValueError(
            f"treatment must have at least {n_units} units at each level ({argument}), found "
            f"{size.min()} at level {rarest!r}; pass more rows, or folds that are stratified by "
            "treatment."
        )
    return arm, levels


def check_effects(effect_pred, n_samples, n_levels):
    """Predicted effects against the lowest level (n_samples, n_levels - 1)."""
    effects = check_array(effect_pred, ensure_2d=False, dtype=np.float64, input_name="effect_pred")
    effects = effects[:, None] if effects.ndim == 1 else effects
    if effects.shape != (n_samples, n_levels - 1):
        raise ValueError(
            f"effect_pred must have the shape {(n_samples, n_levels - 1)}, one column for each of "
            f"the {n_levels} levels of treatment but the lowest, got {np.shape(effect_pred)}."
        )
    return effects


def _comparable(X):
    """Columns in comparable units: 0 and 1 for two values, standard deviations otherwise."""
    low, high = X.min(axis=0), X.max(axis=0)
    binary = np.all(np.equal(X, low) | np.equal(X, high), axis=0)
    scale = np.where(binary, high - low, X.std(axis=0))
    constant = is_constant(X)
    return np.where(constant, 0.0, (X - low) / np.where(constant, 1.0, scale))
