"""What is remembered of the training rows."""

import numpy as np
import pytest

from skcausal.effects._average_effect import held_out_mean, outcome_corrections
from skcausal.effects._drift import MOST_ROWS
from skcausal.effects._summary import effect_variance, mean_correction, reference_rows


@pytest.mark.parametrize("n_members", [2, 5])
def test_effect_variance_is_a_mean_over_rows(n_members):
    outcomes = np.random.default_rng(0).normal(size=(n_members, 6, 3))
    variance = effect_variance(outcomes)
    for first in range(3):
        for second in range(3):
            of_rows = []
            for i in range(6):
                effects = outcomes[:, i, second] - outcomes[:, i, first]
                of_rows.append(sum((effects - effects.mean()) ** 2) / (n_members - 1))
            assert variance[first, second] == pytest.approx(np.mean(of_rows), abs=1e-14)


def test_effect_variance_of_one_member_is_zero():
    np.testing.assert_array_equal(effect_variance(np.ones((1, 4, 2))), np.zeros((2, 2)))


def test_effect_variance_ignores_what_members_share_between_levels():
    rng = np.random.default_rng(0)
    outcomes = rng.normal(size=(5, 6, 2))
    moved = outcomes + rng.normal(size=(5, 6, 1))
    np.testing.assert_allclose(effect_variance(moved), effect_variance(outcomes), atol=1e-12)


def correction_data(seed=0, n=40):
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.arange(n) % 3)
    propensity = rng.dirichlet([2.0, 2.0, 2.0], size=n)
    outcomes = rng.normal(size=(2, n, 3))
    held_out = [np.arange(0, n, 3), np.arange(1, n, 2)]
    return rng.normal(size=n), arm, rng.uniform(size=n), outcomes, held_out, propensity


def test_mean_correction_is_a_weighted_mean_with_its_covariance():
    y, arm, weight, outcomes, held_out, propensity = correction_data()
    mean, covariance = mean_correction(y, arm, weight, outcomes, held_out, propensity)
    corrections = outcome_corrections(y, arm, held_out_mean(outcomes, held_out), propensity)
    total = sum(weight)
    expected = sum(w * c for w, c in zip(weight, corrections)) / total
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    expected_covariance = sum(
        (w / total) ** 2 * np.outer(c - expected, c - expected) for w, c in zip(weight, corrections)
    )
    np.testing.assert_allclose(covariance, expected_covariance, rtol=1e-10)


def test_covariance_of_the_mean_correction_is_that_over_data_sets():
    # Rows drawn anew from one population; the ratio estimate's variance by the delta method.
    rng = np.random.default_rng(1)
    means, covariances = [], []
    for _ in range(800):
        y, arm = rng.normal(size=200) + 1.0, rng.integers(2, size=200)
        weight = rng.uniform(0.5, 1.5, size=200)
        propensity = np.full((200, 2), 0.5)
        mean, covariance = mean_correction(
            y, arm, weight, np.zeros((1, 200, 2)), [np.empty(0, int)], propensity
        )
        means.append(mean)
        covariances.append(covariance)
    over_data_sets = np.cov(np.array(means).T)
    np.testing.assert_allclose(np.mean(covariances, axis=0), over_data_sets, rtol=0.2)
    assert over_data_sets[0, 1] < 0  # a row corrects one level alone


def test_mean_correction_does_not_depend_on_the_unit_of_the_weights():
    y, arm, weight, *rest = correction_data()
    expected = mean_correction(y, arm, weight, *rest)
    for value, other in zip(mean_correction(y, arm, 1e5 * weight, *rest), expected):
        np.testing.assert_allclose(value, other, rtol=1e-10)


def test_reference_rows_are_a_few_of_each_environment():
    n = 3 * MOST_ROWS
    x = np.column_stack([np.arange(n), np.arange(n)])
    environment = np.where(np.arange(n) < 2 * MOST_ROWS, 0, 1)
    environment[[5, 6, 7]] = 2
    environment[8] = 3  # a single row
    labels = np.array(["a", "b", "c", "lone"])
    reference = reference_rows(x, environment, labels, seed=0)
    assert {label: len(rows) for label, rows in reference.items()} == {
        None: MOST_ROWS,
        "a": MOST_ROWS,
        "b": MOST_ROWS,
        "c": 3,
    }
    for label, rows in reference.items():
        numbers = rows[:, 0]
        assert len(np.unique(numbers)) == len(rows)
        if label is not None:
            assert (labels[environment[numbers]] == label).all()
    # A uniform choice of all: about 1/3 of the rows are b's. Four standard deviations.
    share = (environment[reference[None][:, 0]] == 1).mean()
    assert abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / MOST_ROWS)


@pytest.mark.parametrize("labels", [None, np.array(["only"])], ids=["none", "one"])
def test_one_environment_is_the_mixture(labels):
    x = np.random.default_rng(0).normal(size=(9, 2))
    reference = reference_rows(x, np.zeros(9, dtype=int), labels, seed=0)
    assert list(reference) == [None]
    np.testing.assert_array_equal(np.sort(reference[None], axis=0), np.sort(x, axis=0))


def test_reference_rows_follow_from_the_seed():
    x, environment = np.random.default_rng(0).normal(size=(800, 1)), np.arange(800) % 2
    first, again, other = (
        reference_rows(x, environment, np.array([0, 1]), seed) for seed in (3, 3, 4)
    )
    for label in (None, 0, 1):
        np.testing.assert_array_equal(first[label], again[label])
        assert not np.array_equal(first[label], other[label])
