"""What the predictors share that take features of perturbations for `interventions`."""

from __future__ import annotations

from typing import Self

import numpy as np

from skcausal._typing import MatrixLike, PerRow
from skcausal.base import InterventionPredictor, compute_rows, neg_interventional_error
from skcausal.interventions import check_interventions, hide_free_cells
from skcausal.perturbation._features import check_features, is_mask


class PerturbationPredictor(InterventionPredictor):
    """Base of the estimators that predict what perturbations of unknown targets do.

    Here `interventions` are numbers: features of the perturbation of each row, with rows of zeros
    for controls. No cell of X counts as set by an intervention. A boolean mask of the shape of X is
    a special case, in which the targets are known; it means what it does everywhere.

    A subclass writes ``_fit(X, mask, features, regimes)``, with the labels of the regimes or None,
    and ``_predict(X, mask, features)``, which fills every cell of X, where NaN means "unknown" and
    all masked cells are finite.

    Attributes
    ----------
    n_perturbation_features_in_ : int
        Number of features of a perturbation.
    perturbation_feature_names_in_ : ndarray of shape (n_features,)
        Their names, if `interventions` in `fit` had string column names.
    """

    def fit(
        self, X: MatrixLike, y: None = None, *, interventions: PerRow = None, regimes: PerRow = None
    ) -> Self:
        """Learn from rows observed under perturbations of known features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values of all variables. No NaN.
        y : None
            Ignored.
        interventions : array-like of shape (n_samples, n_features), default=None
            Features of the perturbation of each row, such as drugs times doses; rows of zeros mark
            controls. Or a boolean mask of the shape of X: the targets themselves. None: all rows
            are controls.
        regimes : array-like of shape (n_samples,), default=None
            Perturbation of each row, whatever its dose: what is held out together where
            hyperparameters are chosen. Default: contexts that differ in the value of a single
            feature belong together, as doses of one drug do.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        X_checked = self._check_training_X(X)
        self._fitted_with_interventions = interventions is not None
        self._fitted_with_mask = is_mask(interventions, X_checked.shape)
        self._forget_features()
        self._remember_names(interventions)
        mask, features = self._split_interventions(interventions, X, X_checked.shape)
        self.n_perturbation_features_in_ = features.shape[1]
        self._set_moments(X_checked, mask)
        self._fit(X_checked, mask, features, _check_labels(regimes, len(X_checked)))
        return self

    def predict(self, X: MatrixLike, *, interventions: PerRow = None) -> np.ndarray:
        """Predict every variable under the perturbation of the row, given all else that is known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Known values; NaN means unknown. A row of NaN asks for the mean under the perturbation.
        interventions : array-like of shape (n_samples, n_features), default=None
            Features of the perturbation of each row, or the mask of its targets if `fit` had one.
            Required if `fit` had it.

        Returns
        -------
        X_pred : ndarray of shape (n_samples, n_variables)
            Entry (i, j) is the expected value of variable j, in the units of X, given the features
            of row i and all its finite cells except (i, j). Where a mask marks targets, their cells
            return their own value; if that is NaN, their mean as targets in training.

        Raises
        ------
        ValueError
            If `interventions` is missing although `fit` had it, or does not fit that of `fit`.
        """
        X_checked, mask, features = self._check_rows(X, interventions, "predict", allow_nan=True)
        return self._predict_checked(self._fill_targets(X_checked, mask), mask, features)

    def score(
        self,
        X: MatrixLike,
        y: None = None,
        sample_weight: PerRow = None,
        *,
        interventions: PerRow = None,
    ) -> float:
        """Return the negative interventional prediction error; higher is better, 0 is perfect.

        Each row is predicted from its features alone (and its intervened cells, where a mask marks
        them). The error of a cell is the squared difference from its observed value in units of the
        training standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values. No NaN.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        interventions : array-like of shape (n_samples, n_features), default=None
            Features of the perturbation of each row. Required if `fit` had them.

        Returns
        -------
        score : float
            Minus the mean of ((x - E[x | features]) / scale)^2 over all cells that no mask marks.
        """
        X_checked, mask, features = self._check_rows(X, interventions, "score", allow_nan=False)
        X_pred = self._predict_checked(hide_free_cells(X_checked, mask), mask, features)
        return neg_interventional_error(
            X_checked, X_pred, mask, self.scale_, sample_weight=sample_weight
        )

    def _predict_checked(self, X, mask, features):
        """Predict, keep intervened cells, and refuse to hand out overflowed values."""

        def predict(X, mask, features):
            return np.where(mask, X, self._predict(X, mask, features))

        return compute_rows(predict, X, mask, features, what="predictions")

    def _check_rows(self, X, interventions, method, *, allow_nan):
        """Validate rows against the training columns, and their features against X."""
        X_checked = self._check_X(X, method, allow_nan=allow_nan)
        self._check_presence(interventions, method)
        mask, features = self._split_interventions(interventions, X, X_checked.shape)
        return X_checked, mask, features

    def _check_presence(self, interventions, method):
        """Raise where features were seen in `fit` but are missing now, or are of another kind."""
        if interventions is None and self._fitted_with_interventions:
            raise ValueError(
                f"{type(self).__name__} was fitted with interventions, so {method} needs them too: "
                "pass rows of zeros for controls. Inside a Pipeline or a search, turn routing on "
                "with sklearn.set_config(enable_metadata_routing=True); a search's own predict "
                "takes none, use search.best_estimator_.predict(X, interventions=...)."
            )

    def _forget_features(self):
        """Drop what an earlier fit knew of the features."""
        for name in ("n_perturbation_features_in_", "perturbation_feature_names_in_"):
            self.__dict__.pop(name, None)

    def _remember_names(self, interventions):
        """Keep the names of the features, if they are strings."""
        columns = getattr(interventions, "columns", None)
        if columns is not None and all(isinstance(name, str) for name in columns):
            self.perturbation_feature_names_in_ = np.asarray(columns, dtype=object)

    def _split_interventions(self, interventions, X, shape):
        """Mask of the shape of X, and features (n_samples, n_features), of interventions."""
        n_features = getattr(self, "n_perturbation_features_in_", None)
        if interventions is None:
            return np.zeros(shape, dtype=bool), np.zeros((shape[0], n_features or 0))
        if self._fitted_with_mask:
            names = getattr(self, "feature_names_in_", None)
            mask = check_interventions(interventions, X, variables=names)
            return mask, mask.astype(float)
        features = check_features(
            interventions,
            shape[0],
            names=getattr(self, "perturbation_feature_names_in_", None),
            n_features=n_features,
        )
        return np.zeros(shape, dtype=bool), features


def _check_labels(regimes, n_samples):
    """Labels of rows as an array of str (n_samples,), or None."""
    if regimes is None:
        return None
    labels = np.asarray(regimes)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"regimes must hold one label for each of the {n_samples} rows of X, got shape "
            f"{labels.shape}."
        )
    return labels.astype(str)
