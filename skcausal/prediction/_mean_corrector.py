"""What is left of the regimes' means once a linear system has predicted them, carried over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Shares of a residual that is taken for a nonlinear effect rather than noise, as ratios of
# variances to that of a row's noise.
_RATIOS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

# Residual means must be this many times larger (in squares) than noise would make them, and the
# leave-one-regime-out error must fall to this share.
_LEAST_EXCESS = 1.5
_LARGEST_SHARE = 0.95

# Regimes beyond which the correction, cubic in their number, is not tried.
_MOST_REGIMES = 1000


@dataclass(frozen=True, eq=False)
class MeanCorrector:
    """A correction of predicted interventional means, additive over targets.

    What a target adds to the mean of another variable is a Gaussian process over its do-value with
    a squared-exponential kernel of length 1 in standardised units, on top of the linear system.

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
    """Fit a correction of the regimes' means, if leaving regimes out shows that it helps.

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
        None where the linear system is no worse.
    """
    residual = np.where(targets, 0.0, means - predicted)
    free = ~targets
    excess = (residual**2 * n_rows[:, None]).sum(axis=0) / noise_variance
    suspects = np.flatnonzero(excess > _LEAST_EXCESS * np.maximum(free.sum(axis=0), 1))
    if not 4 <= len(targets) <= _MOST_REGIMES or len(suspects) == 0:
        return None
    kernel = _kernel(targets, means, targets, means)
    weights = np.zeros(targets.shape)
    before = after = 0.0
    for j in suspects:
        rows = np.flatnonzero(free[:, j])
        error, best, own_weights = _fit_variable(
            kernel[np.ix_(rows, rows)], residual[rows, j], n_rows[rows]
        )
        before, after = before + error, after + best
        weights[rows, j] = own_weights
    if after > _LARGEST_SHARE * before:
        return None
    return MeanCorrector(targets, np.where(targets, means, 0.0), weights)


def _fit_variable(kernel, residual, n_rows):
    """Weights of the regimes for one variable: of the ratio with the least leave-one-out error.

    Returns the error without a correction, the least one, and the weights (n_regimes,). With
    ``root = n_rows^1/2``, the eigenvectors of ``root kernel root`` serve all ratios.
    """
    root = np.sqrt(n_rows)
    values, vectors = np.linalg.eigh(root[:, None] * kernel * root)
    projected = vectors.T @ (root * residual)
    error = best = residual @ residual
    weights = np.zeros(len(residual))
    for ratio in _RATIOS:
        shrunk = 1.0 / (ratio * values + 1.0)
        solved = root * (vectors @ (shrunk * projected))
        left_out = solved / (n_rows * (vectors**2 @ shrunk))
        if left_out @ left_out < best:
            best, weights = left_out @ left_out, ratio * solved
    return error, best, weights


def _kernel(targets, values, other_targets, other_values):
    """Sum over shared targets of exp(-(difference of values)^2 / 2)."""
    kernel = np.zeros((len(targets), len(other_targets)))
    for i in np.flatnonzero(other_targets.any(axis=0) & targets.any(axis=0)):
        shared = np.outer(targets[:, i], other_targets[:, i])
        difference = np.where(targets[:, i], values[:, i], 0.0)[:, None] - other_values[:, i]
        kernel += np.where(shared, np.exp(-0.5 * difference**2), 0.0)
    return kernel
