"""SCMs refitted on many graphs from sums are those that least squares on the rows gives."""

import warnings

import numpy as np
import pytest
import torch

from skcausal.structure import ExactGraphPosterior
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_refit import refit_on_graphs
from skcausal.structure._linear_scm import fit_linear_gaussian, stabilised

FIELDS = ("coef", "intercept", "noise_variance", "target_mean", "target_variance")


def random_dag(rng, d):
    order = rng.permutation(d)
    return np.triu(rng.random((d, d)) < 0.6, 1)[np.ix_(order, order)].astype(np.int8)


def simulate(seed, n=30, d=4, *, share=0.3):
    """Standardised correlated rows, and a mask that leaves everyone free rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    mask = rng.random((n, d)) < share
    mask[: d + 2] = False
    return standardised(X), mask


def standardised(X):
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def refit(Z, mask, graphs):
    sums = FreeSums.from_rows(torch.from_numpy(Z)[None], torch.from_numpy(mask)[None])
    return refit_on_graphs(sums, Z, mask, np.asarray(graphs), lambda j: f"x{j}")


def assert_same(scm, expected, tolerance=1e-6):
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(scm, name), getattr(expected, name), rtol=0, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_least_squares_on_the_rows(seed):
    rng = np.random.default_rng(seed)
    d = 2 + seed % 4
    Z, mask = simulate(seed, d=d)
    graphs = np.stack([random_dag(rng, d) for _ in range(8)])
    scms = refit(Z, mask, graphs)
    assert len(scms) == 8
    for scm, graph in zip(scms, graphs):
        assert_same(scm, fit_linear_gaussian(Z, mask, graph))


def test_observational_rows():
    Z, mask = simulate(0, share=0.0)
    scm = refit(Z, mask, np.eye(4, k=1)[None])[0]
    assert_same(scm, fit_linear_gaussian(Z, mask, np.eye(4, k=1)))
    assert np.isnan(scm.target_mean).all()


def test_weights_stand_on_the_edges_only():
    Z, mask = simulate(1)
    graphs = np.stack([random_dag(np.random.default_rng(seed), 4) for seed in range(10)])
    for scm, graph in zip(refit(Z, mask, graphs), graphs):
        np.testing.assert_array_equal(scm.coef != 0, graph != 0)


def test_graphs_do_not_influence_each_other():
    Z, mask = simulate(2)
    graphs = np.stack([random_dag(np.random.default_rng(seed), 4) for seed in range(5)])
    for scm, graph in zip(refit(Z, mask, graphs), graphs):
        assert_same(scm, refit(Z, mask, graph[None])[0], 1e-12)


def test_rows_with_few_degrees_of_freedom():
    """As many parents as free rows leave no residual: the noise is the variable's own variance."""
    full = np.triu(np.ones((4, 4)), 1)
    for n in (3, 4, 5):
        Z = standardised(np.random.default_rng(n).normal(size=(n, 4)))
        mask = np.zeros(Z.shape, dtype=bool)
        assert_noise_is_that_of_least_squares(Z, mask, full)


def assert_noise_is_that_of_least_squares(Z, mask, graph):
    scm, expected = refit(Z, mask, graph[None])[0], fit_linear_gaussian(Z, mask, graph)
    np.testing.assert_allclose(scm.noise_variance, expected.noise_variance, atol=1e-6)
    np.testing.assert_allclose(
        scm.parental_mean(Z, mask), expected.parental_mean(Z, mask), atol=1e-6
    )


class TestLostMechanism:
    @pytest.fixture
    def rows(self):
        Z, mask = simulate(3)
        mask[:, 2] = True
        return Z, mask

    def test_warns_once_and_gives_a_root(self, rows):
        graphs = np.stack([np.triu(np.ones((4, 4)), 1)] * 3)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scms = refit(*rows, graphs)
        assert len(caught) == 1
        assert "Variable x2 is a target in every row" in str(caught[0].message)
        for scm in scms:
            assert not scm.coef[:, 2].any()
            assert scm.coef[2, 3] != 0
            assert scm.intercept[2] == scm.target_mean[2] == pytest.approx(rows[0][:, 2].mean())
            assert scm.noise_variance[2] == scm.target_variance[2]

    @pytest.mark.filterwarnings("ignore:Variable")
    def test_agrees_with_least_squares(self, rows):
        graph = np.triu(np.ones((4, 4)), 1)
        assert_same(refit(*rows, graph[None])[0], fit_linear_gaussian(*rows, graph))

    def test_warning_points_at_the_call_of_fit(self, rows):
        with pytest.warns(UserWarning, match="target in every row") as caught:
            ExactGraphPosterior(n_draws=2, random_state=0).fit(rows[0], interventions=rows[1])
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("with_parents", [True, False])
def test_single_free_row(with_parents):
    Z, mask = simulate(4)
    mask[:, 1] = True
    mask[5, 1] = False
    graph = np.eye(4, k=1) if with_parents else np.zeros((4, 4))
    scm = refit(Z, mask, graph[None])[0]
    assert_same(scm, fit_linear_gaussian(Z, mask, graph))
    assert scm.noise_variance[1] == pytest.approx(Z[:, 1].var())
    assert scm.parental_mean(Z[5:6], mask[5:6])[0, 1] == pytest.approx(Z[5, 1])


