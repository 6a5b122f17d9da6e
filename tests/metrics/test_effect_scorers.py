"""Scorers of effect estimators: values, routing, pipelines and searches, treatment in a column."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skcausal.metrics import (
    arm_balanced_error,
    make_effect_scorer,
    nearest_neighbor_pehe,
    neg_arm_balanced_error_scorer,
    neg_nearest_neighbor_pehe_scorer,
    policy_value,
    policy_value_scorer,
    r_score,
    r_score_scorer,
)
from skcausal.model_selection import LeaveOneEnvironmentOut

SCORERS = {
    "neg_arm_balanced_error_scorer": neg_arm_balanced_error_scorer,
    "neg_nearest_neighbor_pehe_scorer": neg_nearest_neighbor_pehe_scorer,
    "r_score_scorer": r_score_scorer,
    "policy_value_scorer": policy_value_scorer,
}
DUMMIES = {"model_y": DummyRegressor(), "model_t": DummyClassifier(strategy="prior")}
# Searches for penalties take most of the time of a score: what does not concern the default models
# is asked of scorers with others, which standardise the covariates as well.
QUICK_MODELS = {
    "model_y": make_pipeline(StandardScaler(), Ridge()),
    "model_t": make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10)),
    "n_folds": 3,
}
QUICK_SCORERS = SCORERS | {
    "r_score_scorer": make_effect_scorer(r_score, **QUICK_MODELS),
    "policy_value_scorer": make_effect_scorer(policy_value, **QUICK_MODELS),
}
default_scorers = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
quick_scorers = pytest.mark.parametrize("scorer", QUICK_SCORERS.values(), ids=QUICK_SCORERS)
two_and_three_levels = pytest.mark.parametrize("levels", [[0, 1], ["a", "b", "c"]])


class RidgePerArm(RegressorMixin, BaseEstimator):
    """One ridge regression for each level of treatment."""

    __metadata_request__fit = {"treatment": True, "environment": True}
    __metadata_request__predict = {"treatment": True}
    __metadata_request__score = {"treatment": True}

    def __init__(self, alpha=1.0, treatment_column=None, environment_column=None):
        self.alpha = alpha
        self.treatment_column = treatment_column
        self.environment_column = environment_column

    def fit(self, X, y, *, treatment=None, environment=None, sample_weight=None):
        X, treatment = self._split(X, treatment)
        y = np.asarray(y)
        self.treatments_ = np.unique(treatment)
        arms = [treatment == level for level in self.treatments_]
        self.arms_ = [Ridge(self.alpha).fit(X[arm], y[arm]) for arm in arms]
        return self

    def predict(self, X, *, treatment=None):
        _, treatment = self._split(X, treatment)
        columns = np.searchsorted(self.treatments_, treatment)
        return self.potential_outcomes(X)[np.arange(len(columns)), columns]

    def potential_outcomes(self, X):
        X, _ = self._split(X, None)
        return np.column_stack([arm.predict(X) for arm in self.arms_])

    def effect(self, X, *, T0=0, T1=1):
        outcomes, levels = self.potential_outcomes(X), list(self.treatments_)
        return outcomes[:, levels.index(T1)] - outcomes[:, levels.index(T0)]

    def _split(self, X, treatment):
        """Covariates, and the treatment from its column or as it was given."""
        if isinstance(self.treatment_column, str):
            treatment = X[self.treatment_column].to_numpy()
            names = [self.treatment_column, self.environment_column]
            X = X.drop(columns=[name for name in names if name is not None])
        elif self.treatment_column is not None:
            X = np.asarray(X)
            treatment = X[:, self.treatment_column]
            X = np.delete(X, self.treatment_column, axis=1)
        return np.asarray(X), treatment if treatment is None else np.asarray(treatment)


def make_units(levels=(0, 1), n_samples=90):
    """Units with effects that depend on x0: X, y and treatment."""
    rng = np.random.default_rng(len(levels))
    X = pd.DataFrame(rng.normal(size=(n_samples, 3)), columns=["age", "dose", "site"])
    arm = rng.permutation(np.arange(n_samples) % len(levels))
    y = X["dose"] + arm * (0.5 + X["age"]) + 0.3 * rng.normal(size=n_samples)
    return X, y, np.asarray(levels)[arm]


def fitted(X, y, treatment):
    return RidgePerArm().fit(X, y, treatment=treatment)


@pytest.fixture
def units():
    return make_units()


@two_and_three_levels
class TestValues:
    """Each scorer is its metric, of what the model predicts."""

    def test_arm_balanced_error(self, levels):
        X, y, treatment = make_units(levels)
        model = fitted(X, y, treatment)
        y_pred = model.predict(X, treatment=treatment)
        expected = -arm_balanced_error(y, treatment, y_pred)
        assert neg_arm_balanced_error_scorer(model, X, y, treatment=treatment) == expected

    def test_nearest_neighbor_pehe(self, levels):
        X, y, treatment = make_units(levels)
        model = fitted(X, y, treatment)
        outcomes = model.potential_outcomes(X)
        expected = -nearest_neighbor_pehe(X, y, treatment, outcomes[:, 1:] - outcomes[:, :1])
        assert neg_nearest_neighbor_pehe_scorer(model, X, y, treatment=treatment) == expected

    def test_r_score(self, levels):
        X, y, treatment = make_units(levels)
        model = fitted(X, y, treatment)
        outcomes = model.potential_outcomes(X)
        expected = r_score(X, y, treatment, outcomes[:, 1:] - outcomes[:, :1])
        assert r_score_scorer(model, X, y, treatment=treatment) == expected

    def test_policy_value(self, levels):
        X, y, treatment = make_units(levels)
        model = fitted(X, y, treatment)
        expected = policy_value(X, y, treatment, model.potential_outcomes(X))
        assert policy_value_scorer(model, X, y, treatment=treatment) == expected


@default_scorers
class TestDefaults:
    @pytest.mark.parametrize("routing_enabled", [True, False])
    @pytest.mark.filterwarnings("error")
    def test_good_models_score_higher(self, scorer, routing_enabled):
        X, y, treatment = make_units([0, 1])
        good, bad = fitted(X, y, treatment), fitted(X, -y, treatment)
        with sklearn.config_context(enable_metadata_routing=routing_enabled):
            score = scorer(good, X, y, treatment=treatment)
            assert isinstance(score, float)
            assert score > scorer(bad, X, y, treatment=treatment)

    def test_prints_its_name_and_survives_pickle(self, scorer, units):
        X, y, treatment = units
        model = fitted(X, y, treatment)
        assert SCORERS[repr(scorer)] is scorer
        again = pickle.loads(pickle.dumps(clone(scorer, safe=False)))
        assert again(model, X, y, treatment=treatment) == scorer(model, X, y, treatment=treatment)

    def test_requests_what_it_uses_and_nothing_else(self, scorer):
        requests = {"score": {"treatment": True, "sample_weight": True}}
        assert scorer.get_metadata_routing()._serialize() == requests

    def test_scaler_in_front_changes_nothing(self, scorer, units):
        X, y, treatment = units
        X["site"] = (X["site"] > 0.8).astype(float)
        with sklearn.config_context(enable_metadata_routing=True):
            pipe = make_pipeline(StandardScaler(), RidgePerArm(alpha=0.0))
            pipe.fit(X, y, treatment=treatment)
            model = RidgePerArm(alpha=0.0).fit(X, y, treatment=treatment)
            score = scorer(pipe, X, y, treatment=treatment)
            assert score == pytest.approx(scorer(model, X, y, treatment=treatment), rel=1e-6)


@quick_scorers
class TestEveryScorer:
    def test_arrays_and_frames_agree(self, scorer, units):
        X, y, treatment = units
        model = fitted(X, y, treatment)
        frames = scorer(model, X, y, treatment=pd.Series(treatment, index=X.index[::-1]))
        assert scorer(model, X.to_numpy(), y.to_numpy(), treatment=treatment.tolist()) == frames

    def test_weights(self, scorer, units):
        X, y, treatment = units
        model, weight = fitted(X, y, treatment), np.random.default_rng(0).random(len(y))
        plain = scorer(model, X, y, treatment=treatment)
        weighted = scorer(model, X, y, treatment=treatment, sample_weight=weight)
        assert weighted != plain
        ones = scorer(model, X, y, treatment=treatment, sample_weight=3 * np.ones(len(y)))
        assert ones == pytest.approx(plain, rel=1e-12)

    def test_missing_treatment_is_an_error(self, scorer, units):
        X, y, treatment = units
        with pytest.raises(ValueError, match="The scorer needs treatment: pass it to the scorer"):
            scorer(fitted(X, y, treatment), X, y)

    @pytest.mark.parametrize(("column", "names"), [("arm", True), (1, False), (-3, False)])
    def test_treatment_in_a_column(self, scorer, units, column, names):
        """The column is read, and is no covariate."""
        X, y, treatment = units
        expected = scorer(fitted(X, y, treatment), X, y, treatment=treatment)
        wide = X.copy()
        wide.insert(1, "arm", treatment)
        wide = wide if names else wide.to_numpy()
        model = RidgePerArm(treatment_column=column).fit(wide, y)
        assert scorer(model, wide, y) == expected

    def test_environment_column_is_no_covariate(self, scorer, units):
        """Names of environments need not even be numbers."""
        X, y, treatment = units
        expected = scorer(fitted(X, y, treatment), X, y, treatment=treatment)
        wide = X.assign(arm=treatment, place=np.where(np.arange(len(y)) % 2, "north", "south"))
        model = RidgePerArm(treatment_column="arm", environment_column="place").fit(wide, y)
        assert scorer(model, wide, y) == expected

    def test_unknown_column(self, scorer, units):
        X, y, treatment = units
        model = fitted(X, y, treatment).set_params(treatment_column="drug")
        with pytest.raises(ValueError, match="treatment_column='drug' must be one column of X"):
            scorer(model, X, y)

    def test_pipeline_is_scored_in_the_space_of_its_last_step(self, scorer, units):
        X, y, treatment = units
        with sklearn.config_context(enable_metadata_routing=True):
            pipe = make_pipeline(PolynomialFeatures(2, include_bias=False), RidgePerArm())
            pipe.fit(X, y, treatment=treatment)
            Z = pipe[:-1].transform(X)
            model = fitted(Z, y, treatment)
            expected = scorer(model, Z, y, treatment=treatment)
            assert scorer(pipe, X, y, treatment=treatment) == expected

    def test_in_searches(self, scorer, units):
        """A search's scores are those of a plain loop; its `score` uses the scorer too."""
        X, y, treatment = units
        weight = np.random.default_rng(0).random(len(y))
        alphas, folds = [0.1, 1000.0], KFold(2)
        with sklearn.config_context(enable_metadata_routing=True):
            pipe = make_pipeline(
                StandardScaler(), RidgePerArm().set_fit_request(sample_weight=False)
            )
            pipe[0].set_fit_request(sample_weight=False)
            search = GridSearchCV(
                pipe, {"ridgeperarm__alpha": alphas}, scoring=scorer, cv=folds, error_score="raise"
            )
            search.fit(X, y, treatment=treatment, sample_weight=weight)
            for m, alpha in enumerate(alphas):
                for k, (train, test) in enumerate(folds.split(X)):
                    fold = clone(pipe).set_params(ridgeperarm__alpha=alpha)
                    fold.fit(X.iloc[train], y.iloc[train], treatment=treatment[train])
                    expected = scorer(
                        fold,
                        X.iloc[test],
                        y.iloc[test],
                        treatment=treatment[test],
                        sample_weight=weight[test],
                    )
                    assert search.cv_results_[f"split{k}_test_score"][m] == expected
            score = search.score(X, y, treatment=treatment)
            assert score == scorer(search.best_estimator_, X, y, treatment=treatment)
            assert score == scorer(search, X, y, treatment=treatment)

    def test_in_searches_without_routing(self, scorer, units):
        """With the treatment in X no metadata is needed."""
        X, y, treatment = units
        search = GridSearchCV(
            RidgePerArm(treatment_column="arm"),
            {"alpha": [0.1, 1000.0]},
            scoring=scorer,
            cv=2,
            error_score="raise",
        )
        search.fit(X.assign(arm=treatment), y)
        assert search.best_params_ == {"alpha": 0.1}


