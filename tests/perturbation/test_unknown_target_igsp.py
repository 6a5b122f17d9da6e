"""Search for graph and unknown targets: its tests, its optimum, and its predictions."""

from itertools import permutations

import numpy as np
import pytest

from skcausal.datasets import make_dose_response
from skcausal.perturbation import UnknownTargetIGSP
from skcausal.perturbation._context_tests import ContextTests, invariance_tests
from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._target_search import TargetScore, min_degree_order, search_targets
from skcausal.simulators import DoseResponsePrior, LinearPrior
from skcausal.structure._gaussian_tests import GaussianTests, invariance_test
from skcausal.structure._igsp_search import minimal_imap


def small_task(seed, d=4, **parameters):
    """Ten perturbations of a small linear system, and the truth of each context."""
    parameters = {"n_perturbations": 10, "n_heldout_perturbations": 0, "n_targets": 1} | parameters
    prior = DoseResponsePrior(LinearPrior(d, edges_per_variable=1.0), **parameters)
    data = make_dose_response(prior, n_samples=40, n_controls=400, random_state=seed)
    contexts = summarise_contexts(data.X.to_numpy(), data.interventions.to_numpy())
    data.contexts = contexts
    data.true_targets = np.zeros(contexts.means.shape, dtype=bool)
    treated = data.perturbations >= 0
    rows = contexts.context_of_row[treated]
    data.true_targets[rows] = data.targets.to_numpy()[data.perturbations[treated]]
    return data


def score_of(data, ci_data="observational", alpha=1e-3):
    """Judge of the graphs of a task."""
    tests = ContextTests(data.X.to_numpy(), data.contexts.context_of_row, ci_data=ci_data)
    return TargetScore(tests, alpha=alpha, alpha_invariance=alpha)


class TestContextTests:
    @pytest.mark.parametrize("parents", [(), (1,), (1, 3), (0, 1, 3)])
    def test_invariance_is_that_of_one_context_after_the_other(self, parents):
        data = small_task(0)
        X, context = data.X.to_numpy(), data.contexts.context_of_row
        tests = ContextTests(X, context, ci_data="pooled")
        pvalues = tests.invariance_pvalues(2, np.isin(np.arange(4), parents))
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        Z = np.column_stack([np.ones(len(Z)), Z[:, [*parents, 2]]])
        grams = [Z[context == k].T @ Z[context == k] for k in range(context.max() + 1)]
        expected = [1.0] + [invariance_test(gram, grams[0]) for gram in grams[1:]]
        np.testing.assert_allclose(pvalues, expected, rtol=1e-6, atol=1e-12)

    def test_degenerate_samples(self):
        """One row, as many rows as coefficients, a constant regressor, a copy of a regressor."""
        rng = np.random.default_rng(0)
        Z = np.column_stack([np.ones(60), rng.normal(size=(60, 3))])
        samples = [Z[:1], Z[:2], Z[:3], Z[:4], Z[:20] * [1, 0, 1, 1], Z[:20][:, [0, 1, 1, 3]]]
        first = np.stack([rows.T @ rows for rows in samples])
        second = Z[20:].T @ Z[20:]
        expected = [invariance_test(gram, second) for gram in first]
        np.testing.assert_allclose(invariance_tests(first, second), expected, rtol=1e-6)
        assert invariance_tests(first, np.zeros((4, 4))).tolist() == [1.0] * len(samples)

    def test_level(self):
        """Under the hypothesis p-values are not below their level too often."""
        rng = np.random.default_rng(1)
        context = np.repeat(np.arange(401), [5000] + 400 * [6])  # all compared with the same rows
        X = rng.normal(size=(len(context), 3)) @ rng.normal(size=(3, 3))
        tests = ContextTests(X, context, ci_data="pooled")
        pvalues = tests.invariance_pvalues(0, np.array([False, True, True]))
        assert 0.02 < (pvalues[1:] < 0.05).mean() < 0.09

    @pytest.mark.parametrize("ci_data", ["pooled", "observational"])
    def test_edges(self, ci_data):
        data = small_task(1)
        X, context = data.X.to_numpy(), data.contexts.context_of_row
        tests = ContextTests(X, context, ci_data=ci_data)
        rows = context >= 0 if ci_data == "pooled" else context == 0
        nothing = np.zeros(X[rows].shape, dtype=bool)
        expected = GaussianTests(X[rows], nothing, regimes=context[rows])
        candidates = np.array([True, False, True, True])
        np.testing.assert_allclose(
            tests.edge_pvalues(1, candidates), expected.edge_pvalues(1, candidates), rtol=1e-6
        )


