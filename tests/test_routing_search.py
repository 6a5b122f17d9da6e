"""The mask in searches and cross-validation, in one process and in several.

As in test_routing.py, "trap" marks situations in which scikit-learn drops or misplaces metadata
without a word; they must end in an error or NaN, never in a number.
"""

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skcausal.compose import IgnoreInterventions, TransformedVariables
from skcausal.interventions import regime_labels
from skcausal.metrics import neg_interventional_mean_error_scorer, neg_transfer_loss_scorer
from skcausal.model_selection import LeaveInterventionsOut
from skcausal.prediction import AdditiveShift, ConditionalRidge, InterventionRidge, NoEffect
from skcausal.structure import GIES, BootstrapEnsemble, FullGraph
from tests.conftest import ControlCentering

pytestmark = pytest.mark.usefixtures("routing")

CANDIDATES = [
    {
        "model": [
            NoEffect(),
            AdditiveShift(),
            FullGraph(random_state=0),
            GIES(),
            TransformedVariables(ConditionalRidge(), RobustScaler()),
            make_pipeline(MinMaxScaler(), InterventionRidge()),
            make_pipeline(RobustScaler(), BootstrapEnsemble(GIES(), 2, random_state=0)),
        ]
    },
    {"model": [InterventionRidge()], "model__alpha": [0.1, 1.0], "model__encoding": ["mask"]},
]


def search_candidates(**parameters):
    """Search over several methods, alone and as pipelines, on interventions held out."""
    pipe = Pipeline([("scale", StandardScaler()), ("model", NoEffect())])
    return GridSearchCV(
        pipe, CANDIDATES, cv=LeaveInterventionsOut(3), error_score="raise", **parameters
    )


@pytest.fixture(scope="module")
def serial_search(data):
    """The search, fitted in this process."""
    with sklearn.config_context(enable_metadata_routing=True):
        return search_candidates().fit(data.X, interventions=data.interventions)


@pytest.fixture(scope="module")
def serial_scores(serial_search):
    """Its scores (n_candidates, n_splits)."""
    return split_scores(serial_search)


def split_scores(search):
    """Test scores of a search (n_candidates, n_splits)."""
    results = search.cv_results_
    return np.column_stack([results[f"split{k}_test_score"] for k in range(search.n_splits_)])


class TestSearch:
    def test_every_step_gets_its_rows_of_the_mask(self, X, mask, serial_scores):
        """The search's scores are those of plain loops over folds and candidates."""
        folds = list(LeaveInterventionsOut(3).split(X, interventions=mask))
        models = CANDIDATES[0]["model"]
        models = models + [InterventionRidge(alpha, encoding="mask") for alpha in (0.1, 1.0)]
        expected = np.empty((len(models), len(folds)))
        for m, model in enumerate(models):
            for k, (train, test) in enumerate(folds):
                pipe = make_pipeline(StandardScaler(), clone(model))
                pipe.fit(X.iloc[train], interventions=mask.iloc[train])
                expected[m, k] = pipe.score(X.iloc[test], interventions=mask.iloc[test])
        np.testing.assert_array_equal(serial_scores, expected)

    def test_two_processes(self, X, mask, serial_scores):
        search = search_candidates(n_jobs=2).fit(X, interventions=mask)
        np.testing.assert_array_equal(split_scores(search), serial_scores)

    def test_threads(self, X, mask, serial_scores):
        with joblib.parallel_config("threading"):
            search = search_candidates(n_jobs=2).fit(X, interventions=mask)
        np.testing.assert_array_equal(split_scores(search), serial_scores)

    def test_score_of_the_search(self, X, mask, serial_search):
        search = serial_search
        best = search.best_estimator_
        assert search.score(X, interventions=mask) == best.score(X, interventions=mask)

    def test_trap_predict_of_the_search(self, X, mask, serial_search):
        """It takes no metadata; the error names the way out, and the way out works."""
        search = serial_search
        with pytest.raises(ValueError, match=r"use search\.best_estimator_\.predict\(X, interv"):
            search.predict(X)
        assert search.best_estimator_.predict(X, interventions=mask).shape == X.shape

    def test_randomized_search(self, X, mask):
        search = RandomizedSearchCV(
            InterventionRidge(),
            {"alpha": [0.01, 0.1, 1.0, 10.0]},
            n_iter=4,
            cv=LeaveInterventionsOut(2),
            random_state=0,
        ).fit(X, interventions=mask)
        grid = GridSearchCV(
            InterventionRidge(), {"alpha": [0.01, 0.1, 1.0, 10.0]}, cv=LeaveInterventionsOut(2)
        ).fit(X, interventions=mask)
        assert search.best_params_ == grid.best_params_
        assert search.best_score_ == grid.best_score_

    def test_regimes_reach_splitter_and_fit(self, X, mask):
        regimes = np.where(np.arange(len(X)) % 2, "odd ", "even ") + regime_labels(mask)
        search = GridSearchCV(NoEffect(), {}, cv=LeaveInterventionsOut(None))
        assert search.fit(X, interventions=mask).n_splits_ == 4
        assert search.fit(X, interventions=mask, regimes=regimes).n_splits_ == 8

    @pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
    def test_trap_grid_with_an_estimator_that_takes_no_mask(self, X, mask):
        """Routing is resolved once, so such an estimator fails; wrapped it competes."""
        pipe = Pipeline([("scale", StandardScaler()), ("model", NoEffect())])
        search = GridSearchCV(pipe, {"model": [NoEffect(), GaussianMixture()]})
        search.set_params(cv=LeaveInterventionsOut(2))
        with pytest.warns(FitFailedWarning, match="Pipeline.fit got unexpected argument"):
            search.fit(X, interventions=mask)
        assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]

        models = [NoEffect(), IgnoreInterventions(FullGraph(random_state=0))]
        models += [IgnoreInterventions(EmpiricalCovariance()), GIES()]
        search.set_params(param_grid={"model": models}, error_score="raise")
        search.fit(X, interventions=mask)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