def test_several_scorers_and_environments(units):
    """All metadata at once: environment for the splits, treatment for fits and scores."""
    X, y, treatment = units
    environment = np.arange(len(y)) % 3
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_validate(
            RidgePerArm(),
            X,
            y,
            scoring=QUICK_SCORERS,
            cv=LeaveOneEnvironmentOut(),
            params={"treatment": treatment, "environment": environment},
            error_score="raise",
        )
    for name, scorer in QUICK_SCORERS.items():
        for held_out in range(3):
            train, test = environment != held_out, environment == held_out
            model = fitted(X[train], y[train], treatment[train])
            expected = scorer(model, X[test], y[test], treatment=treatment[test])
            assert scores[f"test_{name}"][held_out] == expected


@pytest.mark.parametrize("name", [name for name in SCORERS if "balanced" not in name])
@pytest.mark.parametrize("kept", [["a"], ["a", "c"]])
def test_rows_without_a_level(name, kept):
    """Contrasts with a level need rows of it."""
    X, y, treatment = make_units(["a", "b", "c"])
    model, rows = fitted(X, y, treatment), np.isin(treatment, kept)
    with pytest.raises(ValueError, match="treatment must have the levels of the training rows"):
        SCORERS[name](model, X[rows], y[rows], treatment=treatment[rows])


