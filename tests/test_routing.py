"""The mask finds its way through scikit-learn's meta-estimators, or an error says that it did not.

A wrong route must never end in a number: tests with the word "trap" hold situations in which
scikit-learn drops or misplaces metadata without a word.
"""

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import requires

import numpy as np
import pytest
import sklearn
from packaging.requirements import Requirement
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils.metadata_routing import get_routing_for_object

from skcausal.compose import TransformedVariables
from skcausal.datasets import make_linear_scm
from skcausal.interventions import do, regime_labels
from skcausal.model_selection import LeaveInterventionsOut
from skcausal.prediction import InterventionRidge, MetaInterventionPredictor, NoEffect
from skcausal.structure import GIES, FullGraph
from tests.conftest import ESTIMATORS, ControlCentering, name_of

all_estimators = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)

pytestmark = pytest.mark.usefixtures("routing")


class TestPipeline:
    @all_estimators
    def test_fit_predict_score(self, estimator, X, mask):
        """A pipeline equals its steps, called by hand with the mask."""
        pipe = make_pipeline(StandardScaler(), clone(estimator)).fit(X, interventions=mask)
        scaler = StandardScaler().fit(X)
        Z = scaler.transform(X)
        model = clone(estimator).fit(Z, interventions=mask)
        np.testing.assert_array_equal(
            pipe.predict(X, interventions=mask), model.predict(Z, interventions=mask)
        )
        assert pipe.score(X, interventions=mask) == model.score(Z, interventions=mask)

    @all_estimators
    def test_predict_without_mask_raises(self, estimator, X, mask):
        pipe = make_pipeline(StandardScaler(), clone(estimator)).fit(X, interventions=mask)
        with pytest.raises(ValueError, match="was fitted with interventions"):
            pipe.predict(X)

    def test_transformer_that_wants_the_mask(self, X, mask):
        pipe = make_pipeline(ControlCentering(), FullGraph(random_state=0))
        pipe.fit(X, interventions=mask)
        np.testing.assert_array_equal(pipe[0].fit_mask_, mask)
        centred = X.to_numpy() - X.to_numpy()[~mask.any(axis=1)].mean(axis=0)
        model = FullGraph(random_state=0).fit(centred, interventions=mask)
        np.testing.assert_array_equal(
            pipe.predict(X, interventions=mask), model.predict(centred, interventions=mask)
        )
        assert pipe.score(X, interventions=mask) == model.score(centred, interventions=mask)
        with pytest.raises(ValueError, match=r"The mask did not arrive\."):
            pipe.predict(X)

    def test_nested_pipeline(self, X, mask):
        inner = make_pipeline(StandardScaler(), InterventionRidge())
        nested = make_pipeline(ControlCentering(), inner).fit(X, interventions=mask)
        flat = make_pipeline(ControlCentering(), StandardScaler(), InterventionRidge())
        flat.fit(X, interventions=mask)
        assert nested.score(X, interventions=mask) == flat.score(X, interventions=mask)

    def test_regimes_reach_fit(self, X, mask):
        """Conditions that share targets stay apart: their means differ, which changes the score."""
        regimes = np.where(np.arange(len(X)) % 2, "odd", "even") + regime_labels(mask)
        pipe = make_pipeline(StandardScaler(), GIES()).fit(X, interventions=mask, regimes=regimes)
        Z = StandardScaler().fit_transform(X)
        by_hand = GIES().fit(Z, interventions=mask, regimes=regimes)
        assert pipe[-1].graph_score_ == by_hand.graph_score_
        assert pipe[-1].graph_score_ != GIES().fit(Z, interventions=mask).graph_score_

    def test_trap_score_with_sample_weight(self, X, mask):
        """Pipeline.score always passes `sample_weight` on, so every `score` must take it."""
        weight = np.arange(len(X)) % 3
        model = InterventionRidge().set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler(), model).fit(X, interventions=mask)
        rows = np.repeat(np.arange(len(X)), weight)
        weighted = pipe.score(X, sample_weight=weight, interventions=mask)
        repeated = pipe.score(X.iloc[rows], interventions=mask.iloc[rows])
        np.testing.assert_allclose(weighted, repeated, rtol=1e-12)
        assert weighted != pipe.score(X, interventions=mask)

    def test_weights_that_nobody_asked_for_are_refused(self, X, mask):
        pipe = make_pipeline(StandardScaler(), NoEffect()).fit(X, interventions=mask)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            pipe.score(X, sample_weight=np.ones(len(X)), interventions=mask)

    def test_alias(self, X, mask):
        """Users who prefer another word set it once per method."""
        model = (
            InterventionRidge()
            .set_fit_request(interventions="perturbed")
            .set_predict_request(interventions="perturbed")
            .set_score_request(interventions="perturbed")
        )
        pipe = make_pipeline(StandardScaler(), model).fit(X, perturbed=mask)
        plain = make_pipeline(StandardScaler(), InterventionRidge()).fit(X, interventions=mask)
        np.testing.assert_array_equal(
            pipe.predict(X, perturbed=mask), plain.predict(X, interventions=mask)
        )
        assert pipe.score(X, perturbed=mask) == plain.score(X, interventions=mask)
        with pytest.raises(TypeError, match="unexpected argument"):
            pipe.fit(X, interventions=mask)

    def test_alias_survives_clone_and_search(self, X, mask):
        model = (
            InterventionRidge()
            .set_fit_request(interventions="perturbed")
            .set_score_request(interventions="perturbed")
        )
        alias = GridSearchCV(
            model, {"alpha": [0.1, 10.0]}, cv=KFold(3, shuffle=True, random_state=0)
        )
        plain = clone(alias).set_params(estimator=InterventionRidge())
        np.testing.assert_array_equal(
            alias.fit(X, perturbed=mask).cv_results_["mean_test_score"],
            plain.fit(X, interventions=mask).cv_results_["mean_test_score"],
        )


