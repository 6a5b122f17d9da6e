"""Order by shifts: the statistics against slow regressions, and the graphs that they give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.datasets import make_linear_scm
from skcausal.graphs import ancestor_matrix, is_dag
from skcausal.structure import LinearGaussianSCM, ShiftOrder
from skcausal.structure._shift_order import _acyclic_candidates, shift_statistics


def sample_linear(coef, targets, *, n_samples, seed):
    """Rows of a linear system, possibly cyclic, with all do-values 2, and their mask."""
    n_variables = len(coef)
    scm = LinearGaussianSCM(
        coef,
        intercept=np.zeros(n_variables),
        noise_variance=np.full(n_variables, 0.1),
        target_mean=np.full(n_variables, 2.0),
        target_variance=np.zeros(n_variables),
    )
    mask = np.repeat(np.asarray(targets, dtype=bool), n_samples, axis=0)
    return scm.sample(mask, np.full(mask.shape, np.nan), np.random.default_rng(seed)), mask


def random_regimes(seed, n_variables=5):
    """Rows without structure, their mask and regimes: some do-values fixed, some of each row."""
    rng = np.random.default_rng(seed)
    # Variable 0 is never a target, and variable 1 takes one value while it is.
    targets = rng.random((8, n_variables)) < 0.35
    targets[:, 0] = targets[0] = False
    regime = rng.permutation(np.repeat(np.arange(8), rng.integers(2, 7, size=8)))
    mask = targets[regime]
    X = rng.normal(size=mask.shape) @ rng.normal(size=(n_variables, n_variables)) + 3.0
    X[mask[:, 1], 1] = 5.0
    return X, mask, regime


def slow_statistics(X, mask, regime):
    """Effects and t-statistics from one augmented least squares problem per variable."""
    n_variables = X.shape[1]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    shift, effect, t = np.zeros(X.shape), *np.zeros((2, n_variables, n_variables))
    control = [
        Z[rows, j].mean()
        for j in range(n_variables)
        for rows in [~mask.any(axis=1) if (~mask.any(axis=1)).any() else ~mask[:, j]]
    ]
    for i in range(n_variables):
        shift[mask[:, i], i] = Z[mask[:, i], i] - control[i]
    for j in range(n_variables):
        free = ~mask[:, j]
        y = Z[free, j] - control[j]
        design = np.vstack([shift[free], np.sqrt(0.5) * np.eye(n_variables)])
        inverse = np.linalg.pinv(design.T @ design)
        effect[:, j] = np.linalg.lstsq(design, np.append(y, np.zeros(n_variables)), rcond=None)[0]
        residual = y - shift[free] @ effect[:, j]
        total, dof, varying = 0.0, 0, set()
        for r in np.unique(regime[free]):
            inside = residual[regime[free] == r]
            total, dof = total + len(inside) * inside.var(), dof + len(inside) - 1
            varying |= set(np.flatnonzero(np.ptp(shift[free][regime[free] == r], axis=0)))
        dof -= len(varying)
        if dof <= 0:
            total, dof = residual @ residual, len(y) - 1 - (shift[free] != 0).any(axis=0).sum()
        if dof <= 0:
            total, dof = y @ y, len(y)
        if total > 0:
            t[:, j] = effect[:, j] / np.sqrt(total / dof * np.diag(inverse))
    return effect, t


def one_row_per_regime(X, mask, regime):
    """Keep the first row of each regime."""
    rows = np.unique(regime, return_index=True)[1]
    return X[rows], mask[rows], regime[rows]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("case", ["all", "no observational rows", "one row each", "three rows"])
def test_statistics_equal_slow_regressions(seed, case):
    X, mask, regime = random_regimes(seed)
    if case == "no observational rows":
        kept = mask.any(axis=1)
        X, mask, regime = X[kept], mask[kept], np.unique(regime[kept], return_inverse=True)[1]
    if case in ("one row each", "three rows"):
        X, mask, regime = one_row_per_regime(X, mask, regime)
    if case == "three rows":
        mask, regime = np.eye(3, 5, k=1, dtype=bool), np.arange(3)
        X = X[:3]
    effect, t = shift_statistics(X, mask, regime)
    slow_effect, slow_t = slow_statistics(X, mask, regime)
    np.testing.assert_allclose(effect, slow_effect, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(t, slow_t, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_easy_graphs_are_found(seed):
    data = make_linear_scm(8, n_samples=100, random_state=seed)
    # Twice BIC's penalty keeps chance correlations out.
    model = ShiftOrder(penalty=2.0).fit(data.X, interventions=data.interventions)
    np.testing.assert_array_equal(model.adjacency_, data.adjacency)
    descendants = ancestor_matrix(data.adjacency.to_numpy()).astype(bool)
    strength = np.abs(model.shift_t_)
    assert strength[descendants].min() > strength[~(descendants | np.eye(8, dtype=bool))].max()


@given(seed=st.integers(0, 10_000), permutation=st.permutations(range(5)))
@settings(max_examples=25)
def test_equivariant_under_permutations_of_variables(seed, permutation):
    data = make_linear_scm(5, n_samples=6, random_state=seed)
    X, mask = data.X.to_numpy(), data.interventions.to_numpy()
    model = ShiftOrder().fit(X, interventions=mask)
    permuted = ShiftOrder().fit(X[:, permutation], interventions=mask[:, permutation])
    both = np.ix_(permutation, permutation)
    np.testing.assert_allclose(permuted.shift_t_, model.shift_t_[both], rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(permuted.adjacency_, model.adjacency_[both])


def test_neither_order_of_rows_nor_units_matter():
    data = make_linear_scm(6, n_samples=5, random_state=4)
    X, mask = data.X.to_numpy(), data.interventions.to_numpy()
    model = ShiftOrder().fit(X, interventions=mask)
    order = np.random.default_rng(0).permutation(len(X))
    units = np.array([1.0, 1e3, -1e-3, 7.0, -1.0, 1e8])
    again = ShiftOrder().fit(X[order] * units - 5 * units, interventions=mask[order])
    signs = np.outer(np.sign(units), np.sign(units))
    np.testing.assert_allclose(again.shift_t_, model.shift_t_ * signs, rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(again.adjacency_, model.adjacency_)


def test_no_observational_regime():
    data = make_linear_scm(
        6, n_samples=60, regimes=[(j,) for j in range(6)], random_state=0, noise_variance=0.05
    )
    model = ShiftOrder().fit(data.X, interventions=data.interventions)
    missed = data.adjacency.to_numpy() & (1 - model.adjacency_)
    assert missed.sum() == 0


def test_variable_that_was_never_a_target_has_no_children():
    X, mask = sample_linear(np.diag([2.0, 2.0], k=1), [[0, 0, 0], [0, 1, 0]], n_samples=60, seed=0)
    model = ShiftOrder().fit(X, interventions=mask)
    np.testing.assert_array_equal(model.adjacency_, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert (model.shift_t_[[0, 2]] == 0).all()


def test_do_values_that_differ_from_row_to_row():
    """Both targets have mean 0 in their regime: only the rows show an effect."""
    rng = np.random.default_rng(0)
    mask = np.repeat(np.array([[0, 0], [1, 0], [0, 1]], dtype=bool), 40, axis=0)
    X = rng.normal(size=(120, 2))
    X[:, 1] += np.where(mask[:, 1], 0.0, 2 * X[:, 0])
    model = ShiftOrder().fit(X, interventions=mask)
    np.testing.assert_array_equal(model.adjacency_, [[0, 1], [0, 0]])
    # The noise has variance 5 in control rows, where x0 adds to it, but 1 where x0 was set.
    assert model.shift_t_[0, 1] == pytest.approx(2 * np.sqrt(40) / np.sqrt(3), rel=0.1)


def test_regimes_tell_conditions_apart():
    """Two conditions act on the same target, so the spread between them is no noise."""
    rng = np.random.default_rng(0)
    mask = np.repeat([[False, False], [True, False]], 40, axis=0)
    labels = np.repeat(["control", "activated", "inhibited"], [40, 20, 20])
    X = rng.normal(size=(80, 2))
    X[40:, 0] = np.repeat([5.0, 1.0], 20)
    # An effect that is not linear in the do-value.
    X[:, 1] += np.repeat([0.0, 10.0, -10.0], [40, 20, 20])
    pooled = ShiftOrder().fit(X, interventions=mask)
    apart = ShiftOrder().fit(X, interventions=mask, regimes=labels)
    assert apart.shift_t_[0, 1] > 2 * pooled.shift_t_[0, 1] > 0


@pytest.mark.parametrize("n_variables", [3, 10])
def test_one_row_per_regime(n_variables):
    """Repeats of each target set are separate regimes; without repeats no edge is claimed."""
    data = make_linear_scm(n_variables, n_samples=4, random_state=1)
    X, mask = data.X.to_numpy(), data.interventions.to_numpy()
    model = ShiftOrder().fit(X, interventions=mask, regimes=np.arange(len(X)))
    assert is_dag(model.adjacency_)
    assert (model.adjacency_ & data.adjacency.to_numpy()).any()
    single = ShiftOrder().fit(X[::4], interventions=mask[::4])
    assert np.isfinite(single.shift_t_).all()
    assert single.adjacency_.sum(axis=0).max() <= n_variables // 3


@pytest.mark.parametrize("seed", range(5))
def test_result_is_acyclic_on_cyclic_systems(seed):
    """A stable cycle 0 -> 1 -> ... -> 4 -> 0: the next variable shifts most."""
    coef = np.roll(0.8 * np.eye(5), 1, axis=1)
    targets = np.vstack([np.zeros(5), np.eye(5)])
    X, mask = sample_linear(coef, targets, n_samples=20, seed=seed)
    model = ShiftOrder().fit(X, interventions=mask)
    strength = np.abs(model.shift_t_)
    assert not is_dag((strength > 2.5) & (strength > strength.T))
    assert is_dag(model.adjacency_)
    assert (model.adjacency_ * (coef > 0)).sum() >= 3


def test_the_weakest_edge_of_a_cycle_gives_way():
    strength = np.array([[0.0, 9.0, 1.0], [3.0, 0.0, 8.0], [7.0, 2.0, 0.0]])
    cycle = _acyclic_candidates(strength, 2.5, [3, 3, 3])
    np.testing.assert_array_equal(cycle, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    # A tie leaves no direction, and a variable with few free rows no room.
    strength[0, 1] = 3.0
    tied = _acyclic_candidates(strength, 2.5, [3, 3, 0])
    np.testing.assert_array_equal(tied, [[0, 0, 0], [0, 0, 0], [1, 0, 0]])


def test_threshold_and_penalty_make_graphs_sparser():
    data = make_linear_scm(8, n_samples=5, random_state=0)

    def n_edges(**parameters):
        return ShiftOrder(**parameters).fit(data.X, interventions=data.interventions).adjacency_

    edges = [n_edges(penalty=p).sum() for p in (0.01, 1.0, 1e6)]
    assert edges[0] > edges[1] > edges[2] == 0
    assert n_edges(threshold=1e6).sum() == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": -1.0}, "threshold must not be negative, got -1.0"),
        ({"threshold": np.nan}, "threshold must not be negative, got nan"),
        ({"penalty": 0.0}, "penalty must be positive and finite, got 0.0"),
        ({"penalty": np.inf}, "penalty must be positive and finite, got inf"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        ShiftOrder(**parameters).fit(np.eye(4))
