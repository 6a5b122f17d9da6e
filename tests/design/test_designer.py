"""ActiveDesigner: its proposals, their invariances, what is feasible, and how it is kept."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcausal.datasets import make_linear_scm
from skcausal.design import (
    ActiveDesigner,
    _designer,
    _distillation,
    _labelled_states,
    _strategies,
)
from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._designer import ALGORITHMS
from skcausal.design._policy_weights import POLICY_FILES
from skcausal.design._rules import RULES
from skcausal.design._strategies import BootstrapStrategy
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import GIES, AmortizedGraphPosterior, BootstrapEnsemble, ExactGraphPosterior

D = 4
PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
QUICK = {"n_candidates": 4, "n_draws": 8, "n_outcomes": 3, "random_state": 0}
DISTILLED = {
    "n_edge_steps": 2, "n_batches": 2, "n_candidates": 3, "n_epochs": 1,
    "width": 4, "n_layers": 1, "n_messages": 2, "n_hidden": 2,
}  # fmt: skip
REDQ = {
    "n_iterations": 1, "n_envs": 2, "batch_size": 2, "n_critics": 2, "n_updates": 2,
    "width": 4, "n_layers": 1, "n_heads": 2, "n_hidden": 4,
}  # fmt: skip
TRAINED = ("distilled", "redq")
SEARCHES = ("diffcbed", "ss_finite")
QUICK_ONES = [name for name in ALGORITHMS if name not in (*TRAINED, *SEARCHES)]
ORDERS = [[1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]


def rows(seed=0, n=24, d=D):
    """Rows of a simulated experiment: observational ones, then single rows of interventions."""
    rng = np.random.default_rng(seed)
    mask = rng.random((n, d)) < 0.5
    mask[: n // 2] = False
    mask[n // 2 :, 0] |= ~mask[n // 2 :].any(axis=1)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + np.triu(rng.normal(size=(d, d)), 1)) + 1.0
    return np.where(mask, rng.choice([-1.0, 2.0], X.shape), X), mask


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(_distillation, "_PAIRS_PER_BATCH", 20)
    monkeypatch.setattr(_labelled_states, "_EPISODES", 4)
    few = functools.partial(BootstrapStrategy, judge=BootstrapJudge(n_bootstraps=3))
    monkeypatch.setattr(_designer, "BootstrapStrategy", few)
    quick = functools.partial(_strategies.diffcbed_designs, n_steps=5)
    monkeypatch.setattr(_strategies, "diffcbed_designs", quick)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of tiny policies, trained for a moment."""
    folder = tmp_path_factory.mktemp("policies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_distillation, "_PAIRS_PER_BATCH", 20)
        patch.setattr(_labelled_states, "_EPISODES", 4)
        for name, params in (("distilled", DISTILLED), ("redq", REDQ)):
            designer = untrained(name, params)
            designer.save_pretrained(folder / name)
    return folder


def untrained(name, params, **parameters):
    settings = {"pretrained": None, "prior": PRIOR, "training_params": params, "device": "cpu"}
    episode = {"budget": 2, "n_initial": 5}
    return ActiveDesigner(algorithm=name, **QUICK | settings | episode | parameters)


def make(name, weights=None, **parameters):
    settings = dict(QUICK)
    if name in TRAINED:
        settings["pretrained"] = weights / name
    return ActiveDesigner(algorithm=name, **settings | parameters)


def fit(designer, X, mask, **arguments):
    return designer.fit(X, interventions=mask, **arguments)


every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
quick_algorithms = pytest.mark.parametrize("name", QUICK_ONES)
without_searches = pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in SEARCHES])


