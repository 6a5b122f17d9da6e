"""What estimators of treatment effects share: metadata requests, the strict rule, checked rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skcausal.effects._metadata import check_labels, encode, take_columns, treatment_levels


class TrainingData(NamedTuple):
    """Validated training data.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Covariates.
    y : ndarray of shape (n_samples,)
        Outcomes.
    arm : ndarray of int of shape (n_samples,)
        Position of each row's treatment level.
    environment : ndarray of int of shape (n_samples,)
        Position of each row's environment; zero where there are none.
    weight : ndarray of shape (n_samples,)
        Sample weights.
    """

    X: np.ndarray
    y: np.ndarray
    arm: np.ndarray
    environment: np.ndarray
    weight: np.ndarray


class TreatmentMixin:
    """Take the treatment and the environment as metadata, or from columns of X.

    A class that inherits has the parameters `treatment_column` and `environment_column`. With
    ``sklearn.set_config(enable_metadata_routing=True)`` pipelines and searches pass the metadata on
    without any call of ``set_fit_request`` and its like.
    """

    # scikit-learn reads these by what follows "__metadata_request__".
    __metadata_request__fit = {"treatment": True, "environment": True, "sample_weight": True}
    __metadata_request__partial_fit = __metadata_request__fit
    __metadata_request__predict = {"treatment": True}
    __metadata_request__score = {"treatment": True, "sample_weight": True}

    def _split_columns(self, X, treatment, environment, *, reset):
        """Covariates (n, d) in float64; treatment and environment as they came."""
        if not reset:
            check_is_fitted(self)
            validate_data(self, X, reset=False, skip_check_array=True)
        columns = {"treatment": self.treatment_column, "environment": self.environment_column}
        X, taken = take_columns(X, {f"{name}_column": c for name, c in columns.items()})
        given = {"treatment": treatment, "environment": environment}
        for name, column in columns.items():
            if column is None:
                continue
            if given[name] is not None:
                raise ValueError(
                    f"{name} was passed although {name}_column={column!r} names a column of X. "
                    "Use one of the two."
                )
            given[name] = taken[f"{name}_column"]
        X = check_array(X, dtype=np.float64, estimator=self, input_name="X")
        return X, given["treatment"], given["environment"]

    def _read(self, X, y, treatment, environment, sample_weight, *, reset, levels=None):
        """Validate what `fit` was given; learn the levels of the treatment if `reset`."""
        validate_data(self, X, y, reset=reset, skip_check_array=True)
        covariates, treatment, environment = self._split_columns(
            X, treatment, environment, reset=reset
        )
        check_array(covariates, ensure_min_samples=2, estimator=self)
        y = check_array(
            column_or_1d(y, warn=True), ensure_2d=False, dtype=np.float64, input_name="y"
        )
        check_consistent_length(covariates, y)
        if self.outcome == "binary" and not np.isin(y, (0.0, 1.0)).all():
            raise ValueError("y must hold zeros and ones where outcome='binary'.")
        if reset:
            self._with_treatment = treatment is not None
            self.treatments_ = np.array([0])
            if self._with_treatment:
                known = check_labels(treatment, covariates, "treatment")
                self.treatments_ = treatment_levels(known if levels is None else levels)
        arm = self._arms(treatment, covariates, "fit")
        self.environments_ = None
        position = np.zeros(len(y), dtype=np.int64)
        if environment is not None:
            labels = check_labels(environment, covariates, "environment")
            self.environments_, position = np.unique(labels, return_inverse=True)
        weight = _check_sample_weight(sample_weight, covariates, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight must be positive in some row; all are zero.")
        return TrainingData(covariates, y, arm, position, weight)

    def _arms(self, treatment, X, method):
        """Position (n,) of each row's level; raise where the treatment is missing but was seen."""
        if not self._with_treatment:
            return np.zeros(len(X), dtype=np.int64)
        if treatment is None:
            raise ValueError(
                f"{type(self).__name__} was fitted with treatment, so {method} needs it too: pass "
                "treatment=..., one level per row. Inside a Pipeline or a search, turn routing on "
                "with sklearn.set_config(enable_metadata_routing=True), or name a column of X by "
                "treatment_column. For effects use effect(X)."
            )
        if method == "predict" and np.ndim(treatment) == 0:
            treatment = np.full(len(X), treatment)
        labels = check_labels(treatment, X, "treatment")
        return encode(labels, self.treatments_, "treatment")

    def _arm_pair(self, T0, T1):
        """Positions of two levels."""
        if not self._with_treatment:
            raise ValueError(
                f"{type(self).__name__} was fitted without treatment, so it knows of no "
                "effects. Pass treatment to fit."
            )
        first = encode(np.asarray([T0]), self.treatments_, "T0")
        second = encode(np.asarray([T1]), self.treatments_, "T1")
        return int(first[0]), int(second[0])
