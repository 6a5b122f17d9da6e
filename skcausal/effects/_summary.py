"""What averages, intervals and the drift test need to know of the training rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skcausal.effects._average_effect import held_out_mean, outcome_corrections
from skcausal.effects._drift import MOST_ROWS


class Summary(NamedTuple):
    """Summary of the training rows.

    Parameters
    ----------
    effect_variance : ndarray of shape (n_arms, n_arms)
        Variance between members of the effect of one level against another, averaged over rows.
    correction : ndarray of shape (n_arms,) or None
        Weighted mean of the inverse-propensity weighted residuals of each level; None where there
        were no two rows of every level.
    correction_covariance : ndarray of shape (n_arms, n_arms) or None
        Covariance of these means.
    reference : list of (label, ndarray of shape (m, n_features))
        Scaled covariates of some rows of each environment, and, as None, of the mixture of all.
    """

    effect_variance: np.ndarray
    correction: np.ndarray | None
    correction_covariance: np.ndarray | None
    reference: list[tuple[object, np.ndarray]]


def effect_variance(outcomes: np.ndarray) -> np.ndarray:
    """Average variance (n_arms, n_arms) between members, of outcomes (n_members, n, n_arms)."""
    differences = outcomes[:, :, :, None] - outcomes[:, :, None, :]
    return differences.var(axis=0, ddof=min(1, len(outcomes) - 1)).mean(axis=0)


def mean_correction(
    y: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    outcomes: np.ndarray,
    held_out: list[np.ndarray],
    propensity: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the residuals that correct each level's average outcome, and its covariance.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Outcomes.
    arm : ndarray of int of shape (n,)
        Level of each row.
    weight : ndarray of shape (n,)
        Sample weights.
    outcomes : ndarray of shape (n_members, n, n_arms)
        Predicted outcomes by member.
    held_out : list of ndarray of int
        Rows that each member has not learned from.
    propensity : ndarray of shape (n, n_arms)
        Probability of every level.

    Returns
    -------
    mean : ndarray of shape (n_arms,)
        Mean corrections.
    covariance : ndarray of shape (n_arms, n_arms)
        Their covariance.
    """
    corrections = outcome_corrections(y, arm, held_out_mean(outcomes, held_out), propensity)
    share = weight / weight.sum()
    mean = share @ corrections
    centered = share[:, None] * (corrections - mean)
    return mean, centered.T @ centered


def reference_rows(x: np.ndarray, environment: np.ndarray, labels, seed: int) -> dict:
    """Up to 500 random rows of each environment, and of all rows under the key None.

    Parameters
    ----------
    x : ndarray of shape (n, n_features)
        Scaled covariates.
    environment : ndarray of int of shape (n,)
        Position of each row's environment.
    labels : ndarray of shape (n_environments,) or None
        Labels of the environments, if there are any.
    seed : int
        Determines the choice.

    Returns
    -------
    reference : dict
        Label -> rows. Environments of a single row are left out.
    """
    rng = np.random.default_rng(seed)
    reference = {None: x[rng.permutation(len(x))[:MOST_ROWS]]}
    if labels is not None and len(labels) > 1:
        for position, label in enumerate(labels.tolist()):
            rows = np.flatnonzero(environment == position)
            if len(rows) > 1:
                reference[label] = x[rng.permutation(rows)[:MOST_ROWS]]
    return reference
