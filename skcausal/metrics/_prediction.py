"""How well interventions are predicted: transfer loss, error of interventional means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from skcausal._typing import MatrixLike, PerRow
from skcausal.interventions import check_interventions, regime_labels

if TYPE_CHECKING:
    import pandas as pd


def transfer_loss(
    X: MatrixLike, X_pred: MatrixLike, *, interventions: MatrixLike, scale: float | ArrayLike
) -> float:
    """Return the mean squared error over all cells, intervened cells counting as 0.

    With `X_pred` predicted from the true values of each variable's parents, `scale` the pooled
    standard deviation of the training rows and X from unseen interventions, this is the transfer
    loss of [1]_, Table 1. It is no causal test by itself: predictions that use all other variables,
    children included, may fall below those of the true graph.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_variables)
        Observed values.
    X_pred : array-like of shape (n_samples, n_variables)
        Predicted values.
    interventions : array-like of bool of shape (n_samples, n_variables)
        True where the mechanism of a variable was replaced.
    scale : float or array-like of shape (n_variables,)
        Unit of each variable, usually ``estimator.scale_``.

    Returns
    -------
    loss : float
        The loss, in squared units of `scale`.

    References
    ----------
    .. [1] Manta, C. D., Brouillard, P. & Sridhar, D. (2025). A meta-learning approach to causal
       inference. Equation 5, section 4.3 and Table 1.

    Examples
    --------
    >>> from skcausal.metrics import transfer_loss
    >>> transfer_loss([[2.0, 3.0]], [[0.0, 1.0]], interventions=[[True, False]], scale=1.0)
    2.0
    """
    squared, mask = _squared_errors(X, X_pred, interventions, scale)
    return float(np.where(mask, 0.0, squared).mean())


def interventional_mean_error(
    X: MatrixLike,
    X_pred: MatrixLike,
    *,
    interventions: MatrixLike,
    scale: float | ArrayLike,
    regimes: PerRow = None,
    average: bool = True,
) -> float | pd.Series:
    """Return the squared error of predicted regime means.

    For each regime and each variable that is not a target there, the squared difference between the
    mean of the predictions and the mean of the observations, in units of `scale`; averaged over the
    variables of a regime, then over regimes.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_variables)
        Observed values (or true interventional means).
    X_pred : array-like of shape (n_samples, n_variables)
        Predictions made without sight of the free variables: ``estimator.predict`` of rows in which
        only the intervened cells are known.
    interventions : array-like of bool of shape (n_samples, n_variables)
        True where the mechanism of a variable was replaced.
    scale : float or array-like of shape (n_variables,)
        Unit of each variable.
    regimes : array-like of shape (n_samples,), default=None
        Condition of each row. Default: distinct sets of targets. Give them where conditions act on
        one target in different ways, or set it to different values: errors of opposite sign would
        cancel in a common mean.
    average : bool, default=True
        Whether to average over regimes.

    Returns
    -------
    error : float or Series
        The mean error, or one error per regime, indexed by its label.

    Examples
    --------
    >>> from skcausal.metrics import interventional_mean_error
    >>> interventional_mean_error(
    ...     [[2.0, 3.0], [2.0, 5.0]],
    ...     [[2.0, 3.0], [2.0, 3.0]],
    ...     interventions=[[True, False], [True, False]],
    ...     scale=1.0,
    ... )
    1.0
    """
    import pandas as pd

    _, mask = _squared_errors(X, X_pred, interventions, scale)
    names = getattr(X, "columns", getattr(interventions, "columns", None))
    labels = regime_labels(mask, variables=names) if regimes is None else np.asarray(regimes)
    difference = (np.asarray(X, dtype=float) - np.asarray(X_pred, dtype=float)) / scale
    mean_difference = pd.DataFrame(difference).where(~mask).groupby(labels).mean()
    errors = (mean_difference**2).mean(axis=1)
    if errors.isna().all():
        raise ValueError(
            "interventions mark every cell as intervened on, so no mean is left to compare; pass "
            "rows with at least one free variable."
        )
    errors.index.name = "regime"
    return float(errors.mean()) if average else errors


def _squared_errors(X, X_pred, interventions, scale):
    """Squared errors in units of scale (n_samples, n_variables), and the mask."""
    mask = check_interventions(interventions, X)
    X = check_array(X, dtype=float, input_name="X")
    X_pred = check_array(X_pred, dtype=float, input_name="X_pred")
    if X.shape != X_pred.shape:
        raise ValueError(f"X_pred must have the shape of X, {X.shape}, got {X_pred.shape}.")
    scale = np.asarray(scale, dtype=float)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"scale must be positive and finite, got {scale}.")
    return ((X - X_pred) / scale) ** 2, mask
