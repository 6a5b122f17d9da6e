"""Comparisons of designers on the same systems with the same noise."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm, randint

from skcausal.design import ActiveDesigner, DesignEvaluation, _evaluation, evaluate
from skcausal.design._episodes import run_episodes
from skcausal.design._judges import judge_of_prior
from skcausal.design._laboratory import Laboratory
from skcausal.design._rewards import SCORES
from skcausal.design._strategies import RuleStrategy
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.simulators._random import check_random_state
from skcausal.structure import AmortizedGraphPosterior, ExactGraphPosterior

PRIOR = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)
NAMES = ["observational", "random", "balanced_half"]


def run(designers=NAMES, n=12, **arguments):
    settings = {"budget": 3, "n_initial": 10, "random_state": 0} | arguments
    return evaluate(designers, PRIOR, n, **settings)


@pytest.fixture(scope="module")
def result():
    return run()


class TestScores:
    def test_shapes(self, result):
        assert result.designers == NAMES
        assert result.n_designs.tolist() == [0, 1, 2, 3]
        assert set(result.scores) == {"edges", "log_score", "auprc", "f1", "shd"}
        for values in result.scores.values():
            assert values.shape == (3, 12, 4)
            assert np.isfinite(values).all()

    def test_ranges(self, result):
        scores = result.scores
        assert ((scores["edges"] >= 0) & (scores["edges"] <= 16)).all()
        assert (scores["log_score"] <= 0).all()
        assert ((scores["shd"] >= 0) & (scores["shd"] <= 6)).all()
        for name in ("auprc", "f1"):
            assert ((scores[name] >= 0) & (scores[name] <= 1)).all()

    def test_designers_start_from_the_same_rows(self, result):
        for values in result.scores.values():
            np.testing.assert_array_equal(values[0, :, 0], values[1, :, 0])
            np.testing.assert_array_equal(values[0, :, 0], values[2, :, 0])

    def test_designers_are_paired(self):
        """Equal designers under two names, and in another company, have equal scores."""
        designers = {
            "a": ActiveDesigner(algorithm="random"),
            "b": ActiveDesigner(algorithm="random", random_state=7),
        }
        found, alone = run(designers), run(["random"])
        for name, values in found.scores.items():
            np.testing.assert_array_equal(values[0], values[1])
            np.testing.assert_array_equal(values[0], alone.scores[name][0])

    def test_scores_are_those_of_episodes_by_hand(self):
        found = run(["balanced_half"], n=3)
        seed = check_random_state(0)
        lab = Laboratory(PRIOR.sample(3, random_state=seed), 10, seed=seed % 2**31)
        histories, designs = run_episodes(
            RuleStrategy("balanced_half"), lab, 3, torch.Generator().manual_seed(seed % 2**63)
        )
        assert len(designs) == 3
        judge = judge_of_prior(PRIOR, 4)
        for n in range(4):
            p = judge.edge_probabilities(histories.until(10 + n))
            for name, values in found.scores.items():
                sign = -1.0 if name == "shd" else 1.0
                expected = sign * SCORES[name](p, lab.systems.adjacency)
                np.testing.assert_allclose(values[0, :, n], expected, atol=1e-5)

    def test_parts_do_not_matter_to_what_needs_no_randomness(self, result, monkeypatch):
        monkeypatch.setattr(_evaluation, "_SYSTEMS_AT_ONCE", 5)
        found = run(["observational"])
        for name, values in found.scores.items():
            np.testing.assert_allclose(values[0], result.scores[name][0], atol=1e-5)

    def test_interventions_tell_more_than_rows_without(self):
        found = run(["observational", "balanced_half"], n=60, budget=8, every=8)
        differences = found.differences("observational").query("n_designs == 8")
        edges = differences.set_index("score")["low"]
        assert edges["edges"] > 0
        assert edges["log_score"] > 0
        assert differences.set_index("score")["high"]["shd"] < 0

    def test_exact_posteriors_are_calibrated(self):
        """What the posterior expects of its edges is what it gets, on average over systems."""
        found = run(["random"], n=150, budget=2, every=2)
        lab = Laboratory(PRIOR.sample(150, random_state=3), 10)
        p = judge_of_prior(PRIOR, 4).edge_probabilities(lab.start())
        expected = SCORES["expected_edges"](p, None)
        obtained = SCORES["edges"](p, lab.systems.adjacency)
        error = float((expected - obtained).std()) / 150**0.5
        assert abs(float((expected - obtained).mean())) < 4 * error
        assert found.scores["edges"][0, :, 0].mean() == pytest.approx(
            float(obtained.mean()), abs=0.6
        )

    def test_rows_of_a_design(self):
        one, five = (run(["balanced_half"], n=40, rows_per_design=n) for n in (1, 5))
        assert five.scores["edges"][0, :, -1].mean() > one.scores["edges"][0, :, -1].mean()

    @pytest.mark.parametrize(
        ("every", "expected"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (9, [0, 3])]
    )
    def test_checkpoints(self, every, expected, result):
        found = run(["observational"], every=every)
        assert found.n_designs.tolist() == expected
        np.testing.assert_allclose(
            found.scores["edges"][0], result.scores["edges"][0][:, expected], atol=1e-12
        )

    def test_seed(self, result):
        again, other = run(["random"]), run(["random"], random_state=1)
        np.testing.assert_array_equal(again.scores["edges"][0], result.scores["edges"][1])
        assert not np.array_equal(other.scores["edges"], again.scores["edges"])

    @pytest.mark.parametrize(
        "posterior", [ExactGraphPosterior(), AmortizedGraphPosterior("caasl")], ids=["exact", "net"]
    )
    def test_another_judge(self, posterior, result):
        found = run(["random"], posterior=posterior)
        assert np.isfinite(found.scores["edges"]).all()
        assert not np.array_equal(found.scores["edges"][0], result.scores["edges"][1])

    def test_genes(self):
        prior = GeneNetworkPrior(
            3, edges_per_variable=1.0, n_cell_types=1, steps_per_cell=1, burn_in=2, dt=0.1
        )
        found = evaluate(
            ["random", "balanced_half"], prior, 3, budget=1, n_initial=5, random_state=0
        )
        assert np.isfinite(found.scores["edges"]).all()

    def test_designers_that_look_ahead(self):
        quick = {"prior": PRIOR, "n_candidates": 4, "n_draws": 8, "n_outcomes": 3}
        designers = {
            name: ActiveDesigner(algorithm=name, **quick)
            for name in ("lookahead", "uncertain_half", "uncertain_single")
        }
        found = run(designers, n=4, budget=2)
        assert found.designers == list(designers)
        assert found.scores["edges"].shape == (3, 4, 3)

    def test_progress(self, capsys):
        run(["random"], n=2, verbose=True)
        assert "random" in capsys.readouterr().err
        run(["random"], n=2)
        assert not capsys.readouterr().err

    def test_global_random_state_is_left_alone(self):
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        run(["random"], n=2)
        assert torch.equal(torch.random.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


class TestTables:
    COLUMNS = ["designer", "n_designs", "score", "mean", "low", "high"]

    @pytest.fixture
    def evaluation(self):
        rng = np.random.default_rng(0)
        scores = {"edges": rng.normal(size=(2, 9, 3)), "shd": rng.random((2, 9, 3))}
        return DesignEvaluation(scores, ["a", "b"], np.array([0, 2, 4]))

    def test_curves(self, evaluation):
        curves = evaluation.curves()
        assert isinstance(curves, pd.DataFrame)
        assert list(curves.columns) == self.COLUMNS
        assert len(curves) == 2 * 2 * 3
        for row in curves.itertuples():
            values = evaluation.scores[row.score]
            x = values["ab".index(row.designer), :, [0, 2, 4].index(row.n_designs)]
            half = norm.ppf(0.975) * x.std(ddof=1) / 3.0
            assert row.mean == pytest.approx(x.mean())
            assert row.low == pytest.approx(x.mean() - half, rel=1e-6)
            assert row.high == pytest.approx(x.mean() + half, rel=1e-6)

    def test_differences_are_paired(self, evaluation):
        differences = evaluation.differences("a")
        assert list(differences.columns) == self.COLUMNS
        assert set(differences["designer"]) == {"b"}
        assert len(differences) == 2 * 3
        for row in differences.itertuples():
            values = evaluation.scores[row.score][:, :, [0, 2, 4].index(row.n_designs)]
            x = values[1] - values[0]
            half = norm.ppf(0.975) * x.std(ddof=1) / 3.0
            assert row.mean == pytest.approx(x.mean())
            assert row.low == pytest.approx(x.mean() - half, rel=1e-6)
        back = evaluation.differences("b")
        np.testing.assert_allclose(back["mean"], -differences["mean"])

    def test_unknown_reference(self, evaluation):
        with pytest.raises(ValueError, match=r"reference must be one of \['a', 'b'\], found 'c'"):
            evaluation.differences("c")


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"n": 1}, ValueError, "n_environments"),
            ({"n": 2.5}, (TypeError, ValueError), "n_environments"),
            ({"budget": 0}, ValueError, "budget"),
            ({"every": 0}, ValueError, "every"),
            ({"n_initial": 1}, ValueError, "n_initial"),
            ({"rows_per_design": 0}, ValueError, "rows_per_design"),
            ({"designers": []}, ValueError, "designers must not be empty"),
            ({"designers": {}}, ValueError, "designers must not be empty"),
            ({"designers": ["best"]}, ValueError, "algorithm must be .*'best'"),
            ({"designers": {"a": "random"}}, TypeError, r"designers\['a'\] must be an Active"),
            ({"designers": "random"}, (TypeError, ValueError), "designers must be"),
            ({"designers": None}, TypeError, "designers must be"),
            ({"posterior": "exact"}, TypeError, "posterior must be"),
            ({"random_state": "x"}, (TypeError, ValueError), "seed|random_state"),
        ],
    )
    def test_refused(self, arguments, error, message):
        with pytest.raises(error, match=message):
            run(**arguments)

    @pytest.mark.parametrize("prior", ["caasl", None, LinearPrior])
    def test_what_is_no_prior(self, prior):
        with pytest.raises(TypeError, match="prior must be a LinearPrior or a GeneNetworkPrior"):
            evaluate(["random"], prior, 2, random_state=0)

    def test_systems_of_several_sizes(self):
        with pytest.raises(ValueError, match="n_variables"):
            evaluate(["random"], LinearPrior(randint(3, 6)), 4, budget=1, random_state=0)

    def test_restrictions_are_kept_or_refused(self):
        """Without a word, designs of all variables would stand for those of one."""
        single = ActiveDesigner(algorithm="random_extreme", feasible={"n_targets": 1})
        free = ActiveDesigner(algorithm="random_extreme")
        try:
            found = run({"single": single, "free": free}, n=20)
        except ValueError as error:
            assert "feasible" in str(error)  # noqa: PT017
        else:
            assert not np.array_equal(*found.scores["edges"])
