"""How far errors of fitted structural equations move what is predicted from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skcausal.interventions import unique_regimes
from skcausal.structure import LinearGaussianSCM


@dataclass(frozen=True, eq=False)
class EquationErrors:
    """Expected errors of the equations of a linear-Gaussian SCM.

    Parameters
    ----------
    centre : ndarray of shape (n_variables, n_variables)
        Entry (j, i): mean of variable i over the rows that the equation of j was fitted on.
    covariance : ndarray of shape (n_variables, n_variables, n_variables)
        Entry (j, i, k): covariance of the errors of the weights of i and k in the equation of j.
    offset_variance : ndarray of shape (n_variables,)
        Variance of the error of the equation's value at the centre.
    """

    centre: np.ndarray
    covariance: np.ndarray
    offset_variance: np.ndarray

    def variance(self, X):
        """Return the variance (n_samples, n_variables) of what the errors add to each equation.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Values that go into the equations.

        Returns
        -------
        variance : ndarray of shape (n_samples, n_variables)
            The variances.
        """
        variance = np.empty(X.shape)
        for j in range(X.shape[1]):
            away = X - self.centre[j]
            variance[:, j] = ((away @ self.covariance[j]) * away).sum(axis=1)
        return variance + self.offset_variance


def prediction_variances(scm: LinearGaussianSCM, errors: EquationErrors, X, mask, X_pred):
    """Variance of the error of each predicted mean, and of a row around its mean.

    Parameters
    ----------
    scm : LinearGaussianSCM
        The fitted model.
    errors : EquationErrors
        Expected errors of its equations.
    X : ndarray of shape (n_samples, n_variables)
        Known values; NaN means unknown. Intervened cells are finite.
    mask : ndarray of bool of shape (n_samples, n_variables)
        The intervention mask.
    X_pred : ndarray of shape (n_samples, n_variables)
        The predictions, ``scm.conditional_mean(X, mask)``.

    Returns
    -------
    mean_variance : ndarray of shape (n_samples, n_variables)
        Variance of the error of the predicted mean; 0 in intervened cells.
    row_variance : ndarray of shape (n_samples, n_variables)
        Variance of the cell given the intervention and the row's other finite cells.
    """
    known = ~np.isnan(X)
    added = errors.variance(np.where(known, X, X_pred))
    patterns, group = unique_regimes(np.hstack([mask, known]))
    targets, finite = np.hsplit(patterns, 2)
    mean_variance, row_variance = np.zeros(X.shape), np.zeros(X.shape)
    for g in range(len(patterns)):
        free = np.flatnonzero(~targets[g])
        if len(free) == 0:
            continue
        rows = np.flatnonzero(group == g)
        response, spread = _responses(scm, free, finite[g][free])
        mean_variance[np.ix_(rows, free)] = added[np.ix_(rows, free)] @ (response**2).T
        row_variance[np.ix_(rows, free)] = spread
    return mean_variance, row_variance


def _responses(scm, free, finite):
    """Change of each free cell's conditional mean per unit added to each free equation.

    With the equations ``A x = b + e`` of the free variables and noise precisions S, a constant
    vector added to b moves the unknown cells M, given all others, by ``L_MM^-1 (A'S)_M``, where
    ``L = A'SA``. A known cell is predicted from the other known ones: it joins M for its own sake.
    Returns these (n_free, n_free), and each cell's conditional variance (n_free,).
    """
    system = np.eye(len(free)) - scm.coef[np.ix_(free, free)].T
    weighted = system.T / scm.noise_variance[free]
    precision = weighted @ system
    response, variance = np.zeros(system.shape), np.zeros(len(free))
    unknown = ~finite
    inverse = np.linalg.inv(precision[np.ix_(unknown, unknown)])
    response[unknown] = inverse @ weighted[unknown]
    variance[unknown] = np.diag(inverse)
    if finite.any():
        regression = precision[np.ix_(finite, unknown)] @ inverse
        own = np.diag(precision)[finite]
        own = own - (regression * precision[np.ix_(finite, unknown)]).sum(axis=1)
        variance[finite] = 1.0 / own
        response[finite] = (weighted[finite] - regression @ weighted[unknown]) / own[:, None]
    return response, variance
