"""Doubly robust value of the policy that follows predicted outcomes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from skcausal._typing import MatrixLike, PerRow, RandomStateLike
from skcausal.metrics._cross_fitting import (
    FEWEST_UNITS,
    cross_fit_outcome,
    cross_fit_propensity,
    stratified_folds,
)
from skcausal.metrics._effect_validation import check_arms, check_covariates
from skcausal.metrics._effects import check_columns


def policy_value(
    X: MatrixLike,
    y: ArrayLike,
    treatment: ArrayLike,
    outcomes_pred: MatrixLike,
    *,
    model_y: BaseEstimator | None = None,
    model_t: BaseEstimator | None = None,
    min_propensity: float = 0.01,
    n_folds: int = 5,
    sample_weight: PerRow = None,
    random_state: RandomStateLike = 0,
) -> float:
    """Return the mean outcome if each unit got the level with the best predicted outcome.

    With the policy π(x), the level of the highest predicted outcome, the value is estimated by
    augmented inverse propensity weighting [1]_

        mean(q_π(x) + 1[T = π] / e_π(x) (y - q_π(x))),

    which is right if either the propensities e_k(x) = P(T = k | x) or the outcomes
    q_k(x) = E[Y | x, T = k] are. Both are fitted on the rows given, each row predicted by models
    that have not seen it. `outcomes_pred` only choose the policy: a model cannot raise its value by
    predicting high outcomes.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Covariates of the units, without the treatment.
    y : array-like of shape (n_samples,)
        Observed outcomes; higher is better.
    treatment : array-like of shape (n_samples,)
        Treatment that each unit received; two or more levels.
    outcomes_pred : array-like of shape (n_samples, n_levels)
        Predicted outcome of each unit at each level, in sorted order. Of equal ones the policy
        takes the lowest level.
    model_y : regressor, default=None
        Model of the outcomes, fitted to each level alone. Default: ridge regression of standardised
        columns, its penalty chosen by leave-one-out errors.
    model_t : classifier, default=None
        Model of the propensities, with ``predict_proba``. Default: logistic regression of
        standardised columns, its penalty chosen by cross-validation.
    min_propensity : float, default=0.01
        Smaller propensities are raised to this value.
    n_folds : int, default=5
        Number of folds of the cross-fitting, stratified by treatment; fewer if a level has fewer
        units.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the units in the mean. The models are fitted without.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds.

    Returns
    -------
    value : float
        Estimated mean outcome under the policy.

    Raises
    ------
    ValueError
        If there is only one level, or a level with fewer than four units.

    References
    ----------
    .. [1] Dudík, M., Langford, J. & Li, L. (2011). Doubly robust policy evaluation and learning.
       ICML, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import policy_value
    >>> rng = np.random.default_rng(0)
    >>> X, treatment = rng.choice([-1.0, 1.0], size=(400, 1)), rng.integers(2, size=400)
    >>> y = X[:, 0] * treatment
    >>> outcomes = np.column_stack([np.zeros(400), X[:, 0]])
    >>> bool(abs(policy_value(X, y, treatment, outcomes) - np.mean(X > 0)) < 0.05)
    True
    """
    (y,), weight = check_columns(sample_weight, y=y)
    arm, levels = check_arms(treatment, len(y), n_units=FEWEST_UNITS, argument="cross-fitting")
    X = check_covariates(X, len(y))
    policy = _check_outcomes(outcomes_pred, len(y), len(levels)).argmax(axis=1)
    if not 0 < min_propensity < 0.5:
        raise ValueError(f"min_propensity must be above 0 and below 0.5, got {min_propensity!r}.")
    folds = stratified_folds(arm, n_folds, random_state)
    propensity = cross_fit_propensity(X, arm, folds, model_t)
    outcomes = np.column_stack(
        [cross_fit_outcome(X, y, folds, model_y, rows=arm == level) for level in range(len(levels))]
    )
    advised = np.arange(len(y)), policy
    followed = (arm == policy) / np.maximum(propensity[advised], min_propensity)
    return float(np.average(outcomes[advised] + followed * (y - outcomes[advised]), weights=weight))


def _check_outcomes(outcomes_pred, n_samples, n_levels):
    """Predicted outcomes (n_samples, n_levels)."""
    outcomes = check_array(outcomes_pred, dtype=np.float64, input_name="outcomes_pred")
    if outcomes.shape != (n_samples, n_levels):
        raise ValueError(
            f"outcomes_pred must have the shape {(n_samples, n_levels)}, one column for each level "
            f"of treatment, got {outcomes.shape}."
        )
    return outcomes