class TestProposals:
    @every_algorithm
    def test_designs_have_numbers_where_a_target_is_set(self, name, weights):
        X, mask = rows()
        designer = fit(make(name, weights), X, mask)
        for n in (1, 2):
            designs = designer.propose(n)
            assert isinstance(designs, np.ndarray)
            assert designs.dtype == np.float64
            assert designs.shape == (n, D)
            low, high = ranges(X, mask)
            ok = np.isnan(designs) | ((designs >= low - 1e-6) & (designs <= high + 1e-6))
            assert ok.all()
            if name == "observational":
                assert np.isnan(designs).all()
        assert designer.predict(X, interventions=mask).shape == (1, D)
        assert designer.algorithm_ == ("lookahead" if name == "auto" else name)
        np.testing.assert_array_equal(designer.propose(), designer.predict(X, interventions=mask))

    @every_algorithm
    def test_names_are_kept(self, name, weights):
        data = make_linear_scm(D, n_samples=6, random_state=0)
        designer = fit(make(name, weights), data.X, data.interventions)
        for designs in (
            designer.propose(),
            designer.predict(data.X, interventions=data.interventions),
        ):
            assert isinstance(designs, pd.DataFrame)
            assert list(designs.columns) == data.feature_names
            assert designs.shape == (1, D)
        arrays = fit(make(name, weights), data.X.to_numpy(), data.interventions.to_numpy())
        np.testing.assert_array_equal(arrays.propose(), designer.propose())

    @every_algorithm
    def test_an_integer_seed_determines_the_design(self, name, weights):
        X, mask = rows()
        designer = fit(make(name, weights), X, mask)
        expected = designer.propose()
        np.testing.assert_array_equal(designer.propose(), expected)
        np.testing.assert_array_equal(fit(clone(designer), X, mask).propose(), expected)
        np.testing.assert_array_equal(fit(designer, X, mask).propose(), expected)

    @pytest.mark.parametrize("name", ["random", "random_extreme", "balanced_half", "lookahead"])
    def test_seeds_differ(self, name):
        X, mask = rows()
        found = {str(fit(make(name, random_state=s), X, mask).propose()) for s in range(6)}
        assert len(found) > 1

    def test_another_row_brings_another_draw(self):
        X, mask = rows()
        designer = fit(make("random"), X, mask)
        first = designer.propose()
        designer.partial_fit(X[:1], interventions=mask[:1])
        assert not np.array_equal(designer.propose(), first)

    @pytest.mark.parametrize("name", ["balanced_half", "uncertain_half", "lookahead"])
    def test_half_of_the_variables(self, name):
        X, mask = rows()
        assert np.isfinite(fit(make(name), X, mask).propose(5)).sum(axis=1).tolist() == [2] * 5

    def test_designs_that_are_pending_count(self):
        """Each of several designs is chosen as if those before it had been carried out."""
        X = rows()[0]
        nothing = np.zeros(X.shape, dtype=bool)
        for name in ("balanced_half", "single_cycle"):
            targets = np.isfinite(fit(make(name), X, nothing).propose(4))
            count = targets.cumsum(axis=0)
            assert (np.ptp(count, axis=1) <= 1).all()

    def test_first_of_several_is_the_single_one(self):
        X, mask = rows()
        designer = fit(make("lookahead"), X, mask)
        np.testing.assert_array_equal(designer.propose(3)[:1], designer.propose())

    @pytest.mark.parametrize("n", [0, -1, 1.5, "two", True])
    def test_number_of_designs_is_checked(self, n):
        designer = fit(make("random"), *rows())
        with pytest.raises(ValueError, match="n_designs must be an integer of at least 1"):
            designer.propose(n)

    def test_observational_rows_are_enough(self):
        X = rows()[0]
        designer = make("lookahead").fit(X)
        np.testing.assert_array_equal(designer.predict(X), designer.propose())
        zeros = fit(make("lookahead"), X, np.zeros(X.shape, dtype=bool))
        np.testing.assert_array_equal(zeros.propose(), designer.propose())

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half", "uncertain_single"])
    def test_one_and_two_variables(self, name):
        for d in (1, 2):
            X, mask = rows(d=d)
            assert fit(make(name), X, mask).propose().shape == (1, d)

    def test_edge_probabilities_are_those_of_the_posterior(self):
        X, mask = rows()
        designer = fit(make("random"), X, mask)
        expected = ExactGraphPosterior(random_state=0).fit(X, interventions=mask)
        np.testing.assert_allclose(
            designer.edge_probabilities_, expected.edge_probabilities_, atol=1e-6
        )
        posterior = AmortizedGraphPosterior("caasl", device="cpu", random_state=0)
        designer = fit(make("random", posterior=posterior), X, mask)
        expected = clone(posterior).fit(X, interventions=mask)
        np.testing.assert_allclose(
            designer.edge_probabilities_, expected.edge_probabilities_, atol=2e-4
        )

    def test_bootstrap_as_posterior(self):
        X, mask = rows()
        posterior = BootstrapEnsemble(GIES(), 3, random_state=0)
        designer = fit(make("uncertain_half", posterior=posterior), X, mask)
        p = designer.edge_probabilities_ * 3
        np.testing.assert_allclose(p, p.round(), atol=1e-9)
        assert np.isfinite(designer.propose()).sum() == 2

    def test_a_prior_with_more_edges_than_so_few_variables_can_have(self):
        X, mask = rows()
        designer = fit(make("lookahead", prior=LinearPrior.preset("caasl")), X, mask)
        assert np.isfinite(designer.propose()).sum() == 2


