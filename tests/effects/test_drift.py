"""The permutation test of whether rows come from a known environment."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from skcausal.effects._drift import closest_environment, two_sample_test

# Errors of these tests themselves: counts beyond are seen once in 10,000 times.
RARE = 1e-4


def slow_median(pooled):
    pairs = itertools.combinations(pooled, 2)
    return np.median([float(sum((u - v) ** 2)) for u, v in pairs])


def slow_mmd(a, b, bandwidth):
    """Gretton et al. (2012), Lemma 6, term by term."""

    def k(u, v):
        return math.exp(-sum((u - v) ** 2) / bandwidth)

    n, m = len(a), len(b)
    first = sum(k(u, v) for u, v in itertools.permutations(a, 2)) / (n * (n - 1))
    second = sum(k(u, v) for u, v in itertools.permutations(b, 2)) / (m * (m - 1))
    return first + second - 2 * sum(k(u, v) for u in a for v in b) / (n * m)


def samples(seed, n=5, m=7, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + shift, rng.normal(size=(m, 2))


@pytest.mark.parametrize("seed", range(3))
def test_statistic_is_lemma_6(seed):
    a, b = samples(seed)
    statistic, _ = two_sample_test(a, b, 1, np.random.default_rng(0))
    expected = slow_mmd(a, b, slow_median(np.concatenate([a, b])))
    assert statistic == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("seed", "shift"), [(0, 0.0), (1, 0.7), (2, 1.5)])
def test_p_value_approaches_that_of_all_divisions(seed, shift):
    a, b = samples(seed, n=4, m=4, shift=shift)
    pooled = np.concatenate([a, b])
    bandwidth = slow_median(pooled)
    given_value = slow_mmd(a, b, bandwidth)
    divisions = [list(rows) for rows in itertools.combinations(range(8), 4)]
    values = [slow_mmd(pooled[r], np.delete(pooled, r, axis=0), bandwidth) for r in divisions]
    exact = np.mean(np.array(values) >= given_value - 1e-12)
    n_permutations = 5000
    _, p_value = two_sample_test(a, b, n_permutations, np.random.default_rng(0))
    bound = 4 * math.sqrt(exact * (1 - exact) / n_permutations) + 1 / n_permutations
    assert abs(p_value - exact) < bound


@pytest.mark.parametrize("n_permutations", [1, 4, 19])
def test_p_value_counts_the_given_division(n_permutations):
    a, b = samples(0, n=20, m=20, shift=50.0)
    _, p_value = two_sample_test(a, b, n_permutations, np.random.default_rng(0))
    assert p_value == pytest.approx(1 / (n_permutations + 1))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), unit=st.floats(0.01, 100), data=st.data())
def test_statistic_does_not_depend_on_order_roles_or_unit(seed, unit, data):
    a, b = samples(seed)
    rng = np.random.default_rng(0)
    expected, _ = two_sample_test(a, b, 1, rng)
    shuffled = a[data.draw(st.permutations(range(5)))], b[data.draw(st.permutations(range(7)))]
    for first, second in [shuffled, (b, a), (unit * a + 3, unit * b + 3)]:
        statistic, _ = two_sample_test(first, second, 1, rng)
        assert statistic == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(8, 8), (3, 12), (12, 3)], ids=str)
@pytest.mark.parametrize("discrete", [False, True], ids=["normal", "ties"])
def test_p_values_are_super_uniform_under_equal_distributions(n, m, discrete):
    n_tests, n_permutations = 300, 19
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(n_tests):
        rows = rng.normal(size=(n + m, 2))
        rows = (rows > 1.0).astype(float) if discrete else rows
        p_values.append(two_sample_test(rows[:n], rows[n:], n_permutations, rng)[1])
    for q in (0.05, 0.1, 0.2, 0.5):
        # A p-value of exactly q counts; 1e-9 guards against its rounding.
        count = (np.array(p_values) <= q + 1e-9).sum()
        assert count <= binom.isf(RARE, n_tests, q)
        if not discrete:  # without ties a p-value of at most q = k/20 has probability q
            assert count >= binom.ppf(RARE, n_tests, q)


@pytest.mark.parametrize("change", ["shift", "spread"])
def test_power(change):
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(40):
        a, b = rng.normal(size=(40, 2)), rng.normal(size=(60, 2))
        a = a + 1.0 if change == "shift" else 3.0 * a
        rejected += two_sample_test(a, b, 99, rng)[1] <= 0.05
    assert rejected >= 36


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.5678])
def test_identical_rows_speak_for_no_difference(value):
    rows = np.full((5, 3), value)
    statistic, p_value = two_sample_test(rows, rows[:3], 50, np.random.default_rng(0))
    assert statistic == pytest.approx(0.0, abs=1e-12)
    assert p_value == 1.0


def test_mostly_identical_rows_have_a_p_value():
    # The median distance is zero: the kernel says whether two rows are the same.
    a, b = np.zeros((6, 2)), np.zeros((6, 2))
    b[0] = 1.0
    statistic, p_value = two_sample_test(a, b, 200, np.random.default_rng(0))
    assert statistic == pytest.approx(1.0 + 2 / 3 - 2 * 5 / 6)
    assert p_value == 1.0  # wherever the odd row stands, the division is as uneven


def test_permutations_follow_from_the_generator():
    a, b = samples(0, n=10, m=12)
    first, again, other = (
        two_sample_test(a, b, 99, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first[0] == other[0]
    assert first[1] != other[1]


# Several environments

SHIFTS = {"east": np.array([0.0, 0.0]), "north": np.array([1.5, 0.0]), "west": np.array([0, 1.5])}


def draw_from(label, n, rng):
    """Rows of an environment, or of the mixture of all (None)."""
    centers = np.stack(list(SHIFTS.values()))
    if label is None:
        return rng.normal(size=(n, 2)) + centers[rng.integers(len(centers), size=n)]
    return rng.normal(size=(n, 2)) + SHIFTS[label]


def references(rng, n=25):
    return [(label, draw_from(label, n, rng)) for label in (None, *SHIFTS)]


def test_the_largest_p_value_counts():
    rng = np.random.default_rng(0)
    known = references(rng)
    drift = closest_environment(draw_from("north", 30, rng), known, 99, seed=3)
    assert list(drift.p_values) == [None, *SHIFTS]
    assert drift.closest == "north"
    assert drift.p_value == max(drift.p_values.values()) == drift.p_values["north"]
    assert min(drift.p_values.values()) < drift.p_value
    batch = draw_from("north", 30, np.random.default_rng(5))
    chosen = closest_environment(batch, known, 99, seed=3)
    rows = dict(known)[chosen.closest]
    statistic = slow_mmd(batch, rows, slow_median(np.concatenate([batch, rows])))
    assert chosen.statistic == pytest.approx(statistic, rel=1e-9)


def test_of_equal_p_values_the_smallest_statistic_counts():
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(20, 2)) + 20.0
    known = [("far", rng.normal(size=(20, 2)) - 60), ("near", rng.normal(size=(20, 2)) + 12.0)]
    for order in (known, known[::-1]):
        drift = closest_environment(batch, order, 19, seed=0)
        assert drift.p_values == {"far": 0.05, "near": 0.05}
        statistics = {label: two_sample_test(batch, rows, 1, rng)[0] for label, rows in known}
        assert drift.closest == min(statistics, key=statistics.get)
        assert drift.statistic == pytest.approx(min(statistics.values()))


def test_drift_follows_from_the_seed():
    rng = np.random.default_rng(0)
    batch, known = draw_from(None, 20, rng), references(rng)
    first, again, other = (closest_environment(batch, known, 99, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.p_values != other.p_values


@pytest.mark.parametrize("source", [None, *SHIFTS], ids=str)
def test_false_alarms_are_as_rare_as_asked_for(source):
    n_batches = 150
    rng = np.random.default_rng(0)
    p_values = np.array(
        [
            closest_environment(draw_from(source, 10, rng), references(rng), 19, seed).p_value
            for seed in range(n_batches)
        ]
    )
    for q in (0.05, 0.2):
        assert (p_values <= q + 1e-9).sum() <= binom.isf(RARE, n_batches, q)


def test_an_unseen_environment_raises_the_alarm():
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(20):
        batch = rng.normal(size=(40, 2)) - 2.0
        alarms += closest_environment(batch, references(rng, 50), 39, seed).p_value <= 0.05
    assert alarms >= 19
