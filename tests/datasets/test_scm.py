import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skcausal.datasets import make_scm
from skcausal.simulators import GeneNetworkPrior, LinearPrior, NonlinearPrior, SensorNoisePrior


@pytest.mark.parametrize(
    "prior",
    [
        LinearPrior(4, n_cycles=1),
        LinearPrior(4, n_confounders=1, noise="gumbel"),
        NonlinearPrior(4),
    ],
)
def test_rows_scatter_around_the_stated_means(prior):
    data = make_scm(prior, n_samples=4000, regimes="pairs", n_heldout_pairs=2, random_state=1)
    assert data.X.shape == (9 * 4000, 4)
    exact = isinstance(prior, LinearPrior)
    for _, rows in data.X_test.groupby(data.regimes_test):
        mean = data.means_test.loc[rows.index[0]]
        error = rows.std() / np.sqrt(4000) + 4 * data.standard_errors_test.loc[rows.index[0]]
        assert ((rows.mean() - mean).abs() <= 4 * error + 1e-12).all()
    assert (data.standard_errors_test == 0).to_numpy().all() == exact
    assert ((data.X == 2.0) == data.interventions).to_numpy().all()


def test_layout_is_that_of_the_linear_data():
    data = make_scm(LinearPrior(3), n_samples=5, regimes="pairs", n_heldout_pairs=1, random_state=0)
    names = ["x0", "x1", "x2"]
    assert data.feature_names == names
    for key in ("X", "interventions", "X_test", "interventions_test", "means_test"):
        assert data[key].columns.tolist() == names
    assert data.adjacency.index.tolist() == data.adjacency.columns.tolist() == names
    assert (data.adjacency.dtypes == np.int8).all()
    np.testing.assert_array_equal(data.adjacency, data.system.adjacency[0])
    assert data.regimes.value_counts().eq(5).all()
    assert not set(data.regimes) & set(data.regimes_test)
    assert "Synthetic structural causal model" in data.DESCR
    none = make_scm(LinearPrior(3), random_state=0)
    assert none.X_test.shape == none.means_test.shape == (0, 3)


def test_kinds_values_and_padded_variables():
    prior = LinearPrior(stats.randint(3, 7))
    data = make_scm(prior, kind="shift", values=stats.norm(3, 1), n_samples=500, random_state=3)
    assert data.X.shape[1] == int(data.system.n_variables[0]) < 6
    assert data.interventions.shape == data.X.shape
    regime = data.X[data.regimes == "x0"]
    assert abs(regime["x0"].mean() - data.X.loc[data.regimes == "control", "x0"].mean() - 3) < 0.4


def test_default_values_suit_the_kind():
    for kind in ("hard", "shift"):
        default, two = (
            make_scm(LinearPrior(3), kind=kind, random_state=0, **options)
            for options in ({}, {"values": 2.0})
        )
        pd.testing.assert_frame_equal(default.X, two.X)
    genes = make_scm(GeneNetworkPrior(3, edges_per_variable=1.0), random_state=0)
    assert (genes.X.to_numpy()[genes.interventions] == 0).all()


def test_same_seed_same_data():
    first, again, other = (make_scm(LinearPrior(3), random_state=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.X, again.X)
    assert not first.X.equals(other.X)


@pytest.mark.parametrize(
    ("prior", "options", "error", "message"),
    [
        (5, {}, TypeError, "prior must be a task prior of skcausal.simulators"),
        (SensorNoisePrior(), {}, TypeError, "SensorNoisePrior does not describe structural models"),
        (LinearPrior(3), {"n_samples": 0}, ValueError, "n_samples must be an integer of at least"),
        (LinearPrior(3), {"regimes": [("x7",)]}, ValueError, "unknown variable 'x7'"),
        (LinearPrior(3), {"n_heldout_pairs": 1}, ValueError, "more than the 0 pairs"),
        (LinearPrior(3), {"kind": "knock_out"}, ValueError, "kind must be one of 'hard', 'shift'"),
    ],
)
def test_bad_arguments(prior, options, error, message):
    with pytest.raises(error, match=message):
        make_scm(prior, **options)
