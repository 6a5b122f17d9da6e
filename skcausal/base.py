"""What all intervention predictors share: metadata requests, the strict rule, one score."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skcausal._array_storage import ArrayStorageMixin
from skcausal._row_blocks import in_row_blocks
from skcausal._typing import MatrixLike, PerRow
from skcausal.interventions import check_interventions, check_regimes, hide_free_cells

__all__ = ["InterventionMixin", "InterventionPredictor"]


class InterventionMixin:
    """Ask for the metadata `interventions` wherever scikit-learn routes metadata.

    With ``sklearn.set_config(enable_metadata_routing=True)`` pipelines, searches and
    cross-validation then pass the mask on without any call of ``set_fit_request`` and its like.
    """

    # scikit-learn finds these by the part of their name after the mangled class name, and by
    # substring: never add one for a method whose name extends another's (predict_proba).
    __metadata_request__fit = {"interventions": True}
    __metadata_request__predict = {"interventions": True}
    __metadata_request__score = {"interventions": True}
    __metadata_request__transform = {"interventions": True}

    def _check_query_mask(self, interventions, X, *, method):
        """Align a query's mask with X; raise where a mask was seen in `fit` but is missing now."""
        if interventions is None and self._fitted_with_interventions:
            raise ValueError(
                f"{type(self).__name__} was fitted with interventions, so {method} needs them too: "
                "pass interventions=np.zeros(X.shape, dtype=bool) for the observational regime. "
                "Inside a Pipeline or a search, turn routing on with "
                "sklearn.set_config(enable_metadata_routing=True); a search's own predict takes "
                "none, use search.best_estimator_.predict(X, interventions=...)."
            )
        return check_interventions(
            interventions, X, variables=getattr(self, "feature_names_in_", None)
        )


class InterventionPredictor(ArrayStorageMixin, InterventionMixin, DensityMixin, BaseEstimator):
    """Base of the estimators that predict all variables under an intervention.

    A subclass writes ``_fit(X, mask, regime)``, which learns from finite data (n_samples,
    n_variables), their mask and the regime (n_samples,) of each row as an integer, and
    ``_predict(X, mask)``, which fills every cell of X, where NaN means "unknown" and all masked
    cells are finite.

    Attributes
    ----------
    mean_ : ndarray of shape (n_variables,)
        Training mean of each variable, all regimes pooled.
    scale_ : ndarray of shape (n_variables,)
        Training standard deviation of each variable, all regimes pooled; 1 for a constant one. The
        unit in which :meth:`score` measures errors.
    target_mean_ : ndarray of shape (n_variables,)
        Mean value of each variable over the training rows in which it was a target; NaN if there
        were none.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.
    """

    __metadata_request__fit = {"interventions": True, "regimes": True}

    def fit(
        self, X: MatrixLike, y: None = None, *, interventions: PerRow = None, regimes: PerRow = None
    ) -> Self:
        """Learn from rows observed under known interventions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values of all variables, those set by an intervention included. No NaN.
        y : None
            Ignored.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable was replaced in a row. None: all rows are
            observational.
        regimes : array-like of shape (n_samples,), default=None
            Label of the experimental condition of each row, where conditions that act on the same
            targets differ (one drug inhibits a protein, another activates it). Default: rows with
            the same targets form one regime.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        X_checked = self._check_training_X(X)
        # X as it came: a DataFrame's names align the mask even if they are not strings.
        mask = check_interventions(
            interventions, X, variables=getattr(self, "feature_names_in_", None)
        )
        self._fitted_with_interventions = interventions is not None
        self._set_moments(X_checked, mask)
        self._fit(X_checked, mask, check_regimes(regimes, mask))
        return self

    def predict(self, X: MatrixLike, *, interventions: PerRow = None) -> np.ndarray:
        """Predict every variable under the row's intervention, given all else that is known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Known values; NaN means unknown. A full row asks for the leave-one-out conditional of
            each variable; a row in which only the intervened cells are filled (see
            :func:`skcausal.interventions.do`) asks for the interventional mean.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable is replaced. Required if `fit` had it.

        Returns
        -------
        X_pred : ndarray of shape (n_samples, n_variables)
            Entry (i, j) is the expected value of variable j, in the units of X, given the row's
            intervention and all finite cells of row i except (i, j). An intervened cell returns its
            own value; if that is NaN, the mean that this target had under intervention in training.

        Raises
        ------
        ValueError
            If `interventions` is missing although `fit` had it, or an intervened cell is NaN and
            its variable was never a target in training.
        """
        X_checked, mask = self._check_query(X, interventions, "predict", allow_nan=True)
        return self._predict_checked(self._fill_targets(X_checked, mask), mask)

    def score(
        self,
        X: MatrixLike,
        y: None = None,
        sample_weight: PerRow = None,
        *,
        interventions: PerRow = None,
    ) -> float:
        """Return the negative interventional prediction error; higher is better, 0 is perfect.

        Each row is predicted from its intervened cells alone. The error of a free cell is the
        squared difference from its observed value in units of the training standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values. No NaN.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable was replaced. Required if `fit` had it.

        Returns
        -------
        score : float
            Minus the mean of ((x - E[x | do]) / scale)^2 over the cells that no intervention set.
        """
        X_checked, mask = self._check_query(X, interventions, "score", allow_nan=False)
        X_pred = self._predict_checked(hide_free_cells(X_checked, mask), mask)
        return neg_interventional_error(
            X_checked, X_pred, mask, self.scale_, sample_weight=sample_weight
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # predict takes NaN for "unknown"; fit refuses it
        return tags

    def _check_training_X(self, X):
        """Validate the rows to learn from, and remember their columns."""
        X_checked = validate_data(
            self, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite="allow-nan"
        )
        refuse_nan(X_checked, f"{type(self).__name__}.fit")
        return X_checked

    def _set_moments(self, X, mask):
        """Set the attributes that describe the training rows."""
        self.mean_, self.scale_ = _location_and_scale(X)
        self.target_mean_ = _target_mean(X, mask)

    def _check_query(self, X, interventions, method, *, allow_nan):
        """Validate X against the training columns and the mask against X."""
        X_checked = self._check_X(X, method, allow_nan=allow_nan)
        return X_checked, self._check_query_mask(interventions, X, method=method)

    def _check_X(self, X, method, *, allow_nan):
        """Validate X against the training columns."""
        check_is_fitted(self)
        X_checked = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        if not allow_nan:
            refuse_nan(X_checked, f"{type(self).__name__}.{method}")
        return X_checked

    def _fill_targets(self, X, mask):
        """Replace intervened cells of unknown value by the target's mean in training."""
        unknown = mask & np.isnan(X)
        never_seen = unknown.any(axis=0) & np.isnan(self.target_mean_)
        if never_seen.any():
            raise ValueError(
                f"The value of the intervened variable {self._variable_name(never_seen.argmax())} "
                "is NaN and it was never a target in training, so no value can be filled in; set "
                "the do-value in X."
            )
        return np.where(unknown, self.target_mean_, X)

    def _predict_checked(self, X, mask):
        """Predict, and refuse to hand out overflowed values."""
        return compute_rows(self._predict, X, mask, what="predictions")

    def _with_names(self, X):
        """Give X its column names back, if there were any: a wrapped estimator may match them."""
        if not hasattr(self, "feature_names_in_"):
            return X
        import pandas as pd

        return pd.DataFrame(X, columns=self.feature_names_in_)

    def _variable_name(self, j):
        """Name of column j for messages."""
        names = getattr(self, "feature_names_in_", None)
        return f"x{j} (column {j})" if names is None else repr(str(names[j]))


