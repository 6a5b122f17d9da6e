"""R-score: predicted effects against the best constant effect, on held-out rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skcausal._typing import MatrixLike, PerRow, RandomStateLike
from skcausal.metrics._cross_fitting import (
    FEWEST_UNITS,
    cross_fit_outcome,
    cross_fit_propensity,
    stratified_folds,
)
from skcausal.metrics._effect_validation import check_arms, check_covariates, check_effects
from skcausal.metrics._effects import check_columns


def r_score(
    X: MatrixLike,
    y: ArrayLike,
    treatment: ArrayLike,
    effect_pred: MatrixLike,
    *,
    model_y: BaseEstimator | None = None,
    model_t: BaseEstimator | None = None,
    n_folds: int = 5,
    sample_weight: PerRow = None,
    random_state: RandomStateLike = 0,
) -> float:
    """Return how much better predicted effects are than constant ones, by the R-loss.

    With m(x) = E[Y | x] and e_k(x) = P(T = k | x), the R-loss [1]_ of effects τ_k of each level k
    against the lowest one is

        mean(((y - m(x)) - sum_k (1[T = k] - e_k(x)) τ_k(x))^2),

    and the score is one minus its ratio to the R-loss of the best constant effects, as in [2]_.
    1 is an upper bound that noise keeps out of reach, 0 is no better than constant effects.

    m and e are fitted on the rows given, each row predicted by models that have not seen it.

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
    model_y : regressor, default=None
        Model of m. Default: ridge regression of standardised columns, its penalty chosen by
        leave-one-out errors.
    model_t : classifier, default=None
        Model of e, with ``predict_proba``. Default: logistic regression of standardised columns,
        its penalty chosen by cross-validation.
    n_folds : int, default=5
        Number of folds of the cross-fitting, stratified by treatment; fewer if a level has fewer
        units.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the units in the loss. m and e are conditional expectations and fitted without.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds. A fixed one lets models that are compared share their m and e.

    Returns
    -------
    score : float
        At most 1, negative if a constant effect does better.

    Raises
    ------
    ValueError
        If there is only one level, or a level with fewer than four units.

    References
    ----------
    .. [1] Nie, X. & Wager, S. (2021). Quasi-oracle estimation of heterogeneous treatment effects.
       Biometrika 108(2), 299-319, equation 4.
    .. [2] Schuler, A., Baiocchi, M., Tibshirani, R. & Shah, N. (2018). A comparison of methods for
       model selection when estimating individual treatment effects. arXiv:1804.05146.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import r_score
    >>> rng = np.random.default_rng(0)
    >>> X, treatment = rng.normal(size=(200, 2)), rng.integers(2, size=200)
    >>> y = X[:, 0] * treatment + 0.5 * rng.normal(size=200)
    >>> round(r_score(X, y, treatment, effect_pred=X[:, 0]), 1)
    0.5
    """
    (y,), weight = check_columns(sample_weight, y=y)
    arm, levels = check_arms(treatment, len(y), n_units=FEWEST_UNITS, argument="cross-fitting")
    X = check_covariates(X, len(y))
    effects = check_effects(effect_pred, len(y), len(levels))
    folds = stratified_folds(arm, n_folds, random_state)
    y_residual = y - cross_fit_outcome(X, y, folds, model_y)
    received = arm[:, None] == np.arange(len(levels))
    t_residual = (received - cross_fit_propensity(X, arm, folds, model_t))[:, 1:]
    loss = np.average((y_residual - (t_residual * effects).sum(axis=1)) ** 2, weights=weight)
    best = _loss_of_best_constant(y_residual, t_residual, weight)
    negligible = (10 * np.finfo(float).eps) ** 2 * np.average(y**2, weights=weight)
    if best <= negligible:  # as r2_score does: where a constant is perfect, so is its equal
        return float(loss <= negligible)
    return float(1 - loss / best)


def _loss_of_best_constant(y_residual, t_residual, weight):
    """R-loss of the constant effects that minimise it: least squares."""
    root = np.sqrt(weight)
    constant, *_ = np.linalg.lstsq(t_residual * root[:, None], y_residual * root, rcond=None)
    return np.average((y_residual - t_residual @ constant) ** 2, weights=weight)