def ranges(X, mask):
    free = np.where(mask, np.nan, X)
    centre, reach = np.nanmean(free, axis=0), 2.0 * np.nanstd(free, axis=0)
    return centre - reach, centre + reach


class TestInvariances:
    @every_algorithm
    def test_permuting_the_variables_permutes_the_design(self, name, weights):
        X, mask = rows()
        expected = fit(make(name, weights), X, mask)
        for order in ORDERS:
            found = fit(make(name, weights), X[:, order], mask[:, order])
            np.testing.assert_array_equal(found.propose(2), expected.propose(2)[:, order])
            np.testing.assert_allclose(
                found.edge_probabilities_,
                expected.edge_probabilities_[np.ix_(order, order)],
                atol=1e-12,
            )

    @every_algorithm
    def test_permuting_the_rows_changes_nothing(self, name, weights):
        X, mask = rows()
        expected = fit(make(name, weights), X, mask).propose(2)
        for seed in range(2):
            order = np.random.default_rng(seed).permutation(len(X))
            found = fit(make(name, weights), X[order], mask[order])
            np.testing.assert_allclose(found.propose(2), expected, rtol=1e-12)

    @pytest.mark.parametrize("name", ["balanced_half", "lookahead", "random"])
    def test_standardised_variables_are_permuted_too(self, name):
        """All of them have one variance, and so no order but that of rounding errors."""
        X, mask = rows()
        Z = StandardScaler().fit_transform(X)
        expected = fit(make(name), Z, mask).propose()
        for order in ORDERS:
            for layout in "CF":
                moved = np.array(Z[:, order], order=layout)
                found = fit(make(name), moved, mask[:, order]).propose()
                np.testing.assert_allclose(found, expected[:, order], rtol=1e-9)

    @pytest.mark.parametrize("name", [*RULES, "uncertain_single", "uncertain_half"])
    def test_signs_change_no_targets(self, name):
        X, mask = rows()
        expected = fit(make(name), X, mask).propose()
        signs = np.array([1.0, -1.0, -1.0, 1.0])
        found = fit(make(name), X * signs, mask).propose()
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
        low, high = ranges(X * signs, mask)
        ok = np.isnan(found) | ((found >= low - 1e-9) & (found <= high + 1e-9))
        assert ok.all()

    @pytest.mark.parametrize("name", ["lookahead", "uncertain_half", "balanced_half"])
    @pytest.mark.parametrize(
        ("scale", "shift"),
        [(10.0, 0.0), (0.01, 0.0), (1.0, 300.0), (1.0, 1e5), (1e-9, 0.0), (1e30, 0.0)],
        ids=["10", "0.01", "+300", "+1e5", "1e-9", "1e30"],
    )
    def test_units_and_origins_do_not_matter(self, name, scale, shift):
        """Where nothing is known of the systems."""
        X, mask = rows()
        for seed in range(3):
            expected = fit(make(name, random_state=seed), X, mask).propose()
            found = fit(make(name, random_state=seed), X * scale + shift, mask).propose()
            np.testing.assert_allclose((found - shift) / scale, expected, atol=1e-5, rtol=1e-5)


