"""Posteriors that judge designs, against the estimators of the same posteriors."""

import numpy as np
import pytest
import torch
from scipy.stats import randint

from skcausal.design import _judges
from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._histories import Designs, Histories
from skcausal.design._judges import (
    MOST_EXACT,
    STANDARDIZED,
    ExactJudge,
    NetworkJudge,
    judge_of,
    judge_of_prior,
)
from skcausal.design._laboratory import Laboratory
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import GIES, AmortizedGraphPosterior, BootstrapEnsemble, ExactGraphPosterior
from skcausal.structure._graph_weights import load_shipped
from tests.design.test_posterior_systems import generator

CAASL = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)
GENES = GeneNetworkPrior(4, edges_per_variable=1.0)


def histories(n_systems=3, n_steps=5, dtype=torch.float64, offset=0.0):
    """Episodes of single rows on simulated systems."""
    lab = Laboratory(CAASL.sample(n_systems, random_state=0), n_initial=20, seed=1)
    rows, g = lab.start(), generator(2)
    for step in range(n_steps):
        targets = torch.rand((n_systems, 4), generator=g) < 0.5
        targets[:, step % 4] = True
        signs = torch.where(torch.rand((n_systems, 4), generator=g) < 0.5, -1.0, 1.0)
        rows = lab.perform(rows, Designs(targets, targets * signs), step)
    X = rows.X.to(dtype) + offset
    return Histories(X, rows.mask, rows.regime)


def fit_each(estimator, rows):
    """Probabilities of the estimator for each system."""
    found = [
        estimator.fit(X.numpy(), interventions=mask.numpy()).edge_probabilities_
        for X, mask in zip(rows.X, rows.mask)
    ]
    return torch.from_numpy(np.stack(found))


class TestExact:
    @pytest.mark.parametrize("standardize", [True, False])
    def test_probabilities_are_those_of_the_estimator(self, standardize):
        estimator = ExactGraphPosterior(standardize=standardize, random_state=0)
        rows = histories()
        judge = judge_of(estimator, None, 4)
        assert isinstance(judge, ExactJudge)
        found = judge.edge_probabilities(rows)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, fit_each(estimator, rows), atol=1e-6, rtol=0)

    def test_probabilities_of_a_prior(self):
        rows = histories()
        expected = fit_each(ExactGraphPosterior.from_prior(CAASL, random_state=0), rows)
        found = judge_of_prior(CAASL, 4).edge_probabilities(rows)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)

    def test_single_precision_is_close(self):
        rows = histories()
        exact = judge_of_prior(CAASL, 4).edge_probabilities(rows)
        single = judge_of_prior(CAASL, 4, dtype=torch.float32).edge_probabilities(rows)
        torch.testing.assert_close(single, exact, atol=1e-3, rtol=0)

    def test_chunks_do_not_matter(self, monkeypatch):
        judge, rows = judge_of_prior(CAASL, 4), histories(5)
        expected = judge.edge_probabilities(rows)
        for at_once in (1, 65):  # one or two systems
            monkeypatch.setattr(_judges, "_SUBSETS_AT_ONCE", at_once)
            torch.testing.assert_close(judge.edge_probabilities(rows), expected)

    def test_regimes_do_not_matter(self):
        rows = histories()
        one = Histories(rows.X, rows.mask, torch.zeros_like(rows.regime))
        judge = judge_of_prior(CAASL, 4)
        assert torch.equal(judge.edge_probabilities(one), judge.edge_probabilities(rows))
        assert not judge.separates_values

    @pytest.mark.parametrize("model", ["standardized", "raw"])
    def test_draws_have_the_probabilities(self, model):
        judge = ExactJudge(STANDARDIZED) if model == "standardized" else judge_of_prior(CAASL, 4)
        rows = histories(2)
        probabilities, systems = judge.judge_and_draw(rows, 4000, generator())
        assert torch.equal(probabilities, judge.edge_probabilities(rows))
        share = systems.adjacency.double().mean(dim=1)
        torch.testing.assert_close(share, probabilities, atol=0.04, rtol=0)
        again = judge.draw(rows, 4000, generator())
        assert torch.equal(again.coef, systems.coef)

    def test_draws_are_in_the_units_of_the_rows(self):
        """The mean over draws of E[X] without intervention is that of the rows."""
        judge, rows = ExactJudge(STANDARDIZED), histories(2, n_steps=0, offset=3.0)
        scale = torch.tensor([1.0, 10.0, 0.1, 2.0]).double()
        rows = Histories(rows.X * scale, rows.mask, rows.regime)
        systems = judge.draw(rows, 500, generator())
        nothing = Designs(torch.zeros(2, 1, 4, dtype=torch.bool), torch.zeros(2, 1, 4))
        X = systems.simulate(nothing, torch.zeros(2, 500, 1, 4))[:, :, 0, 0].mean(dim=1)
        expected, spread = rows.X.mean(dim=1), rows.X.std(dim=1)
        assert ((X - expected).abs() < 0.2 * spread).all()

    def test_float32_rows_are_judged_too(self):
        rows = histories(dtype=torch.float32)
        found = judge_of_prior(CAASL, 4).edge_probabilities(rows)
        assert found.dtype == torch.float64
        expected = judge_of_prior(CAASL, 4).edge_probabilities(histories())
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