class TestCrossValidation:
    def test_functions_agree(self, X, mask):
        """Every function that fits and scores gets the same scores from the same folds."""
        # learning_curve cuts every training set to the size of the first: folds of one size.
        common = {"cv": LeaveInterventionsOut(2), "params": {"interventions": mask}}
        model = InterventionRidge(alpha=0.5)
        expected = [
            clone(model)
            .fit(X.iloc[train], interventions=mask.iloc[train])
            .score(X.iloc[test], interventions=mask.iloc[test])
            for train, test in LeaveInterventionsOut(2).split(X, interventions=mask)
        ]
        np.testing.assert_array_equal(cross_val_score(model, X, **common), expected)
        np.testing.assert_array_equal(cross_validate(model, X, **common)["test_score"], expected)
        _, _, curve = learning_curve(model, X, None, train_sizes=[0.5, 1.0], **common)
        np.testing.assert_array_equal(curve[-1], expected)
        _, curve = validation_curve(
            model, X, None, param_name="alpha", param_range=[0.1, 0.5], **common
        )
        np.testing.assert_array_equal(curve[-1], expected)
        observed, permuted, _ = permutation_test_score(
            model, X, np.zeros(len(X)), n_permutations=2, **common
        )
        # y is ignored, so permuting it changes nothing.
        np.testing.assert_allclose([observed, *permuted], np.mean(expected), rtol=1e-12)

    def test_returned_estimators_saw_the_mask(self, X, mask):
        scores = cross_validate(
            make_pipeline(StandardScaler(), AdditiveShift()),
            X,
            cv=LeaveInterventionsOut(2),
            params={"interventions": mask},
            return_estimator=True,
        )
        for pipe, (train, _) in zip(
            scores["estimator"], LeaveInterventionsOut(2).split(X, interventions=mask)
        ):
            seen = mask.iloc[train].any(axis=0)
            np.testing.assert_array_equal(np.isfinite(pipe[-1].target_mean_), seen)

    def test_nested(self, X, mask):
        search = GridSearchCV(
            make_pipeline(ControlCentering(), InterventionRidge()),
            {"interventionridge__alpha": [0.1, 10.0]},
            cv=LeaveInterventionsOut(2),
        )
        outer = LeaveInterventionsOut(2, shuffle=True, random_state=0)
        scores = cross_val_score(
            search, X, cv=outer, params={"interventions": mask}, error_score="raise"
        )
        expected = [
            clone(search)
            .fit(X.iloc[train], interventions=mask.iloc[train])
            .score(X.iloc[test], interventions=mask.iloc[test])
            for train, test in outer.split(X, interventions=mask)
        ]
        np.testing.assert_array_equal(scores, expected)

    def test_trap_cross_val_predict(self, X, mask):
        """It hands no metadata to `predict`, so it works for observational data only."""
        X_pred = cross_val_predict(FullGraph(random_state=0), X, cv=KFold(3))
        assert X_pred.shape == X.shape
        with pytest.raises(ValueError, match="predict needs them too"):
            cross_val_predict(NoEffect(), X, cv=KFold(3), params={"interventions": mask})

    def test_cross_val_predict_refuses_leave_interventions_out(self, X, mask):
        """Observational rows are never tested, so there is no prediction for each row."""
        with pytest.raises(ValueError, match="only works for partitions"):
            cross_val_predict(
                NoEffect(), X, cv=LeaveInterventionsOut(2), params={"interventions": mask}
            )

    def test_trap_mask_of_the_wrong_length(self, X, mask):
        """scikit-learn passes it to every fold as a whole; the shape check stops it."""
        with pytest.raises(ValueError, match="interventions must have the shape of X"):
            cross_val_score(
                NoEffect(),
                X,
                cv=KFold(3),
                params={"interventions": mask.iloc[1:]},
                error_score="raise",
            )
        with pytest.raises(ValueError, match="interventions must have the shape of X"):
            cross_val_score(
                NoEffect(),
                X,
                cv=LeaveInterventionsOut(2),
                params={"interventions": mask.iloc[1:]},
            )

    @pytest.mark.parametrize(
        "scoring",
        [
            "neg_mean_squared_error",
            make_scorer(mean_squared_error, greater_is_better=False),
            lambda estimator, X, y: -mean_squared_error(X, estimator.predict(X)),
        ],
        ids=["string", "make_scorer", "function"],
    )
    def test_trap_scorers_that_drop_the_mask(self, X, mask, scoring):
        """They call `predict` without the mask, which raises; our scorers pass it."""
        common = {"cv": LeaveInterventionsOut(2), "params": {"interventions": mask}}
        with pytest.raises(ValueError, match="was fitted with interventions"):
            cross_val_score(NoEffect(), X, X, scoring=scoring, error_score="raise", **common)
        with pytest.warns(UserWarning, match="Scoring failed"):
            scores = cross_val_score(NoEffect(), X, X, scoring=scoring, **common)
        assert np.isnan(scores).all()

    def test_our_scorers_pass_the_mask(self, X, mask):
        scores = cross_validate(
            make_pipeline(StandardScaler(), NoEffect()),
            X,
            cv=LeaveInterventionsOut(2),
            params={"interventions": mask},
            scoring={
                "transfer": neg_transfer_loss_scorer,
                "means": neg_interventional_mean_error_scorer,
            },
            error_score="raise",
        )
        assert np.isfinite(scores["test_transfer"]).all()
        assert np.isfinite(scores["test_means"]).all()