class TestFeasible:
    X, MASK = rows()
    FRAME = pd.DataFrame(X, columns=list("abcd"))

    def propose(self, feasible, name="balanced_half", X=X, n=5, **parameters):
        designer = make(name, feasible=feasible, **parameters)
        return np.asarray(fit(designer, X, self.MASK).propose(n))

    @pytest.mark.parametrize("targets", [["a", "c"], [0, 2], [np.int64(0), "c"], ("c", "a")])
    def test_targets_by_name_and_position(self, targets):
        found = self.propose({"targets": targets}, "random_extreme", self.FRAME, 8)
        assert np.isnan(found[:, [1, 3]]).all()
        assert np.isfinite(found[:, [0, 2]]).any(axis=0).all()

    def test_columns_with_integer_names_stand_for_positions(self):
        X = pd.DataFrame(self.X)
        found = self.propose({"targets": [3]}, "random_extreme", X, 6)
        assert np.isnan(found[:, :3]).all()

    @quick_algorithms
    def test_number_of_targets(self, name):
        if name == "observational":
            return
        for n in (1, 3, 4):
            found = self.propose({"n_targets": n}, name, n=2)
            assert np.isfinite(found).sum(axis=1).tolist() == [n] * 2

    @pytest.mark.parametrize("name", TRAINED + SEARCHES)
    def test_number_of_targets_of_policies_and_searches(self, name, weights):
        for n in (1, 3):
            designer = make(name, weights, feasible={"n_targets": n, "targets": [0, 1, 3]})
            found = fit(designer, self.X, self.MASK).propose(2)
            assert np.isfinite(found).sum(axis=1).tolist() == [n] * 2
            assert np.isnan(found[:, 2]).all()

    def test_range_of_numbers_of_targets(self):
        found = self.propose({"n_targets": (1, 2)}, "random_extreme", n=20)
        assert set(np.isfinite(found).sum(axis=1)) == {1, 2}
        found = self.propose({"n_targets": (0, 9)}, "random_extreme", n=20)
        assert np.isfinite(found).sum(axis=1).max() > 2

    @pytest.mark.parametrize("values", [(0.0, 5.0), [0.0, 5.0], np.array([0.0, 5.0])])
    def test_one_range(self, values):
        found = self.propose({"values": values}, "random_extreme")
        assert set(found[np.isfinite(found)]) == {0.0, 5.0}

    @pytest.mark.parametrize("value", [3, 3.0, np.float64(3.0)])
    def test_one_number(self, value):
        found = self.propose({"values": value}, "random")
        assert set(found[np.isfinite(found)]) == {3.0}

    @pytest.mark.parametrize("name", ["lookahead", "random"])
    def test_variables_with_ranges_of_their_own(self, name):
        found = self.propose({"values": {"a": 7, 2: (1, 2)}}, name, self.FRAME)
        low, high = ranges(self.X, self.MASK)
        assert set(found[np.isfinite(found[:, 0]), 0]) <= {7.0}
        third = found[np.isfinite(found[:, 2]), 2]
        assert ((third >= 1) & (third <= 2)).all()
        second = found[np.isfinite(found[:, 1]), 1]
        assert ((second >= low[1]) & (second <= high[1])).all()

    def test_default_ranges(self):
        low, high = ranges(self.X, self.MASK)
        found = self.propose(None, "random_extreme", n=12)
        for j in range(D):
            ends = found[np.isfinite(found[:, j]), j]
            np.testing.assert_allclose(np.unique(ends.round(9)), np.round([low[j], high[j]], 9))

    def test_default_ranges_of_priors(self):
        found = self.propose(None, "random_extreme", prior=LinearPrior.preset("caasl"))
        assert set(found[np.isfinite(found)]) == {-1.0, 1.0}
        genes = GeneNetworkPrior(4, edges_per_variable=1.0)
        found = self.propose(None, "random_extreme", prior=genes)
        assert set(found[np.isfinite(found)]) == {0.0}
        np.testing.assert_allclose(
            self.propose(None, "random_extreme", n=1, prior=LinearPrior(4)),
            self.propose(None, "random_extreme", n=1),
        )

    def test_variable_that_was_always_set(self):
        X, mask = self.X.copy(), self.MASK.copy()
        mask[:, 1] = True
        found = fit(make("random_extreme"), X, mask).propose(8)
        ends = np.unique(found[np.isfinite(found[:, 1]), 1].round(9))
        assert len(ends) == 2

    @pytest.mark.parametrize(
        ("feasible", "error", "message"),
        [
            ({"target": [0]}, ValueError, r"feasible knows the keys .*\"'target'\"|feasible knows"),
            ({"targets": ["e"]}, ValueError, r"feasible\['targets'\] names 'e'"),
            ({"targets": [4]}, ValueError, r"feasible\['targets'\] names 4"),
            ({"targets": [-1]}, ValueError, r"feasible\['targets'\] names -1"),
            ({"targets": [True]}, ValueError, r"feasible\['targets'\] names True"),
            ({"targets": "a"}, TypeError, r"feasible\['targets'\] must be a list"),
            ({"targets": 0}, TypeError, r"feasible\['targets'\] must be a list"),
            ({"targets": []}, ValueError, "must name one variable at least"),
            ({"n_targets": 0}, ValueError, r"feasible\['n_targets'\]=0 must be a range"),
            ({"n_targets": 5}, ValueError, "there are 4 possible targets"),
            ({"n_targets": 2, "targets": [0]}, ValueError, "there are 1 possible targets"),
            ({"n_targets": (2, 1)}, ValueError, "must be a range"),
            ({"n_targets": (-1, 1)}, ValueError, "must be a range"),
            ({"n_targets": 1.5}, TypeError, "must be a number or a pair"),
            ({"n_targets": "2"}, TypeError, "must be a number or a pair"),
            ({"n_targets": (1, 2, 3)}, TypeError, "must be a number or a pair"),
            ({"values": (2, 1)}, ValueError, "of which low is above high"),
            ({"values": "low"}, TypeError, r"feasible\['values'\] must be a number, a pair"),
            ({"values": (1, 2, 3)}, TypeError, r"feasible\['values'\] must be a number, a pair"),
            ({"values": np.nan}, ValueError, r"feasible\['values'\]"),
            ({"values": (0, np.inf)}, ValueError, r"feasible\['values'\]"),
            ({"values": ("a", "b")}, (TypeError, ValueError), r"feasible\['values'\]"),
            ({"values": {"e": 1}}, ValueError, r"feasible\['values'\] names 'e'"),
            ({"values": {"a": None}}, TypeError, r"feasible\['values'\] must be"),
            ("a", TypeError, "feasible must be a dict or None"),
            ([0], TypeError, "feasible must be a dict or None"),
        ],
    )
    def test_refused(self, feasible, error, message):
        designer = make("balanced_half", feasible=feasible)
        with pytest.raises(error, match=message):
            fit(designer, self.FRAME, pd.DataFrame(self.MASK, columns=list("abcd")))
        with pytest.raises(NotFittedError):
            designer.propose()


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