class TestSearch:
    @pytest.mark.parametrize("seed", range(3))
    def test_finds_the_best_of_all_orders(self, seed):
        data = small_task(seed)
        score = score_of(data)
        best = min(score(minimal_imap(score, np.array(p))) for p in permutations(range(4)))
        rng = np.random.default_rng(0)
        for start in ("ancestral", "min_degree", "random"):
            found = search_targets(score, depth=4, n_restarts=10, start=start, rng=rng)
            assert score(found) == best

    def test_score_counts_edges_and_targets(self):
        data = small_task(0)
        score = score_of(data)
        adjacency = data.adjacency.to_numpy()
        targets = score.all_targets(adjacency)
        assert not targets[0].any()
        assert score(adjacency) == adjacency.sum() + targets.sum()

    def test_min_degree_order_of_a_tree_has_its_edges_only(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(2000, 5))
        X[:, 1:] += X[:, :1]  # a star: an order in which the hub comes last has ten edges
        tests = ContextTests(X, np.zeros(2000, dtype=int), ci_data="observational")
        score = TargetScore(tests, alpha=1e-4, alpha_invariance=1e-4)
        for seed in range(5):
            order = min_degree_order(score, np.random.default_rng(seed))
            assert sorted(order) == list(range(5))
            assert minimal_imap(score, order).sum() == 4


