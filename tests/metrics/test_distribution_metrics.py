import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.metrics import (
    _distribution,
    _wasserstein,
    energy_distance,
    maximum_mean_discrepancy,
    wasserstein_distance,
)

DISTANCES = [energy_distance, maximum_mean_discrepancy, wasserstein_distance]


def draw(seed, n=7, m=5, d=3):
    """Two samples of different size, place and scale."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(0.5, 2.0, size=(m, d))


def norm(x, y):
    """Euclidean distance of two rows."""
    return sum((a - b) ** 2 for a, b in zip(x, y)) ** 0.5


def mean_over_pairs(function, X, Y, *, without_self=False):
    """Mean of a function of two rows, one pair after another."""
    values = [
        function(x, y)
        for (i, x), (j, y) in itertools.product(enumerate(X), enumerate(Y))
        if not (without_self and i == j)
    ]
    return sum(values) / len(values)


@pytest.fixture(params=[2**22, 10, 1], ids=["one block", "blocks", "row by row"])
def block_entries(request, monkeypatch):
    """Every result is the same however the work is cut into blocks."""
    monkeypatch.setattr(_distribution, "BLOCK_ENTRIES", request.param)
    monkeypatch.setattr(_wasserstein, "BLOCK_ENTRIES", request.param)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.usefixtures("block_entries")
class TestPairByPair:
    def test_energy_distance(self, seed):
        X, Y = draw(seed)
        expected = (
            2 * mean_over_pairs(norm, X, Y)
            - mean_over_pairs(norm, X, X)
            - mean_over_pairs(norm, Y, Y)
        )
        distance = energy_distance(X, Y)
        np.testing.assert_allclose(distance, expected**0.5)
        assert type(distance) is float

    def test_maximum_mean_discrepancy(self, seed):
        X, Y = draw(seed)

        def kernel(x, y):
            return np.exp(-(norm(x, y) ** 2) / (2 * 1.5**2))

        expected = (
            mean_over_pairs(kernel, X, X, without_self=True)
            + mean_over_pairs(kernel, Y, Y, without_self=True)
            - 2 * mean_over_pairs(kernel, X, Y)
        )
        mmd = maximum_mean_discrepancy(X, Y, bandwidth=1.5)
        np.testing.assert_allclose(mmd, expected, atol=1e-14)
        assert type(mmd) is float

    def test_default_bandwidth(self, seed):
        X, Y = draw(seed)
        rows = [*X, *Y]
        median = np.median([norm(x, y) for x, y in itertools.combinations(rows, 2)])
        np.testing.assert_allclose(
            maximum_mean_discrepancy(X, Y), maximum_mean_discrepancy(X, Y, bandwidth=median)
        )

    def test_sliced(self, seed):
        X, Y = draw(seed)
        directions = np.random.RandomState(seed).normal(size=(3, 4))
        expected = 0.0
        for direction in (directions / np.linalg.norm(directions, axis=0)).T:
            expected += (
                wasserstein_distance((X @ direction)[:, None], (Y @ direction)[:, None]) ** 2
            )
        distance = wasserstein_distance(X, Y, n_projections=4, random_state=seed)
        np.testing.assert_allclose(distance, (expected / 4) ** 0.5)


class TestEnergyDistance:
    def test_is_that_of_scipy_for_one_variable(self):
        X, Y = draw(0, n=30, m=20, d=1)
        expected = scipy.stats.energy_distance(X[:, 0], Y[:, 0])
        np.testing.assert_allclose(energy_distance(X, Y), expected)

    def test_single_rows(self):
        np.testing.assert_allclose(energy_distance([[1.0, 2.0]], [[4.0, 6.0]]), 10**0.5)

    def test_expectation_for_one_distribution(self):
        rng = np.random.default_rng(0)
        squares = [energy_distance(*rng.normal(size=(2, 20, 1))) ** 2 for _ in range(400)]
        expected = (1 / 20 + 1 / 20) * 2 / np.sqrt(np.pi)
        np.testing.assert_allclose(np.mean(squares), expected, rtol=0.1)


class TestMaximumMeanDiscrepancy:
    def test_is_unbiased(self):
        rng = np.random.default_rng(0)
        values = [
            maximum_mean_discrepancy(
                rng.normal(size=(8, 2)), rng.normal(size=(4, 2)), bandwidth=1.0
            )
            for _ in range(1000)
        ]
        assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(1000)
        assert min(values) < 0

    def test_of_two_normal_distributions(self):
        """N(0, 1), N(s, 1), bandwidth b: 2 b / sqrt(b^2 + 2) (1 - exp(-s^2 / (2 b^2 + 4)))."""
        rng = np.random.default_rng(0)
        mmd = maximum_mean_discrepancy(
            rng.normal(size=(1500, 1)), rng.normal(1.0, 1.0, size=(1500, 1)), bandwidth=2.0
        )
        expected = 2 * 2 / np.sqrt(6) * (1 - np.exp(-1 / 12))
        np.testing.assert_allclose(mmd, expected, rtol=0.15)

    def test_equal_rows(self):
        assert maximum_mean_discrepancy(np.ones((3, 2)), np.ones((2, 2))) == 0.0

    def test_repeated_rows_do_not_make_the_bandwidth_zero(self):
        X, Y = np.zeros((50, 1)), np.r_[np.zeros(49), 3.0][:, None]
        assert maximum_mean_discrepancy(X, Y) == maximum_mean_discrepancy(X, Y, bandwidth=3.0)

    def test_bandwidth_of_many_rows(self):
        X, Y = draw(0, n=1800, m=1800, d=2)
        some = np.vstack([X, Y])[np.linspace(0, 3599, 2000).astype(int)]
        median = np.median(scipy.spatial.distance.pdist(some))
        mmd = maximum_mean_discrepancy(X, Y)
        np.testing.assert_allclose(mmd, maximum_mean_discrepancy(X, Y, bandwidth=median))

    @pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.nan, np.inf, "median"])
    def test_bandwidth(self, bandwidth):
        with pytest.raises(ValueError, match="bandwidth must be a positive number, got"):
            maximum_mean_discrepancy(*draw(0), bandwidth=bandwidth)

    def test_single_rows(self):
        X, Y = draw(0)
        with pytest.raises(ValueError, match=r"two or more rows each .* got 1 and 5"):
            maximum_mean_discrepancy(X[:1], Y)


class TestWassersteinDistance:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_every_assignment(self, seed):
        X, Y = draw(seed, n=5, m=5)
        costs = [
            np.mean([norm(x, Y[j]) ** 2 for x, j in zip(X, order)])
            for order in itertools.permutations(range(5))
        ]
        np.testing.assert_allclose(wasserstein_distance(X, Y), min(costs) ** 0.5)

    @pytest.mark.parametrize(("n", "m"), [(6, 2), (2, 6), (4, 6), (5, 4), (1, 4), (9, 7)])
    def test_repeated_rows_are_mass(self, n, m):
        """Repeating every row of a sample changes nothing: sizes are brought to a common one."""
        X, Y = draw(n, n=n, m=m)
        repeated = wasserstein_distance(np.repeat(X, m, axis=0), np.repeat(Y, n, axis=0))
        np.testing.assert_allclose(wasserstein_distance(X, Y), repeated)

    @pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 6), (7, 5)])
    def test_one_variable(self, n, m):
        """Sorting agrees with the transport plan, which a second, constant variable asks for."""
        X, Y = draw(n, n=n, m=m, d=1)
        plan = wasserstein_distance(np.insert(X, 1, 3.0, axis=1), np.insert(Y, 1, 3.0, axis=1))
        np.testing.assert_allclose(wasserstein_distance(X, Y), plan)
        np.testing.assert_allclose(wasserstein_distance(X, Y, n_projections=3), plan)

    def test_quantile_by_quantile(self):
        X, Y = draw(0, n=11, m=8, d=1)
        levels = (np.arange(88) + 0.5) / 88
        gaps = [np.quantile(Z, levels, axis=0, method="inverted_cdf") for Z in (X, Y)]
        expected = np.sqrt(((gaps[0] - gaps[1]) ** 2).mean())
        np.testing.assert_allclose(wasserstein_distance(X, Y), expected)

    def test_of_two_normal_distributions(self):
        """W2 of N(0, 1) and N(1, 2^2) is sqrt(1^2 + (2 - 1)^2)."""
        levels = scipy.stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
        distance = wasserstein_distance(levels, 1 + 2 * levels)
        np.testing.assert_allclose(distance, np.sqrt(2), rtol=1e-3)

    def test_sliced_shift(self):
        X, _ = draw(0, n=40, d=5)
        shift = np.array([3.0, 0.0, 4.0, 0.0, 0.0])
        distance = wasserstein_distance(X, X + shift, n_projections=5000, random_state=0)
        np.testing.assert_allclose(distance, 5 / np.sqrt(5), rtol=0.03)

    def test_the_seed_fixes_the_directions(self):
        X, Y = draw(0)
        first, again, other = (
            wasserstein_distance(X, Y, n_projections=2, random_state=seed) for seed in (0, 0, 1)
        )
        assert first == again != other
        assert first <= wasserstein_distance(X, Y)

    @pytest.mark.parametrize("n_projections", [0, -1, 2.5, "all"])
    def test_n_projections(self, n_projections):
        with pytest.raises(ValueError, match="n_projections must be a positive integer, got"):
            wasserstein_distance(*draw(0), n_projections=n_projections)

    def test_large_values(self):
        X, Y = draw(0, n=7, m=5)
        np.testing.assert_allclose(
            wasserstein_distance(1e8 * X, 1e8 * Y), 1e8 * wasserstein_distance(X, Y)
        )


SEEDS = st.integers(0, 2**32 - 1)
SIZES = {"n": st.integers(2, 6), "m": st.integers(2, 6), "d": st.integers(1, 4)}


@pytest.mark.parametrize("distance", DISTANCES)
class TestInvariance:
    @settings(max_examples=25)
    @given(seed=SEEDS, **SIZES)
    def test_order_place_and_side(self, distance, seed, n, m, d):
        X, Y = draw(seed, n, m, d)
        rng = np.random.default_rng(seed)
        columns, shift = rng.permutation(d), rng.normal(scale=10.0, size=d)
        expected = distance(X, Y)
        for X_moved, Y_moved in [
            (Y, X),
            (rng.permutation(X), rng.permutation(Y)),
            (X[:, columns], Y[:, columns]),
            (X + shift, Y + shift),
        ]:
            np.testing.assert_allclose(distance(X_moved, Y_moved), expected, rtol=1e-7, atol=1e-9)

    @settings(max_examples=25)
    @given(seed=SEEDS, n=SIZES["n"], d=SIZES["d"])
    def test_rotation(self, distance, seed, n, d):
        X, Y = draw(seed, n, n, d)
        rotation = scipy.stats.ortho_group.rvs(d, random_state=seed) if d > 1 else -np.eye(1)
        np.testing.assert_allclose(
            distance(X @ rotation, Y @ rotation), distance(X, Y), rtol=1e-7, atol=1e-9
        )

    def test_far_from_the_origin(self, distance):
        X, Y = draw(0)
        np.testing.assert_allclose(distance(X + 1e6, Y + 1e6), distance(X, Y), rtol=1e-7)


@settings(max_examples=25)
@given(seed=SEEDS, n=SIZES["n"], d=SIZES["d"])
def test_equal_samples_and_shifted_ones(seed, n, d):
    X, _ = draw(seed, n, d=d)
    rng = np.random.default_rng(seed)
    shuffled, shift = rng.permutation(X), rng.normal(scale=5.0, size=d)
    assert energy_distance(X, shuffled) < 1e-6
    assert wasserstein_distance(X, shuffled) == 0.0
    assert wasserstein_distance(X, shuffled, n_projections=3, random_state=0) < 1e-12
    assert maximum_mean_discrepancy(X, shuffled) <= 0.0
    size = np.linalg.norm(shift)
    np.testing.assert_allclose(wasserstein_distance(X, shuffled + shift), size)
    assert 0 < energy_distance(X, shuffled + shift) <= np.sqrt(2 * size) * (1 + 1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
class TestInput:
    def test_lists_and_frames(self, distance):
        X, Y = draw(0)
        frames = [pd.DataFrame(Z, columns=["a", "b", "c"]) for Z in (X, Y)]
        expected = distance(X, Y)
        assert distance(*frames) == distance(X.tolist(), Y.tolist()) == expected
        assert distance(frames[0], Y) == distance(X, frames[1]) == expected

    def test_variables_must_be_the_same(self, distance):
        X, Y = draw(0)
        with pytest.raises(ValueError, match="Y must have the variables of X, got 2 columns"):
            distance(X, Y[:, :2])
        X, Y = (pd.DataFrame(Z, columns=["a", "b", "c"]) for Z in (X, Y))
        with pytest.raises(ValueError, match=r"has 'c' where X has 'b'; pass Y\[X.columns\]"):
            distance(X, Y[["a", "c", "b"]])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_must_be_finite(self, distance, bad):
        X, Y = draw(0)
        broken = np.where(np.eye(5, 3) > 0, bad, Y)
        with pytest.raises(ValueError, match="Input Y contains"):
            distance(X, broken)
        with pytest.raises(ValueError, match="Input X contains"):
            distance(broken, X)