class TestTraining:
    @pytest.mark.parametrize(("name", "params"), [("distilled", DISTILLED), ("redq", REDQ)])
    def test_fit_trains_where_there_are_no_weights(self, name, params, tmp_path):
        X, mask = rows()
        designer = fit(untrained(name, params), X, mask)
        assert designer.loss_curve_
        assert all(np.isfinite(curve).all() for curve in designer.loss_curve_.values())
        expected = designer.propose()
        designer.save_pretrained(tmp_path / "w")
        loaded = ActiveDesigner(tmp_path / "w", algorithm=name, prior=PRIOR, **QUICK)
        fit(loaded, X, mask)
        assert not loaded.loss_curve_
        np.testing.assert_array_equal(loaded.propose(), expected)
        fit(loaded.set_params(pretrained=str(tmp_path / "w")), X, mask)
        np.testing.assert_array_equal(loaded.propose(), expected)

    @pytest.mark.parametrize(("name", "params"), [("distilled", DISTILLED), ("redq", REDQ)])
    def test_fit_after_pretrain_does_not_train_again(self, name, params):
        X, mask = rows()
        expected = fit(untrained(name, params), X, mask)
        designer = untrained(name, params).pretrain()
        curve = designer.loss_curve_
        assert curve
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ActiveDesigner, "_train", None)
            fit(designer, X, mask)
        np.testing.assert_array_equal(designer.propose(), expected.propose())
        assert designer.loss_curve_ is curve, "the training that this object ran"

    def test_pretrain_takes_prior_and_settings(self):
        other = LinearPrior.preset("caasl", n_variables=2, edges_per_variable=0.4)
        designer = untrained("distilled", DISTILLED).pretrain(other, n_epochs=2)
        card = designer._weights_of_fit[2]
        assert card["prior"] == repr(other)
        assert card["n_epochs"] == 2
        assert card["sizes"]["width"] == 4
        assert len(designer.loss_curve_["loss"]) == 4
        with pytest.raises(NotFittedError):
            designer.propose()

    def test_clones_start_from_the_parameters(self):
        designer = untrained("distilled", DISTILLED).pretrain()
        assert not hasattr(clone(designer), "_pretrained")

    def test_pickles_keep_the_training(self):
        designer = untrained("distilled", DISTILLED).pretrain()
        again = pickle.loads(pickle.dumps(designer))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ActiveDesigner, "_train", None)
            assert fit(again, *rows()).propose().shape == (1, D)

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half", "auto"])
    def test_algorithms_that_have_nothing_to_train(self, name, tmp_path):
        for call in (lambda d: d.pretrain(PRIOR), lambda d: d.save_pretrained(tmp_path / "w")):
            for prior in (PRIOR, None, LinearPrior.preset("caasl")):
                with pytest.raises(ValueError, match="nothing to train"):
                    call(make(name, prior=prior))

    @pytest.mark.parametrize(
        ("name", "params", "error", "message"),
        [
            ("distilled", {"n_steps": 3}, ValueError, r"has \['n_steps'\]; it can have"),
            ("redq", {"n_batches": 3}, ValueError, r"has \['n_batches'\]; it can have"),
            ("distilled", {"seed": 3}, ValueError, r"has \['seed'\]"),
            ("redq", {"prior": 3}, ValueError, r"has \['prior'\]"),
            ("distilled", {"n_epochs": 0}, ValueError, "n_epochs"),
            ("distilled", {"n_batches": 0}, ValueError, "n_batches"),
            ("distilled", {"n_edge_steps": 0}, ValueError, "n_edge_steps"),
            ("distilled", {"n_candidates": 1}, ValueError, "n_candidates"),
            ("distilled", {"n_epochs": 1.5}, (TypeError, ValueError), "n_epochs"),
            ("distilled", {"width": 0}, ValueError, "width"),
            ("distilled", {"width": "wide"}, (TypeError, ValueError), "width"),
            ("distilled", {"n_hidden": 0}, ValueError, "n_hidden"),
            ("redq", {"n_iterations": 0}, ValueError, "n_iterations"),
            ("redq", {"n_envs": 0}, ValueError, "n_envs"),
        ],
    )
    def test_bad_settings(self, name, params, error, message):
        settings = (DISTILLED if name == "distilled" else REDQ) | params
        with pytest.raises(error, match=message):
            untrained(name, settings).pretrain()

    def test_settings_must_be_a_dict(self):
        with pytest.raises(TypeError, match="training_params must be a dict or None"):
            untrained("distilled", ["n_epochs"]).fit(rows()[0])

    @pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
    def test_checkpoint_needs_an_integer_seed(self, random_state, tmp_path):
        designer = untrained(
            "distilled", DISTILLED, random_state=random_state, checkpoint=tmp_path / "c"
        )
        with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
            designer.pretrain()

    def test_checkpoint_is_read(self, tmp_path):
        X, mask = rows()
        expected = fit(untrained("distilled", DISTILLED), X, mask).propose()
        designer = untrained("distilled", DISTILLED, checkpoint=tmp_path / "c")
        np.testing.assert_array_equal(fit(designer, X, mask).propose(), expected)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_distillation, "label_episodes", None)
            np.testing.assert_array_equal(fit(designer, X, mask).propose(), expected)

    @pytest.mark.parametrize(
        "changes",
        [
            {"random_state": 1},
            {"budget": 3},
            {"n_initial": 6},
            {"rows_per_design": 2},
            {"prior": LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.4)},
            {"training_params": DISTILLED | {"n_epochs": 2}},
            {"training_params": DISTILLED | {"n_candidates": 4}},
            {"posterior": ExactGraphPosterior(edge_probability=0.1)},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_checkpoint_of_another_training_is_refused(self, changes, tmp_path):
        untrained("distilled", DISTILLED, checkpoint=tmp_path).pretrain()
        other = untrained("distilled", DISTILLED, checkpoint=tmp_path).set_params(**changes)
        with pytest.raises(ValueError, match=r"belongs to (a|another) training"):
            other.pretrain()

    def test_files_of_the_other_algorithm_are_refused(self, weights):
        for name, other in (TRAINED, TRAINED[::-1]):
            designer = ActiveDesigner(weights / other, algorithm=name, **QUICK)
            with pytest.raises(ValueError, match="holds no weights of the variant"):
                designer.fit(rows()[0])

    def test_damaged_files_are_refused(self, weights, tmp_path):
        for name in TRAINED:
            content = bytearray((weights / name).read_bytes())
            content[-3] ^= 1
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match="damaged"):
                ActiveDesigner(tmp_path / name, algorithm=name, **QUICK).fit(rows()[0])

    def test_files_are_read_back(self, weights):
        network, card = POLICY_FILES.load(weights / "distilled", "distilled")
        assert network.sizes["n_features"] == 30
        assert card["prior"] == repr(PRIOR)
        assert set(card["final"]) == {"loss", "scores", "edges", "validation"}