class TestEstimator:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("kind", ["shift", "hard"])
    def test_graph_and_targets(self, seed, kind):
        data = small_task(seed, kind=kind)
        model = UnknownTargetIGSP(alpha=1e-4, alpha_invariance=1e-4, random_state=0)
        model.fit(data.X, interventions=data.interventions)
        np.testing.assert_array_equal(model.adjacency_, data.adjacency)
        hits = model.intervention_targets_ == data.true_targets
        assert hits.mean() > 0.95
        np.testing.assert_array_equal(model.contexts_, data.contexts.features)
        position = np.argsort(model.order_)
        assert all(position[i] < position[j] for i, j in np.argwhere(model.adjacency_))

    def test_features_only_name_the_contexts(self):
        data = small_task(0)
        names = data.contexts.context_of_row[:, None].astype(float)
        plain = UnknownTargetIGSP(random_state=0).fit(data.X, interventions=data.interventions)
        named = UnknownTargetIGSP(random_state=0).fit(data.X, interventions=names)
        np.testing.assert_array_equal(named.adjacency_, plain.adjacency_)
        np.testing.assert_array_equal(named.intervention_shifts_, plain.intervention_shifts_)

    def test_seen_contexts_are_predicted_by_their_shifts(self):
        data = small_task(2)
        model = UnknownTargetIGSP(random_state=0).fit(data.X, interventions=data.interventions)
        queries = model.contexts_
        unknown = data.X[: len(queries)] * np.nan
        predicted = model.predict(unknown, interventions=queries)
        intercepts = model.scm_.intercept + model.intervention_shifts_
        expected = intercepts @ np.linalg.inv(np.eye(4) - model.scm_.coef)
        np.testing.assert_allclose(predicted, expected)
        # Where every variable is a target, or the model is right, these are the means.
        np.testing.assert_allclose(predicted, data.contexts.means, atol=0.5)
        assert ((model.intervention_shifts_ != 0) == (model.intervention_targets_ == 1)).all()

    def test_known_cells_inform_the_others(self):
        """x1 = 2 x0 + noise, and shifts of x1: knowing x0 is knowing x1 up to noise and shift."""
        rng = np.random.default_rng(0)
        doses = np.repeat([0.0, 1.0, 2.0], [300, 100, 100])
        x0 = rng.normal(size=500)
        X = np.column_stack([x0, 2.0 * x0 + 10.0 * doses + 0.1 * rng.normal(size=500)])
        model = UnknownTargetIGSP(random_state=0).fit(X, interventions=doses[:, None])
        assert model.adjacency_.tolist() == [[0, 1], [0, 0]]
        predicted = model.predict([[1.0, np.nan], [np.nan, 22.0]], interventions=[[0.0], [2.0]])
        np.testing.assert_allclose(predicted[0, 1], 2.0, atol=0.05)
        np.testing.assert_allclose(predicted[1, 0], 1.0, atol=0.05)

    def test_unseen_features_get_the_nearest_context(self):
        """In units of each feature's spread: the second one varies a thousand times as much."""
        rng = np.random.default_rng(0)
        features = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1000.0]], 30, axis=0)
        X = rng.normal(size=(90, 1)) + np.repeat([0.0, 10.0, 20.0], 30)[:, None]
        model = UnknownTargetIGSP(random_state=0).fit(X, interventions=features)
        query = [[0.7, 100.0], [0.1, 700.0], [0.1, 100.0]]
        predicted = model.predict(np.full((3, 1), np.nan), interventions=query)
        means = X.reshape(3, 30).mean(axis=1)
        np.testing.assert_allclose(predicted[:, 0], means[[1, 2, 0]])

    def test_do_values_of_a_mask_are_passed_on(self):
        """Where targets are known, their equations are cut and their values reach descendants."""
        rng = np.random.default_rng(0)
        mask = np.zeros((600, 2), dtype=bool)
        mask[400:500, 0] = mask[500:, 1] = True
        x0 = np.where(mask[:, 0], rng.normal(5.0, 1.0, size=600), rng.normal(size=600))
        x1 = np.where(mask[:, 1], rng.normal(9.0, 1.0, size=600), 2.0 * x0 + rng.normal(size=600))
        model = UnknownTargetIGSP(random_state=0)
        model.fit(np.column_stack([x0, x1]), interventions=mask)
        predicted = model.predict([[3.0, np.nan], [np.nan, 3.0]], interventions=np.eye(2) == 1)
        np.testing.assert_allclose(predicted, [[3.0, 6.0], [0.0, 3.0]], atol=0.3)

    @pytest.mark.parametrize("ci_data", ["pooled", "observational"])
    def test_one_row_per_context(self, ci_data):
        rng = np.random.default_rng(0)
        features = np.append(np.zeros(50), np.arange(1.0, 21.0))[:, None]
        X = rng.normal(size=(70, 3)) @ np.triu(np.ones((3, 3)))
        X[50:, 1:] += 20.0
        model = UnknownTargetIGSP(ci_data, random_state=0).fit(X, interventions=features)
        assert np.isfinite(model.predict(X, interventions=features)).all()
        np.testing.assert_array_equal(model.intervention_targets_[1:, 1], 1.0)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            (
                {"ci_data": "all"},
                r"ci_data must be one of \['pooled', 'observational'\], got 'all'",
            ),
            ({"start": None}, "start must be one of .* got None"),
            ({"alpha": 0.0}, "alpha must be a number between 0 and 1, got 0.0"),
            ({"alpha_invariance": "low"}, "alpha_invariance must be a number between 0 and 1"),
            ({"depth": -1}, "depth must be an integer of at least 0, got -1"),
            ({"n_restarts": 0}, "n_restarts must be an integer of at least 1, got 0"),
        ],
    )
    def test_bad_parameters(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            UnknownTargetIGSP(**parameters).fit(np.eye(4))

    def test_without_controls(self):
        with pytest.raises(ValueError, match="Mark controls by rows of zeros"):
            UnknownTargetIGSP().fit(np.eye(4), interventions=np.ones((4, 1)))
