"""Designs of experiments: seconds of a proposal, alone and relative to an exact posterior."""

import numpy as np

from skcausal.design import ActiveDesigner
from skcausal.simulators import LinearPrior
from skcausal.structure import ExactGraphPosterior

from .common import SEED, best_seconds


def experiment(n_variables):
    """50 observational rows and ten under interventions on halves of the variables."""
    prior = LinearPrior.preset("caasl", n_variables=n_variables)
    rng = np.random.default_rng(SEED)
    mask = np.zeros((60, n_variables), dtype=bool)
    mask[50:] = rng.random((10, n_variables)) < 0.5
    values = np.where(rng.random(mask.shape) < 0.5, -1.0, 1.0)
    X = prior.sample(1, random_state=SEED).sample(60, mask, values, random_state=SEED)
    return prior, X[0].double().numpy(), mask


class Proposal:
    """Seconds of a proposal."""

    params = [["balanced_half", "distilled", "lookahead"], [8, 10, 20]]
    param_names = ("algorithm", "n_variables")

    def setup(self, algorithm, n_variables):
        prior, X, mask = experiment(n_variables)
        self.designer = ActiveDesigner(algorithm=algorithm, prior=prior, random_state=0)
        self.designer.fit(X, interventions=mask)
        self.designer.propose()

    def time_propose(self, algorithm, n_variables):
        self.designer.propose()


class LookaheadRelativeToPosterior:
    """Seconds of a proposal divided by those of the exact posterior that it needs."""

    params = [8, 10, 12]
    param_names = ("n_variables",)

    def setup(self, n_variables):
        prior, self.X, self.mask = experiment(n_variables)
        self.designer = ActiveDesigner(algorithm="lookahead", prior=prior, random_state=0)
        self.designer.fit(self.X, interventions=self.mask)
        self.posterior = ExactGraphPosterior.from_prior(prior, n_draws=1, random_state=0)

    def track_ratio(self, n_variables):
        fit = best_seconds(lambda: self.posterior.fit(self.X, interventions=self.mask), repeat=10)
        return best_seconds(self.designer.propose, repeat=10) / fit

    track_ratio.unit = "ratio"