class TestParameters:
    @pytest.mark.parametrize(
        ("parameter", "value", "error"),
        [
            ("algorithm", "best", ValueError),
            ("algorithm", None, ValueError),
            ("utility", "entropy", ValueError),
            ("prior", "caasl", TypeError),
            ("prior", [PRIOR], TypeError),
            ("posterior", "exact", TypeError),
            ("posterior", GIES(), TypeError),
            ("feasible", [1], TypeError),
            ("budget", 0, ValueError),
            ("budget", 2.5, ValueError),
            ("n_initial", 1, ValueError),
            ("rows_per_design", 0, ValueError),
            ("n_candidates", 0, ValueError),
            ("n_draws", 1, ValueError),
            ("n_draws", 3, ValueError),
            ("n_outcomes", 0, ValueError),
            ("n_outcomes", 8, ValueError),
            ("n_replays", 0, ValueError),
            ("training_params", 3, TypeError),
            ("random_state", "seed", ValueError),
        ],
    )
    def test_refused(self, parameter, value, error):
        designer = make("lookahead").set_params(**{parameter: value})
        with pytest.raises(error, match="seed" if parameter == "random_state" else parameter):
            designer.fit(rows()[0])
        for call in (designer.propose, lambda: designer.predict(rows()[0])):
            with pytest.raises(NotFittedError):
                call()

    @pytest.mark.parametrize("name", TRAINED)
    @pytest.mark.parametrize(
        ("value", "error"),
        [(3, TypeError), (True, TypeError), ("nowhere", OSError), (["caasl"], TypeError)],
    )
    def test_weights_that_do_not_exist(self, name, value, error):
        with pytest.raises(error, match=r"pretrained"):
            ActiveDesigner(value, algorithm=name, **QUICK).fit(rows()[0])

    @pytest.mark.parametrize("name", ["abacus", 3.5])
    def test_devices(self, name):
        with pytest.raises((ValueError, TypeError), match="device"):
            untrained("redq", REDQ, device=name).pretrain()

    def test_a_small_dense_prior_is_told_from_the_published_one(self):
        """The published prior has three edges per variable, which three variables cannot have."""
        priors = [LinearPrior(2, edges_per_variable=0.5), LinearPrior(3), LinearPrior(5)]
        for prior in [*priors, LinearPrior(20, edges_per_variable=6.0)]:
            designer = make("balanced_half", prior=prior)
            assert fit(designer, *rows()).propose().shape == (1, D)


