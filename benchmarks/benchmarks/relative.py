"""Every estimator's fit and predict, in multiples of the seconds of its peer on the same rows.

`benchmarks/reproduce/growth.py` writes the same ratios as a table.
"""

import warnings
from abc import ABC, abstractmethod

import torch

from . import pairs
from .common import best_seconds


class RelativeTime(ABC):
    """Seconds of an operation divided by those of the peer."""

    param_names = ("case", "n_variables")
    unit = "ratio"
    timeout = 300
    n_rows = 500

    @property
    @abstractmethod
    def family(self):
        """What is compared."""

    def setup(self, case, n_variables):
        warnings.simplefilter("ignore")  # few rows and default settings: some do not converge
        torch.set_num_threads(1)
        self.rows = self.family.rows(self.n_rows, n_variables)

    def track_ratio(self, case, n_variables):
        name, operation, peer = case.split(" | ")
        return self.seconds(name, operation) / self.seconds(peer, operation)

    def seconds(self, name, operation):
        """Shortest of some calls, after one that reads weights and imports what it needs."""
        model = self.family.model(name, self.rows)
        self.rows.fit(model)
        call = getattr(self.rows, operation)
        return best_seconds(lambda: call(model), repeat=2, at_least=0.2)


def _params(family, sizes=(5, 10)):
    return [" | ".join(case) for case in family.cases()], list(sizes)


class PredictionRelativeTime(RelativeTime):
    """Predictors of untried interventions."""

    family = pairs.PREDICTION
    params = _params(family)


class StructureRelativeTime(RelativeTime):
    """Structure learners."""

    family = pairs.STRUCTURE
    params = _params(family)


class PosteriorRelativeTime(RelativeTime):
    """Posteriors over graphs."""

    family = pairs.POSTERIORS
    params = _params(family)


class PerturbationRelativeTime(RelativeTime):
    """Models of perturbations with features."""

    family = pairs.PERTURBATION
    params = _params(family)


class EffectRelativeTime(RelativeTime):
    """Effects of a treatment."""

    family = pairs.EFFECTS
    params = _params(family)
    n_rows = 250


class DesignRelativeTime(RelativeTime):
    """Designs of experiments."""

    family = pairs.DESIGN
    params = _params(family)
