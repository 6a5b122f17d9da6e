"""How well the shifts of perturbed means from the control are predicted."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_array

from skcausal._labels import check_labels
from skcausal._typing import MatrixLike, PerRow
from skcausal.metrics._distribution import check_same_columns

if TYPE_CHECKING:
    import pandas as pd

# Shifts that differ by less than this share of the means are equal but for rounding.
ROUNDING = 1e-10


def delta_correlation(
    X: MatrixLike,
    X_pred: MatrixLike,
    *,
    control: MatrixLike,
    regimes: PerRow = None,
    top: int | None = None,
    average: bool = True,
) -> float | pd.Series:
    """Return the correlation over variables of predicted with observed shifts from the control.

    For each regime, the Pearson correlation of two vectors: the mean of the observations and the
    mean of the predictions, each minus the mean of the control; then the average over regimes.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_variables)
        Observed values of perturbed rows. Leave the control rows out: their shift is noise.
    X_pred : array-like of shape (n_samples, n_variables)
        Predicted values: means or simulated rows.
    control : array-like of shape (n_variables,) or (n_controls, n_variables)
        The mean of the control, or the control rows.
    regimes : array-like of shape (n_samples,), default=None
        Condition of each row. None: all rows form one regime.
    top : int, default=None
        Number of variables to compare, two or more: in each regime, those with the largest absolute
        observed shift. None: all.
    average : bool, default=True
        Whether to average over regimes.

    Returns
    -------
    correlation : float or Series
        The mean correlation, or one per regime, indexed by its label; 1 is perfect. It is 0 where
        the predicted shift is the same in all variables ("no effect" predicts 0), and NaN, left out
        of the average, where the observed one is.

    Raises
    ------
    ValueError
        If shapes, columns or regimes do not match, `top` is no possible number of variables, or no
        regime has an observed shift.

    See Also
    --------
    delta_rmse : The size of the error, which a correlation does not see.

    Notes
    -----
    Where all perturbations share part of their effect, the mean of all perturbed rows already
    correlates well with each shift. Report that prediction beside the one of a model.

    Examples
    --------
    >>> from skcausal.metrics import delta_correlation
    >>> observed = [[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]]
    >>> predicted = [[1.0, 1.5, 0.5], [1.0, 1.0, 1.0]]
    >>> delta_correlation(
    ...     observed, predicted, control=[1.0, 1.0, 1.0], regimes=["b", "c"], average=False
    ... )
    regime
    b    1.0
    c    0.0
    dtype: float64
    """
    observed, predicted = _regime_means(X, X_pred, regimes)
    control = _control_mean(control, X, observed.shape[1])
    top = _check_top(top, observed.shape[1], fewest=2)
    chosen = _largest_shifts(observed - control, top)
    a, observed_constant = _standardise(observed, control, chosen)
    b, predicted_constant = _standardise(predicted, control, chosen)
    correlations = (a * b).mean(axis=1).clip(-1.0, 1.0)
    correlations[predicted_constant] = 0.0
    correlations[observed_constant] = np.nan
    if observed_constant.all():
        raise ValueError(
            "X is shifted from control by the same amount in all variables of every regime, so no "
            "correlation is defined; pass perturbed rows, and the mean of other rows as control."
        )
    return _result(correlations, observed.index, np.nanmean(correlations), average)


def delta_rmse(
    X: MatrixLike,
    X_pred: MatrixLike,
    *,
    regimes: PerRow = None,
    control: MatrixLike | None = None,
    top: int | None = None,
    average: bool = True,
) -> float | pd.Series:
    """Return the root mean squared error of predicted regime means.

    The mean of the predictions minus the mean of the observations, squared, averaged over the
    variables of a regime; the root is taken of the average over regimes, so that every regime
    counts the same, whatever its number of rows. Means and shifts from the control have the same
    errors: `control` only serves to find the largest shifts.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_variables)
        Observed values.
    X_pred : array-like of shape (n_samples, n_variables)
        Predicted values: means or simulated rows.
    regimes : array-like of shape (n_samples,), default=None
        Condition of each row. None: all rows form one regime.
    control : array-like of shape (n_variables,) or (n_controls, n_variables), default=None
        The mean of the control, or the control rows. Needed with `top`.
    top : int, default=None
        Number of variables to compare: in each regime, those with the largest absolute observed
        shift from the control. None: all.
    average : bool, default=True
        Whether to pool the regimes.

    Returns
    -------
    error : float or Series
        The error in the units of X, pooled, or one per regime, indexed by its label. The pooled one
        is the root of the mean of the squares of these, no less than their mean.

    Raises
    ------
    ValueError
        If shapes, columns or regimes do not match, `top` is no possible number of variables, or is
        given without `control`.

    See Also
    --------
    interventional_mean_error : In units of each variable, without the cells that were set.

    Examples
    --------
    >>> from skcausal.metrics import delta_rmse
    >>> observed = [[3.0, 1.0], [5.0, 1.0], [1.0, 1.0]]
    >>> predicted = [[3.0, 1.0], [3.0, 1.0], [1.0, 3.0]]
    >>> delta_rmse(
    ...     observed, predicted, regimes=["a", "a", "b"], control=[1.0, 1.0], top=1, average=False
    ... )
    regime
    a    1.0
    b    0.0
    dtype: float64
    """
    observed, predicted = _regime_means(X, X_pred, regimes)
    squared = ((predicted - observed) ** 2).to_numpy()
    top = _check_top(top, squared.shape[1], fewest=1)
    if control is not None:
        control = _control_mean(control, X, squared.shape[1])
        chosen = _largest_shifts(observed - control, top)
        squared = np.take_along_axis(squared, chosen, axis=1)
    elif top < squared.shape[1]:
        raise ValueError(
            f"top={top} needs control, from which the observed shifts are measured; pass the "
            "control rows or their mean, or top=None."
        )
    errors = squared.mean(axis=1)
    return _result(np.sqrt(errors), observed.index, np.sqrt(errors.mean()), average)


def _regime_means(X, X_pred, regimes):
    """Observed and predicted mean of each regime, two DataFrames (n_regimes, n_variables)."""
    import pandas as pd

    observed = check_array(X, dtype=np.float64, input_name="X")
    predicted = check_array(X_pred, dtype=np.float64, input_name="X_pred")
    if observed.shape != predicted.shape:
        raise ValueError(
            f"X_pred must have the shape of X, {observed.shape}, got {predicted.shape}."
        )
    check_same_columns(X, X_pred, name="X_pred")
    labels = ["all"] * len(observed) if regimes is None else regimes
    codes, levels = check_labels(labels, len(observed), name="regimes")
    index = pd.Index(levels, name="regime")
    return [
        pd.DataFrame(rows).groupby(codes).mean().set_axis(index, axis=0)
        for rows in (observed, predicted)
    ]


def _control_mean(control, X, n_variables):
    """Mean of the control (n_variables,)."""
    rows = check_array(control, dtype=np.float64, input_name="control", ensure_2d=False)
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2 or rows.shape[1] != n_variables:
        raise ValueError(
            f"control must be one mean for each of the {n_variables} variables of X, or rows of "
            f"them, got shape {np.shape(control)}."
        )
    names = control.to_frame().T if hasattr(control, "to_frame") else control  # of a Series: index
    if hasattr(names, "columns"):
        check_same_columns(X, names, name="control")
    return rows.mean(axis=0)


def _check_top(top, n_variables, *, fewest):
    """Return the number of variables to compare."""
    if n_variables < fewest:
        raise ValueError(
            f"X must have {fewest} or more variables for a correlation over them, got "
            f"{n_variables}; delta_rmse takes one."
        )
    if top is None:
        return n_variables
    if not isinstance(top, Integral) or isinstance(top, bool) or not fewest <= top <= n_variables:
        raise ValueError(
            f"top must be an integer from {fewest} to the number of variables, {n_variables}, or "
            f"None for all; got {top!r}."
        )
    return int(top)


def _largest_shifts(shifts, top):
    """Positions (n_regimes, top) of the largest absolute shifts; of equal ones, the first."""
    return np.argsort(-np.abs(np.asarray(shifts)), axis=1, kind="stable")[:, :top]


def _standardise(means, control, chosen):
    """Chosen shifts with mean 0 and variance 1 in each regime, and which regimes are constant."""
    means = means.to_numpy()
    shifts = np.take_along_axis(means - control, chosen, axis=1)
    centred = shifts - shifts.mean(axis=1, keepdims=True)
    size = np.abs(means).max(axis=1) + np.abs(control).max()
    constant = np.abs(centred).max(axis=1) <= ROUNDING * size
    deviation = np.sqrt((centred**2).mean(axis=1))
    return centred / np.where(constant, 1.0, deviation)[:, None], constant


def _result(values, index, mean, average):
    """Return the average, or one value per regime."""
    import pandas as pd

    return float(mean) if average else pd.Series(values, index=index)
