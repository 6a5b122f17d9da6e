"""Errors of predicted treatment effects where the truth, or a randomised trial, is known."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_array, column_or_1d

from skcausal._labels import check_labels
from skcausal._typing import PerRow


def pehe(effect: ArrayLike, effect_pred: ArrayLike, *, sample_weight: PerRow = None) -> float:
    """Return the root mean squared error of unit effects.

    The *precision in estimation of heterogeneous effects* of Hill [1]_,
    ``sqrt(mean((effect - effect_pred)^2))``. Some papers report its square.

    Parameters
    ----------
    effect : array-like of shape (n_samples,)
        True effect of each unit: the difference of its potential outcomes, or of their means.
    effect_pred : array-like of shape (n_samples,)
        Predicted effect of each unit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the units.

    Returns
    -------
    error : float
        The error, in units of the outcome; 0 is perfect.

    See Also
    --------
    nearest_neighbor_pehe : An approximation that needs no true effects.

    References
    ----------
    .. [1] Hill, J. L. (2011). Bayesian nonparametric modeling for causal inference. Journal of
       Computational and Graphical Statistics 20(1), 217-240, section 4.

    Examples
    --------
    >>> from skcausal.metrics import pehe
    >>> pehe([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 2.0])
    1.0
    """
    (effect, effect_pred), weight = check_columns(
        sample_weight, effect=effect, effect_pred=effect_pred
    )
    return float(np.sqrt(np.average((effect - effect_pred) ** 2, weights=weight)))


def ate_error(effect: ArrayLike, effect_pred: ArrayLike, *, sample_weight: PerRow = None) -> float:
    """Return the absolute error of the average effect.

    Errors of opposite sign cancel: a model that predicts the average effect for every unit is
    perfect here, and not by :func:`pehe`.

    Parameters
    ----------
    effect : array-like of shape (n_samples,)
        True effect of each unit.
    effect_pred : array-like of shape (n_samples,)
        Predicted effect of each unit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the units.

    Returns
    -------
    error : float
        ``|mean(effect) - mean(effect_pred)|``, in units of the outcome.

    References
    ----------
    .. [1] Shalit, U., Johansson, F. D. & Sontag, D. (2017). Estimating individual treatment effect:
       generalization bounds and algorithms. ICML, section 5.

    Examples
    --------
    >>> from skcausal.metrics import ate_error
    >>> ate_error([1.0, 3.0], [2.5, 2.5])
    0.5
    """
    (effect, effect_pred), weight = check_columns(
        sample_weight, effect=effect, effect_pred=effect_pred
    )
    return float(abs(np.average(effect - effect_pred, weights=weight)))


def policy_risk(
    y: ArrayLike,
    treatment: ArrayLike,
    effect_pred: ArrayLike,
    *,
    experimental: ArrayLike | None = None,
    threshold: float = 0.0,
) -> float:
    """Return the loss of the policy that treats where the predicted effect is high.

    With the policy π(x) = 1 where the predicted effect exceeds `threshold`, the risk is [1]_

        1 - (E[Y | π = 1, T = 1] p(π = 1) + E[Y | π = 0, T = 0] p(π = 0)),

    estimated by averages over units to which the treatment was assigned at random. Outcomes are
    meant to lie between 0 (bad) and 1 (good); on other scales differences still compare policies.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed outcome of each unit; higher is better.
    treatment : array-like of shape (n_samples,)
        Treatment that each unit received: two levels, of which the higher one means treated.
    effect_pred : array-like of shape (n_samples,)
        Predicted effect of each unit.
    experimental : array-like of bool of shape (n_samples,), default=None
        True where the treatment was randomised; other units are left out. Default: all units.
    threshold : float, default=0.0
        The policy treats a unit if its predicted effect is above this value.

    Returns
    -------
    risk : float
        One minus the value of the policy; lower is better.

    Raises
    ------
    ValueError
        If the treatment does not have two levels, or no unit is experimental.

    Warns
    -----
    UndefinedMetricWarning
        If nobody in a group received what the policy gives it (no treated unit where it treats, or
        no untreated unit where it does not). The group's mean outcome then counts as 0.

    References
    ----------
    .. [1] Shalit, U., Johansson, F. D. & Sontag, D. (2017). Estimating individual treatment effect:
       generalization bounds and algorithms. ICML, section 5.2.

    Examples
    --------
    >>> from skcausal.metrics import policy_risk
    >>> policy_risk([1, 0, 1, 0], [1, 0, 0, 1], effect_pred=[0.3, 0.2, -0.1, -0.4])
    0.0
    """
    (y, effect_pred), _ = check_columns(None, y=y, effect_pred=effect_pred)
    received, levels = check_labels(treatment, len(y), name="treatment")
    if len(levels) != 2:
        raise ValueError(
            f"treatment must have two levels for a policy risk, found {levels.tolist()}; select "
            "the rows of two levels."
        )
    randomised = _check_experimental(experimental, len(y))
    y, received = y[randomised], received[randomised]
    advised = (effect_pred[randomised] > threshold).astype(int)
    return 1.0 - sum(_value_of_group(y, received, advised, level) for level in (1, 0))


def _value_of_group(y, received, advised, level):
    """E[Y | π = level, T = level] p(π = level)."""
    group = advised == level
    followed = group & (received == level)
    if followed.any():
        return float(y[followed].mean() * group.mean())
    if group.any():
        warnings.warn(
            f"The policy {'treats' if level else 'does not treat'} {group.sum()} units, none of "
            f"which was {'treated' if level else 'left untreated'}; their mean outcome counts as "
            "0 in the policy risk.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
    return 0.0


def _check_experimental(experimental, n_samples):
    """Boolean selection (n_samples,) of the randomised units."""
    if experimental is None:
        return np.ones(n_samples, dtype=bool)
    codes = column_or_1d(experimental)
    if codes.shape != (n_samples,) or not np.isin(codes, (0, 1)).all():
        raise ValueError(
            f"experimental must hold True or False for each of the {n_samples} units, got "
            f"{len(codes)} values such as {codes[:3].tolist()}."
        )
    selected = codes.astype(bool)
    if not selected.any():
        raise ValueError(
            "experimental marks no unit as randomised, and only those can tell a policy risk; "
            "pass some that are."
        )
    return selected


def check_columns(sample_weight, **columns) -> tuple[list[np.ndarray], np.ndarray]:
    """Finite float columns (n_samples,) of one length, and the weights (n_samples,)."""
    if sample_weight is not None:
        columns["sample_weight"] = sample_weight
    checked = [
        check_array(column_or_1d(c), ensure_2d=False, dtype=np.float64, input_name=name)
        for name, c in columns.items()
    ]
    if len({len(c) for c in checked}) > 1:
        raise ValueError(
            f"{' and '.join(columns)} must have one value per unit, got the lengths "
            f"{[len(c) for c in checked]}."
        )
    if sample_weight is None:
        return checked, np.ones(len(checked[0]))
    *checked, weight = checked
    if weight.min() < 0 or not weight.any():
        raise ValueError("sample_weight must not be negative, and must be positive in some row.")
    return checked, weight