class TestNetwork:
    def judge(self, prior=CAASL):
        return judge_of(AmortizedGraphPosterior("caasl"), prior, 4)

    @pytest.mark.parametrize("offset", [0.0, 1e6], ids=["near zero", "far from zero"])
    def test_probabilities_are_those_of_the_estimator(self, offset):
        estimator = AmortizedGraphPosterior("caasl", device="cpu", random_state=0)
        rows = histories(offset=offset)
        judge = judge_of(estimator, CAASL, 4)
        assert isinstance(judge, NetworkJudge)
        assert judge.separates_values
        found = judge.edge_probabilities(rows).double()
        torch.testing.assert_close(found, fit_each(estimator, rows), atol=2e-4, rtol=0)

    def test_chunks_do_not_matter(self, monkeypatch):
        rows, judge = histories(5), self.judge()
        expected = judge.edge_probabilities(rows)
        for at_once in (1, 33):
            monkeypatch.setattr(_judges, "_PAIRS_AT_ONCE", at_once)
            found = judge.edge_probabilities(rows)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_no_gradients_and_no_loops(self):
        found = self.judge().edge_probabilities(histories())
        assert not found.requires_grad
        assert not found.diagonal(dim1=-2, dim2=-1).any()

    @pytest.mark.parametrize("prior", [CAASL, None], ids=["raw", "standardized"])
    def test_draws_are_finite_systems_without_cycles(self, prior):
        judge, rows = self.judge(prior), histories(2, offset=2.0)
        probabilities, systems = judge.judge_and_draw(rows, 50, generator())
        assert torch.equal(probabilities, judge.edge_probabilities(rows))
        assert not torch.linalg.matrix_power(systems.adjacency.double(), 4).any()
        assert not systems.coef[~systems.adjacency].any()
        for name in ("coef", "intercept", "noise_scale"):
            assert torch.isfinite(getattr(systems, name)).all()
        assert torch.equal(judge.draw(rows, 50, generator()).coef, systems.coef)


class TestDispatch:
    def test_nothing_is_known(self):
        assert judge_of(None, None, 4) == ExactJudge(STANDARDIZED)
        judge = judge_of(None, None, MOST_EXACT + 1)
        assert isinstance(judge, NetworkJudge)
        assert judge.network is load_shipped("linear")[0]
        assert not judge.separates_values

    @pytest.mark.parametrize(
        ("prior", "n_variables", "network"),
        [
            (LinearPrior.preset("caasl"), 10, None),
            (LinearPrior.preset("caasl"), 20, "caasl"),
            (CAASL, 4, None),
            (CAASL, 20, "linear"),
            (LinearPrior(4), 4, "linear"),
            (LinearPrior(randint(3, 6)), 4, "linear"),
            (GENES, 4, "gene-network"),
        ],
    )
    def test_what_fits_the_prior(self, prior, n_variables, network):
        for judge in (judge_of_prior(prior, n_variables), judge_of(None, prior, n_variables)):
            if network is None:
                assert isinstance(judge, ExactJudge)
            else:
                assert isinstance(judge, NetworkJudge)
                assert judge.network is load_shipped(network)[0]

    def test_draws_of_a_published_prior_are_in_its_units(self):
        assert not judge_of_prior(LinearPrior.preset("caasl"), 20).model.intercept
        assert judge_of_prior(LinearPrior(4), 4).model is STANDARDIZED
        assert judge_of(AmortizedGraphPosterior("caasl"), GENES, 4).model is STANDARDIZED
        assert judge_of(AmortizedGraphPosterior("caasl"), None, 4).model is STANDARDIZED
        assert not judge_of(AmortizedGraphPosterior("caasl"), CAASL, 4).model.intercept

    def test_the_precision_of_an_estimator_is_kept(self):
        assert judge_of(ExactGraphPosterior(dtype="float32"), None, 4).dtype == torch.float32
        assert judge_of(ExactGraphPosterior(), None, 4).dtype == torch.float64

    def test_bootstrap(self):
        judge = judge_of(BootstrapEnsemble(GIES(), 7, random_state=0), None, 4)
        assert isinstance(judge, BootstrapJudge)
        assert judge.n_bootstraps == 7
        assert judge == judge_of(BootstrapEnsemble(GIES(), 7, random_state=0), None, 4)
        assert judge != judge_of(BootstrapEnsemble(GIES(), 7, random_state=1), None, 4)

    @pytest.mark.parametrize(
        ("posterior", "error", "message"),
        [
            (GIES(), TypeError, "posterior must be an ExactGraphPosterior, an Amortized"),
            ("exact", TypeError, "posterior must be .* found 'exact'"),
            (ExactGraphPosterior, TypeError, "posterior must be"),
            (BootstrapEnsemble(ExactGraphPosterior(), 3), ValueError, "BootstrapEnsemble of GIES"),
            (AmortizedGraphPosterior("nowhere"), FileNotFoundError, "nowhere"),
            (ExactGraphPosterior(edge_probability=2.0), ValueError, "edge_probability"),
            (ExactGraphPosterior(dtype="float16"), ValueError, "dtype"),
            (BootstrapEnsemble(GIES(), 0), ValueError, "n_bootstrap"),
            (BootstrapEnsemble(GIES(), 2.5), (TypeError, ValueError), "n_bootstrap"),
        ],
    )
    def test_what_cannot_judge_is_refused(self, posterior, error, message):
        with pytest.raises(error, match=message):
            judge_of(posterior, None, 4)

    def test_row_networks_cannot_judge(self, monkeypatch):
        posterior = AmortizedGraphPosterior(architecture="rows")
        network, card = load_shipped("linear")
        monkeypatch.setattr(
            AmortizedGraphPosterior, "_find_weights", lambda self: ("rows", network, card)
        )
        with pytest.raises(ValueError, match="architecture='pairs'"):
            judge_of(posterior, None, 4)

    def test_estimators_are_left_as_they_are(self):
        estimator = ExactGraphPosterior()
        judge_of(estimator, None, 4)
        assert not [name for name in vars(estimator) if name.endswith("_")]
