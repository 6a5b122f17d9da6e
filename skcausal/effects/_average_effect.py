"""Average effects: augmented inverse-propensity weighting after the fit.

References
----------
J. M. Robins, A. Rotnitzky and L. P. Zhao (1994). Estimation of regression coefficients when some
regressors are not always observed. JASA 89(427), 846-866.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

# Of an arm's share of the rows. Bounds the weights, without much bias where arms are rare.
_SMALLEST_RELATIVE_PROPENSITY = 0.1


class AverageEffect(NamedTuple):
    """An average effect with its interval.

    Parameters
    ----------
    estimate : float
        Estimated average effect, in the units of the outcome.
    lower : float
        Lower end of the interval.
    upper : float
        Upper end of the interval.
    standard_error : float
        Standard error of the estimate.
    """

    estimate: float
    lower: float
    upper: float
    standard_error: float


def outcome_corrections(
    y: np.ndarray, arm: np.ndarray, outcomes: np.ndarray, propensity: np.ndarray
) -> np.ndarray:
    """Inverse-propensity weighted residuals, the augmentation of each level's mean outcome.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Observed outcomes.
    arm : ndarray of int of shape (n_samples,)
        Level of each row.
    outcomes : ndarray of shape (n_samples, n_arms)
        Predicted outcomes under every level.
    propensity : ndarray of shape (n_samples, n_arms)
        Probability of every level. Values below a tenth of the level's share of the rows are raised
        to it, which bounds the weights.

    Returns
    -------
    corrections : ndarray of shape (n_samples, n_arms)
        1[t = k] / e_k(x) (y - mu_k(x)).
    """
    taken = np.arange(outcomes.shape[1]) == arm[:, None]
    floor = _SMALLEST_RELATIVE_PROPENSITY * taken.mean(axis=0)
    weights = taken / np.maximum(propensity, np.maximum(floor, np.finfo(float).tiny))
    return weights * (y[:, None] - outcomes)


def held_out_mean(outcomes: np.ndarray, held_out: list[np.ndarray]) -> np.ndarray:
    """Average over the members that have not learned from a row, or over all if there are none.

    Parameters
    ----------
    outcomes : ndarray of shape (n_members, n_samples, n_arms)
        Predicted outcomes by member.
    held_out : list of ndarray of int
        Rows that each member has not learned from.

    Returns
    -------
    mean : ndarray of shape (n_samples, n_arms)
        Average outcomes.
    """
    counts = np.zeros(outcomes.shape[:2])
    for member, rows in enumerate(held_out):
        counts[member, rows] = 1.0
    counts[:, counts.sum(axis=0) == 0] = 1.0
    return np.einsum("mn,mnk->nk", counts / counts.sum(axis=0), outcomes)


def average_effect(
    effects: np.ndarray,
    weights: np.ndarray,
    correction: float,
    correction_variance: float,
    level: float,
) -> AverageEffect:
    """Average of unit effects, corrected by the training rows' residuals.

    Parameters
    ----------
    effects : ndarray of shape (n_samples,)
        Predicted effects of the units over which is averaged.
    weights : ndarray of shape (n_samples,)
        Their weights.
    correction : float
        Difference of the levels' mean corrections.
    correction_variance : float
        Variance of that difference.
    level : float
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    average : AverageEffect
        The estimate and its normal interval. Its variance adds that of the mean over units, drawn
        from a population, and that of the correction.
    """
    share = weights / weights.sum()
    mean = float(share @ effects)
    sampling_variance = float(share**2 @ (effects - mean) ** 2)
    estimate = mean + float(correction)
    standard_error = float(np.sqrt(sampling_variance + correction_variance))
    half = float(norm.ppf(0.5 + level / 2)) * standard_error
    return AverageEffect(estimate, estimate - half, estimate + half, standard_error)