class TestDataFrames:
    def test_reordered_mask_with_pandas_output(self, X, mask):
        """Names that survive the transformers align the mask with X."""
        pipe = make_pipeline(StandardScaler(), FullGraph(random_state=0))
        pipe.set_output(transform="pandas")
        expected = pipe.fit(X, interventions=mask).score(X, interventions=mask)
        assert list(pipe[-1].feature_names_in_) == list(X.columns)
        backwards = mask[mask.columns[::-1]]
        assert pipe.fit(X, interventions=backwards).score(X, interventions=backwards) == expected

    def test_reordered_mask_in_a_search(self, X, mask):
        """The splitter and every fold's fit and score align it."""
        pipe = make_pipeline(StandardScaler(), InterventionRidge()).set_output(transform="pandas")
        search = GridSearchCV(pipe, {"interventionridge__alpha": [0.1, 1.0]})
        search.set_params(cv=LeaveInterventionsOut(2))
        expected = search.fit(X, interventions=mask).cv_results_["mean_test_score"]
        backwards = mask[mask.columns[::-1]]
        actual = search.fit(X, interventions=backwards).cv_results_["mean_test_score"]
        np.testing.assert_array_equal(actual, expected)

    @pytest.mark.filterwarnings("ignore:The rows of interventions and X have the same index")
    def test_rows_are_matched_by_position(self, X, mask):
        """As everywhere in scikit-learn, the index has no meaning."""
        order = np.random.default_rng(0).permutation(len(X))
        X, mask = X.iloc[order], mask.iloc[order].reset_index(drop=True)
        folds = LeaveInterventionsOut(2)
        frames = cross_val_score(NoEffect(), X, cv=folds, params={"interventions": mask})
        arrays = cross_val_score(
            NoEffect(), X.to_numpy(), cv=folds, params={"interventions": mask.to_numpy()}
        )
        np.testing.assert_allclose(frames, arrays, rtol=1e-12)

    def test_trap_column_transformer_reorders_columns(self, X, mask):
        """A DataFrame mask follows the names; predictions come in the transformer's order."""
        backwards = list(X.columns[::-1])
        reorder = ColumnTransformer(
            [(name, StandardScaler(), [name]) for name in backwards],
            verbose_feature_names_out=False,
        ).set_output(transform="pandas")
        pipe = make_pipeline(reorder, InterventionRidge()).fit(X, interventions=mask)
        assert list(pipe[-1].feature_names_in_) == backwards
        plain = make_pipeline(StandardScaler(), InterventionRidge()).fit(X, interventions=mask)
        np.testing.assert_allclose(
            pipe.predict(X, interventions=mask)[:, ::-1],
            plain.predict(X, interventions=mask),
            rtol=1e-10,
            atol=1e-12,
        )
        np.testing.assert_allclose(
            pipe.score(X, interventions=mask), plain.score(X, interventions=mask), rtol=1e-10
        )

    def test_trap_column_transformer_renames_columns(self, X, mask):
        """With prefixed names nothing can be aligned, which is an error."""
        prefix = ColumnTransformer([("scale", StandardScaler(), list(X.columns[::-1]))])
        pipe = make_pipeline(prefix.set_output(transform="pandas"), InterventionRidge())
        with pytest.raises(ValueError, match="must have the same column names"):
            pipe.fit(X, interventions=mask)

    def test_mask_consumer_inside_a_column_transformer(self, X, mask):
        """It sees some columns of X and all of the mask; ours notice the shapes."""
        some = ColumnTransformer([("centre", ControlCentering(), ["x0", "x1"])])
        with pytest.raises(ValueError, match=r"must have the shape of X, \(60, 2\)"):
            some.fit(X, interventions=mask.to_numpy())


