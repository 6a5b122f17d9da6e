"""Predictors of untried interventions: seconds of fit and predict, alone and relative to GIES."""

from skcausal.datasets import make_linear_scm
from skcausal.prediction import MetaInterventionPredictor
from skcausal.structure import GIES

from .common import SEED, best_seconds, linear_data


class MetaInterventionFit:
    """Seconds of a fit with the shipped weights, which grow with the number of variables."""

    params = [5, 10, 20, 50]
    param_names = ("n_variables",)

    def setup(self, n_variables):
        self.X, self.mask = linear_data(n_variables)
        MetaInterventionPredictor().fit(self.X, interventions=self.mask)  # reads the weights

    def time_fit(self, n_variables):
        MetaInterventionPredictor().fit(self.X, interventions=self.mask)


class MetaInterventionManyRegimes:
    """Seconds of fit and predict at 20 variables, with 4,020 rows of 201 regimes."""

    def setup(self):
        self.data = make_linear_scm(
            20, n_samples=20, regimes="pairs", n_heldout_pairs=10, random_state=SEED
        )
        self.queries = self.data.X_test.where(self.data.interventions_test)
        self.time_fit_and_predict()  # reads the weights

    def time_fit_and_predict(self):
        model = MetaInterventionPredictor()
        model.fit(self.data.X, interventions=self.data.interventions)
        model.predict(self.queries, interventions=self.data.interventions_test)


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
