"""What estimators of treatment effects share: metadata requests, the strict rule, checked rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skcausal._labels import check_labels, split_columns
from skcausal._typing import MatrixLike, PerRow
from skcausal.effects._metadata import check_levels, positions_of

_LARGEST_OUTCOME = 1e150  # its square is a number


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
        Sample weights, of mean 1.
    """

    X: np.ndarray
    y: np.ndarray
    arm: np.ndarray
    environment: np.ndarray
    weight: np.ndarray


class TreatmentMixin:
    """Take the treatment and the environment as metadata, or from columns of X.

    A class that inherits has the parameters `treatment_column` and `environment_column`. With
    ``sklearn.set_config(enable_metadata_routing=True)`` pipelines and searches pass both on without
    any call of ``set_fit_request`` and its like.
    """

    if TYPE_CHECKING:  # what the class that inherits has
        predict: Any

    # scikit-learn reads these by what follows "__metadata_request__".
    __metadata_request__fit = {"treatment": True, "environment": True, "sample_weight": True}
    __metadata_request__partial_fit = __metadata_request__fit
    __metadata_request__predict = {"treatment": True}
    __metadata_request__score = {"treatment": True, "sample_weight": True}

    def score(
        self, X: MatrixLike, y: ArrayLike, sample_weight: PerRow = None, *, treatment: PerRow = None
    ) -> float:
        """Coefficient of determination of the factual outcomes, with all arms counting the same.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.
        y : array-like of shape (n_samples,)
            Observed outcomes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the units.
        treatment : array-like of shape (n_samples,), default=None
            Treatment level of each unit. Required if `fit` had it.

        Returns
        -------
        score : float
            R^2, each unit weighted by its weight divided by the sum of those of its arm.
        """
        covariates, labels, _ = self._split_columns(X, treatment, None, reset=False)
        arm = self._arms(labels, covariates, "score")
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        if np.abs(y).max() > _LARGEST_OUTCOME:
            raise ValueError("y holds values too large for squared errors in float64; rescale it.")
        y_pred = self.predict(X, treatment=treatment)
        weight = _check_sample_weight(sample_weight, y_pred, ensure_non_negative=True)
        totals = np.bincount(arm, weight)
        share = np.divide(weight, totals[arm], out=np.zeros_like(weight), where=totals[arm] > 0)
        return r2_score(y, y_pred, sample_weight=share)

    def _covariates(self, X):
        """Covariates (n, d) in float64; the columns of treatment and environment may be missing."""
        return self._split_columns(X, None, None, reset=False, needed=())[0]

    def _with_all_columns(self, X, columns, needed):
        """Add those columns of metadata that a DataFrame lacks and the caller does not need."""
        names = list(getattr(self, "feature_names_in_", []))
        if not hasattr(X, "assign") or not names:
            return X
        missing = [c for c in columns if c in names and c not in X.columns and c not in needed]
        if set(X.columns) | set(missing) != set(names):
            return X
        return X.assign(**dict.fromkeys(missing))[[*names]] if missing else X

    def _split_columns(self, X, treatment, environment, *, reset, needed=None):
        """Covariates (n, d) in float64; treatment and environment as they came."""
        if not reset:
            check_is_fitted(self)
        needed = (self.treatment_column,) if needed is None else needed
        given = {"treatment": treatment, "environment": environment}
        columns = {f"{name}_column": getattr(self, f"{name}_column") for name in given}
        if not any(column is not None for column in columns.values()):
            X = validate_data(self, X, dtype=np.float64, reset=reset)
            return X, treatment, environment
        X = X if reset else self._with_all_columns(X, columns.values(), needed)
        validate_data(self, X, reset=reset, skip_check_array=True)
        taken, X = split_columns(X, columns)
        if X.shape[1] == 0:
            raise ValueError("X holds no covariates beside the treatment and the environment.")
        for argument, values in taken.items():
            name = argument.removesuffix("_column")
            if given[name] is not None:
                raise ValueError(
                    f"{name} was passed although {argument}={columns[argument]!r} names a column "
                    "of X. Use one of the two."
                )
            given[name] = values
        X = check_array(X, dtype=np.float64, estimator=self, input_name="X")
        return X, given["treatment"], given["environment"]

    def _read(self, X, y, treatment, environment, sample_weight, *, reset, levels=None):
        """Validate what `fit` was given; learn the levels of the treatment if `reset`."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
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
        if levels is not None and (treatment is None or not reset):
            self._check_levels_again(levels, treatment)
        if reset:
            self._with_treatment = treatment is not None
            self.treatments_ = np.array([0])
            if self._with_treatment:
                _, known = check_labels(treatment, len(y), name="treatment")
                if levels is not None:
                    _, known = check_labels(levels, len(levels), name="treatments")
                self.treatments_ = check_levels(known, len(y))
        if treatment is not None and not self._with_treatment:
            raise ValueError(
                f"treatment was given, but {type(self).__name__} has learned without before and "
                "goes on. Start anew: fit a clone, or set warm_start=False."
            )
        arm = self._arms(treatment, covariates, "fit")
        self.environments_ = None
        position = np.zeros(len(y), dtype=np.int64)
        if environment is not None:
            position, self.environments_ = check_labels(environment, len(y), name="environment")
        weight = _check_sample_weight(sample_weight, covariates, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight must be positive in some row; all are zero.")
        return TrainingData(covariates, y, arm, position, weight / weight.mean())

    def _check_levels_again(self, levels, treatment):
        """Raise where levels are announced without a treatment, or change after the first call."""
        if treatment is None:
            raise ValueError("treatments was given without treatment; pass both, or neither.")
        _, levels = check_labels(levels, len(levels), name="treatments")
        if levels.tolist() != self.treatments_.tolist():
            raise ValueError(
                f"treatments is {levels.tolist()}, but the first call fixed the levels as "
                f"{self.treatments_.tolist()}."
            )

    def _arms(self, treatment, X, method):
        """Position (n,) of each row's level; raise where the treatment is missing but was seen."""
        if not self._with_treatment:
            return np.zeros(len(X), dtype=np.int64)
        if treatment is None:
            raise ValueError(
                f"{type(self).__name__} was fitted with treatment, so {method} needs it too: pass "
                "treatment=..., one level per row. Inside a Pipeline or a search, turn routing on "
                "with sklearn.set_config(enable_metadata_routing=True), or name a column of X by "
                "treatment_column. cross_val_predict and scorers given by name never pass metadata "
                "to predict: there only treatment_column helps. For effects use effect(X)."
            )
        if method == "predict" and np.ndim(treatment) == 0:
            treatment = np.full(len(X), treatment)
        codes, levels = check_labels(treatment, len(X), name="treatment")
        return positions_of(levels, self.treatments_, "treatment")[codes]

    def _arm_pair(self, T0, T1):
        """Positions of two levels."""
        if not self._with_treatment:
            raise ValueError(
                f"{type(self).__name__} was fitted without treatment, so it knows of no "
                "effects. Pass treatment to fit."
            )
        first = positions_of(np.array([T0]), self.treatments_, "T0")
        second = positions_of(np.array([T1]), self.treatments_, "T1")
        return int(first[0]), int(second[0])
