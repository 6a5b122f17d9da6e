"""Graph posteriors: seconds of a fit, alone and relative to a bootstrapped search."""

import torch

from skcausal.simulators import LinearPrior
from skcausal.structure import (
    GIES,
    AmortizedGraphPosterior,
    BootstrapEnsemble,
    ExactGraphPosterior,
)
from skcausal.structure._exact_posterior import exact_posterior
from skcausal.structure._free_sums import FreeSums

from .common import SEED, best_seconds, linear_data


class AmortizedFit:
    """Seconds of a fit with the shipped weights, which grow with the number of variables."""

    params = [5, 10, 20, 50]
    param_names = ("n_variables",)

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)
        self.time_fit(n_variables)  # reads the weights

    def time_fit(self, n_variables):
        AmortizedGraphPosterior(random_state=0).fit(self.X, interventions=self.mask)


class ExactFit:
    """Seconds of a fit, which double with every variable."""

    params = [5, 8, 10, 12]
    param_names = ("n_variables",)

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)

    def time_fit(self, n_variables):
        ExactGraphPosterior(random_state=0).fit(self.X, interventions=self.mask)


class ExactBatch:
    """Seconds of the exact posteriors of 20 data sets of ten variables and 60 rows."""

    params = ["float32", "float64"]
    param_names = ("dtype",)

    def setup(self, dtype):
        prior = LinearPrior.preset("caasl")
        self.model = ExactGraphPosterior.from_prior(prior)._model()
        X = prior.sample(20, random_state=SEED).sample(60, random_state=SEED)
        mask = torch.zeros(X.shape, dtype=torch.bool)
        self.sums = FreeSums.from_rows(X.to(getattr(torch, dtype)), mask)
        self.time_posteriors(dtype)  # makes the tables of subsets

    def time_posteriors(self, dtype):
        exact_posterior(self.sums, self.model)


class AmortizedRelativeTime:
    """Seconds of a fit divided by those of 30 bootstraps of GIES, on the same data."""

    params = [10, 20]
    param_names = ("n_variables",)
    unit = "fraction of the time of 30 bootstraps of GIES"
    timeout = 300

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)

    def track_seconds_ratio(self, n_variables):
        return best_seconds(lambda: self.fit(AmortizedGraphPosterior()), repeat=5) / best_seconds(
            lambda: self.fit(BootstrapEnsemble(GIES(), 30)), repeat=1
        )

    def fit(self, model):
        model.fit(self.X, interventions=self.mask)
