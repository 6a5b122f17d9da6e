"""What is left of the regimes' means once a linear system has predicted them, carried over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Length of the kernel, in standard deviations of a target. It is short: what the linear system
# leaves may be a side effect of this very experiment, not to be expected at other values.
_LENGTH = 0.5

# Variances of a nonlinear effect that are tried, in units of the variance of a row's noise.
_RATIOS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

# By how many nats an effect must raise the likelihood of a variable's residual means. In linear
# systems fewer than one variable in a thousand gets there by chance.
_LEAST_GAIN = 4.0

# Regimes beyond which the correction, cubic in their number, is not tried.
MOST_REGIMES = 1000

# Eigenvalues below this share of the largest are rounding errors.
_RELATIVE_RANK = 1e-12


@dataclass(frozen=True, eq=False)
class MeanCorrector:
    """A correction of predicted interventional means, additive over targets.

    What a target adds to the mean of another variable is a Gaussian process over its do-value with
    a squared-exponential kernel of length 0.5 in standardised units, on top of the linear system.

    Parameters
    ----------
    targets : ndarray of bool of shape (n_regimes, n_variables)
        Targets of the training regimes.
    values : ndarray of shape (n_regimes, n_variables)
        Their mean values in standardised units.
    weights : ndarray of shape (n_regimes, n_variables)
        Weights of the regimes' kernels in the correction of each variable, in its units.
    """

    targets: np.ndarray
    values: np.ndarray
    weights: np.ndarray

    def correction(self, targets, values):
        """Return what to add to predicted means.

        Parameters
        ----------
        targets : ndarray of bool of shape (n_samples, n_variables)
            Targets of the queries.
        values : ndarray of shape (n_samples, n_variables)
            Their values in standardised units; other entries do not matter.

        Returns
        -------
        correction : ndarray of shape (n_samples, n_variables)
            The corrections, in standardised units; 0 for targets.
        """
        kernel = _kernel(targets, values, self.targets, self.values)
        return np.where(targets, 0.0, kernel @ self.weights)


def fit_mean_corrector(targets, means, n_rows, predicted, noise_variance):
    """Fit a correction of the regimes' means for the variables that clearly need one.

    Parameters
    ----------
    targets : ndarray of bool of shape (n_regimes, n_variables)
        Targets of the training regimes.
    means : ndarray of shape (n_regimes, n_variables)
        Their means, in standardised units.
    n_rows : ndarray of shape (n_regimes,)
        Their numbers of rows.
    predicted : ndarray of shape (n_regimes, n_variables)
        The means that the linear system predicts.
    noise_variance : ndarray of shape (n_variables,)
        Variance of each variable within regimes.

    Returns
    -------
    corrector : MeanCorrector or None
        None where the linear system explains the means.
    """
    if not targets.any():
        return None
    residual = np.where(targets, 0.0, means - predicted)
    weights = np.zeros(targets.shape)
    factor = _factor(_kernel(targets, means, targets, means))
    for j in range(targets.shape[1]):
        rows = np.flatnonzero(~targets[:, j])
        noise = np.sqrt(noise_variance[j])
        gain, own = _fit_variable(factor[rows], residual[rows, j] / noise, n_rows[rows])
        if gain > _LEAST_GAIN:
            weights[rows, j] = own * noise
    if not weights.any():
        return None
    return MeanCorrector(targets, np.where(targets, means, 0.0), weights)


def _factor(kernel):
    """Matrix F (n_regimes, rank) with ``F F' = kernel``: few columns where values recur."""
    values, vectors = np.linalg.eigh(kernel)
    kept = values > _RELATIVE_RANK * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def _fit_variable(factor, residual, n_rows):
    """Fit the effect of one variable's regimes, by the ratio of the largest likelihood.

    The residual means, in units of the noise, are ``N(0, ratio F F' + diag(1 / n_rows))``.
    Returns by how much the logarithm of their density exceeds that without an effect, and the
    weights (n_regimes,) of the posterior mean; 0 for both where no ratio does better. With
    ``root = n_rows^1/2``, the singular vectors of ``root F`` serve all ratios.
    """
    root = np.sqrt(n_rows)
    values, vectors = np.linalg.eigh((factor.T * n_rows) @ factor)
    kept = values > _RELATIVE_RANK * values[-1] if len(values) else values > 0
    values = values[kept]
    directions = root[:, None] * factor @ vectors[:, kept] / np.sqrt(values)
    scaled = root * residual
    projected = directions.T @ scaled
    gain, weights = 0.0, np.zeros(len(residual))
    for ratio in _RATIOS:
        share = ratio * values / (ratio * values + 1.0)
        candidate = 0.5 * (projected**2 * share - np.log1p(ratio * values)).sum()
        if candidate > gain:
            gain, weights = candidate, ratio * root * (scaled - directions @ (share * projected))
    return gain, weights


def _kernel(targets, values, other_targets, other_values):
    """Sum over shared targets of exp(-(difference of values / length)^2 / 2)."""
    kernel = np.zeros((len(targets), len(other_targets)))
    for i in np.flatnonzero(other_targets.any(axis=0) & targets.any(axis=0)):
        rows, others = np.flatnonzero(targets[:, i]), np.flatnonzero(other_targets[:, i])
        difference = values[rows, i][:, None] - other_values[others, i]
        kernel[np.ix_(rows, others)] += np.exp(-0.5 * (difference / _LENGTH) ** 2)
    return kernel