class TestDegenerate:
    @pytest.mark.parametrize("kind", ["duplicate", "sum", "nearly"])
    def test_collinear_parents_predict_as_least_squares_does(self, kind):
        Z, mask = simulate(5, n=40)
        Z[:, 2] = {
            "duplicate": Z[:, 0],
            "sum": Z[:, 0] + Z[:, 1],
            "nearly": Z[:, 0] + 1e-7 * Z[:, 1],
        }[kind]
        graph = np.zeros((4, 4))
        graph[:3, 3] = 1
        scm, expected = refit(Z, mask, graph[None])[0], fit_linear_gaussian(Z, mask, graph)
        assert np.isfinite(scm.coef).all()
        assert np.abs(scm.coef).max() < 100
        np.testing.assert_allclose(
            scm.parental_mean(Z, mask), expected.parental_mean(Z, mask), atol=1e-4
        )
        np.testing.assert_allclose(scm.noise_variance[3], expected.noise_variance[3], rtol=1e-3)

    def test_duplicates_share_their_weight(self):
        Z, mask = simulate(6, n=40)
        Z[:, 2] = Z[:, 0]
        graph = np.zeros((4, 4))
        graph[[0, 2], 3] = 1
        coef = refit(Z, mask, graph[None])[0].coef
        assert coef[0, 3] == pytest.approx(coef[2, 3], rel=1e-4)

    def test_perfect_fit_has_the_floor_as_noise(self):
        Z, mask = simulate(7)
        Z[:, 3] = standardised(Z[:, :2] @ [1.0, -2.0])
        graph = np.zeros((4, 4))
        graph[:2, 3] = 1
        scm, expected = refit(Z, mask, graph[None])[0], fit_linear_gaussian(Z, mask, graph)
        assert 0 < scm.noise_variance[3] < 1e-7
        np.testing.assert_allclose(scm.coef, expected.coef, atol=1e-5)

    def test_constant_variables(self):
        Z, mask = simulate(8)
        Z[:, 1] = 0.0
        graph = np.triu(np.ones((4, 4)), 1)
        scm = refit(Z, mask, graph[None])[0]
        assert not scm.coef[1].any()
        assert not scm.coef[:, 1].any()
        assert scm.noise_variance[1] > 0
        assert_same(scm, fit_linear_gaussian(Z, mask, graph))

    def test_variable_that_is_constant_while_it_is_free(self):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            n = int(rng.integers(10, 30))
            mask = np.repeat([[False, True], [False, False]], n, axis=0)
            X = rng.normal(size=mask.shape)
            X[n:, 1] = 0.3
            Z = standardised(X)
            scm = refit(Z, mask, np.eye(2, k=1)[None])[0]
            expected = fit_linear_gaussian(Z, mask, np.eye(2, k=1))
            np.testing.assert_allclose(scm.noise_variance, expected.noise_variance, rtol=1e-6)

    def test_parent_that_is_constant_while_its_child_is_free(self):
        """Two regimes, each setting one variable to one value, and none without intervention."""
        graph = np.array([[0, 1], [0, 0]])
        for seed in range(10):
            rng = np.random.default_rng(seed)
            n = int(rng.integers(5, 60))
            mask = np.repeat([[True, False], [False, True]], n, axis=0)
            X = np.where(mask, [3 * rng.normal(), 2.0], rng.normal(size=mask.shape))
            Z = standardised(X)
            assert_same(refit(Z, mask, graph[None])[0], fit_linear_gaussian(Z, mask, graph))


class TestCycles:
    def test_stable_weights_stay_as_they_are(self):
        coef = np.array([[0.0, 0.9, 0.0], [0.0, 0.0, -1.0], [0.9, 0.0, 0.0]])
        assert stabilised(coef) is coef
        dag = np.triu(np.full((3, 3), 50.0), 1)
        assert stabilised(dag) is dag

    def test_unstable_weights_are_shrunk_together(self):
        coef = np.random.default_rng(0).normal(size=(4, 4))
        np.fill_diagonal(coef, 0.0)
        shrunk = stabilised(coef)
        radius = np.abs(np.linalg.eigvals(np.abs(shrunk))).max()
        assert radius == pytest.approx(0.98)
        factors = shrunk[coef != 0] / coef[coef != 0]
        np.testing.assert_allclose(factors, factors[0])

    def test_systems_on_cyclic_graphs_are_stable_under_any_intervention(self):
        rng = np.random.default_rng(1)
        Z, mask = simulate(9)
        graphs = (rng.random((10, 4, 4)) < 0.8) & ~np.eye(4, dtype=bool)
        for scm in refit(Z, mask, graphs):
            assert np.abs(np.linalg.eigvals(np.abs(scm.coef))).max() <= 0.98 + 1e-9
            assert np.isfinite(scm.conditional_mean(Z, mask)).all()
            assert np.isfinite(scm.log_density(Z, mask)).all()

    def test_acyclic_graphs_beside_them_are_not_touched(self):
        Z, mask = simulate(10)
        dag, cyclic = np.triu(np.ones((4, 4)), 1), 1 - np.eye(4)
        scms = refit(Z, mask, np.stack([cyclic, dag]))
        assert_same(scms[1], fit_linear_gaussian(Z, mask, dag))