def test_factual_errors_do_without_a_level():
    X, y, treatment = make_units(["a", "b", "c"])
    rows = treatment == "b"
    model = fitted(X, y, treatment)
    score = neg_arm_balanced_error_scorer(model, X[rows], y[rows], treatment=treatment[rows])
    np.testing.assert_allclose(score, -np.mean((y - model.potential_outcomes(X)[:, 1])[rows] ** 2))


class TestMakeEffectScorer:
    @pytest.mark.parametrize("metric", [r_score, policy_value])
    def test_models(self, metric, units):
        X, y, treatment = units
        model, scorer = fitted(X, y, treatment), make_effect_scorer(metric, **DUMMIES)
        outcomes = model.potential_outcomes(X)
        predicted = outcomes if metric is policy_value else outcomes[:, 1] - outcomes[:, 0]
        expected = metric(X, y, treatment, predicted, **DUMMIES)
        assert scorer(model, X, y, treatment=treatment) == expected

    def test_number_of_neighbors(self, units):
        X, y, treatment = units
        model = fitted(X, y, treatment)
        scorer = make_effect_scorer(nearest_neighbor_pehe, n_neighbors=1)
        expected = -nearest_neighbor_pehe(X, y, treatment, model.effect(X), n_neighbors=1)
        assert scorer(model, X, y, treatment=treatment) == expected
        assert scorer(model, X, y, treatment=treatment) != SCORERS[
            "neg_nearest_neighbor_pehe_scorer"
        ](model, X, y, treatment=treatment)

    @pytest.mark.parametrize(
        ("metric", "name"),
        [
            (arm_balanced_error, "neg_arm_balanced_error_scorer"),
            (nearest_neighbor_pehe, "neg_nearest_neighbor_pehe_scorer"),
            (r_score, "r_score_scorer"),
            (policy_value, "policy_value_scorer"),
        ],
    )
    def test_defaults_are_those_of_the_scorers(self, metric, name, units):
        X, y, treatment = units
        model, scorer = fitted(X, y, treatment), make_effect_scorer(metric)
        expected = SCORERS[name](model, X, y, treatment=treatment)
        assert scorer(model, X, y, treatment=treatment) == expected

    def test_prints_and_survives_pickle(self, units):
        X, y, treatment = units
        scorer = make_effect_scorer(r_score, **DUMMIES, n_folds=3)
        model = fitted(X, y, treatment)
        again = pickle.loads(pickle.dumps(clone(scorer, safe=False)))
        assert again(model, X, y, treatment=treatment) == scorer(model, X, y, treatment=treatment)
        assert repr(scorer) == repr(again)
        assert "model_y=DummyRegressor(), " in repr(scorer)

    @pytest.mark.parametrize("metric", [sklearn.metrics.r2_score, "r_score", None])
    def test_other_metrics_are_refused(self, metric):
        with pytest.raises(
            ValueError, match="metric must be one of the functions arm_balanced_err"
        ):
            make_effect_scorer(metric)
