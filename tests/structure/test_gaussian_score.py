import gies
import numpy as np
import pytest
from gies.scores.gauss_int_l0_pen import GaussIntL0Pen
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal import graphs
from skcausal.structure._gaussian_score import GaussianScore

FAMILIES = [
    [[]],
    [[], [0], [2]],
    [[0], [1], [0, 2], []],
    # Variable 3 is a target in most rows, so that its free rows are summed directly.
    [[], [3], [3, 1], [2, 3]],
]


def simulate(rng, family, rows=30, d=4):
    """Correlated data with shifts of the targets, and the mask of targets."""
    mask = np.zeros((len(family) * rows, d), dtype=bool)
    for block, members in zip(np.split(mask, len(family)), family):
        block[:, members] = True
    data = rng.normal(size=mask.shape) @ rng.normal(size=(d, d)) + 3.0 * mask
    order = rng.permutation(len(mask))
    return data[order], mask[order]


def as_package_input(data, mask):
    rows = np.unique(mask, axis=0)
    blocks = [data[np.all(mask == row, axis=1)] for row in rows]
    return blocks, [np.flatnonzero(row).tolist() for row in rows]


def residual_sum_of_squares(data, mask, j, parents, centering):
    """Least squares on the free rows, with an intercept for each regime or one in all."""
    free = ~mask[:, j]
    if centering == "pooled":
        intercepts = np.ones((free.sum(), 1))
    else:
        _, label = np.unique(mask[free], axis=0, return_inverse=True)
        intercepts = np.eye(label.max() + 1)[label]
    design = np.hstack([data[free][:, parents], intercepts])
    design = design / np.linalg.norm(design, axis=0)
    coef = np.linalg.lstsq(design, data[free, j], rcond=None)[0]
    return np.sum((data[free, j] - design @ coef) ** 2), free.sum()


def random_dag(rng, d):
    order = rng.permutation(d)
    return np.triu(rng.random((d, d)) < 0.6, 1)[np.ix_(order, order)].astype(np.int8)


@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_the_gies_package(family):
    rng = np.random.default_rng(len(family))
    data, mask = simulate(rng, family)
    reference = GaussIntL0Pen(*as_package_input(data, mask))
    score = GaussianScore(data, mask)
    for j, parents in [(0, []), (0, [1, 3]), (3, [0]), (2, [0, 1, 3])]:
        np.testing.assert_allclose(
            score.local(j, parents), reference.local_score(j, set(parents)), rtol=1e-7
        )
    for _ in range(5):
        dag = random_dag(rng, 4)
        np.testing.assert_allclose(score.total(dag), reference.full_score(dag), rtol=1e-7)


def test_empty_fit_of_the_gies_package_has_the_total_it_reports():
    data, mask = simulate(np.random.default_rng(8), FAMILIES[1])
    found, total = gies.fit_bic(*as_package_input(data, mask))
    dag = graphs.consistent_extension(found)
    np.testing.assert_allclose(GaussianScore(data, mask).total(dag), total, rtol=1e-7)


@pytest.mark.parametrize("centering", ["regime", "pooled"])
@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_least_squares_in_any_units(family, centering):
    rng = np.random.default_rng(7)
    data, mask = simulate(rng, family)
    data = data * [1e-4, 1.0, 1e5, 30.0] + [0.0, 100.0, -1e6, 5.0]
    score = GaussianScore(data, mask, centering=centering, penalty=1.5)
    for j, parents in [(0, []), (1, [0]), (3, [0, 2]), (2, [0, 1, 3])]:
        rss, n_free = residual_sum_of_squares(data, mask, j, parents, centering)
        expected = -0.5 * n_free * (1 + np.log(rss / n_free)) - 1.5 * (len(parents) + 1)
        np.testing.assert_allclose(score.local(j, parents), expected, rtol=1e-7)


def test_gains_are_differences_of_local_scores():
    rng = np.random.default_rng(3)
    data, mask = simulate(rng, FAMILIES[1], d=6)
    for centering in ("regime", "pooled"):
        score = GaussianScore(data, mask, centering=centering)
        for j, parents in [(0, []), (1, [5]), (4, [0, 2, 3])]:
            gains = score.gains(j, parents)
            assert np.all(np.isneginf(gains[[j, *parents]]))
            for i in set(range(6)) - {j, *parents}:
                expected = score.local(j, [*parents, i]) - score.local(j, parents)
                np.testing.assert_allclose(gains[i], expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), centering=st.sampled_from(["regime", "pooled"]))
def test_equivalent_graphs_score_the_same(seed, centering):
    rng = np.random.default_rng(seed)
    family = [[], *[np.flatnonzero(row).tolist() for row in rng.random((2, 5)) < 0.3]]
    data, mask = simulate(rng, family, d=5)
    score = GaussianScore(data, mask, centering=centering)
    targets = np.unique(mask, axis=0)
    dag = random_dag(rng, 5)
    other = graphs.consistent_extension(graphs.dag_to_icpdag(dag, targets))
    np.testing.assert_allclose(score.total(dag), score.total(other), rtol=1e-7, atol=1e-5)


