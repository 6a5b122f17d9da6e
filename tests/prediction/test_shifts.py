import numpy as np
import pytest

from skcausal.base import control_mean
from skcausal.interventions import do
from skcausal.prediction import AdditiveShift, NoEffect

# Columns a, b, c; regimes: control, a, a, b, a+b.
X = np.array(
    [
        [0.0, 1.0, 10.0],
        [2.0, 3.0, 20.0],
        [5.0, 4.0, 25.0],
        [7.0, 6.0, 45.0],
        [1.0, 9.0, 9.0],
        [8.0, 8.0, 100.0],
    ]
)
MASK = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=bool)
INTERVENED = MASK.any(axis=1)


class TestControlMean:
    def test_observational_rows(self):
        np.testing.assert_array_equal(control_mean(X, MASK), [1.0, 2.0, 15.0])

    def test_rows_where_free_without_observational_ones(self):
        # a is free in row 4; b in rows 2 and 3; c in all four.
        mean = control_mean(X[INTERVENED], MASK[INTERVENED])
        np.testing.assert_array_equal(mean, [1.0, 5.0, (25 + 45 + 9 + 100) / 4])

    def test_all_rows_for_a_variable_that_never_was_free(self):
        mask = MASK.copy()
        mask[:, 2] = True
        np.testing.assert_array_equal(control_mean(X, mask), [3 / 3, 14 / 4, 209 / 6])


class TestNoEffect:
    def test_free_variables_get_the_observational_mean(self):
        model = NoEffect().fit(X, interventions=MASK)
        query = [[9.0, np.nan, 7.0], [np.nan, np.nan, np.nan]]
        targets = np.array([[True, False, False], [False, True, False]])
        predicted = model.predict(query, interventions=targets)
        np.testing.assert_array_equal(predicted, [[9.0, 2.0, 15.0], [1.0, 8.5, 15.0]])

    def test_without_observational_rows(self):
        model = NoEffect().fit(X[INTERVENED], interventions=MASK[INTERVENED])
        query, targets = do({}, variables=3)
        predicted = model.predict(query, interventions=targets)
        np.testing.assert_array_equal(predicted, [[1.0, 5.0, 44.75]])

    def test_one_on_observational_rows_is_minus_the_score(self):
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(50, 4)) * [1.0, 5.0, 0.1, 1e3]
        np.testing.assert_allclose(NoEffect().fit(rows).score(rows), -1.0)


class TestAdditiveShift:
    def test_shifts_made_by_hand(self):
        model = AdditiveShift().fit(X, interventions=MASK)
        # a alone: means 5 and 35 of b and c; b alone: 1 and 9 of a and c.
        expected = [[0.0, 3.0, 20.0], [0.0, 0.0, -6.0], [0.0, 0.0, 0.0]]
        np.testing.assert_array_equal(model.shift_, expected)
        np.testing.assert_array_equal(model.control_mean_, [1.0, 2.0, 15.0])

    def test_combinations_add_up_and_do_values_do_not_matter(self):
        model = AdditiveShift().fit(X, interventions=MASK)
        targets = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]], dtype=bool)
        for value in (-50.0, 0.5):
            query = np.where(targets, value, np.nan)
            predicted = model.predict(query, interventions=targets)
            expected = [
                [value, 5.0, 35.0],
                [1.0, value, 9.0],
                [value, value, 29.0],
                [1.0, 2.0, 15.0],
                [value, 5.0, value],
            ]
            np.testing.assert_array_equal(predicted, expected)

    def test_without_observational_rows(self):
        model = AdditiveShift().fit(X[INTERVENED], interventions=MASK[INTERVENED])
        np.testing.assert_array_equal(model.control_mean_, [1.0, 5.0, 44.75])
        expected = [[0.0, 0.0, 35 - 44.75], [0.0, 0.0, 9 - 44.75], [0.0, 0.0, 0.0]]
        np.testing.assert_array_equal(model.shift_, expected)

    def test_conditions_on_one_target_are_averaged(self):
        regimes = ["none", "none", "inhibitor", "activator", "b", "a+b"]
        model = AdditiveShift().fit(X, interventions=MASK, regimes=regimes)
        expected = AdditiveShift().fit(X, interventions=MASK).shift_
        np.testing.assert_array_equal(model.shift_, expected)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_exact_for_additive_systems(self, seed):
        rng = np.random.default_rng(seed)
        effects = rng.normal(size=(6, 6)) * (1 - np.eye(6))
        singles = np.vstack([np.zeros(6), np.eye(6)]).astype(bool)
        rows = np.where(singles, 3.0, 1.0 + singles @ effects)
        model = AdditiveShift().fit(rows, interventions=singles)
        targets = rng.uniform(size=(20, 6)) < 0.5
        truth = np.where(targets, 3.0, 1.0 + targets @ effects)
        query = np.where(targets, 3.0, np.nan)
        np.testing.assert_allclose(model.predict(query, interventions=targets), truth)
