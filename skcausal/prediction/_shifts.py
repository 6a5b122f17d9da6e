"""Predictors that move means: no effect, and sums of single shifts."""

import numpy as np

from skcausal.base import InterventionPredictor, control_mean
from skcausal.interventions import unique_regimes


class NoEffect(InterventionPredictor):
    """Predict that an intervention changes nothing but its targets.

    Free variables get their observational mean; if there are no observational rows, their mean over
    the rows in which they were not a target.

    Attributes
    ----------
    control_mean_ : ndarray of shape (n_variables,)
        The prediction for free variables.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Examples
    --------
    >>> from skcausal.interventions import do
    >>> from skcausal.prediction import NoEffect
    >>> model = NoEffect().fit([[0.0, 1.0], [2.0, 3.0]])
    >>> X_query, interventions = do({0: 5.0}, variables=2)
    >>> model.predict(X_query, interventions=interventions)
    array([[5., 2.]])
    """

    def _fit(self, X, mask, regime):
        self.control_mean_ = control_mean(X, mask)

    def _predict(self, X, mask):
        return np.where(mask, X, self.control_mean_)


class AdditiveShift(InterventionPredictor):
    """Predict a combination of interventions by the sum of its single shifts.

    The shift of variable j by target i is the mean of j in the regime that intervenes on i alone
    minus its observational mean. Do-values and `regimes` are not used: the predictor expects that a
    target is always set in the same way, and averages over conditions that act on it in different
    ways. A target without a regime of its own adds nothing.

    Attributes
    ----------
    control_mean_ : ndarray of shape (n_variables,)
        Observational mean; without observational rows, the mean where a variable was free.
    shift_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is the shift of variable j by an intervention on i alone.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.prediction import AdditiveShift
    >>> X = [[0.0, 0.0, 1.0], [0.0, 0.0, 3.0], [1.0, 0.0, 7.0], [0.0, 1.0, 3.0]]
    >>> mask = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    >>> model = AdditiveShift().fit(X, interventions=mask)
    >>> model.predict([[1.0, 1.0, np.nan]], interventions=[[True, True, False]])
    array([[1., 1., 8.]])
    """

    def _fit(self, X, mask, regime):
        self.control_mean_ = control_mean(X, mask)
        self.shift_ = np.zeros((X.shape[1], X.shape[1]))
        targets, regime = unique_regimes(mask)
        for r in np.flatnonzero(targets.sum(axis=1) == 1):
            shift = X[regime == r].mean(axis=0) - self.control_mean_
            self.shift_[targets[r].argmax()] = np.where(targets[r], 0.0, shift)

    def _predict(self, X, mask):
        return np.where(mask, X, self.control_mean_ + mask.astype(float) @ self.shift_)