def test_regimes_given_by_label():
    rng = np.random.default_rng(4)
    data, mask = simulate(rng, FAMILIES[1])
    labels = np.array(["none", "first", "third"])[mask[:, 0] + 2 * mask[:, 2]]
    same = GaussianScore(data, mask, regimes=labels)
    assert same.local(1, [0]) == GaussianScore(data, mask).local(1, [0])
    # Two observational batches with different means are two environments.
    batch = np.arange(len(data)) % 2
    shifted = data + 50.0 * batch[:, None]
    separate = GaussianScore(
        shifted, mask, regimes=2 * np.unique(labels, return_inverse=True)[1] + batch
    )
    unshifted = GaussianScore(
        data, mask, regimes=2 * np.unique(labels, return_inverse=True)[1] + batch
    )
    np.testing.assert_allclose(separate.local(1, [0]), unshifted.local(1, [0]), rtol=1e-9)


def test_default_penalty_is_that_of_bic():
    data, mask = simulate(np.random.default_rng(5), FAMILIES[1])
    assert GaussianScore(data, mask).penalty == pytest.approx(0.5 * np.log(len(data)))


def test_variable_targeted_everywhere_has_no_likelihood():
    rng = np.random.default_rng(6)
    data, mask = simulate(rng, [[1], [0, 1]])
    for centering in ("regime", "pooled"):
        score = GaussianScore(data, mask, centering=centering, penalty=2.0)
        assert score.local(1, []) == -2.0
        assert score.local(1, [0, 2]) == -6.0
        np.testing.assert_array_equal(score.gains(1, [])[[0, 2, 3]], -2.0)


def degenerate_data(rng):
    noise = rng.normal(size=(40, 3))
    yield "duplicates", np.hstack([noise, noise])
    yield "constants", np.hstack([noise, np.full((40, 2), 0.1), np.zeros((40, 1))])
    yield "low rank", noise @ rng.normal(size=(3, 6))
    yield "few rows", rng.normal(size=(4, 6))
    yield "one row", rng.normal(size=(1, 6))


@pytest.mark.parametrize("centering", ["regime", "pooled"])
def test_scores_of_degenerate_data_are_finite(centering):
    for name, data in degenerate_data(np.random.default_rng(9)):
        mask = np.zeros(data.shape, dtype=bool)
        mask[: len(data) // 2, 0] = True
        score = GaussianScore(data, mask, centering=centering)
        for j in range(6):
            others = [i for i in range(6) if i != j]
            for parents in ([], others[:1], others[:4], others):
                assert np.isfinite(score.local(j, parents)), name
                assert not np.isnan(score.gains(j, parents)).any(), name


def test_constant_variables_gain_nothing():
    rng = np.random.default_rng(10)
    data = np.hstack([rng.normal(size=(50, 2)), np.full((50, 1), 0.1)])
    score = GaussianScore(data, np.zeros(data.shape, dtype=bool), penalty=1.0)
    np.testing.assert_allclose(score.gains(2, [])[:2], -1.0)
    np.testing.assert_allclose([score.gains(0, [])[2], score.gains(0, [1])[2]], -1.0)


def test_duplicate_column_leaves_the_documented_fraction():
    column = np.random.default_rng(11).normal(size=(100, 1))
    score = GaussianScore(np.hstack([column, column]), np.zeros((100, 2), dtype=bool), penalty=0)
    fraction = np.exp(-2 * (score.local(1, [0]) - score.local(1, [])) / 100)
    assert 0.5e-10 < fraction < 4e-10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interventions": np.zeros((5, 3), dtype=bool)}, "same shape"),
        ({"X": np.full((6, 3), np.nan)}, "X must be finite, found 18"),
        ({"centering": "none"}, "centering must be 'regime' or 'pooled', got 'none'"),
        ({"regimes": np.zeros(5)}, "one label for each of the 6 rows"),
        ({"regimes": ["a", "a", "b", "b", "b", "c"]}, "those of regime 'a' differ"),
    ],
)
def test_refuses(change, message):
    mask = np.zeros((6, 3), dtype=bool)
    mask[0, 1] = True
    arguments = {"X": np.ones((6, 3)), "interventions": mask} | change
    with pytest.raises(ValueError, match=message):
        GaussianScore(arguments.pop("X"), arguments.pop("interventions"), **arguments)


def test_variables_that_are_never_targets_share_their_scatter():
    """Memory grows with the number of targets, not with the cube of the number of variables."""
    rng = np.random.default_rng(0)
    X, interventions = rng.normal(size=(50, 6)), np.zeros((50, 6), dtype=bool)
    interventions[40:, 2] = True
    score = GaussianScore(X, interventions)
    assert len({id(covariance) for covariance in score._covariance}) == 2


def test_rounding_errors_of_a_constant_variable_explain_nothing():
    """Set to one value wherever the other is free: products of sums leave rounding errors of it."""
    rng = np.random.default_rng()
    for _ in range(20):
        n = int(rng.integers(30, 60))
        X, interventions = 12.0 + rng.normal(size=(n, 4)), np.zeros((n, 4), dtype=bool)
        interventions[: n // 3, 0] = interventions[n // 3 :, 1] = True
        X[n // 3 :, 1] = 0.1
        score = GaussianScore(X, interventions, centering="pooled")
        gains = score.gains(0, [1, 2])
        assert np.isfinite(np.delete(gains, [0, 1, 2])).all()
        assert score.gains(0, [])[1] == pytest.approx(-score.penalty)
