"""What every intervention predictor can answer that has fitted a linear-Gaussian SCM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skcausal._typing import MatrixLike, PerRow, RandomStateLike
from skcausal.base import compute_finite, compute_rows
from skcausal.interventions import check_interventions

if TYPE_CHECKING:
    from skcausal.structure._linear_scm import LinearGaussianSCM


class LinearSCMQueries:
    """Queries to the attribute `scm_` of an :class:`skcausal.base.InterventionPredictor`."""

    if TYPE_CHECKING:  # what the class that inherits has
        scm_: LinearGaussianSCM
        _check_query: Any

    def predict_from_parents(self, X: MatrixLike, *, interventions: PerRow = None) -> np.ndarray:
        """Predict each variable from the observed values of its parents.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values of all variables. No NaN.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable was replaced. Required if `fit` had it.

        Returns
        -------
        X_pred : ndarray of shape (n_samples, n_variables)
            E[x_j | parents of j] for free variables; intervened cells keep their value.
        """
        X, mask = self._check_query(X, interventions, "predict_from_parents", allow_nan=False)
        return compute_rows(self.scm_.parental_mean, X, mask, what="predictions")

    def score_samples(self, X: MatrixLike, *, interventions: PerRow = None) -> np.ndarray:
        """Return each row's log-likelihood under its intervention.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values of all variables. No NaN.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable was replaced. Required if `fit` had it.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Log-density, in nats, of the free variables given the values of the targets.
        """
        X, mask = self._check_query(X, interventions, "score_samples", allow_nan=False)

        def log_density(X, mask):
            return self.scm_.log_density(X - self._mean_correction(X, mask), mask)

        return compute_rows(log_density, X, mask, what="log-likelihoods")

    def sample(
        self,
        n_samples: int = 1,
        *,
        interventions: PerRow = None,
        X: MatrixLike | None = None,
        random_state: RandomStateLike = None,
    ) -> np.ndarray:
        """Draw rows from the model under an intervention.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        interventions : array-like of bool of shape (n_samples, n_variables) or (1, n_variables), \
                default=None
            The targets of each row, or one set of targets for all rows. None: observational.
        X : array-like of the shape of `interventions`, default=None
            Do-values of the intervened cells; other cells are ignored. Where NaN or not given, the
            value of a target is drawn from the normal distribution fitted to it in training.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        X_sampled : ndarray of shape (n_samples, n_variables)
            The draws, in the units of X.
        """
        check_is_fitted(self)
        mask, values = self._check_sample_query(n_samples, interventions, X)
        rng = check_random_state(random_state)
        X_sampled = compute_finite(lambda v: self.scm_.sample(mask, v, rng), values, what="samples")
        return X_sampled + self._mean_correction(X_sampled, mask)

    def _predict(self, X, mask):
        # Where cells are known, the correction moves the mean that they deviate from.
        correction = self._mean_correction(X, mask)
        return self.scm_.conditional_mean(X - correction, mask) + correction

    def _mean_correction(self, X, mask):
        """Return what interventions add to the means that the SCM gives; 0 for targets."""
        return 0.0

    def _check_sample_query(self, n_samples, interventions, X):
        """Mask and do-values of n_samples rows; raise where a target has no value at all."""
        shape = (n_samples, self.n_features_in_)
        if X is not None and interventions is None:
            raise ValueError(
                "sample reads X at the intervened cells only; pass the interventions that say "
                "which these are, or leave X out."
            )
        if X is None:
            rows = 1 if interventions is None else len(interventions)
            values = np.full((rows, shape[1]), np.nan)
        else:
            values = validate_data(
                self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
            )
        mask = check_interventions(
            interventions,
            values if X is None else X,
            variables=getattr(self, "feature_names_in_", None),
        )
        if len(mask) not in (1, n_samples):
            raise ValueError(
                f"interventions and X must have {n_samples} rows, one per sample, or a single row "
                f"that holds for all, got {len(mask)}."
            )
        self._fill_targets(values, mask)
        return np.broadcast_to(mask, shape), np.broadcast_to(values, shape)
