"""Structure learners: seconds of a fit, and GIES relative to the package `gies`."""

import gies
import numpy as np

from skcausal import structure
from skcausal.interventions import unique_regimes

from .common import best_seconds, linear_data


class Fit:
    """Default estimators on data of a random linear SCM."""

    params = (["GIES", "IGSP", "PC", "GES", "ShiftOrder"], [5, 10, 20])
    param_names = ("estimator", "n_variables")

    def setup(self, estimator, n_variables):
        self.X, self.mask = linear_data(n_variables)

    def time_fit(self, estimator, n_variables):
        getattr(structure, estimator)().fit(self.X, interventions=self.mask)


class GIESRelativeTime:
    """Seconds of GIES divided by those of the reference implementation, on the same data."""

    params = [5, 10, 20]
    param_names = ("n_variables",)
    unit = "fraction of the time of gies.fit_bic"
    timeout = 300

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)
        targets, regime = unique_regimes(np.asarray(self.mask))
        X = np.asarray(self.X)
        self.data = [X[regime == k] for k in range(len(targets))]
        self.targets = [np.flatnonzero(row).tolist() for row in targets]

    def track_seconds_ratio(self, n_variables):
        ours = best_seconds(lambda: structure.GIES().fit(self.X, interventions=self.mask), repeat=5)
        reference = best_seconds(lambda: gies.fit_bic(self.data, self.targets), repeat=2)
        return ours / reference
