"""The exact posterior as an estimator: its prior, its invariances, and its calibration."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import gamma, invgamma, randint, uniform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skcausal.datasets import make_linear_scm
from skcausal.graphs import is_dag
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import ExactGraphPosterior, _exact_posterior
from skcausal.structure._exact_posterior import exact_posterior
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._parent_set_scores import LinearGaussianModel, parent_set_scores

CAASL = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)


def few_rows(seed=0, d=4, n=12):
    """Rows from which the graph is anything but clear."""
    rng = np.random.default_rng(seed)
    mask = rng.random((n, d)) < 0.2
    return 0.7 * rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 1.0, mask


def posterior(**parameters):
    return ExactGraphPosterior(**{"n_draws": 5, "random_state": 0} | parameters)


@pytest.fixture
def rows():
    return few_rows()


@pytest.fixture
def fitted(rows):
    return posterior().fit(rows[0], interventions=rows[1])


class TestFromPrior:
    def test_parameters_are_those_of_the_prior(self):
        model = ExactGraphPosterior.from_prior(CAASL, n_draws=7, dtype="float32")
        assert model.get_params() | {"edge_probability": None} == {
            "device": "auto",
            "dtype": "float32",
            "edge_probability": None,
            "n_draws": 7,
            "noise_rate": 1.0,
            "noise_shape": 10.0,
            "random_state": None,
            "standardize": False,
            "threshold": 0.5,
            "weight_scale": "in_degree",
        }
        assert model.edge_probability == pytest.approx(2 / 3)

    def test_numbers_and_scaled_distributions(self):
        prior = LinearPrior(
            6,
            edges_per_variable=1.5,
            weight_scale=0.8,
            weight_gap=0.0,
            noise_variance=invgamma(a=3.0, scale=0.4),
        )
        model = ExactGraphPosterior.from_prior(prior)
        assert model.edge_probability == pytest.approx(0.6)
        assert (model.weight_scale, model.noise_shape, model.noise_rate) == (0.8, 3.0, 0.4)

    def test_edge_probability_is_the_share_of_pairs_that_are_joined(self):
        joined = CAASL.sample(2000, random_state=0).adjacency.sum(dim=(1, 2)) / 6
        model = ExactGraphPosterior.from_prior(CAASL)
        assert float(joined.mean()) == pytest.approx(model.edge_probability, abs=0.02)

    def test_complete_graphs_can_be_fitted(self, rows):
        prior = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.5)
        model = ExactGraphPosterior.from_prior(prior, random_state=0).fit(rows[0])
        joined = model.edge_probabilities_ + model.edge_probabilities_.T
        np.testing.assert_allclose(joined, 1 - np.eye(4), atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "changes"),
        [
            ("n_variables", {"n_variables": randint(4, 6)}),
            ("edges_per_variable", {"edges_per_variable": uniform(0.5, 1.0)}),
            ("graph", {"graph": "scale_free"}),
            ("graph", {"graph": "directed_erdos_renyi"}),
            ("n_cycles", {"n_cycles": 1}),
            ("n_cycles", {"n_cycles": randint(1, 3)}),
            ("n_confounders", {"n_confounders": 1}),
            ("weight_mean", {"weight_mean": 0.1}),
            ("weight_gap", {"weight_gap": 0.2}),
            ("weight_scale", {"weight_scale": uniform(0.5, 1.0)}),
            ("noise", {"noise": "gumbel"}),
            ("noise_variance", {"noise_variance": 0.1}),
            ("noise_variance", {"noise_variance": gamma(2.0)}),
            ("noise_level", {"noise_level": 2.0}),
            ("heteroskedastic", {"heteroskedastic": True}),
            ("standardize", {"standardize": "internal"}),
        ],
    )
    def test_priors_without_such_a_posterior(self, name, changes):
        prior = LinearPrior.preset("caasl", **{"n_variables": 5, "edges_per_variable": 1} | changes)
        message = f"A prior with {name}=.* has no exact posterior of this kind; train an Amortized"
        with pytest.raises(ValueError, match=message):
            ExactGraphPosterior.from_prior(prior)

    def test_shifted_inverse_gamma(self):
        prior = LinearPrior.preset("caasl", noise_variance=invgamma(10.0, loc=0.5))
        with pytest.raises(ValueError, match=r"must be an inverse gamma with loc=0, found 0.5"):
            ExactGraphPosterior.from_prior(prior)

    @pytest.mark.parametrize("prior", [GeneNetworkPrior(8), "caasl", None])
    def test_what_is_no_linear_prior(self, prior):
        with pytest.raises(TypeError, match="prior must be a LinearPrior, found"):
            ExactGraphPosterior.from_prior(prior)


class TestParameters:
    @pytest.mark.parametrize(
        ("parameter", "value", "error"),
        [
            ("edge_probability", 0.0, ValueError),
            ("edge_probability", 1.0, ValueError),
            ("edge_probability", -0.1, ValueError),
            ("edge_probability", np.nan, ValueError),
            ("edge_probability", "half", TypeError),
            ("edge_probability", uniform(0, 1), TypeError),
            ("weight_scale", 0.0, ValueError),
            ("weight_scale", -1.0, ValueError),
            ("weight_scale", np.inf, ValueError),
            ("weight_scale", "out_degree", ValueError),
            ("weight_scale", None, ValueError),
            ("noise_shape", 0.0, ValueError),
            ("noise_shape", "one", TypeError),
            ("noise_rate", -1.0, ValueError),
            ("noise_rate", None, TypeError),
            ("threshold", 1.5, ValueError),
            ("threshold", -0.5, ValueError),
            ("threshold", None, ValueError),
            ("n_draws", 0, ValueError),
            ("n_draws", 2.5, ValueError),
            ("dtype", "float16", ValueError),
        ],
    )
    def test_refused(self, rows, parameter, value, error):
        model = posterior(**{parameter: value})
        with pytest.raises(error, match=parameter):
            model.fit(rows[0], interventions=rows[1])
        with pytest.raises(NotFittedError):
            model.predict(rows[0], interventions=rows[1])

    def test_more_variables_than_it_takes(self):
        X = np.random.default_rng(0).normal(size=(5, 17))
        with pytest.raises(ValueError, match=r"17 variables.* at most 16.*AmortizedGraphPosterior"):
            posterior().fit(X)

    def test_posterior_that_is_not_finite(self, rows, monkeypatch):
        def overflown(*arguments):
            return replace(exact_posterior(*arguments), log_evidence=torch.tensor([torch.nan]))

        monkeypatch.setattr(_exact_posterior, "exact_posterior", overflown)
        model = posterior(standardize=False)
        with pytest.raises(ValueError, match="Set standardize=True or rescale X"):
            model.fit(rows[0])
        with pytest.raises(NotFittedError):
            model.predict(rows[0])


class TestFit:
    def test_is_the_posterior_of_the_sums(self, rows):
        X, mask = rows
        model = posterior(standardize=False, weight_scale=0.6).fit(X, interventions=mask)
        sums = FreeSums.from_rows(torch.from_numpy(X)[None], torch.from_numpy(mask)[None])
        expected = exact_posterior(sums, LinearGaussianModel(0.3, 0.6, 1.0, 0.2, False))
        np.testing.assert_array_equal(model.edge_probabilities_, expected.edge_probabilities[0])
        assert model.log_evidence_ == float(expected.log_evidence)

    def test_evidence_is_that_of_the_mechanisms_where_there_are_no_edges(self, rows):
        X, mask = rows
        model = posterior(standardize=False, edge_probability=1e-12).fit(X, interventions=mask)
        sums = FreeSums.from_rows(torch.from_numpy(X)[None], torch.from_numpy(mask)[None])
        empty = LinearGaussianModel(0.5, "in_degree", 1.0, 0.2, False)
        expected = float(parent_set_scores(sums, empty)[0, :, 0].sum())
        assert model.log_evidence_ == pytest.approx(expected, abs=1e-6)
        assert model.edge_probabilities_.max() < 1e-6

    def test_clear_data_give_the_graph(self):
        data = make_linear_scm(4, n_samples=100, random_state=1)
        model = posterior().fit(data.X, interventions=data.interventions)
        np.testing.assert_array_equal(model.adjacency_, data.adjacency)
        assert np.abs(model.edge_probabilities_ - model.adjacency_).max() < 0.3

    def test_units_and_signs_do_not_matter_if_standardised(self, rows, fitted):
        X, mask = rows
        changed = X * [1e-3, -1.0, 50.0, 1e4] + [0.0, 3.0, -100.0, 1.0]
        again = posterior().fit(changed, interventions=mask)
        np.testing.assert_allclose(
            again.edge_probabilities_, fitted.edge_probabilities_, rtol=0, atol=1e-8
        )

    def test_units_matter_otherwise(self, rows):
        X, mask = rows
        first, second = (
            posterior(standardize=False).fit(data, interventions=mask) for data in (X, 3 * X)
        )
        assert np.abs(first.edge_probabilities_ - second.edge_probabilities_).max() > 0.01

    @pytest.mark.parametrize("standardize", [True, False])
    def test_permuting_the_variables_permutes_the_probabilities(self, rows, standardize):
        X, mask = rows
        model = posterior(standardize=standardize)
        expected = model.fit(X, interventions=mask).edge_probabilities_
        for order in itertools.permutations(range(4)):
            found = model.fit(X[:, order], interventions=mask[:, order]).edge_probabilities_
            np.testing.assert_allclose(found, expected[np.ix_(order, order)], rtol=0, atol=1e-10)

    def test_order_of_the_rows_does_not_matter(self, rows, fitted):
        X, mask = rows
        order = np.random.default_rng(1).permutation(len(X))
        again = posterior().fit(X[order], interventions=mask[order])
        np.testing.assert_allclose(
            again.edge_probabilities_, fitted.edge_probabilities_, rtol=0, atol=1e-10
        )

    def test_single_precision_is_close(self, rows, fitted):
        X, mask = rows
        single = posterior(dtype="float32").fit(X, interventions=mask)
        assert single.edge_probabilities_.dtype == np.float64
        np.testing.assert_allclose(
            single.edge_probabilities_, fitted.edge_probabilities_, rtol=0, atol=1e-4
        )

    @pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 1.0])
    def test_adjacency_has_the_probable_edges_that_close_no_cycle(self, rows, threshold):
        X, mask = rows
        model = posterior(threshold=threshold).fit(X, interventions=mask)
        probabilities, found = model.edge_probabilities_, model.adjacency_
        assert found.dtype == np.int8
        assert is_dag(found)
        assert (probabilities[found == 1] > threshold).all()
        for i, j in np.argwhere((probabilities > threshold) & (found == 0)):
            more = found * (probabilities >= probabilities[i, j])
            more[i, j] = 1
            assert not is_dag(more)

    def test_sparser_prior_has_fewer_edges(self, rows):
        X, mask = rows
        sums = [
            posterior(edge_probability=p).fit(X, interventions=mask).edge_probabilities_.sum()
            for p in (0.05, 0.3, 0.8)
        ]
        assert sums == sorted(sums)

    def test_collinear_and_constant_variables(self, rows):
        X = np.hstack([rows[0], rows[0][:, :1], np.full((len(rows[0]), 1), 3.0)])
        model = posterior().fit(X)
        assert np.isfinite(model.edge_probabilities_).all()
        assert np.isfinite(model.predict(X)).all()

    def test_one_variable(self):
        X = np.arange(5.0)[:, None]
        model = posterior().fit(X)
        assert model.edge_probabilities_.tolist() == [[0.0]]
        np.testing.assert_allclose(model.predict(X), 2.0)


class TestParentSets:
    def test_agree_with_the_edges_and_come_in_order(self, fitted):
        for j in range(4):
            members, probabilities = fitted.parent_set_probabilities(j)
            assert members.shape == (8, 4)
            assert members.dtype == bool
            assert len(np.unique(members, axis=0)) == 8
            assert not members[:, j].any()
            assert (np.diff(probabilities) <= 0).all()
            assert probabilities.sum() == pytest.approx(1.0, abs=1e-9)
            np.testing.assert_allclose(
                probabilities @ members, fitted.edge_probabilities_[:, j], atol=1e-10
            )

    def test_by_name(self, rows):
        X = pd.DataFrame(rows[0], columns=list("abcd"))
        mask = pd.DataFrame(rows[1], columns=list("abcd"))
        model = posterior().fit(X, interventions=mask)
        for by_name, by_position in zip(*map(model.parent_set_probabilities, ("c", 2))):
            np.testing.assert_array_equal(by_name, by_position)
        with pytest.raises(ValueError, match=r"no variable 'e'; .*'a', 'b', 'c', 'd'.* 0 to 3"):
            model.parent_set_probabilities("e")

    @pytest.mark.parametrize("variable", [4, -1, 1.0, "x0", None])
    def test_unknown_variable(self, fitted, variable):
        with pytest.raises(ValueError, match=r"There is no variable .* position from 0 to 3"):
            fitted.parent_set_probabilities(variable)

    def test_before_fit(self):
        with pytest.raises(NotFittedError):
            posterior().parent_set_probabilities(0)


class TestSampleGraphs:
    def test_reproducible_acyclic_and_of_the_documented_type(self, fitted):
        first, same, other = (fitted.sample_graphs(50, random_state=s) for s in (0, 0, 1))
        assert first.shape == (50, 4, 4)
        assert first.dtype == np.int8
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()
        assert all(is_dag(graph) for graph in first)
        assert fitted.sample_graphs(random_state=0).shape == (1, 4, 4)

    def test_edges_are_as_frequent_as_they_are_probable(self, fitted):
        n = 20_000
        share = fitted.sample_graphs(n, random_state=0).mean(axis=0)
        expected = fitted.edge_probabilities_
        error = np.sqrt(expected * (1 - expected) / n)
        assert (np.abs(share - expected) <= 4.5 * error + 1e-9).all()
        assert ((expected > 0.05) & (expected < 0.95)).any()

    @pytest.mark.parametrize("n_graphs", [0, -1, 2.5, None])
    def test_refuses_numbers_of_graphs(self, fitted, n_graphs):
        with pytest.raises(ValueError, match="n_graphs must be an integer of at least 1"):
            fitted.sample_graphs(n_graphs)

    def test_before_fit(self):
        with pytest.raises(NotFittedError):
            posterior().sample_graphs(1)


class TestState:
    def test_fit_that_fails_leaves_no_model_behind(self, rows, fitted):
        X, mask = rows
        bad = X.copy()
        bad[0, 0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            fitted.fit(bad, interventions=mask)
        for call in (fitted.predict, fitted.score):
            with pytest.raises(NotFittedError):
                call(X, interventions=mask)
        fitted.fit(X, interventions=mask).predict(X, interventions=mask)

    def test_pickle(self, rows, fitted):
        X, mask = rows
        copied = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(
            copied.predict(X, interventions=mask), fitted.predict(X, interventions=mask)
        )
        np.testing.assert_array_equal(
            copied.sample_graphs(9, random_state=0), fitted.sample_graphs(9, random_state=0)
        )

    def test_changes_of_parameters_after_fit_change_nothing(self, rows, fitted):
        X, mask = rows
        predicted = fitted.predict(X, interventions=mask)
        drawn = fitted.sample_graphs(9, random_state=0)
        sets = fitted.parent_set_probabilities(0)[1]
        fitted.set_params(
            edge_probability=0.9, weight_scale=3.0, standardize=False, n_draws=1, dtype="float32"
        )
        fitted.set_params(threshold=0.1, noise_shape=5.0, random_state=9)
        np.testing.assert_array_equal(fitted.predict(X, interventions=mask), predicted)
        np.testing.assert_array_equal(fitted.sample_graphs(9, random_state=0), drawn)
        np.testing.assert_array_equal(fitted.parent_set_probabilities(0)[1], sets)

    def test_predictions_are_reproducible_and_leave_the_global_states_alone(self, rows, fitted):
        X, mask = rows
        states = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
        again = clone(fitted).fit(X, interventions=mask)
        np.testing.assert_array_equal(
            again.predict(X, interventions=mask), fitted.predict(X, interventions=mask)
        )
        np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), states[1])

    def test_predictions_average_over_the_draws(self, rows, fitted):
        X, mask = rows
        assert len(fitted.scm_.members) == 5
        means = [scm.conditional_mean(X, mask) for scm in fitted.scm_.members]
        np.testing.assert_allclose(
            fitted.predict(X, interventions=mask), np.mean(means, axis=0), atol=1e-12
        )


@pytest.fixture(scope="module")
def experiments():
    """Sums over ten observational and ten other rows of 300 systems, and their edges."""
    systems = CAASL.sample(300, random_state=0)
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(rng.random((300, 20, 4)) < 0.25)
    mask[:, :10] = False
    values = torch.from_numpy(rng.choice([-1.0, 1.0], (300, 20, 4))).float()
    X = systems.sample(20, mask, values, random_state=0)
    return FreeSums.from_rows(X.double(), mask), off_diagonal(systems.adjacency)


def off_diagonal(matrices):
    return matrices.numpy()[:, ~np.eye(4, dtype=bool)].ravel().astype(float)


def probabilities_of(sums, edge_probability):
    model = ExactGraphPosterior.from_prior(CAASL)
    law = LinearGaussianModel(
        edge_probability, model.weight_scale, model.noise_shape, model.noise_rate, False
    )
    return off_diagonal(exact_posterior(sums, law).edge_probabilities)


def calibration_error(probabilities, edges):
    """Expected calibration error, of ten bins of equal width."""
    bins = np.minimum((10 * probabilities).astype(int), 9)
    gaps = [np.abs((edges - probabilities)[bins == k].sum()) for k in range(10)]
    return sum(gaps) / len(edges)


def log_score(probabilities, edges):
    p = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.mean(edges * np.log(p) + (1 - edges) * np.log1p(-p))


def test_probabilities_are_calibrated_under_the_prior(experiments):
    sums, edges = experiments
    probabilities = probabilities_of(sums, 2 / 3)
    assert calibration_error(probabilities, edges) < 0.03
    assert ((probabilities > 0.1) & (probabilities < 0.9)).mean() > 0.2


@pytest.mark.parametrize("wrong", [0.2, 0.95])
def test_wrong_prior_is_less_calibrated_and_scores_worse(experiments, wrong):
    sums, edges = experiments
    right, other = (probabilities_of(sums, p) for p in (2 / 3, wrong))
    assert log_score(right, edges) > log_score(other, edges) + 0.02
    assert calibration_error(other, edges) > 0.05
