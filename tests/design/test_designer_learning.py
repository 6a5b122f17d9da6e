"""ActiveDesigner: chunks of rows, the strict rule, scores, and routing."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcausal.datasets import make_linear_scm
from skcausal.structure import AmortizedGraphPosterior
from tests.design.designer_helpers import (
    D,
    every_algorithm,
    fit,
    make,
    quick_algorithms,
    rows,
)

pytestmark = pytest.mark.usefixtures("small_batches")


class TestPartialFit:
    @quick_algorithms
    def test_equals_fit_on_all_rows(self, name):
        X, mask = rows()
        expected = fit(make(name), X, mask)
        found = make(name).partial_fit(X[:10], interventions=mask[:10])
        for part in (slice(10, 15), slice(15, 16), slice(16, 24)):
            found.partial_fit(X[part], interventions=mask[part])
        np.testing.assert_array_equal(found.propose(2), expected.propose(2))
        np.testing.assert_array_equal(found.edge_probabilities_, expected.edge_probabilities_)

    def test_returns_itself_and_keeps_names(self):
        data = make_linear_scm(D, n_samples=6, random_state=0)
        designer = make("random").fit(data.X, interventions=data.interventions)
        assert designer.partial_fit(data.X[:1], interventions=data.interventions[:1]) is designer
        assert list(designer.propose().columns) == data.feature_names
        with pytest.raises(ValueError, match="feature names should match"):
            designer.partial_fit(data.X[data.feature_names[::-1]])

    def test_regimes_may_be_given_always(self):
        """Labels mean the same in all calls."""
        X, mask = rows()
        regimes = np.array([f"{m}{k % 2}" for k, m in enumerate(mask)])
        posterior = AmortizedGraphPosterior("caasl", device="cpu")
        settings = {"posterior": posterior}
        expected = fit(make("random", **settings), X, mask, regimes=regimes)
        found = make("random", **settings)
        for part in (slice(0, 9), slice(9, 15), slice(15, 24)):
            found.partial_fit(X[part], interventions=mask[part], regimes=regimes[part])
        np.testing.assert_allclose(
            found.edge_probabilities_, expected.edge_probabilities_, atol=1e-6
        )
        other = fit(make("random", **settings), X, mask)
        assert np.abs(other.edge_probabilities_ - expected.edge_probabilities_).max() > 1e-4

    def test_regimes_sometimes_are_refused(self):
        X, mask = rows()
        designer = fit(make("random"), X, mask)
        before = designer.propose()
        with pytest.raises(ValueError, match="regimes must be given for all rows or for none"):
            designer.partial_fit(X[-2:], interventions=mask[-2:], regimes=["a", "b"])
        np.testing.assert_array_equal(designer.propose(), before)

    def test_rows_that_are_refused_leave_all_as_it_was(self):
        X, mask = rows()
        designer = fit(make("lookahead"), X, mask, regimes=np.arange(24))
        before, probabilities = designer.propose(), designer.edge_probabilities_
        bad = [
            (X[:2] * np.nan, mask[:2], ["x", "y"]),
            (X[:2, :3], mask[:2, :3], ["x", "y"]),
            (X[:2], mask[:3], ["x", "y"]),
            (X[:2], mask[:2], ["x"]),
            (X[-2:], np.array([[True] * 4, [False] * 4]), ["x", "x"]),
        ]
        for X_new, mask_new, regimes in bad:
            with pytest.raises(ValueError):
                designer.partial_fit(X_new, interventions=mask_new, regimes=regimes)
            np.testing.assert_array_equal(designer.propose(), before)
            np.testing.assert_array_equal(designer.edge_probabilities_, probabilities)

    def test_a_failed_fit_is_begun_anew(self):
        X, mask = rows()
        designer = fit(make("random"), X, mask)
        with pytest.raises(ValueError, match="NaN"):
            designer.fit(X * np.nan)
        designer.partial_fit(X[:5], interventions=mask[:5])
        np.testing.assert_array_equal(
            designer.propose(), fit(make("random"), X[:5], mask[:5]).propose()
        )


class TestStrictRule:
    def test_mask_is_required_where_fit_had_one(self):
        X, mask = rows()
        designer = fit(make("random"), X, mask)
        for method in (designer.predict, designer.score):
            with pytest.raises(ValueError, match="was fitted with interventions, so"):
                method(X)

    def test_partial_fit_counts(self):
        X, mask = rows()
        designer = make("random").fit(X[:12])
        designer.predict(X[:12])
        designer.partial_fit(X[12:], interventions=mask[12:])
        with pytest.raises(ValueError, match="was fitted with interventions"):
            designer.predict(X)

    def test_bad_masks(self):
        X, mask = rows()
        for method in ("fit", "partial_fit", "predict", "score"):
            designer = fit(make("random"), X, mask)
            with pytest.raises(ValueError, match="the shape of X"):
                getattr(designer, method)(X, interventions=mask[1:])
            designer = fit(make("random"), X, mask)
            with pytest.raises(TypeError, match="boolean mask"):
                getattr(designer, method)(X, interventions=mask.astype(int))


class TestScore:
    X, MASK = rows(n=40)

    def pool(self, n=60):
        data = make_linear_scm(3, n_samples=n // 4, random_state=0)
        return data.X.to_numpy(), data.interventions.to_numpy()

    @every_algorithm
    def test_every_algorithm_is_scored(self, name, weights):
        X, mask = self.pool()
        designer = fit(make(name, weights, budget=2, n_initial=5), X, mask)
        score = designer.score(X, interventions=mask)
        assert isinstance(score, float)
        assert -10 < score <= 0
        assert score == designer.score(X, interventions=mask)

    def test_weight_zero_leaves_a_row_out(self):
        X, mask = self.pool()
        designer = fit(make("random", budget=3, n_initial=5), X, mask)
        weight = (np.arange(len(X)) % 3 > 0).astype(float)
        used = weight > 0
        assert designer.score(X, sample_weight=weight, interventions=mask) == designer.score(
            X[used], interventions=mask[used]
        )
        assert designer.score(X, interventions=mask) == designer.score(
            X, sample_weight=np.full(len(X), 2.0), interventions=mask
        )

    @pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
    def test_bad_weights(self, weight):
        X, mask = self.pool()
        weights = np.ones(len(X))
        weights[0] = weight
        with pytest.raises(ValueError, match=r"sample_weight|Negative values"):
            fit(make("random"), X, mask).score(X, sample_weight=weights, interventions=mask)

    def test_episodes_are_averaged(self):
        X, mask = self.pool()
        single = [
            fit(make("random", budget=2, n_initial=5, n_replays=n), X, mask).score(
                X, interventions=mask
            )
            for n in (1, 2, 3)
        ]
        assert len(set(single)) == 3

    def test_pools_without_experiments_are_refused(self):
        X, mask = self.pool()
        designer = fit(make("random"), X, mask)
        with pytest.raises(ValueError, match="score needs a pool of two or more observational"):
            designer.score(X, interventions=np.zeros(X.shape, dtype=bool))
        with pytest.raises(ValueError, match="NaN"):
            designer.score(X * np.nan, interventions=mask)

    def test_changes_of_parameters_after_fit_change_no_score(self):
        X, mask = self.pool()
        designer = fit(make("lookahead", budget=2, n_initial=5), X, mask)
        score, design = designer.score(X, interventions=mask), designer.propose()
        designer.set_params(
            budget=5, n_initial=9, rows_per_design=3, n_replays=4, random_state=5,
            algorithm="random", feasible={"n_targets": 1}, utility="information", n_draws=4,
        )  # fmt: skip
        assert designer.score(X, interventions=mask) == score
        np.testing.assert_array_equal(designer.propose(), design)


@pytest.mark.usefixtures("routing")
class TestRouting:
    def pool(self):
        data = make_linear_scm(3, n_samples=16, random_state=0)
        return data.X, data.interventions

    def test_pipeline(self):
        X, mask = self.pool()
        pipe = make_pipeline(StandardScaler(), make("lookahead", budget=2, n_initial=5))
        pipe.fit(X, interventions=mask)
        Z = StandardScaler().fit_transform(X)
        designer = fit(make("lookahead", budget=2, n_initial=5), Z, mask)
        np.testing.assert_array_equal(
            pipe.predict(X, interventions=mask), designer.predict(Z, interventions=mask)
        )
        assert pipe.score(X, interventions=mask) == designer.score(Z, interventions=mask)
        with pytest.raises(ValueError, match="was fitted with interventions"):
            pipe.predict(X)

    def test_weights_of_a_pipeline(self):
        X, mask = self.pool()
        designer = make("random", budget=2, n_initial=5).set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler(), designer).fit(X, interventions=mask)
        weight = (np.arange(len(X)) % 4 > 0).astype(float)
        found = pipe.score(X, sample_weight=weight, interventions=mask)
        assert found != pipe.score(X, interventions=mask)

    @pytest.mark.parametrize("in_pipeline", [False, True])
    def test_search_over_algorithms(self, in_pipeline):
        X, mask = self.pool()
        names = ["random", "balanced_half", "single_cycle", "uncertain_half", "lookahead"]
        model = make("random", budget=2, n_initial=4)
        key = "algorithm"
        if in_pipeline:
            model, key = make_pipeline(StandardScaler(), model), "activedesigner__algorithm"
        search = GridSearchCV(
            model,
            {key: names},
            cv=KFold(2, shuffle=True, random_state=0),
            error_score="raise",
        ).fit(X, interventions=mask)
        scores = search.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        best = search.best_estimator_[-1] if in_pipeline else search.best_estimator_
        assert best.algorithm == search.best_params_[key]
        train, test = next(KFold(2, shuffle=True, random_state=0).split(X))
        by_hand = clone(model).fit(X.iloc[train], interventions=mask.iloc[train])
        assert search.cv_results_["split0_test_score"][0] == by_hand.score(
            X.iloc[test], interventions=mask.iloc[test]
        )

    def test_regimes_reach_fit_and_predict(self):
        X, mask = self.pool()
        regimes = np.arange(len(X))
        posterior = AmortizedGraphPosterior("caasl", device="cpu")
        designer = make("uncertain_half", posterior=posterior)
        pipe = make_pipeline(StandardScaler(), designer)
        pipe.fit(X, interventions=mask, regimes=regimes)
        Z = StandardScaler().fit_transform(X)
        by_hand = fit(clone(designer), Z, mask, regimes=regimes)
        np.testing.assert_array_equal(pipe[-1].edge_probabilities_, by_hand.edge_probabilities_)
        np.testing.assert_array_equal(
            pipe.predict(X, interventions=mask, regimes=regimes),
            by_hand.predict(Z, interventions=mask, regimes=regimes),
        )

    def test_weights_that_nobody_asked_for_are_refused(self):
        X, mask = self.pool()
        pipe = make_pipeline(StandardScaler(), make("random")).fit(X, interventions=mask)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            pipe.score(X, sample_weight=np.ones(len(X)), interventions=mask)
