"""Ridge regressions on what was intervened on, with or without the other variables."""

from __future__ import annotations

from numbers import Real
from typing import Literal

import numpy as np
from scipy.linalg import solve

from skcausal.base import InterventionPredictor, control_mean


class InterventionRidge(InterventionPredictor):
    """Predict each variable by a ridge regression on what was intervened on.

    One regression per variable, over the rows in which it was not a target. Observed values of free
    variables carry no information in this model.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the ridge penalty on standardised variables.
    encoding : {"mask", "values", "both"}, default="both"
        Features of a row: which variables are targets; by how much each target differs from its
        observational mean, in standard deviations (0 for free variables); or both.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features, n_variables)
        Weights of the features (mask, then values) for each standardised variable.
    intercept_ : ndarray of shape (n_variables,)
        Intercepts in standardised units.
    control_mean_ : ndarray of shape (n_variables,)
        Observational mean; without observational rows, the mean where a variable was free.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.prediction import InterventionRidge
    >>> data = make_linear_scm(n_variables=4, random_state=0)
    >>> model = InterventionRidge(alpha=1.0).fit(data.X, interventions=data.interventions)
    >>> model.predict(data.X[:1], interventions=data.interventions[:1]).shape
    (1, 4)
    """

    def __init__(
        self, alpha: float = 1.0, *, encoding: Literal["mask", "values", "both"] = "both"
    ) -> None:
        self.alpha = alpha
        self.encoding = encoding

    def _fit(self, X, mask, regime):
        _check_alpha(self.alpha)
        self.control_mean_ = control_mean(X, mask)
        features = self._encode(X, mask)
        # The blocks of features repeat the variables, so a feature's variable is its index mod d.
        variable = np.arange(features.shape[1]) % X.shape[1]
        Z = (X - self.mean_) / self.scale_
        self.coef_, self.intercept_ = _ridge_per_variable(features, variable, Z, mask, self.alpha)

    def _predict(self, X, mask):
        Z = self._encode(X, mask) @ self.coef_ + self.intercept_
        return np.where(mask, X, Z * self.scale_ + self.mean_)

    def _encode(self, X, mask):
        """Features (n_samples, d or 2 d) of each row."""
        difference = np.where(mask, (X - self.control_mean_) / self.scale_, 0.0)
        blocks = {
            "mask": [mask.astype(float)],
            "values": [difference],
            "both": [mask.astype(float), difference],
        }
        if self.encoding not in blocks:
            raise ValueError(f"encoding must be one of {list(blocks)}, got {self.encoding!r}.")
        return np.hstack(blocks[self.encoding])


class ConditionalRidge(InterventionPredictor):
    """Predict each variable by a ridge regression on all others and what was intervened on.

    Variable j is regressed on the other variables, their mask and their masked values
    ``(x_-j, m_-j, x_-j * m_-j)``, over the rows in which it was not a target. Unknown values are
    first filled by an :class:`InterventionRidge` of the same penalty, so a row in which only the
    intervened cells are known gives this model's estimate of the interventional mean. On full rows
    this is a strong baseline for ``x_j`` given ``x_-j``: it sees the children of j as
    well as its parents.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the ridge penalty on standardised variables.

    Attributes
    ----------
    coef_ : ndarray of shape (3 * n_variables, n_variables)
        Weights of the features for each standardised variable; 0 for its own features.
    intercept_ : ndarray of shape (n_variables,)
        Intercepts in standardised units.
    filler_ : InterventionRidge
        The model that fills unknown values.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.prediction import ConditionalRidge
    >>> data = make_linear_scm(n_variables=4, random_state=0)
    >>> model = ConditionalRidge(alpha=0.1).fit(data.X, interventions=data.interventions)
    >>> model.predict(data.X[:1], interventions=data.interventions[:1]).shape
    (1, 4)
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def _fit(self, X, mask, regime):
        _check_alpha(self.alpha)
        self.filler_ = InterventionRidge(alpha=self.alpha).fit(X, interventions=mask)
        Z = (X - self.mean_) / self.scale_
        variable = np.arange(3 * X.shape[1]) % X.shape[1]
        self.coef_, self.intercept_ = _ridge_per_variable(
            _interaction_features(Z, mask), variable, Z, mask, self.alpha
        )

    def _predict(self, X, mask):
        filled = np.where(np.isnan(X), self.filler_._predict(X, mask), X)
        features = _interaction_features((filled - self.mean_) / self.scale_, mask)
        Z = features @ self.coef_ + self.intercept_
        return np.where(mask, X, Z * self.scale_ + self.mean_)


def _interaction_features(Z, mask):
    """Features (n_samples, 3 d): values, mask, masked values."""
    return np.hstack([Z, mask, Z * mask])


def _ridge_per_variable(features, variable, Z, mask, alpha):
    """Ridge regression of each variable on the features that are not its own.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Features of each row.
    variable : ndarray of int of shape (n_features,)
        The variable that a feature belongs to.
    Z : ndarray of shape (n_samples, n_variables)
        Standardised values to predict.
    mask : ndarray of bool of shape (n_samples, n_variables)
        Variable j is fitted on the rows with mask[:, j] False.
    alpha : float
        Ridge penalty; the intercept is not penalised.

    Returns
    -------
    coef : ndarray of shape (n_features, n_variables)
        Weights, 0 for a variable's own features.
    intercept : ndarray of shape (n_variables,)
        Intercepts.
    """
    coef = np.zeros((features.shape[1], Z.shape[1]))
    intercept = np.zeros(Z.shape[1])
    # The rows in which j was a target are few: subtract their moments from those of all rows.
    gram, moment, total = features.T @ features, features.T @ Z, features.sum(axis=0)
    # Sums over rows leave collinear features with eigenvalues of this relative size instead of 0.
    rounding = np.finfo(float).eps * max(features.shape)
    for j in range(Z.shape[1]):
        targeted, used = mask[:, j], variable != j
        n_free = len(Z) - targeted.sum()
        if n_free == 0:
            continue
        F, z = features[targeted][:, used], Z[targeted, j]
        F_mean = (total[used] - F.sum(axis=0)) / n_free
        z_mean = (Z[:, j].sum() - z.sum()) / n_free
        scatter = gram[np.ix_(used, used)] - F.T @ F - n_free * np.outer(F_mean, F_mean)
        cross = moment[used, j] - F.T @ z - n_free * F_mean * z_mean
        if alpha > 0:
            penalised = scatter + alpha * np.eye(used.sum())
            coef[used, j] = solve(penalised, cross, assume_a="pos")
        else:
            coef[used, j] = np.linalg.lstsq(scatter, cross, rcond=rounding)[0]
        intercept[j] = z_mean - F_mean @ coef[used, j]
    return coef, intercept


def _check_alpha(alpha):
    """Refuse a penalty that is not a non-negative number."""
    if not (isinstance(alpha, Real) and np.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}.")