class TestRoutingOff:
    @pytest.fixture(autouse=True)
    def routing_off(self, routing):
        with sklearn.config_context(enable_metadata_routing=False):
            yield

    @pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
    def test_trap_search_gives_the_mask_to_fit_only(self, X, mask):
        """scikit-learn scores without it; that gives NaN with a warning, or an error."""
        search = GridSearchCV(InterventionRidge(), {"alpha": [0.1, 1.0]}, cv=KFold(3))
        with pytest.warns(UserWarning, match="Scoring failed"):
            search.fit(X, interventions=mask)
        assert np.isnan(search.cv_results_["mean_test_score"]).all()
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            search.set_params(error_score="raise").fit(X, interventions=mask)

    def test_splitter_says_what_to_do(self, X, mask):
        search = GridSearchCV(NoEffect(), {}, cv=LeaveInterventionsOut(2))
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            search.fit(X, interventions=mask)

    def test_pipeline_refuses_the_mask(self, X, mask):
        pipe = make_pipeline(StandardScaler(), NoEffect())
        with pytest.raises(ValueError, match="interventions"):
            pipe.fit(X, interventions=mask)

    def test_pipeline_with_step_prefix_still_needs_it_in_predict(self, X, mask):
        pipe = make_pipeline(StandardScaler(), NoEffect()).fit(X, noeffect__interventions=mask)
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            pipe.predict(X)
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            pipe.score(X)

    @all_estimators
    def test_bare_estimators_need_no_routing(self, estimator, X, mask):
        model = clone(estimator).fit(X, interventions=mask)
        assert np.isfinite(model.score(X, interventions=mask))

    def test_a_thread_of_its_own_has_routing_off(self, X, mask):
        """The flag is local to a thread; forgetting it there is an error as well."""
        pipe = make_pipeline(StandardScaler(), NoEffect())
        with (
            sklearn.config_context(enable_metadata_routing=True),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(ValueError, match="interventions"),
        ):
            pool.submit(pipe.fit, X, interventions=mask).result()


def test_trap_contrast_through_pipelines():
    """Pipelines know no `effect`; the difference of two predictions is one, in raw units."""
    data = make_linear_scm(3, n_samples=400, edges_per_variable=1.0, random_state=0)
    cause, effect = np.argwhere(data.adjacency.to_numpy())[0]
    targets = np.arange(3) == cause
    mixing = np.linalg.inv(np.eye(3) - np.where(targets, 0.0, data.coef))
    names = data.feature_names
    high, mask = do({names[cause]: 1.5}, variables=names)
    low, _ = do({names[cause]: 0.5}, variables=names)
    models = [
        FullGraph(random_state=0),
        TransformedVariables(FullGraph(random_state=0), RobustScaler()),
        make_pipeline("passthrough", TransformedVariables(GIES())),
    ]
    for model in models:
        model.fit(data.X, interventions=data.interventions)
        contrast = model.predict(high, interventions=mask) - model.predict(low, interventions=mask)
        np.testing.assert_allclose(contrast[0, effect], mixing[cause, effect], atol=0.1)
    scaled = make_pipeline(StandardScaler(), FullGraph(random_state=0))
    scaled.fit(data.X, interventions=data.interventions)
    contrast = scaled.predict(high, interventions=mask) - scaled.predict(low, interventions=mask)
    raw = contrast * scaled[0].scale_
    np.testing.assert_allclose(raw[0, effect], mixing[cause, effect], atol=0.1)


class TestRequests:
    @all_estimators
    def test_exactly_the_convention_is_requested(self, estimator):
        """Trap: scikit-learn matches class-level requests by substring of the method's name."""
        asks_for_std = isinstance(estimator, MetaInterventionPredictor)
        assert estimator.get_metadata_routing()._serialize() == {
            "fit": {"interventions": True, "regimes": True},
            "predict": {"interventions": True} | ({"return_std": None} if asks_for_std else {}),
            "score": {"interventions": True, "sample_weight": None},
        }

    def test_requests_of_a_transformer(self):
        assert ControlCentering().get_metadata_routing()._serialize() == {
            "fit": {"interventions": True},
            "transform": {"interventions": True},
        }

    def test_requests_of_the_splitter(self):
        request = get_routing_for_object(LeaveInterventionsOut())
        assert request.split.requests == {"interventions": True, "regimes": True}

    @all_estimators
    def test_trap_sparse_masks(self, estimator, X, mask):
        """They are not sliced like arrays everywhere, so they are refused with a remedy."""
        import scipy.sparse

        sparse = scipy.sparse.csr_array(mask.to_numpy())
        with pytest.raises(TypeError, match=r"pass interventions\.toarray\(\)"):
            make_pipeline(StandardScaler(), clone(estimator)).fit(X, interventions=sparse)
        with pytest.raises(TypeError, match=r"pass interventions\.toarray\(\)"):
            cross_val_score(
                estimator,
                X,
                cv=LeaveInterventionsOut(2),
                params={"interventions": sparse},
            )

    def test_trap_scikit_learn_version(self):
        """Below 1.8, Pipelines drop the mask in the default scorer without a word."""
        required = [Requirement(line) for line in requires("skcausal-interventions")]
        (scikit_learn,) = [r.specifier for r in required if r.name == "scikit-learn"]
        assert "1.7.2" not in scikit_learn
        assert "1.8.0" in scikit_learn
