"""Regression of what perturbations do on their features, tuned on perturbations held out."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils import check_random_state, get_tags

from skcausal._typing import RandomStateLike
from skcausal.perturbation._base import PerturbationPredictor
from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._features import perturbation_groups

_MODELS = ("ridge", "lasso", "kernel_ridge", "mlp")
_ALPHAS = np.logspace(-4, 4, 17)


class FeatureRegression(PerturbationPredictor):
    """Predict all variables by a regression on the features of the perturbation.

    The regression knows no mechanisms: it maps the features of a context (a distinct row of
    features, such as a drug at a dose) to the difference of its mean from that of the controls, in
    training standard deviations. Each context counts once, whatever its number of rows; the control
    is one of them, with the difference 0. Rows of which all features are 0 get the mean of the
    controls itself. Observed values of other variables are not used. Cells that a boolean mask
    marks as targets keep their value.

    Parameters
    ----------
    model : {"ridge", "lasso", "kernel_ridge", "mlp"} or regressor, default="ridge"
        The regression. Those with a name have an intercept, and penalties that are tuned by
        cross-validation: of whole perturbations, given by the labels `regimes` in :meth:`fit` or
        else by the features (doses of one drug belong together). Controls are in every training
        set and in no test set. If all contexts belong to one perturbation, contexts are held out
        instead; if there are not two of them, the penalty is 1.

        - "ridge", "lasso": linear regressions;
        - "kernel_ridge": a Gaussian kernel, of which the width is tuned as well;
        - "mlp": a network with one hidden layer of 64 units.

        A scikit-learn regressor is cloned and fitted as it is.
    degree : {1, 2}, default=1
        2 adds the products of two features, and their squares.
    n_folds : int, default=5
        Number of folds, if there are as many perturbations.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, and of the network's weights.

    Attributes
    ----------
    control_mean_ : ndarray of shape (n_variables,)
        Mean of the rows of which all features are 0.
    regressor_ : Pipeline or None
        The fitted regression, in standard deviations of the variables: it drops features without
        variance, standardises the others and predicts the difference from the controls. None if
        there were controls only.
    best_params_ : dict
        The penalties chosen, if there was a choice.
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
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skcausal.perturbation import FeatureRegression
    >>> doses = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [0, 2], [0, 3]])
    >>> X = doses @ [[1.0, 2.0], [0.0, 3.0]]
    >>> model = FeatureRegression(LinearRegression()).fit(X, interventions=doses)
    >>> model.predict([[np.nan, np.nan]], interventions=[[1, 1]]).round(6)
    array([[1., 5.]])
    >>> model = FeatureRegression("ridge", random_state=0).fit(X, interventions=doses)
    >>> model.best_params_["alpha"] > 0
    True
    """

    def __init__(
        self,
        model: str | BaseEstimator = "ridge",
        *,
        degree: Literal[1, 2] = 1,
        n_folds: int = 5,
        random_state: RandomStateLike = None,
    ) -> None:
        self.model = model
        self.degree = degree
        self.n_folds = n_folds
        self.random_state = random_state

    def _fit(self, X, mask, features, regimes):
        self._check_parameters()
        self.__dict__.pop("best_params_", None)
        rng = check_random_state(self.random_state)
        contexts = summarise_contexts(X, features)
        self.control_mean_ = contexts.means[0]
        self.regressor_ = None
        if len(contexts.means) == 1:
            return
        Y = (contexts.means - self.control_mean_) / self.scale_
        Y = Y.ravel() if Y.shape[1] == 1 else Y
        preparation = _preparation(self.degree)
        n_prepared = preparation.fit_transform(contexts.features).shape[1]
        model, grid = _model_and_grid(self.model, n_prepared, Y.ndim > 1, rng)
        pipeline = Pipeline([*preparation.steps, ("model", model)])
        folds = _folds(_context_groups(contexts, regimes), self.n_folds, rng)
        with warnings.catch_warnings():
            if grid:  # the weakest penalties of a grid need not converge
                warnings.simplefilter("ignore", ConvergenceWarning)
            if grid and folds:
                search = GridSearchCV(
                    pipeline,
                    {f"model__{name}": values for name, values in grid.items()},
                    scoring="neg_mean_squared_error",
                    cv=folds,
                    error_score="raise",
                ).fit(contexts.features, Y)
                self.regressor_ = search.best_estimator_
                self.best_params_ = {
                    name.rsplit("__", 1)[-1]: float(value)
                    for name, value in search.best_params_.items()
                }
            else:
                self.regressor_ = pipeline.fit(contexts.features, Y)

    def _predict(self, X, mask, features):
        X_pred = np.tile(self.control_mean_, (len(X), 1))
        treated = features.any(axis=1)
        if self.regressor_ is not None and treated.any():
            difference = self.regressor_.predict(features[treated])
            X_pred[treated] += difference.reshape(treated.sum(), -1) * self.scale_
        return X_pred

    def _check_parameters(self):
        """Raise a ValueError for a parameter out of its range."""
        named = isinstance(self.model, str) and self.model in _MODELS
        if not named and (isinstance(self.model, (str, type)) or not is_regressor(self.model)):
            raise ValueError(
                f"model must be one of {list(_MODELS)} or a scikit-learn regressor, got "
                f"{self.model!r}."
            )
        if self.degree not in (1, 2):
            raise ValueError(f"degree must be 1 or 2, got {self.degree!r}.")
        if not isinstance(self.n_folds, Integral) or self.n_folds < 2:
            raise ValueError(f"n_folds must be an integer of at least 2, got {self.n_folds!r}.")


def _model_and_grid(model, n_features, several, rng):
    """Unfitted regressor, and the values of its parameters to choose from."""
    if model == "ridge":
        return Ridge(), {"alpha": _ALPHAS}
    if model == "lasso":
        # From 10 on nothing is left of outcomes in training standard deviations.
        return Lasso(max_iter=5000), {"alpha": _ALPHAS[_ALPHAS <= 10]}
    if model == "kernel_ridge":
        # Centring the outcomes is its intercept: far from all contexts it predicts their mean.
        kernel = TransformedTargetRegressor(
            KernelRidge(kernel="rbf", gamma=1 / n_features),
            transformer=StandardScaler(with_std=False),
        )
        return kernel, {
            "regressor__alpha": _ALPHAS[::2],
            "regressor__gamma": np.logspace(-2, 1, 7) / n_features,
        }
    if model == "mlp":
        seed = int(rng.randint(2**31 - 1))
        network = MLPRegressor(
            hidden_layer_sizes=(64,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=seed
        )
        return network, {"alpha": _ALPHAS[::2]}
    own = clone(model)
    if several and not get_tags(own).target_tags.multi_output:
        return MultiOutputRegressor(own), {}
    return own, {}


def _preparation(degree):
    """Standardise the features that vary, or their products too."""
    products = [("products", PolynomialFeatures(2, include_bias=False))] if degree == 2 else []
    return Pipeline([*products, ("varying", VarianceThreshold()), ("scaling", StandardScaler())])


def _context_groups(contexts, regimes):
    """Group (n_contexts - 1,) of each context but the control; contexts that share a label unite.

    Without labels the features decide. Where one group is left, each context becomes its own.
    """
    n_treated = len(contexts.means) - 1
    if regimes is None:
        groups = perturbation_groups(contexts.features[1:])
    else:
        treated = contexts.context_of_row > 0
        labels, label = np.unique(regimes[treated], return_inverse=True)
        ends = (contexts.context_of_row[treated] - 1, n_treated + label)
        size = n_treated + len(labels)
        graph = coo_array((np.ones(len(label)), ends), shape=(size, size))
        groups = connected_components(graph, directed=False)[1][:n_treated]
    return groups if groups.any() else np.arange(n_treated)


def _folds(groups, n_folds, rng):
    """Train and test contexts of each fold; none if there are no two groups."""
    n_groups = groups.max() + 1
    if n_groups < 2:
        return []
    fold_of_group = np.empty(n_groups, dtype=int)
    n_folds = min(n_folds, n_groups)
    fold_of_group[rng.permutation(n_groups)] = np.arange(n_groups) % n_folds
    # The control, context 0, is in no fold.
    fold = np.append(-1, fold_of_group[groups])
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]
