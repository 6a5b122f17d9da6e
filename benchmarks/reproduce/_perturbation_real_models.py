"""The models of perturbation_real.py, and the two baselines that the library does not have."""

from time import perf_counter

import numpy as np
from sklearn.linear_model import RidgeCV

from skcausal.perturbation import (
    FeatureRegression,
    GenerativeInterventionModel,
    MeanTreated,
    NoChange,
)


class SumOfSingles:
    """Add the shifts of the contexts in which one feature of a row alone has the same value.

    A feature without such a context adds nothing.
    """

    def fit(self, X, *, interventions, regimes=None):
        alone = (interventions != 0).sum(axis=1) == 1
        self.features_, self.X_ = interventions[alone], X[alone]
        self.control_mean_ = X[~interventions.any(axis=1)].mean(axis=0)
        return self

    def predict(self, X, *, interventions):
        predicted = np.tile(self.control_mean_, (len(interventions), 1))
        for row, features in zip(predicted, interventions):
            for i in np.flatnonzero(features):
                same = self.features_[:, i] == features[i]
                if same.any():
                    row += self.X_[same].mean(axis=0) - self.control_mean_
        return predicted


class RidgeThroughControl:
    """Ridge regression of shifts from the control on features as they are, without an intercept.

    FeatureRegression standardises features and has an intercept. This one predicts no shift for a
    control by its form; its penalty is chosen by leaving one context out.
    """

    def fit(self, X, *, interventions, regimes=None):
        control = ~interventions.any(axis=1)
        self.control_mean_ = X[control].mean(axis=0)
        features, context = np.unique(interventions[~control], axis=0, return_inverse=True)
        context = context.reshape(-1)
        shifts = np.zeros((len(features), X.shape[1]))
        np.add.at(shifts, context, X[~control] - self.control_mean_)
        shifts /= np.bincount(context)[:, None]
        ridge = RidgeCV(np.logspace(-4, 4, 33), fit_intercept=False)
        self.regressor_ = ridge.fit(features, shifts)
        return self

    def predict(self, X, *, interventions):
        return self.control_mean_ + self.regressor_.predict(interventions)


def gim(generator, graph):
    """Make a generative intervention model; graph "learned", or "none" for no mechanisms."""

    def make(n_variables):
        adjacency = None if graph == "learned" else np.zeros((n_variables, n_variables))
        return GenerativeInterventionModel(
            generator=generator, adjacency=adjacency, n_restarts=2, random_state=0
        )

    return make


def regression(model, **parameters):
    """Make a regression on features."""
    return lambda n_variables: FeatureRegression(model, random_state=0, **parameters)


# Each takes the number of variables.
TRIVIAL = {
    "no change": lambda n_variables: NoChange(),
    "mean treated": lambda n_variables: MeanTreated(),
}
SUM_OF_SINGLES = {"sum of singles": lambda n_variables: SumOfSingles()}
REGRESSIONS = {
    "ridge without intercept": lambda n_variables: RidgeThroughControl(),
    "FeatureRegression ridge": regression("ridge"),
    "FeatureRegression lasso": regression("lasso"),
    "FeatureRegression kernel_ridge": regression("kernel_ridge"),
}


def gims(*graphs):
    """GIM with each generator and graph, by name."""
    return {
        f"GIM {generator}, graph {graph}": gim(generator, graph)
        for graph in graphs
        for generator in ("linear", "kernel")
    }


def fit_predict(make, X, features, queries, regimes=None):
    """Fit and predict the means of queries; the means, the fitted model and the seconds."""
    start = perf_counter()
    model = make(X.shape[1]).fit(X, interventions=features, regimes=regimes)
    return predict_means(model, queries, X.shape[1]), model, perf_counter() - start


def predict_means(model, queries, n_variables):
    """Expected values under the perturbations of queries (n_queries, n_features).

    For a generative intervention model the solution of its equations: its ``predict`` gives the
    same and takes a minute for 978 variables, as it forms covariances.
    """
    if not isinstance(model, GenerativeInterventionModel):
        return model.predict(np.full((len(queries), n_variables), np.nan), interventions=queries)
    probability, shift = model.predict_targets(queries)
    inputs = model.intercept_ + probability * shift
    return np.linalg.solve(np.eye(n_variables) - model.coef_.T, inputs.T).T