class TestState:
    def test_fit_that_fails_leaves_no_model_behind(self):
        X, mask = rows()
        designer = fit(make("lookahead"), X, mask)
        failures = [
            (np.where(np.arange(X.size).reshape(X.shape) == 3, np.nan, X), {}, "NaN"),
            (np.where(np.arange(X.size).reshape(X.shape) == 3, np.inf, X), {}, "infinity"),
            (X, {"budget": 0}, "budget"),
            (X, {"feasible": {"n_targets": 9}}, "n_targets"),
            (X[:1], {}, "minimum of 2"),
        ]
        for data, change, message in failures:
            with pytest.raises(ValueError, match=message):
                designer.set_params(**change).fit(data, interventions=mask[: len(data)])
            for call in (
                designer.propose,
                lambda: designer.predict(X, interventions=mask),
                lambda: designer.score(X, interventions=mask),
            ):
                with pytest.raises(NotFittedError):
                    call()
            fit(designer.set_params(budget=10, feasible=None), X, mask)

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half", "uncertain_half"])
    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_degenerate_rows_give_finite_designs(self, name):
        X = rows()[0]
        rng = np.random.default_rng(0)
        cases = {
            "few": X[:3],
            "constant": np.column_stack([X[:, :3], np.full(24, 3.7)]),
            "equal": np.column_stack([X[:, :3], X[:, 0]]),
            "all constant": np.tile([1.0, -2.0, 0.0, 1e6], (24, 1)),
            "integers": rng.integers(0, 3, (24, D)),
            "booleans": X > 0,
            "float32": X.astype(np.float32),
            "mixed": X * [1e-8, 1.0, 1e8, 1e3],
        }
        for key, data in cases.items():
            for mask in (None, rows()[1][-len(data) :]):
                designer = make(name).fit(data, interventions=mask)
                assert np.isfinite(designer.edge_probabilities_).all(), key
                n_targets = np.isfinite(designer.propose()).sum()
                # Where all ranges are a single value, as for knock-outs, any number will do.
                assert n_targets in ((1, 2, 3) if key == "all constant" else (2,)), key

    @pytest.mark.parametrize("name", ["lookahead", "balanced_half"])
    def test_numbers_that_are_too_large_are_refused(self, name):
        X = rows()[0].copy()
        X[3, 1] = 1e300
        with pytest.raises(ValueError, match="too large"):
            make(name).fit(X)

    @every_algorithm
    def test_pickle(self, name, weights):
        X, mask = rows()
        designer = fit(make(name, weights), X, mask)
        again = pickle.loads(pickle.dumps(designer))
        np.testing.assert_array_equal(again.propose(2), designer.propose(2))
        again.partial_fit(X[:1], interventions=mask[:1])
        designer.partial_fit(X[:1], interventions=mask[:1])
        np.testing.assert_array_equal(again.propose(), designer.propose())

    @every_algorithm
    def test_global_random_states_are_neither_used_nor_changed(self, name, weights):
        X, mask = rows()
        designs = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            states = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
            designs.append(fit(make(name, weights), X, mask).propose(2))
            np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
            assert torch.equal(torch.random.get_rng_state(), states[1])
        np.testing.assert_array_equal(*designs)

    @pytest.mark.parametrize("name", TRAINED)
    def test_a_training_leaves_global_random_states_alone(self, name):
        states = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
        untrained(name, DISTILLED if name == "distilled" else REDQ).pretrain()
        np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), states[1])

    def test_inputs_are_not_modified(self):
        X, mask = rows()
        X.flags.writeable = mask.flags.writeable = False
        designer = fit(make("lookahead"), X, mask)
        designer.predict(X, interventions=mask)
        designer.partial_fit(X, interventions=mask)

    def test_rows_are_copied(self):
        X, mask = rows()
        designer = fit(make("lookahead"), X, mask)
        expected = designer.propose()
        X += 100.0
        mask[:] = True
        np.testing.assert_array_equal(designer.propose(), expected)

    def test_a_posterior_that_is_a_parameter_stays_unfitted(self):
        posterior = ExactGraphPosterior(random_state=0)
        designer = fit(make("lookahead", posterior=posterior), *rows())
        assert designer.posterior is posterior
        assert not [name for name in vars(posterior) if name.endswith("_")]
        assert clone(designer).posterior is not posterior
        designer.set_params(posterior__edge_probability=0.2)
        assert posterior.edge_probability == 0.2

    def test_shipped_weights_are_not_trained_upon(self, weights):
        """`fit` reads weights and changes none."""
        X, mask = rows()
        designer = fit(make("distilled", weights), X, mask)
        before = {k: v.clone() for k, v in designer._weights_of_fit[1].state_dict().items()}
        designer.propose(2)
        after = designer._weights_of_fit[1].state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
