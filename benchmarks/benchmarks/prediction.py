"""Predictors of untried interventions: seconds of fit and predict, alone and relative to GIES."""

from skcausal.prediction import MetaInterventionPredictor
from skcausal.structure import GIES

from .common import best_seconds, linear_data


class MetaInterventionFit:
    """Seconds of a fit with the shipped weights, which grow with the number of variables."""

    params = [5, 10, 20, 50]
    param_names = ("n_variables",)

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)
        MetaInterventionPredictor().fit(self.X, interventions=self.mask)  # reads the weights

    def time_fit(self, n_variables):
        MetaInterventionPredictor().fit(self.X, interventions=self.mask)


class MetaInterventionRelativeTime:
    """Seconds of fit and predict divided by those of GIES, on the same data."""

    params = [10, 20]
    param_names = ("n_variables",)
    unit = "fraction of the time of GIES"

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)

    def track_seconds_ratio(self, n_variables):
        return best_seconds(lambda: self.run(MetaInterventionPredictor()), repeat=5) / best_seconds(
            lambda: self.run(GIES()), repeat=2
        )

    def run(self, model):
        model.fit(self.X, interventions=self.mask)
        model.predict(self.X.where(self.mask), interventions=self.mask)
