"""Intervals of unit effects from the spread of an ensemble."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student_t


def effect_bounds(
    effects: np.ndarray, average_variance: float, level: float, common_variance: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each unit's effect.

    Parameters
    ----------
    effects : ndarray of shape (n_members, n_samples)
        Effects by member.
    average_variance : float
        Variance between members, averaged over the training rows.
    level : float
        Nominal coverage, between 0 and 1.
    common_variance : float, default=0.0
        Variance of an error that all units share: that of the correction of the average effect.

    Returns
    -------
    lower, upper : ndarray of shape (n_samples,)
        Mean -+ q sqrt((v + max(v, average_variance)) / 2 + common_variance), where v is the
        variance between members and q the quantile of Student's t with n_members - 1 degrees of
        freedom.

    Notes
    -----
    The variance of a few members is a noisy estimate: it is small wherever they happen to agree.
    There, half of it is replaced by the average, and the quantile is that of an estimated variance.
    All members are drawn to the same side by what regularises them; where they agree on an effect
    that hardly varies, the data still leave its level as uncertain as the average effect.
    """
    n_members = len(effects)
    center = effects.mean(axis=0)
    own = effects.var(axis=0, ddof=1)
    variance = 0.5 * (own + np.maximum(own, average_variance)) + common_variance
    half = student_t.ppf(0.5 + level / 2, n_members - 1) * np.sqrt(variance)
    return center - half, center + half
