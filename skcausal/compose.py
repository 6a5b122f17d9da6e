"""Wrap a predictor: model transformed variables, or hide the interventions from it."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.preprocessing import StandardScaler

from skcausal._typing import MatrixLike, PerRow
from skcausal.base import InterventionPredictor

__all__ = ["IgnoreInterventions", "TransformedVariables"]


class TransformedVariables(MetaEstimatorMixin, InterventionPredictor):
    """Fit a predictor on transformed variables; predict and score in the original units.

    A scaler in front of a predictor inside a Pipeline changes the units of its predictions and of
    its score. Here the transformation is undone: ``predict`` returns
    ``inverse_transform(estimator.predict(transform(X)))`` and ``score`` compares in the units of X,
    so transformers can be compared with each other in a search.

    Parameters
    ----------
    estimator : estimator
        An intervention predictor.
    transformer : transformer or None, default=None
        Works on each column by itself, keeps the order and number of columns, passes NaN through
        and has ``inverse_transform``: StandardScaler (the default), PowerTransformer,
        QuantileTransformer, FunctionTransformer.

    Attributes
    ----------
    estimator_ : estimator
        The fitted predictor, in transformed units.
    transformer_ : transformer
        The fitted transformer.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable, in original
        units.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Notes
    -----
    The inverse of a mean is not the mean of the inverse unless the transformer is affine: under a
    logarithm, predictions are geometric rather than arithmetic means.

    Examples
    --------
    >>> from sklearn.preprocessing import PowerTransformer
    >>> from skcausal.compose import TransformedVariables
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.prediction import InterventionRidge
    >>> data = make_linear_scm(n_variables=4, random_state=0)
    >>> model = TransformedVariables(InterventionRidge(), PowerTransformer())
    >>> model.fit(data.X, interventions=data.interventions).predict(
    ...     data.X, interventions=data.interventions
    ... ).shape
    (250, 4)
    """

    def __init__(self, estimator: BaseEstimator, transformer: BaseEstimator | None = None) -> None:
        self.estimator = estimator
        self.transformer = transformer

    def _fit(self, X, mask, regime):
        transformer = StandardScaler() if self.transformer is None else self.transformer
        self.transformer_ = clone(transformer).fit(X)
        Z = self._transform(X)
        # A transformer that works column by column commutes with shifting columns against rows.
        error = np.abs(self._transform(_shift_columns(X)) - _shift_columns(Z)).max()
        if error > 1e-9 * np.abs(Z).max():
            raise ValueError(
                "transformer must work on each column by itself, but its output in one column "
                "depends on other columns of X; interventions would no longer mark variables."
            )
        self.estimator_ = clone(self.estimator).fit(
            self._with_names(Z), interventions=mask, regimes=regime
        )

    def _predict(self, X, mask):
        Z = self._with_names(self._transform(X))
        Z_pred = self.estimator_.predict(Z, interventions=mask)
        X_pred = np.asarray(self.transformer_.inverse_transform(Z_pred), dtype=float)
        if np.isnan(X_pred[~mask]).any():
            raise ValueError(
                "transformer cannot undo some predictions: its inverse_transform gave NaN for them "
                "(that of PowerTransformer has a bounded domain); use another transformer."
            )
        return np.where(mask, X, X_pred)

    def _transform(self, X):
        """Transform, and check that the columns still are the variables."""
        Z = np.asarray(self.transformer_.transform(X), dtype=float)
        if Z.shape != X.shape:
            raise ValueError(
                f"transformer must keep the variables as they are, got shape {Z.shape} from "
                f"{X.shape}; use a transformer that works on each column by itself."
            )
        return Z


def _shift_columns(X):
    """Roll column j of X (n_samples, n_variables) down by j rows."""
    return np.column_stack([np.roll(column, j) for j, column in enumerate(X.T)])


class IgnoreInterventions(MetaEstimatorMixin, InterventionPredictor):
    """Let an estimator that knows no interventions stand where `interventions` are passed.

    The mask is taken and not handed on. Around an intervention predictor this is the baseline
    "seeing instead of doing": it learns as if all rows were observational and conditions on a
    do-value as if it had been observed. Its ``predict`` and ``score`` keep their meaning, so it
    competes in a search on equal terms. Any other unsupervised estimator is scored by its own
    ``score``.

    Parameters
    ----------
    estimator : estimator
        An intervention predictor, or any estimator that is fitted on X alone.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Examples
    --------
    >>> from skcausal.compose import IgnoreInterventions
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import FullGraph
    >>> data = make_linear_scm(n_variables=4, random_state=0)
    >>> doing = FullGraph(random_state=0).fit(data.X, interventions=data.interventions)
    >>> seeing = IgnoreInterventions(FullGraph(random_state=0))
    >>> seeing = seeing.fit(data.X, interventions=data.interventions)
    >>> bool(
    ...     seeing.score(data.X, interventions=data.interventions)
    ...     < doing.score(data.X, interventions=data.interventions)
    ... )
    True
    """

    def __init__(self, estimator: BaseEstimator) -> None:
        self.estimator = estimator

    def _fit(self, X, mask, regime):
        self.estimator_ = clone(self.estimator).fit(self._with_names(X))

    def _predict(self, X, mask):
        X_pred = self.estimator_.predict(self._with_names(X))
        # An estimator that does not predict X (a clustering, say) has no cells to keep.
        return np.where(mask, X, X_pred) if np.shape(X_pred) == X.shape else X_pred

    def score(
        self,
        X: MatrixLike,
        y: None = None,
        sample_weight: PerRow = None,
        *,
        interventions: PerRow = None,
    ) -> float:
        """Return the negative interventional prediction error, or the estimator's own score.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            Observed values. No NaN.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; an estimator with a score of its own must know them.
        interventions : array-like of bool of shape (n_samples, n_variables), default=None
            True where the mechanism of a variable was replaced. Required if `fit` had it.

        Returns
        -------
        score : float
            Higher is better.
        """
        if isinstance(self.estimator, InterventionPredictor):
            return super().score(X, sample_weight=sample_weight, interventions=interventions)
        X, _ = self._check_query(X, interventions, "score", allow_nan=False)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self.estimator_.score(self._with_names(X), **weights)
