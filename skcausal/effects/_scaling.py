"""Bringing covariates and outcomes to one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skcausal.base import is_constant

_LARGEST = 6.0


@dataclass(frozen=True)
class Scaling:
    """Centre and unit of each covariate.

    Parameters
    ----------
    center : ndarray of shape (n_features,)
        What is subtracted.
    scale : ndarray of shape (n_features,)
        What is divided by.
    limit : ndarray of shape (n_features,)
        Larger scaled values, of either sign, are cut off here.
    """

    center: np.ndarray
    scale: np.ndarray
    limit: np.ndarray

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Scaled covariates (n_samples, n_features)."""
        return np.clip((X - self.center) / self.scale, -self.limit, self.limit)


def outcome_scaling(y: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (1 where constant) of the outcomes (n_samples,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = float(y.mean()), float(y.std())
        constant = is_constant(y[:, None])[0]
    if not np.isfinite(center) or not np.isfinite(scale):
        raise ValueError(
            "y contains values too large for float64 second moments (largest magnitude "
            f"{np.abs(y).max():.3g}); rescale it."
        )
    return center, 1.0 if constant else scale


def fit_scaling(X: np.ndarray) -> Scaling:
    """Scaling that the network learns from.

    Columns are centred and divided by their standard deviation. Columns with two values are divided
    by the distance of these instead: the standard deviation of a rare category is small, so it
    would enlarge the column and invite the network to learn it by heart. Only the others are cut
    off at six standard deviations.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Covariates.

    Returns
    -------
    scaling : Scaling
        Centre, unit and limit of each column.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    binary = ((low == X) | (high == X)).all(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        constant = is_constant(X)
        center = X.mean(axis=0)
        scale = np.where(constant, 1.0, np.where(binary, high - low, X.std(axis=0)))
    if not np.isfinite(center).all() or not np.isfinite(scale).all():
        raise ValueError(
            "X contains values too large for float64 second moments (largest magnitude "
            f"{np.abs(X).max():.3g}); rescale the columns."
        )
    return Scaling(center, scale, np.where(binary & ~constant, np.inf, _LARGEST))
