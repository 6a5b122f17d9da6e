"""Predictors that know no more of a perturbation than whether there is one."""

import numpy as np

from skcausal.perturbation._base import PerturbationPredictor
from skcausal.perturbation._contexts import summarise_contexts


class NoChange(PerturbationPredictor):
    """Predict the mean of the controls, whatever the perturbation.

    Observed values of other variables are not used. Cells that a boolean mask marks as targets keep
    their value.

    Attributes
    ----------
    control_mean_ : ndarray of shape (n_variables,)
        Mean of the rows of which all features are 0.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean where a mask marks a target.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.
    n_perturbation_features_in_ : int
        Number of features of a perturbation.
    perturbation_feature_names_in_ : ndarray of shape (n_features,)
        Their names, if `interventions` in `fit` had string column names.

    See Also
    --------
    skcausal.prediction.NoEffect : The same where interventions are masks.

    Examples
    --------
    >>> from skcausal.perturbation import NoChange
    >>> X, doses = [[0.0, 1.0], [2.0, 3.0], [9.0, 9.0]], [[0.0], [0.0], [0.5]]
    >>> model = NoChange().fit(X, interventions=doses)
    >>> model.predict([[float("nan")] * 2], interventions=[[0.7]])
    array([[1., 2.]])
    """

    def _fit(self, X, mask, features, regimes):
        self.control_mean_ = summarise_contexts(X, features).means[0]

    def _predict(self, X, mask, features):
        return np.tile(self.control_mean_, (len(X), 1))


class MeanTreated(PerturbationPredictor):
    """Predict the mean of all perturbed contexts, whatever the perturbation.

    A context is a distinct row of features, such as a drug at a dose. Each context but the control
    counts once, whatever its number of rows. Rows of which all features are 0 get the mean of the
    controls. Observed values of other variables are not used. Cells that a boolean mask marks as
    targets keep their value.

    Attributes
    ----------
    control_mean_ : ndarray of shape (n_variables,)
        Mean of the rows of which all features are 0.
    treated_mean_ : ndarray of shape (n_variables,)
        Mean of the means of the other contexts; without any, that of the controls.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean where a mask marks a target.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.
    n_perturbation_features_in_ : int
        Number of features of a perturbation.
    perturbation_feature_names_in_ : ndarray of shape (n_features,)
        Their names, if `interventions` in `fit` had string column names.

    Examples
    --------
    >>> from skcausal.perturbation import MeanTreated
    >>> X, doses = [[0.0], [2.0], [4.0], [6.0], [8.0]], [[0.0], [0.0], [0.5], [0.5], [1.0]]
    >>> model = MeanTreated().fit(X, interventions=doses)
    >>> model.predict([[float("nan")]] * 2, interventions=[[0.0], [0.7]])
    array([[1. ],
           [6.5]])
    """

    def _fit(self, X, mask, features, regimes):
        means = summarise_contexts(X, features).means
        self.control_mean_ = means[0]
        self.treated_mean_ = means[1:].mean(axis=0) if len(means) > 1 else means[0]

    def _predict(self, X, mask, features):
        return np.where(features.any(axis=1, keepdims=True), self.treated_mean_, self.control_mean_)