def neg_interventional_error(X, X_pred, mask, scale, *, sample_weight=None):
    """Minus the weighted mean over free cells of ((X - X_pred) / scale)^2; see `score`."""
    free = ~mask
    if not free.any():
        raise ValueError(
            "interventions mark every cell as intervened on, so nothing is left to score; pass "
            "rows with at least one free variable."
        )
    weights = _check_sample_weight(sample_weight, X)[:, None] * free
    if weights.min() < 0 or not weights.any():
        raise ValueError(
            "sample_weight must not be negative, and must be positive in some row with a free "
            "variable."
        )
    errors = compute_finite(lambda X: ((X - X_pred) / scale) ** 2, X, what="squared errors")
    return -float(np.average(errors, weights=weights))


def compute_rows(compute, X, *args, what):
    """Return ``compute(X, *args)`` from blocks of rows; raise where extreme values overflow."""
    return compute_finite(lambda *arrays: in_row_blocks(compute, *arrays), X, *args, what=what)


def compute_finite(compute, X, *args, what):
    """Return ``compute(X, *args)``; raise where extreme values of X make it overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = compute(X, *args)
    if not np.isfinite(result).all():
        raise ValueError(
            f"The {what} overflow: X holds values far outside the range of the training data "
            f"(largest magnitude {np.nanmax(np.abs(X)):.3g}); rescale or remove them."
        )
    return result


def refuse_nan(X, method):
    """Raise where a method needs every value."""
    rows = np.isnan(X).any(axis=1)
    if rows.any():
        raise ValueError(
            f"Input X contains NaN in {rows.sum()} of {len(X)} rows, which {method} refuses: NaN "
            "means 'unknown' in predict only. Drop these rows or impute them first."
        )


def _location_and_scale(X):
    """Mean and standard deviation (1 where constant) of each column."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = X.mean(axis=0), X.std(axis=0)
    if not np.isfinite(scale).all():
        raise ValueError(
            "X contains values too large for float64 second moments (largest magnitude "
            f"{np.abs(X).max():.3g}); rescale the columns."
        )
    return mean, np.where(is_constant(X), 1.0, scale)


def is_constant(X):
    """Mark the columns (n_variables,) of which the values differ by rounding errors at most."""
    # The standard deviation does not tell: its rounding errors grow with the number of rows.
    # Below 1e-140 squares come close to underflow.
    tolerance = np.maximum(10 * np.finfo(float).eps * np.abs(X).max(axis=0), 1e-140)
    return np.ptp(X, axis=0) <= tolerance


def control_mean(X, mask):
    """Observational mean; failing that, mean where free; failing that, mean over all rows."""
    observational = ~mask.any(axis=1)
    if observational.any():
        return X[observational].mean(axis=0)
    n_free = (~mask).sum(axis=0)
    total = np.where(mask, 0.0, X).sum(axis=0)
    return np.where(n_free > 0, total / np.maximum(n_free, 1), X.mean(axis=0))


def _target_mean(X, mask):
    """Mean of each column over the rows that intervene on it; NaN without such rows."""
    count = mask.sum(axis=0)
    total = np.where(mask, X, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(X.shape[1], np.nan), where=count > 0)
