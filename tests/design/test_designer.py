"""ActiveDesigner: its proposals, their invariances, and what is feasible."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from skcausal.datasets import make_linear_scm
from skcausal.design._rules import RULES
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import GIES, AmortizedGraphPosterior, BootstrapEnsemble, ExactGraphPosterior
from tests.design.designer_helpers import (
    ORDERS,
    SEARCHES,
    TRAINED,
    D,
    every_algorithm,
    fit,
    make,
    quick_algorithms,
    ranges,
    rows,
)

pytestmark = pytest.mark.usefixtures("small_batches")


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
